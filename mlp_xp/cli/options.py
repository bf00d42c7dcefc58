"""The options of `train` that determine what is trained, and on which data."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlp_xp.errors import InputError
from mlp_xp.training.config import PRESETS, SETTINGS

if TYPE_CHECKING:
    from mlp_xp.run_settings import RunSettings
    from mlp_xp.training.settings import Setting

T = TypeVar("T")

GROUPS = ("data", "network", "optimization", "regularization", "run", "device")
"""The groups of options in the help of `train`, in its order."""
RESUMABLE = (
    "data", "validation", "epochs", "patience", "checkpoint_every", "log", "threads", "graph",
)  # fmt: skip
"""The settings that --resume may change."""
NAMES = (
    "data", "label", "drop", "weight", "test", "size", "init_from", "checkpoint_every", "log",
    *SETTINGS,
)  # fmt: skip
"""The options that are settings of a run."""
BY_RECIPE = (
    "standardize", "objective", "epochs", "optimizer", "lr", "weight_decay", "validation",
    "patience",
)  # fmt: skip
"""The settings whose defaults follow from the data."""
RECIPES = ("image", "tabular")
"""As training.recipes has them, which would import NumPy for a help page."""
LOGS = ("csv", "tensorboard")
"""The same for training.logs."""
SECONDS = {"s": 1, "m": 60, "h": 3600}


def add_groups(parser: argparse.ArgumentParser) -> dict[str, argparse._ArgumentGroup]:
    """Add the groups, with an option for each setting. Returns the groups by name."""
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    data, run = groups["data"], groups["run"]
    data.add_argument(
        "--data", metavar="PATH", help="mnist, or a file or folder with a data set (mnist)"
    )
    data.add_argument(
        "--label", metavar="NAME", help="the column to predict, in a table (the last)"
    )
    data.add_argument(
        "--drop", type=parse_names, metavar="A,B", help="columns to leave out, in a table (none)"
    )
    data.add_argument(
        "--weight", metavar="NAME", help="the column of weights in the loss, in a table (none)"
    )
    data.add_argument(
        "--test", type=argument_type(parse_share), metavar="SHARE",
        help="rows to hold out as a test set, where there is none (0.2)",
    )  # fmt: skip
    data.add_argument(
        "--size", type=argument_type(parse_size), metavar="HxW",
        help="what pictures are brought to, like 28x28 (their own)",
    )  # fmt: skip
    run.add_argument(
        "--recipe", choices=RECIPES, metavar="NAME",
        help=f"settings to start from: {'|'.join(RECIPES)} (by the data)",
    )  # fmt: skip
    run.add_argument(
        "--preset", choices=PRESETS, metavar="NAME",
        help=f"settings to start from: {'|'.join(PRESETS)} (none)",
    )  # fmt: skip
    run.add_argument(
        "--config", type=argument_type(parse_path), metavar="FILE",
        help="settings to start from: a run's config.json (none)",
    )  # fmt: skip
    run.add_argument(
        "--init-from", type=argument_type(parse_path), metavar="MODEL",
        help="start from this model's weights (none)",
    )  # fmt: skip
    for name, setting in SETTINGS.items():
        _add_setting(groups[setting.group], name, setting)
    return groups


def _add_setting(group: argparse._ArgumentGroup, name: str, setting: Setting) -> None:
    listed = f": {'|'.join(setting.choices)}" if setting.choices else ""
    options: dict[str, Any]
    if setting.is_flag:
        default = "on" if setting.default else "off"
        options = {"action": argparse.BooleanOptionalAction}
    else:
        default = setting.shown_default
        if name == "validation":  # a number or a path: see read_settings()
            options = {"metavar": "SHARE|PATH"}
        else:
            parse = argument_type(setting.parse)
            options = {"metavar": setting.placeholder, "type": parse, "choices": setting.choices}
    default = "by the data" if name in BY_RECIPE else default
    group.add_argument(
        f"--{name.replace('_', '-')}",
        # Absent options stay out of the namespace, so that they don't override a preset.
        default=argparse.SUPPRESS,
        help=f"{setting.help}{listed} ({default})".replace("%", "%%"),
        **options,
    )


def argument_type(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The function as a `type` for argparse, which drops the messages of other ValueErrors."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse_argument


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings on the command line itself, by the names of their options."""
    given = {k: v for k, v in vars(arguments).items() if k in NAMES and v is not None}
    if "validation" in given:
        try:
            given["validation"] = SETTINGS["validation"].parse(given["validation"])
        except ValueError:
            given["validation_data"] = given.pop("validation")
    if "init_from" in given:
        given["init_from"] = str(given["init_from"].resolve())
    return given


def read_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a new run: those of --preset or --config, then single options.

    What isn't among them follows from the data. Raises InputError for settings that can't be used,
    so far as they say so without the data.
    """
    from mlp_xp import run_settings

    chosen = [name for name in ("recipe", "preset", "config") if getattr(arguments, name)]
    if len(chosen) > 1:
        listed = " and ".join(f"--{name}" for name in chosen)
        raise InputError(f"{listed} exclude each other; give one of them")
    base: dict[str, Any] = dict(PRESETS[arguments.preset]) if arguments.preset else {}
    if arguments.config:
        values = run_settings.read_settings(arguments.config)
        base = run_settings.RunSettings.from_dict(values).to_dict()
        del base["notes"]  # of other data
    settings = _merged(base, given_settings(arguments))
    for name in SETTINGS.keys() & settings.keys():
        SETTINGS[name].validate(name, settings[name])
    others = {k: v for k, v in settings.items() if k not in SETTINGS}
    _check_own(run_settings.RunSettings.from_dict(others))
    return settings


def resumed_settings(arguments: argparse.Namespace, settings: RunSettings) -> RunSettings:
    """The settings of a run to continue, with what the command line may change in them.

    That is where its data is, when it ends, how often it is saved and how it is logged. Raises
    InputError for any other setting.
    """
    from mlp_xp.run_data import check_present
    from mlp_xp.run_settings import RunSettings

    given = given_settings(arguments)
    names = [name for name in given if name not in (*RESUMABLE, "validation_data")]
    names += [name for name in ("recipe", "preset", "config", "out") if getattr(arguments, name)]
    if names:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise InputError(f"--resume continues with the run's own settings; leave out {listed}")
    changed = RunSettings.from_dict(_merged(settings.to_dict(), given))
    _check_own(changed)
    moved = "validation" in given or "validation_data" in given
    if moved and changed.config.validation != settings.config.validation:
        raise InputError("--resume takes a --validation only for a validation set that has moved")
    if "data" not in given:
        check_present(changed.source.data, "--data")
    if not moved:
        check_present(changed.source.validation_data, "--validation")
    return changed


def _check_own(settings: RunSettings) -> None:
    """Raise InputError if the run can't be saved or logged as the settings say."""
    from mlp_xp.training.logs import LOGS

    check_interval(settings.checkpoint_every)
    for name in settings.log:
        LOGS[name].check()


def _merged(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings `base` with those that are given in place of its own."""
    base = dict(base)
    if given.keys() & {"validation", "validation_data"}:  # one in place of the other
        base.pop("validation", None)
        base.pop("validation_data", None)
    return {**base, **given}


def parse_names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_logs(text: str) -> tuple[str, ...]:
    """Names of logs, with commas between them. Raises ValueError for any other."""
    for name in parse_names(text):
        if name not in LOGS:
            raise ValueError(f"'{name}' is not a log; write {', '.join(LOGS)} or both")
    return parse_names(text)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width, of `28x28`. Raises ValueError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,3})[xX×]([1-9][0-9]{0,3})", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a size; write height and width like 28x28")
    return int(match[1]), int(match[2])


def parse_share(text: str) -> float:
    """A share, from 0 to below 1. Raises ValueError for anything else."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ValueError(f"'{text}' is not a share of the rows; write one from 0 to below 1")
    return share


def parse_path(text: str) -> Path:
    """A path. Raises InputError for an empty text, which would mean the working folder."""
    if not text:
        raise InputError("the path is empty")
    return Path(text)


def parse_bytes(text: str) -> int:
    """An amount of memory in bytes: `2G` is 2 * 1024**3. The suffix is K, M, G, T or nothing.

    Raises InputError for anything else, and for less than one byte.
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]+)?)([KMGT]?)", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if size < 1:
        raise InputError(f"'{text}' is not an amount of memory; write it like 500M or 2G")
    return size


def check_interval(text: str) -> str:
    """The text itself. Raises InputError if parse_interval() doesn't understand it."""
    parse_interval(text)
    return text


def parse_interval(text: str) -> dict[str, int]:
    """How often to save, as an argument of Checkpointer: `5m` is {"seconds": 300}.

    A number without a suffix (s, m or h) counts epochs. Raises InputError for anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smh]?)", text)
    if not match or int(match[1]) == 0:
        raise InputError(f"'{text}' is not an interval; write 30s, 5m or 2 (epochs)")
    if match[2]:
        return {"seconds": int(match[1]) * SECONDS[match[2]]}
    return {"epochs": int(match[1])}
