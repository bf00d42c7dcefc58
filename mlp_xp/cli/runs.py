"""The command `runs`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_xp.cli import add_help, note, tell
from mlp_xp.cli.columns import aligned, cut, width
from mlp_xp.cli.options import argument_type, parse_path
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlp_xp.run_list import RunSummary

NARROWEST = 10
"""Texts aren't cut to fewer columns of the screen, and names not at all: one may copy them."""
EXPENDABLE = ("validation", "epochs", "time", "data", "device")
"""What a narrow screen may lack, the last first, after the settings."""
TEXTS = ("name", "data", "device", "state")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `runs`."""
    parser.usage = "%(prog)s [FOLDER] [options]"
    parser.add_argument(
        "folder", nargs="?", type=argument_type(parse_path), default=Path("runs"),
        metavar="FOLDER", help="a folder with runs, or a single run (runs)",
    )  # fmt: skip
    parser.add_argument(
        "--sort", metavar="COLUMN", default="started",
        help="test, validation, time, a setting such as lr, or another column (the newest first)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print all that is known as JSON")
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the list. A run that can't be read is a line on standard error."""
    from mlp_xp.run_list import find_runs, read_run, sort_runs

    paths, runs = find_runs(arguments.folder), []
    for path in paths:
        try:
            runs.append(read_run(path))
        except InputError as error:
            if paths == [arguments.folder]:
                raise
            tell(f"warning: left out: {error}")
    if runs:
        runs = sort_runs(runs, arguments.sort.replace("-", "_"))
    if arguments.json:
        print(json.dumps([run.to_dict() for run in runs], indent=2))
    elif runs:
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        lines, left_out = _table(runs, room)
        print("\n".join(lines))
        if left_out:
            note(f"(no room for {', '.join(left_out)}: --json has all)")
    elif not paths:
        note(f"{arguments.folder}: no runs in there")


def _table(runs: Sequence[RunSummary], room: int | None) -> tuple[list[str], list[str]]:
    """The lines of a table, and which columns it has no room for.

    room: columns of the screen; None for as many as are needed.
    """
    from mlp_xp.run_list import differing, duration

    settings = differing(runs)
    columns = {name: _cells(runs, name) for name in ("name", "data", *settings)}
    columns["epochs"] = [f"{run.epochs_done}/{run.epochs}" for run in runs]
    splits = dict.fromkeys(run.result["split"] for run in runs if run.result)
    columns |= {name: _cells(runs, name) for name in ("validation", *splits)}
    columns["time"] = [duration(run.seconds) for run in runs]
    columns |= {name: _cells(runs, name) for name in ("device", "state")}
    columns = {k: [k, *v] for k, v in columns.items() if any(v) or k in settings}
    expendable = [name for name in (*EXPENDABLE, *settings) if name in columns]
    for kept in range(len(expendable), -1, -1):
        left_out = expendable[kept:]
        shown = {k: cells for k, cells in columns.items() if k not in left_out}
        texts = [name for name in ("data", *settings) if name in shown]
        if room is None or _narrow(shown, texts, room):
            break
    left = [i for i, name in enumerate(shown) if name in TEXTS]
    rows = list(zip(*shown.values(), strict=True))
    return [line.rstrip() for line in aligned(rows, left, sys.maxsize)], left_out


def _narrow(columns: dict[str, list[str]], names: Sequence[str], room: int) -> bool:
    """Cut the columns of these names, the widest first, until all fit; whether they do."""
    while (excess := _width(columns) - room) > 0:
        widths = {name: max(map(width, columns[name])) for name in names}
        widest = max(names, key=lambda name: widths[name], default="")
        if widths.get(widest, 0) <= NARROWEST:
            return False
        fits = max(NARROWEST, widths[widest] - excess)
        columns[widest] = [cut(cell, fits) for cell in columns[widest]]
    return True


def _width(columns: dict[str, list[str]]) -> int:
    return sum(max(map(width, cells)) + 2 for cells in columns.values()) - 2


def _cells(runs: Sequence[RunSummary], column: str) -> list[str]:
    return [cut(_shown(run.columns.get(column)), sys.maxsize) for run in runs]


def _shown(value: Any) -> str:
    """A value as a screen has it: a score, a setting or a text."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        name, score = value
        kinds = {"accuracy": f"{score:.2%}", "r2": f"R2 {score:.2f}", "loss": f"loss {score:.4f}"}
        return kinds[name]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
