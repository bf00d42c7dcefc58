"""The command `train`."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device, note, options, tell
from mlp_xp.cli.options import (
    argument_type,
    check_interval,
    parse_bytes,
    parse_interval,
    parse_path,
)
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from mlp_xp.runs import RunFolder, RunSettings
    from mlp_xp.training import Trainer

LARGE_DATA = 2**30
"""Bytes from which a fingerprint takes longer than writing a checkpoint should."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    groups = options.add_groups(parser)
    run = groups["run"]
    run.add_argument(
        "--out",
        type=argument_type(parse_path),
        metavar="PATH",
        help="the run's new folder (runs/<data>-<time>)",
    )
    run.add_argument(
        "--resume",
        type=argument_type(parse_path),
        metavar="RUN",
        help="the folder of a run to continue, or to extend with --epochs",
    )
    run.add_argument(
        "--checkpoint-every", type=argument_type(check_interval), metavar="TIME",
        help="30s, 5m, 2h, or a number of epochs (60s)",
    )  # fmt: skip
    run.add_argument("--quiet", action="store_true", help="no bar and no notices on standard error")
    device.add_arguments(groups["device"])
    groups["device"].add_argument(
        "--device-memory", type=argument_type(parse_bytes), metavar="SIZE",
        help="stream data larger than this, like 2G (half of the free GPU memory)",
    )  # fmt: skip
    add_help(groups["run"])


def run(arguments: argparse.Namespace) -> int:
    """Train a network, evaluate it, and leave a run folder; returns the exit status."""
    from mlp_xp.runs import RunFolder

    if arguments.resume:
        with RunFolder(arguments.resume).reopen() as folder:
            settings = options.resumed_settings(arguments, folder.read_settings())
            trainer = _trainer(settings, arguments)
            _restore(trainer, folder, settings, quiet=arguments.quiet)
            return _train(trainer, folder, settings, arguments)
    settings = options.read_settings(arguments)
    trainer = _trainer(settings, arguments)
    with RunFolder.create(arguments.out, trainer.data.name, settings) as folder:
        return _train(trainer, folder, settings, arguments)


def _trainer(settings: RunSettings, arguments: argparse.Namespace) -> Trainer:
    from mlp_xp.training import Trainer

    selected = device.select(arguments)
    data = settings.source.load(settings.config.objective)
    return Trainer(data, settings.config, selected, device_memory=arguments.device_memory)


def _restore(trainer: Trainer, folder: RunFolder, settings: RunSettings, *, quiet: bool) -> None:
    """Load the folder's checkpoint, if any, and report what differs from the run before."""
    old = folder.read_settings()
    previous, now = folder.restore(trainer), trainer.network.device.name
    if previous is None:
        if settings.source.absolute() != old.source.absolute():
            raise InputError(
                f"{folder.path}: has no checkpoint yet, so nothing says whether the data is the "
                f"same; start a new run, with --config {folder.config}"
            )
        if not quiet:
            tell(f"{folder.path} has no checkpoint yet, so it starts from the beginning")
    elif previous != now:
        tell(
            f"warning: this run was on {previous} and continues on {now}: "
            "its results will be the same up to rounding, not bit for bit"
        )
    epochs = settings.config.epochs
    begun = trainer.epoch + (trainer.rows == trainer.n_rows)
    extended = previous is not None and epochs != old.config.epochs
    if extended and begun <= epochs and not quiet:
        last, rate = trainer.learning_rate, trainer.learning_rates(1)[0]
        tell(
            f"{epochs} epochs in place of {old.config.epochs}: the schedule "
            f"{settings.config.schedule} now spans them all, so the learning rate goes on at "
            f"{rate:.4g} after {last:.4g}"
        )
    if settings.to_dict() != old.to_dict():
        folder.write_settings(settings)


def _train(
    trainer: Trainer, folder: RunFolder, settings: RunSettings, arguments: argparse.Namespace
) -> int:
    """Train to the end, or until a signal; returns the exit status."""
    from mlp_xp.cli.progress import Reporter, SignalHandler
    from mlp_xp.runs import MetricsLogger
    from mlp_xp.training import Checkpointer

    folder.rewind_metrics(len(trainer.history))
    folder.log_start(trainer, resumed=bool(arguments.resume))
    if not arguments.quiet:
        device.announce(trainer.network.device)
    if trainer.data.train.X.nbytes > LARGE_DATA:
        _ = trainer.fingerprint()  # now, so that the first checkpoint doesn't wait for it
    interval = parse_interval(settings.checkpoint_every)
    checkpointer = Checkpointer(folder.checkpoint, **interval)
    with (
        SignalHandler(checkpointer) as signals,
        Reporter(trainer, signals, quiet=arguments.quiet) as reporter,
    ):
        trainer.fit([MetricsLogger(folder), checkpointer, signals, reporter])
    if not trainer.finished:
        _tell_how_to_resume(trainer, folder, arguments)
        reporter.raise_failure()
        return 128 + signals.stopped_by
    _finish(trainer, folder, quiet=arguments.quiet)
    return 0


def _tell_how_to_resume(trainer: Trainer, folder: RunFolder, arguments: argparse.Namespace) -> None:
    command = ["python", "-m", "mlp_xp", "train", "--resume", str(folder.path)]
    command += [] if arguments.device == "auto" else ["--device", arguments.device]
    place = f"after epoch {len(trainer.history)}"
    if trainer.rows:
        place = f"in epoch {trainer.epoch} after {trainer.rows} rows"
    tell(f"stopped {place}; continue with: {shlex.join(command)}")


def _finish(trainer: Trainer, folder: RunFolder, *, quiet: bool) -> None:
    split_name, result = folder.finish(trainer)
    if result.accuracy is None:
        print(f"{split_name} loss {result.loss:.4f}", flush=True)
    else:
        print(f"{split_name} accuracy {result.accuracy:.2%}", flush=True)
    if not quiet:
        note(f"saved {folder.model}")
