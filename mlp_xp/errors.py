"""Errors that a user can cause and fix: one line each, never a traceback."""

from __future__ import annotations


class InputError(ValueError):
    """An input that can't be used; the message says what is wrong, where, and what to do.

    The command line prints the message on standard error and exits with `status`.
    """

    status = 2

    def __init__(self, message: str):
        # Names and values from outside may hold line breaks and terminal escapes.
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


class DeviceError(InputError):
    """A required device can't be used, or a device failed during a run."""

    status = 3


class DeviceUnavailable(Exception):
    """Why a CUDA device can't be used (`cause`), and what to do about it."""

    def __init__(self, cause: str, remedy: str):
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause
