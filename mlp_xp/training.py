"""Training: a run's state, its epochs, and what may watch it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_xp.backend import Backend
from mlp_xp.config import PLATEAU, Config
from mlp_xp.datasets import Dataset
from mlp_xp.errors import InputError
from mlp_xp.evaluation import evaluate
from mlp_xp.feed import Feed
from mlp_xp.functions import Array
from mlp_xp.network import Network
from mlp_xp.optimizers import OPTIMIZERS, Optimizer, ReduceOnPlateau, learning_rate_factors
from mlp_xp.preparation import fit_standardisation, hold_out, row_weights
from mlp_xp.steps import choose_stepper
from mlp_xp.threads import WORTH_BLAS_THREADS, one_blas_thread
from mlp_xp.windowed import WindowedStepper

SEGMENT = 2048
"""Rows that are gathered at once; between two segments a run can be watched, saved and stopped."""

ORDER, MASKS = 1, 2  # the last word of a generator's seed: what it is for


class Epoch(NamedTuple):
    """One epoch's figures: its number from 1, losses in nats or squared units, its own time.

    The training loss is the mean of each batch's loss before that batch's update. Seconds are of
    the training alone, without evaluation.
    """

    epoch: int
    loss: float
    seconds: float
    samples_per_second: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


class Callback:
    """What may watch a run: override what you need. All are called on the host, between steps."""

    def on_segment(self, run: Run) -> None:
        """Some steps are done: run.rows of this epoch's rows, run.loss their mean loss so far."""

    def on_epoch(self, run: Run) -> None:
        """An epoch is over: run.history[-1]."""


class Trained(NamedTuple):
    """What train() returns."""

    network: Network
    history: list[Epoch]


def epoch_order(seed: int, epoch: int, n_rows: int) -> NDArray[np.int64]:
    """The order in which an epoch takes the rows, (n_rows,).

    From a generator of the epoch's own, so that it can be had again without the epochs before it.
    """
    return np.random.default_rng([seed, epoch, ORDER]).permutation(n_rows)


class Run:
    """A training: its settings, and all that changes while it goes on.

    history: the epochs that are over. Of the one under way: `rows` are done, and their losses add
    up to loss_sum. Weights, orders and dropout masks follow from config.seed by the host's
    generators, whatever the backend. device_memory: see Feed.
    """

    def __init__(
        self,
        data: Dataset,
        config: Config,
        backend: Backend,
        network: Network | None = None,
        device_memory: int | None = None,
    ):
        self.config = config
        self.data = data
        if data.target == "classes" and data.train.y.min() == data.train.y.max():
            raise InputError(
                f"{data.name}: every training label is {data.train.y[0]}; give at least two classes"
            )
        self.train_rows, self.validation = hold_out(data, config)
        self.network = network or self._new_network(backend)
        self._check_fit()
        self.optimizer = new_optimizer(config)
        self.plateau = ReduceOnPlateau(config.lr_factor, config.lr_patience)
        split = data.train
        weights = row_weights(data, config, self.train_rows)
        if weights is not None:
            weights = weights.astype(self.network.dtype)
        arrays = [split.X, split.y] if weights is None else [split.X, split.y, weights]
        self.feed = Feed(backend, *arrays, device_memory=device_memory)
        self.stepper = choose_stepper(
            self.network, self.optimizer, config, weighted=weights is not None
        )
        self.history: list[Epoch] = []
        self.rows = 0
        self.loss_sum = 0.0
        self.seconds = 0.0
        self.best: tuple[int, list[Array]] | None = None
        """The epoch with the lowest validation loss, and its parameters."""

    def _new_network(self, backend: Backend) -> Network:
        config = self.config
        network = Network.initialise(
            backend,
            (self.data.n_features, *config.hidden, self.data.n_classes),
            activation=config.activation,
            output=config.output,
            init=config.init,
            seed=config.seed,
            dtype=config.dtype,
        )
        network.classes = self.data.class_names
        if config.standardise:
            network.standardise(*fit_standardisation(self.data.train.X, self.train_rows))
        return network

    def _check_fit(self) -> None:
        """Raise InputError unless the data has what the network takes and gives."""
        network, data = self.network, self.data
        if network.output.target != data.target:
            raise InputError(
                f"{data.name}: the output {network.output_name} needs targets that are "
                f"{network.output.target}, these are {data.target}"
            )
        if (network.sizes[0], network.sizes[-1]) != (data.n_features, data.n_classes):
            raise InputError(
                f"{data.name}: {data.n_features} inputs and {data.n_classes} outputs, but the "
                f"network has {network.sizes[0]} and {network.sizes[-1]}"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Dataset.fingerprint(), read once: it takes a pass over all of the data."""
        return self.data.fingerprint()

    @property
    def n_rows(self) -> int:
        """Rows an epoch."""
        return len(self.data.train) if self.train_rows is None else len(self.train_rows)

    @property
    def epoch(self) -> int:
        """The number, from 1, of the epoch under way."""
        return len(self.history) + 1

    @property
    def loss(self) -> float:
        """The mean loss of this epoch's rows so far."""
        return self.loss_sum / self.rows

    @property
    def finished(self) -> bool:
        """All epochs are over, or validation has not improved for config.patience of them."""
        patience = self.config.patience
        stale = len(self.history) - self.best[0] if self.best else 0
        return self.epoch > self.config.epochs or (patience is not None and stale >= patience)

    def go(self, callbacks: Sequence[Callback] = ()) -> None:
        """Train to the end, from wherever the run stands; with patience, to the best weights.

        Raises InputError if the loss stops being a finite number.
        """
        shares = isinstance(self.stepper, WindowedStepper)
        product = self.config.batch_size * max(layer.W.size for layer in self.network.layers)
        with one_blas_thread(unless=not shares and product >= WORTH_BLAS_THREADS):
            while not self.finished:
                self._epoch(callbacks)
        if self.config.patience is not None and self.best:
            for parameter, best in zip(self.network.parameters(), self.best[1], strict=True):
                parameter[...] = best

    def _epoch(self, callbacks: Sequence[Callback]) -> None:
        batch_size = self.config.batch_size
        segment = batch_size * max(1, SEGMENT // batch_size)
        self.feed.begin(self._order())
        while self.rows < self.n_rows:
            started = time.perf_counter()
            stop = min(self.rows + segment, self.n_rows)
            self._segment(stop)
            self.seconds += time.perf_counter() - started
            for callback in callbacks:
                callback.on_segment(self)
        self._end_epoch()
        for callback in callbacks:
            callback.on_epoch(self)

    def _order(self) -> NDArray[np.int64] | None:
        if not self.config.shuffle:
            return self.train_rows
        order = epoch_order(self.config.seed, self.epoch, self.n_rows)
        return order if self.train_rows is None else self.train_rows[order]

    def _segment(self, stop: int) -> None:
        """The steps from self.rows to stop."""
        batch_size = self.config.batch_size
        first, last = self.rows // batch_size, math.ceil(stop / batch_size)
        X, y, *weights = self.feed.take(self.rows, stop)
        rng = np.random.default_rng([self.config.seed, self.epoch, MASKS, self.rows])
        losses = self.stepper(X, y, weights[0] if weights else None, self._rates(first, last), rng)
        self.loss_sum += float(losses)
        if not math.isfinite(self.loss_sum):
            raise InputError(
                f"the loss became {self.loss_sum} in epoch {self.epoch}, between steps "
                f"{first + 1} and {last}: lower --lr ({self.config.lr})"
            )
        self.rows = stop

    def _rates(self, first: int, last: int) -> list[float]:
        """The learning rates of this epoch's steps from first to last."""
        config = self.config
        steps = math.ceil(self.n_rows / config.batch_size)
        before, total = len(self.history) * steps, steps * config.epochs
        schedule = "constant" if config.schedule == PLATEAU else config.schedule
        warmup = min(round(config.warmup * steps), total)
        options = {"gamma": config.lr_factor} if schedule == "step" else {}
        lr = config.lr * self.plateau.scale
        steps_now = range(before + first, before + last)
        factors = learning_rate_factors(schedule, steps_now, total, warmup, **options)
        return [lr * factor for factor in factors]

    def _end_epoch(self) -> None:
        validated: tuple[float, float | None] | tuple[()] = ()
        if self.validation is not None:
            result = evaluate(self.network, *self.validation)
            validated = (result.loss, result.accuracy)
            before = [e.validation_loss for e in self.history if e.validation_loss is not None]
            if result.loss < min(before, default=math.inf):
                self.best = (self.epoch, [array.copy() for array in self.network.parameters()])
            if self.config.schedule == PLATEAU:
                self.plateau.update(result.loss)
        speed = self.n_rows / self.seconds
        self.history.append(Epoch(self.epoch, self.loss, self.seconds, speed, *validated))
        self.rows, self.loss_sum, self.seconds = 0, 0.0, 0.0

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """All that restore() needs to go on to the same bits: arrays on the host, and plain data.

        Call it between segments.
        """
        arrays = {f"network.{i}": array for i, array in enumerate(self.network.parameters())}
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}
        best_epoch, best = self.best or (0, [])
        arrays |= {f"best.{i}": array for i, array in enumerate(best)}
        to_host = self.network.backend.to_host
        return {name: np.ascontiguousarray(to_host(array)) for name, array in arrays.items()}, {
            "config": self.config.to_dict(),
            "data": self.fingerprint,
            "device": self.network.backend.device,
            "history": [list(epoch) for epoch in self.history],
            "rows": self.rows,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds,
            "steps": self.optimizer.steps,
            "plateau": self.plateau.state(),
            "best_epoch": best_epoch,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
        """Take up the run whose state() this is.

        Raises InputError, with the difference named, if it was of another run: other settings,
        other data or other layers.
        """
        for name, value in self.config.to_dict().items():
            if about["config"].get(name) != value:
                raise InputError(
                    f"the checkpoint has {name} {about['config'].get(name)!r}, "
                    f"the run {value!r}: it can't go on with another"
                )
        if about["data"] != self.fingerprint:
            raise InputError(
                f"the data '{self.data.name}' has changed since this was written: its fingerprint "
                f"is {self.fingerprint}, it was {about['data']}"
            )
        to_device = self.network.backend.to_device
        parameters = self.network.parameters()

        def take(prefix: str) -> dict[str, Array]:
            return {
                name.removeprefix(prefix): to_device(array)
                for name, array in arrays.items()
                if name.startswith(prefix)
            }

        kept = take("network.")
        for i, parameter in enumerate(parameters):
            parameter[...] = kept[str(i)]
        self.optimizer.load_state(parameters, take("optimizer."), about["steps"])
        self.plateau.load_state(about["plateau"])
        best = take("best.")
        if best:
            self.best = (about["best_epoch"], [best[str(i)] for i in range(len(parameters))])
        self.history = [Epoch(*epoch) for epoch in about["history"]]
        self.rows, self.loss_sum = about["rows"], about["loss_sum"]
        self.seconds = about["seconds"]


def new_optimizer(config: Config) -> Optimizer:
    """The optimizer that the settings name, before its first step."""
    options: dict[str, Any] = {"weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        options |= {"momentum": config.momentum, "nesterov": config.nesterov}
    return OPTIMIZERS[config.optimizer](**options)


def train(
    data: Dataset,
    config: Config,
    backend: Backend,
    callbacks: Sequence[Callback] = (),
    network: Network | None = None,
) -> Trained:
    """Train a new network, or the one given, on data.train; see Run.

    Raises InputError if the loss stops being a finite number.
    """
    run = Run(data, config, backend, network)
    run.go(callbacks)
    return Trained(run.network, run.history)
