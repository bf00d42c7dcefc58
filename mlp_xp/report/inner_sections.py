"""The sections on what the network learned, and how its numbers are spread."""

from __future__ import annotations

import math

import numpy as np

from mlp_xp.report import figures
from mlp_xp.report.drawing import MOST_EXAMPLES, drawing_section, why_not
from mlp_xp.report.findings import ColumnUse, UnitPictures
from mlp_xp.report.inputs import TIMES
from mlp_xp.report.parts import Section, Table
from mlp_xp.report.reading import ReportRun

EXAMPLES = 2000
"""Rows among which some of each class are found to start a drawing from."""
LARGEST = 2_000_000
"""Weights up to which the report holds the page for drawing: 11 MB."""
OF_WEIGHTS = "How many weights of each layer, without biases, have which value."
OF_ACTIVATIONS = (
    "How many activations of each hidden layer have which value, for up to 1,000 of the rows, "
    "without those that are 0. A unit that is 0 for every row does nothing: above each picture "
    "stands how many there are, if any."
)


def learned_section(run: ReportRun) -> Section | None:
    """What the first layer looks for, or which columns matter."""
    title = "What it learned"
    if run.units is not None:
        svg = figures.to_svg(figures.draw_units(run.units), "units", "What hidden units look for")
        return Section("learned", title, figures=[(svg, _told_of_units(run.units))], wide=True)
    if run.columns is not None:
        svg = figures.to_svg(figures.draw_columns(run.columns), "columns", "Which columns matter")
        text = _told_of_columns(run.columns)
        return Section(
            "learned", title, figures=[(svg, text)], folded=[_columns_table(run.columns)]
        )
    return None


def _told_of_units(units: UnitPictures) -> str:
    shown = len(units.units)
    which = f"The {shown} of {units.of:,} units" if shown < units.of else f"All {shown} units"
    by = " of the first hidden layer with the largest weights to the next"
    if shown == units.of:
        by = " of the first layer"
    meaning = "blue pixels excite the unit, orange ones inhibit it"
    if units.weights.shape[-1] == 3:
        meaning = (
            "a pixel's red, green and blue are its three weights, brighter than gray where they "
            "excite the unit, and darker where they inhibit it"
        )
    return (
        f"{which}{by}, counted from 0, each as the picture of the weights into it: {meaning}. Each "
        "picture has its own scale."
    )


def _told_of_columns(columns: ColumnUse) -> str:
    fall = columns.importance[0]
    is_share = columns.score == "accuracy"
    much = f"{100 * fall:.1f} percentage points" if is_share else f"{fall:.3f}"
    text = (
        f"Left, permutation importance: by how much {columns.score} falls when a column's values "
        "are shuffled between the rows; thin lines are the standard deviation over "
        f"{TIMES} shufflings. Most for “{columns.names[0]}”, by {much}. Columns that tell the same "
        "can stand in for each other, and so seem less important than they are. Right, the size of "
        "the weights from the column into the first layer."
    )
    if columns.left_out:
        text += f" {columns.left_out:,} columns with smaller weights are left out."
    return text


def _columns_table(columns: ColumnUse) -> Table:
    rows = [
        [name, f"{mean:.4f}", f"{spread:.4f}", f"{strength:.3g}"]
        for name, mean, spread, strength in zip(
            columns.names, columns.importance, columns.spread, columns.strength, strict=True
        )
    ]
    head = ["column", f"importance (fall of {columns.score})", "± of it", "weights"]
    return Table("The columns in numbers", head, rows, frozenset((1, 2, 3)))


def drawing(run: ReportRun, *, alone: bool = False) -> Section | None:
    """The page on which one draws a picture; None where the model takes none.

    Where it could be had alone, a sentence says how.
    """
    model, rows = run.model, run.rows
    if model is None or rows is None or run.picture is None:
        return None
    title = "Draw"
    reason = why_not(model)
    if reason is not None:
        return Section("draw", title, texts=[f"There is no page to draw on here: {reason}."])
    n_weights = sum(layer.W.size for layer in model.layers)
    if n_weights > LARGEST and not alone:
        return Section(
            "draw", title,
            texts=[f"The network's {n_weights:,} weights would make this file large. A page of its "
                   "own to draw on is made by"],
            code=[f"python -m mlp_xp report {run.path} --only draw"],
        )  # fmt: skip
    # Rows may be in the order of their classes.
    _, first = np.unique(rows.y, axis=0, return_index=True)
    step = max(1, math.ceil(len(rows.y) / EXAMPLES))
    some = np.union1d(first[:MOST_EXAMPLES], np.arange(0, len(rows.y), step))
    fragment = drawing_section(model, rows.X[some], rows.y[some])
    return Section("draw", title, fragment=fragment, template="drawing.html")


def inside_section(run: ReportRun) -> Section | None:
    """Histograms of weights and activations."""
    if run.model is None:
        return None
    found = [
        ("weights", "Weights by layer", run.weight_histograms, OF_WEIGHTS),
        ("activations", "Activations by layer", run.activation_histograms, OF_ACTIVATIONS),
    ]
    drawn = [
        (figures.to_svg(figures.draw_histograms(histograms), name, title), text)
        for name, title, histograms, text in found
        if histograms
    ]
    return Section("inside", "Inside", figures=drawn)
