"""The model file: a network's arrays in safetensors, which holds data and never code."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from mlp_xp.backend import Backend
from mlp_xp.errors import InputError
from mlp_xp.functions import ACTIVATIONS
from mlp_xp.network import Dense, Network

FORMAT = 1


def save(network: Network, path: Path | str) -> None:
    """Write the network's weights, bit for bit, and its activation to one .safetensors file.

    Tensors `layer.0.W` (n_in, n_out), `layer.0.b` (n_out,) and so on. A reader never sees half of
    it: the bytes go to a temporary file beside it, which then takes its name.
    """
    to_host = network.backend.to_host
    tensors = {}
    for i, layer in enumerate(network.layers):
        tensors[f"layer.{i}.W"] = np.ascontiguousarray(to_host(layer.W))
        tensors[f"layer.{i}.b"] = np.ascontiguousarray(to_host(layer.b))
    about = {"format": FORMAT, "activation": network.activation_name}
    write_whole(Path(path), safetensors.numpy.save(tensors, metadata={"mlp_xp": json.dumps(about)}))


def load(path: Path | str, backend: Backend) -> Network:
    """The network of a file that save() wrote, on `backend`, in the dtype that it was saved in.

    Raises InputError for a file that isn't such a model.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("mlp_xp", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'no such model file'}") from error
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: not a model, or a damaged one ({error})") from error
    return Network(backend, _layers(about, tensors, path, backend), about["activation"])


def _layers(about: Any, tensors: dict[str, Any], path: Path, backend: Backend) -> list[Dense]:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError(f"{path}: a safetensors file, but not a model that this version can read")
    if about.get("activation") not in ACTIVATIONS:
        raise InputError(f"{path}: unknown activation {about.get('activation')!r}")
    count = len(tensors) // 2
    names = [f"layer.{i}.{part}" for i in range(count) for part in "Wb"]
    if not count or sorted(names) != sorted(tensors):
        raise InputError(f"{path}: its arrays aren't the layers of a network")
    n_in = tensors["layer.0.W"].shape[0] if tensors["layer.0.W"].ndim else 0
    for i in range(count):
        W, b = tensors[f"layer.{i}.W"], tensors[f"layer.{i}.b"]
        if W.ndim != 2 or 0 in W.shape or W.shape[0] != n_in or b.shape != W.shape[1:]:
            raise InputError(f"{path}: the shapes of layer {i} don't fit: {W.shape}, {b.shape}")
        if {W.dtype, b.dtype} != {tensors["layer.0.W"].dtype} or W.dtype.kind != "f":
            raise InputError(f"{path}: layer {i} has the wrong type: {W.dtype}, {b.dtype}")
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise InputError(f"{path}: layer {i} holds NaN or infinity")
        n_in = W.shape[1]
    return [
        Dense(
            backend.to_device(tensors[f"layer.{i}.W"]), backend.to_device(tensors[f"layer.{i}.b"])
        )
        for i in range(count)
    ]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that there is either all of it or what was there before, power cuts included.

    Raises InputError if it can't be written, with what was there still in place.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(f"{path}: can't be written: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
