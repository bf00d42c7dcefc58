"""On a real GPU: the whole way, at full length. Skips, with the cause, where there is none."""

import json

import pytest

from mlp_xp import Config, evaluate, resolve, train
from mlp_xp.backend import Backend, cpu
from mlp_xp.cli import main
from mlp_xp.config import PRESETS
from mlp_xp.parity import TOLERANCE, Trace, compare, trace

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def gpu() -> Backend:
    resolution = resolve("cuda")
    if resolution.reason:
        pytest.skip(f"no GPU to test on: {resolution.reason}")
    return resolution.backend


def agree(reference: Trace, other: Trace, dtype: str) -> None:
    agreements = list(compare(reference, other, TOLERANCE[dtype]))
    assert [agreement for agreement in agreements if not agreement.holds] == []


def test_float64_agrees_over_a_whole_notebook_epoch(gpu, mnist):
    config = Config.from_dict({**PRESETS["notebook"], "epochs": 1})
    agree(trace(cpu(), mnist, config), trace(gpu, mnist, config), "float64")


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
    assert start["device"] == {"asked": "cuda", "used": "cuda:0", "reason": None}


def test_an_index_too_high_is_refused_by_the_real_driver(gpu):
    count = gpu.xp.cuda.runtime.getDeviceCount()
    assert resolve(f"cuda:{count}").reason.startswith(f"there is no GPU {count}: {count} found")


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
    assert "GB more are needed beside" in error
    assert error.count("\n") == 1


def test_the_doctor_passes(gpu, capsys):
    assert main(["doctor", "--device", "cuda", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["works"] is True
