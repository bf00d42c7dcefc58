"""The command line: one file a command, each with add_arguments(parser) and run(arguments)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from mlp_xp import __version__
from mlp_xp.backend import device_errors
from mlp_xp.cli import doctor, evaluate, predict, train
from mlp_xp.errors import InputError

COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "doctor": doctor}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    0; 2 for a wrong input, 3 for a device that failed; 130 after Ctrl-C, 143 after SIGTERM, 141
    if nobody reads what is printed.
    """
    parser = _Parser(
        prog="mlp_xp",
        description="A multi-layer perceptron written out in full, on NumPy and on CuPy.",
    )
    parser.add_argument("--version", action="version", version=f"mlp_xp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary.replace("%", "%%"), description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    given = parser.parse_args(arguments)
    try:
        # A number that overflows shows in the loss, and is told of there.
        with np.errstate(over="ignore", invalid="ignore"), device_errors():
            status: int = given.run(given) or 0
        sys.stdout.flush()
    except InputError as error:
        print(f"mlp_xp: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("mlp_xp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone, as with `| head`: nobody is left to tell.
        _drop_output()
        return 141
    except OSError as error:
        if error.filename is None:  # no file of ours: what is printed can't be written
            _drop_output()
        told = InputError(f"{error.filename or 'standard output'}: {error.strerror}")
        print(f"mlp_xp: error: {told}", file=sys.stderr)
        return InputError.status
    return status


def _drop_output() -> None:
    """Have what is still to be printed go nowhere, or Python's own end would fail at it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
