"""How values are spread: weights, activations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mlp_xp.report.figures import style
from mlp_xp.report.findings import Histogram

COLUMNS = 2
LONGEST = 28


@style.styled
def draw_histograms(histograms: Sequence[Histogram]) -> Figure:
    """A small panel for each, its counts from 0 to its own largest."""
    rows = max(math.ceil(len(histograms) / COLUMNS), 1)
    figure = Figure((style.COLUMN, 1.15 * rows))
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat[len(histograms) :]:
        axes.set_axis_off()
    for histogram, axes in zip(histograms, grid.flat, strict=False):
        axes.stairs(histogram.counts, histogram.edges, fill=True, color=style.ACCENT)
        if histogram.edges[0] < 0 < histogram.edges[-1]:
            axes.axvline(0, color=style.SOFT, linewidth=0.6, linestyle=(0, (2, 2)))
        lines = [style.cut(line, LONGEST) for line in histogram.label.split("\n")]
        axes.set_title("\n".join(lines), fontsize=7.5)
        axes.set_ylim(0, 1.05 * max(float(histogram.counts.max(initial=0)), 1))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(style.plain())
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axes.tick_params(labelsize=6.5)
    return figure


def _short(count: float) -> str:
    """A count in a few letters: 1200 is 1.2k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.4g}{letter}"
    return f"{count:.4g}"
