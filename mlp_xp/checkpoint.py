"""Models and checkpoints on disk: arrays in safetensors, which holds data and never code."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from mlp_xp.backend import Backend
from mlp_xp.errors import InputError
from mlp_xp.functions import ACTIVATIONS, OUTPUTS
from mlp_xp.network import Dense, Network
from mlp_xp.training import Callback, Run

MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
FORMAT = 1

Arrays = dict[str, NDArray[Any]]


def save(network: Network, path: Path | str) -> None:
    """Write the network's weights, bit for bit, and what its inputs and outputs mean.

    Tensors `layer.0.W` (n_in, n_out), `layer.0.b` (n_out,) and so on; `input.mean` and
    `input.deviation` (n_in,) if it standardises. Raises InputError if the file can't be written.
    """
    arrays = {}
    for i, layer in enumerate(network.layers):
        arrays[f"layer.{i}.W"], arrays[f"layer.{i}.b"] = layer.W, layer.b
    if network.standardisation is not None:
        arrays["input.mean"], arrays["input.deviation"] = network.standardisation
    to_host = network.backend.to_host
    about = {
        "activation": network.activation_name,
        "output": network.output_name,
        "classes": network.classes,
    }
    _write(Path(path), {k: to_host(a) for k, a in arrays.items()}, about, "model")


def load(path: Path | str, backend: Backend) -> Network:
    """The network of a file that save() wrote, on `backend`, in the dtype that it was saved in.

    A folder stands for the model in it. Raises InputError for a file that isn't such a model.
    """
    path = Path(path)
    path = path / MODEL if path.is_dir() else path
    arrays, about = _read(path, "model")
    _check_model(arrays, about, path)
    mean, deviation = arrays.pop("input.mean", None), arrays.pop("input.deviation", None)
    layers = [
        Dense(backend.to_device(arrays[f"layer.{i}.W"]), backend.to_device(arrays[f"layer.{i}.b"]))
        for i in range(len(arrays) // 2)
    ]
    network = Network(backend, layers, about["activation"], about["output"])
    network.classes = tuple(about["classes"]) if about["classes"] else None
    if mean is not None and deviation is not None:
        network.standardise(mean, deviation)
    return network


def _check_model(arrays: Arrays, about: dict[str, Any], path: Path) -> None:
    """Raise InputError unless these are the arrays and the description of a network."""
    for name, choices in (("activation", ACTIVATIONS), ("output", OUTPUTS)):
        if about.get(name) not in list(choices):
            raise InputError(f"{path}: not a model: its {name} is {about.get(name)!r}")
    inputs = [name for name in ("input.mean", "input.deviation") if name in arrays]
    count = (len(arrays) - len(inputs)) // 2
    names = [f"layer.{i}.{part}" for i in range(count) for part in "Wb"] + inputs
    if not count or len(inputs) == 1 or sorted(names) != sorted(arrays):
        raise InputError(f"{path}: not a model: its arrays aren't the layers of a network")
    dtype = arrays["layer.0.W"].dtype
    if str(dtype) not in ("float32", "float64"):
        raise InputError(f"{path}: not a model: its weights are of type {dtype}")
    n_in = (arrays["layer.0.W"].shape or (0,))[0]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(inputs, (n_in,))
    for i in range(count):
        n_out = (arrays[f"layer.{i}.b"].shape or (0,))[0]
        shapes |= {f"layer.{i}.W": (n_in, n_out), f"layer.{i}.b": (n_out,)}
        n_in = n_out
    for name, array in arrays.items():
        if array.shape != shapes[name] or 0 in array.shape or array.dtype != dtype:
            raise InputError(
                f"{path}: damaged model: {name} is {array.dtype} {array.shape}, "
                f"where {dtype} {shapes[name]} fits"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{path}: damaged model: {name} holds NaN or infinity")
    classes = about.get("classes", ())
    fits = isinstance(classes, list) and len(classes) == n_in
    if classes is not None and not (fits and all(isinstance(name, str) for name in classes)):
        raise InputError(f"{path}: damaged model: {n_in} outputs, but its classes are {classes!r}")


def save_run(run: Run, path: Path) -> None:
    """Write all that restore_run() needs. Call it between segments; see Run.state()."""
    arrays, about = run.state()
    _write(path, arrays, about, "checkpoint")


def restore_run(run: Run, path: Path) -> str:
    """Take the run up where save_run() left it; returns the device that it was on.

    Raises InputError if that was another run.
    """
    arrays, about = _read(path, "checkpoint")
    try:
        run.restore(arrays, about)
        return str(about["device"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error!r}); start the run anew") from error


class Saver(Callback):
    """Writes a run's checkpoint every so many seconds, or epochs."""

    def __init__(self, path: Path, *, seconds: float | None = None, epochs: int | None = None):
        self.path = path
        self.seconds = seconds
        self.epochs = epochs
        self.written = time.monotonic()

    def on_segment(self, run: Run) -> None:
        """Save when it is time."""
        if self.seconds is not None and time.monotonic() - self.written >= self.seconds:
            self.save(run)

    def on_epoch(self, run: Run) -> None:
        """Save when it is time; the last epoch is followed by the model itself."""
        if self.epochs is not None and len(run.history) % self.epochs == 0:
            self.save(run)

    def save(self, run: Run) -> None:
        """Save now."""
        save_run(run, self.path)
        self.written = time.monotonic()


def _write(path: Path, arrays: Mapping[str, Any], about: dict[str, Any], kind: str) -> None:
    # One entry: safetensors writes several in no fixed order, and equal runs make equal files.
    metadata = {"mlp_xp": json.dumps({"format": f"{kind} {FORMAT}", **about})}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, safetensors.numpy.save(whole, metadata))


def _read(path: Path, kind: str) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and description of a file that _write() made; InputError for any other."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("mlp_xp", "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'no such file'}") from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a {kind} file, or a damaged one ({error})") from error
    if not isinstance(about, dict) or about.get("format") != f"{kind} {FORMAT}":
        raise InputError(f"{path}: a safetensors file, but not a {kind} of this version")
    return arrays, about


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that there is either all of it or what was there before, power cuts included.

    The bytes go to a file beside it, and on to the disk, before that takes the name. Raises
    InputError if it can't be written, with what was there still in place.
    """
    part = _part(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise InputError(f"{path}: can't be written: {error.strerror or error}") from error


def discard(path: Path) -> None:
    """Remove a file that write_whole() made, and what a kill in the middle of it left."""
    path.unlink(missing_ok=True)
    _part(path).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    # Always the same name, so that what a kill leaves is overwritten and doesn't pile up.
    return path.with_name(f".{path.name}.part")
