"""How near a regression's predictions come."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlp_xp.report.figures import style
from mlp_xp.report.findings import Floats, Numbers

TARGETS = 6
POINTS = 1500
"""More points in all are drawn as how many there are in each place."""
CELLS = 70
LONGEST = 26


@style.styled
def draw_numbers(numbers: Numbers) -> Figure:
    """Predicted against true values, and the residuals, true less predicted, of up to six targets.

    Values that aren't finite are left out.
    """
    K = numbers.true.shape[1]
    shown = min(K, TARGETS)
    figure = Figure((style.COLUMN, 2.35 * shown + 0.15 * (K > TARGETS)))
    grid = figure.subplots(shown, 2, squeeze=False, gridspec_kw={"width_ratios": [2.3, 1]})
    for k in range(shown):
        both = np.isfinite(numbers.true[:, k]) & np.isfinite(numbers.given[:, k])
        true, given = numbers.true[both, k], numbers.given[both, k]
        _draw_pairs(grid[k, 0], true, given, as_points=len(true) * shown <= POINTS)
        grid[k, 0].set_title(style.cut(numbers.names[k], LONGEST))
        _draw_residuals(grid[k, 1], true - given)
    if K > TARGETS:
        figure.supxlabel(
            f"and {K - TARGETS:,} target{'s' * (K - TARGETS > 1)} more", fontsize=7.5,
            color=style.SOFT, x=0.02, ha="left",
        )  # fmt: skip
    return figure


def _draw_pairs(axes: Axes, true: Floats, given: Floats, *, as_points: bool) -> None:
    axes.set(xlabel="true", ylabel="predicted")
    ends = _ends(np.concatenate([true, given]), 0.04)
    axes.plot(ends, ends, color=style.SOFT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    if not as_points:
        counts, _, _ = np.histogram2d(given, true, CELLS, (ends, ends))
        alpha = np.where(counts > 0, np.maximum(np.sqrt(counts / counts.max()), 0.12), 0)
        axes.imshow(
            style.tinted(style.ACCENT, alpha), extent=(*ends, *ends), origin="lower", zorder=2
        )
    else:
        size = 3.4 if len(true) <= 300 else 2.2
        axes.plot(
            true, given, "o", color=style.ACCENT, markersize=size, markeredgewidth=0, alpha=0.55,
            zorder=2,
        )  # fmt: skip
    axes.set(xlim=ends, ylim=ends, aspect="equal", anchor="N")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(style.plain())
    axes.grid()


def _ends(values: Floats, margin: float) -> tuple[float, float]:
    """The least and the largest, and as many parts of their distance more; apart in any case."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high))
    room = margin * (high - low)
    if high - low <= 1e-6 * size:  # rounding, if anything
        room = size / 2 or 0.5
    return low - room, high + room


def _draw_residuals(axes: Axes, residuals: Floats) -> None:
    axes.set_title("true − predicted")
    if len(residuals):
        bins = min(30, max(6, round(len(residuals) ** 0.5)))
        counts, edges = np.histogram(residuals, bins, _ends(residuals, 0))
        axes.stairs(counts, edges, fill=True, color=style.ACCENT, orientation="horizontal")
    axes.axhline(0, color=style.SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(style.plain())
    axes.xaxis.set_major_locator(MaxNLocator(2, integer=True))
    axes.set_xlabel("rows")
    axes.set(box_aspect=2.3, anchor="N")  # as high as the panel beside it
