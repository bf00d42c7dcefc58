"""Training: from a data set and settings to a trained network, epoch by epoch."""

import math
import time
from collections.abc import Sequence
from functools import cache

from mlp_xp.data import Dataset
from mlp_xp.data.sampling import train_validation_split
from mlp_xp.devices import Device, flush_denormals, get_device
from mlp_xp.nn import OPTIMIZERS, SCHEDULES, Network
from mlp_xp.nn.rng import stream
from mlp_xp.nn.schedules import learning_rates
from mlp_xp.training import setup
from mlp_xp.training.callbacks import Callback
from mlp_xp.training.config import Config
from mlp_xp.training.early_stopping import EarlyStopping, check_finite, check_weights
from mlp_xp.training.environment import StepGuard, training_environment
from mlp_xp.training.evaluation import validate
from mlp_xp.training.history import Epoch, TrainingResult
from mlp_xp.training.ranks import team_of
from mlp_xp.types import Chunk


class Trainer:
    """A training run: its settings, and all state that changes during it.

    history: the finished epochs. In the current one, `rows` rows are done, and their losses add up
    to loss_sum; learning_rate is the last step's. See DataLoader, and team_of() for communicator.
    """

    def __init__(
        self,
        data: Dataset,
        config: Config | None = None,
        device: Device | None = None,
        network: Network | None = None,
        device_memory: int | None = None,
        communicator: object = None,
    ):
        setup.check_data(data)
        config = self.config = setup.settings_for(network, config, communicator)
        device = device or (network.device if network else get_device())
        device.use()
        self.data, self.fingerprint = data, cache(data.fingerprint)  # a pass over all of the data
        self.schedule = config.build(SCHEDULES[config.schedule])
        train, self.validation = train_validation_split(data, config.validation, config.seed)
        setup.check_validation(self.validation, config, self.schedule)
        self.network = network or setup.new_network(data, train, config, device)
        setup.check_network(self.network, data, train)
        self.optimizer = config.build(OPTIMIZERS[config.optimizer])
        self.optimizer.initialize(self.network.parameters())
        train = setup.scaled_targets(train, self.network)
        train = setup.weighted(train, data, config, str(self.network.dtype))
        team = self.team = team_of(communicator, device)
        self.train_step = setup.new_train_step(self.network, self.optimizer, config, train, team)
        self.loader = setup.new_loader(self.network, train, config, device_memory, team)
        self.n_rows, self._stopped = len(train), False
        self.history: list[Epoch] = []
        self.rows, self.loss_sum, self.seconds, self.learning_rate = 0, 0.0, 0.0, 0.0
        self.early_stopping, self.guard = EarlyStopping(config.patience), StepGuard()

    @property
    def epoch(self) -> int:
        """The number, from 1, of the current epoch."""
        return len(self.history) + 1

    @property
    def loss(self) -> float:
        """The mean loss of this epoch's rows so far; NaN before the first."""
        return self.loss_sum / self.rows if self.rows else math.nan

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

        Ctrl-C takes effect between chunks, so that a later fit() goes on to the same bits; a second
        one at once. Raises InputError if the loss stops being finite, unless patience has kept
        weights from before: then these are the result, with a TrainingWarning.
        """
        if not self.finished:
            self.guard.check()
        self._stopped = False
        self.network.device.use()
        with (
            training_environment(self.network.device) as interrupts,
            self.train_step.running(),
            self.early_stopping.best_at_the_end(self),
        ):
            while not (self.finished or self.team.count(self._stopped)):
                self._fit_epoch([*callbacks, interrupts])
        return TrainingResult(self.network, self.history)  # type: ignore[arg-type]  # see there

    def _fit_epoch(self, callbacks: Sequence[Callback]) -> None:
        """The rest of an epoch, chunk by chunk."""
        started = time.perf_counter()
        for chunk in self.loader.epoch(self.epoch, self.rows):
            with self.guard, flush_denormals():
                self._fit_chunk(chunk)
            self.seconds += time.perf_counter() - started
            for callback in callbacks:
                callback.on_chunk(self)
            self.network.device.use()  # a callback may have used another
            if self.team.count(self._stopped):  # on any rank
                return
            started = time.perf_counter()
        with self.guard:
            self._end_epoch()
        for callback in callbacks:
            callback.on_epoch(self)
        self.network.device.use()

    def _fit_chunk(self, chunk: Chunk) -> None:
        n_rows = min(self.loader.chunk_rows, self.n_rows - self.rows)  # of all ranks
        lrs = self.learning_rates(n_rows)
        rng = stream(self.config.seed, "dropout", self.epoch, self.rows)
        self.loss_sum += float(self.train_step(chunk, lrs, rng))
        check_finite(self.loss_sum, self.epoch, self.rows, len(lrs), self.config)
        self.rows += n_rows
        self.learning_rate = lrs[-1]

    def learning_rates(self, rows: int) -> list[float]:
        """The learning rate of each step on the epoch's next `rows` rows."""
        batch_size = self.config.batch_size
        steps_an_epoch = math.ceil(self.n_rows / batch_size)
        total = steps_an_epoch * self.config.epochs
        first = len(self.history) * steps_an_epoch + math.ceil(self.rows / batch_size)
        steps = range(first, first + math.ceil(rows / batch_size))
        warmup = round(min(self.config.warmup * steps_an_epoch, total))
        return learning_rates(self.config.lr, self.schedule, steps, total, warmup)

    def _end_epoch(self) -> None:
        check_weights(self.network, self.epoch, self.config, self.team)
        speed, rate = self.n_rows / self.seconds, self.learning_rate
        epoch = Epoch(self.epoch, self.loss, self.seconds, speed, learning_rate=rate)
        if self.validation is not None:
            result = validate(self.network, self.validation, self.epoch, self.team)
            epoch = epoch._replace(validation_loss=result.loss, validation_accuracy=result.accuracy)
            self.early_stopping.observe(self.epoch, result.loss, self.network.parameters())
            self.schedule.observe(result.loss)
        self.history.append(epoch)
        self.rows, self.loss_sum, self.seconds = 0, 0.0, 0.0
