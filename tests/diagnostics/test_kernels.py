"""The doctor's comparison of OpenBLAS's kernels, each measured in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from mlp_xp.cli import main
from mlp_xp.devices.blas import openblas_kernel
from mlp_xp.devices.kernels import NEEDS, VARIABLE, Processor, processor, runnable_kernels
from mlp_xp.diagnostics import doctor, kernels
from mlp_xp.diagnostics.kernels import KernelSpeed, kernel_speeds

SLOW, FAST = (100.0, 110.0), (150.0, 220.0)


@pytest.fixture
def machine(monkeypatch):
    """A machine on which OpenBLAS takes a kernel itself, and another may be in use."""

    def make(own: str, used: str | None, **speeds: tuple[float, ...] | None) -> dict[str, str]:
        """Sets it up; a kernel without speeds crashes. Returns the remarks by their kernels."""

        def measure(kernel: str | None) -> KernelSpeed | None:
            gflops = speeds.get(kernel or own, SLOW)
            return gflops and KernelSpeed(kernel or own, gflops)

        monkeypatch.setattr(kernels, "openblas_kernel", lambda: used)
        monkeypatch.setattr(kernels, "processor", lambda: Processor(flags=NEEDS["SkylakeX"]))
        monkeypatch.setattr(kernels, "_measure_elsewhere", measure)
        return {speed.kernel: speed.remark for speed in kernel_speeds()}

    return make


def test_a_faster_kernel_has_the_remedy(machine):
    assert machine("Haswell", "Haswell", SkylakeX=FAST) == {
        "Haswell": "in use",
        "SkylakeX": "1.5 times as fast as Haswell: set OPENBLAS_CORETYPE=SkylakeX",
    }


def test_a_slower_kernel_that_the_user_has_set(machine):
    assert machine("SkylakeX", "Haswell", SkylakeX=FAST) == {
        "SkylakeX": "1.5 times as fast as Haswell: unset OPENBLAS_CORETYPE",
        "Haswell": "in use",
    }


def test_what_the_command_line_has_set_is_a_remedy_for_other_programs(machine):
    assert machine("Haswell", "SkylakeX", SkylakeX=FAST) == {
        "Haswell": "",
        "SkylakeX": "in use, 1.5 times as fast as Haswell: "
        "set OPENBLAS_CORETYPE=SkylakeX for programs of your own too",
    }


def test_nothing_is_to_be_done_for_what_may_be_chance(machine):
    for speeds in ((109.0, 300.0), (300.0, 120.0), SLOW, (50.0, 50.0)):
        assert machine("Haswell", "Haswell", SkylakeX=speeds) == {
            "Haswell": "in use", "SkylakeX": "",
        }  # fmt: skip
    assert machine("SkylakeX", "SkylakeX", SkylakeX=FAST) == {"SkylakeX": "in use", "Haswell": ""}


def test_a_kernel_that_crashes_is_a_finding(machine):
    remarks = machine("Haswell", "Haswell", SkylakeX=None)
    assert remarks == {"Haswell": "in use", "SkylakeX": "doesn't run here"}
    (first, second) = doctor._kernels()
    assert (second.name, second.found, second.passed) == ("SkylakeX", "doesn't run here", None)
    assert first.found == "100 (128x784x128), 110 (1024x1024x1024); in use"


def test_nothing_is_said_of_another_blas(machine):
    assert machine("Haswell", None) == {}
    assert machine("Haswell", "Haswell", Haswell=None) == {}, "processes can't be started"


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.kill(os.getpid(), 4)", "print()", "print('[null, 1, 1]')", "print('[')",
        "print('[\"SkylakeX\", 1, 1]'); exit(1)",
    ],
)  # fmt: skip
def test_a_process_that_fails_gives_no_speed(monkeypatch, code):
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: run([*command[:-1], code], **options)
    )
    assert kernels._measure_elsewhere("SkylakeX") is None


def test_a_process_that_cant_start_or_end_gives_no_speed(monkeypatch):
    monkeypatch.setattr(kernels, "TIMEOUT", 0.001)
    assert kernels._measure_elsewhere(None) is None
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert kernels._measure_elsewhere(None) is None


def test_a_name_that_openblas_doesnt_know_is_no_kernel(monkeypatch):
    """It takes another then, whose speed isn't that of the name."""
    if openblas_kernel() is None:
        pytest.skip("NumPy's BLAS isn't OpenBLAS")
    monkeypatch.setattr(kernels, "SECONDS", 0.001)
    monkeypatch.setattr(kernels, "runnable_kernels", lambda _: ["Nonsense"])
    names = [speed.kernel for speed in kernel_speeds()]
    assert openblas_kernel() in names
    assert len(set(names)) == len(names)


def test_the_report_compares_the_kernels_that_this_machine_runs(capsys, monkeypatch, tmp_path):
    """In the user's folder, none of whose files is imported."""
    if openblas_kernel() is None:
        pytest.skip("NumPy's BLAS isn't OpenBLAS")
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "SPEED_BATCHES", ())
    assert main(["doctor", "--device", "cpu", "--json"]) == 0
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    measured = {f["name"]: f for f in device["findings"] if f["part"].startswith("OpenBLAS")}
    assert set(measured) >= set(runnable_kernels(processor()))
    (used,) = [name for name, finding in measured.items() if "in use" in finding["found"]]
    assert used == openblas_kernel()
    for finding in measured.values():
        assert finding["passed"] is None
        assert 0.1 < finding["values"]["gflops_1024x1024x1024"] < 10_000


def test_a_kernel_of_the_users_is_the_one_in_use_and_in_the_runs_record(tmp_path):
    if "Haswell" not in runnable_kernels(processor()) or openblas_kernel() is None:
        pytest.skip("no OpenBLAS with a choice of kernels")
    command = [sys.executable, "-m", "mlp_xp", "train", "--epochs", "1", "--hidden", "2"]
    subprocess.run(
        [*command, "--out", tmp_path / "run", "--quiet"], check=True, capture_output=True,
        env={**os.environ, VARIABLE: "Haswell", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    start = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert "(Haswell)" in start["versions"]["blas"]
