"""Denormal numbers, taken as 0: many CPUs compute with them a hundred times as slowly."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

FLUSH_TO_ZERO = 0x8000
"""A bit of the register MXCSR.    Intel 64 Software Developer's Manual, volume 1, section 10.2.3"""


class Environment(ctypes.Structure):
    """C's fenv_t, as glibc has it on x86-64."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


@contextmanager
def flush_denormals() -> Iterator[None]:
    """On this thread, in the block, take results below the normal range as 0.

    That range begins at 1.2e-38 in float32, and at 2.2e-308 in float64. The velocity or the
    averages of a weight whose input is rarely active decay to such numbers, which change no weight
    any more: trainings on MNIST end with the same bits. JAX does it too. It does nothing but on
    x86-64 with glibc. A thread that is started in the block keeps flushing.
    """
    library = _library()
    if library is None:
        yield
        return
    before = _environment(library)
    flushing = _environment(library)
    flushing.mxcsr |= FLUSH_TO_ZERO
    try:  # from here on, as a signal's handler may raise an error at once
        library.fesetenv(ctypes.byref(flushing))
        yield
    finally:
        library.fesetenv(ctypes.byref(before))


@cache
def _library() -> Any:
    """The C library, which can read and set the register; None where that isn't known to work."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return None
    try:
        library = ctypes.CDLL("libm.so.6")
        _ = library.fegetenv, library.fesetenv
    except (OSError, AttributeError):
        return None
    # The first call looks for denormal numbers, and would warn in the block that there are none.
    _ = np.finfo("float32"), np.finfo("float64")
    return library


def _environment(library: Any) -> Environment:
    environment = Environment()
    library.fegetenv(ctypes.byref(environment))
    return environment
