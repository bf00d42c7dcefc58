"""Finding out step by step why CUDA can't be used: each cause in one sentence, with its remedy."""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

from mlp_xp.errors import DeviceUnavailable

# By CUDA version: the lowest compute capability that it supports, and the first driver for it.
CAPABILITY = {12: 50, 13: 75}
DRIVER = {12: 525, 13: 580}

INSTALL = (
    "install the extra for your driver, in the clone: pip install '.[cuda13]' for driver "
    f"{DRIVER[13]} or newer, else '.[cuda12]'"
)

# From a cudaError number to the cause in plain words and what to do about it.
STATUS = {
    2: ("the GPU has no memory left", "stop a process that nvidia-smi lists"),
    35: ("the NVIDIA driver is too old for this CuPy", "update it"),
    46: (
        "the GPU is busy, in another process's exclusive use",
        "stop a process that nvidia-smi lists",
    ),
    100: (
        "the NVIDIA driver finds no GPU",
        "check nvidia-smi; a container needs --gpus all",
    ),
    209: ("this CuPy has no code for this GPU", "update CuPy, or use the extra for another CUDA"),
    802: ("the GPUs aren't ready yet", "check that nvidia-fabricmanager is running, or wait"),
    803: (
        "libcuda and the loaded NVIDIA driver have different versions",
        "restart the machine, or the container, after a driver update",
    ),
    804: (
        "the CUDA compatibility package doesn't work with this GPU",
        "update the NVIDIA driver, or remove cuda-compat from LD_LIBRARY_PATH",
    ),
}


def probe(index: int) -> Iterator[tuple[str, str]]:
    """Test a CUDA device, up to a kernel, a sum and a matrix product, and make it the current one.

    Yields the name of each step that passes and what it found. Raises DeviceUnavailable at the
    first step that fails. Counting GPUs wouldn't be enough: a kernel needs the libraries and
    headers as well.
    """
    cp = _import_cupy()
    for step, check in (
        ("CuPy", _version),
        ("driver", _driver),
        ("GPU", _gpu),
        ("cuBLAS", _cublas),
        ("NVRTC", _nvrtc),
        ("kernel", _kernel),
        ("reduction", _reduction),
        ("product", _product),
    ):
        try:
            found = check(cp, index)
        except DeviceUnavailable:
            raise
        # A broken installation can raise anything here.
        except Exception as error:
            raise _unknown_cause(cp, step, error) from error
        yield step, found


def count_gpus() -> int:
    """How many GPUs this process sees; 0 where it can't tell, of which probe() has the cause."""
    try:
        return int(_import_cupy().cuda.runtime.getDeviceCount())
    except Exception:  # a broken installation can raise anything
        return 0


def _import_cupy() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two installed CuPys: the doctor lists them
            import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            raise DeviceUnavailable("CuPy isn't installed", INSTALL) from error
        raise DeviceUnavailable(
            f"CuPy is installed, but {error.name} is missing", _replace_cupy()
        ) from error
    except OSError as error:
        raise DeviceUnavailable(
            f"CuPy can't create the folder for its kernels ({error})",
            "set CUPY_CACHE_DIR to a folder that can be written",
        ) from error
    # A program that a user called cupy.py may exit.
    except (Exception, SystemExit) as error:
        raise DeviceUnavailable(
            f"CuPy can't be imported ({first_line(error)})", _replace_cupy()
        ) from error
    if hasattr(cupy, "cuda") and hasattr(cupy, "__version__"):
        return cupy
    if file := getattr(cupy, "__file__", None):
        raise DeviceUnavailable(
            f"{file} isn't CuPy, but is imported in its place", f"rename {file}"
        )
    # Python takes any folder for a package if nothing else has the name.
    folder = next(iter(getattr(cupy, "__path__", ["nowhere"])))
    raise DeviceUnavailable(f"CuPy isn't installed: the folder {folder} isn't it", INSTALL)


def _replace_cupy() -> str:
    """What to do about a CuPy that fails, which is a user's own if it is a single file."""
    spec = importlib.util.find_spec("cupy")
    if spec is None or spec.origin is None or spec.origin.endswith("__init__.py"):
        return "reinstall CuPy"
    return f"rename {spec.origin}, which isn't CuPy"


def _version(cp: Any, index: int) -> str:
    return f"{cp.__version__}, for CUDA {_major(cp)}"


def _major(cp: Any) -> int:
    """The CUDA version that this CuPy is built for, 12 or 13."""
    return int(cp.cuda.runtime.runtimeGetVersion()) // 1000


def _driver(cp: Any, index: int) -> str:
    version, needed = cp.cuda.runtime.driverGetVersion(), _major(cp)
    if version == 0:
        raise DeviceUnavailable(
            "no NVIDIA driver was found",
            "install it, or start the container with --gpus all",
        )
    found = f"CUDA {version // 1000}.{version % 1000 // 10}"
    if version // 1000 < needed:
        older = ", or use the extra cuda12" if needed == 13 and version >= 12000 else ""
        raise DeviceUnavailable(
            f"the NVIDIA driver supports {found}, too old for this CuPy, which needs CUDA {needed}",
            f"update it to {DRIVER[needed]} or newer{older}",
        )
    return found


def _gpu(cp: Any, index: int) -> str:
    try:
        count = cp.cuda.runtime.getDeviceCount()
    except Exception as error:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if getattr(error, "status", None) == 100 and visible is not None:
            raise DeviceUnavailable(
                f"CUDA_VISIBLE_DEVICES is '{visible}' and leaves no GPU", "change or unset it"
            ) from error
        raise
    if index >= count:
        raise DeviceUnavailable(
            f"there is no GPU {index}: {count} found",
            f"use cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}",
        )
    device = cp.cuda.Device(index)
    device.use()
    needed = CAPABILITY.get(_major(cp), 0)
    capability = int(device.compute_capability)
    if capability < needed:
        raise DeviceUnavailable(
            f"the GPU's compute capability {capability / 10} is below the {needed / 10} "
            f"that CUDA {_major(cp)} needs",
            "use the extra cuda12",
        )
    return "; ".join(_describe(cp, i) for i in range(count))


def _describe(cp: Any, index: int) -> str:
    """The driver's data on a GPU: its name, memory and compute capability."""
    properties = cp.cuda.runtime.getDeviceProperties(index)
    memory = properties["totalGlobalMem"] / 1e9
    return (
        f"cuda:{index} {properties['name'].decode()}, {memory:.1f} GB, "
        f"compute capability {properties['major']}.{properties['minor']}"
    )


def _cublas(cp: Any, index: int) -> str:
    try:
        cp.cuda.cublas  # noqa: B018  (CuPy loads the library on first use)
    except ImportError as error:
        raise DeviceUnavailable(
            f"the CUDA library cuBLAS {_major(cp)} is missing", _install_libraries(cp)
        ) from error
    return "found"


def _nvrtc(cp: Any, index: int) -> str:
    try:
        version = cp.cuda.nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        raise DeviceUnavailable(
            f"the CUDA library NVRTC {_major(cp)} is missing", _install_libraries(cp)
        ) from error
    found = ".".join(map(str, version))
    if version[0] != _major(cp):
        raise DeviceUnavailable(
            f"NVRTC is {found}, but this CuPy needs CUDA {_major(cp)}", _install_libraries(cp)
        )
    return found


def _kernel(cp: Any, index: int) -> str:
    try:
        values = (cp.arange(4, dtype="float32") + 1).get().tolist()
    except Exception as error:
        if re.search("header|cannot open source file", str(error), re.IGNORECASE):
            raise DeviceUnavailable(
                "CUDA's headers are missing, so no kernel compiles", _install_libraries(cp, "them")
            ) from error
        raise
    return _check_result(values, [1.0, 2.0, 3.0, 4.0])


def _reduction(cp: Any, index: int) -> str:
    allocate = cp.cuda.get_allocator()

    def allocate_nan(size: int) -> Any:
        memory = allocate(size)
        memory.memset(255, size)
        return memory

    # CuPy contains its sums compiled, and doesn't look whether they start. If they don't, the
    # result is what was in memory, so that may not be an earlier sum.
    with cp.cuda.using_allocator(allocate_nan):
        A = cp.ones((1024, 1024), dtype="float32")
        total, rows = cp.asnumpy(A.sum()), cp.asnumpy(A.sum(axis=1))
    return _check_result(
        [float(total), float(rows.min()), float(rows.max())],
        [1024.0 * 1024, 1024.0, 1024.0],
        "update CuPy, or set CUPY_ACCELERATORS to nothing, so that it compiles its sums for this "
        "GPU",
    )


def _product(cp: Any, index: int) -> str:
    A = cp.arange(1, 5, dtype="float32").reshape(2, 2)
    product = A @ A
    cp.cuda.Device(index).synchronize()
    return _check_result(product.get().tolist(), [[7.0, 10.0], [15.0, 22.0]])


def _check_result(
    values: object, expected: object, remedy: str = "have the GPU checked: it is faulty"
) -> str:
    if values != expected:
        raise DeviceUnavailable(f"the GPU computes {values}, not {expected}", remedy)
    return "correct"


def _install_libraries(cp: Any, missing: str = "it") -> str:
    extra = f"cuda{_major(cp)}"
    return f"install the extra that contains {missing}: pip install '.[{extra}]' in the clone"


def first_line(error: BaseException) -> str:
    """The first line of an error's message that holds any text."""
    return next((line.strip(" =") for line in str(error).splitlines() if line.strip(" =")), "")


def _unknown_cause(cp: Any, step: str, error: Exception) -> DeviceUnavailable:
    """The cause and remedy of an error that no step expects."""
    status = getattr(error, "status", None)
    if status in STATUS:
        return DeviceUnavailable(*STATUS[status])
    return DeviceUnavailable(
        f"the step '{step}' failed ({type(error).__name__}: {first_line(error)})",
        "`mlp_xp doctor` shows what came before it",
    )
