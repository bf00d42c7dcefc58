"""The class of each row of a file, or of a PNG digit, with the probability of every class."""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp import checkpoint
from mlp_xp.cli import device
from mlp_xp.datasets import npz, table
from mlp_xp.datasets.dataset import check_rows
from mlp_xp.datasets.memory import blocks
from mlp_xp.errors import InputError
from mlp_xp.evaluation import predict
from mlp_xp.network import Network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    parser.add_argument("model", type=Path, help="a model.safetensors, or the folder of a run")
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        help=".npy, .npz (its x, x_test or only array), .csv, .tsv, .parquet or .png",
    )
    parser.add_argument("--label", help="a table's column to leave out (none)")
    device.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print a line a row: where it stands, its class, the probability of every class."""
    network = checkpoint.load(arguments.model, device.choose(arguments).backend)
    for path in arguments.files:
        try:
            X = _rows(path, network.sizes[0], arguments.label)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        for start, block in blocks(X):
            for row, values in enumerate(predict(network, block), start):
                print(f"{path}:{row}  {_said(network, values)}")


def _said(network: Network, values: NDArray[np.floating]) -> str:
    """A row's class and probabilities, its true labels and probabilities, or its numbers."""
    if network.output_name == "identity":
        return " ".join(f"{value:.6g}" for value in values)
    true = [values.argmax()] if network.output_name == "softmax" else np.flatnonzero(values > 0.5)
    names = [network.classes[k] if network.classes else str(k) for k in true]
    return f"{','.join(names) or '-'}  {' '.join(f'{value:.4f}' for value in values)}"


def _rows(path: Path, n_inputs: int, leave_out: str | None) -> NDArray[Any]:
    """The rows (N, n_inputs) of one file, checked."""
    is_table = path.suffix.lower() in table.FORMATS
    if leave_out is not None and not is_table:
        raise InputError(f"{path}: has no named columns, so --label {leave_out} names nothing")
    if is_table:
        X = table.read_rows(path, leave_out)
    elif path.suffix.lower() == ".png":
        X = _picture(path, n_inputs)
    elif path.suffix.lower() == ".npy":
        X = npz.map_array(path)
    elif path.suffix.lower() == ".npz":
        (X,) = npz.read(path, lambda names: _only(names, path)).values()
    else:
        raise InputError(f"{path}: predict reads .npy, .npz, .csv, .tsv, .parquet and .png files")
    if X.ndim > 0 and X.size == n_inputs and X.shape[0] != 1:
        X = X[np.newaxis]  # one row alone
    if X.ndim < 2 or math.prod(X.shape[1:]) != n_inputs or not len(X):
        remedy = "; leave a column of labels out with --label" if is_table else ""
        raise InputError(
            f"{path}: shape {X.shape}; the model needs rows of {n_inputs} values{remedy}"
        )
    return check_rows(X.reshape(len(X), -1), f"{path}: its data")


def _only(names: set[str], path: Path) -> list[str]:
    """The name of the array that holds the rows."""
    usual = [name for name in sorted(names) if name in ("x", "x_test")]
    if not usual and len(names) != 1:
        raise InputError(f"{path}: holds {npz.listed(names)}; call the array of rows x")
    return usual[:1] or list(names)


def _picture(path: Path, n_inputs: int) -> NDArray[np.uint8]:
    """A PNG as one row of bytes: grey, square, light ink on dark ground as MNIST has it.

    A picture of dark ink on light ground, as its border tells, is inverted; what is transparent
    counts as white.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(f"{path}: reading PNG needs Pillow: pip install 'mlp_xp[png]'") from error
    side = math.isqrt(n_inputs)
    if side * side != n_inputs:
        raise InputError(f"{path}: the model's {n_inputs} inputs are no square picture")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()  # the sums of all its parts, which reading it takes on trust
        with warnings.catch_warnings(action="error"), Image.open(path, formats=["PNG"]) as image:
            if image.mode.startswith("I"):
                raise InputError(f"{path}: has 16 bits a pixel; save it with 8")
            colours = image.convert("RGBA").resize((side, side))
    except (InputError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a decoder's errors are of any kind
        why = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a picture in PNG format ({why}); save it again") from error
    white = Image.new("RGBA", colours.size, "white")
    grey = np.asarray(Image.alpha_composite(white, colours).convert("L"))
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return (255 - grey if border.mean() > 127 else grey).reshape(1, -1)
