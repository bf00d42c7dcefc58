"""What a result was measured on: the processor, its settings, and every library's version."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("mlp_xp", "numpy", "jax", "jaxlib", "torch", "scikit-learn", "tinygrad")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def cores() -> int:
    """Those that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def describe() -> dict[str, Any]:
    """The machine. `load` is how busy it was before the first measurement; near 0 is right."""
    try:
        governor = GOVERNOR.read_text().strip()
    except OSError:
        governor = "not readable"
    return {
        "processor": processor(),
        "cores": cores(),
        "governor": governor,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of Python and every package that is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def slug() -> str:
    """The machine as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", f"{processor()} {cores()} cores".lower()).strip("-")
