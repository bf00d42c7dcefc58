"""Writing files so that a crash never leaves half of one, and two writers never one of both."""

from __future__ import annotations

import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARTS = f".*.{'[0-9a-f]' * 8}.part"
"""The names of files that aren't whole yet."""
A_LOOK = 0.1
"""Seconds in which a process that only looks at a lock has let go of it again."""


def check_file_name(path: Path) -> None:
    """Raise InputError for a folder or a pipe, and for a file in a folder that isn't there."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file; name another")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it, or name another")


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
    InputError if it can't be written, from its own write() too, and if the name is taken by what is
    no regular file; other errors of the block pass.
    """
    # A name of its own, so that two writers at the same time leave the file of one of them.
    with _one_line_errors(path):
        # What takes its place would be a file, in place of /dev/null too.
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: can't be written: not a regular file; name another")
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


def append(path: Path, content: bytes) -> None:
    """Write to the end of a file, which is made if there is none: all of the content, or nothing.

    Raises InputError if it can't be written, as on a full disk.
    """
    with _one_line_errors(path), path.open("ab", buffering=0) as file:
        size, rest = file.tell(), memoryview(content)
        try:
            while rest:  # a disk that gets full takes a part first
                rest = rest[file.write(rest) :]
        except BaseException:
            file.truncate(size)
            raise


def remove_temporary(folder: Path) -> None:
    """Remove what writers that were killed have left; no other may be writing there."""
    for path in folder.glob(PARTS):
        with suppress(OSError):
            path.unlink()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock in the block, which the system frees when the process ends, however it ends.

    path: a file that stands for the lock, made for the block. Raises InputError if another process
    holds it, for longer than is_locked() takes to look. Where the system or the disk has no locks
    (Windows, some network disks), nothing is locked.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    end = time.monotonic() + A_LOOK
    while True:
        try:
            file = path.open("ab")
        except OSError as error:
            raise InputError(f"{path.parent}: can't be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() < end:
                    time.sleep(A_LOOK / 20)
                    continue
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


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock exclusive(path); False where the system has no locks."""
    try:
        import fcntl

        if not path.is_file():  # opening a pipe would wait for its writer
            return False
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False
