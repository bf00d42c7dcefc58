"""The GPU that results come from:  python -m bench.gpu.card        prints it as JSON"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import machine
from mlp_xp import Device, get_device

if TYPE_CHECKING:  # the timings don't depend on the experiments
    from bench.gpu.experiment import Experiment

DRIVER = Path("/proc/driver/nvidia/version")
SETTINGS = ("CUBLAS_", "CUDA_", "CUPY_", "JAX_", "NVIDIA_TF32", "TORCH_", "XLA_")


def driver() -> str:
    """The driver's version, as far as the system tells it."""
    try:
        found = re.search(r"\b\d+\.\d+(\.\d+)?\b", DRIVER.read_text())
    except OSError:
        found = None
    return found[0] if found else "unknown"


def describe(gpu: Device) -> dict[str, Any]:
    """The card, its driver, CUDA, and what the environment says to them and to the peers."""
    runtime = gpu.xp.cuda.runtime
    about = runtime.getDeviceProperties(int(gpu.name.partition(":")[2]))
    return {
        "name": about["name"].decode(),
        "memory_gb": round(about["totalGlobalMem"] / 1e9, 1),
        "multiprocessors": about["multiProcessorCount"],
        "driver": driver(),
        "driver_cuda": runtime.driverGetVersion(),
        "cuda": runtime.runtimeGetVersion(),
        "cupy": gpu.xp.__version__,
        "variables": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)
        },
    }


def experiment(on: Experiment) -> None:
    """What all other figures come from."""
    for name, value in describe(on.gpu).items():
        on.note(f"{name}: {value}")
    host = machine.describe()
    on.note(f"host: {host['processor']}, {host['cores']} cores, load {host['load']}")
    on.note(f"versions: {machine.versions()}")


if __name__ == "__main__":
    print(json.dumps(describe(get_device("cuda", require=True))))
