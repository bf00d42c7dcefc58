"""Where `train --resume` goes on, and how to come back there."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from mlp_xp.cli import device, options, tell
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    import argparse

    from mlp_xp.cli.world import Alone
    from mlp_xp.run_settings import RunSettings
    from mlp_xp.runs import RunFolder
    from mlp_xp.training import Trainer


def old_run(
    arguments: argparse.Namespace, folder: RunFolder, world: Alone
) -> tuple[Trainer, RunSettings]:
    """A trainer that is where a run's folder says, and its settings."""
    from mlp_xp.training import Trainer, load_model

    settings = options.resumed_settings(arguments, folder.read_settings())
    selected = device.select(arguments, world.place)
    config = settings.config
    if world.size > 1 and "threads" not in options.given_settings(arguments):
        fewest = min(config.threads or world.threads(), world.threads())
        config = replace(config, threads=fewest)  # those of the run may have been for fewer ranks
    start = load_model(folder.start, selected) if folder.start.exists() else None
    data = settings.source.load(config.objective, like=start, seed=config.seed)
    world.meet()
    trainer = Trainer(data, config, selected, start, arguments.device_memory, world.communicator)
    settings = replace(settings, config=trainer.config)  # threads, of an older run
    old = folder.read_settings()
    _restore(trainer, folder, settings, old, quiet=arguments.quiet)
    if settings.to_dict() != old.to_dict() and world.rank == 0:
        folder.write_settings(settings)
    return trainer, settings


def _restore(
    trainer: Trainer, folder: RunFolder, settings: RunSettings, old: RunSettings, *, quiet: bool
) -> None:
    """Load the folder's checkpoint, if any, and report what differs from the run before."""
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


def tell_how(
    trainer: Trainer, folder: RunFolder, arguments: argparse.Namespace, world: Alone
) -> None:
    """Print where a training was stopped, and the command that continues it."""
    command = ["mpiexec", "-n", str(world.size)] if world.size > 1 else []
    command += ["python", "-m", "mlp_xp", "train", "--resume", str(folder.path)]
    command += ["--distributed"] if world.size > 1 else []
    command += [] if arguments.device == "auto" else ["--device", arguments.device]
    place = f"after epoch {len(trainer.history)}"
    if trainer.rows:
        place = f"in epoch {trainer.epoch} after {trainer.rows} rows"
    tell(f"stopped {place}; continue with: {shlex.join(command)}")
