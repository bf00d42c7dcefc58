"""Train a network; without options, on MNIST to over 98 %."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import re
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import mlp_xp
from mlp_xp import checkpoint
from mlp_xp.backend import Resolution
from mlp_xp.checkpoint import CHECKPOINT, MODEL, Saver
from mlp_xp.cli import device, settings
from mlp_xp.cli.settings import CONFIG, Source
from mlp_xp.cli.watch import Metrics, Reporter, Stop, Stopped
from mlp_xp.config import Config
from mlp_xp.errors import InputError
from mlp_xp.evaluation import evaluate
from mlp_xp.feed import parse_bytes
from mlp_xp.training import Run

METRICS = "metrics.jsonl"
LARGE = 2**30  # bytes whose fingerprint takes longer than a checkpoint may
SECONDS = {"s": 1, "m": 60, "h": 3600}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train`."""
    settings.add_arguments(parser)
    device.add_arguments(parser)
    parser.add_argument(
        "--device-memory", type=_bytes, metavar="SIZE",
        help="what the data may take on the GPU, like 2G; more is streamed (half of what is free)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="the run's folder (runs/<data>-<time>)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with a stopped run")
    parser.add_argument(
        "--checkpoint-every", type=_every, default=_every("60s"), metavar="TIME|EPOCHS",
        help="30s, 5m, or a number of epochs (60s)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="results only: no bar, no log lines")


def _every(text: str) -> dict[str, Any]:
    """The Saver's argument that `--checkpoint-every` means."""
    parts = re.fullmatch(r"(\d{1,9})([smh]?)", text)
    if not parts or int(parts[1]) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no interval; write 30s, 5m or 2 (epochs)")
    if parts[2]:
        return {"seconds": int(parts[1]) * SECONDS[parts[2]]}
    return {"epochs": int(parts[1])}


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Load, train, test, and leave a run folder behind; returns the exit status."""
    if arguments.resume:
        folder = arguments.resume
        source, config = _taken_up(folder, arguments)
    else:
        source, config = settings.gather(arguments)
    resolution = device.choose(arguments)
    data = source.load(config)
    training = Run(data, config, resolution.backend, device_memory=arguments.device_memory)
    if not arguments.resume:
        folder = _new_folder(arguments.out, data.name, source, config)
    else:
        _restore(training, folder)
    metrics = Metrics(folder / METRICS)
    metrics.rewind(len(training.history))
    metrics.write("resume" if arguments.resume else "start", **_start_record(training, resolution))
    if not arguments.quiet:
        device.announce(resolution)
    try:
        _train(training, folder, metrics, arguments)
    except Stopped as stopped:
        command = ["python", "-m", "mlp_xp", "train", "--resume", str(folder)]
        command += [] if arguments.device == "auto" else ["--device", arguments.device]
        print(
            f"mlp_xp: stopped in epoch {training.epoch} after {training.rows} rows; go on with: "
            f"{shlex.join(command)}",
            file=sys.stderr,
        )
        return 128 + stopped.signum
    _finish(training, folder, metrics, quiet=arguments.quiet)
    return 0


def _train(training: Run, folder: Path, metrics: Metrics, arguments: argparse.Namespace) -> None:
    if training.data.train.X.nbytes > LARGE:
        _ = training.fingerprint  # it takes its time: before the first checkpoint waits for it
    saver = Saver(folder / CHECKPOINT, **arguments.checkpoint_every)
    with Reporter(training, metrics, quiet=arguments.quiet) as reporter, Stop(saver) as stop:
        training.go([reporter, saver, stop])


def _finish(training: Run, folder: Path, metrics: Metrics, *, quiet: bool) -> None:
    """Model, test, and only then away with the checkpoint: a kill in between can be resumed."""
    which, split = training.data.scored
    result = evaluate(training.network, split)
    if not math.isfinite(result.loss):
        raise InputError(
            f"the loss on the {which} data is {result.loss} after the last step: "
            f"lower --lr ({training.config.lr})"
        )
    checkpoint.save(training.network, folder / MODEL)
    metrics.write(which, accuracy=result.accuracy, loss=result.loss)
    if result.accuracy is None:
        print(f"{which} loss {result.loss:.4f}", flush=True)
    else:
        print(f"{which} accuracy {result.accuracy:.2%}", flush=True)
    checkpoint.discard(folder / CHECKPOINT)
    if not quiet:
        print(f"saved {folder / MODEL}", file=sys.stderr)


def _taken_up(folder: Path, arguments: argparse.Namespace) -> tuple[Source, Config]:
    """Source and Config of the run in a folder, which must not be finished."""
    given = [*settings.chosen(arguments)]
    given += [name for name in ("preset", "config", "out") if getattr(arguments, name)]
    if given:
        raise InputError(
            f"--resume goes on with the run's own settings; leave out {', '.join(given)}"
        )
    if (folder / MODEL).exists() and not (folder / CHECKPOINT).exists():
        raise InputError(f"{folder}: this run is finished; its model is {folder / MODEL}")
    return settings.parse(settings.read(folder / CONFIG))


def _restore(training: Run, folder: Path) -> None:
    """Take up the folder's checkpoint, if there is one, and say what isn't as it was."""
    if not (folder / CHECKPOINT).exists():
        print(f"mlp_xp: {folder} has no checkpoint yet: it begins anew", file=sys.stderr)
        return
    device_before = checkpoint.restore_run(training, folder / CHECKPOINT)
    device_now = training.network.backend.device
    if device_before != device_now:
        print(
            f"mlp_xp: warning: this run was on {device_before} and goes on on {device_now}: "
            "its results will be the same up to rounding, not bit for bit",
            file=sys.stderr,
        )


def _new_folder(out: Path | None, name: str, source: Source, config: Config) -> Path:
    folder = out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if out is not None:
        for entry in (MODEL, METRICS, CONFIG, CHECKPOINT):
            if (out / entry).exists():
                raise InputError(f"{out}: already holds a run ({entry}); name another folder")
    try:
        if out is None:
            folder = _numbered(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: can't be made: {error.strerror}; choose --out") from error
    values = {**asdict(source.resolved()), **config.to_dict()}
    checkpoint.write_whole(folder / CONFIG, (json.dumps(values, indent=2) + "\n").encode())
    return folder


def _numbered(wanted: Path) -> Path:
    """A new folder of that name, or of it and the first number from 2 that is free."""
    folder = wanted
    for number in itertools.count(2):
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            folder = wanted.with_name(f"{wanted.name}_{number}")
    return folder


def _start_record(training: Run, resolution: Resolution) -> dict[str, Any]:
    data = training.data
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {
            "mlp_xp": mlp_xp.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "device": {
            "asked": resolution.asked,
            "used": resolution.backend.device,
            "reason": resolution.reason,
        },
        "data": {
            "name": data.name,
            "train_rows": training.n_rows,
            "test_rows": len(data.test) if data.test else 0,
            "features": data.n_features,
            "classes": data.n_classes,
        },
        "config": training.config.to_dict(),
        "rows_done": training.rows,
        "epochs_done": len(training.history),
    }
