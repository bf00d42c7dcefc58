"""A single figure of a run as a file, for a paper or a slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlp_xp.report.reading import ReportRun

SUFFIXES = (".png", ".svg", ".pdf")
"""The formats, by the ends of their files' names."""
WHAT = ("curves", "confusion", "calibration", "mistakes", "predictions", "weights")
"""What there is to draw of a run, by the name of the command's --what."""

PICTURES, BARS = 20, 10
"""Mistakes that are drawn: what a column of print has room for."""


def plot(runs: Sequence[Path], what: str, out: Path, *, data: str | None = None) -> None:
    """Draw something of WHAT of a run, or the curves of several, and write it to `out`.

    data: where the data of a single run is, if it has moved. Raises InputError without matplotlib,
    if a run can't be read or has nothing of that kind, and if the file can't be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: can't tell its format; name it {', '.join(SUFFIXES)}")
    if what not in WHAT:
        raise InputError(f"'{what}' can't be drawn; choose from {', '.join(WHAT)}")
    if len(runs) != 1 and what != "curves":
        raise InputError(f"{what} can be drawn of one run at a time; name one")
    if len(runs) != 1 and data is not None:
        raise InputError("--data is for a single run; name one, or leave it out")
    from mlp_xp.report import figures
    from mlp_xp.report.reading import read_runs

    read = read_runs(runs, data)
    figure = _draw_curves(read) if what == "curves" else _draw(what, read[0])
    figures.save(figure, out)


def _draw_curves(runs: Sequence[ReportRun]) -> Figure:
    from mlp_xp.report.figures import draw_curves

    for run in runs:
        if not run.curves.epochs:
            raise InputError(f"{run.path}: no epoch of it has ended, so it has no curves")
    return draw_curves([run.curves for run in runs])


def _draw(what: str, run: ReportRun) -> Figure:
    """Anything else of a run. Raises InputError if it has no such thing, with what it has."""
    from mlp_xp.report import figures
    from mlp_xp.run_data import load_run_data

    if run.model is None:
        raise InputError(f"{run.path}: {run.unfinished}")
    if what == "weights" and run.units is not None:
        return figures.draw_units(run.units)
    # A report goes without data that can't be read; here that is an error.
    run.data = load_run_data(run.folder, run.model, moved_to=run.moved_to)
    evaluation, rows = run.evaluation, run.rows
    if what == "weights" and run.columns is not None:
        return figures.draw_columns(run.columns)
    if what == "confusion" and evaluation is not None and evaluation.confusion is not None:
        return figures.draw_confusion(evaluation.confusion, run.names)
    if what == "calibration" and run.calibration is not None:
        return figures.draw_calibration(run.calibration)
    if what == "predictions" and run.numbers is not None:
        return figures.draw_numbers(run.numbers)
    if what == "mistakes" and rows is not None and run.mistakes:
        low, high = float(rows.X.min()), float(rows.X.max())
        most = BARS if run.picture is None else PICTURES
        return figures.draw_answers(run.mistakes[:most], run.picture, low, high)
    raise InputError(f"{run.path}: {_why_not(what, run)}")


def _why_not(what: str, run: ReportRun) -> str:
    """Why there is no such figure of a finished run, and which there is instead."""
    if what == "mistakes":
        return "there are no mistakes to show; --what calibration shows how sure it is"
    if run.numbers is not None:
        lacking = {"confusion": "classes", "calibration": "probabilities"}[what]
        return (
            f"a regression has no {lacking}, so no {what}; --what predictions shows how near it "
            "comes"
        )
    if what == "predictions":
        return "the model predicts no numbers; --what calibration shows how sure it may be"
    if run.model is not None and run.model.objective.single_label:
        return (
            f"{len(run.names):,} classes are too many for one picture; --what mistakes shows some"
        )
    return (
        "labels don't exclude each other, so none is taken for another; --what mistakes shows "
        "where they are wrong"
    )
