"""What in a training's figures says that nothing useful has been learned, and what to try.

Each doubt is one line. A line that comes up in a good training would teach people to skip them all,
so none is raised on what a small sample may do by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlp_xp.nn.losses import OBJECTIVES, Multiclass, Multilabel, Objective, Regression
from mlp_xp.training.config import Config
from mlp_xp.training.history import Epoch
from mlp_xp.training.metrics import Evaluation, Floats
from mlp_xp.types import HostArray

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer

LEAST_ROWS = 5
"""Fewer rows of a class, or fewer that tell a model from its baseline, say nothing."""
LEAST_NUMBERS = 10
"""An R2 of 0.3 falls below 0 by chance, one time in ten, on this many rows."""
LEAST_GAIN, LEAST_RISE = 0.005, 0.01
"""A loss this little below the constant's, or above the first epoch's, in parts of it."""
FALLING = 0.05
"""A loss that fell by more than this part of it in the last epoch would go on falling."""
MOSTLY = 0.9
"""A class of more rows than this part of them hides whether the others are learned."""
NAMED = 3


def find_doubts(trainer: Trainer, evaluation: Evaluation, names: Sequence[str]) -> list[str]:
    """All doubts about a trained network, evaluated on whatever rows; names: of its outputs.

    At most one says that it is no better than its baseline, so a result that does takes the place
    of the training loss that does.
    """
    config = trainer.config
    no_better = _no_better(evaluation, config, names)
    before = no_better or history_doubts(trainer.history, config, constant_loss(trainer))
    return [*before, *_never_predicted(evaluation, config, names)]


def history_doubts(history: Sequence[Epoch], config: Config, constant: float | None) -> list[str]:
    """At most one doubt about the training losses; none from a single epoch.

    constant: constant_loss(), or None if there is none to compare with.
    """
    if len(history) < 2:
        return []  # its rows' losses are of weights that had hardly changed yet
    first, last = history[0].loss, history[-1].loss
    # Dropout raises the training loss, not the constant's.
    if constant is not None and not config.dropout and last >= (1 - LEAST_GAIN) * constant:
        return [
            f"the training loss, {last:.4g} in epoch {history[-1].epoch}, is no better than "
            f"{constant:.4g}, what the same answer on every row gives; "
            f"{_learn_more(config, falling=last < (1 - FALLING) * history[-2].loss)}"
        ]
    if last > (1 + LEAST_RISE) * first:
        return [
            f"the training loss rose from {first:.4g} in epoch {history[0].epoch} to {last:.4g} in "
            f"epoch {history[-1].epoch}; try {_lower_steps(config)}"
        ]
    return []


def _no_better(evaluation: Evaluation, config: Config, names: Sequence[str]) -> list[str]:
    if evaluation.r2 is not None:
        return _no_better_numbers(evaluation, config)
    if config.class_weight is not None:
        return _no_better_recall(evaluation, config)
    return _no_better_answers(evaluation, config, names)


def _no_better_numbers(evaluation: Evaluation, config: Config) -> list[str]:
    r2, baseline = evaluation.r2, evaluation.baseline
    if r2 is None or r2 > 0 or (evaluation.rows < LEAST_NUMBERS and r2 > -1):
        return []
    if baseline is None or (evaluation.rmse or 0) < (baseline.rmse or 0):
        return []  # better than the mean in training, which is the one that it could know
    return [
        f"the model is no better than always the mean: RMSE {evaluation.rmse:.4g} against "
        f"{baseline.rmse:.4g}, R2 {r2:.2f}; {_learn_more(config)}"
    ]


def _no_better_answers(evaluation: Evaluation, config: Config, names: Sequence[str]) -> list[str]:
    baseline, accuracy = evaluation.baseline, evaluation.accuracy
    if baseline is None or baseline.accuracy is None or accuracy is None:
        return []
    answers = evaluation.rows * (1 if evaluation.label_accuracy is None else len(names))
    missed = round(answers * (1 - baseline.accuracy))
    lost = round(answers * (baseline.accuracy - accuracy))
    # What the baseline gets right, all but a few rows, is no measure of a model, unless that loses
    # more than the chance of two standard deviations.
    if lost < 0 or (missed < LEAST_ROWS and lost <= 2 * (missed + lost) ** 0.5):
        return []
    name = (
        "always the more frequent value of each label"
        if evaluation.label_accuracy is not None
        else f"always {names[int(baseline.answer)]!r}"
    )
    remedy = _learn_more(config)
    if evaluation.label_accuracy is None and baseline.accuracy > MOSTLY:
        remedy = f"{remedy}, or --class-weight balanced for the rare classes"
    return [
        f"the model is no better than {name}: accuracy {accuracy:.1%} against "
        f"{baseline.accuracy:.1%}; {remedy}"
    ]


def _no_better_recall(evaluation: Evaluation, config: Config) -> list[str]:
    """Class weights give up accuracy for the rare classes, so it is their recall that counts."""
    recall, support = evaluation.recall, evaluation.support
    if recall is None or support is None:
        return []
    seen = support >= LEAST_ROWS
    if seen.sum() < 2 or recall[seen].mean() > 1 / seen.sum():
        return []
    return [
        f"the model is no better than always the same class: mean recall {recall[seen].mean():.1%} "
        f"over {seen.sum()} classes; {_learn_more(config)}"
    ]


def _never_predicted(evaluation: Evaluation, config: Config, names: Sequence[str]) -> list[str]:
    support, predicted = evaluation.support, evaluation.predicted
    if support is None or predicted is None or evaluation.label_accuracy is not None:
        return []
    never = np.flatnonzero((predicted == 0) & (support >= LEAST_ROWS))
    if not len(never):
        return []
    never = never[np.argsort(-support[never], kind="stable")]
    listed = ", ".join(f"{names[k]!r} ({support[k]} rows)" for k in never[:NAMED])
    others = f" and {len(never) - NAMED} more" if len(never) > NAMED else ""
    what = "class is" if len(never) == 1 else "classes are"
    # Weights help where a class is rare, not where the training has failed.
    rare = 2 * support[never].max() < support.sum() / np.count_nonzero(support)
    weights = ["--class-weight balanced"] if rare and config.class_weight is None else []
    return [
        f"{len(never)} {what} never predicted: {listed}{others}; "
        f"try {_or([*weights, *_remedies(config)])}"
    ]


def constant_loss(trainer: Trainer) -> float | None:
    """The least training loss, with its weights and smoothing, that one answer for all rows gives.

        multiclass   -sum_k q[k] log q[k],   q = (1 - s) p + s / K
        multilabel   the mean over k of -p[k] log p[k] - (1 - p[k]) log(1 - p[k])
        regression   the mean over k of the variance of the targets
    p: the share of each class or label, s: the label smoothing. For an objective of your own, None.
    """
    objective = trainer.config.build(OBJECTIVES[trainer.network.objective_name])
    formula = _CONSTANT_LOSSES.get(type(objective))
    if formula is None:
        return None
    split = trainer.loader.split  # whose targets are scaled already, where the network scales them
    y = split.y[split.index()]
    weights = np.ones(len(y)) if split.weights is None else split.weights[split.index()]
    with np.errstate(all="ignore"):
        return formula(objective, y, weights.astype(np.float64), trainer.network.sizes[-1])


def _multiclass_loss(objective: Objective, y: HostArray, weights: Floats, n_outputs: int) -> float:
    # Weights have the mean 1 over the rows, so these shares add up to 1.
    shares = np.bincount(y, weights, n_outputs) / len(y)
    smoothing: float = getattr(objective, "label_smoothing", 0.0)
    return float(_surprise((1 - smoothing) * shares + smoothing / n_outputs).sum())


def _multilabel_loss(_: Objective, y: HostArray, weights: Floats, __: int) -> float:
    shares = weights @ y / weights.sum()
    return float((_surprise(shares) + _surprise(1 - shares)).mean())


def _regression_loss(_: Objective, y: HostArray, weights: Floats, __: int) -> float:
    distance = y - y[0].astype(np.float64)
    distance -= weights @ distance / weights.sum()
    return float((weights @ np.square(distance) / weights.sum()).mean())


def _surprise(p: Floats) -> Floats:
    """-p log p, and 0 for 0."""
    return np.asarray(-p * np.log(np.where(p > 0, p, 1.0)))


_CONSTANT_LOSSES: dict[
    type[Objective], Callable[[Objective, HostArray, Floats, int], float]
] = {
    Multiclass: _multiclass_loss, Multilabel: _multilabel_loss, Regression: _regression_loss,
}  # fmt: skip


def _learn_more(config: Config, *, falling: bool = False) -> str:
    return f"try {_or(_remedies(config, falling=falling))}"


def _remedies(config: Config, *, falling: bool = False) -> list[str]:
    more = f"more --epochs ({config.epochs})"
    first = falling or config.epochs == 1
    return [more, *_steps(config)] if first else [*_steps(config), more]


def _lower_steps(config: Config) -> str:
    return _or(_steps(config))


def _steps(config: Config) -> list[str]:
    scale = [] if config.standardize else ["--standardize"]
    return [*scale, f"a lower --lr ({config.lr:g})"]


def _or(options: Sequence[str]) -> str:
    *others, last = options
    return f"{', '.join(others)} or {last}" if others else last
