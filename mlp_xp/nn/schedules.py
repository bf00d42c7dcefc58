"""How the learning rate changes in a run. To add a schedule, write `factor` and register the class:

SCHEDULES["inverse_sqrt"] = InverseSqrt
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from mlp_xp.errors import InputError


class Schedule(ABC):
    """A factor on the learning rate. Config fills a constructor's arguments by their names."""

    needs_validation = False

    @abstractmethod
    def factor(self, step: int, total: int) -> float:
        """The factor for this step, counted from 0, of `total`."""

    def observe(self, validation_loss: float) -> None:  # noqa: B027  (most ignore it)
        """Called with the validation loss at the end of each epoch."""

    def state(self) -> dict[str, float]:
        """Its attributes, which are plain numbers, for a checkpoint."""
        return dict(vars(self))

    def load_state(self, state: Mapping[str, float]) -> None:
        """Go on from another's state(). Raises ValueError if it is of another kind of schedule."""
        if state.keys() != vars(self).keys():
            raise ValueError(f"the state has {sorted(state)}, not {sorted(vars(self))}")
        vars(self).update(state)


class Constant(Schedule):
    """1 throughout."""

    def factor(self, step: int, total: int) -> float:
        return 1.0


class Linear(Schedule):
    """1 - step / total: falls evenly from 1 to 0."""

    def factor(self, step: int, total: int) -> float:
        return 1 - step / total


class Step(Schedule):
    """lr_factor ** (how many of `stages` equal parts of the run are over)."""

    def __init__(self, lr_factor: float = 0.1, stages: int = 3):
        self.lr_factor, self.stages = lr_factor, stages

    def factor(self, step: int, total: int) -> float:
        return float(self.lr_factor ** (self.stages * step // total))


class Cosine(Schedule):
    """Half a cosine, falling from 1 to 0.    Loshchilov, Hutter 2017, equation 5."""

    def factor(self, step: int, total: int) -> float:
        return (1 + math.cos(math.pi * step / total)) / 2


class Plateau(Schedule):
    """Multiplies by lr_factor after more than lr_patience epochs in a row without improvement.

    An epoch improves if its validation loss is below (1 - threshold) times the best.
    """

    needs_validation = True

    def __init__(self, lr_factor: float = 0.1, lr_patience: int = 10, threshold: float = 1e-4):
        self.lr_factor, self.lr_patience, self.threshold = lr_factor, lr_patience, threshold
        self.scale, self.best, self.epochs_without = 1.0, math.inf, 0

    def factor(self, step: int, total: int) -> float:
        return self.scale

    def observe(self, validation_loss: float) -> None:
        if validation_loss < self.best * (1 - self.threshold):
            self.best, self.epochs_without = validation_loss, 0
        else:
            self.epochs_without += 1
        if self.epochs_without > self.lr_patience:
            self.scale, self.epochs_without = self.scale * self.lr_factor, 0


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant, "linear": Linear, "step": Step, "cosine": Cosine, "plateau": Plateau,
}  # fmt: skip


def learning_rates(
    lr: float, schedule: Schedule, steps: range, total: int, warmup: int = 0
) -> list[float]:
    """The learning rate of each of these steps, counted from 0.

    The first `warmup` steps rise evenly to lr times the schedule's first factor; the schedule takes
    the others.    Goyal et al. 2017, section 2.2. Raises InputError for a rate below 0, and NaN.
    """
    factor = schedule.factor
    rates = [
        lr * factor(0, total) * ((step + 1) / warmup) if step < warmup
        else lr * factor(step - warmup, total - warmup)
        for step in steps
    ]  # fmt: skip
    if not min(rates) >= 0:
        raise InputError(f"{type(schedule).__name__} gives the learning rate {min(rates)}")
    return rates
