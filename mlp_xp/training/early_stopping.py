"""When to stop a training run before its last epoch, and which weights to restore."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlp_xp.errors import DeviceError, DivergenceError, TrainingWarning
from mlp_xp.nn.network import Network
from mlp_xp.training.config import Config
from mlp_xp.training.ranks import digest
from mlp_xp.training.team import Team
from mlp_xp.types import Array

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer


class EarlyStopping:
    """Remembers the epoch with the lowest validation loss, and its weights.

    patience: epochs without a lower loss after which to stop; None: never stop.
    best_epoch counts from 1, and is 0 before the first. last_weights: those of the last epoch, once
    the best ones are restored. diverged: whether the loss has stopped being finite since, so that
    training can't go on.
    """

    def __init__(self, patience: int | None = None):
        self.patience = patience
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_weights: list[Array] = []
        self.last_weights: list[Array] = []
        self.diverged = False

    def observe(self, epoch: int, loss: float, parameters: Sequence[Array]) -> None:
        """Record an epoch's validation loss, and copy the parameters if it is the lowest."""
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = epoch, loss
            self.best_weights = [array.copy() for array in parameters]

    def is_due(self, epoch: int) -> bool:
        """Whether to stop after this epoch."""
        if self.patience is None or not self.best_epoch:
            return False
        return self.diverged or epoch - self.best_epoch >= self.patience

    @contextmanager
    def best_at_the_end(self, trainer: Trainer) -> Iterator[None]:
        """Restore the best weights of a training that ends in the block, however it ends.

        A training that goes on from there, as with more epochs, does so from its last weights.

        With a patience, a loss that stops being finite is an end too, with a warning: the
        DivergenceError passes only where there are no best weights yet.
        """
        parameters = trainer.network.parameters()
        if self.last_weights and not trainer.finished:
            copy_weights(self.last_weights, parameters)
            self.last_weights = []
        try:
            yield
        except DivergenceError as error:
            self.diverged = True
            if not self.is_due(self.best_epoch):
                raise
            message = (
                f"{error}; this is the network of epoch {self.best_epoch}, whose validation loss "
                f"is the lowest, {self.best_loss:.4f}"
            )
            warnings.warn(message, TrainingWarning, stacklevel=4)  # the caller of fit()
        finally:
            if trainer.finished and self.patience is not None and self.best_weights:
                trainer.network.device.use()  # a callback that raised may have used another
                self.last_weights = self.last_weights or [array.copy() for array in parameters]
                copy_weights(self.best_weights, parameters)


def copy_weights(weights: Sequence[Array], parameters: Sequence[Array]) -> None:
    """Overwrite the parameters with these arrays."""
    for array, parameter in zip(weights, parameters, strict=True):
        parameter[...] = array


def check_finite(loss_sum: float, epoch: int, rows: int, n_steps: int, config: Config) -> None:
    """Raise DivergenceError unless the sum of losses is finite, after n_steps from row `rows`."""
    if math.isfinite(loss_sum):
        return
    first = rows // config.batch_size + 1
    place = f"in step {first}"
    if n_steps > 1:
        place = f"between steps {first} and {first + n_steps - 1}"
    raise DivergenceError(
        f"the loss became {loss_sum} in epoch {epoch}, {place}: {_remedy(config)}"
    )


def check_weights(network: Network, epoch: int, config: Config, team: Team | None = None) -> None:
    """Raise DivergenceError unless all weights are finite, which no later loss may show.

    Raises DeviceError where a team's workers have come to other weights than each other.
    """
    xp = network.xp
    finite = [xp.isfinite(array).all() for array in network.parameters()]
    if not xp.stack(finite).all():  # a single wait for the device
        raise DivergenceError(
            f"the weights became infinite or NaN in the last step of epoch {epoch}: "
            f"{_remedy(config)}"
        )
    difference = (team or Team()).difference(
        lambda: {"weights": digest(network.device, network.parameters())}
    )
    if difference is not None:
        raise DeviceError(
            f"{difference} after epoch {epoch}: a callback has changed one of them, or a machine "
            "computes wrongly"
        )


def _remedy(config: Config) -> str:
    scale = "" if config.standardize else ", or scale the inputs by --standardize"
    return f"lower --lr ({config.lr}){scale}"
