"""Which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mlp_xp.report.figures import style
from mlp_xp.report.findings import Floats
from mlp_xp.report.parts import share
from mlp_xp.types import HostArray

PERCENTS, COUNTS, NARROW = 5, 26, 12
"""Up to as many classes have percents and counts in their cells, and fit a column of print."""
MOST = 500
"""More classes than the picture has dots: blocks of them show the most of any."""
LONGEST = 14
DARK = 0.72
"""How strong a color has to be for light text on it, in a dark page for dark text."""


@style.styled
def draw_confusion(confusion: HostArray, names: Sequence[str]) -> Figure:
    """The confusion matrix (K, K), true by predicted class: blue on the diagonal, else orange.

    A cell is as strong as the root of its share of the row's class, so that rare mistakes are seen
    too. Counts stand in the cells of up to 26 classes, with percents of the row for up to 5; with
    more classes it is an image, and every n-th is named.
    """
    K = len(confusion)
    width = style.COLUMN if K <= NARROW else style.PAGE if K <= COUNTS else 5.0
    figure = Figure((width, width + 0.25), layout="compressed")
    inches = 0.72 * width  # of the matrix, about
    axes, key = figure.subplots(2, gridspec_kw={"height_ratios": [inches, 0.24]})
    confusion, step = _pooled(np.asarray(confusion))
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1) if step == 1 else confusion
    least = 0.0 if K <= COUNTS else 0.2 if K <= 150 else 0.5  # the smaller cells are, the stronger
    _shade(axes, shares, np.eye(len(shares), dtype=bool), K, least)
    axes.set_aspect("equal")
    if not least:
        _write_counts(axes, confusion, shares, inches)
    _name_classes(axes, names, K, inches)
    _draw_key(key, least)
    return figure


def _pooled(confusion: HostArray) -> tuple[HostArray, int]:
    """The matrix, or if it is larger than MOST the largest share in each block of cells."""
    step = math.ceil(len(confusion) / MOST)
    if step <= 1:
        return confusion, 1
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    starts = np.arange(0, len(shares), step)
    return np.maximum.reduceat(np.maximum.reduceat(shares, starts, 0), starts, 1), step


def _opacity(shares: HostArray, least: float) -> Floats:
    """How strong the color of a share is. least: that of any that isn't 0."""
    return np.where(shares > 0, least + (1 - least) * np.sqrt(shares), 0.0)


def _shade(axes: Axes, shares: HostArray, is_right: HostArray, size: float, least: float) -> None:
    """Color a grid of cells on [0, size] x [0, size], the first row on top.

    least: the opacity of the smallest share. Above 0, the grid becomes an image.
    """
    alpha = _opacity(shares, least)
    rows, columns = shares.shape
    if least:
        image = np.where(
            is_right[..., None], style.tinted(style.ACCENT, alpha),
            style.tinted(style.AGAINST, alpha),
        )  # fmt: skip
        axes.imshow(image, extent=(0, size, size, 0), aspect="auto")
    else:
        i, j = np.nonzero(alpha)
        x, y = size / columns * np.stack([j, j + 1]), size / rows * np.stack([i, i + 1])
        corners = np.stack([x[[0, 1, 1, 0]], y[[0, 0, 1, 1]]], -1).swapaxes(0, 1)
        colors = [style.ACCENT if right else style.AGAINST for right in is_right[i, j]]
        axes.add_collection(
            PolyCollection(
                list(corners),
                facecolors=[(c, a) for c, a in zip(colors, alpha[i, j].tolist(), strict=True)],
                linewidths=0, antialiaseds=False, gid=f"{style.CRISP}-{rows}",
            )
        )  # fmt: skip
    axes.set(xlim=(0, size), ylim=(size, 0))


def _write_counts(axes: Axes, confusion: HostArray, shares: HostArray, inches: float) -> None:
    K = len(confusion)
    room = 72 * inches / K  # points
    longest = len(str(int(confusion.max(initial=0))))
    size = min(9.0, room / 2.2, 0.92 * room / (0.64 * max(longest, 2)))
    for i, j in np.ndindex(confusion.shape):
        count = int(confusion[i, j])
        if not count and K > PERCENTS:
            continue  # an empty cell says it
        text = f"{count}\n{share(float(shares[i, j]), 0)}" if K <= PERCENTS else str(count)
        color = style.PAPER if _opacity(shares[i, j], 0) > DARK else style.INK
        axes.text(
            j + 0.5, i + 0.5, text, ha="center", va="center", color=color, fontsize=size,
            linespacing=1.4,
        )  # fmt: skip


def _name_classes(axes: Axes, names: Sequence[str], K: int, inches: float) -> None:
    every = math.ceil(K / (inches * 72 / 8.5))
    shown = range(0, K, every)
    short = style.shortened(names, LONGEST)
    labels = [short[i] for i in shown]
    ticks = [i + 0.5 for i in shown]
    room = 72 * inches / K * every
    upright = max(map(len, labels), default=0) * 4.6 > room
    size = min(7.5, 0.85 * room)
    axes.set_xticks(ticks, labels, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    axes.tick_params(length=0 if every == 1 else 2)
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[["top", "right"]].set_visible(True)
    for spine in axes.spines.values():
        spine.set_color(style.LINE)


def _draw_key(axes: Axes, least: float) -> None:
    """What the colors mean, from 0 to all of a row."""
    shares = np.tile(((np.arange(48) + 0.5) / 48) ** 2, (2, 1))
    _shade(axes, shares, np.array([[True], [False]]) & (shares > 0), 1, least)
    marks = [0.0, 0.05, 0.25, 0.5, 1.0]
    axes.set_xticks(np.sqrt(marks), [share(mark, 0) for mark in marks])
    axes.set_yticks([0.25, 0.75], ["right", "wrong"])
    axes.tick_params(length=0, labelsize=7)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("share of the true class's rows", fontsize=7.5)
