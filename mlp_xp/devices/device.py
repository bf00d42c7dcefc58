"""Where arrays live: the CPU with NumPy, or a GPU with CuPy, behind one small interface."""

from __future__ import annotations

import math
import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from mlp_xp.devices.probe import first_line, probe
from mlp_xp.errors import DeviceError, DeviceUnavailable, InputError
from mlp_xp.types import Array, HostArray, Namespace

CUPY = re.compile(r"(cupy|cupyx|cupy_backends|cuda\.pathfinder)(\.|$)")
"""The modules of CuPy, and those that find its libraries."""

BLOCK_BYTES = 1 << 22
"""Host bytes that one copy to a GPU may page-lock: enough to make the cost of a call negligible."""


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
    def to_host(self, array: Array) -> HostArray:
        """A device array as a NumPy array. Waits until it has been computed."""

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

    def to_host(self, array: Array) -> HostArray:
        """The array itself."""
        return np.asarray(array)

    def synchronize(self) -> None:
        """Return at once: NumPy never works in the background."""

    def upload(self, source: HostArray, out: Array) -> Callable[[], None]:
        """Copy at once; there is nothing left to wait for."""
        np.copyto(out, source)
        return lambda: None


class CUDA(Device):
    """CuPy, on a GPU that passed probe()."""

    def __init__(self, index: int, requested: str | None = None):
        import cupy

        self.name, self.xp = f"cuda:{index}", cupy
        self._device = cupy.cuda.Device(index)
        super().__init__(requested)

    def __reduce__(self) -> tuple[Callable[[str], Device], tuple[str]]:
        """Unpickling tests the GPU, and raises DeviceError where there is none."""
        return partial(get_device, require=True), (self.requested,)

    def __deepcopy__(self, memo: object) -> CUDA:
        """The device itself: nothing in it changes."""
        return self

    def use(self) -> None:
        self._device.use()

    def to_device(self, array: Any) -> Array:
        """A copy on the GPU, or the array itself if it is already there.

        The host array may be overwritten afterward. A large one is read in blocks of rows.
        """
        with self._device:
            # asarray() copies into page-locked memory first, as large as the array or up to twice
            # as large, which CuPy then keeps for good.
            if not isinstance(array, np.ndarray) or array.nbytes <= BLOCK_BYTES:
                return self.xp.asarray(array)
            if array.flags.fnc:  # rows lie scattered, and asarray() too would keep the order
                return self.to_device(array.T).T
            out = self.xp.empty(array.shape, array.dtype.newbyteorder("="))
            rows = max(1, BLOCK_BYTES * len(array) // array.nbytes)
            for start in range(0, len(array), rows):
                block = np.ascontiguousarray(array[start : start + rows], out.dtype)
                # Some systems read ordinary memory only after set() has returned.
                wait = self.upload(block, out[start : start + rows])
                wait()
            return out

    def to_host(self, array: Array) -> HostArray:
        """A copy on the host."""
        with self._device:
            host: HostArray = self.xp.asnumpy(array)
        return host

    def synchronize(self) -> None:
        """Wait until the GPU has finished all work."""
        self._device.synchronize()

    def free_memory(self) -> int:
        """The GPU's free memory, plus what CuPy's pool holds for new arrays."""
        with self._device:
            free: int = self.xp.cuda.runtime.memGetInfo()[0]
            return free + int(self.xp.get_default_memory_pool().free_bytes())

    def empty_pinned(self, shape: tuple[int, ...], dtype: Any) -> HostArray:
        """Page-locked memory. Raises DeviceError if the system has none left."""
        import cupyx

        with self._device:
            try:
                pinned: HostArray = cupyx.empty_pinned(shape, dtype)
            except Exception as error:
                if not _is_of_memory(error):
                    raise
                size = math.prod(shape) * np.dtype(dtype).itemsize
                asked = 1 << (size - 1).bit_length()  # CuPy asks for a power of two
                raise DeviceError(
                    f"out of page-locked host memory: {asked / 1e9:.3g} GB more needed; free host "
                    "memory, lower --batch-size, or raise --device-memory so that the data stays "
                    "on the GPU"
                ) from error
        return pinned

    def upload(self, source: HostArray, out: Array) -> Callable[[], None]:
        """Start the copy on the current stream, without waiting for it."""
        cuda = self.xp.cuda
        with self._device:
            out.set(source, stream=cuda.get_current_stream())
            event = cuda.Event(block=True, disable_timing=True)
            event.record()
        return event.synchronize  # type: ignore[no-any-return]


def get_device(name: str = "auto", *, require: bool = False) -> Device:
    """The device with this name: `auto`, `cpu`, `cuda` (which means `cuda:0`) or `cuda:N`.

    If CUDA can't be used, `auto` and `cuda` fall back to the CPU: the device's fallback_reason is
    the cause, and for `cuda` the remedy too. A CUDA device becomes the calling thread's current
    one, as CuPy requires: use one at a time, and call its use() in every other thread.

    Raises InputError for any other name, and with `require` DeviceError instead of falling back.
    """
    if name == "cpu":
        return CPU(name)
    index = cuda_index(name)
    try:
        for _ in probe(index):
            pass
    except DeviceUnavailable as error:
        if require:
            raise DeviceError(f"{'cuda' if name == 'auto' else name}: {error}") from error
        return CPU(name, error.cause if name == "auto" else str(error))
    return CUDA(index, name)


def cuda_index(name: str) -> int:
    """The index of the CUDA device that a name other than `cpu` means; 0 for `auto` and `cuda`.

    Raises InputError for an unknown name.
    """
    match = re.fullmatch(r"auto|cuda(?::([0-9]{1,9}))?", name)
    if match is None:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N")
    return int(match[1] or 0)


@contextmanager
def device_errors() -> Iterator[None]:
    """Turn an error that a device raises during a run into a DeviceError of one line.

    There is no fallback in the middle of a run: its results would be neither the GPU's nor the
    CPU's. If memory runs out, on the host too, the message says how much was needed and which
    options to lower.
    """
    try:
        yield
    except Exception as error:
        from_cupy = _is_from_cupy(error)
        if isinstance(error, MemoryError) or (from_cupy and _is_of_memory(error)):
            raise DeviceError(
                f"out of memory{_needed(error)}; lower --batch-size, --hidden or --device-memory"
            ) from error
        if from_cupy:
            raise DeviceError(
                f"the GPU failed during the run: {first_line(error)}; `mlp_xp doctor` tests it"
            ) from error
        raise


def _is_from_cupy(error: Exception) -> bool:
    """Whether an error is of a kind of CuPy's own, or a plain one, such as for a missing library.

    What CuPy raises to point out a mistake in a call is of other kinds.
    """
    modules = [type(error).__module__]
    if type(error) in (RuntimeError, ImportError):
        *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
        modules.append(innermost.f_globals.get("__name__", ""))
    return any(CUPY.match(module) for module in modules)


def _is_of_memory(error: Exception) -> bool:
    return re.search("MemoryAllocation|OUT_OF_MEMORY|ALLOC_FAILED", str(error)) is not None


def _needed(error: Exception) -> str:
    """After a colon, how much memory was needed: in GB if CuPy says so, else as it says."""
    sizes = re.findall(r"([\d,]+) bytes", str(error))  # wanted, in use, limit
    if len(sizes) < 2:
        return f": {first_line(error)}" if first_line(error) else ""
    wanted, used = (int(size.replace(",", "")) / 1e9 for size in sizes[:2])
    return f": {wanted:.3g} GB more needed, {used:.3g} GB in use"
