"""Where arrays live: one small interface, and NumPy on the host behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from mlp_xp.types import Array, HostArray, Namespace


class Device(ABC):
    """An array namespace, and the transfers between its memory and the host's.

    name: `cpu` or `cuda:N`. xp: the namespace, NumPy or CuPy. on_host: whether its arrays are
    NumPy's, in host memory. requested: the name that get_device() was called with.
    fallback_reason: why get_device() fell back to the CPU, or None if it didn't.
    """

    name: str
    xp: Namespace
    on_host = False

    def __init__(self, requested: str | None = None, fallback_reason: str | None = None):
        self.requested = requested or self.name
        self.fallback_reason = fallback_reason

    @abstractmethod
    def use(self) -> None:
        """Make this the calling thread's current device, where its new arrays are made.

        Each thread has a current GPU of its own, at first GPU 0, and a GPU refuses or copies what
        lies on another one. The device's own methods work whichever is current.
        """

    @abstractmethod
    def to_device(self, array: Any) -> Array:
        """A copy of a host array on the device, or the array itself if it is already there."""

    @abstractmethod
    def to_host(self, array: Array, out: HostArray | None = None) -> HostArray:
        """A device array as a NumPy array. Waits until it has been computed.

        out: takes it, an array from empty_pinned() of the same shape and dtype.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has finished all work."""

    def free_memory(self) -> int | None:
        """Bytes available to new arrays on the device; None if they live in host memory."""
        return None

    def empty_pinned(self, shape: tuple[int, ...], dtype: Any) -> HostArray:
        """An uninitialized host array that the device can read at full speed."""
        return np.empty(shape, dtype)

    @abstractmethod
    def upload(self, source: HostArray, out: Array) -> Callable[[], None]:
        """Start copying an array from empty_pinned() to `out`, of the same shape and dtype.

        Returns a function that waits until `source` may be overwritten.
        """

    def product(self, a: Array, b: Array, out: Array, *, add: bool = False) -> Array:
        """out = a b, or out + a b with `add`; a (m, k), b (k, n), out (m, n), all of one dtype."""
        if add:
            out += a.dot(b)
            return out
        return a.dot(b, out)

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Call a function, and return what repeats it on the same arrays: the function itself.

        A GPU records what it's told to do as a CUDA graph, which it repeats without the host: see
        CUDA.capture().
        """
        function()
        return function


class CPU(Device):
    """NumPy, on the host."""

    name = "cpu"
    xp = np
    on_host = True

    def use(self) -> None:
        """Do nothing: all threads share the host's memory."""

    def to_device(self, array: Any) -> Array:
        """The array itself."""
        return np.asarray(array)

    def to_host(self, array: Array, out: HostArray | None = None) -> HostArray:
        """The array itself, or out."""
        if out is None:
            return np.asarray(array)
        np.copyto(out, array)
        return out

    def synchronize(self) -> None:
        """Return at once: NumPy never works in the background."""

    def upload(self, source: HostArray, out: Array) -> Callable[[], None]:
        """Copy at once; there is nothing left to wait for."""
        np.copyto(out, source)
        return lambda: None
