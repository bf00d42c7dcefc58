"""How many cores a training takes where nobody says it: all, but for those that others use."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import ENVIRONMENT
from threadpoolctl import threadpool_limits

from mlp_xp.devices.blas import default_threads, one_blas_thread
from mlp_xp.devices.cores import usable_cores

BEGIN = """
import sys
import mlp_xp.devices.blas as blas
from mlp_xp.devices.blas import default_threads
blas.usable_cores = lambda: 4
if "limited" not in sys.argv:
    blas.blas_threads = lambda: 3
def show(): print(default_threads(), flush=True)
"""
IN_PROCESSES = """
import multiprocessing, os, sys, threading
from concurrent.futures import ProcessPoolExecutor
from program import *
if __name__ == "__main__":
    show()
    for method in ("fork", "spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=show)
        process.start()
        process.join()
    with ProcessPoolExecutor(1) as pool:
        pool.submit(show).result()
    if os.fork() == 0:
        show()
        os._exit(0)
    os.wait()
    thread = threading.Thread(target=show)
    thread.start()
    thread.join()
    show()
    sys.modules["ipykernel"] = sys
    show()
"""
IN_LOKY = """
import joblib
from program import *
show()
print(*joblib.Parallel(2)(joblib.delayed(default_threads)() for _ in range(2)))
"""


def lines(program: str, folder: Path, *arguments: str, **environment: str) -> list[str]:
    (folder / "program.py").write_text(BEGIN)
    (folder / "main.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "main.py", *arguments], cwd=folder, capture_output=True, text=True,
        timeout=60, check=True, env={**ENVIRONMENT, "PYTHONWARNINGS": "", **environment},
    )  # fmt: skip
    return done.stdout.split()


def test_all_in_a_process_of_its_own_and_one_in_others(tmp_path):
    """Those that multiprocessing and a fork start, a thread beside the main one, a notebook."""
    seen = lines(IN_PROCESSES, tmp_path)
    alone, spawned, pool, fork, thread, notebook = "3", "111", "1", "1", "1", "1"
    assert seen == [alone, *spawned, pool, fork, thread, alone, notebook]


@pytest.mark.full
def test_one_in_a_worker_of_joblib(tmp_path):
    assert lines(IN_LOKY, tmp_path) == ["3", "1", "1"]


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_a_limit_of_blas_holds(name, tmp_path):
    program = "from program import *\nshow()"
    assert lines(program, tmp_path, "limited", **{name: "1"}) == ["1"]


def test_the_cores_that_the_process_may_run_on():
    cores = sorted(os.sched_getaffinity(0))
    with threadpool_limits(8, user_api="blas"):
        assert default_threads() == usable_cores()
        os.sched_setaffinity(0, cores[:1])
        try:
            assert default_threads() == 1
        finally:
            os.sched_setaffinity(0, cores)


def test_a_limit_of_threadpoolctl_holds_and_that_of_another_training_does_not(monkeypatch):
    monkeypatch.setattr("mlp_xp.devices.blas.usable_cores", lambda: 8)
    for limit in (2, 3):
        with threadpool_limits(limit, user_api="blas"):
            assert default_threads() == limit
            with one_blas_thread():
                assert default_threads() == limit
            with ThreadPoolExecutor(1) as other:
                assert other.submit(default_threads).result() == 1
