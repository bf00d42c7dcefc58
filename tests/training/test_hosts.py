"""Training on two hosts, of which a script stands in for ssh; they share files and cores."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mpi
import mpi_program
import pytest
from hosts import ADDRESSES, NAMESPACES, ip, two_hosts

HELPERS = Path(mpi_program.__file__).parent
TRAIN = ("-m", "mlp_xp", "train", "--distributed")
KILLED = """
import os, signal
import mpi_program
from mpi4py import MPI
from mlp_xp import Callback, Config, Trainer, get_device

class Kill(Callback):
    def on_epoch(self, trainer):
        if MPI.COMM_WORLD.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

config = Config(**{**mpi_program.BASE, "epochs": 10_000})
Trainer(
    mpi_program.data_for("multiclass"), config, get_device("cpu"), communicator=MPI.COMM_WORLD
).fit([Kill()])
"""

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[int, int]]:
    with two_hosts() as both:
        yield both


@pytest.fixture
def start(hosts, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python on both hosts."""
    mpiexec = mpi.mpiexec()
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\n"
        f'[ "$1 $2" = "-x {ADDRESSES[1]}" ] || exit 1\n'
        "shift 2\n"
        f'exec nsenter --target {hosts[1]} {" ".join(NAMESPACES)} --pid -- sh -c "$*"\n'
    )
    ssh.chmod(0o755)
    command = ["nsenter", "--target", str(hosts[0]), *NAMESPACES, f"--wd={tmp_path}", mpiexec]
    command += ["--hosts", ",".join(ADDRESSES), "-launcher", "ssh", "-launcher-exec", str(ssh)]
    paths = {"PYTHONPATH": f"{HELPERS.parents[1]}:{HELPERS}"}

    started = []

    def start(n: int, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command, "-n", str(n), sys.executable, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **paths, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python on both hosts."""

    def run(n: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = start(n, *arguments)
        texts = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, *texts)

    return run


@pytest.mark.parametrize("n", [2, 3])
def test_two_hosts_agree_with_one_rank_by_what_they_send_each_other(n, hosts, run, tmp_path):
    def sent() -> list[int]:
        shown = [ip(keeper, "-statistics", "link", "show", "eth0")[0] for keeper in hosts]
        return [link["stats64"]["tx"]["bytes"] for link in shown]

    before = sent()
    done = run(n, str(HELPERS / "mpi_program.py"), "found.json")
    assert done.returncode == 0, done.stdout + done.stderr
    sums = 0  # bytes of gradients, each of which a host has to send
    n_rows = len(mpi_program.data_for("multiclass").train.X)
    results = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    for name, changes in mpi_program.SETTINGS.items():
        alone, found = mpi_program.train(changes, window=1), results[name]
        mpi.check_same(found, alone, name)
        settings = {**mpi_program.BASE, **changes}
        rows = n_rows * (1 - settings.get("validation", 0))
        sums += (
            len(found["losses"])
            * int(rows / settings["batch_size"])
            * mpi.flat(found["weights"]).nbytes
        )
    for was, now in zip(before, sent(), strict=True):
        assert now - was > sums
    assert results["equal"]


def test_the_command_line_stops_and_goes_on_to_the_same_bits(start, run, tmp_path):
    settings = ("--epochs", "3", "--hidden", "16", "--device", "cpu")
    done = run(2, *TRAIN, *settings, "--out", "whole")
    assert done.returncode == 0, done.stderr
    assert re.search(r"2 ranks share each step: processes \d+ on first; \d+ on second", done.stderr)
    assert float(re.search(r"^test accuracy ([\d.]+)%", done.stdout, re.MULTILINE)[1]) > 90
    process = start(2, *TRAIN, *settings, "--out", "parts")
    assert process.stdout.readline().startswith("epoch 1/3")
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    done = run(2, *TRAIN, "--resume", "parts")
    assert done.returncode == 0, done.stderr
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_a_rank_that_is_killed_on_the_other_host_ends_all(run):
    begin = time.monotonic()
    done = run(2, "-c", KILLED)
    assert time.monotonic() - begin < 15, done.stderr  # imports and an epoch, and at most 10 s
    assert done.returncode != 0
