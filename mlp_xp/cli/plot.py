"""The command `plot`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlp_xp.cli import add_help, note
from mlp_xp.cli.options import argument_type, parse_path
from mlp_xp.cli.outputs import check_target
from mlp_xp.report.plots import SUFFIXES, WHAT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `plot`."""
    parser.usage = "%(prog)s RUN [RUN...] [options]"
    parser.add_argument(
        "runs", type=argument_type(parse_path), nargs="+", metavar="RUN",
        help="the folder of a run; several for their curves",
    )  # fmt: skip
    parser.add_argument(
        "--what", choices=WHAT, default="curves", metavar="NAME",
        help=f"{'|'.join(WHAT)} (curves)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=argument_type(parse_path), metavar="FILE",
        help=f"{', '.join(SUFFIXES)}: where to write it; replaces a file only if that is one of "
        "them (RUN/NAME.png; of several runs NAME.png)",
    )  # fmt: skip
    parser.add_argument("--data", metavar="PATH", help="where the data is, if it has moved")
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the figure."""
    from mlp_xp.report.plots import plot
    from mlp_xp.run_list import read_run

    runs: list[Path] = arguments.runs
    for path in runs:
        read_run(path)  # what isn't there is no place for a figure either
    name = Path(f"{arguments.what}.png")
    out: Path = arguments.out or (runs[0] / name if len(runs) == 1 else name)
    # A run that isn't there says so itself.
    target = check_target(out, SUFFIXES) if arguments.out else out
    plot(runs, arguments.what, target, data=arguments.data)
    note(f"saved {out}")
