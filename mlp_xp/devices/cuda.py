"""Arrays on a GPU, with CuPy."""

from __future__ import annotations

import gc
import math
import re
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Lock, local
from typing import Any

import numpy as np

from mlp_xp.devices.base import Device
from mlp_xp.devices.probe import first_line
from mlp_xp.errors import DeviceError
from mlp_xp.types import Array, HostArray

BLOCK_BYTES = 1 << 22
"""Host bytes that one copy to a GPU may page-lock: enough to make the cost of a call negligible."""


class CUDA(Device):
    """CuPy, on a GPU that passed probe()."""

    captures = Lock()
    """Held while a thread records a graph: what another does to begin one would end it."""

    def __init__(self, index: int, requested: str | None = None):
        import cupy

        self.name, self.xp = f"cuda:{index}", cupy
        self._device = cupy.cuda.Device(index)
        self._recording = local()  # each thread's `blas`, while it records a graph
        super().__init__(requested)

    def __reduce__(self) -> tuple[Callable[[str], Device], tuple[str]]:
        """Unpickling tests the GPU, and raises DeviceError where there is none."""
        from mlp_xp.devices import get_device

        return partial(get_device, require=True), (self.requested,)

    def __deepcopy__(self, memo: object) -> CUDA:
        """The device itself: nothing in it changes."""
        return self

    @property
    def pci_bus_id(self) -> str:
        """Which one it is of its host's, however many of them a process may see."""
        return str(self._device.pci_bus_id)

    def use(self) -> None:
        self._device.use()

    def current(self) -> AbstractContextManager[Any]:
        """Within it, this is the thread's current device."""
        return self._device  # type: ignore[no-any-return]

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

    def to_host(self, array: Array, out: HostArray | None = None) -> HostArray:
        """A copy on the host."""
        with self._device:
            host: HostArray = self.xp.asnumpy(array, out=out)
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
                if not is_of_memory(error):
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

    def product(self, a: Array, b: Array, out: Array, *, add: bool = False) -> Array:
        blas = getattr(self._recording, "blas", None)
        if blas is not None:
            return blas.product(a, b, out, add=add)
        return super().product(a, b, out, add=add)

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Call a function, record it as a CUDA graph without calling it again, return its launch.

        Numbers, shapes and addresses are part of the graph; what may change has to be in arrays.
        Memory that the function allocates is the graph's own. Products are cuBLAS's own, in the
        call too, so that its kernels are loaded. Raises DeviceError if the GPU or CuPy refuses to
        record something, such as a copy from the host, and if the call fails.
        """
        from mlp_xp.devices.cublas import CuBLAS

        cuda = self.xp.cuda
        with self._device, self.captures:
            stream, pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
            # This stream doesn't wait for the one that made the arrays.
            cuda.get_current_stream().synchronize()
            try:
                self._recording.blas = CuBLAS(self.xp, stream)
                with stream, cuda.using_allocator(pool.malloc):
                    function()  # compiles the kernels, and fills the pool
                    stream.synchronize()
                    graph = _record(stream, function)
            except Exception as error:
                with suppress(Exception):
                    stream.synchronize()  # some of the function may still be running
                raise DeviceError(first_line(error) or type(error).__name__) from error
            finally:
                blas = vars(self._recording).pop("blas", None)

        def launch() -> None:
            with self._device:
                graph.launch()

        # The graph knows only the addresses of what it uses.
        launch.uses = function, blas  # type: ignore[attr-defined]
        weakref.finalize(launch, pool.free_all_blocks).atexit = False  # CuPy itself never does
        return launch


def _record(stream: Any, function: Callable[[], None]) -> Any:
    """The graph of what a function does on a stream, the current one."""
    collects = gc.isenabled()
    gc.disable()  # to free some GPU's memory would end the recording
    stream.begin_capture()
    try:
        function()
    except BaseException:
        with suppress(Exception):  # it says only that the recording failed
            stream.end_capture()
        raise
    finally:
        if collects:
            gc.enable()
    return stream.end_capture()


def is_of_memory(error: Exception) -> bool:
    """Whether an error of CuPy's says that memory has run out."""
    return re.search("MemoryAllocation|OUT_OF_MEMORY|ALLOC_FAILED", str(error)) is not None
