"""Which pictures a folder holds, and of which classes; the pictures themselves aren't opened."""

from __future__ import annotations

from pathlib import Path

from mlp_xp.data.checks import MAX_CLASSES
from mlp_xp.data.npz import listed
from mlp_xp.errors import InputError, printable
from mlp_xp.schema import Schema

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")
"""Folders above the classes, in upper or lower case. The first one there is the test set."""

Classes = dict[Path, list[Path]]


def is_folder(path: Path) -> bool:
    """Whether a folder holds folders with pictures, or a train/ that does. Opens no file."""
    try:
        folders = [folder for folder in _visible(path) if folder.is_dir()]
        for folder in folders.copy():
            if folder.name.lower() in TRAIN + TEST:
                folders += [inner for inner in _visible(folder) if inner.is_dir()]
        return any(_is_picture(file) for folder in folders for file in _visible(folder))
    except OSError:
        return False


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, by name, but for what systems and programs put there."""
    hidden = ("__macosx", "thumbs.db", "desktop.ini")
    inner = [path for path in folder.iterdir() if path.name.lower() not in hidden]
    shown = (path for path in inner if not path.name.startswith("."))
    return sorted(shown, key=lambda path: path.name)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _listed(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The folders, the pictures, and the other files in a folder."""
    try:
        inner = _visible(folder)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from error
    kinds: tuple[list[Path], list[Path], list[Path]] = ([], [], [])
    for path in inner:
        kinds[0 if path.is_dir() else 1 if _is_picture(path) else 2].append(path)
    return kinds


def find_splits(root: Path, notes: list[str]) -> tuple[Path, Path | None]:
    """The folders that hold the classes for training, and for testing if there are any."""
    folders = _listed(root)[0]
    # A folder called train may also be a class, among cars and planes: then it holds no folders.
    above = [path for path in folders if path.name.lower() in TRAIN + TEST and _listed(path)[0]]
    train = [path for path in above if path.name.lower() in TRAIN]
    if not above:
        return root, None
    if len(train) != 1:
        found = listed(path.name for path in train or above)
        raise InputError(f"{root}: holds {found}; call one folder train, and one test")
    for path in folders:
        if path not in above and _listed(path)[1]:
            raise InputError(
                f"{path}: holds pictures without classes, beside {train[0].name}; move them into "
                "folders of classes, or away"
            )
    tests = sorted(set(above) - set(train), key=lambda path: TEST.index(path.name.lower()))
    unread = [path for path in folders if path not in train + tests[:1]]
    if unread:
        notes.append(f"pictures: {listed(path.name for path in unread)} in {root} not read")
    return train[0], tests[0] if tests else None


def find_classes(folder: Path, notes: list[str]) -> Classes:
    """The folder of each class, with its pictures."""
    folders, beside, _ = _listed(folder)
    if beside:
        raise InputError(f"{beside[0]}: lies beside the folders of classes; move it into one")
    if not folders:
        raise InputError(f"{folder}: holds no folders; it takes one with pictures for each class")
    classes, others = {}, []
    for path in folders:
        inner, classes[path], unread = _listed(path)
        if inner:
            raise InputError(f"{inner[0]}: a folder inside a class; move its pictures one up")
        if not classes[path]:
            raise InputError(f"{path}: holds no pictures ({' '.join(SUFFIXES)}); remove it")
        if printable(path.name) != path.name:
            raise InputError(f"{path}: a class whose name isn't plain text; rename the folder")
        others += unread
    if others:
        notes.append(f"pictures: {len(others):,} other files not read, the first {others[0]}")
    return classes


def find_names(classes: Classes, train: Classes | None, like: Schema | None) -> tuple[str, ...]:
    """The names of the classes: those of the training set, or else those of a model.

    The classes of a model without names are 0, 1, and so on. Raises InputError for a folder whose
    class isn't among them.
    """
    if train is not None:
        names, whose = tuple(path.name for path in train), "the training set"
    elif like is not None and like.output_names is not None:
        names, whose = like.output_names, "the model"
    else:
        numbers = [int(path.name) for path in classes if path.name.isdecimal()]
        count = 1 + max((number for number in numbers if number < MAX_CLASSES), default=-1)
        names, whose = tuple(map(str, range(count))), "the model, whose classes have no names,"
    for path in classes:
        if path.name not in names:
            raise InputError(f"{path}: {whose} has no such class, but {listed(names)}; rename it")
    return names
