"""A training's logs for other programs: the table, and TensorBoard's event files."""

import csv
import json
import os
import resource
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import run_python
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from mlp_xp import Callback, Config, Dataset, Epoch, InputError, Trainer, evaluate, train
from mlp_xp.cli import main, options
from mlp_xp.devices import CPU
from mlp_xp.files import append
from mlp_xp.training import CsvLogger, TensorBoardLogger, load_checkpoint, save_checkpoint
from mlp_xp.training.logs import LOGS, TAGS

CONFIG = Config(epochs=6, hidden=(4,), validation=0.2, batch_size=8)


@pytest.fixture
def data() -> Dataset:
    X = np.random.default_rng(0).standard_normal((60, 3))
    return Dataset.from_arrays(X, X.argmax(axis=1), test=(X[:9], X[:9].argmax(axis=1)))


def check_table(path: Path, history: list[Epoch]) -> None:
    head, *rows = csv.reader(path.read_text().splitlines())
    assert head == list(Epoch._fields)
    assert [[float(cell) for cell in row] for row in rows] == [list(epoch) for epoch in history]
    table = pd.read_csv(path)
    assert list(table.columns) == head
    # pandas 2 doesn't read all digits.
    np.testing.assert_allclose(table.to_numpy(), [list(epoch) for epoch in history], rtol=1e-12)


class KilledAfterFour(Callback):
    """With a checkpoint after two epochs."""

    def __init__(self, folder: Path):
        self.path = folder / "checkpoint.safetensors"

    def on_epoch(self, trainer: Trainer) -> None:
        if len(trainer.history) == 2:
            save_checkpoint(trainer, self.path)
        if len(trainer.history) == 4:
            trainer.stop()


class StopAfter(Callback):
    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch(self, trainer: Trainer) -> None:
        if len(trainer.history) == self.epochs:
            trainer.stop()


def resumed(data: Dataset, folder: Path) -> Trainer:
    trainer = Trainer(data, CONFIG, CPU())
    load_checkpoint(trainer, folder / "checkpoint.safetensors")
    return trainer


def events(folder: Path) -> list[Event]:
    """All events of a folder's files in the order in which TensorBoard reads them."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            checks = struct.unpack("<I", content[8:12]) + struct.unpack(
                "<I", content[12 + length : 16 + length]
            )
            for part, check in zip((content[:8], content[12 : 12 + length]), checks, strict=True):
                crc = crc32c(part)
                assert check == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """By tag and step, with those gone that a start hides; each step is there once."""
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            for tag, points in found.items():
                found[tag] = {step: value for step, value in points.items() if step < event.step}
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                points = found.setdefault(value.tag, {})
                assert event.step not in points
                points[event.step] = value.simple_value
    return found


def check_scalars(found: dict[str, dict[int, float]], history: list[Epoch]) -> None:
    for name, tag in TAGS.items():
        expected = {e.epoch: getattr(e, name) for e in history if getattr(e, name) is not None}
        assert found.get(tag, {}) == pytest.approx(expected, rel=1e-6), tag


def test_the_logs_are_a_callback_each(data, tmp_path):
    X, y = data.train.X, data.train.y
    log = TensorBoardLogger(tmp_path / "new" / "folder")
    callbacks = [CsvLogger(tmp_path / "log.csv"), log]
    history = train(X, y, callbacks=callbacks, epochs=3, validation=0.2).history
    check_table(tmp_path / "log.csv", history)
    check_scalars(scalars(log.path), history)
    assert {event.step for event in events(log.path)} == {0, 1, 2, 3}


def test_every_figure_of_an_epoch_has_a_tag():
    assert {"epoch", *TAGS} == set(Epoch._fields)


def test_the_help_lists_every_log():
    assert tuple(LOGS) == options.LOGS


def test_what_an_epoch_does_not_have_is_left_out(data, tmp_path):
    """Here the validation; in the table, the columns stay."""
    logs = [CsvLogger(tmp_path / "log.csv"), TensorBoardLogger(tmp_path)]
    history = train(data, Config(epochs=2, hidden=(3,)), callbacks=logs).history
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["validation_loss"] for row in rows] == ["", ""]
    assert [float(row["learning_rate"]) for row in rows] == [e.learning_rate for e in history]
    assert pd.read_csv(tmp_path / "log.csv")["validation_accuracy"].isna().all()
    check_scalars(scalars(tmp_path), history)


def test_a_resumed_training_has_each_epoch_once(data, tmp_path):
    table = tmp_path / "log.csv"
    Trainer(data, CONFIG, CPU()).fit(
        [CsvLogger(table), TensorBoardLogger(tmp_path), KilledAfterFour(tmp_path)]
    )
    assert len(table.read_text().splitlines()) == 5
    append(table, b"5,0.1")  # a row that isn't whole
    trainer = resumed(data, tmp_path)
    log = TensorBoardLogger(tmp_path)
    trainer.fit([CsvLogger(table), log])
    result = evaluate(trainer.network, data.test)
    log.on_result(trainer, "test", result)
    check_table(table, trainer.history)
    found = scalars(tmp_path)
    check_scalars(found, trainer.history)
    assert found["accuracy/test"] == pytest.approx({6: result.accuracy})
    assert found["loss/test"] == pytest.approx({6: result.loss})
    first, second = sorted(tmp_path.glob("events*"))
    first.unlink()
    assert second.exists()
    assert sorted(scalars(tmp_path)["seconds"]) == [3, 4, 5, 6]  # the others keep their times


def test_a_log_that_begins_late_has_the_epochs_before(data, tmp_path):
    Trainer(data, CONFIG, CPU()).fit([KilledAfterFour(tmp_path)])
    trainer = resumed(data, tmp_path)
    trainer.fit([CsvLogger(tmp_path / "log.csv"), TensorBoardLogger(tmp_path)])
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    check_scalars(scalars(tmp_path), trainer.history)
    # And after the last epoch, as in a run that is killed before it is evaluated.
    late = tmp_path / "late"
    late.mkdir()
    for log in (CsvLogger(late / "log.csv"), TensorBoardLogger(late)):
        log.on_result(trainer, "test", evaluate(trainer.network, data.test))
    assert pd.read_csv(late / "log.csv")["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    check_scalars(scalars(late), trainer.history)


def test_a_log_that_was_left_for_some_epochs_has_no_hole(data, tmp_path):
    """As `--resume --log ''` and later `--log tensorboard` again would leave one."""
    Trainer(data, CONFIG, CPU()).fit([TensorBoardLogger(tmp_path), KilledAfterFour(tmp_path)])
    trainer = resumed(data, tmp_path)
    trainer.fit([StopAfter(5)])
    trainer.fit([TensorBoardLogger(tmp_path)])
    check_scalars(scalars(tmp_path), trainer.history)


@pytest.mark.parametrize("cut", [5, 400])
def test_what_a_damaged_file_has_lost_is_written_again(cut, data, tmp_path):
    first = Trainer(data, CONFIG, CPU())
    first.fit([TensorBoardLogger(tmp_path), KilledAfterFour(tmp_path)])
    (path,) = tmp_path.glob("events*")
    os.truncate(path, path.stat().st_size - cut)
    log = TensorBoardLogger(tmp_path)
    log.on_epoch(first)
    log.on_result(first, "test", evaluate(first.network, data.test))
    path.unlink()
    assert min(scalars(tmp_path)["loss/train"]) == (4 if cut == 5 else 1)


def test_a_logger_may_log_another_training_in_place_of_the_first(data, tmp_path):
    logs = [CsvLogger(tmp_path / "log.csv"), TensorBoardLogger(tmp_path)]
    for seed in (0, 1):
        history = train(data, Config(epochs=3 - seed, seed=seed), callbacks=logs).history
    assert pd.read_csv(tmp_path / "log.csv").shape[0] == 2
    check_scalars(scalars(tmp_path), history)


def test_the_settings_are_hyperparameters(data, tmp_path):
    train(data, Config(epochs=1, hidden=(5, 4), lr=0.2), callbacks=[TensorBoardLogger(tmp_path)])
    (content,) = [
        value.metadata.plugin_data.content
        for event in events(tmp_path)
        for value in event.summary.value
        if value.tag == "_hparams_/session_start_info"
    ]
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["hidden"].string_value == "5,4"
    assert found["lr"].number_value == 0.2
    assert found["shuffle"].bool_value is True
    assert found["data"].string_value == data.name


def test_without_its_package_a_log_says_how_to_install_it(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    for name in [name for name in sys.modules if name.startswith("tensorboardX.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"^TensorBoard's files need tensorboardX: pip"):
        TensorBoardLogger(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--log", "csv,tensorboard", "--epochs", "1"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [0, 1, 37])
def test_what_a_full_disk_cuts_short_is_taken_back(left, data, tmp_path):
    files = [tmp_path / "log.csv", tmp_path / "board"]
    logs = [CsvLogger(files[0]), TensorBoardLogger(files[1])]
    trainer = Trainer(data, CONFIG, CPU())
    trainer.fit([logs[0], logs[1], KilledAfterFour(tmp_path)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    (events_file,) = files[1].iterdir()
    for log, path in zip(logs, (files[0], events_file), strict=True):
        before = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + left, limits[1]))
        trainer.history.append(trainer.history[-1]._replace(epoch=5))
        try:
            with pytest.raises(InputError, match=r"can't be written: File too large") as error:
                log.on_epoch(trainer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            del trainer.history[4:]
        assert str(path) in str(error.value)
        assert path.read_bytes() == before


def test_a_run_is_logged_as_its_settings_say(data, tmp_path):
    np.savez(tmp_path / "rows.npz", X=data.train.X, y=data.train.y)
    given = ("--data", "rows.npz", "--hidden", "4", "--epochs", "2", "--device", "cpu")
    done = run_python("train", *given, "--log", "tensorboard,csv", "--out", "run",
                      "--test", "0.2", folder=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert json.loads((run / "config.json").read_text())["log"] == ["tensorboard", "csv"]
    found = scalars(run)
    assert found.keys() >= {"loss/train", "loss/test", "accuracy/test"}
    assert found["accuracy/test"].keys() == {2}
    done = run_python("train", "--resume", "run", "--epochs", "4", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    epochs = [record for record in metrics if record["record"] == "epoch"]
    table = pd.read_csv(run / "metrics.csv")
    assert table["loss"].tolist() == pytest.approx([record["loss"] for record in epochs])
    found = scalars(run)
    assert found["loss/train"] == pytest.approx({r["epoch"]: r["loss"] for r in epochs}, rel=1e-6)
    assert found["accuracy/test"].keys() == {2, 4}
    done = run_python("train", "--resume", "run", "--epochs", "5", "--log", "", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "config.json").read_text())["log"] == []
    assert len(pd.read_csv(run / "metrics.csv")) == 4
    done = run_python("train", "--config", "run/config.json", "--log", "csv,wandb", folder=tmp_path)
    assert done.returncode == 2
    assert "argument --log: 'wandb' is not a log; write csv, tensorboard or both" in done.stderr


def test_training_rows_have_no_result_of_their_own(tmp_path):
    """Without a test set they are evaluated, under a tag that the epochs already have."""
    X = np.eye(4)
    data = Dataset.from_arrays(X, np.arange(4) % 2)
    log = TensorBoardLogger(tmp_path)
    trainer = Trainer(data, Config(epochs=2), CPU())
    trainer.fit([log])
    log.on_result(trainer, "train", evaluate(trainer.network, data.train))
    check_scalars(scalars(tmp_path), trainer.history)


@pytest.mark.full
@pytest.mark.parametrize("cut", [0, 5])
def test_tensorboard_itself_reads_the_files(cut, data, tmp_path):
    """After a kill too, and where a file system has lost the end of a file."""
    pytest.importorskip("tensorboard")
    first = Trainer(data, CONFIG, CPU())
    first.fit([TensorBoardLogger(tmp_path), KilledAfterFour(tmp_path)])
    (path,) = tmp_path.glob("events*")
    os.truncate(path, path.stat().st_size - cut)
    trainer, log = resumed(data, tmp_path), TensorBoardLogger(tmp_path)
    trainer.fit([log])
    result = evaluate(trainer.network, data.test)
    log.on_result(trainer, "test", result)
    code = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
log = EventAccumulator(sys.argv[1])
log.Reload()
print(json.dumps({t: [(e.step, e.value) for e in log.Scalars(t)] for t in log.Tags()["scalars"]}))
print(log.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name)
"""
    done = run_python(tmp_path, folder=tmp_path, program=("-W", "ignore", "-c", code))
    assert done.returncode == 0, done.stderr
    found, plugin = done.stdout.splitlines()
    points = {tag: dict(values) for tag, values in json.loads(found).items()}
    assert all(len(points[tag]) == len(values) for tag, values in json.loads(found).items())
    check_scalars(points, trainer.history)
    assert points["accuracy/test"] == pytest.approx({6: result.accuracy})
    assert plugin == "hparams"
