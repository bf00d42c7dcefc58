"""Compiling the emulator, and CuPy's kernels for it, into a folder where they are found again."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


def headers() -> Path:
    """CUDA's, from the wheels."""
    return Path(sysconfig.get_paths()["purelib"], "nvidia", "cu13", "include")


def cupy_folder() -> Path:
    """CuPy's package, found without importing it."""
    spec = importlib.util.find_spec("cupy")
    assert spec is not None
    return Path(str(spec.origin)).parent


def run(*command: str | Path) -> None:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{result.stderr[:8000]}")


C = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")


@cache
def flags() -> tuple[str, ...]:
    """For kernels: no fused multiply-add, which CPUs and GPUs choose at different places."""
    cupy = cupy_folder() / "_core" / "include"
    return (
        *("-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden", "-w"),
        *("-fpermissive", f"-I{cupy}", f"-I{headers()}"),
        *(f"-I{cupy / 'cupy' / '_cccl' / part}" for part in ("cub", "libcudacxx", "thrust")),
    )


def build() -> Path:
    """The folder with the compiled emulator; kernels join it as they are needed."""
    sources = [*sorted(HERE.glob("*.[ch]")), Path(__file__)]
    text = b"".join(path.read_bytes() for path in sources) + repr(flags()).encode()
    caches = os.environ.get("CUDA_EMULATOR_CACHE") or Path.home() / ".cache" / "cuda_emulator"
    folder = Path(caches, hashlib.sha256(text).hexdigest()[:16])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            partial = Path(place, "emulator")
            partial.mkdir()
            _build(partial)
            with suppress(OSError):  # another process was quicker
                partial.rename(folder)
    return folder


def _build(folder: Path) -> None:
    for header in HERE.glob("*.h"):
        shutil.copy(header, folder)
    machine = [HERE / f"{name}.c" for name in ("machine", "capture", "driver", "runtime")]
    cuda = folder / "libcuda.so.1"
    run(*C, f"-Wl,-soname,{cuda.name}", "-o", cuda, *machine, "-ldl", "-lpthread")
    stubs = folder / "stubs.c"
    stubs.write_text(_stubs())
    # CuPy asks for cuBLAS's functions by these versions.
    for name, files in (("cublas", [HERE / "cublas.c", stubs]), ("cublasLt", [])):
        library = f"lib{name}.so.13"
        (folder / f"{name}.map").write_text(f"{library} {{ *; }};\n")
        run(
            *(*C, f"-Wl,-soname,{library}", f"-Wl,--version-script={folder / name}.map"),
            *("-o", folder / library, *files, cuda, "-x", "c", os.devnull),
        )
    # Compiled once, and taken by g++ in place of the header.
    run("g++", *flags(), "-x", "c++-header", folder / "kernel.h")


def _stubs() -> str:
    """C for each function that CuPy would take from cuBLAS, and that cublas.c doesn't have."""
    libs = cupy_folder().parent / "cupy_backends" / "cuda" / "libs"
    (extension,) = libs.glob("cublas.*.so")
    wanted = set(re.findall(rb"(?<=\0)cublas[A-Z]\w+(?=\0)", extension.read_bytes()))
    own = set(re.findall(r"^int (cublas\w+)\(", (HERE / "cublas.c").read_text(), re.MULTILINE))
    return "int emulator_unsupported(const char *);\n" + "".join(
        f'int {name}(void) {{ return emulator_unsupported("{name}"); }}\n'
        for name in sorted(map(bytes.decode, wanted))
        if name not in own
    )


def compile_kernel(source: str, options: Sequence[str], folder: Path) -> Path:
    """The shared library of a source that CuPy would hand to NVRTC."""
    defines = [option for option in options if option.startswith("-D")]
    key = hashlib.sha256(repr((source, defines)).encode()).hexdigest()[:24]
    library = folder / f"{key}.so"
    if not library.exists():
        waits = "__sync" in source
        # Each thread takes every nth element, so one takes them all if it is alone.
        alone = "CUPY_FOR" in source and not re.search("__sync|threadIdx|blockIdx", source)
        names = dict.fromkeys(re.findall(r"__global__\s+void\s+(\w+)\s*\(", source))
        exports = [f"EXPORT({name}, {waits:d}, {alone:d})" for name in names]
        with tempfile.TemporaryDirectory(dir=folder) as partial:
            code, object_ = Path(partial, "kernel.cpp"), Path(partial, "kernel.so")
            code.write_text("\n".join([source, '#include "launch.h"', *exports]))
            include = ("-include", folder / "kernel.h", f"-I{folder}")
            run("g++", *flags(), *include, *defines, "-shared", "-o", object_, code)
            object_.rename(library)
            code.rename(library.with_suffix(".cpp"))
    return library
