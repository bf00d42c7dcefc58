"""Builds what a Trainer needs from data and settings, and checks that they fit together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from mlp_xp.data import DataLoader, Dataset, Split
from mlp_xp.data.sampling import mean_and_std, sample_weights, shares, value_range
from mlp_xp.devices import CPU, Device
from mlp_xp.devices.blas import default_threads
from mlp_xp.errors import InputError
from mlp_xp.nn import OBJECTIVES, Network, Optimizer, Schedule
from mlp_xp.training.captured import CapturedStep
from mlp_xp.training.config import SETTINGS, Config
from mlp_xp.training.model import Model
from mlp_xp.training.ranks import digest, own_rows, threads_for
from mlp_xp.training.step import PlainStep, TrainStep
from mlp_xp.training.team import Team
from mlp_xp.training.windowed import windowed_step
from mlp_xp.training.workers import SingleWorker, own_kinds, workers_step
from mlp_xp.types import HostArray

BYTES = 255.0
"""What the values of pictures are divided by, in whatever type they come."""
CHUNK_ROWS = 2048
"""Rows between two calls of callbacks: few enough to stop at once, too many to slow training."""
DEVICE_STEPS, DEVICE_BYTES = 1024, 1 << 26
"""The same on a GPU, where every chunk is a wait: at most so many steps, and bytes of rows. No GPU
has measured these guesses."""


def check_data(data: Dataset) -> None:
    """Raise InputError for anything but a Dataset, and for labels that are all the same."""
    if not isinstance(data, Dataset):
        raise InputError(
            f"the data is of type {type(data).__name__}; make a Dataset of arrays with "
            "Dataset.from_arrays(X, y)"
        )
    y = data.train.y[data.train.index()]
    if OBJECTIVES[data.objective].single_label and y.min() == y.max():
        table = f"; if {data.label!r} isn't the label, name it with --label" if data.label else ""
        label = repr(data.output_names[y[0]]) if data.output_names else y[0]
        raise InputError(
            f"{data.name}: every training label is {label}; give at least two classes{table}"
        )


def check_validation(validation: Split | None, config: Config, schedule: Schedule) -> None:
    """Raise InputError if the settings need a validation set and there is none."""
    wanted = {
        f"patience {config.patience}": config.patience is not None,
        f"the schedule {config.schedule}": schedule.needs_validation,
    }
    for name, needed in wanted.items():
        if needed and validation is None:
            raise InputError(f"{name} needs a validation set: give --validation 0.1 or a file")


def settings_for(
    network: Network | None, config: Config | None, communicator: object = None
) -> Config:
    """The settings, by default Config(), with those that a given network has decided already, and
    the number of threads, which the ranks of a communicator share.

    Raises InputError for one that is neither the default nor what the network is, and for anything
    but a Config.
    """
    config = Config() if config is None else config
    if not isinstance(config, Config):
        raise InputError(
            f"the settings are of type {type(config).__name__}; give a Config, such as "
            "Config(epochs=3)"
        )
    if config.threads is None:
        threads = threads_for(communicator)
        if threads > 1 or threads < default_threads():  # otherwise nothing is known of BLAS's own
            config = replace(config, threads=threads)
    if network is None:
        return config
    decided = decided_by(network)
    for name, value in decided.items():
        wanted = getattr(config, name)
        if wanted not in (value, SETTINGS[name].default):
            raise InputError(
                f"{name} is {wanted!r}, but the network that is given has {value!r}: leave {name} "
                "out, or the network"
            )
    return replace(config, **decided)


def decided_by(network: Network) -> dict[str, Any]:
    """The settings that a network has decided already."""
    return {
        "hidden": network.sizes[1:-1],
        "activation": network.activation_name,
        "init": None,
        "objective": network.objective_name,
        "standardize": network.standardization is not None,
        "dtype": str(network.dtype),
    }


def new_network(data: Dataset, train: Split, config: Config, device: Device) -> Model:
    """The network that the settings describe, with its initial weights, for this data.

    train: the rows whose mean and deviation standardize the inputs, if the settings say so, and a
    regression's targets.
    """
    network = Model.initialize(
        device,
        (data.n_features, *config.hidden, data.n_outputs),
        activation=config.activation,
        objective=config.objective,
        init=config.init,
        seed=config.seed,
        dtype=config.dtype,
    )
    _learn_meaning(network, data, train)
    if config.standardize:
        network.standardize(*mean_and_std(train, network.input_scale))
        # Not by a class derived from it, whose loss may mean another thing for scaled targets.
        if vars(type(network.objective)).get("scales_targets"):
            network.target_scaling = target_mean_and_std(train)
    return network


def _learn_meaning(network: Network, data: Dataset, train: Split) -> None:
    """Keep what the data's values mean, and what is said without looking at them.

    What the network knows of its inputs already stays.
    """
    single = network.objective.single_label
    network.prior = shares(train.y[train.index()], data.n_outputs, single_label=single)
    if network.value_range is not None or network.standardization is not None:
        return
    low, high = network.value_range = value_range(train)
    in_bytes = low.min() >= 0 and BYTES / 2 < high.max() <= BYTES and data.picture is not None
    if train.X.dtype == np.uint8 or in_bytes:
        network.input_scale = BYTES


def target_mean_and_std(train: Split) -> tuple[HostArray, HostArray]:
    """Mean and standard deviation of each target, (K,) float64; 1 for one that never changes."""
    y = train.y[train.index()].astype(np.float64)
    std = y.std(axis=0)
    return y.mean(axis=0), np.where(std > 0, std, 1.0)


def scaled_targets(split: Split, network: Network) -> Split:
    """The split with (y - mean) / std in place of y, where the network scales its targets."""
    if network.target_scaling is None:
        return split
    mean, std = network.target_scaling
    return replace(split, y=((split.y - mean) / std).astype(np.float32))


def check_network(network: Network, data: Dataset, train: Split) -> None:
    """Raise InputError unless the data has the inputs, outputs and targets of the network.

    One that doesn't know what its inputs mean learns it from the data.
    """
    if network.objective_name != data.objective:
        raise InputError(
            f"{data.name}: the network's objective is {network.objective_name}, the data was "
            f"loaded for {data.objective}"
        )
    if (network.sizes[0], network.sizes[-1]) != (data.n_features, data.n_outputs):
        raise InputError(
            f"{data.name}: {data.n_features} inputs and {data.n_outputs} outputs, but the "
            f"network has {network.sizes[0]} and {network.sizes[-1]}"
        )
    ours, theirs = network.schema, data.schema
    for name in ("columns", "feature_names", "output_names"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        if None not in (mine, other) and mine != other:
            raise InputError(
                f"{data.name}: {name} is {other!r}, the network's is {mine!r}; load the data with "
                "load_data(..., like=network)"
            )
    if network.prior is None:
        _learn_meaning(network, data, train)
    known = {name: value for name, value in vars(ours).items() if value is not None}
    network.schema = replace(theirs, **known)


def weighted(train: Split, data: Dataset, config: Config, dtype: str) -> Split:
    """The rows with their weights in the loss, in this dtype; see sample_weights()."""
    weights = sample_weights(train, config.class_weight, data.n_outputs, dtype)
    return replace(train, weights=weights)


def _check_team(team: Team, network: Network, config: Config, train: Split) -> None:
    """Raise InputError unless all workers have the same settings, start, kind of device and rows.

    Of the rows all targets are compared, but of the inputs only the first and the last row: they
    may be many.
    """

    def values() -> dict[str, Hashable]:
        rows = [train.take(i, i + 1)[0] for i in (0, len(train) - 1)]
        weights = [array for array in (train.weights, train.rows) if array is not None]
        settings = {f"setting {name}": repr(value) for name, value in config.to_dict().items()}
        return {  # what the others follow from comes first
            "setting seed": settings["setting seed"],
            "data": digest(CPU(), [*rows, train.y, *weights]),
            **settings,
            "device": network.device.on_host,
            "weights": digest(network.device, network.parameters()),
        }

    difference = team.difference(values)
    if difference is not None:
        raise InputError(f"{difference}; start all with the same")


def new_train_step(
    network: Network, optimizer: Optimizer, config: Config, train: Split, team: Team
) -> TrainStep:
    """The fastest step for these settings: on several cores, windowed, on one core, PlainStep; on a
    GPU windowed or a single worker's, captured. A window of 1 asks for PlainStep, and so do ranks.

    Raises InputError as windowed_step() does, for windows on ranks, and for ranks that differ.
    """
    objective = config.build(OBJECTIVES[network.objective_name])
    weighted = train.weights is not None
    if team.size > 1:
        _check_team(team, network, config, train)
        if config.window not in (None, 1):
            raise InputError(f"window {config.window} needs a single rank; leave the window out")
        return PlainStep(network, objective, optimizer, config, team)
    windowed = windowed_step(network, objective, optimizer, config, weighted=weighted)
    plain = PlainStep(network, objective, optimizer, config)
    if config.window == 1 or not own_kinds(network, objective, optimizer):
        return windowed or plain
    if not network.device.on_host:
        longest = min(config.batch_size, len(train))
        steps = windowed or SingleWorker(
            network, objective, optimizer, config, longest, weighted=weighted
        )
        return CapturedStep(network, optimizer, config, steps)
    if config.window is not None:
        return windowed or plain
    rows = min(chunk_rows(config, network, train), len(train))
    on_cores = workers_step(
        network, objective, optimizer, config, len(train), rows, has_windows=windowed is not None
    )
    return windowed if windowed is not None and on_cores.size == 1 else on_cores


def new_loader(
    network: Network, train: Split, config: Config, device_memory: int | None, team: Team
) -> DataLoader:
    """The loader of these rows, in chunks of whole batches; of a worker's share of each batch."""
    return DataLoader(
        network.device, train, chunk_rows=chunk_rows(config, network, train),
        shuffle=config.shuffle, seed=config.seed, device_memory=device_memory,
        own=own_rows(team, len(train), config.batch_size),
    )  # fmt: skip


def chunk_rows(config: Config, network: Network, train: Split) -> int:
    """The rows of a chunk, of whole batches: a number that follows from the settings, the data and
    the kind of device alone."""
    rows, batch_size = CHUNK_ROWS, config.batch_size
    # A dropout mask is drawn from a stream of its chunk, wherever that is computed.
    if not (network.device.on_host or config.dropout):
        row_bytes = train.X[:1].nbytes
        rows = max(rows, min(DEVICE_STEPS * batch_size, DEVICE_BYTES // row_bytes))
    return max(1, rows // batch_size) * batch_size
