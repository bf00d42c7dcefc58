"""IDX, MNIST's file format: a magic number, the lengths of the axes, bytes; plain or gzip."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.memory import DEFLATE_LIMIT, read_bytes
from mlp_xp.data.raw import RawSplit
from mlp_xp.errors import InputError

UNSIGNED_BYTE = 0x08
"""The type of the elements, which is the third byte of the magic number."""


def load(folder: Path) -> tuple[RawSplit, RawSplit | None]:
    """The arrays of a folder with four files like MNIST's; see load_data()."""
    train = (_find(folder, "train", "images", 3), _find(folder, "train", "labels", 1))
    test = (_find(folder, "(t10k|test)", "images", 3), _find(folder, "(t10k|test)", "labels", 1))
    if train[0] is None or train[1] is None:
        raise InputError(
            f"{folder}: not a data set; it needs a folder of pictures for each class, or "
            "train.csv, or X.npy and y.npy, or train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    if (test[0] is None) != (test[1] is None):
        raise InputError(
            f"{folder}: one of test images and test labels is missing; add it or remove the other"
        )
    return (
        (read(train[0]), read(train[1]), None),
        (read(test[0]), read(test[1]), None) if test[0] and test[1] else None,
    )


def _find(folder: Path, split: str, kind: str, axes: int) -> Path | None:
    pattern = re.compile(rf"(.*-)?{split}-{kind}[-.]idx{axes}-ubyte(\.gz)?")
    found = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    stems = {path.name.removesuffix(".gz") for path in found}
    if len(stems) > 1:
        raise InputError(
            f"{folder}: more than one file of {kind} ({', '.join(sorted(stems))}); "
            "keep each data set in a folder of its own"
        )
    return found[0] if found else None


def read(path: Path) -> NDArray[np.uint8]:
    """The array of one IDX file of unsigned bytes.

    Never allocates more than the file can hold. Raises InputError for anything but a complete,
    intact file.
    """
    compressed = path.suffix == ".gz"
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            max_size = path.stat().st_size * (DEFLATE_LIMIT if compressed else 1)
            return _parse(file, path, max_size)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: damaged gzip file ({error}); get it again") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _parse(file: Any, path: Path, max_size: int) -> NDArray[np.uint8]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTE or not 1 <= head[3] <= 8:
        raise InputError(
            f"{path}: starts with {head.hex(' ') or 'nothing'}, not an IDX file of unsigned bytes; "
            "get it again"
        )
    axes = file.read(4 * head[3])
    if len(axes) < 4 * head[3]:
        raise InputError(f"{path}: ends within its header; the file is truncated, get it again")
    shape = struct.unpack(f">{head[3]}I", axes)
    size = math.prod(shape)
    if size > max_size:
        raise InputError(
            f"{path}: its header promises {size} bytes, more than the file can hold; get it again"
        )
    if math.prod(length or 1 for length in shape) >= 1 << 60:
        raise InputError(f"{path}: its header claims the shape {shape}; get it again")
    return read_bytes(file, size, str(path)).reshape(shape)
