"""Writing files so that a crash never leaves half of one, and two writers never one of both."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARTS = f".*.{'[0-9a-f]' * 8}.part"
"""The names of files that aren't whole yet."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file such that, even after a power cut, it holds either all of it or the old content.

    Raises InputError if it can't be written; the old file is then still in place.
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write in the block, which takes the name `path` at its end, and only then.

    The bytes go to a temporary file beside it, and on to the disk, before that file takes the name.
    If the block raises anything, Ctrl-C too, that file is removed, and the old one stays. Raises
    InputError if it can't be written, from its own write() too; other errors of the block pass.
    """
    # A name of its own, so that two writers at the same time leave the file of one of them.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # see PARTS
    try:
        with _one_line_errors(path):
            raw = _RawFile(temporary, path)
        with raw, io.BufferedWriter(raw) as file:
            yield file
            file.flush()
            with _one_line_errors(path):
                os.fsync(raw.fileno())
        with _one_line_errors(path):
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


class _RawFile(io.FileIO):
    """A new file whose writes raise InputErrors, which name the path that it is for."""

    def __init__(self, temporary: Path, path: Path):
        super().__init__(temporary, "xb")
        self._path = path

    def write(self, content: ReadableBuffer) -> int:
        with _one_line_errors(self._path):
            return super().write(content)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror or error}") from error


def remove_temporary(folder: Path) -> None:
    """Remove what writers that were killed have left; no other may be writing there."""
    for path in folder.glob(PARTS):
        with suppress(OSError):
            path.unlink()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock in the block, which the system frees when the process ends, however it ends.

    path: a file that stands for the lock, made for the block. Raises InputError if another process
    holds it. Where the system or the disk has no locks (Windows, some network disks), nothing is
    locked.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    while True:
        try:
            file = path.open("ab")
        except OSError as error:
            raise InputError(f"{path.parent}: can't be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"{path.parent}: another process is writing there; wait until it has ended"
                ) from error
            except OSError:
                pass
            try:
                # Its last holder may have removed the file after it was opened here.
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
            except FileNotFoundError:
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
