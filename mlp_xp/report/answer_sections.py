"""The section on single rows: where a model is wrong and sure, right and unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlp_xp.report.findings import Answer
from mlp_xp.report.inputs import describe_row, written
from mlp_xp.report.parts import Gallery, Section, Table, share
from mlp_xp.report.pictures import small_pictures
from mlp_xp.report.reading import ReportRun

MOST_VALUES = 12
"""Columns of a table whose values are shown with an answer."""
TEXTS = {
    "Largest errors": "The rows whose numbers are missed by most, in standard deviations of the "
    "target.",
    "Surest mistakes": "What the model said, and not what is true; the surest first.",
    "Hardest right answers": "What the model said and is true, the least sure first.",
}


def answers_section(run: ReportRun) -> Section | None:
    """Single rows: where the model is wrong and sure, right and unsure."""
    if run.model is None or run.rows is None:
        return None
    notes = "Rows count from 0, in the order of the data."
    if len(run.rows.numbers) < run.rows.of:
        notes += f" They are among {len(run.rows.numbers):,} drawn from {run.rows.of:,}."
    if run.calibration is not None and run.calibration.of_labels:
        notes += (
            " Probabilities are of all labels of a row, as if these didn't depend on each other."
        )
    first = "Surest mistakes" if run.numbers is None else "Largest errors"
    title = "Mistakes" if run.numbers is None else first
    answers = {first: run.mistakes, "Hardest right answers": run.hardest_right}
    answers = {name: found for name, found in answers.items() if found}
    texts = [notes] if run.mistakes else ["There are no mistakes.", notes]
    if run.picture is not None:
        low, high = (float(f(run.rows.X)) for f in (np.min, np.max))
        galleries = [
            Gallery(name, TEXTS[name], small_pictures(found, run.picture, low, high))
            for name, found in answers.items()
        ]
        return Section("mistakes", title, texts=texts, galleries=galleries)
    tables = [
        _answers_table(run, f"{name}. {TEXTS[name]}", found) for name, found in answers.items()
    ]
    return Section("mistakes", title, texts=texts, tables=tables)


def _answers_table(run: ReportRun, caption: str, answers: Sequence[Answer]) -> Table:
    """Answers with the values of the most important columns."""
    assert run.model is not None
    assert run.columns is not None
    names = run.columns.names[:MOST_VALUES]
    head, rows = ["row"], []
    if answers[0].target:
        head.append("target")
    head += ["answer", "true"]
    with_true = answers[0].given != answers[0].true
    if answers[0].p_given is not None:
        head += ["probability", *(["p of the true one"] if with_true else [])]
    for answer in answers:
        row = [f"{answer.row:,}", *([answer.target] if answer.target else [])]
        row += [v if isinstance(v, str) else written(v) for v in (answer.given, answer.true)]
        if answer.p_given is not None and answer.p_true is not None:
            probabilities = (answer.p_given, answer.p_true)[: 1 + with_true]
            row += [share(p, 1) for p in probabilities]
        values = describe_row(run.model, answer.x)
        rows.append([*row, *(values[name] for name in names)])
    return Table(caption, [*head, *names], rows, frozenset((0,)))
