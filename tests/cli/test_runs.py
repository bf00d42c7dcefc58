"""A run's folder, as the library uses it."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import Config, Dataset, DeviceError, InputError, Split, Trainer, load_model
from mlp_xp.data import DataSource
from mlp_xp.devices import CPU
from mlp_xp.errors import TrainingWarning
from mlp_xp.run_settings import RunSettings, read_settings
from mlp_xp.runs import MetricsLogger, RunFolder
from mlp_xp.training import Checkpointer

CONFIG = Config(hidden=(3,), epochs=2, objective="multiclass", betas=(0.9, 0.999))
SETTINGS = RunSettings(DataSource("data.npz", "kind", "more.npz"), CONFIG, "5m")


@pytest.fixture
def folder(tmp_path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path / "run", "data", SETTINGS) as folder:
        yield folder


@pytest.fixture
def trainer() -> Trainer:
    X = np.arange(24, dtype=np.uint8).reshape(12, 2)
    return Trainer(Dataset.from_arrays(X, np.arange(12) % 3), CONFIG, CPU())


def records(folder: RunFolder) -> list[dict]:
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()]


def test_settings_come_back_with_absolute_paths(folder, monkeypatch):
    assert folder.read_settings() == replace(SETTINGS, source=SETTINGS.source.absolute())
    values = read_settings(folder.config)
    assert Path(values["data"]).is_absolute()
    assert {"objective", "standardize", "betas", "eps"} <= values.keys()
    assert RunSettings.from_dict({}) == RunSettings(DataSource(), Config(), "60s")


@pytest.mark.parametrize("name", ["model", "metrics", "config", "checkpoint"])
def test_a_folder_that_holds_a_run_is_refused(name, tmp_path):
    file = getattr(RunFolder(tmp_path), name)
    file.write_text("{}")
    refused = pytest.raises(InputError, match=rf"already holds a run \({re.escape(file.name)}\)")
    with refused, RunFolder.create(tmp_path, "data", SETTINGS):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "{}"


def test_runs_of_one_second_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlp_xp.runs.time.strftime", lambda form: "20300102-030405")
    for end in ("", "_2", "_3"):
        with RunFolder.create(None, "some_data", SETTINGS) as folder:
            assert folder.path.name == f"some_data-20300102-030405{end}"


def test_a_run_from_start_to_finish(folder, trainer):
    assert folder.restore(trainer) is None
    folder.log_start(trainer, resumed=False)
    trainer.fit([MetricsLogger(folder), Checkpointer(folder.checkpoint)])
    name, result = folder.finish(trainer)
    assert name == "train"
    assert [record["record"] for record in records(folder)] == ["start", "epoch", "epoch", "train"]
    last = records(folder)[-1]
    assert last == {"record": "train", **result.to_dict()}
    assert (last["accuracy"], last["loss"]) == (result.accuracy, result.loss)
    assert last["baseline"]["accuracy"] == result.baseline.accuracy
    assert last["recall"] == result.recall.tolist()
    assert sorted(path.name for path in folder.path.iterdir()) == [
        ".lock", "checkpoint.safetensors", "config.json", "metrics.jsonl", "model.safetensors"
    ]  # fmt: skip
    saved = load_model(folder.path, CPU()).parameters()
    for a, b in zip(saved, trainer.network.parameters(), strict=True):
        np.testing.assert_array_equal(a, b)
    again = Trainer(trainer.data, CONFIG, CPU())
    with pytest.raises(InputError, match=r"finished; its model is .* --epochs above 2"):
        folder.restore(again)
    folder.checkpoint.unlink()
    with pytest.raises(InputError, match=r"finished; .* without checkpoint.safetensors it can't"):
        folder.restore(again)


def test_a_run_that_is_killed_before_its_model_is_saved_can_be_resumed(folder, trainer):
    trainer.fit([Checkpointer(folder.checkpoint)])
    again = Trainer(trainer.data, CONFIG, CPU())
    assert folder.restore(again) == "cpu"
    assert again.finished
    folder.finish(again)
    assert folder.model.exists()


def test_an_extension_that_is_killed_at_its_end_is_not_taken_for_the_run_before(
    folder, trainer, monkeypatch
):
    """Whose model is still there."""
    trainer.fit([MetricsLogger(folder), Checkpointer(folder.checkpoint)])
    folder.finish(trainer)
    before = folder.model.read_bytes()
    longer = replace(CONFIG, epochs=4)
    extended = Trainer(trainer.data, longer, CPU())
    folder.restore(extended)
    folder.rewind_metrics(2)
    extended.fit([MetricsLogger(folder), Checkpointer(folder.checkpoint)])
    again = Trainer(trainer.data, longer, CPU())  # as after a kill
    folder.restore(again)
    assert again.finished
    folder.finish(again)
    assert folder.model.read_bytes() != before
    with pytest.raises(InputError, match="this run is finished"):
        folder.restore(Trainer(trainer.data, longer, CPU()))


def test_a_run_that_is_killed_while_it_is_evaluated_still_gets_its_result(
    folder, trainer, monkeypatch
):
    def interrupted(network, split):
        raise KeyboardInterrupt

    trainer.fit([MetricsLogger(folder), Checkpointer(folder.checkpoint)])
    with monkeypatch.context() as patch:
        patch.setattr("mlp_xp.runs.evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder.finish(trainer)
    again = Trainer(trainer.data, CONFIG, CPU())
    folder.restore(again)
    folder.finish(again)
    assert records(folder)[-1]["record"] == "train"


def test_a_test_set_that_overflows_is_named_and_the_model_is_saved(folder, trainer):
    test = Split(np.float32([[1, 2], [3e38, 3e38]]), np.array([0, 1]))
    trainer = Trainer(replace(trainer.data, test=test), CONFIG, CPU())
    trainer.fit()
    trainer.network.layers[0].W[...] = 9e3
    with pytest.raises(InputError, match=r"^test data: the .* row 1 isn't finite: .* is saved: "):
        folder.finish(trainer)
    assert folder.model.exists()


def test_the_model_is_saved_before_it_is_evaluated(folder, trainer, monkeypatch):
    """With 20,000 classes, a run of hours ended here without a model."""

    def out_of_memory(network, split):
        raise MemoryError("3 GB")

    monkeypatch.setattr("mlp_xp.runs.evaluate", out_of_memory)
    trainer.fit()
    with pytest.raises(DeviceError, match=r"out of memory.*The model is saved: .*model.safetens"):
        folder.finish(trainer)
    load_model(folder.path, CPU())


def test_the_metrics_are_json_whatever_the_numbers(folder):
    folder.log("epoch", loss=1.5, validation_loss=np.inf, validation_accuracy=math.nan)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    record = json.loads(folder.metrics.read_text(), parse_constant=refuse)
    assert record == {
        "record": "epoch", "loss": 1.5, "validation_loss": None, "validation_accuracy": None
    }  # fmt: skip


def test_a_folder_has_one_writer(folder):
    with pytest.raises(InputError, match="another process is writing there"), folder.reopen():
        pass
    with pytest.raises(InputError, match=r"it has no config.json"), RunFolder(Path("no")).reopen():
        pass


def test_what_a_kill_leaves_is_cleared(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_settings(SETTINGS)
    (tmp_path / ".checkpoint.safetensors.0123abcd.part").write_bytes(b"half")
    for name in ("notes.part", ".notes.part"):
        (tmp_path / name).write_text("of the user")
    left = [".lock", ".notes.part", "config.json", "notes.part"]
    with folder.reopen():
        assert sorted(path.name for path in tmp_path.iterdir()) == left
    folder.config.rename(tmp_path / ".config.json.4567cdef.part")  # killed before it was whole
    with RunFolder.create(tmp_path, "data", SETTINGS):
        assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_last_checkpoint_that_cannot_be_written_costs_no_result(folder, trainer):
    """It is larger than the model, and a full disk may hold the one and not the other."""
    folder.checkpoint.mkdir()  # which can't be replaced
    with pytest.warns(TrainingWarning, match="can't be written: .*; the training is finis") as all_:
        trainer.fit([Checkpointer(folder.checkpoint, epochs=2), MetricsLogger(folder)])
    assert all_[0].filename == __file__
    folder.finish(trainer)
    assert [record["record"] for record in records(folder)] == ["epoch", "epoch", "train"]
    again = Trainer(trainer.data, CONFIG, CPU())
    with pytest.raises(InputError, match="can't be written"):
        again.fit([Checkpointer(folder.checkpoint, epochs=1)])


def test_weights_that_are_not_finite_leave_no_model_and_the_old_one_as_it_is(folder, trainer):
    trainer.fit()
    trainer.network.layers[-1].W[0, 0] = np.nan
    folder.model.write_bytes(b"old")
    with pytest.raises(InputError, match="the weights became infinite or NaN"):
        folder.finish(trainer)
    assert folder.model.read_bytes() == b"old"
    folder.model.unlink()
    with pytest.raises(InputError, match=r"the weights became infinite or NaN .*: lower --lr"):
        folder.finish(trainer)
    assert not folder.model.exists()


def test_rewinding_keeps_the_first_epochs_and_every_start(folder):
    folder.log("start")
    for epoch in (1, 2, 3):
        folder.log("epoch", epoch=epoch)
    folder.log("resume")
    folder.log("test", accuracy=0.5)
    with folder.metrics.open("a") as file:
        file.write('[1]\n"text"\nnot JSON\n' + "[" * 100_000 + "\n")
        file.write('{"record": "epoch", "epoch": 1')  # truncated by a kill
    folder.rewind_metrics(2)
    kept = [(record["record"], record.get("epoch")) for record in records(folder)]
    assert kept == [("start", None), ("epoch", 1), ("epoch", 2), ("resume", None)]
    folder.metrics.unlink()
    folder.rewind_metrics(2)
    assert not folder.metrics.exists()
