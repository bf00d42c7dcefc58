"""The class of each row of .npz and .npy files, or of PNG digits, with its probabilities."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp import checkpoint
from mlp_xp.backend import resolve
from mlp_xp.datasets import npz
from mlp_xp.datasets.dataset import check_rows
from mlp_xp.errors import InputError
from mlp_xp.evaluation import predict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    parser.add_argument("model", type=Path, help="a model.safetensors, or the folder of a run")
    parser.add_argument(
        "files", type=Path, nargs="+", help=".npy, .npz (its x, x_test or only array) or .png"
    )
    parser.add_argument("--device", default="auto", help="auto or cpu (auto)")


def run(arguments: argparse.Namespace) -> None:
    """Print a line a row: where it stands, its class, the probability of every class."""
    network = checkpoint.load(arguments.model, resolve(arguments.device).backend)
    for path in arguments.files:
        try:
            probabilities = predict(network, _rows(path, network.sizes[0]))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        for row, p in enumerate(probabilities):
            print(f"{path}:{row}  {p.argmax()}  {' '.join(f'{value:.4f}' for value in p)}")


def _rows(path: Path, n_inputs: int) -> NDArray[Any]:
    """The rows (N, n_inputs) of one file, checked."""
    if path.suffix == ".png":
        X = _picture(path, n_inputs)
    elif path.suffix == ".npy":
        with path.open("rb") as file:
            X = npz.read_array(file, path.stat().st_size, str(path))
    elif path.suffix == ".npz":
        arrays = npz.read(path)
        usual = [arrays[name] for name in ("x", "x_test") if name in arrays]
        found = usual or list(arrays.values())
        if not found or (len(found) > 1 and not usual):
            held = ", ".join(sorted(arrays)) or "nothing"
            raise InputError(f"{path}: holds {held}; call the array of rows x")
        X = found[0]
    else:
        raise InputError(f"{path}: predict reads .npy, .npz and .png files")
    if X.ndim > 0 and X.size == n_inputs and X.shape[0] != 1:
        X = X[np.newaxis]  # one row alone
    if X.ndim < 2 or math.prod(X.shape[1:]) != n_inputs or not len(X):
        raise InputError(f"{path}: shape {X.shape}; the model needs rows of {n_inputs} values")
    return check_rows(X.reshape(len(X), -1), str(path))


def _picture(path: Path, n_inputs: int) -> NDArray[np.uint8]:
    """A PNG as one row of bytes: grey, square, light ink on dark ground as MNIST has it.

    A picture of dark ink on light ground, as its border tells, is inverted.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise InputError(f"{path}: reading PNG needs Pillow: pip install 'mlp_xp[png]'") from error
    side = math.isqrt(n_inputs)
    if side * side != n_inputs:
        raise InputError(f"{path}: the model's {n_inputs} inputs are no square picture")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            grey = np.asarray(image.convert("L").resize((side, side)))
    except (UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: not a picture in PNG format ({error})") from error
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return (255 - grey if border.mean() > 127 else grey).reshape(1, -1)
