"""From the name of a device to the arrays that live on it: the one file that imports CuPy."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.errors import DeviceError, InputError

# The lowest compute capability of each CUDA, and the first driver that runs it.
CAPABILITY = {12: 50, 13: 75}
DRIVER = {12: 525, 13: 580}

# What CUDA's status codes mean to whoever has to mend it. The numbers are those of cudaError.
STATUS = {
    2: ("the GPU has no memory left", "stop what nvidia-smi shows there"),
    35: ("the NVIDIA driver is too old for this CuPy", "update it"),
    46: ("the GPU is busy, in another process's exclusive use", "stop what nvidia-smi shows there"),
    100: (
        "the NVIDIA driver finds no GPU",
        "see what nvidia-smi finds; a container needs --gpus all",
    ),
    209: ("this CuPy holds no code for this GPU", "update CuPy, or use the extra for another CUDA"),
    802: ("the GPUs aren't ready yet", "see that nvidia-fabricmanager runs, or wait"),
    803: (
        "libcuda and the loaded NVIDIA driver are of different versions",
        "restart the machine, or the container, after a driver update",
    ),
    804: (
        "the CUDA compatibility package doesn't work with this GPU",
        "update the NVIDIA driver, or take cuda-compat out of LD_LIBRARY_PATH",
    ),
}


def _copy(source: NDArray[Any], out: Any) -> Callable[[], None]:
    """send() of the host: done when it returns."""
    np.copyto(out, source)
    return lambda: None


@dataclass(frozen=True)
class Backend:
    """An array namespace and the way in and out of it.

    device: `cpu` or `cuda:N`. xp: the namespace, NumPy or CuPy. to_device copies a NumPy array to
    the device (the CPU returns it as it is), to_host brings one back; synchronize waits until all
    work is done.

    free_memory() is how many bytes new arrays can have on the device, None where that is the host's
    own memory. empty_pinned(shape, dtype) is a host array that the device reads at full speed;
    send(source, out) starts to copy such an array to `out` on the device, and returns a function
    that waits until `source` may be written again.
    """

    device: str
    xp: Any
    to_device: Callable[[Any], Any]
    to_host: Callable[[Any], Any]
    synchronize: Callable[[], None]
    free_memory: Callable[[], int | None] = lambda: None
    empty_pinned: Callable[[tuple[int, ...], Any], NDArray[Any]] = np.empty
    send: Callable[[NDArray[Any], Any], Callable[[], None]] = _copy


@dataclass(frozen=True)
class Resolution:
    """What was asked for, what is used, and why that isn't CUDA where it could have been."""

    asked: str
    backend: Backend
    reason: str | None = None


class Unusable(Exception):
    """Why a CUDA device can't be used, and what to do about it."""

    def __init__(self, cause: str, remedy: str):
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause


def resolve(asked: str = "auto", *, require: bool = False) -> Resolution:
    """The backend for a device name: `auto`, `cpu`, `cuda` (which is `cuda:0`) or `cuda:N`.

    auto is cuda where probe() passes, else the CPU. cuda falls back to the CPU too, with the cause
    and the remedy as `reason`; `require` makes that a DeviceError, for auto as well. A CUDA device
    becomes the calling thread's current one, as CuPy wants it: use one of them at a time.

    Raises InputError for a name that is none of these.
    """
    if asked == "cpu":
        return Resolution(asked, cpu())
    index = cuda_index(asked)
    try:
        for _ in probe(index):
            pass
    except Unusable as error:
        if require:
            raise DeviceError(f"{'cuda' if asked == 'auto' else asked}: {error}") from error
        return Resolution(asked, cpu(), error.cause if asked == "auto" else str(error))
    return Resolution(asked, _cuda(index))


def cuda_index(asked: str) -> int:
    """Which CUDA device a name other than `cpu` means. Raises InputError for an unknown name."""
    named = re.fullmatch(r"auto|cuda(?::([0-9]{1,9}))?", asked)
    if named is None:
        raise InputError(f"unknown device {asked!r}; use auto, cpu, cuda or cuda:N")
    return int(named[1] or 0)


def cpu() -> Backend:
    """NumPy, on the host."""
    return Backend("cpu", np, np.asarray, np.asarray, lambda: None)


def _cuda(index: int) -> Backend:
    """CuPy on a device that probe() has passed."""
    import cupy
    import cupyx

    def send(source: NDArray[Any], out: Any) -> Callable[[], None]:
        out.set(source, stream=cupy.cuda.get_current_stream())
        event = cupy.cuda.Event(block=True, disable_timing=True)
        event.record()
        return event.synchronize  # type: ignore[no-any-return]

    def free_memory() -> int:
        free: int = cupy.cuda.runtime.memGetInfo()[0]
        return free + int(cupy.get_default_memory_pool().free_bytes())

    return Backend(
        f"cuda:{index}",
        cupy,
        cupy.asarray,
        cupy.asnumpy,
        cupy.cuda.Device(index).synchronize,
        free_memory,
        cupyx.empty_pinned,
        send,
    )


def probe(index: int) -> Iterator[tuple[str, str]]:
    """Try a CUDA device in earnest, down to a matrix product, and make it the current one.

    Yields the name of each step that it has passed and what was found there. Raises Unusable at
    the first that fails: a driver that counts a device says little of what a kernel needs.
    """
    cp = _import_cupy()
    yield "CuPy", f"{cp.__version__}, for CUDA {_major(cp)}"
    for step, check in (
        ("driver", _driver),
        ("GPU", _gpu),
        ("cuBLAS", _cublas),
        ("NVRTC", _nvrtc),
        ("kernel", _kernel),
        ("product", _product),
    ):
        try:
            found = check(cp, index)
        except Unusable:
            raise
        # Whatever a broken installation may raise, this is the place where it is found out.
        except Exception as error:
            raise _unusable(cp, step, error) from error
        yield step, found


def _import_cupy() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # several lines, if two CuPys are installed: see doctor
            import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            raise Unusable(
                "CuPy isn't installed",
                f"install the extra for the driver: pip install 'mlp_xp[cuda13]' from driver "
                f"{DRIVER[13]} on, else 'mlp_xp[cuda12]'",
            ) from error
        raise Unusable(f"CuPy is there but lacks {error.name}", "install it again") from error
    except OSError as error:
        raise Unusable(
            f"CuPy can't make the folder for its kernels ({error})",
            "set CUPY_CACHE_DIR to one that can be written",
        ) from error
    except Exception as error:
        raise Unusable(f"CuPy can't be imported ({_first_line(error)})", "install it again") from (
            error
        )
    return cupy


def _major(cp: Any) -> int:
    """The CUDA that this CuPy is built for, 12 or 13."""
    return int(cp.cuda.runtime.runtimeGetVersion()) // 1000


def _driver(cp: Any, index: int) -> str:
    version, needed = cp.cuda.runtime.driverGetVersion(), _major(cp)
    if version == 0:
        raise Unusable(
            "no NVIDIA driver is found",
            "install it, or start the container with --gpus all",
        )
    found = f"CUDA {version // 1000}.{version % 1000 // 10}"
    if version // 1000 < needed:
        older = ", or use the extra cuda12" if needed == 13 and version >= 12000 else ""
        raise Unusable(
            f"the NVIDIA driver is for {found}, too old for a CuPy of CUDA {needed}",
            f"update it to {DRIVER[needed]} or newer{older}",
        )
    return found


def _gpu(cp: Any, index: int) -> str:
    try:
        count = cp.cuda.runtime.getDeviceCount()
    except Exception as error:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if getattr(error, "status", None) == 100 and visible is not None:
            raise Unusable(
                f"CUDA_VISIBLE_DEVICES is '{visible}' and leaves no GPU", "change or unset it"
            ) from error
        raise
    if index >= count:
        raise Unusable(
            f"there is no GPU {index}: {count} found",
            f"use cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}",
        )
    device = cp.cuda.Device(index)
    device.use()
    needed = CAPABILITY.get(_major(cp), 0)
    capability = int(device.compute_capability)
    if capability < needed:
        raise Unusable(
            f"the GPU's compute capability {capability / 10} is below the {needed / 10} "
            f"that CUDA {_major(cp)} needs",
            "use the extra cuda12",
        )
    return "; ".join(_describe(cp, i) for i in range(count))


def _describe(cp: Any, index: int) -> str:
    """A GPU as the driver has it: its name, memory and compute capability."""
    about = cp.cuda.runtime.getDeviceProperties(index)
    memory = about["totalGlobalMem"] / 1e9
    return (
        f"cuda:{index} {about['name'].decode()}, {memory:.1f} GB, "
        f"compute capability {about['major']}.{about['minor']}"
    )


def _cublas(cp: Any, index: int) -> str:
    try:
        cp.cuda.cublas  # noqa: B018  (CuPy loads the library at its first use)
    except ImportError as error:
        raise Unusable(
            f"the CUDA library cuBLAS {_major(cp)} is missing", _with_libraries(cp)
        ) from error
    return "found"


def _nvrtc(cp: Any, index: int) -> str:
    try:
        version = cp.cuda.nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        raise Unusable(
            f"the CUDA library NVRTC {_major(cp)} is missing", _with_libraries(cp)
        ) from error
    found = ".".join(map(str, version))
    if version[0] != _major(cp):
        raise Unusable(f"NVRTC is {found}, CuPy is of CUDA {_major(cp)}", _with_libraries(cp))
    return found


def _kernel(cp: Any, index: int) -> str:
    try:
        values = (cp.arange(4, dtype="float32") + 1).get().tolist()
    except Exception as error:
        if re.search("header|cannot open source file", str(error), re.IGNORECASE):
            raise Unusable(
                "CUDA's headers are missing, so no kernel compiles", _with_libraries(cp)
            ) from error
        raise
    return _equal(values, [1.0, 2.0, 3.0, 4.0])


def _product(cp: Any, index: int) -> str:
    A = cp.arange(1, 5, dtype="float32").reshape(2, 2)
    product = A @ A
    cp.cuda.Device(index).synchronize()
    return _equal(product.get().tolist(), [[7.0, 10.0], [15.0, 22.0]])


def _equal(values: object, right: object) -> str:
    if values != right:
        raise Unusable(f"the GPU computes {values}, not {right}", "have it looked at: it is faulty")
    return "right"


def _with_libraries(cp: Any) -> str:
    extra = f"cuda{_major(cp)}"
    return f"the extra brings it: pip install 'mlp_xp[{extra}]'"


def _first_line(error: BaseException) -> str:
    return next((line.strip(" =") for line in str(error).splitlines() if line.strip(" =")), "")


def _unusable(cp: Any, step: str, error: Exception) -> Unusable:
    """The cause and remedy of an error that no step has words for."""
    status = getattr(error, "status", None)
    if status in STATUS:
        return Unusable(*STATUS[status])
    return Unusable(
        f"the step '{step}' failed ({type(error).__name__}: {_first_line(error)})",
        "`mlp_xp doctor` shows what came before it",
    )


@contextmanager
def device_errors() -> Iterator[None]:
    """Around a run: what a device raises in the middle of it becomes one line, a DeviceError.

    Never a fallback: half a run on the GPU and half on the CPU would be neither. Memory that runs
    out is told with what was needed and what to lower, on the host as well.
    """
    try:
        yield
    except MemoryError as error:
        sizes = re.findall(r"([\d,]+) bytes", str(error))  # CuPy's: wanted, in use, limit
        needed = _first_line(error)
        if len(sizes) >= 2:
            wanted, used = (int(size.replace(",", "")) / 1e9 for size in sizes[:2])
            needed = f"{wanted:.3g} GB more are needed beside {used:.3g} GB in use"
        raise DeviceError(
            f"out of memory: {needed}; lower --batch-size, --hidden or --device-memory"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends", "cupyx"):
            raise
        raise DeviceError(
            f"the GPU failed during the run: {_first_line(error)}; `mlp_xp doctor` tests it"
        ) from error
