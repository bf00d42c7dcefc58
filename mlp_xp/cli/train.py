"""The command `train`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device, options
from mlp_xp.cli.options import argument_type, parse_bytes, parse_interval
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from mlp_xp.data import DataSource
    from mlp_xp.runs import RunFolder
    from mlp_xp.training import Config, Trainer

LARGE_DATA = 2**30
"""Bytes from which a fingerprint takes longer than writing a checkpoint should."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    groups = options.add_groups(parser)
    run = groups["run"]
    run.add_argument(
        "--out", type=Path, metavar="PATH", help="the run's new folder (runs/<data>-<time>)"
    )
    run.add_argument(
        "--resume", type=Path, metavar="RUN", help="the folder of a stopped run to continue"
    )
    run.add_argument(
        "--checkpoint-every", type=argument_type(parse_interval), default="60s", metavar="TIME",
        help="30s, 5m, 2h, or a number of epochs (60s)",
    )  # fmt: skip
    run.add_argument(
        "--quiet", action="store_true", help="print results only, without bar and notices"
    )
    device.add_arguments(groups["device"])
    groups["device"].add_argument(
        "--device-memory", type=argument_type(parse_bytes), metavar="SIZE",
        help="stream data larger than this, like 2G (half of the free GPU memory)",
    )  # fmt: skip
    add_help(groups["run"])


def run(arguments: argparse.Namespace) -> int:
    """Train a network, evaluate it, and leave a run folder; returns the exit status."""
    from mlp_xp.runs import RunFolder
    from mlp_xp.training import Trainer

    if arguments.resume:
        folder = RunFolder(arguments.resume)
        source, config = _settings_to_resume(folder, arguments)
    else:
        source, config = options.read_settings(arguments)
    selected = device.select(arguments)
    data = source.load(config.objective)
    trainer = Trainer(data, config, selected, device_memory=arguments.device_memory)
    if arguments.resume:
        _restore(trainer, folder)
    else:
        folder = RunFolder.create(arguments.out, data.name, source, config)
    folder.rewind_metrics(len(trainer.history))
    folder.log_start(trainer, resumed=bool(arguments.resume))
    if not arguments.quiet:
        device.announce(selected)
    stopped_by = _fit(trainer, folder, arguments)
    if stopped_by:
        _print_how_to_resume(trainer, folder, arguments)
        return 128 + stopped_by
    _finish(trainer, folder, quiet=arguments.quiet)
    return 0


def _settings_to_resume(
    folder: RunFolder, arguments: argparse.Namespace
) -> tuple[DataSource, Config]:
    """The settings of the run in the folder. Raises InputError if the command line gives others."""
    given = [*options.given_settings(arguments)]
    given += [name for name in ("preset", "config", "out") if getattr(arguments, name)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"--resume continues with the run's own settings; leave out {names}")
    folder.check_unfinished()
    return folder.read_settings()


def _restore(trainer: Trainer, folder: RunFolder) -> None:
    """Load the folder's checkpoint, if any, and report a missing one or another device."""
    previous, now = folder.restore(trainer), trainer.network.device.name
    if previous is None:
        print(
            f"mlp_xp: {folder.path} has no checkpoint yet, so it starts from the beginning",
            file=sys.stderr,
        )
    elif previous != now:
        print(
            f"mlp_xp: warning: this run was on {previous} and continues on {now}: "
            "its results will be the same up to rounding, not bit for bit",
            file=sys.stderr,
        )


def _fit(trainer: Trainer, folder: RunFolder, arguments: argparse.Namespace) -> int | None:
    """Train to the end, or until a signal; returns the signal."""
    from mlp_xp.cli.progress import Reporter, SignalHandler
    from mlp_xp.runs import MetricsLogger
    from mlp_xp.training import Checkpointer

    if trainer.data.train.X.nbytes > LARGE_DATA:
        _ = trainer.fingerprint  # now, so that the first checkpoint doesn't wait for it
    checkpointer = Checkpointer(folder.checkpoint, **arguments.checkpoint_every)
    with (
        Reporter(trainer, quiet=arguments.quiet) as reporter,
        SignalHandler(checkpointer) as signals,
    ):
        trainer.fit([reporter, MetricsLogger(folder), checkpointer, signals])
    return signals.stopped_by


def _print_how_to_resume(
    trainer: Trainer, folder: RunFolder, arguments: argparse.Namespace
) -> None:
    command = ["python", "-m", "mlp_xp", "train", "--resume", str(folder.path)]
    command += [] if arguments.device == "auto" else ["--device", arguments.device]
    print(
        f"mlp_xp: stopped in epoch {trainer.epoch} after {trainer.rows} rows; continue with: "
        f"{shlex.join(command)}",
        file=sys.stderr,
    )


def _finish(trainer: Trainer, folder: RunFolder, *, quiet: bool) -> None:
    split_name, result = folder.finish(trainer)
    if result.accuracy is None:
        print(f"{split_name} loss {result.loss:.4f}", flush=True)
    else:
        print(f"{split_name} accuracy {result.accuracy:.2%}", flush=True)
    if not quiet:
        print(f"saved {folder.model}", file=sys.stderr)
