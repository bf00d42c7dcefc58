"""The real CuPy on a machine without a GPU: see README.md.

`install()`, before anything imports CuPy, has it use the emulated GPUs in this process.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from compilation import build, compile_kernel, headers

CUPY = "14.2.0"
"""The only version that it is made for: it depends on CuPy's internals."""
MEMORY = 16 << 30
"""As in machine.h."""


def missing() -> str | None:
    """Why CUDA can't be emulated here, or None if it can."""
    try:
        found = importlib.metadata.version("cupy-cuda13x")
    except importlib.metadata.PackageNotFoundError:
        return "CuPy isn't installed (pip install '.[emulator]')"
    if found != CUPY:
        return f"the emulator needs CuPy {CUPY}, not {found} (pip install '.[emulator]')"
    if not (headers() / "crt" / "host_defines.h").exists():
        return "CUDA's headers are missing (pip install '.[emulator]')"
    absent = [tool for tool in ("gcc", "g++") if shutil.which(tool) is None]
    return f"{' and '.join(absent)} can't be found" if absent else None


def has_driver() -> bool:
    """Whether there is a real one, so that there may be a real GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def is_installed() -> bool:
    return bool(_installed)


def install() -> "Emulator":
    """Put the emulator in the place of driver and GPUs, once in a process."""
    if not _installed:
        assert "cupy" not in sys.modules, "CuPy was imported before its emulator was in place"
        # CUB's reductions lie compiled in CuPy, for real GPUs.
        os.environ["CUPY_ACCELERATORS"] = ""
        _installed.append(Emulator(build()))
    return _installed[0]


_installed: list["Emulator"] = []


class Emulator:
    """The stub libraries of this process, and the hooks that have CuPy use them."""

    def __init__(self, folder: Path):
        self.folder = folder
        # Under these names CuPy, cuda.pathfinder and ctypes find them, as they are loaded already.
        self.cuda = ctypes.PyDLL(str(folder / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libcublasLt.so.13"), mode=ctypes.RTLD_GLOBAL)
        self.cublas = ctypes.CDLL(str(folder / "libcublas.so.13"), mode=ctypes.RTLD_GLOBAL)
        self.cublas.emulator_blas(*_blas())
        self.cuda.emulator_counts.restype = ctypes.POINTER(ctypes.c_long)
        self.cuda.emulator_told.restype = ctypes.c_size_t
        self.cuda.emulator_free_bytes.restype = ctypes.c_size_t
        self.kept: list[Any] = []  # callbacks, which C can't keep alive
        self.fills_memory = True
        sys.meta_path.insert(
            0,
            AfterImport(
                {
                    "cupy_backends.cuda.api.runtime": self.replace_runtime,
                    "cupy.cuda.compiler": self.replace_compiler,
                    "cupy.cuda": self.replace_pool,
                    "cupy.cuda.thrust": self.replace_sort,
                }
            ),
        )

    def replace_runtime(self, runtime: Any) -> None:
        """Have CuPy call the functions of runtime.c in place of NVIDIA's.

        Cython exports a module's C functions as capsules in a table, from which other modules take
        them when they are loaded; a capsule's name is the function's type.
        """
        table: dict[str, Any] = runtime.__pyx_capi__
        check = table["check_status"]
        self.cuda.emulator_start(ctypes.c_void_p(_get_pointer(check, _name(check))))
        in_python = self.in_python()
        for name, capsule in table.items():
            ours = in_python.get(name) or getattr(self.cuda, f"emulated_{name}", None)
            if ours is None:
                continue
            prototype = _prototype(capsule)
            if name in in_python:  # the last argument is Cython's
                ours = prototype(lambda *given, f=ours: f(*given[:-1]))
                self.kept.append(ours)
            address = ctypes.cast(ours, ctypes.c_void_p).value
            _set_pointer(capsule, address)
            if not name.startswith("_"):  # for those who call it in Python
                setattr(runtime, name, in_python.get(name) or _callable(prototype(address)))

    def in_python(self) -> dict[str, Callable[..., Any]]:
        """The functions that return objects of Python's."""

        def mem_get_info() -> tuple[int, int]:
            return self.cuda.emulator_free_bytes(), MEMORY

        def get_device_properties(device: int) -> dict[str, Any]:
            # As an H200 has, apart from the memory.
            return {
                "name": b"emulated GPU",
                "totalGlobalMem": MEMORY,
                "major": 9,
                "minor": 0,
                "multiProcessorCount": 132,
                "warpSize": 32,
                "maxThreadsPerBlock": 1024,
            }

        return {
            "deviceGetPCIBusId": lambda device: f"0000:{device + 1:02X}:00.0",
            "memGetInfo": mem_get_info,
            "getDeviceProperties": get_device_properties,
            "streamQuery": lambda stream: self.cuda.emulator_stream_query(ADDRESS(stream)),
            "eventQuery": lambda event: self.cuda.emulator_event_query(ADDRESS(event)),
        }

    def replace_compiler(self, compiler: Any) -> None:
        def compile_(source: str, options: Sequence[str] = (), **others: Any) -> Any:
            if others.get("name_expressions"):
                raise NotImplementedError("templates by name aren't emulated")
            module = compiler.function.Module()
            module.load(os.fsencode(compile_kernel(source, options, self.folder)))
            return module

        compiler._compile_module_with_cache = compile_

    def replace_pool(self, cuda: Any) -> None:
        """Have CuPy's pools fill what they hand out again, as the driver's new memory is filled."""
        emulator = self

        class MemoryPool(cuda.MemoryPool):  # type: ignore[misc]
            def malloc(self, size: int) -> Any:
                memory = super().malloc(size)
                if emulator.fills_memory:
                    emulator.cuda.emulator_poison(ADDRESS(memory.ptr), ADDRESS(size))
                return memory

        cuda.MemoryPool = MemoryPool

    def replace_sort(self, thrust: Any) -> None:
        """Sort by NumPy: Thrust's kernels lie compiled in CuPy. It waits for the result, too."""
        from cupy_backends.cuda.api import runtime

        def sort(dtype: Any, start: int, keys: int, shape: Sequence[int]) -> None:
            runtime.deviceSynchronize()
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            memory = np.frombuffer((ctypes.c_char * size).from_address(start), dtype)
            memory.reshape(shape).sort(axis=-1)

        thrust.sort = sort


class AfterImport:
    """A finder of modules, which calls a function with each of some right after its import."""

    def __init__(self, functions: dict[str, Callable[[Any], None]]):
        self.functions = functions

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        function = self.functions.pop(name, None)
        if function is None:
            return None
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            function(module)

        loader.exec_module = exec_module
        return spec


def _blas() -> list[ctypes.c_void_p]:
    """The functions of NumPy's OpenBLAS that cublas.c needs."""
    libraries = sorted(Path(np.__file__).parent.parent.glob("numpy.libs/*openblas64_*"))
    assert libraries, "this NumPy has no OpenBLAS of its own, as the wheels have"
    blas = ctypes.CDLL(str(libraries[0]))
    threads = ("openblas_get_num_threads", "openblas_set_num_threads")
    names = ("cblas_sgemm", "cblas_dgemm", *threads)
    return [ctypes.cast(getattr(blas, f"scipy_{name}64_"), ctypes.c_void_p) for name in names]


ADDRESS = ctypes.c_ssize_t
C_TYPES = {
    "PyObject *": ctypes.py_object,
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "intptr_t": ADDRESS,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
}


def _python(name: str, result: Any, *parameters: Any) -> Any:
    """A function of Python's own interface for C."""
    return ctypes.PYFUNCTYPE(result, *parameters)((name, ctypes.pythonapi))


_name = _python("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_get_pointer = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_set_pointer = _python("PyCapsule_SetPointer", ctypes.c_int, ctypes.py_object, ctypes.c_void_p)


def _prototype(capsule: Any) -> Any:
    """The type of a capsule's function."""
    match = re.fullmatch(r"(.*?) ?\(([^()]*)\)", _name(capsule).decode())
    assert match is not None
    parameters = [part.removesuffix("__pyx_skip_dispatch").strip() for part in match[2].split(",")]
    # What isn't in the table is a pointer to optional arguments.
    types = [C_TYPES.get(part, ctypes.c_void_p) for part in parameters if part != "void"]
    return ctypes.PYFUNCTYPE(C_TYPES[match[1]], *types)


def _callable(function: Any) -> Callable[..., Any]:
    """The function for callers in Python, who don't give the arguments that Cython adds."""
    types = type(function)._argtypes_
    if types[-1] is not ctypes.c_void_p:
        return lambda *given: function(*given, 0)

    def call(*given: Any, **named: Any) -> Any:
        needed = len(types) - 2
        optional = [*given[needed:], *named.values()]
        values = (ctypes.c_int * 2)(len(optional), *optional)
        return function(*given[:needed], 0, ctypes.addressof(values))

    return call
