"""Full-length runs on a real GPU; skipped, with the cause, where there is none."""

import json
import re

import pytest

from mlp_xp import PRESETS, Config, evaluate, train
from mlp_xp.cli import main
from mlp_xp.devices import CPU, Device, get_device
from mlp_xp.diagnostics.parity import TOLERANCE, Trace, compare, trace

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def gpu() -> Device:
    device = get_device("cuda")
    if device.fallback_reason:
        pytest.skip(f"no GPU to test on: {device.fallback_reason}")
    return device


def agree(reference: Trace, other: Trace, dtype: str) -> None:
    agreements = list(compare(reference, other, TOLERANCE[dtype]))
    assert [agreement for agreement in agreements if not agreement.holds] == []


def test_float64_agrees_over_a_whole_notebook_epoch(gpu, mnist):
    config = Config.from_dict({**PRESETS["notebook"], "epochs": 1})
    agree(trace(CPU(), mnist, config), trace(gpu, mnist, config), "float64")


def test_the_notebook_preset_gives_the_notebooks_digits(gpu, mnist):
    network, history = train(mnist, Config.from_dict(PRESETS["notebook"]), gpu)
    losses = [f"{epoch.loss:.4f}" for epoch in history]
    assert losses == ["0.2115", "0.0968", "0.0658", "0.0482", "0.0365"]
    assert f"{evaluate(network, mnist.test).accuracy:.2%}" == "97.08%"


def test_train_records_the_gpu_it_used(gpu, tmp_path, capsys):
    arguments = ["train", "--device", "cuda", "--require-device", "--epochs", "1", "--quiet"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    start = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert start["device"] == {
        "requested": "cuda",
        "used": "cuda:0",
        "workers": 1,
        "fallback_reason": None,
    }


def test_an_index_too_high_is_refused_by_the_real_driver(gpu):
    count = gpu.xp.cuda.runtime.getDeviceCount()
    reason = get_device(f"cuda:{count}").fallback_reason
    assert reason.startswith(f"there is no GPU {count}: {count} found")


def test_memory_that_runs_out_is_one_line(gpu, tmp_path, capsys):
    arguments = ["train", "--device", "cuda", "--require-device", "--hidden", "4096,4096"]
    pool = gpu.xp.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=100_000_000)  # the weights alone are 80 MB
    try:
        assert main([*arguments, "--epochs", "1", "--quiet", "--out", str(tmp_path)]) == 3
    finally:
        pool.set_limit(size=0)
    error = capsys.readouterr().err
    assert re.search(r"[\d.]+ GB more needed, [\d.]+ GB in use", error)
    assert error.count("\n") == 1


def test_the_doctor_passes(gpu, capsys):
    assert main(["doctor", "--device", "cuda", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["works"] is True
