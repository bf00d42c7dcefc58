"""How all figures look, and how one becomes a file."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from itertools import takewhile
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlp_xp.errors import TrainingWarning, printable
from mlp_xp.files import write_atomic
from mlp_xp.types import HostArray

P = ParamSpec("P")

COLUMN, PAGE = 3.5, 7.0
"""Inches: the width of a column of print, and of a page of two."""

# Each color has one meaning, and a variable of the page's in its place there: see svg.py. Those of
# data are Okabe and Ito's, which the color-blind tell apart.
INK, SOFT, LINE, PAPER = "#1b1c1e", "#55585e", "#d3d5d9", "#ffffff"
ACCENT, SECOND, THIRD = "#0072b2", "#e69f00", "#009e73"
FOR, AGAINST = "#0173b2", "#d55e00"
SERIES = (ACCENT, SECOND, THIRD, AGAINST, "#cc79a7", "#56b4e9", INK, "#8a8d93")
MARKERS = "osD^vPX*"
CRISP = "cells"
"""How the names of what has no seams between its cells start; a page smooths all else."""

STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": PAPER,
    "font.size": 8,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $x$
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 8,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "image.interpolation": "none",  # an SVG keeps the pixels, each a square
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "svg.hashsalt": "mlp_xp",
    "pdf.fonttype": 42,
}
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Left out of the file of each format, so that the same run always gives the same bytes."""


def style() -> AbstractContextManager[None]:
    """The block's figures look like this, whatever the user's own settings are."""
    return matplotlib.style.context(["default", STYLE])


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The function, which draws its figure in this style."""

    @wraps(draw)
    def draw_styled(*arguments: P.args, **named: P.kwargs) -> Figure:
        with style():
            return draw(*arguments, **named)

    return draw_styled


def save(figure: Figure, path: Path) -> None:
    """Write a figure as the suffix says: .png of 300 dots an inch, .svg or .pdf.

    The file appears whole or not at all, and the same figure gives the same bytes. A PNG or PDF
    shows boxes for signs that matplotlib's font lacks, which a TrainingWarning says. Raises
    InputError if the file can't be written.
    """
    suffix = path.suffix.lower()
    content, lacking = rendered(figure, suffix)
    write_atomic(path, content)
    if lacking and suffix != ".svg":
        warnings.warn(
            f"{path}: the font lacks {' '.join(lacking)}; an .svg keeps them as text, for a "
            "program with other fonts",
            TrainingWarning,
            stacklevel=2,
        )


def rendered(figure: Figure, suffix: str, **options: Any) -> tuple[bytes, list[str]]:
    """The bytes of a figure's file, and the signs that the font lacks."""
    file = io.BytesIO()
    with style(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(file, format=suffix[1:], metadata=METADATA[suffix], **options)
    lacking: dict[str, None] = {}
    for warning in caught:
        match = re.match(r"Glyph (\d+) ", str(warning.message))
        if match:
            lacking[chr(int(match[1]))] = None
        elif not str(warning.message).startswith("constrained_layout not applied"):  # still drawn
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return file.getvalue(), list(lacking)


def cut(name: str, longest: int) -> str:
    """The name in one line, its middle replaced by … if it takes up more than `longest` letters."""
    name = printable(name)
    widths = np.array([1 + (unicodedata.east_asian_width(sign) in "WF") for sign in name])
    if widths.sum() <= longest:
        return name
    head = int(np.searchsorted(widths.cumsum(), longest // 2, "right"))
    tail = int(np.searchsorted(widths[::-1].cumsum(), (longest - 1) // 2, "right"))
    return f"{name[:head]}…{name[len(name) - tail :]}"


def shortened(names: Sequence[str], longest: int) -> list[str]:
    """The names, each cut; without the start and end that all share, if they would look alike."""
    short = [cut(name, longest) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    start = _shared(names)
    end = _shared([name[start:][::-1] for name in names])
    rests = [name[start : len(name) - end] for name in names]
    return [cut(f"{'…' if start else ''}{rest}{'…' if end else ''}", longest) for rest in rests]


def _shared(names: Sequence[str]) -> int:
    """With how many letters all of them begin."""
    letters = zip(*names, strict=False)
    return sum(1 for _ in takewhile(lambda same: len(set(same)) == 1, letters))


def in_percent() -> FuncFormatter:
    """Ticks of shares."""
    return FuncFormatter(lambda share, _: f"{100 * share:.6g} %")


def plain() -> FuncFormatter:
    """Ticks of numbers, on a logarithmic axis too, where matplotlib would write mathematics."""
    return FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "\N{MINUS SIGN}"))


def tinted(color: str, alpha: HostArray) -> HostArray:
    """An image (..., 4) of one color, as opaque as `alpha` says: right on paper and on black."""
    image = np.empty((*alpha.shape, 4))
    image[..., :3] = matplotlib.colors.to_rgb(color)
    image[..., 3] = np.clip(np.nan_to_num(alpha), 0, 1)
    return image


def framed(axes: Axes) -> None:
    """Leave an image its thin frame: no ticks."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=LINE)
