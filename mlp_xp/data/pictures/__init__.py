"""Pictures in a folder for each class, as torchvision's ImageFolder and Keras keep them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.checks import check_path
from mlp_xp.data.memory import blocks, check_memory
from mlp_xp.data.npz import listed
from mlp_xp.data.pictures.files import Size, decode, pillow
from mlp_xp.data.pictures.folders import find_classes, find_names, find_splits
from mlp_xp.data.pictures.folders import is_folder as is_folder
from mlp_xp.errors import InputError
from mlp_xp.schema import Picture, Schema
from mlp_xp.types import HostArray

LARGEST = 64
"""Pictures that are all of one size keep it up to this side: 12,288 inputs in color."""

DEFAULT = (32, 32)
"""The size of all others, unless the user chooses: that of CIFAR, 3,072 inputs in color."""

BLOCK = 1024
"""Pictures given to the threads at a time, so that a million of them don't wait in memory."""

Rows = tuple[NDArray[np.uint8], NDArray[np.int64]]
Progress = Callable[[int, int], None]


class PictureData(NamedTuple):
    """Rows X (N, n_inputs) uint8 and classes y (N,) int64 of pictures, and what was done to them.

    Row by row, the values of a gray picture are its pixels, those of a color picture red, green
    and blue of each pixel. output_names: the class that each y stands for. notes: lines to show.
    """

    train: Rows
    test: Rows | None
    picture: Picture
    output_names: tuple[str, ...]
    notes: tuple[str, ...]


def load(
    path: str | Path,
    size: Picture | Size | None = None,
    like: Schema | None = None,
    progress: Progress | None = None,
    *,
    new: bool = False,
) -> PictureData:
    """The pictures in path/CLASS/, or in path/train/CLASS/ and path/test/CLASS/.

    training/, testing/, val/, valid/ and validation/ stand for the two as well. Folders inside a
    class are refused, as they may be meant as classes. Classes are in the order of their names, and
    so are the pictures of each.

    size: what all pictures are brought to, by a resize that keeps the whole picture, so its
    proportions may change; (height, width) leaves it to the pictures whether they are gray. Without
    a size they keep their own if it is the same for all and at most 64 x 64, and become 32 x 32
    otherwise. They become gray if all of them are.
    like: the schema of a model, whose size and classes are taken; some classes may be missing.
    new: the classes are the folders' own all the same.
    progress(done, total) is called after each picture, from the start again where the first
    pictures were of one size and a later one wasn't.

    Raises InputError, with the path, for pictures that can't be read, and for folders of which it
    isn't plain what is meant.
    """
    path = check_path(path)
    size = _agreed(path, size, like)
    notes: list[str] = []
    train_folder, test_folder = find_splits(path, notes)
    train = find_classes(train_folder, notes)
    test = {} if test_folder is None else find_classes(test_folder, notes)
    if len(train) < 2 and like is None:
        raise InputError(f"{train_folder}: has a folder for one class alone; it takes two or more")
    names = find_names(train | test, train if like is None or new else None, like)
    files = [file for files in (train | test).values() for file in files]
    X, picture, changes = _read_as_wanted(files, size, progress)
    number = {name: index for index, name in enumerate(names)}
    y = np.array([number[file.parent.name] for file in files], dtype=np.int64)
    n = sum(map(len, train.values()))
    counts = f" ({n:,} for training, {len(y) - n:,} for testing)" if test else ""
    n_classes = len({folder.name for folder in train | test})
    colors = "gray" if picture.channels == 1 else "color"
    shape = f"{picture.height} x {picture.width} in {colors}"
    notes.insert(0, f"pictures: {len(y):,}{counts} of {shape}, {n_classes} classes{changes}")
    split = (X[n:], y[n:]) if test else None
    return PictureData((X[:n], y[:n]), split, picture, names, tuple(notes))


def read(
    paths: Sequence[Path], picture: Picture, progress: Progress | None = None
) -> NDArray[np.uint8]:
    """Pictures as rows (N, picture.n_inputs) uint8, treated as load() treats them.

    Raises InputError, with the path, for those that can't be read.
    """
    return _read(paths, picture, progress)[0]


def _agreed(path: Path, size: Picture | Size | None, like: Schema | None) -> Picture | Size | None:
    """The size that the user and the model want. Raises InputError if they disagree."""
    wanted = None if like is None else like.picture
    if wanted is None or size is None:
        return wanted or size
    given = size if isinstance(size, Picture) else Picture(*size, wanted.channels)
    if given != wanted:
        raise InputError(f"{path}: size {given}, but the model reads {wanted}; leave the size out")
    return wanted


def _read_as_wanted(
    files: Sequence[Path], size: Picture | Size | None, progress: Progress | None
) -> tuple[NDArray[np.uint8], Picture, str]:
    """The rows of files, what they were brought to, and the end of a note on what that changed."""
    if isinstance(size, Picture):
        X, sizes = _read(files, size, progress)
        return X, size, _changes(sizes, size)
    own = _read(files[:1], Picture(1, 1))[1][0] if size is None else None
    side = size or (own if own and max(own) <= LARGEST else DEFAULT)
    X, sizes = _read(files, Picture(*side, 3), progress, of_one_size=side == own)
    if len(sizes) < len(files):  # it stopped at another size
        side = DEFAULT
        X, sizes = _read(files, Picture(*side, 3), progress)
    picture = Picture(*side, 3)
    if all((b[:, ::3] == b[:, i::3]).all() for _, b in blocks(X) for i in (1, 2)):
        check_memory(X.size // 3, str(files[0].parent))
        X, picture = X[:, ::3].copy(), Picture(*side)
    changes = _changes(sizes, picture)
    return X, picture, changes + ", --size chooses another" if changes and not size else changes


def _changes(sizes: list[Size], picture: Picture) -> str:
    """Which sizes were changed to the picture's, as the end of a note; nothing if none was."""
    resized = [size for size in sizes if size != (picture.height, picture.width)]
    if not resized:
        return ""
    ends = dict.fromkeys((min(resized, key=math.prod), max(resized, key=math.prod)))
    span = " to ".join(f"{height} x {width}" for height, width in ends)
    return f"; {len(resized):,} were resized from {span}"


def _read(
    files: Sequence[Path],
    picture: Picture,
    progress: Progress | None = None,
    *,
    of_one_size: bool = False,
) -> tuple[NDArray[np.uint8], list[Size]]:
    """Files as rows (N, picture.n_inputs), and the size that each had.

    of_one_size: stop before the first file of another size than the picture's. Raises InputError
    that names the files that can't be read.
    """
    if not files:
        return np.empty((0, picture.n_inputs), dtype=np.uint8), []
    Image = pillow(files[0])
    check_memory(len(files) * picture.n_inputs, str(files[0].parent))
    X = np.empty((len(files), picture.n_inputs), dtype=np.uint8)
    sizes: list[Size] = []
    broken: dict[Path, InputError] = {}
    # Pillow warns of flaws around a picture that leave it whole. The filters hold for all threads.
    with warnings.catch_warnings(action="ignore"):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for i, result in enumerate(_decode_all(files, picture)):
            if isinstance(result, InputError):
                broken[files[i]] = result
            else:
                X[i], size = result
                if of_one_size and size != (picture.height, picture.width):
                    return X, sizes
                sizes.append(size)
            if progress is not None:
                progress(i + 1, len(files))
    if broken:
        first, *others = broken
        names = listed(f"{file.parent.name}/{file.name}" for file in others)
        also = f"; nor can these be read: {names}" if others else ""
        raise InputError(f"{broken[first]}{also}")
    return X, sizes


def _decode_all(
    files: Sequence[Path], picture: Picture
) -> Iterator[tuple[HostArray, Size] | InputError]:
    """Each file's row and size, or why it can't be read, in order."""

    def attempt(file: Path) -> tuple[HostArray, Size] | InputError:
        try:
            return decode(file, picture)
        except InputError as error:
            return error

    # Pillow decodes without the GIL, but opens a file with it: more threads only wait for it.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(files), BLOCK):
            yield from pool.map(attempt, files[start : start + BLOCK])
