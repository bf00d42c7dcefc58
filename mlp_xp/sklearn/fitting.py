"""Fitting by sgd or adam: epochs, the learning rate, when to stop, and which weights to keep.

The order of random draws, the learning rates and the rule of stopping are scikit-learn's: facts
from scikit-learn 1.9, sklearn/neural_network/_multilayer_perceptron.py.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlp_xp.devices import flush_denormals
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.nn.losses import Multiclass, Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer
from mlp_xp.nn.rng import stream
from mlp_xp.nn.schedules import SCHEDULES, Schedule, learning_rates
from mlp_xp.sklearn.losses import BoundedClasses
from mlp_xp.sklearn.optimizers import VelocityOfSteps, new_optimizer
from mlp_xp.sklearn.progress import Progress
from mlp_xp.sklearn.rows import Loader
from mlp_xp.sklearn.step import PenalizedStep
from mlp_xp.training.callbacks import Callback
from mlp_xp.training.config import Config
from mlp_xp.training.early_stopping import copy_weights
from mlp_xp.training.environment import training_environment
from mlp_xp.training.history import Epoch
from mlp_xp.training.step import TrainStep
from mlp_xp.training.windowed import windowed_step
from mlp_xp.types import Array, Chunk

LEAST_RATE = 1e-6
"""`adaptive` stops, rather than divide the learning rate by 5, once it is this or less."""


@dataclass(frozen=True)
class Settings:
    """What logs ask of a Fit as they ask it of a trainer's data and config."""

    values: dict[str, Any]
    name: str = "data"
    test: None = None

    def to_dict(self) -> dict[str, Any]:
        """The parameters that are plain."""
        plain = str, int, float
        values = {"hidden_layer_sizes": list(self.values["hidden_layer_sizes"])}
        return values | {k: v for k, v in self.values.items() if isinstance(v, plain)}


class Fit:
    """A fit under way. Callbacks see it as they see a Trainer, and may stop() it.

    network, history, n_rows, and in the current epoch: rows done, their mean loss, and the
    learning_rate of the last step.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        network: Network,
        objective: Objective,
        loader: Loader,
        random_state: np.random.RandomState,
        progress: Progress,
        validate: Callable[[], tuple[float, float]] | None,
        *,
        weighted: bool,
    ):
        """parameters: of the estimator, checked. validate(): validation loss and score, if any."""
        self.parameters, self.network, self.loader = parameters, network, loader
        self.data = self.config = Settings(parameters)
        self.random_state, self.progress, self.validate = random_state, progress, validate
        self.n_rows = loader.n_rows
        self.batch_size = loader.batch_size
        self.steps_an_epoch = math.ceil(self.n_rows / self.batch_size)
        if progress.optimizer is None:
            progress.optimizer = new_optimizer(parameters)
            progress.optimizer.initialize(network.parameters())
            progress.learning_rate = parameters["learning_rate_init"]
        progress.move(network.device.to_device)
        self.step = self._new_step(objective, progress.optimizer, weighted)
        name = parameters["schedule"]
        self.schedule: Schedule | None = None if name is None else SCHEDULES[name]()
        if self.schedule is not None and self.schedule.needs_validation and validate is None:
            raise InputError(f"the schedule {name} needs validation rows: fit(..., validation=...)")
        # Drawn for dropout alone, so that all else sees scikit-learn's numbers.
        seed = random_state.randint(2**31) if parameters["dropout"] else 0
        self.masks = stream(seed, "dropout")
        self.order = np.arange(self.n_rows)
        self.history: list[Epoch] = []
        self.rows, self.loss_sum, self.learning_rate = 0, 0.0, 0.0
        self.stopped = False
        self.best_weights = self._weights() if parameters["early_stopping"] else []

    @property
    def epoch(self) -> int:
        """The number, from 1, of the current epoch."""
        return len(self.history) + 1

    @property
    def loss(self) -> float:
        """The mean loss of this epoch's rows so far, with its penalty; NaN before the first."""
        return self.loss_sum / self.rows if self.rows else math.nan

    @property
    def finished(self) -> bool:
        """Whether this is the end."""
        return self.stopped or len(self.history) >= self.parameters["max_iter"]

    def stop(self) -> None:
        """End after this epoch, or at once in the middle of one."""
        self.stopped = True

    def run(self, epochs: int | None = None) -> None:
        """Train for so many epochs, or until the loss or score no longer improves.

        None: for max_iter of them, with a ConvergenceWarning if it still improves then.

        Ctrl-C ends it between two chunks, with a warning. Raises InputError if the loss stops being
        finite, unless there are validated weights from before.
        """
        callbacks: Sequence[Callback] = self.parameters["callbacks"] or ()
        most = self.parameters["max_iter"] if epochs is None else epochs
        try:
            with training_environment(self.network.device) as interrupts, self.step.running():
                while len(self.history) < most and not self.stopped:
                    self._epoch([*callbacks, interrupts])
        except KeyboardInterrupt:
            warnings.warn("interrupted: the weights reached so far are kept", stacklevel=5)
        if epochs is None and not self.stopped and len(self.history) == most:
            warnings.warn(
                f"the network hasn't converged after max_iter={most} epochs; raise it",
                ConvergenceWarning, stacklevel=5,
            )  # fmt: skip
        if self.parameters["early_stopping"] and self.progress.best_score > -math.inf:
            copy_weights(self.best_weights, self.network.parameters())

    def _epoch(self, callbacks: Sequence[Any]) -> None:
        seconds, started = 0.0, time.perf_counter()
        if self.parameters["shuffle"]:
            draw = np.arange(self.n_rows)
            self.random_state.shuffle(draw)
            self.order = self.order[draw]
        order = self.order if self.parameters["shuffle"] else None
        for chunk in self.loader.chunks(order):
            self._chunk(chunk)
            seconds += time.perf_counter() - started
            for callback in callbacks:
                callback.on_chunk(self)
            if self.stopped:
                return
            started = time.perf_counter()
        loss = self.loss
        if not math.isfinite(loss):
            self._diverged(loss)
            return
        validation_loss, score = self.validate() if self.validate else (None, None)
        figures = (loss, seconds, self.n_rows / seconds, validation_loss, score, self.learning_rate)
        self.history.append(Epoch(self.epoch, *figures))
        self.rows, self.loss_sum = 0, 0.0
        self._observe(loss, validation_loss, score)
        for callback in callbacks:
            callback.on_epoch(self)

    def _chunk(self, chunk: Chunk) -> None:
        n_steps = math.ceil(len(chunk[0]) / self.batch_size)
        first = len(self.history) * self.steps_an_epoch + self.rows // self.batch_size
        lrs = [self.progress.learning_rate] * n_steps
        if self.schedule is not None:
            total = self.steps_an_epoch * self.parameters["max_iter"]
            steps = range(first, first + n_steps)
            lrs = learning_rates(self.progress.learning_rate, self.schedule, steps, total)
        with flush_denormals():
            self.loss_sum += float(self.step(chunk, lrs, self.masks))
        self.rows += len(chunk[0])
        self.learning_rate = lrs[-1]

    def _observe(self, loss: float, validation_loss: float | None, score: float | None) -> None:
        """Record an epoch's figures; then lower the learning rate, or stop, if it is time."""
        progress, tol = self.progress, self.parameters["tol"]
        progress.loss_curve.append(loss)
        progress.rows_seen += self.n_rows
        if score is not None and validation_loss is not None:
            progress.validation_losses.append(validation_loss)
            progress.validation_scores.append(score)
            if self.schedule is not None:
                self.schedule.observe(validation_loss)
        if self.parameters["early_stopping"] and score is not None:
            stale = score < progress.best_score + tol
            if score > progress.best_score:
                progress.best_score, self.best_weights = score, self._weights()
        else:
            stale = loss > progress.best_loss - tol
            progress.best_loss = min(loss, progress.best_loss)
        progress.stale = progress.stale + 1 if stale else 0
        if self.parameters["verbose"]:
            scored = "" if score is None else f", validation score = {score:.6f}"
            print(f"Iteration {len(self.history)}, loss = {loss:.8f}{scored}")  # noqa: T201
        if self._rule == "invscaling":
            scale = (progress.rows_seen + 1) ** self.parameters["power_t"]
            progress.learning_rate = self.parameters["learning_rate_init"] / scale
        if progress.stale > self.parameters["n_iter_no_change"]:
            if self._rule == "adaptive" and progress.learning_rate > LEAST_RATE:
                progress.learning_rate /= 5
                progress.stale = 0
            else:
                self.stop()

    @property
    def _rule(self) -> str:
        """How the learning rate of sgd changes; that of adam doesn't."""
        sgd = self.parameters["solver"] == "sgd"
        return str(self.parameters["learning_rate"]) if sgd else "constant"

    def _diverged(self, loss: float) -> None:
        message = (
            f"the loss became {loss} in epoch {self.epoch}: lower learning_rate_init "
            f"({self.parameters['learning_rate_init']}), or scale the inputs, as by StandardScaler"
        )
        if not (self.parameters["early_stopping"] and self.progress.validation_scores):
            raise InputError(message)
        warnings.warn(f"{message}; the best weights are kept", TrainingWarning, stacklevel=7)
        self.stop()

    def _weights(self) -> list[Array]:
        return [array.copy() for array in self.network.parameters()]

    def _new_step(self, objective: Objective, optimizer: Optimizer, weighted: bool) -> TrainStep:
        """Windows where they can be had and are faster; see training/windowed/."""
        p = self.parameters
        windowed = None
        if p["window"] is not None or (p["solver"] == "sgd" and not p["alpha"]):
            windowed = self._windowed_step(objective, optimizer, weighted)
        return windowed or PenalizedStep(
            self.network, objective, optimizer, self.batch_size, p["alpha"], p["dropout"],
            p["clip_norm"],
        )  # fmt: skip

    def _windowed_step(
        self, objective: Objective, optimizer: Optimizer, weighted: bool
    ) -> TrainStep | None:
        p, window = self.parameters, self.parameters["window"]
        obstacles = {
            "alpha above 0": p["alpha"] > 0,
            "momentum and a learning rate that changes": isinstance(optimizer, VelocityOfSteps),
        }
        present = [name for name, found in obstacles.items() if found]
        if present and (window or 1) > 1:
            raise InputError(f"window={window} can't be combined with {present[0]}")
        config = Config(
            optimizer=p["solver"], batch_size=self.batch_size, dropout=p["dropout"],
            clip_norm=p["clip_norm"], label_smoothing=p.get("label_smoothing", 0.0),
            window=1 if present else window,
        )  # fmt: skip
        # Windows have the loss without its bounds.
        plain = Multiclass() if type(objective) is BoundedClasses else objective
        return windowed_step(self.network, plain, optimizer, config, weighted=weighted)


def batch_rows(parameters: dict[str, Any], n_rows: int) -> int:
    """The rows of a batch: 200 by default, and no more than there are."""
    size = parameters["batch_size"]
    if size == "auto":
        return min(200, n_rows)
    if size > n_rows:
        warnings.warn(f"batch_size={size} is more than the {n_rows} rows", stacklevel=5)
    return min(int(size), n_rows)
