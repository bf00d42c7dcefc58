"""Which kernels OpenBLAS should take: by the processor, where the user has said nothing."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlp_xp
from mlp_xp import Config, Dataset, Split, train
from mlp_xp.devices import CPU, blas, kernels
from mlp_xp.devices.kernels import (
    NEEDS,
    VARIABLE,
    Processor,
    faster_kernel,
    processor,
    runnable_kernels,
    slow_kernel,
)
from mlp_xp.sklearn import MLPClassifier

ROOT = Path(mlp_xp.__file__).parent.parent
ZEN_5 = Processor("AuthenticAMD", 26, NEEDS["SkylakeX"] | {"sse2", "avx512_bf16"})


def cpuinfo(cpu: Processor) -> str:
    """The text of /proc/cpuinfo on a machine with two such processors."""
    block = (
        f"processor\t: 0\nvendor_id\t: {cpu.vendor}\ncpu family\t: {cpu.family}\nmodel\t\t: 2\n"
        f"model name\t: A: B\nfpu\t\t: yes\nflags\t\t: {' '.join(sorted(cpu.flags))}\nbugs\t\t:\n"
        "power management:\n\n"
    )
    return block + block.replace(": yes", ": no").replace("avx2", "")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that puts a processor into this machine, on which the user has set nothing."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(kernels, "CPUINFO", tmp_path / "cpuinfo")
    return lambda cpu: (tmp_path / "cpuinfo").write_text(cpuinfo(cpu))


@pytest.fixture
def told(monkeypatch, caplog):
    """Its messages are those logged, in a program that starts only now, on Haswell's kernels."""
    monkeypatch.setattr(blas, "openblas_kernel", lambda: "Haswell")
    blas._tell_once.cache_clear()
    yield caplog
    blas._tell_once.cache_clear()


def test_the_first_processor_is_read(machine):
    machine(ZEN_5)
    assert processor() == ZEN_5


@pytest.mark.parametrize("text", ["", "\n", "flags\n", "cpu family: x\nvendor_id", "\udcff: 1"])
def test_another_systems_file_says_nothing(tmp_path, monkeypatch, text):
    monkeypatch.setattr(kernels, "CPUINFO", tmp_path / "none")
    assert processor() == Processor()
    (tmp_path / "none").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert processor() == Processor()
    assert runnable_kernels(processor()) == []
    assert faster_kernel(processor()) is None


def test_this_machines_file_is_understood():
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        assert {"fpu", "sse2"} <= processor().flags
        assert processor().vendor
        assert processor().family > 0


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        (ZEN_5, "SkylakeX"),
        (ZEN_5._replace(family=25), None),  # Zen 4, which OpenBLAS knows
        (ZEN_5._replace(vendor="GenuineIntel"), None),
        *((ZEN_5._replace(flags=ZEN_5.flags - {flag}), None) for flag in NEEDS["SkylakeX"]),
    ],
)
def test_only_zen_5_with_all_that_the_kernel_needs(cpu, expected):
    assert faster_kernel(cpu) == expected


def test_a_processor_runs_the_kernels_it_has_the_features_for():
    assert runnable_kernels(ZEN_5) == ["SkylakeX", "Haswell"]
    assert runnable_kernels(Processor(flags=NEEDS["Haswell"])) == ["Haswell"]


def run_program(
    tmp_path: Path,
    before: str,
    arguments: tuple[str, ...] = ("train", "--help"),
    **environment: str,
) -> list[str]:
    """What the command line prints as a program of its own, and the variable in the last line."""
    (tmp_path / "cpuinfo").write_text(cpuinfo(ZEN_5))
    code = f"""
import os, runpy, sys
from mlp_xp.devices import kernels
kernels.CPUINFO = {str(tmp_path / "cpuinfo")!r}
{before}
sys.argv = ["mlp_xp", *{arguments}]
try: runpy.run_module("mlp_xp", run_name="__main__")
except SystemExit: pass
print("\\n" + repr(os.environ.get("{VARIABLE}")))
"""
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**inherited, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_the_command_line_chooses_unless_the_user_has(tmp_path):
    assert run_program(tmp_path, "")[-1] == "'SkylakeX'"
    assert run_program(tmp_path, "", OPENBLAS_CORETYPE="Haswell")[-1] == "'Haswell'"
    assert run_program(tmp_path, "", OPENBLAS_CORETYPE="")[-1] == "''"
    assert run_program(tmp_path, "import numpy")[-1] == "None", "too late"
    other = f"open(kernels.CPUINFO, 'w').write({cpuinfo(ZEN_5._replace(family=25))!r})"
    assert run_program(tmp_path, other)[-1] == "None"


def test_openblas_takes_what_the_command_line_chooses(tmp_path):
    if "Haswell" not in runnable_kernels(processor()) or blas.openblas_kernel() is None:
        pytest.skip("no OpenBLAS with a choice of kernels")
    before = "kernels.faster_kernel = lambda cpu: 'Haswell'"
    lines = run_program(tmp_path, before, ("--version",))
    assert any(line.startswith("NumPy ") and "(Haswell)" in line for line in lines)


@pytest.mark.parametrize("used", ["Haswell", "Zen", "Sandybridge", "Katmai"])
def test_a_slower_kernel_in_use_is_named_with_the_remedy(machine, used):
    machine(ZEN_5)
    line = slow_kernel(used)
    assert f"takes this CPU for {used};" in line
    assert "set OPENBLAS_CORETYPE=SkylakeX in the environment before NumPy is imported" in line


def test_nothing_is_said_where_nothing_is_known_to_be_slow(machine, monkeypatch):
    machine(ZEN_5)
    for used in (None, "SkylakeX", "Cooperlake", "SapphireRapids"):
        assert slow_kernel(used) is None
    machine(ZEN_5._replace(family=25))
    assert slow_kernel("Haswell") is None
    machine(ZEN_5)
    monkeypatch.setenv(VARIABLE, "Haswell")
    assert slow_kernel("Haswell") is None


def test_train_logs_one_line_in_a_program(machine, told):
    machine(ZEN_5)
    X = np.eye(3, dtype=np.float32).repeat(4, axis=0)
    data = Dataset("rows", Split(X, np.arange(3).repeat(4)), None, 3)
    for _ in range(2):
        train(data, Config(hidden=(2,), epochs=1), CPU())
    (line,) = told.messages
    assert line == slow_kernel("Haswell")


def test_the_estimators_log_it_too(machine, told):
    machine(ZEN_5)
    X, y = np.eye(3).repeat(4, axis=0), np.arange(3).repeat(4)
    for solver in ("adam", "lbfgs"):
        blas._tell_once.cache_clear()
        MLPClassifier((2,), solver=solver, n_iter_no_change=1, tol=1.0).fit(X, y)
    assert len(told.messages) == 2


def test_nothing_is_logged_on_a_gpu_or_in_a_worker(machine, told, monkeypatch):
    machine(ZEN_5)
    gpu = CPU()
    gpu.on_host = False
    blas.tell_of_slow_kernel(gpu)
    monkeypatch.setattr(
        "multiprocessing.process._current_process.name", "SpawnProcess-1", raising=False
    )
    blas.tell_of_slow_kernel(CPU())
    assert told.messages == []


def test_a_program_without_logging_prints_it(tmp_path):
    """On the kernels for Haswell that OpenBLAS really has."""
    if "Haswell" not in runnable_kernels(processor()) or blas.openblas_kernel() is None:
        pytest.skip("no OpenBLAS with a choice of kernels")
    (tmp_path / "cpuinfo").write_text(cpuinfo(ZEN_5))
    code = f"""
import os
import numpy as np
from mlp_xp import train
from mlp_xp.devices import kernels
kernels.CPUINFO = {str(tmp_path / "cpuinfo")!r}
del os.environ["{VARIABLE}"]
train(np.eye(3).repeat(9, axis=0), list("abc" * 9), epochs=1)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, VARIABLE: "Haswell"}, check=True,
    )  # fmt: skip
    assert done.stderr.count("takes this CPU for Haswell") == 1
    assert logging.lastResort.level == logging.WARNING
