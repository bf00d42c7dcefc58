"""NumPy's formats: an .npz in Keras' layout or with X and y, or a folder of the same as .npy."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlp_xp.datasets.dataset import Parts
from mlp_xp.datasets.memory import DEFLATE_LIMIT, advise, read_bytes
from mlp_xp.errors import InputError


def load(path: Path) -> Parts:
    """The arrays of an .npz file; see datasets.load()."""
    return _parts(read(path, lambda names: _layout(names, str(path))))


def load_folder(folder: Path) -> Parts:
    """The arrays of a folder of .npy files, mapped: rows are read from the disk as needed."""
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.npy")):
        if files.setdefault(path.stem.lower(), path) != path:
            raise InputError(f"{folder}: {files[path.stem.lower()].name} and {path.name} differ "
                             "only in case; remove one")  # fmt: skip
    return _parts({name: map_array(files[name]) for name in _layout(files, str(folder))})


def _layout(names: Iterable[str], where: str) -> list[str]:
    """The arrays that make a data set: training X and y, then the test's where there are any."""
    names = set(names)
    for train in (["x_train", "y_train"], ["x", "y"]):
        if names.issuperset(train):
            test = [name for name in ("x_test", "y_test") if name in names]
            if len(test) == 1:
                raise InputError(f"{where}: holds {test[0]} alone; x_test and y_test come together")
            return train + test
    raise InputError(
        f"{where}: holds {listed(names)}; it needs x_train, y_train, x_test and y_test, or X and y"
    )


def _parts(arrays: Mapping[str, NDArray[Any]]) -> Parts:
    in_order = list(arrays.values())
    return Parts((in_order[0], in_order[1]), (in_order[2], in_order[3]) if in_order[2:] else None)


def listed(names: Iterable[str]) -> str:
    """Names for a message: a few of them, each short and printable."""
    shown = sorted(names)
    text = ", ".join(name[:40] if name.isprintable() else repr(name[:40]) for name in shown[:8])
    return (text or "nothing") + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def read(path: Path, choose: Callable[[set[str]], list[str]]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file that `choose` picks, in its order; nothing in it is ever run.

    choose is given the names of all arrays, in lower case. Raises InputError for a file that is
    no archive, is cut or damaged, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members: dict[str, list[zipfile.ZipInfo]] = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy").lower()
                members.setdefault(name, []).append(member)
            return {
                name: _member(archive, members[name], f"{path}: {name}")
                for name in choose(set(members))
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: damaged or not an .npz file ({error}); get it again") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged or not an .npz file ({error}); get it again") from error


def _member(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], where: str) -> NDArray[Any]:
    if len(members) > 1:
        raise InputError(f"{where}: is there {len(members)} times; keep one")
    member = members[0]
    if member.flag_bits & 1:
        raise InputError(f"{where}: is encrypted; save it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{where}: is packed in a way that NumPy doesn't; use numpy.savez")
    most = min(member.file_size, member.compress_size * DEFLATE_LIMIT)
    with archive.open(member) as file:
        return read_array(file, most, where)


def read_array(file: IO[bytes], size: int, where: str) -> NDArray[Any]:
    """The array of an open .npy file of `size` bytes; its header is checked before it is believed.

    Raises InputError, starting with `where`, if header and size disagree or the file is cut.
    """
    shape, fortran, dtype = _header(file, size, where)
    body = read_bytes(file, math.prod(shape) * dtype.itemsize, where)
    return body.view(dtype).reshape(shape, order="F" if fortran else "C")


def map_array(path: Path) -> NDArray[Any]:
    """The array of an .npy file, mapped, so that only what is used is ever in memory.

    Raises InputError as read_array() does, and if the file can't be opened.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            shape, fortran, dtype = _header(file, size, str(path))
            start, promised = file.tell(), math.prod(shape) * dtype.itemsize
        if size != start + promised:
            raise InputError(
                f"{path}: {size - start} bytes follow a header that promises {promised}; "
                "save it again"
            )
        if promised == 0:  # nothing to map
            return np.empty(shape, dtype)
        array = np.memmap(path, dtype, "r", start, shape, order="F" if fortran else "C")
        advise(array, in_order=False)
        return array
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _header(file: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype, for numbers only, and no larger than `size` bytes."""
    try:
        version = npy.read_magic(file)
        # 3.0 differs from 2.0 in the names of fields alone, and fields are refused below.
        readers = {
            (1, 0): npy.read_array_header_1_0,
            (2, 0): npy.read_array_header_2_0,
            (3, 0): npy.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"version {version} is unknown")
        with warnings.catch_warnings(action="ignore"):  # of headers in an older spelling
            shape, fortran, dtype = readers[version](file)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        raise
    # NumPy evaluates the header as a literal; what a damaged one raises is written nowhere.
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise InputError(
            f"{where}: not an array in NumPy's format ({why}); save it with numpy.save"
        ) from error
    if dtype.hasobject:
        raise InputError(f"{where}: holds Python objects, which are never loaded; save numbers")
    if dtype.kind not in "biuf":
        raise InputError(f"{where}: is of type {dtype}; save numbers")
    possible = len(shape) <= 32 and min(shape, default=0) >= 0
    if not possible or math.prod(length or 1 for length in shape) >= 1 << 60:
        raise InputError(f"{where}: its header claims the shape {shape}; save it again")
    promised = math.prod(shape) * dtype.itemsize
    if promised > size:
        raise InputError(
            f"{where}: its header promises {promised} bytes, {size} are there; "
            "the file is cut, get it again"
        )
    return shape, fortran, dtype
