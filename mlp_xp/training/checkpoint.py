"""Checkpoints: all that a bit-for-bit resume needs."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_xp.devices import CPU, Device
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.training.history import Epoch
from mlp_xp.training.model_file import NamedArrays, read_arrays, write_arrays
from mlp_xp.training.ranks import digest
from mlp_xp.types import Array, HostArray

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    """Write all that a bit-for-bit resume needs, for load_checkpoint(). Call it between chunks.

    Raises InputError within a step, if an error has left the run's state half changed, or if the
    file can't be written.
    """
    trainer.guard.check()
    metadata = {
        "config": trainer.config.to_dict(),
        "data": trainer.fingerprint(),
        "device": trainer.network.device.name,
        "ranks": trainer.team.size,
        "history": [list(epoch) for epoch in trainer.history],
        "rows": trainer.rows,
        "loss_sum": trainer.loss_sum,
        "seconds": trainer.seconds,
        "learning_rate": trainer.learning_rate,
        "steps": trainer.optimizer.steps,
        "schedule": trainer.schedule.state(),
        "best_epoch": trainer.early_stopping.best_epoch,
        "best_loss": trainer.early_stopping.best_loss,
    }
    to_host = trainer.network.device.to_host
    arrays = {name: to_host(array) for name, array in _state(trainer).items()}
    write_arrays(path, arrays, metadata, "checkpoint")


def trained_on(path: Path) -> str:
    """The fingerprint of the data that a checkpoint's run is trained on; see Dataset."""
    return str(read_arrays(path, "checkpoint")[1].get("data"))


UP_TO_ROUNDING = ("threads", "graph")
"""Settings that change nothing but the order in which sums are taken."""
EXTENDING = ("epochs", "patience")
"""The settings that may differ in a run that is extended: they say when it ends."""


def load_checkpoint(trainer: Trainer, path: Path, *, extend: bool = False) -> str:
    """Bring a trainer to where save_checkpoint() left another; returns that one's device.

    extend: whether the trainer may have other `epochs` and another `patience`. The schedule then
    spans the new number of epochs, from the next step on. Of ranks, all call this; those of another
    number than before get the same results up to rounding, with a TrainingWarning.

    Raises InputError, naming the difference, if settings, data or layers differ, if the epochs that
    are done are more than the trainer's, if the file is damaged, or if ranks have different files.
    """
    arrays, metadata = read_arrays(path, "checkpoint")
    try:
        _check_same_run(trainer, metadata, EXTENDING if extend else ())
        difference = trainer.team.difference(
            lambda: {"checkpoints": digest(CPU(), list(arrays.values()))}
        )
        if difference is not None:
            raise InputError(f"{difference}; put the same file there for all")
        with trainer.guard:
            _restore(trainer, arrays, metadata)
        device, ranks, now = str(metadata["device"]), metadata.get("ranks", 1), trainer.team.size
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error!r}); start a new run") from error
    if ranks != now:
        message = (
            f"this run was on {ranks} rank{'s' * (ranks != 1)} and continues on {now}: its results "
            "will be the same up to rounding, not bit for bit"
        )
        warnings.warn(message, TrainingWarning, stacklevel=2)
    return device


def _state(trainer: Trainer) -> dict[str, Array]:
    """Every array that training changes, by its name in a checkpoint."""
    best = trainer.early_stopping
    groups = {
        "network": best.last_weights or trainer.network.parameters(),
        "best": best.best_weights,
    }
    groups |= {f"optimizer.{slot}": arrays for slot, arrays in trainer.optimizer.state.items()}
    return {f"{group}.{i}": a for group, arrays in groups.items() for i, a in enumerate(arrays)}


def _check_same_run(
    trainer: Trainer, metadata: Mapping[str, Any], may_differ: Collection[str]
) -> None:
    for name, value in trainer.config.to_dict().items():
        if name not in (*may_differ, *UP_TO_ROUNDING) and metadata["config"].get(name) != value:
            raise InputError(
                f"the checkpoint has {name} {metadata['config'].get(name)!r}, "
                f"the run {value!r}; resume with the same settings"
            )
    begun = len(metadata["history"]) + (metadata["rows"] > 0)
    if trainer.config.epochs < begun:
        raise InputError(f"{begun} epochs are begun; --epochs must be at least that")
    if metadata["data"] != trainer.fingerprint():
        raise InputError(
            f"the data '{trainer.data.name}' isn't what the run was trained on, or has changed "
            "since; give the same data, or start a new run"
        )


def _check_progress(trainer: Trainer, metadata: Mapping[str, Any]) -> None:
    """Raise ValueError unless the figures of the progress can be those of a run."""
    counts = {"rows": trainer.n_rows, "steps": 2**53, "best_epoch": len(metadata["history"])}
    for name, most in counts.items():
        value = metadata[name]
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError(f"{name} is {value!r}")
    numbers = [metadata[name] for name in ("loss_sum", "seconds", "learning_rate", "best_loss")]
    numbers += [figure for epoch in metadata["history"] for figure in epoch[:4]]
    for value in numbers:
        if type(value) not in (int, float):
            raise ValueError(f"{value!r} is no number")


def _restore(trainer: Trainer, arrays: NamedArrays, metadata: Mapping[str, Any]) -> None:
    _check_progress(trainer, metadata)
    best = trainer.early_stopping
    best.best_epoch, best.best_loss = metadata["best_epoch"], metadata["best_loss"]
    best.diverged, best.last_weights = False, []
    parameters = trainer.network.parameters() if best.best_epoch else []
    best.best_weights = [array.copy() for array in parameters]
    restore_arrays(_state(trainer), arrays, trainer.network.device)
    trainer.optimizer.steps = metadata["steps"]
    trainer.schedule.load_state(metadata["schedule"])
    trainer.history = [Epoch(*epoch) for epoch in metadata["history"]]
    trainer.rows, trainer.loss_sum = metadata["rows"], metadata["loss_sum"]
    trainer.seconds, trainer.learning_rate = metadata["seconds"], metadata["learning_rate"]


def restore_arrays(
    state: Mapping[str, Array], saved: Mapping[str, HostArray], device: Device
) -> None:
    """Copy every saved array into the array with the same name on the device.

    Raises InputError, before anything is changed, unless names, shapes and dtypes are the same.
    """
    for name in sorted(state.keys() ^ saved.keys()):
        raise InputError(f"the state {'lacks' if name in state else 'has an unknown'} '{name}'")
    for name, array in state.items():
        if (saved[name].shape, saved[name].dtype) != (array.shape, array.dtype):
            raise InputError(
                f"the state's '{name}' is {saved[name].dtype} {saved[name].shape}, the run's "
                f"{array.dtype} {array.shape}"
            )
    for name, array in state.items():
        array[...] = device.to_device(saved[name])
