"""Writing files so that a crash never leaves half of one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mlp_xp.errors import InputError


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file such that, even after a power cut, it holds either all of it or the old content.

    The bytes go to a temporary file beside it, and on to the disk, before that file takes the name.
    Raises InputError if it can't be written; the old file is then still in place.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(f"{path}: can't be written: {error.strerror or error}") from error


def remove(path: Path) -> None:
    """Remove a file written by write_atomic(), and the temporary file that a kill may have left."""
    path.unlink(missing_ok=True)
    _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    # Always the same name, so that what a kill leaves is overwritten and doesn't pile up.
    return path.with_name(f".{path.name}.part")
