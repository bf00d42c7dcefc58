"""The figures of an evaluation, beside those of an answer that ignores the inputs.

K outputs, N rows. Rows are counted, whatever they weigh in training. All sums are float64 or int64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.types import HostArray

MOST_CLASSES = 1000
"""More classes have no confusion matrix: it grows with their square, and nobody could read it."""

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


class _Figures:
    def to_dict(self) -> dict[str, Any]:
        """All figures but the confusion matrix as JSON has them, for the metrics of a run.

        Arrays become lists, if they have at most MOST_CLASSES elements. Left out: what is None,
        and longer arrays. A number that isn't finite becomes None.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {
            name: _plain(value)
            for name, value in values.items()
            if value is not None and name != "confusion" and np.size(value) <= MOST_CLASSES
        }


@dataclass(frozen=True, eq=False)
class Baseline(_Figures):
    """What the same answer on every row gives, with no look at the inputs.

    answer: the most frequent class, int; the more frequent value of each label, (K,) bool; or the
    mean of each target, (K,) float64. from_training: whether that is so in training, by the
    network's `prior`; where it has none, it is so in the evaluated rows.

    accuracy, exact_match, rmse, rmse_by_target: of that answer, as in Evaluation; None where they
    are None there.
    """

    answer: int | HostArray
    from_training: bool
    accuracy: float | None = None
    exact_match: float | None = None
    rmse: float | None = None
    rmse_by_target: Floats | None = None


@dataclass(frozen=True, eq=False)
class Evaluation(_Figures):
    """How well a network does on N rows. Figures that don't apply to its objective are None.

    loss: the mean over the rows of what training minimizes, without label smoothing and weights.
    For classes and labels that is the log loss, -log p in nats; for a regression, the mean squared
    error of the network's outputs, whose targets are scaled if it has a target_scaling.
    rows: N. baseline: what the best answer that ignores the inputs gives on the same rows.

    For classes and labels, as Objective.decide() decides them:
    accuracy: the share of correct classes, or of correct labels, from 0 to 1.
    support, predicted (K,) int64: how many rows have the class or label, and how many get it.
    With tp[k], how many rows have it and get it, all (K,) float64, and 0 where they divide by 0:
        precision[k] = tp[k] / predicted[k],   recall[k] = tp[k] / support[k]
        f1[k]        = 2 tp[k] / (predicted[k] + support[k])
    confusion (K, K) int64: true by predicted class; for classes only, and at most MOST_CLASSES.
    label_accuracy (K,) float64: the share of rows with this label right; for labels only.
    exact_match: the share of rows with all labels right; for labels only.

    For numbers, in the targets' own units, with r the residuals y - predict(X):
        mae_by_target[k]  = mean over rows of |r[k]|
        rmse_by_target[k] = sqrt(mean over rows of r[k]^2)
        r2_by_target[k]   = 1 - sum r[k]^2 / sum (y[k] - mean y[k])^2
    mae, rmse, r2: their means over the targets. Where all y[k] are the same, r2 is 1 if all are
    predicted exactly, else 0.
    """

    loss: float
    accuracy: float | None = None
    confusion: Counts | None = None
    rows: int = 0
    baseline: Baseline | None = None
    precision: Floats | None = None
    recall: Floats | None = None
    f1: Floats | None = None
    support: Counts | None = None
    predicted: Counts | None = None
    label_accuracy: Floats | None = None
    exact_match: float | None = None
    r2: float | None = None
    rmse: float | None = None
    mae: float | None = None
    r2_by_target: Floats | None = None
    rmse_by_target: Floats | None = None
    mae_by_target: Floats | None = None


def _plain(value: Any) -> Any:
    """The value for JSON: no arrays, and None for a number that isn't finite."""
    if isinstance(value, Baseline):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return [_plain(element) for element in value.tolist()]
    return None if isinstance(value, float) and not math.isfinite(value) else value
