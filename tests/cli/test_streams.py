"""What the command line prints, wherever standard output and error go, and when it is stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from processes import ENVIRONMENT, run_python

from mlp_xp.cli import main
from mlp_xp.errors import DeviceUnavailable, printable

OPTIONS = ("--lr", "0.01", "--epochs", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a table whose classes have difficult names, and a run on it."""
    folder = tmp_path_factory.mktemp("streams")
    rows = np.random.default_rng(3).normal(size=(60, 2)).round(3)
    names = ["grön", "r\x1b[31mot"]
    lines = [f"{a},{b},{names[int(a > b)]}" for a, b in rows]
    (folder / "t.csv").write_text("\n".join(["a,b,farbe", *lines]) + "\n", encoding="utf-8")
    done = run_python("train", "--data", "t.csv", "--out", "run", *OPTIONS, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh, in which $mlp_xp is the program."""
    program = f"'{sys.executable}' -W error -m mlp_xp"
    return subprocess.run(
        command.replace("$mlp_xp", program), shell=True, cwd=folder, capture_output=True,
        text=True, encoding="utf-8", check=False, env={**ENVIRONMENT, **environment}, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_no_result(closed, place):
    name = "closed" + re.sub(r"\W", lambda found: f"{ord(found[0]):x}", closed)
    options = " ".join(OPTIONS)
    done = shell(f"$mlp_xp train --data t.csv --out {name} {options} {closed}", place)
    notices = (
        rf"(mlp_xp: t: .+\n){{3}}saved {name}/model\.safetensors\n" if "2" not in closed else ""
    )
    assert done.returncode == 0
    assert re.fullmatch(notices, done.stderr), done.stderr
    models = [(place / run / "model.safetensors").read_bytes() for run in (name, "run")]
    assert models[0] == models[1]
    assert shell(f"$mlp_xp train --data nowhere {closed}", place).returncode == 2
    assert shell(f"$mlp_xp predict run t.csv {closed}", place).returncode == 0


def test_a_terminal_that_prints_no_umlauts(place):
    for command in ("evaluate run --device cpu", "predict run t.csv --device cpu"):
        done = shell(f"$mlp_xp {command}", place, PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, "")
        assert r"gr\xf6n" in done.stdout
        assert "grön" in shell(f"$mlp_xp {command}", place, PYTHONIOENCODING="utf-8").stdout


def test_no_escape_of_a_terminal_is_printed(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    odd = "t\x1b[2J\n.csv"
    Path(odd).write_bytes(Path("t.csv").read_bytes())
    for command in (
        ["evaluate", "run"],
        ["evaluate", "run", "--data", odd],
        ["predict", "run", odd, odd],
        ["train", "--data", odd, "--out", "o\x1b[2J\n", "--epochs", "1"],
    ):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert main([*command, "--device", "cpu"]) == 0
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err
        if command[0] == "predict":
            head, *lines = printed.out.splitlines()
            assert head == r"row,file,farbe,p(grön),p(r\x1b[31mot)"
            assert len(lines) == 120
            assert all(re.match(r"\d+,t\\x1b\[2J\\n\.csv,(grön|r\\x1b)", line) for line in lines)


def test_a_program_gets_the_names_as_they_are(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert main(["predict", "run", "t.csv", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("row,farbe,p(grön),p(r\x1b[31mot)\n0,")


def test_no_escape_of_an_option_is_printed(place, capsys):
    for option in ("--x\x1b[2J\n", "--e=\x1b[31m\nx"):
        with pytest.raises(SystemExit):
            main(["train", option])
        err = capsys.readouterr().err
        assert ("\x1b" in err, err.count("\n")) == (False, 1)


def test_no_escape_of_a_folder_that_stands_for_cupy_is_printed(place, monkeypatch, capsys):
    cause = "the folder odd\x1b[31m\n/cupy isn't it"
    monkeypatch.setattr("mlp_xp.devices.device.probe", lambda _: fail(cause))
    monkeypatch.setattr("mlp_xp.diagnostics.doctor.probe", lambda _: fail(cause))
    main(["doctor", "--device", "cuda"])
    assert r"odd\x1b[31m\n/cupy isn't it" in capsys.readouterr().out


def fail(cause: str) -> NoReturn:
    raise DeviceUnavailable(cause, "rename it")


@pytest.mark.parametrize("name", ["خانه\u200cها", "👩\u200d🔬", "10\u00a0km", "山田\u3000花子"])
def test_words_are_printed_as_they_are_written(name):
    assert printable(name) == name


def test_evaluate_and_predict_say_which_device_auto_is(place):
    for command in ("evaluate run", "predict run t.csv"):
        done = shell(f"$mlp_xp {command}", place)
        assert re.fullmatch(r"device (cpu: .+|cuda:0)\n", done.stderr), done.stderr


def test_a_reader_that_goes_away_leaves_a_run_that_can_be_resumed(place):
    command = "$mlp_xp train --data t.csv --out pipe --epochs 100000 --lr 0.01 --device cpu"
    done = shell(f"({command}; echo status $? >&2) | head -1", place)
    assert done.stdout.startswith("epoch 1/100000 ")
    *notices, message, status = done.stderr.splitlines()
    assert len(notices) == 3
    assert "continue with: python -m mlp_xp train --resume pipe" in message
    assert status == "status 141"
    assert shell("$mlp_xp train --resume pipe --epochs 100000 | head -1", place).returncode == 0


def test_output_to_a_full_disk_leaves_a_run_that_can_be_resumed(place):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    done = shell("$mlp_xp train --data t.csv --out full --device cpu > /dev/full", place)
    *_, first, second = done.stderr.splitlines()
    assert "continue with: python -m mlp_xp train --resume full" in first
    assert second == "mlp_xp: error: standard output: No space left on device"
    assert done.returncode == 2
    assert (place / "full" / "checkpoint.safetensors").exists()


def test_ctrl_c_while_the_program_is_imported_is_no_traceback(place):
    """Before its first line, Python itself prints one; from then on the program answers."""
    # As users have warnings, which don't show what an interrupted import leaves open.
    environment = {**ENVIRONMENT, "PYTHONWARNINGS": ""}
    script = """
import os, runpy, signal, sys, threading
change, delay = signal.signal, float(sys.argv.pop(1))
def start(number, action):
    before = change(number, action)
    if action is signal.SIG_DFL:  # the program's first step
        threading.Timer(delay, os.kill, [os.getpid(), signal.SIGINT]).start()
    return before
signal.signal = start
runpy.run_module("mlp_xp", run_name="__main__")
"""
    for delay in np.linspace(0, 0.3, 12):
        done = subprocess.run(
            [sys.executable, "-c", script, str(delay), "predict", "run", "t.csv"],
            cwd=place, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 130, -signal.SIGINT)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("device ")]
        assert lines in ([], ["mlp_xp: interrupted"])


def test_ctrl_c_when_the_command_has_ended_is_no_traceback(place):
    script = """
import os, runpy, signal, sys, mlp_xp.cli
main = mlp_xp.cli.main
def interrupted():
    main()
    os.kill(os.getpid(), signal.SIGINT)
mlp_xp.cli.main = interrupted
runpy.run_module("mlp_xp", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "predict", "run", "t.csv", "--device", "cpu"],
        cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout


@pytest.mark.full
def test_standard_error_on_a_full_disk_costs_no_result(place):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    command = "train --data t.csv --out full-error --epochs 2 --lr 0.01"
    for unbuffered in ("", "1"):
        for rest, status in (
            (command, 0), ("predict run t.csv", 0), ("evaluate run", 0),
            ("train --data nowhere", 2), ("train --no-such-option", 2),
        ):  # fmt: skip
            rest = rest.replace("full-error", f"full-error-{unbuffered}")
            done = shell(f"$mlp_xp {rest} 2>/dev/full", place, PYTHONUNBUFFERED=unbuffered)
            assert done.returncode == status, rest
            assert (done.stdout != "") == (status == 0), rest
        assert (place / f"full-error-{unbuffered}" / "model.safetensors").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_cannot_be_written_is_an_error(unbuffered, place):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    for command in ("--help", "--version", "train --help"):
        done = shell(f"$mlp_xp {command} >/dev/full", place, PYTHONUNBUFFERED=unbuffered)
        message = "mlp_xp: error: standard output: No space left on device\n"
        assert (done.returncode, done.stderr) == (2, message)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_of_both_streams_that_goes_away(unbuffered, place):
    done = shell(
        "($mlp_xp predict run t.csv 2>&1; echo status $? >&3) 3>&2 | true", place,
        PYTHONUNBUFFERED=unbuffered,
    )  # fmt: skip
    assert done.stderr == "status 141\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_error_after_output_that_cannot_be_written(unbuffered, place):
    command = "predict run t.csv missing.csv --device cpu"
    done = shell(f"($mlp_xp {command}; echo status $? >&2) | true", place,
                 PYTHONUNBUFFERED=unbuffered)  # fmt: skip
    assert done.stderr.endswith("status 141\n")
    if Path("/dev/full").exists():
        done = shell(f"$mlp_xp {command} >/dev/full", place, PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 2
        assert done.stderr.endswith("mlp_xp: error: standard output: No space left on device\n")


@pytest.mark.parametrize(("ignored", "status"), [(False, 129), (True, 143)])
def test_a_hangup_saves_unless_it_is_ignored(ignored, status, place):
    name = f"hangup-{status}"
    command = [sys.executable, "-m", "mlp_xp", "train", "--data", "t.csv", "--out", name]
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "--device", "cpu"], cwd=place, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, handler),
    )  # fmt: skip
    wait_for(place / name / "metrics.jsonl", process)
    time.sleep(0.2)
    process.send_signal(signal.SIGHUP)
    if ignored:
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert f"train --resume {name}" in err
    assert (place / name / "checkpoint.safetensors").exists()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_terminal_is_gone(place):
    """Its end is closed while the bar is drawn: the run is saved, by SIGHUP or by the output."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlp_xp", "train", "--data", "t.csv", "--out", "tty",
         "--epochs", "100000", "--device", "cpu"],
        cwd=place, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    wait_for(place / "tty" / "metrics.jsonl", process)
    os.read(ours, 200)
    os.close(ours)
    assert process.wait(timeout=60) != 0
    assert (place / "tty" / "checkpoint.safetensors").exists()
    done = shell("$mlp_xp train --resume tty --quiet | head -2", place)
    assert done.stdout.startswith("epoch ")


def test_no_color(place):
    """Only Python's help pages have colors, from 3.14 on; NO_COLOR keeps them away."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    train = f"train --data t.csv --out plain {' '.join(OPTIONS)}"
    lines = "; ".join(f"$mlp_xp {rest}" for rest in ("train --help", train, "train --nothing"))
    colors = {"TERM": "xterm-256color", "FORCE_COLOR": "", "CLICOLOR": "1", "NO_COLOR": "1"}
    with os.fdopen(theirs, "wb") as terminal:
        process = subprocess.Popen(
            lines.replace("$mlp_xp", f"'{sys.executable}' -W error -m mlp_xp"), shell=True,
            cwd=place, env={**ENVIRONMENT, **colors}, stdout=terminal, stderr=terminal,
        )  # fmt: skip
    shown = b""
    with suppress(OSError):  # at the end, on Linux
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 2
    for text in (b"usage: mlp_xp train", b" samples/s", b"saved plain", b"error: "):
        assert text in shown
    assert b"%|" in shown, "the bar"
    assert re.search(rb"\x1b\[[0-9;]*m", shown) is None
