"""Models and checkpoints on disk: arrays in safetensors, which holds data and never code."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from mlp_xp.devices import Device, get_device
from mlp_xp.errors import InputError
from mlp_xp.files import write_atomic
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, Dense, Network
from mlp_xp.training.history import Epoch
from mlp_xp.types import Array, HostArray

if TYPE_CHECKING:
    from mlp_xp.training.trainer import Trainer

MODEL = "model.safetensors"
"""The model's file name in a run's folder."""
FORMATS = {"model": 1, "checkpoint": 2}  # other versions are refused

NamedArrays = dict[str, HostArray]


def save_model(network: Network, path: Path | str) -> None:
    """Write the network's weights, bit for bit, its architecture, standardization and names.

    Tensors `layer.0.W` (n_in, n_out), `layer.0.b` (n_out,) and so on; `input.mean` and `input.std`
    (n_in,) float64 if it standardizes. Raises InputError if the file can't be written.
    """
    arrays = {}
    for i, layer in enumerate(network.layers):
        arrays[f"layer.{i}.W"], arrays[f"layer.{i}.b"] = layer.W, layer.b
    if network.standardization is not None:
        arrays["input.mean"], arrays["input.std"] = network.standardization
    to_host = network.device.to_host
    metadata = {
        "activation": network.activation_name,
        "objective": network.objective_name,
        "feature_names": network.feature_names,
        "output_names": network.output_names,
        "label": network.label,
    }
    _write(Path(path), {k: to_host(a) for k, a in arrays.items()}, metadata, "model")


def load_model(path: Path | str, device: Device | None = None) -> Network:
    """The network of a file that save_model() wrote, in the dtype that it was saved in.

    path may be a run's folder. device: get_device()'s if None. Raises InputError unless the file is
    a valid model.
    """
    device = device or get_device()
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL).exists():
            raise InputError(f"{path}: holds no {MODEL}; a run has one once it is finished")
        path = path / MODEL
    arrays, metadata = _read(path, "model")
    _check_model(arrays, metadata, path)
    mean, std = arrays.pop("input.mean", None), arrays.pop("input.std", None)
    layers = [
        Dense(device.to_device(arrays[f"layer.{i}.W"]), device.to_device(arrays[f"layer.{i}.b"]))
        for i in range(len(arrays) // 2)
    ]
    network = Network(device, layers, metadata["activation"], metadata["objective"])
    for names in ("feature_names", "output_names"):
        setattr(network, names, tuple(metadata[names]) if metadata.get(names) else None)
    network.label = metadata.get("label")
    if mean is not None and std is not None:
        network.standardize(mean, std)
    return network


def _check_model(arrays: NamedArrays, metadata: dict[str, Any], path: Path) -> None:
    """Raise InputError unless these are the arrays and the description of a network."""
    for name, choices in (("activation", ACTIVATIONS), ("objective", OBJECTIVES)):
        if metadata.get(name) not in list(choices):
            raise InputError(
                f"{path}: not a model: its {name} is {metadata.get(name)!r}, which isn't registered"
            )
    inputs = [name for name in ("input.mean", "input.std") if name in arrays]
    count = (len(arrays) - len(inputs)) // 2
    wanted = [f"layer.{i}.{part}" for i in range(count) for part in "Wb"] + inputs
    if not count or len(inputs) == 1 or sorted(wanted) != sorted(arrays):
        raise InputError(f"{path}: not a model: its arrays aren't the layers of a network")
    dtype = arrays["layer.0.W"].dtype
    if str(dtype) not in ("float32", "float64"):
        raise InputError(f"{path}: not a model: its weights are of type {dtype}")
    n_in = (arrays["layer.0.W"].shape or (0,))[0]
    n_features = n_in
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(inputs, (n_in,))
    for i in range(count):
        n_out = (arrays[f"layer.{i}.b"].shape or (0,))[0]
        shapes |= {f"layer.{i}.W": (n_in, n_out), f"layer.{i}.b": (n_out,)}
        n_in = n_out
    for name, array in arrays.items():
        fitting = np.dtype("float64") if name in inputs else dtype
        if array.shape != shapes[name] or 0 in array.shape or array.dtype != fitting:
            raise InputError(
                f"{path}: damaged model: {name} is {array.dtype} {array.shape}, "
                f"where {fitting} {shapes[name]} fits"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{path}: damaged model: {name} holds NaN or infinity")
    if inputs and not (arrays["input.std"] > 0).all():
        raise InputError(f"{path}: damaged model: input.std holds 0 or less")
    _check_names(metadata, n_features, n_in, path)


def _check_names(metadata: dict[str, Any], n_features: int, n_outputs: int, path: Path) -> None:
    """Raise InputError unless the names fit a network of so many inputs and outputs."""
    for key, count in (("feature_names", n_features), ("output_names", n_outputs)):
        names = metadata.get(key)
        fits = isinstance(names, list) and len(names) == count
        if names is not None and not (fits and all(isinstance(name, str) for name in names)):
            raise InputError(f"{path}: damaged model: {count} names fit, but {key} is {names!r}")
    if not isinstance(metadata.get("label"), str | None):
        raise InputError(f"{path}: damaged model: label is {metadata['label']!r}")


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
    _write(path, arrays, metadata, "checkpoint")


EXTENDING = ("epochs", "patience")
"""The settings that may differ in a run that is extended: they say when it ends."""


def load_checkpoint(trainer: Trainer, path: Path, *, extend: bool = False) -> str:
    """Bring a trainer to where save_checkpoint() left another; returns that one's device.

    extend: whether the trainer may have other `epochs` and another `patience`. The schedule then
    spans the new number of epochs, from the next step on.

    Raises InputError, naming the difference, if settings, data or layers differ, if the epochs that
    are done are more than the trainer's, or if the file is damaged.
    """
    arrays, metadata = _read(path, "checkpoint")
    try:
        _check_same_run(trainer, metadata, EXTENDING if extend else ())
        with trainer.guard:
            _restore(trainer, arrays, metadata)
        return str(metadata["device"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error!r}); start a new run") from error


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
        if name not in may_differ and metadata["config"].get(name) != value:
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


def _restore(trainer: Trainer, arrays: NamedArrays, metadata: Mapping[str, Any]) -> None:
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


def _write(path: Path, arrays: Mapping[str, Any], metadata: dict[str, Any], kind: str) -> None:
    # One entry: safetensors writes several in no fixed order, and equal runs make equal files.
    header = {"mlp_xp": json.dumps({"format": f"{kind} {FORMATS[kind]}", **metadata})}
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomic(path, safetensors.numpy.save(contiguous, header))


def _read(path: Path, kind: str) -> tuple[NamedArrays, dict[str, Any]]:
    """NamedArrays and metadata of a file that _write() made; InputError for any other."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("mlp_xp", "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'no such file'}") from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a {kind} file, or a damaged one ({error})") from error
    if not isinstance(metadata, dict) or metadata.get("format") != f"{kind} {FORMATS[kind]}":
        raise InputError(f"{path}: a safetensors file, but not a {kind} of this version")
    return arrays, metadata
