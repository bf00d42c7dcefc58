"""Trained models on disk: arrays in safetensors, which holds data and never code."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from mlp_xp.devices import Device, get_device
from mlp_xp.errors import InputError
from mlp_xp.files import write_atomic
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, Dense, Network
from mlp_xp.schema import Schema
from mlp_xp.training.model import Model
from mlp_xp.types import HostArray

MODEL = "model.safetensors"
"""The model's file name in a run's folder."""
FORMATS = {"model": 2, "checkpoint": 2, "torch": 1}  # other versions are refused

NamedArrays = dict[str, HostArray]


def save_model(network: Network, path: Path | str) -> None:
    """Write the network's weights, bit for bit, its architecture, and what its inputs mean.

    Tensors `layer.0.W` (n_in, n_out), `layer.0.b` (n_out,) and so on. In float64, where the network
    has them: `input.mean`, `input.std`, `input.low`, `input.high` (n_in,), `output.mean`,
    `output.std`, `output.prior` (n_out,). Raises InputError if the file can't be written.
    """
    write_arrays(Path(path), *to_parts(network), "model")


def to_parts(network: Network) -> tuple[NamedArrays, dict[str, Any]]:
    """The arrays on the host, and the metadata, that a model file has: see save_model()."""
    to_host = network.device.to_host
    arrays = {}
    for i, layer in enumerate(network.layers):
        arrays[f"layer.{i}.W"], arrays[f"layer.{i}.b"] = to_host(layer.W), to_host(layer.b)
    pairs = {
        ("input.mean", "input.std"): network.standardization,
        ("output.mean", "output.std"): network.target_scaling,
        ("input.low", "input.high"): network.value_range,
        ("output.prior",): None if network.prior is None else (network.prior,),
    }
    for names, values in pairs.items():
        for name, value in zip(names, values or (), strict=False):
            arrays[name] = to_host(value)
    metadata = {
        "activation": network.activation_name,
        "objective": network.objective_name,
        "input_scale": network.input_scale,
        "schema": network.schema.to_dict(),
    }
    return arrays, metadata


def load_model(path: Path | str, device: Device | None = None) -> Model:
    """The model of a file that save_model() wrote, in the dtype that it was saved in.

    path may be a run's folder. device: get_device()'s if None. Raises InputError unless the file is
    a valid model.
    """
    device = device or get_device()
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL).exists():
            raise InputError(f"{path}: holds no {MODEL}; a run has one once it is finished")
        path = path / MODEL
    return from_parts(*read_arrays(path, "model"), path, device)


def from_parts(arrays: NamedArrays, metadata: dict[str, Any], path: Path, device: Device) -> Model:
    """The model of to_parts(), which came from the file `path`.

    Raises InputError, naming the file, unless they are a model's.
    """
    n_layers, schema = _check_model(arrays, metadata, path)
    layers = [
        Dense(device.to_device(arrays[f"layer.{i}.W"]), device.to_device(arrays[f"layer.{i}.b"]))
        for i in range(n_layers)
    ]
    model = Model(device, layers, metadata["activation"], metadata["objective"])
    model.schema, model.input_scale = schema, metadata.get("input_scale")
    if "input.mean" in arrays:
        model.standardize(arrays["input.mean"], arrays["input.std"])
    if "output.mean" in arrays:
        model.target_scaling = arrays["output.mean"], arrays["output.std"]
    if "input.low" in arrays:
        model.value_range = arrays["input.low"], arrays["input.high"]
    model.prior = arrays.get("output.prior")
    return model


PAIRS = {"input.mean": "input.std", "input.low": "input.high", "output.mean": "output.std"}
"""Arrays beside the layers' that come with another."""


def _check_model(arrays: NamedArrays, metadata: dict[str, Any], path: Path) -> tuple[int, Schema]:
    """The number of layers, and the schema. Raises InputError unless these describe a network."""
    for name, choices in (("activation", ACTIVATIONS), ("objective", OBJECTIVES)):
        if metadata.get(name) not in list(choices):
            raise InputError(
                f"{path}: not a model: its {name} is {metadata.get(name)!r}, which isn't registered"
            )
    others = [name for name in (*PAIRS, *PAIRS.values(), "output.prior") if name in arrays]
    n_layers = (len(arrays) - len(others)) // 2
    wanted = [f"layer.{i}.{part}" for i in range(n_layers) for part in "Wb"] + others
    paired = all((first in arrays) == (second in arrays) for first, second in PAIRS.items())
    if not n_layers or not paired or sorted(wanted) != sorted(arrays):
        raise InputError(f"{path}: not a model: its arrays aren't the layers of a network")
    dtype = arrays["layer.0.W"].dtype
    if str(dtype) not in ("float32", "float64"):
        raise InputError(f"{path}: not a model: its weights are of type {dtype}")
    n_features = n_in = (arrays["layer.0.W"].shape or (0,))[0]
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(n_layers):
        n_out = (arrays[f"layer.{i}.b"].shape or (0,))[0]
        shapes |= {f"layer.{i}.W": (n_in, n_out), f"layer.{i}.b": (n_out,)}
        n_in = n_out
    shapes |= {name: (n_features if name.startswith("input") else n_in,) for name in others}
    for name, array in arrays.items():
        fitting = np.dtype("float64") if name in others else dtype
        if array.shape != shapes[name] or 0 in array.shape or array.dtype != fitting:
            raise InputError(
                f"{path}: damaged model: {name} is {array.dtype} {array.shape}, "
                f"where {fitting} {shapes[name]} fits"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{path}: damaged model: {name} holds NaN or infinity")
    for name in ("input.std", "output.std"):
        if name in arrays and not (arrays[name] > 0).all():
            raise InputError(f"{path}: damaged model: {name} holds 0 or less")
    return n_layers, _read_schema(metadata, n_features, n_in, path)


def _read_schema(metadata: dict[str, Any], n_features: int, n_outputs: int, path: Path) -> Schema:
    """The schema, which has to fit a network of so many inputs and outputs."""
    scale = metadata.get("input_scale")
    if scale is not None and not (isinstance(scale, float) and 0 < scale < math.inf):
        raise InputError(f"{path}: damaged model: input_scale is {scale!r}")
    try:
        schema = Schema.from_dict(metadata.get("schema"))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise InputError(f"{path}: damaged model: its schema can't be read ({error})") from error
    counts: dict[str, tuple[Sequence[Any] | None, int]] = {
        "feature_names": (schema.feature_names, n_features),
        "output_names": (schema.output_names, n_outputs),
        "columns": (
            None if schema.columns is None
            else [name for column in schema.columns for name in column.feature_names],
            n_features,
        ),
        "picture": (
            None if schema.picture is None else range(schema.picture.n_inputs),
            n_features,
        ),
    }  # fmt: skip
    for key, (names, count) in counts.items():
        if names is not None and len(names) != count:
            raise InputError(
                f"{path}: damaged model: {count} names fit, but {key} has {len(names)}"
            )
    return schema


def write_arrays(
    path: Path, arrays: Mapping[str, Any], metadata: dict[str, Any], kind: str
) -> None:
    """Write arrays and metadata to a file of this kind, a key of FORMATS."""
    # One entry: safetensors writes several in no fixed order, and equal runs make equal files.
    header = {"mlp_xp": json.dumps({"format": f"{kind} {FORMATS[kind]}", **metadata})}
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomic(path, safetensors.numpy.save(contiguous, header))


def read_arrays(path: Path, kind: str) -> tuple[NamedArrays, dict[str, Any]]:
    """The arrays and metadata of a file of write_arrays(). Raises InputError for any other."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"{path}: is not a regular file")  # a pipe would be waited for
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
