"""What a report shows, in plain data: each part is worked out once, then drawn and written.

N rows, K outputs, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_xp.types import HostArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """A run's epochs. validation, accuracy, rates: None in an epoch that has none.

    name: of the run. loss, validation: the mean losses, NaN where one isn't finite. unit: `nats`,
    `squared error`, or another objective's own. kept: the epoch whose weights are the result, where
    that isn't the last.
    """

    name: str
    epochs: list[int]
    loss: list[float]
    validation: list[float | None]
    accuracy: list[float | None]
    rates: list[float | None]
    unit: str = "nats"
    kept: int | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often answers are right, by how sure the model is of them: bins of its probability.

    edges (B + 1,): of the bins, from 0 to 1; counts (B,): answers in each; confidence, right (B,):
    the mean probability, and the share that is right, NaN in an empty bin. error: the expected
    calibration error, sum over bins of counts / N |right - confidence|.    Guo et al. 2017, sec. 2.
    of_labels: whether the probabilities are those of every label of a row, not of its one class.
    """

    edges: Floats
    counts: NDArray[np.int64]
    confidence: Floats
    right: Floats
    error: float
    of_labels: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says of one row.

    row: its number in the split. true, given: a class, labels with commas between them, or a
    number. p_true, p_given: their probabilities; None for numbers. x (n,): the row as the data has
    it. target: which number it is, where there are several.
    """

    row: int
    true: str | float
    given: str | float
    p_true: float | None
    p_given: float | None
    x: HostArray
    target: str = ""


@dataclass(frozen=True, eq=False)
class UnitPictures:
    """What units of the first hidden layer look for, as pictures.

    units (U,): their numbers, those with the largest weights to the next layer first. weights
    (U, height, width, channels): the weights into each. of: the number of units in the layer.
    """

    units: NDArray[np.int64]
    weights: HostArray
    of: int


@dataclass(frozen=True, eq=False)
class ColumnUse:
    """How much the model uses each column of a table, the most important first.

    names; strength (C,): the root of the sum of squares of the weights of the column's inputs into
    the first layer, each times its input's deviation. importance (C,): by how much `score`
    falls when the column's values are shuffled between the rows (Breiman 2001, section 10), the
    mean of several times; spread (C,): their standard deviation. left_out: how many columns more
    there are.
    """

    names: list[str]
    strength: Floats
    importance: Floats
    spread: Floats
    score: str = "accuracy"
    left_out: int = 0


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many values lie in each bin: edges (B + 1,), counts (B,).

    label: whose values they are, in a line or two.
    """

    label: str
    edges: Floats
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Numbers:
    """A regression's targets and predictions in their own units: names; true, given (N, K)."""

    names: list[str]
    true: Floats
    given: Floats
