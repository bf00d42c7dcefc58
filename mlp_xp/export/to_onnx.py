"""A model as an ONNX file, which takes rows as the model does: raw, as people have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp import __version__
from mlp_xp.data.predictions import encodable
from mlp_xp.data.raw import listed
from mlp_xp.errors import InputError
from mlp_xp.export.onnx_columns import add_columns
from mlp_xp.export.onnx_graph import IR_VERSION, OPSETS, Graph
from mlp_xp.files import write_atomic
from mlp_xp.nn.activations import GELU_CUBIC, GELU_SCALE, LEAK
from mlp_xp.training import Model
from mlp_xp.training.setup import BYTES

SUFFIX = ".onnx"
MOST_BYTES = 2_000_000_000
"""Protocol buffers, which the file is one of, end at 2 GiB."""


def export(model: Model, path: Path) -> list[str]:
    """Write an ONNX file that computes what model.predict() does, and return how to use it.

    A model of arrays has the input `X` (N, n): uint8 if it was trained on bytes, else float64 if it
    standardizes, else of the model's dtype. A model of tables has an input (N, 1) for each column,
    by its name: texts for categories, where "" is missing, and float64 for all else, where NaN is.
    Outputs: `label` (N,) or, of several labels, (N, K), and `probabilities` (N, K); of numbers
    `variable` (N, K). A row that predict() refuses, as it isn't finite, comes out as NaN.

    Raises InputError without the package onnx, for an activation or an objective that isn't one of
    the package's own, for a model of 2 GB and more, and if the file can't be written.
    """
    if sum(array.nbytes for array in model.parameters()) > MOST_BYTES:
        raise InputError(f"{path}: the model has over 2 GB, more than a file of ONNX can hold")
    graph = build(model)
    write_atomic(path, to_proto(graph, model).SerializeToString())
    return describe(graph, path)


def build(model: Model) -> Graph:
    """The graph from the raw rows to the predictions."""
    activation = _find(ACTIVATIONS, model.activation_name, "activation")
    output = _find(OUTPUTS, model.objective_name, "objective")
    graph = Graph()
    A = _prepare(graph, model, _add_inputs(graph, model))
    Z = _dense(graph, model, 0, A)
    # An input that isn't finite makes all of Z so, but an activation could make it a number again:
    # this is 0, or NaN for such a row.
    refused = graph.add(
        "Mul", graph.add("Gather", Z, np.array([0]), axis=1), np.zeros((), model.dtype)
    )
    for i in range(1, len(model.layers)):
        Z = _dense(graph, model, i, activation(graph, Z, model.dtype))
    output(graph, model, graph.add("Add", Z, refused))
    return graph


def _dense(graph: Graph, model: Model, i: int, A: str) -> str:
    """Z of layer i, (N, n_out)."""
    # Not by Gemm, which older runtimes fuse with an activation even where they can't compute that.
    W, b = (model.device.to_host(array) for array in (model.layers[i].W, model.layers[i].b))
    product = graph.add("MatMul", A, graph.constant(W, f"layer.{i}.W"))
    return graph.add("Add", product, graph.constant(b, f"layer.{i}.b"))


def _find(table: dict[str, Callable[..., Any]], name: str, what: str) -> Callable[..., Any]:
    if name not in table:
        raise InputError(f"{what} {name!r} can't be exported to ONNX, only {', '.join(table)}")
    return table[name]


def _add_inputs(graph: Graph, model: Model) -> str:
    """The raw rows, (N, n)."""
    if model.schema.columns is not None:
        return add_columns(graph, model.schema.columns)
    dtype = str(model.dtype) if model.standardization is None else "float64"
    return graph.input("X", "uint8" if _of_bytes(model) else dtype, model.sizes[0])


def _of_bytes(model: Model) -> bool:
    """Whether the model was trained on bytes, each of whose inputs counts as 0 to 255."""
    if model.value_range is None or model.input_scale is None:
        return False
    low, high = model.value_range
    # That input_scale is 255 doesn't tell: floats of pictures, and of a network that was imported,
    # are divided by it too.
    return bool((low == 0).all() and (high == BYTES).all())


def _prepare(graph: Graph, model: Model, X: str) -> str:
    """What Network.prepare() does."""
    if model.input_scale is not None:
        X = graph.add("Div", graph.cast(X, "float32"), np.asarray(model.input_scale, "float32"))
    if model.standardization is not None:
        mean, std = (model.device.to_host(array) for array in model.standardization)
        X = graph.add("Div", graph.add("Sub", graph.cast(X, "float64"), mean), std)
    return graph.cast(X, str(model.dtype))


def _gelu(graph: Graph, Z: str, dtype: Any) -> str:
    scale, cubic, one, half = (
        np.asarray(value, dtype) for value in (GELU_SCALE, GELU_SCALE * GELU_CUBIC, 1, 0.5)
    )
    slope = graph.add("Add", graph.add("Mul", graph.add("Mul", Z, Z), cubic), scale)
    t = graph.add("Tanh", graph.add("Mul", slope, Z))
    return graph.add("Mul", graph.add("Mul", graph.add("Add", t, one), Z), half)


def _leaky_relu(graph: Graph, Z: str, dtype: Any) -> str:
    # By LeakyRelu, onnxruntime can't compute in float64.
    return graph.add("Max", graph.add("Mul", Z, np.asarray(LEAK, dtype)), Z)


ACTIVATIONS: dict[str, Callable[[Graph, str, Any], str]] = {
    "relu": lambda graph, Z, _: graph.add("Relu", Z),
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "tanh": lambda graph, Z, _: graph.add("Tanh", Z),
    "sigmoid": lambda graph, Z, _: graph.add("Sigmoid", Z),
    "identity": lambda graph, Z, _: Z,
}
"""The result of each activation, of the same name as in nn/activations.py, in a dtype."""


def _classes(graph: Graph, model: Model, logits: str) -> None:
    """The class of each row, "" or -1 where its probabilities aren't numbers, and these."""
    n_classes, names = model.sizes[-1], model.schema.output_names
    p = graph.add("Softmax", logits, axis=1)
    labels = np.array([*range(n_classes), -1])
    if names is not None:
        labels = np.array([*map(encodable, names), ""], dtype=object)
    is_nan = graph.is_nan(graph.add("ReduceSum", p, np.array([1]), keepdims=0))
    place = graph.add("ArgMax", p, axis=1, keepdims=0)
    place = graph.add("Where", is_nan, np.array(n_classes), place)
    label = graph.add("Gather", graph.constant(labels, "classes"), place)
    graph.output("label", label, "int64" if names is None else "string")
    graph.output("probabilities", p, str(model.dtype), n_classes)


def _labels(graph: Graph, model: Model, logits: str) -> None:
    """0 or 1 for each label, -1 where its probability isn't a number, and the probabilities."""
    p = graph.add("Sigmoid", logits)
    holds = graph.cast(graph.add("Greater", p, np.asarray(0.5, model.dtype)), "int64")
    label = graph.add("Where", graph.is_nan(p), np.array(-1), holds)
    graph.output("label", label, "int64", model.sizes[-1])
    graph.output("probabilities", p, str(model.dtype), model.sizes[-1])


def _numbers(graph: Graph, model: Model, logits: str) -> None:
    """The numbers, which sklearn-onnx calls so too; in float64 where they had been standardized."""
    dtype = str(model.dtype)
    if model.target_scaling is not None:
        mean, std = model.target_scaling
        logits, dtype = graph.cast(logits, "float64"), "float64"
        logits = graph.add("Add", graph.add("Mul", logits, std), mean)
    graph.output("variable", logits, dtype, model.sizes[-1])


OUTPUTS: dict[str, Callable[[Graph, Model, str], None]] = {
    "multiclass": _classes, "multilabel": _labels, "regression": _numbers,
}  # fmt: skip


def to_proto(graph: Graph, model: Model) -> Any:
    """The ModelProto of the graph, with what is known about the model."""
    helper, schema = graph.onnx.helper, model.schema
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes, "mlp", graph.inputs, graph.outputs, graph.constants,
            f"{model.objective_name} by {'-'.join(map(str, model.sizes))}, {model.activation_name}",
        ),
        producer_name="mlp_xp", producer_version=__version__, ir_version=IR_VERSION,
        opset_imports=[
            helper.make_opsetid(domain, OPSETS[domain])
            for domain in sorted({"", *(node.domain for node in graph.nodes)})
        ],
    )  # fmt: skip
    known = {
        "objective": model.objective_name,
        "output_names": schema.output_names,
        "feature_names": schema.feature_names,
        "columns": schema.columns and {column.name: column.kind for column in schema.columns},
        "label": schema.label,
        "picture": schema.picture and [
            schema.picture.height, schema.picture.width, schema.picture.channels
        ],
    }  # fmt: skip
    helper.set_model_props(
        proto,
        {
            key: encodable(value) if isinstance(value, str) else json.dumps(value)
            for key, value in known.items()
            if value is not None
        },
    )
    return proto


def describe(graph: Graph, path: Path) -> list[str]:
    """What the file's inputs and outputs are, and how to load it."""
    lines = [f"{what}: {listed(names)}" for what, names in graph.signature.items()]
    return [*lines, f"load it with onnxruntime.InferenceSession({str(path)!r})"]
