"""Ranks with a GPU each: staged through the host, and with a stand-in for NCCL.

Where there is a driver, these train on the host's GPUs, by the way that it has: of NCCL's own, that
is the only test.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulator
import mpi
import mpi_gpu_program
import numpy as np
import pytest
from mpi_program import SETTINGS

from mlp_xp.cli.device import select

pytestmark = pytest.mark.cuda
STAGED = "MPI through pinned host memory, as "


@pytest.fixture
def bars(tmp_path) -> Path:
    y = np.arange(60) % 3
    X = np.eye(3, dtype=np.uint8)[y] * 200
    np.savez(tmp_path / "bars.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    return tmp_path


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., dict]:
    """A function: what mpi_gpu_program found on two ranks."""
    modules = str(Path(emulator.__file__).parent)
    path = filter(None, [modules, os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))

    def run(*arguments: str) -> dict:
        out = tmp_path / "found.json"
        status, said, error = mpi.run(2, mpi_gpu_program.__file__, str(out), *arguments)
        assert status == 0, said + error
        return json.loads(out.read_text(encoding="utf-8"))

    return run


def check_training(results: dict, cuda: Any) -> None:
    """As on one rank; the same bits twice, and on both ranks."""
    for name in mpi_gpu_program.NAMES:
        alone = mpi_gpu_program.train(SETTINGS[name], None, "cuda")
        mpi.check_same(results[name], alone, name)
    assert results["again"] == results["dropout, batch 7"]
    assert results["equal"]
    assert results["total"] == [[[3.0] * 3] * 2, [3.0] * 4, 3.0]
    assert results["gpus"] == ["cuda:0", f"cuda:{1 % cuda.xp.cuda.runtime.getDeviceCount()}"]


def test_two_ranks_agree_with_one(cuda, run):
    results = run()
    check_training(results, cuda)
    if cuda.xp.cuda.runtime.getDeviceCount() == 1:
        assert results["transport"] == f"{STAGED}rank 0 and rank 1 share a GPU"
    elif emulator.is_installed():
        assert results["transport"].startswith(f"{STAGED}on rank 0 NCCL ")
        # An array is put into the flat one by a kernel; then a copy each way.
        assert results["work"] == {"launch": 3, "copy": 2, "wait": 2}


def test_two_ranks_with_a_stand_in_for_nccl(cuda, run):
    if not emulator.is_installed():
        pytest.skip("it reaches into emulated memory")
    results = run("standin")
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


def test_the_command_trains_on_a_gpu_for_each_rank(cuda, bars):
    arguments = ["train", "--distributed", "--device", "cuda", "--require-device", "--epochs", "9",
                 "--data", "bars.npz", "--hidden", "8", "--recipe", "image", "--quiet"]  # fmt: skip
    status, out, error = mpi.run(2, "-m", "mlp_xp", *arguments, "--out", "run", cwd=bars)
    assert (status, error) == (0, "")
    assert out.count("test accuracy") == 1
    start = json.loads((bars / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert (start["device"]["requested"], start["device"]["used"]) == ("cuda", "cuda:0")
    options = argparse.Namespace(device="cuda", require_device=True)
    count = cuda.xp.cuda.runtime.getDeviceCount()
    assert [select(options, place).name for place in (0, 1)] == ["cuda:0", f"cuda:{1 % count}"]
    cuda.use()
