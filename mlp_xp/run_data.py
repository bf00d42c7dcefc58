"""The data of a run, read again with what its model knows of it."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace

from mlp_xp.data import Dataset
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.runs import RunFolder
from mlp_xp.training import Model
from mlp_xp.training.checkpoint import trained_on


def check_present(source: str | None, option: str) -> None:
    """Raise InputError if the data of a run has gone; `option` says where it is now."""
    if source not in (None, "mnist") and not os.path.exists(source):
        raise InputError(f"{source}: no such file or folder; if it has moved, give {option}")


def load_run_data(
    folder: RunFolder, model: Model, *, label: str | None = None, moved_to: str | None = None
) -> Dataset:
    """The data set that a run was trained on, split as it was.

    label: the column with the labels, if it isn't called as in training. moved_to: where the data
    is, if it isn't where it was. Warns if the data has changed since. Raises InputError if it can't
    be read, or doesn't fit the model.
    """
    settings = folder.read_settings()
    own = settings.source
    source = replace(own, data=moved_to or own.data, label=label or own.label)
    check_present(source.data, "--data")
    data = source.load(model.objective_name, like=model, seed=settings.config.seed)
    if folder.checkpoint.exists() and trained_on(folder.checkpoint) != data.fingerprint():
        warnings.warn(
            f"{source.data} has changed since the run was trained on it, so "
            "these rows may be among those that it learned from",
            TrainingWarning,
            stacklevel=2,
        )
    return data
