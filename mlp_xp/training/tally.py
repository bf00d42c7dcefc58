"""Adds up an evaluation, batch by batch, in memory that grows neither with the rows nor with K^2.

K outputs, N rows, B rows in a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlp_xp.data import Split
from mlp_xp.training.metrics import MOST_CLASSES, Baseline, Counts, Floats
from mlp_xp.types import HostArray

BLOCK_ROWS = 65536
HELD_ELEMENTS = 65536


class Tally(ABC):
    """Adds up what an evaluation finds, batch by batch."""

    def __init__(self) -> None:
        self._held: list[tuple[HostArray, ...]] = []

    def add(self, *batch: HostArray) -> None:
        """Take a batch: arrays with a row each, as count() says."""
        # Several at a time: NumPy's calls would take longer than what they do.
        self._held.append(batch)
        if len(self._held) * batch[0].size >= HELD_ELEMENTS:
            self._count_held()

    def _count_held(self) -> None:
        if self._held:
            self.count(*map(np.concatenate, zip(*self._held, strict=True)))
            self._held = []

    def result(self, split: Split, prior: Floats | None) -> dict[str, Any]:
        """The fields of Evaluation; split: all the rows that were added; prior: as in Model."""
        self._count_held()
        return self.figures(split, prior)

    @abstractmethod
    def count(self, *batch: HostArray) -> None:
        """Add up some rows."""

    @abstractmethod
    def figures(self, split: Split, prior: Floats | None) -> dict[str, Any]:
        """The result, once all rows are added up."""


class ClassTally(Tally):
    """Counts of each class, in memory that grows with K."""

    def __init__(self, n_classes: int):
        super().__init__()
        has_confusion = n_classes <= MOST_CLASSES
        self.confusion = np.zeros((n_classes,) * 2, np.int64) if has_confusion else None
        self.predicted, self.tp = (np.zeros(n_classes, np.int64) for _ in range(2))

    def count(self, *batch: HostArray) -> None:
        """The classes y (B,) int64, and those that the network decided, (B,) int64."""
        y, decided = batch
        np.add.at(self.predicted, decided, 1)
        np.add.at(self.tp, y[decided == y], 1)
        if self.confusion is not None:
            # On a flat view: add.at() takes several times as long on two indices.
            np.add.at(self.confusion.reshape(-1), y * len(self.tp) + decided, 1)

    def figures(self, split: Split, prior: Floats | None) -> dict[str, Any]:
        n_classes = len(self.tp)
        support: Counts = np.zeros(n_classes, np.int64)
        for y in _blocks(split):
            support += np.bincount(y, minlength=n_classes)
        answer = int((support if prior is None else prior).argmax())
        accuracy = float(support[answer] / len(split))
        return {
            "accuracy": float(self.tp.sum() / len(split)),
            "confusion": self.confusion,
            "baseline": Baseline(answer, prior is not None, accuracy),
            **_by_output(self.tp, self.predicted, support),
        }


class LabelTally(Tally):
    """Counts of each label, and of rows with all of them right."""

    def __init__(self, n_labels: int):
        super().__init__()
        self.predicted, self.right = (np.zeros(n_labels, np.int64) for _ in range(2))
        self.exact = 0

    def count(self, *batch: HostArray) -> None:
        """The labels y (B, K), 0 or 1, and those that the network decided, (B, K) bool."""
        y, decided = batch
        right = _columns(decided == y)
        self.exact += int(np.count_nonzero(right.all(axis=0)))
        self.right += right.sum(axis=1)
        self.predicted += _columns(decided).sum(axis=1)

    def figures(self, split: Split, prior: Floats | None) -> dict[str, Any]:
        n_rows = len(split)
        support: Counts = np.zeros(len(self.right), np.int64)
        for y in _blocks(split):
            support += _columns(y == 1).sum(axis=1)
        answer = (support / n_rows if prior is None else prior) > 0.5
        exact = sum(int(_columns(y == answer).all(axis=0).sum()) for y in _blocks(split))
        right = np.where(answer, support, n_rows - support)
        # Of the rows with a label right, tp have it, and n - predicted - support + tp don't.
        tp = (self.right - n_rows + self.predicted + support) // 2
        return {
            "accuracy": float(self.right.sum() / (n_rows * len(tp))),
            "label_accuracy": self.right / n_rows,
            "exact_match": self.exact / n_rows,
            "baseline": Baseline(
                answer, prior is not None, float(right.sum() / (n_rows * len(tp))), exact / n_rows
            ),
            **_by_output(tp, self.predicted, support),
        }


class NumberTally(Tally):
    """Sums of residuals, and of their squares."""

    def __init__(self, n_targets: int):
        super().__init__()
        self.absolute, self.squares = np.zeros(n_targets), np.zeros(n_targets)

    def count(self, *batch: HostArray) -> None:
        """The residuals y - prediction, (B, K) float64."""
        residuals = _columns(batch[0])
        self.absolute += np.abs(residuals).sum(axis=1)
        self.squares += np.square(residuals).sum(axis=1)

    def figures(self, split: Split, prior: Floats | None) -> dict[str, Any]:
        n_rows = len(split)
        mean, squares = mean_and_squares(split)
        r2 = np.where(self.squares == 0, 1.0, 0.0)
        np.divide(squares - self.squares, squares, out=r2, where=squares > 0)
        mae, rmse = self.absolute / n_rows, np.sqrt(self.squares / n_rows)
        answer = mean if prior is None else prior
        # The mean squared distance from any point is that from the mean, and the mean's from it.
        baseline = np.sqrt(squares / n_rows + (mean - answer) ** 2)
        return {
            "r2": float(r2.mean()), "rmse": float(rmse.mean()), "mae": float(mae.mean()),
            "r2_by_target": r2, "rmse_by_target": rmse, "mae_by_target": mae,
            "baseline": Baseline(
                answer, prior is not None, rmse=float(baseline.mean()), rmse_by_target=baseline
            ),
        }  # fmt: skip


def mean_and_squares(split: Split) -> tuple[Floats, Floats]:
    """The mean of each target, and the sum of squared distances from it, (K,) float64 each.

    Block by block, where B has b rows and the blocks before it, A, have a
        (Chan, Golub, LeVeque 1979):
        d = mean B - mean A,   mean = mean A + d b / (a + b)
        squares = squares A + squares B + d^2 a b / (a + b)
    """
    # From the first row, so that targets like 1e9 + 0.1 keep their digits, and a constant is 0.
    first = split.y[split.index(0, 1)][0].astype(np.float64)
    mean, squares, rows = np.zeros(len(first)), np.zeros(len(first)), 0
    for y in _blocks(split):
        distance = np.subtract(y.T, first[:, np.newaxis], order="C")
        block_mean = distance.mean(axis=1)
        distance -= block_mean[:, np.newaxis]
        d, total = block_mean - mean, rows + len(y)
        squares += np.square(distance).sum(axis=1) + d * d * (rows * len(y) / total)
        mean, rows = mean + d * (len(y) / total), total
    return first + mean, squares


def _columns(rows: HostArray) -> HostArray:
    """The columns of (B, K) as the rows of (K, B), which NumPy adds up several times as fast."""
    return np.ascontiguousarray(rows.T)


def _by_output(tp: Counts, predicted: Counts, support: Counts) -> dict[str, Any]:
    """The figures of each class or label, from its counts."""

    def ratio(a: Counts, b: Counts) -> Floats:
        return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)

    return {
        "precision": ratio(tp, predicted), "recall": ratio(tp, support),
        "f1": ratio(2 * tp, predicted + support), "support": support, "predicted": predicted,
    }  # fmt: skip


def _blocks(split: Split) -> Iterator[HostArray]:
    """The targets of the rows, BLOCK_ROWS at a time."""
    for start in range(0, len(split), BLOCK_ROWS):
        yield split.y[split.index(start, start + BLOCK_ROWS)]
