"""A run that was stopped, however it was stopped, ends in the same bits as one that wasn't."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from processes import ENVIRONMENT

from mlp_xp import Callback, Config, Dataset, InputError, Split, Trainer
from mlp_xp.cli import main
from mlp_xp.devices import Device
from mlp_xp.training import load_checkpoint, save_checkpoint
from mlp_xp.training.trainer import CHUNK_ROWS

ROWS = CHUNK_ROWS + 300


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(11)
    X = rng.integers(0, 256, (ROWS, 12), dtype=np.uint8)
    y = X[:, :4].argmax(axis=1).astype(np.int64)
    weights = rng.uniform(0.5, 2, ROWS)
    return Dataset("bytes", Split(X, y, weights), None, 4)


SETTINGS = {
    "sgd": {},
    "batches of 16": {"batch_size": 16, "lr": 0.05},
    "momentum": {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4, "lr": 0.02},
    "momentum, windows of 8": {"batch_size": 8, "momentum": 0.9, "lr": 0.01},
    "adam": {"optimizer": "adam", "lr": 0.002, "clip_norm": 1.0, "standardize": True},
    "dropout": {"dropout": 0.3, "hidden": (7, 6), "label_smoothing": 0.1},
    "early stopping": {
        "validation": 0.2, "patience": 1, "epochs": 8, "lr": 1.5, "schedule": "plateau",
        "lr_patience": 0, "class_weight": "balanced",
    },
}  # fmt: skip


class StopAfter(Callback):
    """Saves and raises at the n-th chunk."""

    def __init__(self, moments: int, path: Path):
        self.left = moments
        self.path = path

    def on_chunk(self, trainer: Trainer) -> None:
        if self.left == 0:
            save_checkpoint(trainer, self.path)
            raise KeyboardInterrupt
        self.left -= 1

    on_epoch = on_chunk


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_resume_from_any_moment_gives_the_same_bits(settings, device: Device, data, tmp_path):
    config = Config.from_dict({"hidden": (8,), "epochs": 2, "batch_size": 64, **settings})
    whole = Trainer(data, config, device)
    whole.fit()
    path = tmp_path / "checkpoint.safetensors"
    moments = 0
    while True:
        trainer = Trainer(data, config, device)
        try:
            trainer.fit([StopAfter(moments, path)])
            break
        except KeyboardInterrupt:
            again = Trainer(data, config, device)
            assert load_checkpoint(again, path) == device.name
            again.fit()
        for a, b in zip(whole.network.parameters(), again.network.parameters(), strict=True):
            assert device.to_host(a).tobytes() == device.to_host(b).tobytes(), moments
        assert [e._replace(seconds=0, samples_per_second=0) for e in whole.history] == [
            e._replace(seconds=0, samples_per_second=0) for e in again.history
        ]
        moments += 1
    assert moments >= 4


def test_another_run_is_refused_with_the_difference_named(device: Device, data, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    config = Config(hidden=(8,), epochs=2)
    save_checkpoint(Trainer(data, config, device), path)
    with pytest.raises(InputError, match=r"the checkpoint has hidden \[8\], the run \[9\]"):
        load_checkpoint(Trainer(data, replace(config, hidden=(9,)), device), path)
    X = data.train.X.copy()
    X[5, 5] ^= 1
    other = replace(data, train=replace(data.train, X=X))
    with pytest.raises(InputError, match="the data 'bytes' has changed"):
        load_checkpoint(Trainer(other, config, device), path)


# The tests below run processes, as users do.


def start(*arguments: object, folder: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlp_xp", "train", "--device", "cpu", *map(str, arguments)],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=ENVIRONMENT, **options,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], status: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return out, err


TRAIN = ("--data", "bytes.npz", "--hidden", "60", "--epochs", "200", "--checkpoint-every", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory, data) -> Path:
    """A folder with a data set, and a run of about a second that nothing stopped."""
    folder = tmp_path_factory.mktemp("resume")
    np.savez(folder / "bytes.npz", X=data.train.X, y=data.train.y)
    out, _ = finish(start(*TRAIN, "--out", "whole", folder=folder))
    (folder / "whole.txt").write_text(out)
    return folder


def records(run: Path, kind: str) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["record"] == kind]


def stop_and_resume(place: Path, name: str, signum: int, share: float) -> bool:
    """Send a signal after about this share of the run; returns whether it came in time.

    The run is then resumed to its end, where it must be equal to `whole`.
    """
    whole = records(place / "whole", "epoch")
    process = start(*TRAIN, "--out", name, folder=place)
    while not (place / name / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(share * sum(record["seconds"] for record in whole))
    process.send_signal(signum)
    _, err = process.communicate(timeout=120)
    stopped = process.returncode != 0
    if stopped:
        killed = signum == signal.SIGKILL
        assert process.returncode == (-signum if killed else 128 + signum), err
        if not killed:
            assert err.count("\n") == 1
            assert f"train --resume {name}" in err
        finish(start("--resume", name, folder=place))
    assert (place / name / "model.safetensors").read_bytes() == (
        place / "whole" / "model.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in (place / name).iterdir()) == [
        "config.json", "metrics.jsonl", "model.safetensors"
    ]  # fmt: skip
    assert [record["epoch"] for record in records(place / name, "epoch")] == list(range(1, 201))
    losses = [record["loss"] for record in whole]
    assert [record["loss"] for record in records(place / name, "epoch")] == losses
    assert len(records(place / name, "train")) == 1
    return stopped


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_loses_nothing(place, signum):
    assert stop_and_resume(place, f"signal-{signum}", signum, share=0.3)


@pytest.mark.parametrize(
    ("signals", "status", "saved"),
    [
        ([signal.SIGTERM, signal.SIGTERM], 143, True),
        ([signal.SIGINT, signal.SIGINT], 130, False),
    ],
)
def test_a_second_ctrl_c_quits_at_once_and_a_second_sigterm_does_not(
    signals, status, saved, place, monkeypatch
):
    """In this process, where both signals come before the handler acts on the first."""
    monkeypatch.chdir(place)
    quits: list[int] = []

    def leave(status: int) -> None:
        quits.append(status)
        raise SystemExit(status)

    monkeypatch.setattr("mlp_xp.cli.progress.os._exit", leave)
    name = f"twice-{status}"

    class Signals(Callback):
        def on_chunk(self, trainer: Trainer) -> None:
            for signum in signals:
                signal.raise_signal(signum)

    reporter = "mlp_xp.cli.progress.Reporter.on_chunk"
    monkeypatch.setattr(reporter, lambda self, trainer: Signals().on_chunk(trainer))
    arguments = ["train", *TRAIN, "--device", "cpu", "--quiet", "--out", name]
    if saved:
        assert main(arguments) == status
    else:
        with pytest.raises(SystemExit):
            main(arguments)
    assert quits == ([] if saved else [status])
    assert (place / name / "checkpoint.safetensors").exists() == saved


@pytest.mark.full
def test_thirty_runs_stopped_at_random_moments(place):
    chance = random.Random(6)
    stopped = sum(
        stop_and_resume(
            place,
            f"random-{i}",
            chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM]),
            chance.uniform(0, 1),
        )
        for i in range(40)
    )
    assert stopped >= 30


def test_a_full_disk_leaves_the_last_checkpoint_whole(place):
    process = start(*TRAIN, "--out", "full", folder=place)
    while not (place / "full" / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = (place / "full" / "checkpoint.safetensors").read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 1000, len(before) - 1000))

    # The interpreter's own files don't count: only what is written is limited.
    process = start("--resume", "full", "--checkpoint-every", "1", folder=place, preexec_fn=limit)
    _, err = finish(process, status=2)
    assert err.count("\n") == 1
    assert "checkpoint.safetensors: can't be written: File too large" in err
    assert (place / "full" / "checkpoint.safetensors").read_bytes() == before
    assert sorted(path.name for path in (place / "full").iterdir()) == [
        "checkpoint.safetensors", "config.json", "metrics.jsonl"
    ]  # fmt: skip
    finish(start("--resume", "full", folder=place))
    assert (place / "full" / "model.safetensors").read_bytes() == (
        place / "whole" / "model.safetensors"
    ).read_bytes()


def test_a_new_run_refuses_a_folder_with_a_stray_checkpoint(place):
    (place / "stray").mkdir()
    (place / "stray" / "checkpoint.safetensors").write_bytes(b"of another run")
    _, err = finish(start(*TRAIN, "--out", "stray", folder=place), status=2)
    assert "already holds a run (checkpoint.safetensors)" in err


def test_a_run_killed_before_its_first_checkpoint_starts_from_the_beginning(place):
    (place / "early").mkdir()
    (place / "early" / "config.json").write_bytes((place / "whole" / "config.json").read_bytes())
    _, err = finish(start("--resume", "early", folder=place))
    assert "early has no checkpoint yet, so it starts from the beginning" in err
    assert (place / "early" / "model.safetensors").read_bytes() == (
        place / "whole" / "model.safetensors"
    ).read_bytes()


def test_what_cannot_be_resumed_says_why(place):
    (place / "empty").mkdir()
    for arguments, words in (
        (["--resume", "whole"], "this run is finished"),
        (["--resume", "empty"], "config.json: No such file"),
        (["--resume", "whole", "--no-shuffle", "--out", "new"], "leave out --shuffle, --out"),
        (["--resume", "whole", "--lr", "0.1"], "own settings; leave out --lr"),
        (["--checkpoint-every", "soon"], "'soon' is not an interval"),
    ):
        out, err = finish(start(*arguments, folder=place), status=2)
        assert (out, err.count("\n")) == ("", 1)
        assert words in err
