"""NumPy's formats: .npz archives, and folders of .npy files, in Keras' layout or with X and y."""

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

from mlp_xp.data.memory import DEFLATE_LIMIT, advise, read_bytes
from mlp_xp.data.raw import RawSplit
from mlp_xp.errors import InputError
from mlp_xp.types import HostArray


def load(path: Path) -> tuple[RawSplit, RawSplit | None]:
    """The arrays of an .npz file; see load_data()."""
    return _splits(read(path, lambda names: _layout(names, str(path))))


def load_folder(folder: Path) -> tuple[RawSplit, RawSplit | None]:
    """The arrays of a folder of .npy files, mapped: rows are read from the disk when needed."""
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.npy")):
        if files.setdefault(path.stem.lower(), path) != path:
            raise InputError(f"{folder}: {files[path.stem.lower()].name} and {path.name} differ "
                             "only in case; remove one")  # fmt: skip
    return _splits({name: map_array(files[name]) for name in _layout(files, str(folder))})


def _layout(names: Iterable[str], where: str) -> list[str]:
    """Which arrays are training X and y, followed by those of the test set if there are any."""
    names = set(names)
    for train in (["x_train", "y_train"], ["x", "y"]):
        if names.issuperset(train):
            test = [name for name in ("x_test", "y_test") if name in names]
            if len(test) == 1:
                raise InputError(f"{where}: holds {test[0]} alone; give both x_test and y_test")
            return train + test
    raise InputError(
        f"{where}: holds {listed(names)}; it needs x_train, y_train, x_test and y_test, or X and y"
    )


def _splits(arrays: Mapping[str, HostArray]) -> tuple[RawSplit, RawSplit | None]:
    in_order = list(arrays.values())
    test = (in_order[2], in_order[3], None) if in_order[2:] else None
    return (in_order[0], in_order[1], None), test


def listed(names: Iterable[str]) -> str:
    """Names for a message: a few of them, each short and printable."""
    shown = sorted(names)
    text = ", ".join(name[:40] if name.isprintable() else repr(name[:40]) for name in shown[:8])
    return (text or "nothing") + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def read(path: Path, choose: Callable[[set[str]], list[str]]) -> dict[str, HostArray]:
    """The arrays of an .npz file that `choose` selects, by name, in the order it gives them.

    choose(names) takes the names of all arrays, in lower case. No code in the file is ever run.
    Raises InputError for a file that isn't an archive, is damaged, or holds Python objects.
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


def _member(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], where: str) -> HostArray:
    if len(members) > 1:
        raise InputError(f"{where}: occurs {len(members)} times; keep one")
    member = members[0]
    if member.flag_bits & 1:
        raise InputError(f"{where}: is encrypted; save it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{where}: has an unsupported compression; save it with numpy.savez")
    max_size = min(member.file_size, member.compress_size * DEFLATE_LIMIT)
    with archive.open(member) as file:
        return read_array(file, max_size, where)


def read_array(file: IO[bytes], size: int, where: str) -> HostArray:
    """The array of an open .npy file of at most `size` bytes.

    Nothing is allocated before the header has been checked. Raises InputError, starting with
    `where`, if header and size disagree or the file is truncated.
    """
    shape, fortran, dtype = _header(file, size, where)
    body = read_bytes(file, math.prod(shape) * dtype.itemsize, where)
    return body.view(dtype).reshape(shape, order="F" if fortran else "C")


def map_array(path: Path) -> HostArray:
    """The array of an .npy file, memory-mapped: rows are read from the disk when needed.

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
        if promised == 0:  # an empty map is an error
            return np.empty(shape, dtype)
        array = np.memmap(path, dtype, "r", start, shape, order="F" if fortran else "C")
        advise(array, in_order=False)
        return array
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _header(file: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype: of numbers, and no more than `size` bytes."""
    try:
        version = npy.read_magic(file)
        # 3.0 differs from 2.0 only in the names of fields, which are refused below.
        readers = {
            (1, 0): npy.read_array_header_1_0,
            (2, 0): npy.read_array_header_2_0,
            (3, 0): npy.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"version {version} is unknown")
        with warnings.catch_warnings(action="ignore"):  # about headers that Python 2 wrote
            shape, fortran, dtype = readers[version](file)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        raise
    # NumPy parses the header as a Python literal; what a damaged one raises is undocumented.
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
            f"{where}: its header promises {promised} bytes, but the file holds at most {size}; "
            "it is truncated, get it again"
        )
    return shape, fortran, dtype
