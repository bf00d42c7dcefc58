"""--threads: kept with the run, and what a signal does to a run on several workers."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from processes import ENVIRONMENT, run_python
from workers import PRELUDE, lower_the_limits

from mlp_xp.cli import main
from mlp_xp.training.workers import WorkersStep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")

CLI = ("-c", f"{PRELUDE}from mlp_xp.__main__ import run\nsys.exit(run())")
TRAIN = (
    "train", "--device", "cpu", "--data", "rows.npz", "--test", "0", "--validation", "0",
    "--hidden", "60,40", "--epochs", "40", "--optimizer", "adam", "--checkpoint-every", "1",
)  # fmt: skip
SCRIPT = f"""{PRELUDE}
import numpy as np
from mlp_xp import Callback, Config, Dataset, Split, Trainer
class Ready(Callback):
    def on_chunk(self, trainer):
        if trainer.epoch == 2:
            print("ready", flush=True)
            if "fork" in sys.argv and trainer.rows == trainer.n_rows and os.fork() == 0:
                time.sleep(60)
import os, time
rng = np.random.default_rng(0)
split = Split(rng.standard_normal((5000, 30)), np.arange(5000) % 3)
config = Config(hidden=(60, 40), epochs=2000, optimizer="adam", threads=3)
Trainer(Dataset("random", split, None, 3), config).fit([Ready()])
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """A folder with a data set."""
    folder = tmp_path_factory.mktemp("threads")
    rng = np.random.default_rng(3)
    X = rng.standard_normal((5000, 30))
    np.savez(folder / "rows.npz", X=X, y=X[:, :3].argmax(axis=1))
    return folder


@pytest.fixture(scope="module")
def place(rows) -> Path:
    """The same with a run on two workers that nothing stopped."""
    done = run_python(*TRAIN, "--threads", "2", "--out", "whole", folder=rows, program=CLI)
    assert done.returncode == 0, done.stderr
    return rows


def settings(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())


def model(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


class Started:
    """A program in a group of its own; what it starts carries its mark."""

    def __init__(self, *command: object, folder: Path, **options: object):
        self.mark = uuid4().hex
        environment = {**ENVIRONMENT, "MARK": self.mark}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # Under nohup the tests ignore SIGHUP, and so would what they start.
        ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=folder, text=True, env=environment,
            **{"start_new_session": True, **pipes, **options},
        )  # fmt: skip
        signal.signal(signal.SIGHUP, ignored)

    def workers(self) -> list[int]:
        """Its other processes, alive or not."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = self.mark.encode() in (folder / "environ").read_bytes()
                isolated = b"\0-I\0" in (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if marked and isolated:
                found.append(int(folder.name))
        return found

    def gone(self, seconds: float = 3) -> bool:
        until = time.monotonic() + seconds
        while self.workers() and time.monotonic() < until:
            time.sleep(0.01)
        return not self.workers()

    def wait_for(self, path: Path) -> None:
        while not path.exists():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)


def test_the_number_is_kept_with_the_run(rows, monkeypatch, capsys):
    lower_the_limits(monkeypatch)
    monkeypatch.chdir(rows)
    sizes = []
    step = WorkersStep.__call__

    def watched(self: WorkersStep, *arguments: object) -> object:
        sizes.append(self.size)
        return step(self, *arguments)

    monkeypatch.setattr(WorkersStep, "__call__", watched)

    def run(*options: str) -> tuple[int, int, str]:
        """The number that config.json has, that of the workers, and what was told."""
        assert main([*options, "--device", "cpu", "--quiet"]) == 0
        (size,) = {*sizes}
        sizes.clear()
        return settings(rows / "kept")["threads"], size, capsys.readouterr().err

    resume = ("train", "--resume", "kept", "--epochs")
    assert run(*TRAIN, "--epochs", "1", "--threads", "2", "--out", "kept") == (2, 2, "")
    assert run(*resume, "2") == (2, 2, "")
    told = (
        "mlp_xp: warning: threads 1 in place of 2: the results may be the same up to rounding, not "
        "bit for bit\n"
    )
    assert run(*resume, "3", "--threads", "1") == (1, 1, told)
    assert run(*resume, "4", "--threads", "1") == (1, 1, "")
    older = settings(rows / "kept")
    del older["threads"]
    (rows / "kept" / "config.json").write_text(json.dumps(older))
    for module in ("setup", "ranks"):
        monkeypatch.setattr(f"mlp_xp.training.{module}.default_threads", lambda: 3)
    monkeypatch.setattr("mlp_xp.devices.cores.usable_cores", lambda: 3)
    assert run(*resume, "5") == (3, 3, "")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", ""])
def test_a_number_that_is_none_is_told_in_one_line(value, capsys, rows, monkeypatch):
    monkeypatch.chdir(rows)
    try:
        status = main([*TRAIN, "--threads", value])
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    assert (status, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert "threads" in printed.err


@pytest.mark.full
@pytest.mark.parametrize(
    ("signum", "to_group"),
    [
        (signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, True),
        (signal.SIGTERM, False), (signal.SIGHUP, True), (signal.SIGKILL, False),
    ],
)  # fmt: skip
def test_a_signal_loses_nothing(place, signum, to_group):
    name = f"signal-{signum}-{to_group}"
    started = Started(*CLI, *TRAIN, "--threads", "2", "--out", name, folder=place)
    started.wait_for(place / name / "checkpoint.safetensors")
    (os.killpg if to_group else os.kill)(started.process.pid, signum)
    _, err = started.process.communicate(timeout=60)
    assert started.gone(3 if signum == signal.SIGKILL else 0)
    expected = -signum if signum == signal.SIGKILL else 128 + signum
    assert started.process.returncode == expected, err
    if signum != signal.SIGKILL:
        assert "stopped in epoch" in err
        assert err.count("\n") == 3, "the recipe, the processes, and how to resume"
    done = run_python("train", "--resume", name, "--device", "cpu", folder=place, program=CLI)
    assert done.returncode == 0, done.stderr
    assert model(place / name) == model(place / "whole")


@pytest.mark.full
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_in_a_terminal(place, presses):
    """It comes to the workers too, as to all of the terminal's processes in the foreground."""
    ours, theirs = pty.openpty()
    name = f"terminal-{presses}"

    def take_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    started = Started(
        *CLI, *TRAIN, "--threads", "2", "--epochs", "2000", "--out", name, folder=place,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=False,
        preexec_fn=take_the_terminal,
    )  # fmt: skip
    os.close(theirs)
    started.wait_for(place / name / "checkpoint.safetensors")
    assert len(started.workers()) == 1
    if presses == 2:  # both before the training can act on the first
        os.kill(started.process.pid, signal.SIGSTOP)
    for _ in range(presses):
        os.write(ours, b"\x03")
        time.sleep(0.1)
        if presses == 2:
            os.kill(started.process.pid, signal.SIGCONT)
            os.kill(started.process.pid, signal.SIGSTOP)
    os.kill(started.process.pid, signal.SIGCONT)
    said = b""
    try:
        while piece := os.read(ours, 10_000):
            said += piece
    except OSError:  # nobody has the other end any more
        pass
    assert started.process.wait(timeout=60) == 130
    assert started.gone(3 if presses == 2 else 0)
    assert b"Traceback" not in said
    assert b"stopped" in said or b"interrupted" in said
    os.close(ours)


@pytest.mark.full
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("fork", [False, True])
def test_a_script_that_a_signal_ends(tmp_path, signum, to_group, fork):
    """With a fork of it that lives on, and has the other end of the workers' pipes, too."""
    started = Started("-c", SCRIPT, *(["fork"] if fork else []), folder=tmp_path)
    assert started.process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    assert len(started.workers()) == 2
    (os.killpg if to_group else os.kill)(started.process.pid, signum)
    assert started.process.wait(timeout=60) == -signum
    assert started.gone()
    if fork:
        os.killpg(started.process.pid, signal.SIGKILL)
    err = started.process.communicate()[1]
    assert (err != "") == (signum == signal.SIGINT), "nothing but KeyboardInterrupt is told"
    assert "Warning" not in err


@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)]
)
def test_a_signal_while_workers_start(rows, signum):
    """To all processes of the group, as soon as there is a worker."""
    name = f"start-{signum}"
    started = Started(*CLI, *TRAIN, "--threads", "3", "--out", name, folder=rows)
    while not started.workers():
        assert started.process.poll() is None, started.process.communicate()
    os.killpg(started.process.pid, signum)
    _, err = started.process.communicate(timeout=60)
    assert started.process.returncode == 128 + signum
    assert err.count("\n") == 3, err  # the recipe, the processes, how to go on
    assert "stopped in epoch 1 after 2048 rows" in err
    assert started.gone(0)
