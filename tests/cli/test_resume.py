"""A run that was stopped, however it was stopped, ends in the same bits as one that wasn't."""

import json
import random
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from processes import ENVIRONMENT, run_python

from mlp_xp import Callback, Config, Dataset, InputError, Split, Trainer
from mlp_xp.cli import main
from mlp_xp.devices import Device
from mlp_xp.nn.schedules import SCHEDULES, Constant
from mlp_xp.training import load_checkpoint, save_checkpoint
from mlp_xp.training.setup import CHUNK_ROWS

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
def test_resume_from_any_moment_gives_the_same_bits(
    settings, device: Device, data, tmp_path, monkeypatch
):
    monkeypatch.setattr("mlp_xp.training.setup.CHUNK_ROWS", 256)
    data = replace(data, train=data.train.subset(np.arange(300)))
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
    with pytest.raises(InputError, match="the data 'bytes' isn't what the run was trained on"):
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


BYTES = ("--data", "bytes.npz", "--recipe", "image", "--test", "0")
TRAIN = (*BYTES, "--hidden", "60", "--epochs", "200", "--checkpoint-every", "1")


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
            recipe, stopped_at = err.splitlines()
            assert recipe.startswith("mlp_xp: bytes: recipe image (2,348 rows of 12 bytes): ")
            assert f"train --resume {name}" in stopped_at
        finish(start("--resume", name, folder=place))
    assert (place / name / "model.safetensors").read_bytes() == (
        place / "whole" / "model.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in (place / name).iterdir()) == [
        "checkpoint.safetensors", "config.json", "metrics.jsonl", "model.safetensors"
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
        (["--resume", "empty"], "empty: no run is in there"),
        (["--resume", "whole", "--no-shuffle", "--out", "new"], "leave out --shuffle, --out"),
        (["--resume", "whole", "--lr", "0.1"], "own settings; leave out --lr"),
        (["--checkpoint-every", "soon"], "'soon' is not an interval"),
    ):
        out, err = finish(start(*arguments, folder=place), status=2)
        assert (out, err.count("\n")) == ("", 1)
        assert words in err


def test_two_processes_never_train_one_run(place):
    """The second is refused, and the lock goes with its holder, however that ends."""
    first = start(*TRAIN, "--out", "locked", folder=place)
    wait_for_checkpoint(place / "locked", first)
    _, err = finish(start("--resume", "locked", folder=place), status=2)
    assert (
        err == "mlp_xp: error: locked: another process is writing there; wait until it has ended\n"
    )
    first.kill()
    first.communicate()
    finish(start("--resume", "locked", folder=place))
    assert (place / "locked" / "model.safetensors").read_bytes() == (
        place / "whole" / "model.safetensors"
    ).read_bytes()


def wait_for_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    while not (run / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)


def stopped_run(place: Path, name: str, *options: object) -> Path:
    """A run that was killed after its first checkpoint."""
    process = start(*TRAIN, "--out", name, *options, folder=place)
    wait_for_checkpoint(place / name, process)
    process.kill()
    process.communicate()
    return place / name


def test_how_often_to_save_is_kept_over_resume(place):
    run = stopped_run(place, "interval")
    settings = json.loads((run / "config.json").read_text())
    assert settings["checkpoint_every"] == "1"
    finish(start("--resume", "interval", "--checkpoint-every", "90m", folder=place))
    assert json.loads((run / "config.json").read_text())["checkpoint_every"] == "90m"


def test_data_that_has_moved_can_be_named(place):
    run = stopped_run(place, "moved")
    (place / "new").mkdir()
    with np.load(place / "bytes.npz") as arrays:
        np.savez_compressed(place / "new" / "data.npz", **arrays)
        X = arrays["X"].copy()
        X[7, 3] ^= 1
        np.savez(place / "other.npz", X=X, y=arrays["y"])
    before = (run / "config.json").read_bytes()
    _, err = finish(start("--resume", "moved", "--data", "other.npz", folder=place), status=2)
    assert "the data 'other' isn't what the run was trained on, or has changed since" in err
    assert (run / "config.json").read_bytes() == before
    finish(start("--resume", "moved", "--data", "new/data.npz", folder=place))
    assert json.loads((run / "config.json").read_text())["data"] == str(place / "new" / "data.npz")
    assert (run / "model.safetensors").read_bytes() == (
        place / "whole" / "model.safetensors"
    ).read_bytes()


def test_data_that_has_gone_can_be_named(place):
    np.savez(place / "moving.npz", X=np.eye(4, dtype=np.uint8), y=np.arange(4) % 2)
    options = ("--data", "moving.npz", "--validation", "moving.npz", "--epochs", "1")
    finish(start(*options, "--out", "left", folder=place))
    (place / "moving.npz").rename(place / "moved.npz")
    left = f"{place / 'moving.npz'}: no such file or folder; if it has moved, give"
    resume = ("--resume", "left", "--epochs", "2")
    _, err = finish(start(*resume, folder=place), status=2)
    assert err == f"mlp_xp: error: {left} --data\n"
    done = run_python("evaluate", "left", folder=place)
    assert (done.returncode, done.stderr) == (2, err)
    typo = ("--data", "typo.npz", "--validation", "moved.npz")
    _, err = finish(start(*resume, *typo, folder=place), status=2)
    assert err == "mlp_xp: error: typo.npz: no such file or folder; check the path\n"
    _, err = finish(start(*resume, "--data", "moved.npz", folder=place), status=2)
    assert err == f"mlp_xp: error: {left} --validation\n"
    finish(start(*resume, "--data", "moved.npz", "--validation", "moved.npz", folder=place))


def test_without_a_checkpoint_nothing_says_whether_data_is_the_same(place):
    (place / "unknown").mkdir()
    (place / "unknown" / "config.json").write_bytes((place / "whole" / "config.json").read_bytes())
    _, err = finish(start("--resume", "unknown", "--data", "mnist", folder=place), status=2)
    assert "has no checkpoint yet, so nothing says whether the data is the same" in err


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_finished_run_can_be_extended(schedule, place):
    """With a constant rate, to the bits of a run that was as long from the start."""
    short, long = f"short-{schedule}", f"long-{schedule}"
    options = (*BYTES, "--hidden", "9", "--schedule", schedule,
               "--optimizer", "adam", "--lr", "0.002")  # fmt: skip
    finish(start(*options, "--epochs", "3", "--out", short, folder=place))
    finish(start(*options, "--epochs", "5", "--out", long, folder=place))
    _, err = finish(start("--resume", short, folder=place), status=2)
    assert "this run is finished; its model is" in err
    assert "--epochs above 3" in err
    _, err = finish(start("--resume", short, "--epochs", "5", folder=place))
    rates = {"constant": "0.002 after 0.002", "linear": r"0.0008 after 9.009e-06"}
    assert f"5 epochs in place of 3: the schedule {schedule} now spans them all" in err
    assert f"the learning rate goes on at {rates[schedule]}" in err
    models = [(place / name / "model.safetensors").read_bytes() for name in (short, long)]
    assert (models[0] == models[1]) == (schedule == "constant")
    assert [record["epoch"] for record in records(place / short, "epoch")] == [1, 2, 3, 4, 5]
    assert len(records(place / short, "train")) == 1
    assert json.loads((place / short / "config.json").read_text())["epochs"] == 5
    _, err = finish(start("--resume", short, "--epochs", "6", "--quiet", folder=place))
    assert err == ""
    _, err = finish(start("--resume", short, "--epochs", "4", folder=place), status=2)
    assert "6 epochs are begun; --epochs must be at least that" in err


def test_extended_to_where_it_was_stopped(place):
    """After the last chunk of its new last epoch, with a warmup of all epochs: no step is left."""
    options = (*BYTES, "--hidden", "9", "--epochs", "6", "--warmup", "6")
    finish(start(*options, "--out", "warm", "--checkpoint-every", "1", folder=place))
    finish(start("--resume", "warm", "--epochs", "8", folder=place))
    run = stopped_run(place, "cut", "--warmup", "200")
    (epoch,) = {record["epoch"] for record in records(run, "epoch")[-1:]}
    _, err = finish(start("--resume", "cut", "--epochs", str(epoch + 1), folder=place))
    assert f"{epoch + 1} epochs in place of 200" in err


def test_a_run_that_stopped_early_can_be_extended(place):
    options = (*BYTES, "--hidden", "40", "--validation", "0.2", "--lr", "3",
               "--epochs", "60", "--schedule", "constant")  # fmt: skip
    finish(start(*options, "--patience", "2", "--out", "early-2", folder=place))
    finish(start(*options, "--patience", "6", "--out", "early-6", folder=place))
    done = len(records(place / "early-2", "epoch"))
    assert done < len(records(place / "early-6", "epoch"))
    _, err = finish(start("--resume", "early-2", "--epochs", "70", folder=place), status=2)
    assert "It can be extended with --patience above 2" in err
    _, err = finish(start("--resume", "early-2", "--patience", "1", folder=place), status=2)
    assert "It can be extended with --patience above 2" in err
    finish(start("--resume", "early-2", "--patience", "6", folder=place))
    models = [(place / name / "model.safetensors").read_bytes() for name in ("early-2", "early-6")]
    assert models[0] == models[1]


def test_a_run_that_diverges_gives_its_best_network(place, monkeypatch, capsys):
    """In this process, as the schedule is of a user's own."""
    monkeypatch.chdir(place)
    monkeypatch.setitem(SCHEDULES, "explosion", Explosion)
    options = [*BYTES, "--hidden", "9", "--validation", "0.2", "--patience", "5",
               "--schedule", "explosion", "--epochs", "6", "--device", "cpu"]  # fmt: skip
    assert main(["train", *options, "--out", "explosion", "--checkpoint-every", "2"]) == 0
    printed = capsys.readouterr()
    (warning,) = (line for line in printed.err.splitlines() if "warning" in line)
    assert "the loss became" in warning
    assert re.search("this is the network of epoch [123],", warning)
    epochs = records(place / "explosion", "epoch")
    assert len(epochs) == 3
    best = (place / "explosion" / "model.safetensors").read_bytes()
    (place / "explosion" / "model.safetensors").unlink()  # as if it had been killed there
    assert main(["train", "--resume", "explosion", "--device", "cpu"]) == 0
    assert (place / "explosion" / "model.safetensors").read_bytes() == best


class Explosion(Constant):
    """A good learning rate for half of the run, then one without measure."""

    def factor(self, step: int, total: int) -> float:
        return 1.0 if step < total // 2 else 1e30
