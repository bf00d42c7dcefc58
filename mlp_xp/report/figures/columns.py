"""How much the model uses each column of a table."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlp_xp.report.figures import style
from mlp_xp.report.findings import ColumnUse

LONGEST = 20


@style.styled
def draw_columns(use: ColumnUse) -> Figure:
    """Two bars for each column: its permutation importance, with its spread, and its weights."""
    count = len(use.names)
    figure = Figure((style.COLUMN, 0.85 + 0.19 * max(count, 1)))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [3, 2]})
    places = np.arange(count)
    spread = np.nan_to_num(use.spread)
    left.barh(
        places, use.importance, 0.7, color=style.ACCENT, xerr=spread,
        error_kw={"ecolor": style.INK, "elinewidth": 0.8},
    )  # fmt: skip
    right.barh(places, use.strength, 0.7, color=style.THIRD)
    left.set_yticks(places, [style.cut(name, LONGEST) for name in use.names])
    left.set_ylim(count - 0.4, -0.6)
    left.set_title(f"fall in {use.score}\nwhen shuffled")
    right.set_title("strength of\nits weights")
    left.axvline(0, color=style.SOFT, linewidth=0.6)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        is_share = axes is left and use.score == "accuracy"
        axes.xaxis.set_major_formatter(style.in_percent() if is_share else style.plain())
        axes.grid(axis="x")
    left.tick_params(axis="y", labelcolor=style.INK)
    if use.left_out:
        s = "s" * (use.left_out > 1)
        figure.supxlabel(
            f"and {use.left_out:,} column{s} more", fontsize=7.5, color=style.SOFT, x=0.02,
            ha="left",
        )  # fmt: skip
    return figure
