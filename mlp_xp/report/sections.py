"""The sections on how a run went and what it came to: what is shown, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlp_xp.report import figures
from mlp_xp.report.findings import Calibration, Curves
from mlp_xp.report.parts import Card, Section, Table, plural, share
from mlp_xp.report.reading import ReportRun
from mlp_xp.run_list import duration
from mlp_xp.types import HostArray

MOST_PAIRS = 12
"""Pairs of classes that are confused, in a table."""
MOST_EPOCHS = 100
"""Epochs that are listed."""
MOST_DECIMAL = 1e6
"""A loss from there on is written with an exponent."""
IN_ORDER = 20
"""More classes are listed by F1, the worst first."""


def result_section(run: ReportRun) -> Section | None:
    """The result's figures, beside what the same answer on every row gives."""
    result = run.summary.result
    if result is None:
        return None
    split, base = result["split"], result.get("baseline") or {}
    of_mean = "always the mean"
    of_targets = f", mean of {len(run.names)} targets" if len(run.names) > 1 else ""
    figures_of = {
        "accuracy": (f"{split} accuracy", share, _baseline_note(base, run.names)),
        "exact_match": ("all labels right", share, ""),
        "r2": (f"{split} R2", "{:.3f}".format, f"{of_mean}: 0, or less"),
        "rmse": (f"RMSE{of_targets}", "{:.4g}".format, _told(of_mean, base.get("rmse"))),
        "mae": (f"MAE{of_targets}", "{:.4g}".format, "mean absolute error"),
        "loss": ("loss", _loss, run.curves.unit),
        "rows": (f"{split} rows", "{:,}".format, ""),
    }
    cards = [
        Card(label, written(result[name]), note)
        for name, (label, written, note) in figures_of.items()
        if result.get(name) is not None
    ]
    epochs = plural(run.summary.epochs_done, "epoch")
    cards.append(Card("training", duration(run.summary.seconds), epochs))
    texts = [_worst(result, run.names)]
    tables = [t for t in (_by_output(result, run.names), _by_target(result, run.names)) if t]
    return Section("result", "Result", cards, [text for text in texts if text], tables=tables)


def _worst(result: Mapping[str, Any], names: Sequence[str]) -> str:
    """Which class or label has the lowest F1."""
    found = of_outputs(result, ["f1"], len(names))
    if not found or len(names) < 3:
        return ""
    f1 = min(found[0])
    return f"The lowest F1 is that of “{names[found[0].index(f1)]}”: {share(f1, 1)}."


def _loss(value: float) -> str:
    return f"{value:.4f}" if value < MOST_DECIMAL else f"{value:.4g}"


def _told(words: str, value: float | None) -> str:
    return "" if value is None else f"{words}: {value:.4g}"


def _baseline_note(base: Mapping[str, Any], names: Sequence[str]) -> str:
    if base.get("accuracy") is None:
        return ""
    answer = base.get("answer")
    what = "the more frequent value"
    if isinstance(answer, int):
        what = f"“{names[answer] if answer < len(names) else answer}”"
    return f"always {what}: {share(base['accuracy'], 1)}"


def of_outputs(result: Mapping[str, Any], keys: Sequence[str], count: int) -> list[list[Any]]:
    """The figures of these names for each of so many outputs; none unless the result has all."""
    columns = [result.get(key) for key in keys]
    found = [
        column
        for column in columns
        if isinstance(column, list) and len(column) == count and None not in column
    ]
    return found if len(found) == len(keys) else []


def _by_output(result: Mapping[str, Any], names: Sequence[str]) -> Table | None:
    """Precision, recall and F1 of each class or label."""
    shares = of_outputs(result, ("precision", "recall", "f1"), len(names))
    counts = of_outputs(result, ("support", "predicted"), len(names))
    if not shares or not counts:
        return None
    order = list(range(len(names)))
    what, one = ("labels", "label") if result.get("label_accuracy") else ("classes", "class")
    caption = f"The {plural(len(names), one, what)}"
    if len(names) > IN_ORDER:
        order.sort(key=lambda k: shares[2][k])
        caption += ", the worst F1 first"
    rows = [
        [names[k], *(share(column[k], 1) for column in shares), *(f"{c[k]:,}" for c in counts)]
        for k in order
    ]
    head = [one, "precision", "recall", "F1", "rows", "predicted"]
    return Table(caption, head, rows, frozenset(range(1, 6)))


def _by_target(result: Mapping[str, Any], names: Sequence[str]) -> Table | None:
    """The errors of each number, where there are several."""
    columns = of_outputs(result, ("r2_by_target", "rmse_by_target", "mae_by_target"), len(names))
    if len(names) < 2 or not columns:
        return None
    rows = [[name, *(f"{c[k]:.4g}" for c in columns)] for k, name in enumerate(names)]
    head = ["target", "R2", "RMSE", "MAE"]
    return Table("Each target, in its own units", head, rows, frozenset((1, 2, 3)))


def learning_section(run: ReportRun) -> Section | None:
    """The curves, in words and in a table too."""
    curves = run.curves
    if not curves.epochs:
        return Section("learning", "Learning", texts=["The run has no epoch yet."])
    svg = figures.to_svg(figures.draw_curves([curves]), "curves", "Learning curves")
    return Section(
        "learning", "Learning", figures=[(svg, told_of(curves))], folded=[epochs_table(curves)]
    )


def told_of(curves: Curves) -> str:
    """What the curves show, in words."""
    first, last = curves.epochs[0], curves.epochs[-1]
    unit = "cross-entropy in nats" if curves.unit == "nats" else curves.unit
    text = f"The mean training loss ({unit})"
    if len(curves.epochs) == 1:
        text += f" is {curves.loss[0]:.4g} in the only epoch."
    else:
        verb = "falls" if curves.loss[-1] < curves.loss[0] else "goes"
        text += (
            f" {verb} from {curves.loss[0]:.4g} in epoch {first} to {curves.loss[-1]:.4g} in "
            f"epoch {last}."
        )
    known = [(v, e) for v, e in zip(curves.validation, curves.epochs, strict=True) if v is not None]
    if known:
        least, epoch = min(known)
        text += f" That on the validation set is lowest in epoch {epoch}: {least:.4g}."
    if curves.kept is not None:
        text += f" The weights of epoch {curves.kept} are the result, by early stopping."
    return text


def epochs_table(curves: Curves) -> Table:
    """The epochs as numbers; of very many, some."""
    columns = {
        "loss": [_number(value) for value in curves.loss],
        "validation loss": [_number(value) for value in curves.validation],
        "validation accuracy": ["" if v is None else share(v) for v in curves.accuracy],
        "learning rate": [_number(value) for value in curves.rates],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    step = max(1, math.ceil(len(curves.epochs) / MOST_EPOCHS))
    which = sorted({*range(0, len(curves.epochs), step), len(curves.epochs) - 1})
    rows = [[str(curves.epochs[i]), *(cells[i] for cells in columns.values())] for i in which]
    caption = "The epochs in numbers" if step == 1 else "Some of the epochs in numbers"
    return Table(caption, ["epoch", *columns], rows, frozenset(range(len(columns) + 1)))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def confusion_section(run: ReportRun) -> Section | None:
    """Which classes are taken for which."""
    evaluation, names = run.evaluation, run.names
    if evaluation is None or evaluation.confusion is None:
        return None
    confusion = evaluation.confusion
    figure = figures.draw_confusion(confusion, names)
    svg = figures.to_svg(figure, "confusion", "Confusion matrix")
    right, rows = int(np.trace(confusion)), int(confusion.sum())
    text = (
        f"Each row of the picture is a true class, each column an answer. {right:,} of {rows:,} "
        "rows are right, on the diagonal."
    )
    pairs = _confused(confusion)
    tables = []
    if pairs:
        found = [
            [names[i], names[j], f"{n:,}", share(n / confusion[i].sum(), 1)] for n, i, j in pairs
        ]
        head = ["true", "answer", "rows", "share"]
        caption = "Confused most often, and the share of the true class's rows"
        tables.append(Table(caption, head, found, frozenset((2, 3))))
    else:
        text += " There are no mistakes."
    wide = figure.get_figwidth() > figures.COLUMN
    return Section("confusion", "Confusion", figures=[(svg, text)], wide=wide, tables=tables)


def _confused(confusion: HostArray) -> list[tuple[int, int, int]]:
    """(rows, true class, answer) of the pairs that are confused most often."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(wrong[i, j]), int(i), int(j)) for i, j in pairs if wrong[i, j]]


def calibration_section(run: ReportRun) -> Section | None:
    """How sure one may be of the model's probabilities."""
    calibration = run.calibration
    if calibration is None:
        return None
    svg = figures.to_svg(figures.draw_calibration(calibration), "calibration", "Calibration")
    return Section("calibration", "Calibration", figures=[(svg, _told_of_calibration(calibration))],
                   folded=[_bins(calibration)])  # fmt: skip


def _told_of_calibration(calibration: Calibration) -> str:
    full = int(calibration.counts.argmax())
    low, high = (share(edge, 0) for edge in calibration.edges[full : full + 2])
    right, sure = (share(v[full], 1) for v in (calibration.right, calibration.confidence))
    cases, are = ("labels", "apply") if calibration.of_labels else ("answers", "are right")
    return (
        f"Dots show how many {cases} {are}, by the probability that the model gave them; on the "
        f"dashed line the two are the same, and orange is the gap. Of the "
        f"{calibration.counts[full]:,} {cases} with {low} to {high}, {right} {are}; their mean "
        f"probability is {sure}. The mean gap over all {cases}, the expected calibration error, is "
        f"{100 * calibration.error:.2f} percentage points."
    )


def _bins(calibration: Calibration) -> Table:
    c = calibration
    rows = []
    for i, count in enumerate(c.counts):
        means = ["" if math.isnan(v[i]) else share(v[i], 1) for v in (c.confidence, c.right)]
        between = f"{share(c.edges[i], 0)} to {share(c.edges[i + 1], 0)}"
        rows.append([between, f"{count:,}", *means])
    head = ["probability", "cases", "mean probability", "holds" if c.of_labels else "right"]
    return Table("The bins in numbers", head, rows, frozenset((1, 2, 3)))


def numbers_section(run: ReportRun) -> Section | None:
    """A regression's predictions beside the truth."""
    numbers = run.numbers
    if numbers is None:
        return None
    svg = figures.to_svg(figures.draw_numbers(numbers), "predictions", "Predictions")
    text = "Each point is a row: on the line, the prediction is right."
    return Section("predictions", "Predictions", figures=[(svg, text)])
