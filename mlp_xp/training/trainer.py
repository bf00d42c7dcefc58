"""Training: from a data set and settings to a trained network, epoch by epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from mlp_xp.data import DataLoader, Dataset
from mlp_xp.data.sampling import sample_weights, train_validation_split
from mlp_xp.devices import Device, get_device
from mlp_xp.devices.blas import one_blas_thread
from mlp_xp.errors import InputError
from mlp_xp.nn import OPTIMIZERS, SCHEDULES, Network
from mlp_xp.nn.rng import stream
from mlp_xp.nn.schedules import learning_rates
from mlp_xp.training.callbacks import Callback
from mlp_xp.training.config import Config
from mlp_xp.training.early_stopping import EarlyStopping
from mlp_xp.training.evaluation import evaluate
from mlp_xp.training.history import Epoch, TrainingResult
from mlp_xp.training.setup import check_data, check_network, new_network, new_train_step
from mlp_xp.types import Chunk

CHUNK_ROWS = 2048
"""Rows between two calls of callbacks: few enough to stop at once, too many to slow training."""


class Trainer:
    """A training run: its settings, and all state that changes during it.

    history: the finished epochs. In the current one, `rows` rows are done, and their losses add up
    to loss_sum; learning_rate is the last step's. device_memory: see DataLoader.
    """

    def __init__(
        self,
        data: Dataset,
        config: Config | None = None,
        device: Device | None = None,
        network: Network | None = None,
        device_memory: int | None = None,
    ):
        config = self.config = config or Config()
        device = device or (network.device if network else get_device())
        self.data = data
        self.schedule = config.build(SCHEDULES[config.schedule])
        train, self.validation = train_validation_split(data, config.validation, config.seed)
        check_data(data, self.validation, config, self.schedule)
        self.network = network or new_network(data, train, config, device)
        check_network(self.network, data)
        self.optimizer = config.build(OPTIMIZERS[config.optimizer])
        self.optimizer.initialize(self.network.parameters())
        dtype = str(self.network.dtype)
        weights = sample_weights(train, config.class_weight, data.n_outputs, dtype)
        self.train_step = new_train_step(self.network, self.optimizer, config, weights is not None)
        batches = max(1, CHUNK_ROWS // config.batch_size)
        self.loader = DataLoader(
            device, replace(train, weights=weights), chunk_rows=batches * config.batch_size,
            shuffle=config.shuffle, seed=config.seed, device_memory=device_memory,
        )  # fmt: skip
        self.n_rows = len(train)
        self.history: list[Epoch] = []
        self.rows, self.loss_sum, self.seconds, self.learning_rate = 0, 0.0, 0.0, 0.0
        self.early_stopping = EarlyStopping(config.patience)
        self._stopped = False

    @cached_property
    def fingerprint(self) -> str:
        """Dataset.fingerprint(), computed once: it takes a pass over all of the data."""
        return self.data.fingerprint()

    @property
    def epoch(self) -> int:
        """The number, from 1, of the current epoch."""
        return len(self.history) + 1

    @property
    def loss(self) -> float:
        """The mean loss of this epoch's rows so far."""
        return self.loss_sum / self.rows

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last config.patience of them didn't improve."""
        done = len(self.history)
        return done >= self.config.epochs or self.early_stopping.is_due(done)

    def stop(self) -> None:
        """Make fit() return once the callbacks have run; a later fit() continues."""
        self._stopped = True

    def fit(self, callbacks: Sequence[Callback] = ()) -> TrainingResult:
        """Train from the current state to the end; with patience, then restore the best weights.

        Raises InputError if the loss stops being finite.
        """
        self._stopped = False
        with one_blas_thread(unless=self.train_step.keeps_blas_threads):
            while not (self.finished or self._stopped):
                self._fit_epoch(callbacks)
        if self.finished:
            self.early_stopping.restore(self.network.parameters())
        return TrainingResult(self.network, self.history)

    def _fit_epoch(self, callbacks: Sequence[Callback]) -> None:
        """The rest of an epoch, chunk by chunk."""
        started = time.perf_counter()
        for chunk in self.loader.epoch(self.epoch, self.rows):
            self._fit_chunk(chunk)
            self.seconds += time.perf_counter() - started
            for callback in callbacks:
                callback.on_chunk(self)
            if self._stopped:
                return
            started = time.perf_counter()
        self._end_epoch()
        for callback in callbacks:
            callback.on_epoch(self)

    def _fit_chunk(self, chunk: Chunk) -> None:
        n_rows = len(chunk[0])
        lrs = self._learning_rates(n_rows)
        rng = stream(self.config.seed, "dropout", self.epoch, self.rows)
        self.loss_sum += float(self.train_step(chunk, lrs, rng))
        if not math.isfinite(self.loss_sum):
            first = self.rows // self.config.batch_size + 1
            raise InputError(
                f"the loss became {self.loss_sum} in epoch {self.epoch}, between steps "
                f"{first} and {first + len(lrs) - 1}: lower --lr ({self.config.lr})"
            )
        self.rows += n_rows
        self.learning_rate = lrs[-1]

    def _learning_rates(self, rows: int) -> list[float]:
        """The learning rate of each step on the epoch's next `rows` rows."""
        batch_size = self.config.batch_size
        steps_an_epoch = math.ceil(self.n_rows / batch_size)
        total = steps_an_epoch * self.config.epochs
        first = len(self.history) * steps_an_epoch + self.rows // batch_size
        steps = range(first, first + math.ceil(rows / batch_size))
        warmup = min(round(self.config.warmup * steps_an_epoch), total)
        return learning_rates(self.config.lr, self.schedule, steps, total, warmup)

    def _end_epoch(self) -> None:
        epoch = Epoch(self.epoch, self.loss, self.seconds, self.n_rows / self.seconds)
        if self.validation is not None:
            result = evaluate(self.network, self.validation)
            epoch = epoch._replace(validation_loss=result.loss, validation_accuracy=result.accuracy)
            self.early_stopping.observe(self.epoch, result.loss, self.network.parameters())
            self.schedule.observe(result.loss)
        self.history.append(epoch)
        self.rows, self.loss_sum, self.seconds = 0, 0.0, 0.0


def train(
    data: Dataset,
    config: Config | None = None,
    device: Device | None = None,
    callbacks: Sequence[Callback] = (),
    network: Network | None = None,
) -> TrainingResult:
    """Train a new network, or the one given, on data.train; see Trainer.

    None stands for the default settings, and for the network's device or get_device(). Raises
    InputError if data and settings don't fit together, or if the loss stops being finite.
    """
    return Trainer(data, config, device, network).fit(callbacks)
