"""train(): from rows as people have them to a trained model, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlp_xp.data import Dataset
from mlp_xp.devices import Device
from mlp_xp.errors import InputError
from mlp_xp.nn.network import Network
from mlp_xp.training.callbacks import Callback, WarnOfDoubts
from mlp_xp.training.config import Config
from mlp_xp.training.history import TrainingResult
from mlp_xp.training.model import Model
from mlp_xp.training.recipes import config_for
from mlp_xp.training.setup import decided_by
from mlp_xp.training.start import start_from, wanted_schema
from mlp_xp.training.trainer import Trainer

DATA_ARGUMENTS = ("weights", "test", "output_names", "feature_names", "label", "name")
"""The arguments of Dataset.from_arrays() that aren't settings, too."""


def train(
    data: Any,
    y: Any = None,
    device: Device | None = None,
    callbacks: Sequence[Callback] = (),
    network: Network | None = None,
    *,
    config: Config | None = None,
    communicator: Any = None,
    **settings: Any,
) -> TrainingResult:
    """Train a new model, or go on with the network given, and return it; see Trainer.

    data, y: rows X and their labels, both as Dataset.from_arrays() takes them, whose other
    arguments may be given too: `weights`, `test`, `output_names` and so on. Or a Dataset, and no y.
    settings: fields of Config, and `recipe`; all others follow from the data, see config_for().
    `validation` is a share of the rows, or rows (X, y).
    config: all settings, in place of these. With a Dataset it may be the second argument.
    network: a Model goes on with rows of its own columns, and its classes or new ones, see
    start_from(); any other Network has to fit the data. device: the network's, or get_device().
    communicator: mpi4py's, such as MPI.COMM_WORLD, whose ranks all call this; see Trainer.

    Raises InputError if data and settings don't fit together, or if the loss stops being finite;
    warns of history_doubts().
    """
    if isinstance(data, Dataset):
        if not isinstance(y, Config | None) or (y is not None and config is not None):
            raise InputError(
                f"the settings are of type {type(y).__name__}; give a Config, such as "
                "Config(epochs=3), or the settings by name"
            )
        config = y if config is None else config
    else:
        if y is None:
            raise InputError(
                f"the data is of type {type(data).__name__}; give rows and their labels, as in "
                "train(X, y), or a Dataset"
            )
        given = {name: settings.pop(name) for name in DATA_ARGUMENTS if name in settings}
        if isinstance(settings.get("validation"), tuple | list):
            given["validation"] = settings.pop("validation")
        if isinstance(network, Model) and not given:  # of the columns and classes that it knows
            data = Dataset.like(
                wanted_schema(network), data, y, network.objective_name, new_classes=True
            )
            network, data = start_from(network, data)
        else:
            data = Dataset.from_arrays(data, y, objective=settings.get("objective"), **given)
    if config is not None and settings:
        raise InputError(f"config and {', '.join(settings)} exclude each other; give one of them")
    if config is None:
        decided = {} if network is None else decided_by(network)
        config = config_for(data, **{**decided, **settings})
    return Trainer(data, config, device, network, communicator=communicator).fit(
        [*callbacks, WarnOfDoubts()]
    )
