"""The figures of a report, by matplotlib: findings in, a matplotlib.figure.Figure out.

Importing this package imports matplotlib, and raises InputError where there is none. A figure is
the same on paper and in a page: save() writes it as a file, to_svg() makes it a part of a page.
"""

from mlp_xp.errors import InputError

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise InputError(
        f"a figure needs matplotlib ({error}): pip install '.[plot]' in the clone"
    ) from error
except ValueError as error:  # of MPLBACKEND, which isn't used here
    raise InputError(f"matplotlib doesn't start: {error}") from error

from mlp_xp.report.figures.answers import draw_answers
from mlp_xp.report.figures.calibration import draw_calibration
from mlp_xp.report.figures.columns import draw_columns
from mlp_xp.report.figures.confusion import draw_confusion
from mlp_xp.report.figures.curves import draw_curves
from mlp_xp.report.figures.histograms import draw_histograms
from mlp_xp.report.figures.numbers import draw_numbers
from mlp_xp.report.figures.style import COLUMN, save
from mlp_xp.report.figures.svg import to_svg
from mlp_xp.report.figures.units import draw_units

__all__ = [
    "COLUMN",
    "draw_answers",
    "draw_calibration",
    "draw_columns",
    "draw_confusion",
    "draw_curves",
    "draw_histograms",
    "draw_numbers",
    "draw_units",
    "save",
    "to_svg",
]
