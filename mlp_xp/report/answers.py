"""What a model answers: where it is wrong and sure, right and unsure, and how sure it may be.

N rows, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlp_xp.nn.losses import Objective
from mlp_xp.report.findings import Answer, Calibration, Floats
from mlp_xp.types import HostArray

BINS = 10
SHOWN = 24
"""Answers of a kind that are shown."""


def calibrate(objective: Objective, predictions: HostArray, y: HostArray) -> Calibration | None:
    """How well the probabilities (N, K) fit the answers y, (N,) or (N, K); None for numbers.

    Of one class a row, the probability of the answer is compared; of labels, each label's.
    """
    chosen = objective.chosen(predictions)
    if chosen is None:
        return None
    if objective.single_label:
        sure, right = predictions.max(axis=1), chosen == y
    else:
        sure, right = predictions.ravel(), y.ravel() == 1
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        confidence = np.bincount(bins, sure, BINS) / counts
        share = np.bincount(bins, right, BINS) / counts
    error = float(np.nansum(counts * abs(share - confidence)) / counts.sum())
    return Calibration(edges, counts, confidence, share, error, not objective.single_label)


def find_answers(
    objective: Objective,
    names: Sequence[str],
    X: HostArray,
    y: HostArray,
    predictions: HostArray,
    rows: HostArray,
    target_std: Floats,
) -> tuple[list[Answer], list[Answer]]:
    """The worst mistakes, the surest first, and the hardest right answers, the least sure first.

    names: of the outputs; X (N, n), y and predictions: of the same rows; rows (N,): their numbers.
    For numbers there is no right or wrong: the mistakes are the rows with the largest error of any
    target in units of its deviation, target_std (K,), and the second list is empty.
    """
    chosen = objective.chosen(predictions)
    if chosen is None:
        distance = abs(y - predictions) / np.where(target_std > 0, target_std, 1)
        worst = np.argsort(-distance.max(axis=1), kind="stable")[:SHOWN]
        return [
            Answer(
                int(rows[i]), float(y[i, k]), float(predictions[i, k]), None, None, X[i],
                names[int(k)] if len(names) > 1 else "",
            )
            for i, k in zip(worst, distance[worst].argmax(axis=1), strict=True)
        ], []  # fmt: skip
    if objective.single_label:
        numbers = np.arange(len(y))
        right, p_given = chosen == y, predictions[numbers, chosen]
        p_true = predictions[numbers, y]
    else:  # all labels of a row, as if they didn't depend on each other
        right = (chosen == (y == 1)).all(axis=1)
        p_given = np.where(chosen, predictions, 1 - predictions).prod(axis=1)
        p_true = np.where(y == 1, predictions, 1 - predictions).prod(axis=1)

    def told(of: HostArray) -> str:
        if of.ndim == 0:
            return names[int(of)]
        return ", ".join(names[int(k)] for k in np.flatnonzero(of)) or "none"

    def answers(which: HostArray, order: HostArray) -> list[Answer]:
        found = np.flatnonzero(which)
        found = found[np.argsort(order[found], kind="stable")[:SHOWN]]
        return [
            Answer(
                int(rows[i]), told(y[i]), told(chosen[i]), float(p_true[i]), float(p_given[i]), X[i]
            )
            for i in found
        ]

    return answers(~right, -p_given), answers(right, p_given)
