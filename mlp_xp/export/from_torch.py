"""A PyTorch network of Linear layers, from its state dict in a safetensors file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors import SafetensorError

from mlp_xp.devices import CPU
from mlp_xp.errors import InputError
from mlp_xp.export.to_torch import Layers, fold, inverse, scalings
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES
from mlp_xp.schema import Schema
from mlp_xp.training.model import Model
from mlp_xp.training.model_file import FORMATS, NamedArrays, from_parts
from mlp_xp.types import HostArray

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Tensors that can be read, as NumPy stores their elements."""
NDIMS = {"weight": 2, "bias": 1}


def read_torch(
    path: Path,
    *,
    activation: str | None = None,
    objective: str | None = None,
    classes: Sequence[str] | None = None,
    input_scale: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Model:
    """The model of a state dict that consists of Linear layers, on the CPU.

    Tensors `*.weight` (n_out, n_in) and, where a layer has one, `*.bias` (n_out,), whose names
    differ in one number; it orders them. The model is float64 if any of them is, else float32,
    which holds float16 and bfloat16 exactly. What a state dict doesn't say: activation, between the
    layers; objective, multiclass if None; classes, a name for each output; and what the network was
    given for an input x, (x / input_scale - mean) / std, mean and std with a number for all inputs
    or one for each, x itself if all are None.

    A file of export() says all that itself, and gives the model that was exported, with its weights
    as they are now. Raises InputError, naming the file and the tensor, for a file that isn't such a
    state dict, and for values that don't fit it.
    """
    tensors, own = _read(path)
    layers = [(W.T, b) for W, b in _layers(tensors, path)]
    given = {
        "activation": activation, "objective": objective, "classes": classes,
        "input-scale": input_scale, "mean": mean, "std": std,
    }  # fmt: skip
    if own is not None:
        superfluous = [f"--{name}" for name, value in given.items() if value is not None]
        if superfluous:
            raise InputError(
                f"{path}: comes from export and says itself what the model is: leave out "
                f"{', '.join(superfluous)}"
            )
        arrays, meaning = _restored(layers, own, path)
    else:
        objective = objective or "multiclass"
        _check(path, activation, objective, classes, len(layers[-1][1]))
        arrays = _named(layers) | _standardization(path, len(layers[0][0]), mean, std)
        if input_scale is not None and not 0 < input_scale < math.inf:
            raise InputError(f"input_scale is {input_scale}; it must be above 0")
        schema = Schema(output_names=None if classes is None else tuple(classes))
        meaning = {
            "activation": activation, "objective": objective, "schema": schema.to_dict(),
            "input_scale": None if input_scale is None else float(input_scale),
        }  # fmt: skip
    return from_parts(arrays, meaning, path, CPU())


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
    """Each tensor's dtype, shape and data, and export()'s metadata, if the file is from there."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    try:
        tensors = dict(safetensors.deserialize(content))  # type: ignore[no-untyped-call]
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, RecursionError) as error:
        # What torch.save() writes: a zip archive with a pickle in it, or, long ago, a bare one.
        if content.startswith(b"\x80") or (content.startswith(b"PK") and b"data.pkl" in content):
            new = path.with_suffix(".safetensors")
            new = path.with_suffix(".new.safetensors") if new == path else new
            raise InputError(
                f"{path}: a pickle, which could run code when it is opened; write its tensors "
                "alone, in Python: import torch, safetensors.torch; safetensors.torch.save_file("
                f"torch.load({str(path)!r}, weights_only=True), {str(new)!r})"
            ) from error
        raise InputError(f"{path}: not a safetensors file, or a damaged one ({error})") from error
    text = (header.get("__metadata__") or {}).get("mlp_xp")
    if text is None:
        return tensors, None
    try:
        own = json.loads(text)
        kind = own["format"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputError(f"{path}: its metadata can't be read ({error})") from error
    if kind != f"torch {FORMATS['torch']}":
        raise InputError(f"{path}: is mlp_xp's own {kind}, not a state dict of this version")
    return tensors, own


def _layers(tensors: dict[str, dict[str, Any]], path: Path) -> Layers:
    """The weight (n_out, n_in) and bias (n_out,) of each layer, in the order of their numbers."""
    for name, tensor in tensors.items():
        if len(tensor["shape"]) != NDIMS.get(name.rpartition(".")[2]):
            raise InputError(
                f"{path}: tensor {name} {tuple(tensor['shape'])} is no part of a Linear layer, and "
                "a model here has no others"
            )
    weights = [name for name in tensors if NDIMS[name.rpartition(".")[2]] == 2]
    without = sorted(tensors.keys() - {*weights, *map(_bias_of, weights)})
    if without or not weights:
        lacking = f"tensor {without[0]} has no weight beside it" if without else "holds no tensors"
        raise InputError(f"{path}: {lacking}")
    arrays = {name: _array(tensor, f"{path}: tensor {name}") for name, tensor in tensors.items()}
    dtype = np.result_type(*arrays.values())
    layers: Layers = []
    before = ""
    for name in _ordered(weights, path):
        weight = arrays[name].astype(dtype)
        bias = arrays.get(_bias_of(name), np.zeros(len(weight))).astype(dtype)
        if bias.shape != weight.shape[:1]:
            raise InputError(
                f"{path}: tensor {_bias_of(name)} is {bias.shape}, beside a weight {weight.shape}"
            )
        if layers and weight.shape[1] != len(layers[-1][1]):
            raise InputError(
                f"{path}: tensor {name} takes {weight.shape[1]} inputs, but {before} gives "
                f"{len(layers[-1][1])}: these aren't layers one after the other"
            )
        layers.append((weight, bias))
        before = name
    return layers


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _ordered(weights: list[str], path: Path) -> list[str]:
    """The names by the one number in which they differ."""
    if len(weights) == 1:
        return weights
    parts = [re.split("([0-9]{1,18})", name) for name in weights]  # numbers are the odd ones
    differing = [i for i, values in enumerate(zip(*parts, strict=False)) if len(set(values)) > 1]
    if len(set(map(len, parts))) > 1 or len(differing) != 1 or differing[0] % 2 == 0:
        weights = sorted(weights)  # no file keeps an order
        layers = ", ".join(map(_in_python, weights[:3])) + (", ..." if weights[3:] else "")
        raise InputError(
            f"{path}: the names {', '.join(weights[:3])} don't differ in one number alone, so the "
            "order of the layers can't be told; save them in the order in which they are called, "
            f"as with torch.nn.Sequential({layers}).state_dict()"
        )
    order = sorted(range(len(weights)), key=lambda k: int(parts[k][differing[0]]))
    return [weights[k] for k in order]


def _in_python(weight: str) -> str:
    """The layer of this weight as an expression, such as net.body[0]."""
    *layer, _ = weight.split(".")
    return "net" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in layer)


def _array(tensor: dict[str, Any], where: str) -> HostArray:
    """The tensor in float32, or in float64 if it is."""
    stored = tensor["dtype"]
    if stored not in TYPES:
        raise InputError(f"{where} is of type {stored}; weights are of {', '.join(TYPES)}")
    array = np.frombuffer(tensor["data"], TYPES[stored]).reshape(tensor["shape"])
    if stored == "BF16":  # the upper half of a float32
        array = (array.astype("<u4") << 16).view("<f4")
    if not array.size:
        raise InputError(f"{where} is empty: {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{where} holds NaN or infinity")
    return array.astype("float64" if stored == "F64" else "float32")


def _named(layers: Layers) -> NamedArrays:
    """The layers as a model file has them."""
    return {
        f"layer.{i}.{part}": array
        for i, layer in enumerate(layers)
        for part, array in zip("Wb", layer, strict=True)
    }


def _restored(
    layers: Layers, own: dict[str, Any], path: Path
) -> tuple[NamedArrays, dict[str, Any]]:
    """The arrays and metadata of the model that was exported."""
    try:
        kept = own["import"]
        others = {name: np.array(values, "float64") for name, values in kept["arrays"].items()}
        scale, sizes = kept["input_scale"], (len(layers[0][0]), len(layers[-1][1]))
        unfolded = fold(layers, *map(inverse, scalings(others, scale, sizes)))
        arrays = _named([(W.astype(kept["dtype"]), b.astype(kept["dtype"])) for W, b in unfolded])
        if set(others) & set(arrays) or kept["dtype"] not in ("float32", "float64"):
            raise ValueError(kept["dtype"])
        names = ("activation", "objective", "schema")
        return arrays | others, {"input_scale": scale, **{name: own[name] for name in names}}
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: its metadata doesn't fit its tensors ({error})") from error


def _check(
    path: Path, activation: str | None, objective: str, classes: Sequence[str] | None, n_out: int
) -> None:
    """Raise InputError unless these can be said of a network with so many outputs."""
    if activation not in list(ACTIVATIONS):
        missing = "its tensors don't say the activation" if activation is None else activation
        raise InputError(f"{path}: {missing}; give --activation {_listed(ACTIVATIONS)}")
    if objective not in OBJECTIVES:
        raise InputError(f"{path}: {objective}; give --objective {_listed(OBJECTIVES)}")
    if n_out == 1 and OBJECTIVES[objective].single_label:
        raise InputError(
            f"{path}: has 1 output, which can't be {objective}; give --objective regression, or "
            "multilabel for the logit of yes or no"
        )
    if classes is not None and (len(classes) != n_out or len(set(classes)) != n_out):
        raise InputError(
            f"{path}: has {n_out} outputs, but --classes names {len(classes)}, of which "
            f"{len(set(classes))} differ"
        )


def _listed(names: Iterable[str]) -> str:
    return "|".join(names)


def _standardization(
    path: Path, n_in: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> NamedArrays:
    """Mean and deviation of each input. They are always there: training would learn others."""
    arrays = {}
    for name, values, default in (("mean", mean, 0.0), ("std", std, 1.0)):
        array = np.array([default] if values is None else values, "float64")
        if array.shape not in ((1,), (n_in,)):
            raise InputError(
                f"{path}: has {n_in} inputs, but --{name} {len(array)} numbers; give 1 or {n_in}"
            )
        if not np.isfinite(array).all() or (name == "std" and not (array > 0).all()):
            above = " above 0" if name == "std" else ""
            raise InputError(f"--{name} must be finite numbers{above}")
        arrays[f"input.{name}"] = np.broadcast_to(array, n_in).copy()
    return arrays
