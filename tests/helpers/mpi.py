"""Programs on the ranks of mpiexec, and what they have to come to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def mpiexec() -> str:
    """The launcher of the environment's MPI, before any other."""
    pytest.importorskip("mpi4py")
    own = Path(sys.executable).with_name("mpiexec")
    found = str(own) if own.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec")
    return found


def start(ranks: int, *arguments: str, **options) -> subprocess.Popen:
    """Python with these arguments on so many ranks."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, *arguments]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, **options)


def run(ranks: int, *arguments: str, timeout: float = 600, **options) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of the same, when it has ended."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(ranks, *arguments, **pipes, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    return process.returncode, out, err


def flat(arrays: list) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])


def check_same(found: dict, alone: dict, name: str) -> None:
    """The losses and weights of ranks against those of one rank alone, in float64."""
    assert len(found["losses"]) == len(alone["losses"]), name
    np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(
        flat(found["weights"]), flat(alone["weights"]), atol=1e-8, rtol=0, err_msg=name
    )
