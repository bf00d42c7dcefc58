"""The command line: a module for each command, with add_arguments(parser) and run(arguments).

A command's module is imported when the command is called, and NumPy only when it runs, so that help
appears at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from mlp_xp import __version__
from mlp_xp.errors import InputError

COMMANDS = {
    "train": "Train a network; without options, on MNIST to over 98% accuracy.",
    "evaluate": "Print the loss, accuracy and confusion matrix of a saved model.",
    "predict": "Print what a model predicts for each row of a file.",
    "doctor": "Check which devices work here, and whether their results agree.",
}
"""The name of each command's module in this package, and its summary."""


class _HelpFormatter(argparse.HelpFormatter):
    """Help with one line an option where that fits, as in `--epochs N   passes (10)`."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return f"--[no-]{action.option_strings[0].removeprefix('--')}"
        return super()._format_action_invocation(action)


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage in front of it."""

    def __init__(self, prog: str, usage: str, description: str):
        super().__init__(prog, usage, description, formatter_class=_HelpFormatter, add_help=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.stdout.flush()  # here, where main() handles its errors
        super().exit(status, message)


def add_help(group: argparse._ActionsContainer) -> None:
    """Add --help where a command's help should list it."""
    group.add_argument("-h", "--help", action="help", help="print this help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0; 2 for an input that can't be used, 3 for a device that failed; 130 after Ctrl-C, 143 after
    SIGTERM, and 141 if the reader of the output has gone away. Raises SystemExit after printing
    help, and for a command line that can't be parsed.
    """
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except InputError as error:
        print(f"mlp_xp: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("mlp_xp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone away, as in `| head`; there is nobody to report it to.
        _discard_output()
        return 141
    except OSError as error:
        if error.filename is None:  # not a file of ours: standard output can't be written
            _discard_output()
        message = InputError(f"{error.filename or 'standard output'}: {error.strerror}")
        print(f"mlp_xp: error: {message}", file=sys.stderr)
        return InputError.status
    return status


def _run(arguments: Sequence[str]) -> int:
    # The main parser has no options with values, so the first word is the command.
    words = (i for i, argument in enumerate(arguments) if not argument.startswith("-"))
    end = next(words, len(arguments) - 1) + 1
    name: str = _main_parser().parse_args(arguments[:end]).command
    command = import_module(f"{__name__}.{name}")
    parser = _Parser(f"mlp_xp {name}", "%(prog)s [options]", COMMANDS[name])
    command.add_arguments(parser)
    parsed = parser.parse_args(arguments[end:])

    import numpy as np

    from mlp_xp.devices import device_errors

    # A number that overflows shows up in the loss, which is checked.
    with np.errstate(over="ignore", invalid="ignore"), device_errors():
        return command.run(parsed) or 0


def _main_parser() -> _Parser:
    parser = _Parser(
        "mlp_xp",
        "%(prog)s COMMAND [options]",
        "A multi-layer perceptron written out in full, on NumPy and on CuPy.",
    )
    commands = parser.add_subparsers(
        title="commands (each has its own --help)", dest="command", required=True,
        metavar="COMMAND", parser_class=argparse.ArgumentParser,
    )  # fmt: skip
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary.replace("%", "%%"), add_help=False)
    options = parser.add_argument_group("options")
    options.add_argument(
        "--version", action="version", version=f"mlp_xp {__version__}", help="print the version"
    )
    add_help(options)
    return parser


def _discard_output() -> None:
    """Discard unflushed output, so that the interpreter's shutdown doesn't fail on it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
