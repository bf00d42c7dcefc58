"""What fits that go on from each other share."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

from mlp_xp.nn.optimizers import Optimizer
from mlp_xp.types import Array


@dataclass
class Progress:
    """What fits that go on from each other share: curves, the optimizer and its learning rate.

    rows_seen: rows trained on, over all epochs. stale: epochs in a row that didn't improve by tol.
    """

    loss_curve: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_score: float = -math.inf
    stale: int = 0
    rows_seen: int = 0
    optimizer: Optimizer | None = None
    learning_rate: float = 0.0

    def copy(self) -> Progress:
        """One to go on with, which leaves this one as it is."""
        other = copy(self)
        for name in ("loss_curve", "validation_losses", "validation_scores"):
            setattr(other, name, list(getattr(self, name)))
        other.optimizer = optimizer = copy(self.optimizer)
        if optimizer is not None:
            optimizer.state = {k: [a.copy() for a in slot] for k, slot in optimizer.state.items()}
        return other

    def move(self, to: Callable[[Array], Array]) -> None:
        """Bring the optimizer's arrays to a device, or from there to the host."""
        if self.optimizer is not None:
            for arrays in self.optimizer.state.values():
                arrays[:] = map(to, arrays)
