"""Runs one process after the other, each on its own cores and threads, and reads what it says."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from bench.peers import OURS, absent
from bench.workloads import Workload

CHECKOUT = Path(__file__).resolve().parent.parent
LIMIT = 300  # seconds that a process may take
PRINTED = re.compile(r"loss (\d+\.\d+)|test accuracy (\d+\.\d+)%")


@dataclass(frozen=True)
class Finished:
    """A process that ended: what it printed, its seconds on the wall, its peak memory in MB."""

    status: int
    out: str
    err: str
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Outcome:
    """One process's result: seconds or MB; start-up seconds; figures that all peers must share."""

    value: float
    warm_up: float
    peak_mb: float
    check: tuple[float, ...]


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Whatever is started inside runs on this many cores, where the system can be told so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_cores)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def environment(threads: int, scratch: Path) -> dict[str, str]:
    """The same number of threads by each library's own variable, the CPU, and empty caches."""
    count = str(threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    variables = dict.fromkeys(names, count)
    variables |= {"NPROC": count, "JAX_PLATFORMS": "cpu"}
    variables |= {"NUM_CPU_THREADS": count, "DEV": "CPU", "CACHEDB": str(scratch / "tinygrad.db")}
    variables |= {"TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"), "CUDA_VISIBLE_DEVICES": ""}
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **variables}


def execute(command: Sequence[str], threads: int, scratch: Path) -> Finished:
    """Run `python -m COMMAND` from the checkout and wait for it.

    The peak is the kernel's figure for that process. It can't be below this parent's own, which
    therefore imports nothing large.
    """
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err, pinned(threads):
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=CHECKOUT,
            env=environment(threads, scratch),
            stdout=out,
            stderr=err,
        )
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        unit = 1 if sys.platform == "darwin" else 2**10
        peak_mb = usage.ru_maxrss * unit / 1e6
        return Finished(process.returncode, out.read(), err.read(), seconds, peak_mb)


def measure(
    workload: Workload, name: str, threads: int, data: Path, scratch: Path
) -> Outcome | str:
    """One process of one peer: its outcome, or why there is none."""
    problem = workload.problem.to_json()
    inside = workload.kind in ("train", "predict")
    with TemporaryDirectory(dir=scratch) as folder:
        out = str(Path(folder) / "run")
        if inside:
            command = ["bench.worker", name, workload.kind, problem, str(data)]
        elif name == OURS:
            options = ("--device", "cpu", "--quiet", "--out", out)
            command = ["mlp_xp", "train", *workload.arguments, *options]
        else:
            command = ["bench.script", name, problem, str(data), out]
        finished = execute(command, threads, scratch)
    if finished.status:
        last = (finished.err.strip().splitlines() or ["no message"])[-1]
        cause = f"took more than {LIMIT} s" if finished.status == -9 else last
        if name == OURS:
            raise SystemExit(f"{workload.name}: mlp_xp itself failed: {cause}\n{finished.err}")
        return cause
    if inside:
        said = json.loads(finished.out.splitlines()[-1])
        if "missing" in said:
            return str(said["missing"])
        return Outcome(said["seconds"], said["warm_up"], said["peak_mb"], tuple(said["check"]))
    check = tuple(float(a or b) for a, b in PRINTED.findall(finished.out))
    value = finished.peak_mb if workload.kind == "memory" else finished.seconds
    return Outcome(value, 0.0, finished.peak_mb, check)


def run_rounds(
    workload: Workload,
    threads: int,
    rounds: int,
    data: Path,
    scratch: Path,
    say: Callable[[str], None],
    until: float = math.inf,
) -> tuple[dict[str, list[Outcome]], dict[str, str]]:
    """Everyone in turn, A B C A B C, with no new round after `until` on the monotonic clock.

    Returns each one's outcomes by round, and who is missing and why.
    """
    missing = {name: why for name in workload.everyone if (why := absent(name))}
    outcomes: dict[str, list[Outcome]] = {
        name: [] for name in workload.everyone if name not in missing
    }
    for turn in range(rounds):
        if turn and time.monotonic() > until:
            break
        for name in [name for name in outcomes if name not in missing]:
            say(f"{workload.name}, threads {threads}, round {turn + 1}/{rounds}: {name}")
            outcome = measure(workload, name, threads, data, scratch)
            if isinstance(outcome, str):
                missing[name] = outcome
            else:
                outcomes[name].append(outcome)
    return {name: done for name, done in outcomes.items() if name not in missing}, missing
