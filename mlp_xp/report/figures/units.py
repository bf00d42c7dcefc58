"""What units of the first hidden layer look for."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mlp_xp.report.figures import style
from mlp_xp.report.findings import UnitPictures
from mlp_xp.types import HostArray

COLUMNS = 8


@style.styled
def draw_units(pictures: UnitPictures) -> Figure:
    """The weights into each unit as a picture, its own largest in full color.

    Blue is positive, orange negative, and 0 is the background. Weights of color pictures are
    colors themselves: the three of a pixel are red, green and blue, and gray is 0.
    """
    count = len(pictures.units)
    columns = min(COLUMNS, max(count, 1))
    rows = max(math.ceil(count / columns), 1)
    _, height, width, _ = pictures.weights.shape
    side = style.COLUMN / columns
    figure = Figure(
        (style.COLUMN, rows * (side * height / width + 0.16) + 0.05),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03),
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for unit, weights, axes in zip(pictures.units, pictures.weights, grid.flat, strict=False):
        axes.imshow(_image(np.asarray(weights, dtype=np.float64)))
        style.framed(axes)
        axes.set_title(str(unit), loc="center", fontsize=6.5, color=style.SOFT, pad=2)
    return figure


def _image(weights: HostArray) -> HostArray:
    """The weights (height, width, channels) as an image (height, width, 3 or 4)."""
    weights = np.nan_to_num(weights, posinf=0, neginf=0)
    weights = weights / (np.abs(weights).max(initial=0) or 1)
    if weights.shape[-1] == 3:
        return 0.5 + weights / 2
    weights = weights.sum(-1)
    positive, negative = style.tinted(style.FOR, weights), style.tinted(style.AGAINST, -weights)
    return np.where(weights[..., None] > 0, positive, negative)
