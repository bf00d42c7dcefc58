"""A run's folder, as the library uses it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import Config, Dataset, InputError, Trainer, load_model
from mlp_xp.data import DataSource
from mlp_xp.devices import CPU
from mlp_xp.runs import MetricsLogger, RunFolder, parse_settings, read_settings
from mlp_xp.training import save_checkpoint

SOURCE = DataSource("data.npz", "kind", "more.npz")
CONFIG = Config(hidden=(3,), epochs=2, objective="multiclass", betas=(0.9, 0.999))


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "data", SOURCE, CONFIG)


@pytest.fixture
def trainer() -> Trainer:
    X = np.arange(24, dtype=np.uint8).reshape(12, 2)
    return Trainer(Dataset.from_arrays(X, np.arange(12) % 3), CONFIG, CPU())


def records(folder: RunFolder) -> list[dict]:
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()]


def test_settings_come_back_with_absolute_paths(folder, monkeypatch):
    assert folder.read_settings() == (SOURCE.absolute(), CONFIG)
    values = read_settings(folder.config)
    assert Path(values["data"]).is_absolute()
    assert {"objective", "standardize", "betas", "eps"} <= values.keys()
    assert parse_settings({}) == (DataSource(), Config())


@pytest.mark.parametrize("name", ["model", "metrics", "config", "checkpoint"])
def test_a_folder_that_holds_a_run_is_refused(name, tmp_path):
    file = getattr(RunFolder(tmp_path), name)
    file.write_text("{}")
    with pytest.raises(InputError, match=rf"already holds a run \({re.escape(file.name)}\)"):
        RunFolder.create(tmp_path, "data", SOURCE, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "{}"


def test_runs_of_one_second_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlp_xp.runs.time.strftime", lambda form: "20300102-030405")
    names = [RunFolder.create(None, "some_data", SOURCE, CONFIG).path.name for _ in range(3)]
    assert names == [f"some_data-20300102-030405{end}" for end in ("", "_2", "_3")]


def test_a_run_from_start_to_finish(folder, trainer):
    assert folder.restore(trainer) is None
    folder.log_start(trainer, resumed=False)
    save_checkpoint(trainer, folder.checkpoint)
    folder.check_unfinished()
    trainer.fit([MetricsLogger(folder)])
    name, result = folder.finish(trainer)
    assert name == "train"
    assert [record["record"] for record in records(folder)] == ["start", "epoch", "epoch", "train"]
    assert records(folder)[-1] == {
        "record": "train", "accuracy": result.accuracy, "loss": result.loss
    }  # fmt: skip
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "config.json", "metrics.jsonl", "model.safetensors"
    ]  # fmt: skip
    saved = load_model(folder.path, CPU()).parameters()
    for a, b in zip(saved, trainer.network.parameters(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="this run is finished; its model is"):
        folder.check_unfinished()


def test_the_checkpoint_goes_last(folder, trainer, monkeypatch):
    """So a run that is killed while it finishes can be resumed."""
    trainer.fit()
    save_checkpoint(trainer, folder.checkpoint)

    def killed(path: Path) -> None:
        assert folder.model.exists()
        assert records(folder)[-1]["record"] == "train"
        raise KeyboardInterrupt

    monkeypatch.setattr("mlp_xp.runs.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.finish(trainer)
    folder.check_unfinished()
    again = Trainer(trainer.data, CONFIG, CPU())
    assert folder.restore(again) == "cpu"
    assert again.finished


def test_a_loss_that_is_not_finite_leaves_no_model(folder, trainer):
    trainer.fit()
    trainer.network.layers[-1].W[0, 0] = np.nan
    with pytest.raises(InputError, match=r"the loss on the train data is nan .*: lower --lr"):
        folder.finish(trainer)
    assert not folder.model.exists()


def test_rewinding_keeps_the_first_epochs_and_every_start(folder):
    folder.log("start")
    for epoch in (1, 2, 3):
        folder.log("epoch", epoch=epoch)
    folder.log("resume")
    folder.log("test", accuracy=0.5)
    with folder.metrics.open("a") as file:
        file.write('[1]\n"text"\nnot JSON\n{"record": "epoch", "epoch": 1')  # truncated by a kill
    folder.rewind_metrics(2)
    kept = [(record["record"], record.get("epoch")) for record in records(folder)]
    assert kept == [("start", None), ("epoch", 1), ("epoch", 2), ("resume", None)]
    folder.metrics.unlink()
    folder.rewind_metrics(2)
    assert not folder.metrics.exists()
