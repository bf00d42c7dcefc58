"""The figures of an evaluation as text for a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlp_xp.cli.columns import LONGEST_NAME, aligned, cut, width
from mlp_xp.errors import printable

if TYPE_CHECKING:
    from mlp_xp.training import Baseline, Evaluation
    from mlp_xp.types import HostArray

MOST_ROWS = 40
"""More classes don't fit on a screen, so that only the WORST are shown."""
WORST = 20
MOST_COLUMNS = 20
"""A confusion matrix of more classes doesn't fit on a screen."""
LONGEST_HEADING, LONGEST_LINE = 10, 100


def summary(title: str, evaluation: Evaluation, names: Sequence[str]) -> str:
    """The result in one line, beside what the same answer on every row gives.

    title: as in `test`; names: of the outputs.

        test accuracy 97.37%  (always 'setosa': 33.3%)
        test accuracy 91.20%  exact match 60.00%  (always the more frequent value: 80.0%, 20.0%)
        test R2 0.43  (RMSE 54.1; always the mean: 74.9)
    """
    return _join(title, _figures(evaluation), _beside(evaluation, names))


def headline(title: str, evaluation: Evaluation, names: Sequence[str]) -> str:
    """summary() with the loss and the number of rows."""
    numbers = f"loss {evaluation.loss:.4f}  rows {evaluation.rows}"
    return _join(title, f"{_figures(evaluation)}  {numbers}", _beside(evaluation, names))


def table(evaluation: Evaluation, names: Sequence[str], *, all_rows: bool = False) -> str:
    """The figures of each class, label or target, and the confusion matrix where it fits.

    Above MOST_ROWS, only the WORST classes or labels are shown, by F1, unless all_rows.
    """
    if evaluation.r2_by_target is not None:
        return _by_target(evaluation, names, all_rows=all_rows)
    parts = [_by_class(evaluation, names, all_rows=all_rows)]
    confusion = evaluation.confusion
    if confusion is not None and len(confusion) <= MOST_COLUMNS:
        parts.append(_confusion(confusion, names))
    return "\n\n".join(filter(None, parts))


def _join(title: str, figures: str, beside: str) -> str:
    line = f"{printable(title)} {figures}"
    return f"{line}  ({beside})" if beside else line


def _figures(evaluation: Evaluation) -> str:
    if evaluation.r2 is not None:
        return f"R2 {evaluation.r2:.2f}"
    if evaluation.accuracy is None:
        return f"loss {evaluation.loss:.4f}"
    exact = evaluation.exact_match
    return f"accuracy {evaluation.accuracy:.2%}" + (
        "" if exact is None else f"  exact match {exact:.2%}"
    )


def _beside(evaluation: Evaluation, names: Sequence[str]) -> str:
    """What stands in brackets: the error of numbers, and the baseline."""
    baseline = evaluation.baseline
    if baseline is None:
        return ""
    if baseline.rmse is not None:
        means = f", means of {len(names)} targets" if len(names) > 1 else ""
        always = _here(baseline, "always the mean", " of these rows")
        error = _number(evaluation.rmse or 0.0, 3)
        return f"RMSE {error}; {always}: {_number(baseline.rmse, 3)}{means}"
    if baseline.exact_match is not None:
        always = _here(baseline, "always the more frequent value", " in these rows")
        return f"{always}: {baseline.accuracy:.1%}, {baseline.exact_match:.1%}"
    name = cut(names[int(baseline.answer)], LONGEST_NAME)
    always = _here(baseline, f"always '{name}'", ", the most frequent here")
    return f"{always}: {baseline.accuracy:.1%}"


def _here(baseline: Baseline, always: str, where: str) -> str:
    """What the baseline answers, with a word on it unless it is known from the training."""
    return always if baseline.from_training else always + where


def _by_class(evaluation: Evaluation, names: Sequence[str], *, all_rows: bool) -> str:
    precision, recall, f1 = evaluation.precision, evaluation.recall, evaluation.f1
    support, accuracy = evaluation.support, evaluation.label_accuracy
    if precision is None or recall is None or f1 is None or support is None:
        return ""
    shown = _worst(f1, support, all_rows=all_rows)
    columns = {"precision": precision, "recall": recall, "F1": f1}
    if accuracy is not None:
        columns = {"accuracy": accuracy, **columns}
    what = "class" if accuracy is None else "label"
    rows = [[what, *columns, "rows"]]
    for k in shown:
        rows.append(
            [names[k], *(f"{column[k]:.3f}" for column in columns.values()), f"{support[k]}"]
        )
    lines = aligned(rows)
    if len(shown) < len(f1):
        absent = np.count_nonzero(support == 0)
        others = f"the {len(shown)} lowest F1 of {len(f1)}"
        none = f"; {absent} have no rows here" if absent else ""
        lines.append(f"({others}{none}; --all shows every one)")
    seen = support > 0
    mean = "  ".join(f"{name} {column[seen].mean():.3f}" for name, column in columns.items())
    return "\n".join([*lines, f"mean over those with rows: {mean}"])


def _worst(f1: HostArray, support: HostArray, *, all_rows: bool) -> list[int]:
    """The classes to show: all in order, or those with rows and the lowest F1, worst first."""
    if all_rows or len(f1) <= MOST_ROWS:
        return list(range(len(f1)))
    seen = np.flatnonzero(support)
    # Of equal ones, the class with more rows is more of a failure.
    order = np.lexsort((seen, -support[seen], f1[seen]))
    return [int(k) for k in seen[order][:WORST]]


def _by_target(evaluation: Evaluation, names: Sequence[str], *, all_rows: bool) -> str:
    r2, rmse, mae = evaluation.r2_by_target, evaluation.rmse_by_target, evaluation.mae_by_target
    baseline = None if evaluation.baseline is None else evaluation.baseline.rmse_by_target
    if r2 is None or rmse is None or mae is None or baseline is None:
        return ""
    shown = list(range(len(r2)))
    if len(r2) > MOST_ROWS and not all_rows:
        shown = np.argsort(r2, kind="stable")[:WORST].tolist()
    rows = [["target", "R2", "RMSE", "MAE", "RMSE of the mean"]]
    for k in shown:
        numbers = [_number(float(column[k]), 4) for column in (rmse, mae, baseline)]
        rows.append([names[k], f"{r2[k]:.3f}", *numbers])
    lines = aligned(rows)
    if len(shown) < len(r2):
        lines.append(f"(the {len(shown)} lowest R2 of {len(r2)}; --all shows every one)")
    return "\n".join(lines)


def _confusion(confusion: HostArray, names: Sequence[str]) -> str:
    """A row for each true class, a column for each predicted one.

    Where names make that too wide, the columns have numbers, which the rows have beside the name.
    """
    numbers = [list(map(str, counts)) for counts in confusion.tolist()]

    def lines(heads: Sequence[str], names: Sequence[str]) -> list[str]:
        rows = [[name, *row] for name, row in zip(names, numbers, strict=True)]
        return aligned([["true \\ predicted", *heads], *rows])

    named = lines([cut(name, LONGEST_HEADING) for name in names], names)
    if width(named[0]) > LONGEST_LINE:
        heads = [str(k) for k in range(1, len(names) + 1)]
        named = lines(heads, [f"{k}: {name}" for k, name in zip(heads, names, strict=True)])
    return "\n".join(named)


def _number(value: float, digits: int) -> str:
    """So many significant digits, and no exponent for what people write without one."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e9 else text
