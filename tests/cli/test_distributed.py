"""`train --distributed` on the ranks of mpiexec: one voice, one end, and what a run leaves."""

import json
import os
import random
import re
import shutil
import signal
import time

import mpi
import numpy as np
import pytest

from mlp_xp.cli import main

TRAIN = ("-m", "mlp_xp", "train", "--distributed")
SMALL = ("--data", "rows.csv", "--dtype", "float64", "--batch-size", "8", "--hidden", "8")


@pytest.fixture
def folder(tmp_path):
    """A folder with a table of 600 rows."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(600, 3))
    y = (X @ rng.normal(size=(3, 3))).argmax(axis=1)
    lines = [f"{a:.4f},{b:.4f},{c:.4f},class {k}" for (a, b, c), k in zip(X, y, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,kind", *lines]) + "\n", encoding="utf-8")
    return tmp_path


def epochs(folder) -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [r for r in map(json.loads, lines) if r["record"] == "epoch"]


def test_two_ranks_leave_one_run_with_the_result_of_one(folder, monkeypatch, capsys):
    status, out, err = mpi.run(2, *TRAIN, *SMALL, "--epochs", "3", "--out", "two", cwd=folder)
    assert status == 0, err
    assert out.count("epoch 3/3") == 1
    assert out.count("test accuracy") == 1
    assert re.search(r"2 ranks share each step: processes \d+, \d+ on \S+$", err, re.MULTILINE)
    assert err.count("saved two") == 1
    monkeypatch.chdir(folder)
    assert main(["train", *SMALL, "--epochs", "3", "--out", "one"]) == 0
    alone = capsys.readouterr().out
    assert re.findall("test accuracy.*", out) == re.findall("test accuracy.*", alone)
    losses = [[epoch["loss"] for epoch in epochs(folder / name)] for name in ("two", "one")]
    assert len(losses[0]) == 3
    np.testing.assert_allclose(*losses, rtol=1e-9)


def on_each(first: list[str], second: list[str]) -> list[str]:
    """Arguments of mpi.run(1, ...) that give a second rank other ones."""
    return [*TRAIN, *SMALL, *first, ":", "-n", "1", mpi.sys.executable, *TRAIN, *SMALL, *second]


@pytest.mark.full
@pytest.mark.parametrize(
    ("ranks", "arguments", "status", "message"),
    [
        (3, [*TRAIN, "--data", "none.csv"], 2, "none.csv: no such file or folder; check the path"),
        (3, [*TRAIN, "--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (2, [*TRAIN[:-1], "--distr", "--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (1, on_each([], ["--nonsense"]), 2, "rank 1 on .*: its command line isn't understood"),
        (1, on_each(["--nonsense"], []), 2, "unrecognized arguments: --nonsense"),
        (2, [*TRAIN, *SMALL, "--epochs", "none"], 2, "argument --epochs: "),
        (2, [*TRAIN, *SMALL, "--out", "rows.csv"], 2, "rows.csv: can't be created"),
        (2, [*TRAIN, *SMALL, "--patience", "2"], 2, "patience 2 needs a validation set"),
        (2, [*TRAIN, *SMALL, "--quiet", "--lr", "1e30"], 2, "the loss became"),
        (2, [*TRAIN, "--resume", "nowhere"], 2, "nowhere: no run is in there"),
        (2, [*TRAIN, *SMALL, "--device", "cuda", "--require-device"], 3, "cuda: "),
        (1, on_each(["--seed", "1"], []), 2, "rank 0 and rank 1 differ in their setting seed"),
        (1, on_each([], ["--data", "no.csv"]), 2, "rank 1 on .*: no.csv: no such file or folder"),
    ],
)
def test_what_is_wrong_is_one_line(folder, ranks, arguments, status, message):
    begun = time.monotonic()
    found, out, err = mpi.run(ranks, *arguments, cwd=folder)
    (line,) = err.splitlines()
    assert re.match(rf"mlp_xp( train)?: error: {message}", line)
    assert (found, out) == (status, "")
    assert time.monotonic() - begun < 15
    if "1e30" not in arguments:  # a run that has begun
        assert os.listdir(folder) == ["rows.csv"]


FAILING = """
import sys, mlp_xp
from mpi4py import MPI
from mlp_xp.cli import main, progress
def fail(*_):
    if MPI.COMM_WORLD.rank == {rank}: raise {error}
progress.SignalHandler.on_chunk = fail
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.full
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("mlp_xp.DeviceError('the GPU failed')", 3, "the GPU failed"),
        ("ZeroDivisionError('nothing')", 1, "an error in the program, shown above"),
        ("OSError(28, 'No space', 'x')", 2, "x: No space"),
    ],
)
def test_a_failure_of_one_rank_alone_ends_all_with_a_line_that_names_it(
    folder, rank, error, status, message
):
    begun, program = time.monotonic(), FAILING.format(rank=rank, error=error)
    found, _, err = mpi.run(2, "-c", program, *TRAIN[2:], *SMALL, "--quiet", cwd=folder)
    assert found == status
    assert time.monotonic() - begun < 10
    (line,) = (line for line in err.splitlines() if line.startswith("mlp_xp"))
    assert re.fullmatch(rf"mlp_xp: error: rank {rank} on \S+: {message}; all ranks end", line)
    assert err.count("ZeroDivisionError: nothing") == (status == 1)


@pytest.mark.full
@pytest.mark.parametrize("first", [True, False])
def test_ranks_of_which_one_has_no_checkpoint_say_so(folder, first):
    assert mpi.run(2, *TRAIN, *SMALL, "--epochs", "2", "--out", "run", cwd=folder)[0] == 0
    other = folder / "other"
    (other / "run").mkdir(parents=True)
    for name in ("rows.csv", "run/config.json"):
        shutil.copy(folder / name, other / name)
    resume = (*TRAIN, "--resume", "run", "--epochs", "3")
    folders = (str(folder), str(other)) if first else (str(other), str(folder))
    # mpi.run(1, ...) gives mpiexec's options of its first rank up to Python.
    second = ("-n", "1", "-wdir", folders[1], mpi.sys.executable, *resume)
    status, out, err = mpi.run(1, *resume, ":", *second, cwd=folders[0])
    assert (status, out) == (2, "")
    assert "run: rank 0 and rank 1 differ in their checkpoint" in err.splitlines()[-1]


@pytest.mark.full
def test_mpiexec_without_the_option_is_told(folder):
    status, _, err = mpi.run(2, *TRAIN[:-1], *SMALL, "--epochs", "1", cwd=folder)
    assert status == 0
    assert err.count("warning: mpiexec has started 2 processes") == 1
    assert len(os.listdir(folder / "runs")) == 2


class Run:
    """A run on two ranks that a test can stop. pids: their processes, once it has begun."""

    def __init__(self, folder, *arguments: str):
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = mpi.start(2, *TRAIN, *arguments, cwd=folder, stdout=out, stderr=err)

    def pids(self) -> list[int]:
        found, begun = None, time.monotonic()
        while not found:
            waiting = self.process.poll() is None and time.monotonic() - begun < 60
            assert waiting, self.err.read_text() + self.out.read_text()
            time.sleep(0.01)
            text = self.err.read_text(encoding="utf-8")
            found = re.search(r"processes (\d+), (\d+) on .*\n", text)
        return [int(pid) for pid in found.groups()]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


LONG = (*SMALL, "--epochs", "500", "--dropout", "0.2", "--optimizer", "adam")


@pytest.fixture
def whole(folder):
    """The model of a run that nothing has stopped."""
    status, _, err = mpi.run(2, *TRAIN, *LONG, "--out", "whole", cwd=folder)
    assert status == 0, err
    return (folder / "whole" / "model.safetensors").read_bytes()


def finish(folder) -> bytes:
    status, _, err = mpi.run(2, *TRAIN, "--resume", "run", cwd=folder)
    assert status == 0, err
    assert len(epochs(folder / "run")) == 500
    return (folder / "run" / "model.safetensors").read_bytes()


@pytest.mark.full
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_mpiexec_saves_once_and_stops_all(folder, whole, signum, status):
    run = Run(folder, *LONG, "--out", "run", "--checkpoint-every", "1h")
    run.pids()
    while not (folder / "run" / "metrics.jsonl").read_text().count('"epoch"'):
        time.sleep(0.01)
    run.process.send_signal(signum)
    assert run.process.wait(timeout=10) == status
    err = run.err.read_text(encoding="utf-8")
    assert err.count("mlp_xp: stopped ") == 1
    assert err.endswith(
        "continue with: mpiexec -n 2 python -m mlp_xp train --resume run --distributed\n"
    )
    assert (folder / "run" / "checkpoint.safetensors").exists()
    assert finish(folder) == whole


@pytest.mark.full
def test_a_signal_to_one_rank_stops_all(folder, whole):
    run = Run(folder, *LONG, "--out", "run")
    pids = run.pids()
    time.sleep(0.3)
    os.kill(pids[1], signal.SIGTERM)
    assert run.process.wait(timeout=10) == 143
    assert finish(folder) == whole


@pytest.mark.full
def test_a_run_of_which_ranks_are_killed_twenty_times_ends_with_the_same_bits(folder, whole):
    rng, began = random.Random(5), ["--out", "run", *LONG, "--checkpoint-every", "1"]
    for kill in range(20):
        run = Run(folder, *(began if kill == 0 else ["--resume", "run"]))
        pids = run.pids()
        pid = pids[kill % 2]
        time.sleep(rng.uniform(0, 0.4))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert run.process.wait(timeout=10) == 9
        while any(map(is_there, pids)):  # mpiexec doesn't wait for the last one's end
            assert time.monotonic() - killed < 10
            time.sleep(0.01)
        assert f"PID {pid} RUNNING AT" in run.out.read_text(encoding="utf-8")  # so mpiexec says
    assert 0 < len(epochs(folder / "run")) < 500
    assert finish(folder) == whole


@pytest.mark.full
def test_another_number_of_ranks_is_told(folder):
    short = (*SMALL, "--epochs", "2", "--out", "run")
    assert mpi.run(2, *TRAIN, *short, cwd=folder)[0] == 0
    status, _, err = mpi.run(3, *TRAIN, "--resume", "run", "--epochs", "4", cwd=folder)
    assert status == 0, err
    assert (
        "warning: this run was on 2 ranks and continues on 3: its results will be the same up to "
        "rounding, not bit for bit"
    ) in err
