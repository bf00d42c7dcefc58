"""The command `train`."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlp_xp.cli.world import Alone
    from mlp_xp.run_settings import RunSettings
    from mlp_xp.runs import RunFolder
    from mlp_xp.training import Trainer
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
        help="stream larger data, like 2G (half the free memory)",
    )  # fmt: skip
    groups["device"].add_argument(
        "--distributed",
        action="store_true",
        help="share each step between the processes of mpiexec",
    )
    parser.set_defaults(world=None)  # with --distributed, a World
    add_help(groups["run"])


def run(arguments: argparse.Namespace) -> int:
    """Train a network, evaluate it, and leave a run folder; returns the exit status."""
    from mlp_xp.cli.world import Alone, launched

    if arguments.world is not None:
        return _run(arguments, arguments.world)
    rank, size = launched()
    if size > 1 and rank == 0:
        tell(
            f"warning: mpiexec has started {size} processes, each of which trains a network of its "
            "own; to share one training, add --distributed"
        )
    return _run(arguments, Alone())


def _run(arguments: argparse.Namespace, world: Alone) -> int:
    """The same on one of some ranks, of which the first has the folder."""
    from mlp_xp.cli.resume import old_run
    from mlp_xp.runs import RunFolder
    from mlp_xp.training import save_model

    if arguments.resume:
        folder = RunFolder(arguments.resume)
        with folder.reopen() if world.rank == 0 else nullcontext():
            trainer, settings = old_run(arguments, folder, world)
            if world.rank:
                return _follow(trainer, world)
            return _train(trainer, folder, settings, arguments, world)
    trainer, settings, recipe = _new_run(arguments, world)
    if world.rank:
        return _follow(trainer, world)
    with RunFolder.create(arguments.out, trainer.data.name, settings) as folder:
        if settings.init_from is not None:
            save_model(trainer.network, folder.start)
        if not arguments.quiet:
            for line in (*trainer.data.notes, *recipe):
                tell(f"{trainer.data.name}: {line}")
        return _train(trainer, folder, settings, arguments, world)


def _new_run(arguments: argparse.Namespace, world: Alone) -> tuple[Trainer, RunSettings, list[str]]:
    """A trainer of the data and the settings on the command line, and which recipe they follow."""
    from mlp_xp.cli.progress import reading_bar
    from mlp_xp.data import DataSource
    from mlp_xp.run_settings import SOURCE_FIELDS, RunSettings
    from mlp_xp.training import SETTINGS, Config, Trainer, config_for, load_model
    from mlp_xp.training.recipes import describe
    from mlp_xp.training.setup import decided_by
    from mlp_xp.training.start import start_from, wanted_schema

    given = options.read_settings(arguments)
    selected = device.select(arguments, world.place)
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
        settings["threads"] = world.threads()
    complete = arguments.preset or arguments.config
    config = Config(**settings) if complete else config_for(data, arguments.recipe, **settings)
    recipe = [] if complete else [describe(data, config, arguments.recipe)]
    world.meet()
    communicator = world.communicator
    trainer = Trainer(data, config, selected, network, arguments.device_memory, communicator)
    every = given.get("checkpoint_every", RunSettings.checkpoint_every)
    log = tuple(given.get("log", ()))
    own = (every, given.get("init_from"), log, data.notes)
    return trainer, RunSettings(source, trainer.config, *own), recipe


def _train(
    trainer: Trainer,
    folder: RunFolder,
    settings: RunSettings,
    arguments: argparse.Namespace,
    world: Alone,
) -> int:
    """Train to the end, or until a signal; returns the exit status."""
    from mlp_xp.cli.progress import Reporter, SignalHandler
    from mlp_xp.cli.resume import tell_how
    from mlp_xp.runs import MetricsLogger
    from mlp_xp.training import Checkpointer

    folder.rewind_metrics(len(trainer.history))
    folder.log_start(trainer, resumed=bool(arguments.resume))
    if trainer.data.train.X.nbytes > LARGE_DATA:
        _ = trainer.fingerprint()  # now, so that the first checkpoint doesn't wait for it
    _announce(trainer, world, quiet=arguments.quiet)
    interval = parse_interval(settings.checkpoint_every)
    checkpointer = Checkpointer(folder.checkpoint, **interval)
    logs = folder.logs(settings.log)
    world.meet()
    with (
        SignalHandler() as signals,
        Reporter(trainer, signals, quiet=arguments.quiet) as reporter,
    ):
        trainer.fit([MetricsLogger(folder), *logs, checkpointer, signals, reporter])
        if not trainer.finished:  # where a second SIGTERM is ignored
            checkpointer.save(trainer)
            world.meet()
    if not trainer.finished:
        tell_how(trainer, folder, arguments, world)
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


def _follow(trainer: Trainer, world: Alone) -> int:
    """The same on a rank that isn't the first, which writes and tells."""
    from mlp_xp.cli.progress import SignalHandler

    world.meet()
    with SignalHandler() as signals:
        trainer.fit([signals])
        if not trainer.finished:
            world.meet()  # the checkpoint is written
    return 0 if trainer.finished else 128 + signals.stopped_by


def _announce(trainer: Trainer, world: Alone, *, quiet: bool) -> None:
    """Print which device a training is on, and which processes share it."""
    from mlp_xp.devices.cores import usable_cores

    if not quiet:
        device.announce(trainer.network.device, trainer.config.batch_size)
    if not quiet and (members := world.members()):
        tell(members)
        if world.size > 1 and not trainer.network.device.on_host:
            tell(f"their sums go by {trainer.team.transport}")
    idle = world.size - trainer.config.batch_size
    if idle > 0:
        tell(
            f"warning: --batch-size {trainer.config.batch_size} leaves {idle} of the "
            f"{world.size} ranks without work"
        )
    workers, cores = getattr(trainer.train_step, "size", 1), usable_cores()
    if workers > cores:
        tell(
            f"warning: {workers} processes share each step, but only {cores} of the cores can be "
            f"used here; --threads {cores} is faster"
        )
    elif workers > 1 and not quiet:
        tell(f"{workers} processes share each step")


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
