"""Kernels of OpenBLAS, the BLAS of most NumPys: which it takes, and which would be faster.

OpenBLAS has kernels for several processors, and takes those for the one that it recognizes, or for
the one in OPENBLAS_CORETYPE. It looks when NumPy is imported, so nothing here imports NumPy, nor
much else: the command line calls this before all that it does.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NamedTuple

VARIABLE = "OPENBLAS_CORETYPE"
CPUINFO = "/proc/cpuinfo"
AVX2 = frozenset({"abm", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"})
NEEDS = {
    "SkylakeX": AVX2 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"},
    "Haswell": AVX2,
}
"""The processor's features, as /proc/cpuinfo has them, without which a kernel would crash."""
WITH_AVX512 = ("SkylakeX", "Cooperlake", "SapphireRapids")
ZEN_5 = 26
"""AMD's family of processors."""


class Processor(NamedTuple):
    """What /proc/cpuinfo says of a processor; nothing of any other than Linux's on x86."""

    vendor: str = ""
    family: int = 0
    flags: frozenset[str] = frozenset()


def processor() -> Processor:
    """The machine's first processor."""
    fields: dict[str, str] = {}
    with suppress(OSError), open(CPUINFO, encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                break  # what follows are the others, often hundreds
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
    family = fields.get("cpu family", "")
    flags = frozenset(fields.get("flags", "").split())
    return Processor(fields.get("vendor_id", ""), int(family) if family.isdecimal() else 0, flags)


def runnable_kernels(cpu: Processor) -> list[str]:
    """The kernels in NEEDS that the processor can run."""
    return [kernel for kernel, needed in NEEDS.items() if needed <= cpu.flags]


def faster_kernel(cpu: Processor) -> str | None:
    """The kernel known to be faster on the processor than the one that OpenBLAS may take; or None.

    AMD's Zen 5: OpenBLAS may take it for Haswell, which has no AVX-512. On one core of it products
    in float32 then ran at 125 GFLOP/s in place of 240. OpenBLAS's pull request 6033, after version
    0.3.34, has it take the kernels with AVX-512, as it does on Zen 4.
    """
    zen_5 = (cpu.vendor, cpu.family) == ("AuthenticAMD", ZEN_5)
    return "SkylakeX" if zen_5 and "SkylakeX" in runnable_kernels(cpu) else None


def choose_kernel() -> None:
    """Have OpenBLAS take faster_kernel() in this process and those that it starts.

    Leaves alone what the user has set. Does nothing if NumPy, and OpenBLAS with it, is loaded.
    """
    if VARIABLE in os.environ or "numpy" in sys.modules:
        return
    kernel = faster_kernel(processor())
    if kernel is not None:
        os.environ[VARIABLE] = kernel


def slow_kernel(used: str | None) -> str | None:
    """What to do if the kernel in use is slower than faster_kernel(), in one line; else None.

    used: its name, or None if NumPy's BLAS isn't OpenBLAS.
    """
    if used is None or used in WITH_AVX512 or VARIABLE in os.environ:
        return None
    faster = faster_kernel(processor())
    return faster and (
        f"NumPy's OpenBLAS takes this CPU for {used}; its kernels for {faster} are up to twice as "
        f"fast here: set {VARIABLE}={faster} in the environment before NumPy is imported"
    )
