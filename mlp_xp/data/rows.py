"""Rows to predict from: tables, arrays, and images of digits."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import npz, pictures, table
from mlp_xp.data.checks import check_path, check_rows
from mlp_xp.data.memory import blocks
from mlp_xp.data.pictures.folders import SUFFIXES as PICTURES
from mlp_xp.data.roles import Roles
from mlp_xp.errors import InputError
from mlp_xp.schema import Picture, Schema
from mlp_xp.types import HostArray

Rows: TypeAlias = "tuple[list[str] | None, HostArray]"
"""The ids of some rows, or None, and their inputs (B, n)."""


def read_rows(
    path: str | Path,
    n_inputs: int,
    schema: Schema | None = None,
    roles: Roles | None = None,
    id_column: str | None = None,
) -> Iterator[Rows]:
    """The rows of one file, block by block: (B, n_inputs) uint8, float32 or float64, checked.

    An .npy file, which is mapped; an .npz file with one array, or one called x or x_test; a table,
    or `-` for one on standard input; or a picture, see read_png(). An array that holds a single row
    may have any shape. schema, roles, id_column: see read_features().

    Raises InputError, with the file and the remedy, if it can't be read, if its rows aren't of
    n_inputs values, and for NaN and infinity.
    """
    path, schema, roles = check_path(path), schema or Schema(), roles or Roles()
    try:
        if table.named_so(path):
            n_rows = 0
            for ids, X in table.read_features(path, schema, roles, id_column):
                n_rows += len(X)
                yield ids, _checked(X, n_inputs, path, "; leave a column out with --label")
            if not n_rows:
                raise InputError(f"{path}: has columns but no rows; add some")
            return
        for option, name in (("--label", roles.label), ("--id", id_column)):
            if name is not None:
                raise InputError(
                    f"{path}: has no named columns, so {option} {name!r} names nothing"
                )
        X = _read(path, n_inputs, schema.picture)
        if X.ndim > 0 and X.size == n_inputs and X.shape[0] != 1:
            X = X[np.newaxis]  # a single row
        X = _checked(X, n_inputs, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    for _, block in blocks(X):
        yield None, block


def _checked(X: HostArray, n_inputs: int, path: Path, remedy: str = "") -> HostArray:
    """The rows in X (N, ...), (N, n_inputs)."""
    if X.ndim < 2 or math.prod(X.shape[1:]) != n_inputs or not len(X):
        raise InputError(
            f"{path}: shape {X.shape}; the model needs rows of {n_inputs} values{remedy}"
        )
    return check_rows(X, f"{path}: its data")


def _read(path: Path, n_inputs: int, picture: Picture | None) -> HostArray:
    suffix = path.suffix.lower()
    if suffix in PICTURES and picture is not None:
        return pictures.read([path], picture)
    if suffix == ".png":
        return read_png(path, n_inputs)
    if suffix == ".npy":
        return npz.map_array(path)
    if suffix == ".npz":
        (X,) = npz.read(path, lambda names: _rows_array(names, path)).values()
        return X
    raise InputError(
        f"{path}: predict reads .npy, .npz, tables (.csv, .tsv, .parquet, .arrow, .feather) and "
        "pictures, not folders"
    )


def _rows_array(names: set[str], path: Path) -> list[str]:
    """The name of the array that holds the rows."""
    usual: list[str] = [name for name in ("x", "x_test") if name in names]
    if not usual and len(names) != 1:
        raise InputError(f"{path}: holds {npz.listed(names)}; call the array of rows x")
    return usual[:1] or list(names)


def read_png(path: Path, n_inputs: int) -> NDArray[np.uint8]:
    """A picture as one row of gray values, (1, n_inputs) uint8, as MNIST has them.

    The picture becomes a square of sqrt(n_inputs) pixels, with light ink on dark ground: it is
    inverted if its border is light. Transparency counts as white.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            f"{path}: reading PNG needs Pillow: pip install '.[pictures]' in the clone"
        ) from error
    side = math.isqrt(n_inputs)
    if side * side != n_inputs:
        raise InputError(f"{path}: the model's {n_inputs} inputs don't form a square picture")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()  # the checksums, which convert() ignores
        with warnings.catch_warnings(action="error"), Image.open(path, formats=["PNG"]) as image:
            if image.mode.startswith("I"):
                raise InputError(f"{path}: has 16 bits a pixel; save it with 8")
            colors = image.convert("RGBA").resize((side, side))
    except (InputError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged file can make the decoder raise anything
        why = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a picture in PNG format ({why}); save it again") from error
    white = Image.new("RGBA", colors.size, "white")
    gray = np.asarray(Image.alpha_composite(white, colors).convert("L"))
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    return (255 - gray if border.mean() > 127 else gray).reshape(1, -1)
