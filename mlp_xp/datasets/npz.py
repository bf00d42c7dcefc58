"""NumPy's archives: Keras' layout (x_train, y_train, x_test, y_test), or X and y."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlp_xp.datasets.dataset import Dataset, make_dataset
from mlp_xp.errors import InputError


def load(path: Path) -> Dataset:
    """The data set of an .npz file; see datasets.load()."""
    arrays = read(path)
    name = path.stem
    if {"x_train", "y_train"} <= arrays.keys():
        test = None
        if {"x_test", "y_test"} <= arrays.keys():
            test = (arrays["x_test"], arrays["y_test"])
        return make_dataset(name, (arrays["x_train"], arrays["y_train"]), test, str(path))
    if {"x", "y"} <= arrays.keys():
        return make_dataset(name, (arrays["x"], arrays["y"]), None, str(path))
    raise InputError(
        f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; "
        "it needs x_train, y_train, x_test and y_test, or X and y"
    )


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an .npz file by its name in lower case; nothing in it is ever run.

    Raises InputError for a file that is no archive, is cut or damaged, or holds Python objects.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as file:
                    arrays[name.lower()] = read_array(file, member.file_size, f"{path}: {name}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: damaged or not an .npz file ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return arrays


def read_array(file: IO[bytes], size: int, where: str) -> NDArray[Any]:
    """The array of an open .npy file of `size` bytes; its header is checked before it is believed.

    Raises InputError, starting with `where`, if header and size disagree or the file is cut.
    """
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise InputError(f"{where}: holds Python objects, which are never loaded; use numbers")
        promised = math.prod(shape) * dtype.itemsize
        if promised > size:
            raise InputError(f"{where}: its header promises {promised} bytes, {size} are there")
        body = file.read(promised)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: not an array in NumPy's format ({error})") from error
    if len(body) < promised:
        raise InputError(f"{where}: {len(body)} of {promised} bytes are there; the file is cut")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if fortran else "C")
