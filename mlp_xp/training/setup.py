"""Builds what a Trainer needs from data and settings, and checks that they fit together."""

from __future__ import annotations

from mlp_xp.data import Dataset, Split
from mlp_xp.data.sampling import mean_and_std
from mlp_xp.devices import Device
from mlp_xp.errors import InputError
from mlp_xp.nn import OBJECTIVES, Network, Optimizer, Schedule
from mlp_xp.training.config import Config
from mlp_xp.training.step import PlainStep, TrainStep
from mlp_xp.training.windowed import windowed_step


def check_data(data: Dataset, validation: Split | None, config: Config, schedule: Schedule) -> None:
    """Raise InputError for labels that are all the same, and for a missing validation set.

    validation: as train_validation_split() returns it.
    """
    y = data.train.y[data.train.index()]
    if OBJECTIVES[data.objective].single_label and y.min() == y.max():
        raise InputError(f"{data.name}: every training label is {y[0]}; give at least two classes")
    wanted = {"patience": config.patience, "schedule": schedule.needs_validation}
    for name, needed in wanted.items():
        if needed and validation is None:
            raise InputError(f"{name} needs a validation set: give --validation 0.1 or a file")


def new_network(data: Dataset, train: Split, config: Config, device: Device) -> Network:
    """The network that the settings describe, with its initial weights, for this data.

    train: the rows whose mean and deviation standardize the inputs, if the settings say so.
    """
    network = Network.initialize(
        device,
        (data.n_features, *config.hidden, data.n_outputs),
        activation=config.activation,
        objective=config.objective,
        init=config.init,
        seed=config.seed,
        dtype=config.dtype,
    )
    network.output_names = data.output_names
    if config.standardize:
        network.standardize(*mean_and_std(train))
    return network


def check_network(network: Network, data: Dataset) -> None:
    """Raise InputError unless the data has the inputs, outputs and targets of the network."""
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


def new_train_step(
    network: Network, optimizer: Optimizer, config: Config, weighted: bool
) -> TrainStep:
    """The windowed step where it supports the settings and is faster, else PlainStep.

    weighted: whether rows have weights in the loss. Raises InputError as windowed_step() does.
    """
    objective = config.build(OBJECTIVES[network.objective_name])
    windowed = windowed_step(network, objective, optimizer, config, weighted=weighted)
    return windowed or PlainStep(network, objective, optimizer, config)
