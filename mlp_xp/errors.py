"""Errors that a user can cause and fix: one line each, never a traceback."""

from __future__ import annotations

WRITTEN = "\u00a0\u202f\u3000\u200c\u200d"
"""Spaces, and what joins letters or keeps them apart, which are parts of ordinary names."""


def printable(text: str) -> str:
    """The text in one line, with line breaks and a terminal's escapes spelled out."""
    return "".join(c if c.isprintable() or c in WRITTEN else repr(c)[1:-1] for c in text)


class InputError(ValueError):
    """An input that can't be used; the message says what is wrong, where, and what to do.

    The command line prints the message on standard error and exits with `status`.
    """

    status = 2

    def __init__(self, message: str):
        super().__init__(printable(message))  # names and values may come from outside


class DivergenceError(InputError):
    """A loss, or a network's outputs, stopped being finite."""


class TrainingWarning(UserWarning):
    """A training whose result may not be what was wanted; the message says why."""


class DeviceError(InputError):
    """A required device can't be used, or a device failed during a run."""

    status = 3


class DeviceUnavailable(Exception):
    """Why a CUDA device can't be used (`cause`), and what to do about it."""

    def __init__(self, cause: str, remedy: str):
        super().__init__(cause, remedy)  # all of them, so that it can be unpickled
        self.cause = cause

    def __str__(self) -> str:
        return "; ".join(self.args)
