"""The command `train`."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device, note, options, tell
from mlp_xp.cli.options import (
    argument_type,
    check_interval,
    parse_bytes,
    parse_interval,
    parse_logs,
    parse_path,
)
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlp_xp.data import Dataset
    from mlp_xp.devices import Device
    from mlp_xp.nn import Network
    from mlp_xp.run_settings import RunSettings
    from mlp_xp.runs import RunFolder
    from mlp_xp.training import Config, Trainer
    from mlp_xp.training.logs import Log

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
    run.add_argument(
        "--log", type=argument_type(parse_logs), metavar="A,B",
        help="also log to metrics.csv, or for TensorBoard: csv|tensorboard (none)",
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
    from mlp_xp.training import load_model, save_model

    if arguments.resume:
        with RunFolder(arguments.resume).reopen() as folder:
            settings = options.resumed_settings(arguments, folder.read_settings())
            selected = device.select(arguments)
            config = settings.config
            start = load_model(folder.start, selected) if folder.start.exists() else None
            data = settings.source.load(config.objective, like=start, seed=config.seed)
            trainer = _trainer(data, config, start, selected, arguments)
            settings = replace(settings, config=trainer.config)  # threads, of an older run
            _restore(trainer, folder, settings, quiet=arguments.quiet)
            return _train(trainer, folder, settings, arguments)
    trainer, settings, recipe = _new_run(arguments)
    with RunFolder.create(arguments.out, trainer.data.name, settings) as folder:
        if settings.init_from is not None:
            save_model(trainer.network, folder.start)
        if not arguments.quiet:
            for line in (*trainer.data.notes, *recipe):
                tell(f"{trainer.data.name}: {line}")
        return _train(trainer, folder, settings, arguments)


def _new_run(arguments: argparse.Namespace) -> tuple[Trainer, RunSettings, list[str]]:
    """A trainer of the data and the settings on the command line, and which recipe they follow."""
    from mlp_xp.cli.progress import reading_bar
    from mlp_xp.data import DataSource
    from mlp_xp.devices.blas import default_threads
    from mlp_xp.run_settings import SOURCE_FIELDS, RunSettings
    from mlp_xp.training import SETTINGS, Config, config_for, load_model
    from mlp_xp.training.recipes import describe
    from mlp_xp.training.setup import decided_by
    from mlp_xp.training.start import start_from, wanted_schema

    given = options.read_settings(arguments)
    selected = device.select(arguments)
    progress = None if arguments.quiet else partial(reading_bar, bars=[])
    source = DataSource(**{k: v for k, v in given.items() if k in SOURCE_FIELDS})
    settings = {name: given[name] for name in SETTINGS if name in given}
    seed, network = given.get("seed", 0), None
    if given.get("init_from") is not None:  # which a run's config.json has as null
        network = load_model(given["init_from"], selected)
        data = source.load(
            network.objective_name, like=wanted_schema(network), seed=seed, progress=progress
        )
        network, data = start_from(network, data, seed)
        settings = {**decided_by(network), **settings}
    else:
        data = source.load(given.get("objective"), seed=seed, progress=progress)
    if settings.get("threads") is None:  # told by number, so that the run goes on with it anywhere
        settings["threads"] = default_threads()
    complete = arguments.preset or arguments.config
    config = Config(**settings) if complete else config_for(data, arguments.recipe, **settings)
    recipe = [] if complete else [describe(data, config, arguments.recipe)]
    trainer = _trainer(data, config, network, selected, arguments)
    every = given.get("checkpoint_every", RunSettings.checkpoint_every)
    log = tuple(given.get("log", ()))
    own = (every, given.get("init_from"), log, data.notes)
    return trainer, RunSettings(source, trainer.config, *own), recipe


def _trainer(
    data: Dataset,
    config: Config,
    network: Network | None,
    selected: Device,
    arguments: argparse.Namespace,
) -> Trainer:
    from mlp_xp.training import Trainer

    return Trainer(data, config, selected, network, arguments.device_memory)


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
    on_cpu = now == "cpu"  # each of the two matters to one kind of device alone
    value, old_value = (
        config.threads if on_cpu else config.graph for config in (settings.config, old.config)
    )
    if previous == now and value != old_value is not None:
        changed = f"threads {value} in place of {old_value}"
        if not on_cpu:
            changed = (
                "--graph in place of --no-graph" if value else "--no-graph in place of --graph"
            )
        tell(f"warning: {changed}: the results may be the same up to rounding, not bit for bit")
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
    from mlp_xp.devices.cores import usable_cores
    from mlp_xp.runs import MetricsLogger
    from mlp_xp.training import Checkpointer

    folder.rewind_metrics(len(trainer.history))
    folder.log_start(trainer, resumed=bool(arguments.resume))
    if not arguments.quiet:
        device.announce(trainer.network.device, trainer.config.batch_size)
    if trainer.data.train.X.nbytes > LARGE_DATA:
        _ = trainer.fingerprint()  # now, so that the first checkpoint doesn't wait for it
    workers, cores = getattr(trainer.train_step, "size", 1), usable_cores()
    if workers > cores:
        tell(
            f"warning: {workers} processes share each step, but only {cores} of the cores can be "
            f"used here; --threads {cores} is faster"
        )
    elif workers > 1 and not arguments.quiet:
        tell(f"{workers} processes share each step")
    interval = parse_interval(settings.checkpoint_every)
    checkpointer = Checkpointer(folder.checkpoint, **interval)
    logs = folder.logs(settings.log)
    with (
        SignalHandler(checkpointer) as signals,
        Reporter(trainer, signals, quiet=arguments.quiet) as reporter,
    ):
        trainer.fit([MetricsLogger(folder), *logs, checkpointer, signals, reporter])
    if not trainer.finished:
        _tell_how_to_resume(trainer, folder, arguments)
        reporter.raise_failure()
        return 128 + signals.stopped_by
    best, done = trainer.early_stopping.best_epoch, len(trainer.history)
    if done < trainer.config.epochs and not arguments.quiet:
        tell(
            f"stopped early, after epoch {done}: the validation loss was lowest in epoch {best}, "
            "whose weights are kept"
        )
    _finish(trainer, folder, logs, quiet=arguments.quiet)
    return 0


def _tell_how_to_resume(trainer: Trainer, folder: RunFolder, arguments: argparse.Namespace) -> None:
    command = ["python", "-m", "mlp_xp", "train", "--resume", str(folder.path)]
    command += [] if arguments.device == "auto" else ["--device", arguments.device]
    place = f"after epoch {len(trainer.history)}"
    if trainer.rows:
        place = f"in epoch {trainer.epoch} after {trainer.rows} rows"
    tell(f"stopped {place}; continue with: {shlex.join(command)}")


def _finish(trainer: Trainer, folder: RunFolder, logs: Sequence[Log], *, quiet: bool) -> None:
    from mlp_xp.cli.results import summary
    from mlp_xp.training import find_doubts

    split_name, result = folder.finish(trainer, logs)
    names = trainer.network.schema.outputs(trainer.data.n_outputs)
    print(summary(split_name, result, names), flush=True)
    for doubt in find_doubts(trainer, result, names):
        tell(f"warning: {doubt}")
    if not quiet:
        note(f"saved {folder.model}")
