"""Full-length runs on a GPU."""

import json
import re

import numpy as np
import pytest

from mlp_xp import PRESETS, Config, evaluate, train
from mlp_xp.cli import main
from mlp_xp.devices import CPU, get_device
from mlp_xp.diagnostics.parity import TOLERANCE, Trace, compare, trace
from mlp_xp.errors import DeviceError

pytestmark = pytest.mark.cuda


def agree(reference: Trace, other: Trace, dtype: str) -> None:
    agreements = list(compare(reference, other, TOLERANCE[dtype]))
    assert [agreement for agreement in agreements if not agreement.holds] == []


@pytest.mark.full
def test_float64_agrees_over_a_whole_notebook_epoch(cuda, mnist):
    config = Config.from_dict({**PRESETS["notebook"], "epochs": 1})
    agree(trace(CPU(), mnist, config), trace(cuda, mnist, config), "float64")


@pytest.mark.full
def test_the_notebook_preset_gives_the_notebooks_digits(cuda, mnist):
    network, history = train(mnist, Config.from_dict(PRESETS["notebook"]), cuda)
    losses = [f"{epoch.loss:.4f}" for epoch in history]
    assert losses == ["0.2115", "0.0968", "0.0658", "0.0482", "0.0365"]
    assert f"{evaluate(network, mnist.test).accuracy:.2%}" == "97.08%"


def test_train_records_the_gpu_it_used(cuda, tmp_path, capsys):
    arguments = ["train", "--device", "cuda", "--require-device", "--epochs", "1", "--quiet"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    start = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert start["device"] == {
        "requested": "cuda",
        "used": "cuda:0",
        "workers": 1,
        "ranks": 1,
        "fallback_reason": None,
    }


def test_an_index_too_high_is_refused_by_the_real_driver(cuda):
    count = cuda.xp.cuda.runtime.getDeviceCount()
    reason = get_device(f"cuda:{count}").fallback_reason
    assert reason.startswith(f"there is no GPU {count}: {count} found")


def test_memory_that_runs_out_is_one_line(cuda, tmp_path, capsys):
    arguments = ["train", "--device", "cuda", "--require-device", "--hidden", "4096,4096"]
    pool = cuda.xp.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=100_000_000)  # the weights alone are 80 MB
    try:
        assert main([*arguments, "--epochs", "1", "--quiet", "--out", str(tmp_path)]) == 3
    finally:
        pool.set_limit(size=0)
    error = capsys.readouterr().err
    assert re.search(r"[\d.]+ GB more needed, [\d.]+ GB in use", error)
    assert error.count("\n") == 1


def test_the_doctor_passes(cuda, capsys):
    assert main(["doctor", "--device", "cuda", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["works"] is True


def few(tmp_path) -> str:
    """A file of 90 rows."""
    y = np.arange(90) % 3
    X = np.eye(3, dtype=np.uint8)[y] * 200
    np.savez(tmp_path / "bars.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    return str(tmp_path / "bars.npz")


def train_on(tmp_path, *options: str) -> int:
    arguments = ["train", "--data", few(tmp_path), "--recipe", "image", "--hidden", "8", "--epochs"]
    return main([*arguments, "2", "--out", str(tmp_path / "run"), *options])


def test_auto_says_where_steps_of_one_row_are_probably_faster(cuda, tmp_path, capsys):
    assert train_on(tmp_path, "--batch-size", "1") == 0
    lines = capsys.readouterr().err.splitlines()
    assert "device cuda:0; steps of one row are probably faster with --device cpu" in lines
    (tmp_path / "named").mkdir()
    assert train_on(tmp_path / "named", "--batch-size", "1", "--device", "cuda") == 0
    assert "probably faster" not in capsys.readouterr().err


def test_graphs_are_a_setting_of_the_run(cuda, tmp_path, capsys):
    assert train_on(tmp_path, "--device", "cuda", "--no-graph", "--quiet") == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["graph"] is False
    capsys.readouterr()
    resume = ["train", "--resume", str(tmp_path / "run"), "--device", "cuda", "--epochs", "3"]
    assert main([*resume, "--graph"]) == 0
    warning = "warning: --graph in place of --no-graph: the results may be the same up to rounding"
    assert warning in capsys.readouterr().err


def test_a_refused_graph_is_one_warning_line(cuda, tmp_path, capsys, monkeypatch):
    def refuse(*given: object) -> None:
        raise DeviceError("the stream isn't permitted to")

    monkeypatch.setattr("mlp_xp.devices.cuda.CUDA.capture", refuse)
    assert train_on(tmp_path, "--device", "cuda", "--quiet") == 0
    error = capsys.readouterr().err
    assert error.startswith("mlp_xp: warning: without a CUDA graph, and so probably slower: ")
    assert "the stream isn't permitted to" in error
    assert error.count("\n") == 1
    assert main(["doctor", "--device", "cuda"]) == 0
    report = capsys.readouterr().out
    assert report.count("not used: the steps can't be recorded as one: the stream isn't") == 2
