"""Runs one process after another, each on its own cores and threads, and reads what it prints."""

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from bench.peers import OURS, absent
from bench.workloads import Workload

CHECKOUT = Path(__file__).resolve().parent.parent
LIMIT = 300  # seconds that a process may take
WATCH_SECONDS = 0.05  # between two looks at the memory of several processes
PRINTED = re.compile(r"loss (\d+\.\d+)|test accuracy (\d+\.\d+)%")


@dataclass(frozen=True)
class Finished:
    """A process that ended: what it printed, its wall-clock seconds, its peak memory in MB.

    The peak is that of the one process, or of all that it started too, where that was asked for.
    """

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
    """Processes started inside run on this many cores, where the system supports that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_cores)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def environment(device: str, threads: int, scratch: Path) -> dict[str, str]:
    """The device, the same number of threads by each library's own variable, and empty caches."""
    count = str(threads)
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
    variables |= {"NPROC": count, "NUM_CPU_THREADS": count, "JAX_PLATFORMS": device}
    variables |= {"DEV": "CPU", "CACHEDB": str(scratch / "tinygrad.db")}
    variables |= {"TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor")}
    if device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    else:  # products in float32, as mlp_xp and PyTorch have them, not in TF32
        name = "JAX_DEFAULT_MATMUL_PRECISION"
        variables[name] = os.environ.get(name, "highest")
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **variables}


def tree_mb(pid: int) -> float:
    """The memory of a process and of all that it started, in MB; what they share counts once.

    0 where the system doesn't tell, or once they have ended.
    """
    folder, kilobytes = Path("/proc") / str(pid), 0.0
    with suppress(OSError):
        found = re.search(r"^Pss:\s*(\d+) kB", (folder / "smaps_rollup").read_text(), re.M)
        kilobytes = int(found[1]) * 1.024 if found else 0.0
    children: list[str] = []
    for path in folder.glob("task/*/children"):
        with suppress(OSError):
            children += path.read_text().split()
    return kilobytes / 1e3 + sum(tree_mb(int(child)) for child in children)


@contextmanager
def watched(pid: int, wanted: bool) -> Iterator[list[float]]:
    """While the block runs, add the memory of the process's tree to the list, if wanted."""
    found, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            found.append(tree_mb(pid))

    thread = threading.Thread(target=watch)
    if wanted:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        if wanted:
            thread.join()


def execute(
    command: Sequence[str], device: str, threads: int, scratch: Path, *, all_memory: bool = False
) -> Finished:
    """Run `python -m COMMAND` from the checkout and wait for it.

    The peak is the kernel's figure for that process. It can't be below that of this parent, which
    therefore imports nothing large. With `all_memory`, processes that it starts count too; looking
    at them takes some of its time.
    """
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err, pinned(threads):
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=CHECKOUT,
            env=environment(device, threads, scratch),
            stdout=out,
            stderr=err,
        )
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        with watched(process.pid, all_memory) as seen:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
        peak_mb = max(usage.ru_maxrss * unit / 1e6, *seen)
        return Finished(process.returncode, out.read(), err.read(), seconds, peak_mb)


def measure(
    workload: Workload, name: str, threads: int, data: Path, scratch: Path
) -> Outcome | str:
    """Run one process of one peer. Returns its outcome, or why there is none."""
    problem = workload.problem
    with TemporaryDirectory(dir=scratch) as folder:
        out = str(Path(folder) / "run")
        if name == OURS and not workload.inside:
            command = ["mlp_xp", "train", *workload.arguments, "--device", problem.device]
            command += ["--quiet", "--out", out]
        else:
            kind = workload.kind if workload.inside else "script"
            command = ["bench.worker", name, kind, problem.to_json(), str(data), out]
        all_memory = workload.kind == "memory"
        finished = execute(command, problem.device, threads, scratch, all_memory=all_memory)
    if finished.status:
        last = (finished.err.strip().splitlines() or ["no message"])[-1]
        cause = f"took more than {LIMIT} s" if finished.status == -9 else last
        if name == OURS:
            raise SystemExit(f"{workload.name}: mlp_xp itself failed: {cause}\n{finished.err}")
        return cause
    if workload.inside:
        found = json.loads(finished.out.splitlines()[-1])
        check = tuple(found["check"])
        return Outcome(found["seconds"], found["warm_up"], finished.peak_mb, check)
    check = tuple(float(loss or accuracy) for loss, accuracy in PRINTED.findall(finished.out))
    value = finished.peak_mb if workload.kind == "memory" else finished.seconds
    return Outcome(value, 0.0, finished.peak_mb, check)


def run_rounds(
    workload: Workload,
    threads: int,
    rounds: int,
    data: Path,
    scratch: Path,
    progress: Callable[[str], None],
    until: float = math.inf,
) -> tuple[dict[str, list[Outcome]], dict[str, str]]:
    """Measure all peers in turn, A B C A B C; no new round starts after `until` (monotonic clock).

    Returns each peer's outcomes by round, and which peers are missing and why.
    """
    missing = {name: why for name in workload.everyone if (why := absent(name))}
    outcomes: dict[str, list[Outcome]] = {
        name: [] for name in workload.everyone if name not in missing
    }
    for turn in range(rounds):
        if turn and time.monotonic() > until:
            break
        for name in [name for name in outcomes if name not in missing]:
            progress(f"{workload.name}, threads {threads}, round {turn + 1}/{rounds}: {name}")
            outcome = measure(workload, name, threads, data, scratch)
            if isinstance(outcome, str):
                missing[name] = outcome
            else:
                outcomes[name].append(outcome)
    return {name: done for name, done in outcomes.items() if name not in missing}, missing
