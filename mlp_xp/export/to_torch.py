"""A model as the state dict of a plain torch.nn.Sequential, in a safetensors file.

PyTorch's Linear is x weight^T + bias, weight (n_out, n_in), so that weight = W^T and bias = b. The
Sequential takes rows as they are: what a model does to them first, and to the last layer's numbers
after, is a factor and a shift for each, and becomes part of the first and the last layer.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mlp_xp.devices import CPU
from mlp_xp.errors import InputError, printable
from mlp_xp.nn import Dense, Network
from mlp_xp.nn.activations import LEAK
from mlp_xp.training.model import Model
from mlp_xp.training.model_file import NamedArrays, to_parts, write_arrays
from mlp_xp.types import HostArray

SUFFIX = ".torch.safetensors"
ACTIVATIONS = {
    "relu": "torch.nn.ReLU()",
    "leaky_relu": f"torch.nn.LeakyReLU({LEAK})",
    "gelu": 'torch.nn.GELU(approximate="tanh")',
    "tanh": "torch.nn.Tanh()",
    "sigmoid": "torch.nn.Sigmoid()",
    "identity": "torch.nn.Identity()",
}
OUTPUTS = {
    "multiclass": "logits; torch.nn.CrossEntropyLoss takes them, softmax(dim=1) makes them "
    "probabilities",
    "multilabel": "logits; torch.nn.BCEWithLogitsLoss takes them, sigmoid() makes them "
    "probabilities",
    "regression": "the predicted numbers, in the units of the targets",
}
TOLERANCE = 1e-5
"""Of the largest output: what may differ, as rounding makes it in float32."""

Scaling: TypeAlias = tuple[HostArray, HostArray]
"""Each number's factor and shift: x * factor + shift."""
Layers: TypeAlias = list[tuple[HostArray, HostArray]]
"""W (n_in, n_out) and b (n_out,) of each layer."""


def export(model: Model, path: Path) -> list[str]:
    """Write the state dict, and return a Python program, line by line, that loads it.

    Tensors `0.weight`, `0.bias`, `2.weight` and so on, in the model's dtype; in float64 where
    float32 would change the outputs, as it does with the time stamps of one day. The file's
    metadata has, as JSON under `mlp_xp`, the activation, the objective, the schema, and what
    read_torch() needs to get the same model back.

    Raises InputError for an activation that PyTorch doesn't have, for inputs that can't be scaled
    by the weights even in float64, and if the file can't be written.
    """
    if model.activation_name not in ACTIVATIONS:
        raise InputError(
            f"PyTorch has no layer for the activation {model.activation_name}; those it has are "
            f"{', '.join(ACTIVATIONS)}"
        )
    arrays, metadata = to_parts(model)
    input_scale = metadata.pop("input_scale")
    inputs, outputs = scalings(arrays, input_scale, model.sizes)
    folded = fold(layers_of(arrays), inputs, outputs)
    for dtype in dict.fromkeys([str(model.dtype), "float64"]):
        with np.errstate(all="ignore"):  # what overflows doesn't agree
            layers = [(W.astype(dtype), b.astype(dtype)) for W, b in folded]
        if _agrees(model, layers, outputs):
            break
    else:
        raise InputError(
            f"the inputs or targets are so far from 0 beside what differs in them, or in such "
            f"small or large units, that weights can't scale them{_farthest(model)}; change them "
            "in the data, and train again"
        )
    tensors = {}
    for i, (W, b) in enumerate(layers):
        tensors[f"{2 * i}.weight"], tensors[f"{2 * i}.bias"] = W.T, b
    others = {k: v.tolist() for k, v in arrays.items() if not k.startswith("layer.")}
    metadata["import"] = {"dtype": str(model.dtype), "input_scale": input_scale, "arrays": others}
    write_arrays(path, tensors, metadata, "torch")
    return _program(model, path, dtype)


def layers_of(arrays: NamedArrays) -> Layers:
    """The layers among a model file's arrays."""
    n_layers = sum(name.startswith("layer.") for name in arrays) // 2
    return [(arrays[f"layer.{i}.W"], arrays[f"layer.{i}.b"]) for i in range(n_layers)]


def scalings(
    arrays: NamedArrays, input_scale: float | None, sizes: tuple[int, ...]
) -> tuple[Scaling, Scaling]:
    """How a model scales its inputs x, and then the numbers z that its last layer gives.

        (x / input_scale - mean) / std = x * factor + shift,    z * std + mean

    arrays: a model file's; what isn't there changes nothing.
    """
    n_in, n_out = sizes[0], sizes[-1]
    mean, std = arrays.get("input.mean", np.zeros(n_in)), arrays.get("input.std", np.ones(n_in))
    outputs = arrays.get("output.std", np.ones(n_out)), arrays.get("output.mean", np.zeros(n_out))
    with np.errstate(all="ignore"):
        return (1 / ((input_scale or 1) * std), -mean / std), outputs


def inverse(scaling: Scaling) -> Scaling:
    """What undoes it."""
    factor, shift = scaling
    return 1 / factor, -shift / factor


@np.errstate(all="ignore")
def fold(layers: Layers, inputs: Scaling, outputs: Scaling) -> Layers:
    """Layers, in float64, that scale their inputs and outputs themselves.

    first:  (x * factor + shift) W + b = x (factor W) + (shift W + b)
    last:   (A W + b) * factor + shift = A (W * factor) + (b * factor + shift)
    """
    folded = [(W.astype("float64"), b.astype("float64")) for W, b in layers]
    (W, b), (factor, shift) = folded[0], inputs
    folded[0] = factor[:, None] * W, shift @ W + b
    (W, b), (factor, shift) = folded[-1], outputs
    folded[-1] = W * factor, b * factor + shift
    return folded


@np.errstate(all="ignore")
def _agrees(model: Model, layers: Layers, outputs: Scaling) -> bool:
    """Whether the folded layers give the model's outputs, on rows all over its inputs' range."""
    rows = _rows(model)
    to_device, to_host = model.device.to_device, model.device.to_host
    wanted = to_host(model.logits(model.prepare(to_device(rows)))).astype("float64")
    plain = Network(CPU(), [Dense(W, b) for W, b in layers], model.activation_name)
    factor, shift = outputs
    # Before they are scaled: beside a large mean, whatever differs would seem small.
    found = (plain.logits(rows.astype(plain.dtype)) - shift) / factor
    return bool((abs(found - wanted) <= TOLERANCE * abs(wanted).max(axis=0)).all())


def _rows(model: Model) -> HostArray:
    """Rows between the least and largest inputs of training, (256, n) float64."""
    scale = model.input_scale or 1.0
    if model.value_range is not None:
        low, high = model.value_range
    elif model.standardization is not None:
        mean, std = map(model.device.to_host, model.standardization)
        low, high = (mean - 2 * std) * scale, (mean + 2 * std) * scale
    else:
        low, high = np.zeros(model.sizes[0]), np.full(model.sizes[0], scale)
    place = np.random.default_rng(0).random((256, model.sizes[0]))
    return np.asarray(low * (1 - place) + high * place)


def _farthest(model: Model) -> str:
    """Which input's mean is the farthest from 0, beside its deviation."""
    if model.standardization is None:
        return ""
    mean, std = map(model.device.to_host, model.standardization)
    i = int(np.argmax(abs(mean) / std))
    names = model.schema.feature_names
    return f" (the farthest is {names[i] if names else i!r}, {mean[i]:g} beside {std[i]:g})"


def _program(model: Model, path: Path, dtype: str) -> list[str]:
    """Python that loads the file, with what its inputs and outputs are as comments."""
    sizes, schema = model.sizes, model.schema
    between = f", {ACTIVATIONS[model.activation_name]}, "
    linears = [f"torch.nn.Linear({n_in}, {n_out})" for n_in, n_out in pairwise(sizes)]
    meaning = OUTPUTS.get(model.objective_name, f"as the objective {model.objective_name} has them")
    lines = [
        f"# Inputs (N, {sizes[0]}) in {dtype}: {_inputs(model)}.",
        f"# Outputs (N, {sizes[-1]}): {meaning}.",
    ]
    if schema.feature_names or schema.output_names:
        lines.append("# The file's metadata has the names of inputs and outputs, in this order.")
    if dtype != str(model.dtype):
        lines.append(f"# In {dtype}, as {model.dtype} would round away what differs between rows.")
    name = printable(json.dumps(str(path), ensure_ascii=False))
    return [
        *lines,
        "import safetensors.torch",
        "import torch",
        f"model = torch.nn.Sequential({between.join(linears)})"
        + (".double()" if dtype == "float64" else ""),
        f"model.load_state_dict(safetensors.torch.load_file({name}))",
    ]


def _inputs(model: Model) -> str:
    if model.schema.feature_names:
        what = "a table's columns, encoded as the model does it"
    else:
        what = "the values as they were in training"
        if model.value_range is not None:
            low, high = model.value_range
            what += f", {low.min():g} to {high.max():g}"
    is_scaled = model.input_scale is not None or model.standardization is not None
    return what + ("; don't scale them, the weights do" if is_scaled else "")
