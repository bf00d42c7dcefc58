"""Ranks with a GPU each: staged through the host, and with a stand-in for NCCL.

Where there is a driver, these train on the host's GPUs, by the way that it has: of NCCL's own, that
is the only test.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import emulator
import mpi_gpu_program
import numpy as np
import pytest
from mpi_program import SETTINGS

pytestmark = pytest.mark.cuda
HELPERS = Path(mpi_gpu_program.__file__).parent
STAGED = "MPI through pinned host memory, as "


def run(tmp_path: Path, *arguments: str) -> dict:
    """What mpi_gpu_program found on two ranks."""
    pytest.importorskip("mpi4py")
    own = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(own) if own.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    out, folders = tmp_path / "found.json", [HELPERS.parents[1], Path(emulator.__file__).parent]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    program = [sys.executable, str(HELPERS / "mpi_gpu_program.py"), str(out), *arguments]
    done = subprocess.run(
        [mpiexec, "-n", "2", *program], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text(encoding="utf-8"))


def flat(arrays: list) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])


def check_training(results: dict, cuda: Any) -> None:
    """As on one rank; the same bits twice, and on both ranks."""
    for name in mpi_gpu_program.NAMES:
        alone, found = mpi_gpu_program.train(SETTINGS[name], None, "cuda"), results[name]
        assert len(found["losses"]) == len(alone["losses"]), name
        np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(
            flat(found["weights"]), flat(alone["weights"]), atol=1e-8, rtol=0, err_msg=name
        )
    assert results["again"] == results["dropout, batch 7"]
    assert results["equal"]
    assert results["total"] == [[[3.0] * 3] * 2, [3.0] * 4, 3.0]
    assert results["gpus"] == ["cuda:0", f"cuda:{1 % cuda.xp.cuda.runtime.getDeviceCount()}"]


def test_two_ranks_agree_with_one(cuda, tmp_path):
    results = run(tmp_path)
    check_training(results, cuda)
    if cuda.xp.cuda.runtime.getDeviceCount() == 1:
        assert results["transport"] == f"{STAGED}rank 0 and rank 1 share a GPU"
    elif emulator.is_installed():
        assert results["transport"].startswith(f"{STAGED}on rank 0 NCCL ")
        # An array is put into the flat one by a kernel; then a copy each way.
        assert results["work"] == {"launch": 3, "copy": 2, "wait": 2}


def test_two_ranks_with_a_stand_in_for_nccl(cuda, tmp_path):
    if not emulator.is_installed():
        pytest.skip("it reaches into emulated memory")
    results = run(tmp_path, "standin")
    check_training(results, cuda)
    assert results["transport"] == "NCCL 2.27.7"
    assert results["calls"] == 2
    assert results["work"] == {"launch": 3, "wait": 1}  # the stand-in waits
    first, second = results["decisions"]
    assert first == second
    assert first.pop("missing").startswith(f"{STAGED}on rank 1 NCCL isn't installed: pip install ")
    assert first == {
        "shared": f"{STAGED}rank 0 and rank 1 share a GPU",
        "no GPU": f"{STAGED}rank 1 has no GPU",
        "versions": f"{STAGED}the ranks have NCCL 2.27.7 and 2.27.8",
        "identifier": f"{STAGED}NCCL 2.27.7 failed on rank 0: NCCL_ERROR_SYSTEM_ERROR: no network",
        "start": f"{STAGED}NCCL 2.27.7 failed on rank 1: NCCL_ERROR_UNHANDLED_CUDA_ERROR: "
        "unhandled cuda error",
        "usable": "NCCL 2.27.7",
    }
    assert results["failure"] == (
        "the GPU failed during the run: NCCL_ERROR_REMOTE_ERROR: a process has exited; "
        "`mlp_xp doctor` tests it"
    )
