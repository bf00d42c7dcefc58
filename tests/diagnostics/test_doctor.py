"""The doctor's report, and the options that choose a device, from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlp_xp
from mlp_xp.cli import device, main
from mlp_xp.devices import CPU
from mlp_xp.diagnostics import doctor

ROOT = Path(mlp_xp.__file__).parent.parent
BROKEN = "raise ImportError('libstdc++ is too old')"


@pytest.fixture(autouse=True)
def nothing_required(monkeypatch):
    monkeypatch.delenv(device.REQUIRE, raising=False)


@pytest.fixture(autouse=True)
def no_processes_are_started(monkeypatch):
    """They take a second; test_kernels.py and test_ranks.py start them."""
    monkeypatch.setattr(doctor, "kernel_speeds", lambda: iter(()))
    monkeypatch.setattr(doctor, "mpi_library", lambda: "MPI 9.1, by mpi4py 9.2")


@pytest.fixture
def broken_cupy(tmp_path, monkeypatch) -> str:
    """Replace CuPy by one that can't be imported; returns the cause that is reported."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    (tmp_path / "cupy.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return "CuPy can't be imported (libstdc++ is too old)"


@pytest.fixture
def bars(tmp_path) -> Path:
    y = np.arange(60) % 3
    X = np.eye(3, dtype=np.uint8)[y] * 200
    np.savez(tmp_path / "bars.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    return tmp_path


def train(folder: Path, *options: str) -> int:
    data = ["--data", str(folder / "bars.npz"), "--epochs", "9", "--hidden", "8",
            "--recipe", "image"]  # fmt: skip
    return main(["train", *data, "--out", str(folder / "run"), *options])


def test_cuda_trains_on_the_cpu_after_one_warning_line(broken_cupy, bars, capsys):
    assert train(bars, "--device", "cuda", "--quiet") == 0
    error = capsys.readouterr().err
    assert error.startswith("mlp_xp: warning: cuda can't be used, so this runs on the CPU: ")
    assert broken_cupy in error
    assert error.count("\n") == 1
    start = json.loads((bars / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert (start["device"]["requested"], start["device"]["used"]) == ("cuda", "cpu")
    assert broken_cupy in start["device"]["fallback_reason"]


@pytest.mark.parametrize("named", ["auto", "cuda", "cuda:1"])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_required_device_is_status_3_and_one_line(
    broken_cupy, bars, capsys, monkeypatch, named, by
):
    if by == "environment":
        monkeypatch.setenv(device.REQUIRE, "1")
    options = ["--require-device"] if by == "option" else []
    assert train(bars, "--device", named, *options) == 3
    out, error = capsys.readouterr()
    assert out == ""
    assert broken_cupy in error
    assert error.count("\n") == 1
    assert not (bars / "run").exists()


@pytest.mark.parametrize("value", ["", "0"])
def test_an_environment_that_requires_nothing(broken_cupy, bars, monkeypatch, value):
    monkeypatch.setenv(device.REQUIRE, value)
    assert train(bars, "--device", "cuda") == 0


def test_the_environment_is_checked(bars, monkeypatch, capsys):
    monkeypatch.setenv(device.REQUIRE, "yes")
    assert train(bars, "--device", "cpu") == 2
    assert "MLP_XP_REQUIRE_DEVICE is 'yes'; use 1 or 0" in capsys.readouterr().err


def test_auto_prints_one_line_about_the_device_it_uses(broken_cupy, bars, capsys):
    assert train(bars) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("device")] == [f"device cpu: {broken_cupy}"]


def test_auto_is_silent_when_quiet_and_cpu_always(broken_cupy, bars, capsys):
    assert train(bars, "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert train(bars, "--device", "cpu", "--out", str(bars / "cpu")) == 0
    assert "device" not in capsys.readouterr().err


def test_evaluate_and_predict_warn_too(broken_cupy, bars, capsys):
    assert train(bars, "--quiet") == 0
    for command, *rest in (["evaluate", "--data"], ["predict"]):
        capsys.readouterr()
        model = str(bars / "run")
        assert main([command, model, *rest, str(bars / "bars.npz"), "--device", "cuda"]) == 0
        assert capsys.readouterr().err.count("warning: cuda can't be used") == 1


def test_a_cpu_report_names_the_machine_and_passes(capsys):
    assert main(["doctor", "--device", "cpu"]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert f"NumPy        {np.__version__}, " in out
    assert "cpu: ranks, as mpiexec starts them\n        MPI              MPI 9.1, " in out
    assert out.count("  pass  ") == 6
    assert "FAIL" not in out
    assert out.count("samples/s") == 3


def test_json_holds_all_of_it(capsys):
    assert main(["doctor", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["works"] is True
    assert report["machine"]["Python"].startswith(f"{sys.version_info.major}.")
    (entry,) = report["devices"]
    assert (entry["device"], entry["works"], entry["needed"]) == ("cpu", True, True)
    differences = [f["values"]["difference"] for f in entry["findings"] if "difference" in
                   f["values"]]  # fmt: skip
    assert len(differences) == 6
    assert 0 < max(differences) <= 1e-5
    speeds = [f["values"] for f in entry["findings"] if "samples_per_second" in f["values"]]
    assert [speed["batch_size"] for speed in speeds] == [1, 32, 1024]
    assert min(speed["samples_per_second"] for speed in speeds) > 0


def test_a_requested_device_decides_the_status(broken_cupy, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "SPEED_BATCHES", ())
    assert main(["doctor", "--device", "cuda", "--device", "cpu"]) == 3
    out, error = capsys.readouterr()
    assert f"  FAIL  {broken_cupy}" in out
    assert "trained weights" in out
    assert error == "mlp_xp: error: cuda can't be used; the report says why\n"


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--require-device"], 3)])
def test_without_a_name_the_gpu_may_be_absent(broken_cupy, capsys, monkeypatch, options, status):
    monkeypatch.setattr(doctor, "SPEED_BATCHES", ())
    assert main(["doctor", *options]) == status
    mark = "FAIL" if status else "none"
    assert f"auto: probe\n  {mark}  {broken_cupy}" in capsys.readouterr().out


def test_a_disagreement_fails(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "SPEED_BATCHES", ())
    monkeypatch.setattr(doctor, "TOLERANCE", {"float32": 1e-9, "float64": 1e-9})
    assert main(["doctor", "--device", "cpu"]) == 3
    assert "FAIL  trained weights" in capsys.readouterr().out


def test_an_unknown_name_comes_before_the_report(capsys):
    assert main(["doctor", "--device", "tpu"]) == 2
    assert capsys.readouterr().out == ""


def test_the_cpu_report_needs_no_cupy_and_no_folder_to_write(tmp_path):
    (tmp_path / "cupy.py").write_text("raise SystemExit('imported')")
    code = "import sys; from mlp_xp.cli import main; sys.exit(main(['doctor', '--device', 'cpu']))"
    tmp_path.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "cupy.py"]


def test_an_error_during_the_gpus_checks_is_a_finding(monkeypatch):
    def fails(*_):
        raise MemoryError("Out of memory allocating 5,000 bytes (allocated so far: 7,000 bytes).")

    monkeypatch.setattr(doctor, "probe", lambda index: iter([("CuPy", "14")]))
    monkeypatch.setattr(doctor, "get_device", lambda *_, **__: CPU("cuda"))
    monkeypatch.setattr(doctor, "_parity", fails)
    *_, last = doctor.examine("cuda")
    assert not last.passed
    assert "out of memory: 5e-06 GB more needed, 7e-06 GB in use" in last.found


def test_version_prints_what_the_report_begins_with(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    versions = capsys.readouterr().out.splitlines()
    report = [f"{name} {value}" for name, value in doctor.machine().items()]
    assert versions == report[: len(versions)]
    assert len(versions) == 4


def test_versions_name_every_installed_cupy_and_import_none(tmp_path):
    """Two of them overwrite each other's files."""
    (tmp_path / "cupy.py").write_text("raise SystemExit('imported')")
    for name, version in (("cupy_cuda12x", "14.2.0"), ("cupy_cuda13x", "14.3.1")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    done = subprocess.run(
        [sys.executable, "-c", "import mlp_xp.versions as v; print(v.versions()['CuPy'])"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert done.stdout == "cupy-cuda12x 14.2.0, cupy-cuda13x 14.3.1\n"
