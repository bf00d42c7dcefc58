"""Whether the model is as sure as it is right."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mlp_xp.report.figures import style
from mlp_xp.report.findings import Calibration
from mlp_xp.report.parts import share

WRITTEN = 15
"""Up to as many bins have the share of answers in them written above."""


@style.styled
def draw_calibration(calibration: Calibration) -> Figure:
    """A reliability diagram: how often answers are right, by the probability they were given.

    A dot for each bin that isn't empty, the gap to the diagonal shaded, and below how many of the
    answers are in each bin.
    """
    edges, counts = calibration.edges, calibration.counts
    lefts, widths = edges[:-1], np.diff(edges)
    figure = Figure((style.COLUMN, 4.1))
    top, below = figure.subplots(2, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    filled = counts > 0
    confidence, right = calibration.confidence[filled], calibration.right[filled]
    top.bar(
        lefts[filled], np.minimum(confidence, right), widths[filled], align="edge",
        color=style.ACCENT, alpha=0.25, edgecolor="none",
    )  # fmt: skip
    top.bar(
        lefts[filled], confidence - right, widths[filled], bottom=right, align="edge",
        color=style.AGAINST, alpha=0.35, edgecolor="none",
    )  # fmt: skip
    top.plot([0, 1], [0, 1], color=style.SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    top.plot(confidence, right, "o", color=style.ACCENT, markersize=4, clip_on=False)
    what = "labels that apply" if calibration.of_labels else "answers that are right"
    top.set_title(f"share of {what}, by probability")
    top.text(
        0.04, 0.96, f"expected calibration error {share(calibration.error, 1)}", va="top",
        transform=top.transAxes,
    )  # fmt: skip
    top.annotate(
        "perfectly calibrated", (0.6, 0.6), xytext=(6, -3), textcoords="offset points", va="top",
        color=style.SOFT, fontsize=7,
    )  # fmt: skip
    shares = counts / max(int(counts.sum()), 1)
    below.bar(lefts, shares, widths * 0.92, align="edge", color=style.ACCENT)
    if len(counts) <= WRITTEN:
        for left, wide, part in zip(lefts, widths, shares, strict=True):
            if part > 0:
                below.annotate(
                    share(part, 0)[:-2], (left + wide / 2, part),
                    xytext=(0, 1.5), textcoords="offset points", ha="center", fontsize=6.5,
                    color=style.SOFT,
                )  # fmt: skip
    all_of = "labels of rows" if calibration.of_labels else "answers"
    below.set_title(f"percent of all {int(counts.sum()):,} {all_of}")
    below.set_ylim(0, 1.2 * max(float(shares.max(initial=0)), 0.01))
    below.set_yticks([])
    below.spines["left"].set_visible(False)
    below.set_xlabel("probability that the model gave")
    for axes in (top, below):
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(style.in_percent())
    top.set_ylim(0, 1)
    top.yaxis.set_major_formatter(style.in_percent())
    top.grid()
    return figure
