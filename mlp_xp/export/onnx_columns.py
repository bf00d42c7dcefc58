"""The columns of a table in an ONNX graph: an input for each, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlp_xp.data.classes import WHOLE, class_key
from mlp_xp.data.columns import encoding, write_codes
from mlp_xp.data.predictions import encodable
from mlp_xp.export.onnx_graph import Graph
from mlp_xp.schema import Column

MEANING = {
    "number": "a number; NaN where it is missing",
    "boolean": "1 for true, 0 for false; NaN where it is missing",
    "date": "days since 1970-01-01 0 h UTC; NaN where it is missing",
    "category": "a text without spaces around it; empty where it is missing",
}


def add_columns(graph: Graph, columns: Sequence[Column]) -> str:
    """The inputs of all columns, as data.encoder has them, (N, n) float64."""
    values = []
    for column in columns:
        dtype = "string" if column.kind == "category" else "float64"
        values.append(graph.input(encodable(column.name), dtype, 1, MEANING[column.kind]))
    parts = [
        part
        for column, value in zip(columns, values, strict=True)
        for part in (_one_hot if column.kind == "category" else _filled)(graph, column, value)
    ]
    return graph.add("Concat", *parts, axis=1)


def _filled(graph: Graph, column: Column, value: str) -> list[str]:
    """A column's numbers, and 1 where one is missing if the training lacked some too."""
    missing = graph.is_nan(value)
    filled = graph.add("Where", missing, np.asarray(column.fill, "float64"), value)
    return [filled, graph.cast(missing, "float64")] if column.has_gaps else [filled]


def _one_hot(graph: Graph, column: Column, value: str) -> list[str]:
    """A column's inputs, looked up by its text."""
    spellings = _spellings(column)
    rows = np.zeros((len(spellings) + 2, column.width))
    # Those of the spellings, of a missing text, and of one that training didn't have.
    write_codes(column, np.append(encoding(column, spellings), -2), rows)
    place = graph.add(
        "LabelEncoder", value, domain="ai.onnx.ml", keys_strings=[*map(encodable, spellings), ""],
        values_int64s=list(range(len(rows) - 1)), default_int64=len(rows) - 1,
    )  # fmt: skip
    return [graph.add("Flatten", graph.add("Gather", rows, place), axis=1)]


def _spellings(column: Column) -> list[str]:
    """The texts that stand for a level: itself, and of whole numbers 2, 2., 2.0 and 2.00.

    A column of texts and numbers becomes either, depending on whether values are missing.
    """
    keys = [class_key(level) for level in column.levels if WHOLE.fullmatch(level)]
    endings = ("", ".", ".0", ".00")
    return list(dict.fromkeys([*column.levels, *(key + end for key in keys for end in endings)]))
