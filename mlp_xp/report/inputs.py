"""What a model makes of its inputs: which units look for what, and which columns matter.

N rows, n inputs, C columns.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import numpy as np

from mlp_xp.data.sampling import is_square
from mlp_xp.devices.blas import one_blas_thread
from mlp_xp.report.findings import ColumnUse, Floats, UnitPictures
from mlp_xp.schema import Column, Picture
from mlp_xp.training import Model, predict
from mlp_xp.types import HostArray

UNITS = 48
"""Hidden units that are shown."""
COLUMNS = 24
"""Columns that are shuffled, those with the largest weights."""
TIMES = 5
"""How often each is."""
ROWS = 2000
"""Rows that it is tried on."""
PIXEL = re.compile(r"(pixel|pix|px)?[ _.-]?\d+([ _.,x-]\d+)?", re.IGNORECASE)
"""The name of a column that holds a pixel: pixel7, pixel_0_7, 1x7."""
MISSING = "–"
UNKNOWN = "none of those in training"
"""A category that training hadn't; or none, where no gap was in training."""
SEED = 0
"""The same model has the same report."""


def picture_of(model: Model) -> Picture | None:
    """The size of the pictures that the model takes; None if it takes something else.

    Where the data doesn't say, rows are gray pictures if they fill a square, and their values are
    either named like pixels, or have no names, or only numbers, and the same least or the same
    largest value: that of dark pixels, or of light ones.
    """
    schema, n = model.schema, model.sizes[0]
    side = math.isqrt(n)
    if schema.picture is not None or side * side != n or not is_square(n):
        return schema.picture
    names = schema.feature_names or ()
    are_pixels = all(map(PIXEL.fullmatch, names))
    if are_pixels and all(name.isdecimal() for name in names):  # a table's columns may be numbered
        are_pixels = any(np.ptp(values) == 0 for values in model.value_range or [0])
    return Picture(side, side) if are_pixels else None


def find_units(model: Model, picture: Picture) -> UnitPictures:
    """The weights into the first layer's UNITS units with the largest weights to the next layer."""
    first = model.layers[0].W
    strength = abs(model.layers[1].W).sum(axis=1) if len(model.layers) > 1 else np.ones(len(first))
    strongest = np.argsort(-strength[: first.shape[1]], kind="stable")[:UNITS]
    shape = (len(strongest), picture.height, picture.width, picture.channels)
    return UnitPictures(strongest, first.T[strongest].reshape(shape), first.shape[1])


def columns_of(model: Model) -> list[tuple[str, slice]]:
    """The name of each column of the model's data, and which inputs it became."""
    schema, n = model.schema, model.sizes[0]
    if schema.columns is None:
        names = schema.feature_names or tuple(f"column {i}" for i in range(n))
        return [(name, slice(i, i + 1)) for i, name in enumerate(names)]
    columns, first = [], 0
    for column in schema.columns:
        columns.append((column.name, slice(first, first + column.width)))
        first += column.width
    return columns


def find_columns(model: Model, X: HostArray, y: HostArray) -> ColumnUse:
    """How much the model uses each column; X (N, n), y: rows that it wasn't trained on."""
    columns = columns_of(model)
    deviation = model.prepare(X.astype(np.float64)).std(axis=0)
    squares = (np.square(model.layers[0].W, dtype=np.float64).sum(axis=1)) * deviation**2
    strength = np.array([math.sqrt(squares[inputs].sum()) for _, inputs in columns])
    strongest = np.argsort(-strength, kind="stable")[:COLUMNS]
    rng = np.random.default_rng(SEED)
    some = np.sort(rng.permutation(len(X))[:ROWS])
    X, y = X[some], y[some]
    name, score = _score(model, X, y)
    falls = np.empty((len(strongest), TIMES))
    with one_blas_thread():  # two wait for each other on a busy machine, in every product
        for i, place in enumerate(strongest):
            _, inputs = columns[place]
            for j in range(TIMES):
                shuffled = X.copy()
                shuffled[:, inputs] = X[rng.permutation(len(X)), inputs]
                falls[i, j] = score - _score(model, shuffled, y)[1]
    mean, spread = falls.mean(axis=1), falls.std(axis=1)
    order = np.argsort(-mean, kind="stable")
    names = [columns[place][0] for place in strongest[order]]
    left_out = len(columns) - len(names)
    return ColumnUse(names, strength[strongest[order]], mean[order], spread[order], name, left_out)


def _score(model: Model, X: HostArray, y: HostArray) -> tuple[str, float]:
    """The share of right answers; for numbers R2, the mean of all targets that vary."""
    predictions = predict(model, X)
    chosen = model.objective.chosen(predictions)
    if chosen is not None:
        return "accuracy", float((chosen == y).mean())
    squares: Floats = np.square(y - y.mean(axis=0, dtype=np.float64)).sum(axis=0)
    rest = np.square(y - predictions, dtype=np.float64).sum(axis=0)
    varies = squares > 0
    return "R2", float(1 - (rest[varies] / squares[varies]).mean()) if varies.any() else 0.0


def describe_row(model: Model, x: HostArray) -> dict[str, str]:
    """The values of a row (n,) as its table had them, by the names of their columns."""
    columns = model.schema.columns
    if columns is None:
        return {name: written(x[inputs][0]) for name, inputs in columns_of(model)}
    pairs = zip(columns, columns_of(model), strict=True)
    return {name: _value(column, x[inputs]) for column, (name, inputs) in pairs}


def _value(column: Column, inputs: HostArray) -> str:
    """The value that a column's inputs stand for."""
    if column.has_gaps and inputs[-1]:
        return MISSING
    if column.kind == "category":
        levels = np.flatnonzero(inputs[: len(column.levels)])
        return column.levels[levels[0]] if len(levels) else UNKNOWN
    if column.kind == "boolean":
        return "true" if inputs[0] == 1 else "false" if inputs[0] == 0 else written(inputs[0])
    if column.kind == "date":
        try:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=float(inputs[0]))
        except OverflowError:
            return written(inputs[0])
        text = moment.isoformat(" ", "seconds").removesuffix("+00:00")
        return text.removesuffix(" 00:00:00")
    return written(inputs[0])


def written(value: float | np.generic) -> str:
    """A value as text: a whole number in full, others with six digits."""
    number = float(value)
    # A whole number may be told from its neighbors by its last digit.
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"
