"""The device with a name, and what a device's errors mean."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from mlp_xp.devices.base import CPU, Device
from mlp_xp.devices.cuda import CUDA, is_of_memory
from mlp_xp.devices.probe import count_gpus, first_line, probe
from mlp_xp.errors import DeviceError, DeviceUnavailable, InputError

CUPY = re.compile(r"(cupy|cupyx|cupy_backends|cuda\.pathfinder)(\.|$)")
"""The modules of CuPy, and those that find its libraries."""


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


def gpu_of_place(name: str, place: int) -> str:
    """Which device `auto` and `cuda` are for the rank with this place on its host.

    The ranks take in turn the GPUs that a process sees. For the first of them the name remains, and
    where there is none: get_device() has the cause. So do other names.
    """
    count = count_gpus() if name in ("auto", "cuda") else 0
    return f"cuda:{place % count}" if count and place % count else name


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
        if isinstance(error, MemoryError) or (from_cupy and is_of_memory(error)):
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


def _needed(error: Exception) -> str:
    """After a colon, how much memory was needed: in GB if CuPy says so, else as it says."""
    sizes = re.findall(r"([\d,]+) bytes", str(error))  # wanted, in use, limit
    if len(sizes) < 2:
        return f": {first_line(error)}" if first_line(error) else ""
    wanted, used = (int(size.replace(",", "")) / 1e9 for size in sizes[:2])
    return f": {wanted:.3g} GB more needed, {used:.3g} GB in use"
