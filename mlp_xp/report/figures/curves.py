"""How the losses, the accuracy and the learning rate went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mlp_xp.report.figures import style
from mlp_xp.report.findings import Curves, Floats

FEW = 30
"""Up to as many epochs have a dot each."""
LONGEST = 22
APART = 0.12
"""The distance of two labels, in heights of a panel that is 1.7 inches high."""


@style.styled
def draw_curves(runs: Sequence[Curves]) -> Figure:
    """Losses, accuracy on the validation set and learning rate over the epochs, a panel each.

    A single run has its lines labeled; each of several has a color and a marker, its training loss
    a solid line and its validation a dashed one. A panel that none has values for is left out, and
    the axis of the losses is logarithmic where they differ by more than a factor of ten.
    """
    panels = [("loss", 1.7)]
    panels += [("accuracy", 1.3)] * any(_any(run.accuracy) for run in runs)
    panels += [("rate", 0.6)] * any(_any(run.rates) for run in runs)
    heights = [height for _, height in panels]
    handles = _handles(runs) if len(runs) > 1 else []
    legend = 0.17 * math.ceil(len(handles) / 2)
    figure = Figure((style.COLUMN, sum(heights) + 0.3 * len(heights) + 0.3 + legend))
    grid = figure.subplots(
        len(panels), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for (kind, height), axes in zip(panels, grid[:, 0], strict=True):
        _draw_panel(axes, kind, runs, APART * 1.7 / height)
    bottom: Axes = grid[-1, 0]
    bottom.set_xlabel("epoch")
    bottom.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    epochs = [epoch for run in runs for epoch in run.epochs]
    if epochs and min(epochs) == max(epochs):
        bottom.set_xlim(epochs[0] - 1, epochs[0] + 1)
        bottom.set_xticks(epochs[:1])
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=2,
            columnspacing=1.2, handlelength=2.2, borderpad=0,
        )  # fmt: skip
    return figure


def _draw_panel(axes: Axes, kind: str, runs: Sequence[Curves], apart: float) -> None:
    is_single = len(runs) == 1
    ends, drawn = [], []
    for i, run in enumerate(runs):
        marker = "" if is_single else style.MARKERS[i % len(style.MARKERS)]
        lines = _lines(run, kind, None if is_single else style.SERIES[i % len(style.SERIES)])
        for line in lines:
            end = _draw_line(axes, run.epochs, line, marker)
            drawn.append(line.values)
            if end is not None:
                ends.append((end, line.label))
        if run.kept in run.epochs and kind != "rate":
            _mark_kept(axes, run, lines[-1], is_single, kind)
    units = " or ".join(sorted({run.unit for run in runs}))
    axes.set_title(
        {"loss": f"loss ({units})", "accuracy": "accuracy on the validation set"}.get(
            kind, "learning rate"
        )
    )
    values = np.concatenate(drawn)
    _scale(axes, kind, values[np.isfinite(values)])
    if axes.get_yscale() == "log":
        axes.set_title(f"{axes.get_title('left')}, on a logarithmic scale")
    if is_single and kind == "loss":
        _label_ends(axes, ends, apart)


class _Line(NamedTuple):
    label: str
    values: Floats
    color: str
    style: Any


def _lines(run: Curves, kind: str, color: str | None) -> list[_Line]:
    """The lines of a panel, all of one color if one is given."""
    if kind == "rate":
        return [_Line("", _numbers(run.rates), color or style.SOFT, "-")]
    second = color or style.SECOND
    if kind == "accuracy":
        return [_Line("", _numbers(run.accuracy), second, "--")]
    return [
        _Line("training", _numbers(run.loss), color or style.ACCENT, "-"),
        _Line("validation", _numbers(run.validation), second, "--"),
    ]


def _draw_line(axes: Axes, epochs: Sequence[int], line: _Line, marker: str) -> float | None:
    """Draw a line, with gaps where it has no values. Returns its last value, None if none."""
    values = line.values
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return None
    few = len(known) <= FEW
    lonely = len(known) < known[-1] - known[0] + 1  # a value between gaps has no line
    every = None if few or lonely else [int(known[0]), int(known[-1])]
    shown = marker or ("o" if few or lonely else "")
    axes.plot(
        epochs, values, linestyle=line.style, color=line.color, marker=shown, markevery=every,
        markersize=3.2 if marker else 5 if len(known) == 1 else 2.6, markeredgewidth=0,
    )  # fmt: skip
    return float(values[known[-1]])


def _mark_kept(axes: Axes, run: Curves, line: _Line, is_single: bool, kind: str) -> None:
    """A ring around the value of the epoch kept; a single run has its number too."""
    place = run.epochs.index(run.kept or 0)
    value = line.values[place]
    if np.isfinite(value):
        axes.plot(
            run.epochs[place : place + 1], [value], "o", markersize=7, markerfacecolor="none",
            markeredgecolor=line.color, markeredgewidth=1.2,
        )  # fmt: skip
    if is_single:
        axes.axvline(
            run.epochs[place], color=style.SOFT, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0.9
        )
    if is_single and kind == "loss":
        late = place > len(run.epochs) / 2
        axes.annotate(
            f"epoch {run.kept} kept", (run.epochs[place], 1), xycoords=("data", "axes fraction"),
            xytext=(-3 if late else 3, 0), textcoords="offset points", va="top",
            ha="right" if late else "left", color=style.SOFT, fontsize=7.5,
        )  # fmt: skip


def _scale(axes: Axes, kind: str, values: Floats) -> None:
    """A logarithmic axis where that shows more, and ticks that say what they mean."""
    axes.grid(axis="y")
    axes.yaxis.set_major_formatter(style.in_percent() if kind == "accuracy" else style.plain())
    axes.yaxis.set_major_locator(MaxNLocator(3 if kind == "rate" else 5))
    if not len(values):
        return
    if kind == "loss" and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        decades = np.log10(values.max() / values.min())
        subs = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axes.yaxis.set_major_formatter(style.plain())
        axes.yaxis.set_minor_locator(NullLocator())
    elif kind == "rate" and values.min() == values.max():
        axes.set_yticks(values[:1])


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str]], apart: float) -> None:
    """Write each line's label beside its end, a little away from it where two would meet."""
    axes.set_ylim(axes.get_ylim())  # so that the labels stay beside the ends
    to_axes = axes.transData + axes.transAxes.inverted()
    places = [float(to_axes.transform((0, value))[1]) for value, _ in ends]
    if len(places) == 2 and abs(places[0] - places[1]) < apart:
        middle, sign = sum(places) / 2, 1 if places[0] >= places[1] else -1
        places = [middle + sign * apart / 2, middle - sign * apart / 2]
    for place, (_, label) in zip(places, ends, strict=True):
        axes.annotate(
            label, (1, place), xycoords="axes fraction", xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=7.5,
        )  # fmt: skip


def _handles(runs: Sequence[Curves]) -> list[Line2D]:
    handles = [
        Line2D(
            [], [], color=style.SERIES[i % len(style.SERIES)], markersize=4,
            marker=style.MARKERS[i % len(style.MARKERS)], label=style.cut(run.name, LONGEST),
        )
        for i, run in enumerate(runs)
    ]  # fmt: skip
    if any(_any(run.validation) for run in runs):
        handles.append(Line2D([], [], color=style.SOFT, linestyle="-", label="training"))
        handles.append(Line2D([], [], color=style.SOFT, linestyle="--", label="validation"))
    if any(run.kept is not None for run in runs):
        handles.append(
            Line2D(
                [], [], color="none", marker="o", markersize=7, markerfacecolor="none",
                markeredgecolor=style.SOFT, label="epoch kept",
            )
        )  # fmt: skip
    return handles


def _numbers(values: Sequence[float | None]) -> Floats:
    """The values, NaN where there is none."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _any(values: Sequence[float | None]) -> bool:
    return bool(np.isfinite(_numbers(values)).any())
