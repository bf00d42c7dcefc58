"""The command `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlp_xp.cli import add_help, note
from mlp_xp.cli.options import argument_type, parse_path
from mlp_xp.errors import InputError

SUFFIXES = (".html", ".htm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    parser.usage = "%(prog)s RUN [RUN...] [options]"
    parser.add_argument(
        "runs", type=argument_type(parse_path), nargs="+", metavar="RUN",
        help="the folder of a run, or several to compare",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=argument_type(parse_path), metavar="FILE",
        help="where to write it; replaces a file only if that is .html (RUN/report.html; "
        "report.html of several runs)",
    )  # fmt: skip
    parser.add_argument(
        "--only", choices=["draw"], metavar="draw",
        help="only the page on which one draws a picture for the model (RUN/draw.html)",
    )  # fmt: skip
    parser.add_argument("--data", metavar="PATH", help="where the data is, if it has moved")
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the page."""
    from mlp_xp.cli.outputs import check_target
    from mlp_xp.report.page import write_drawing, write_report

    runs: list[Path] = arguments.runs
    if len(runs) > 1 and (arguments.only or arguments.data):
        given = "--only" if arguments.only else "--data"
        raise InputError(f"{given} is for a single run; name one, or leave it out")
    name = "draw.html" if arguments.only else "report.html"
    out: Path = arguments.out or (runs[0] / name if len(runs) == 1 else Path(name))
    # A run that isn't there says so itself.
    target = check_target(out, SUFFIXES) if arguments.out else out
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: a page is .html; name it so (a browser prints it as PDF)")
    if arguments.only:
        write_drawing(runs[0], target, data=arguments.data)
    else:
        write_report(runs, target, data=arguments.data)
    note(f"saved {out}")
