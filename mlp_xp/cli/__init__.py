"""The command line: a module for each command, with add_arguments(parser) and run(arguments).

A command's module is imported when the command is called, and NumPy only when it runs, so that help
appears at once.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, TextIO

from mlp_xp.errors import InputError, TrainingWarning, printable

SHELLS = ("bash", "zsh", "fish")
"""The shells that --completion has a script for."""
COMMANDS = {
    "train": "Train a network; without options, on MNIST to over 98% accuracy.",
    "evaluate": "Print how well a saved model does, and where it fails.",
    "predict": "Print what a model predicts for each row of a file.",
    "runs": "List the runs in a folder, with their settings and scores.",
    "report": "Write a page that shows a run, or compares several.",
    "plot": "Draw a picture of a run, for a paper or a slide.",
    "export": "Write a saved model as a file that other programs run.",
    "import": "Make a model of a PyTorch network.",
    "doctor": "Check which devices work here, and whether their results agree.",
}
"""The name of each command's module in this package, and its summary."""


class _HelpFormatter(argparse.HelpFormatter):
    """Help with one line an option where that fits, as in `--epochs N   passes (10)`."""

    def __init__(self, prog: str, column: int = 28):
        super().__init__(prog, max_help_position=column)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return f"--[no-]{action.option_strings[0].removeprefix('--')}"
        return super()._format_action_invocation(action)


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage in front of it."""

    def __init__(self, prog: str, usage: str, description: str):
        super().__init__(prog, usage, description, formatter_class=_HelpFormatter, add_help=False)
        # Values, not options: -1 and -.5, as argparse has it, but also -1,2 and -1e3.
        self._negative_number_matcher = re.compile(r"-\.?[0-9]")

    def error(self, message: str) -> NoReturn:
        note(f"{self.prog}: error: {message} (see {self.prog} --help)")
        self.exit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        sys.stdout.write(message)  # help, whose errors argparse would ignore

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.stdout.flush()  # here, where main() handles its errors
        super().exit(status, message)


class _Print(argparse.Action):
    """Prints a text, which is made only now, and ends the program."""

    def __init__(self, *names: Any, text: Callable[[Any], str], **options: Any):
        super().__init__(*names, **options)
        self.text = text

    def __call__(self, parser: argparse.ArgumentParser, _: object, value: Any, *__: object) -> None:
        print(self.text(value))
        parser.exit()


def add_help(group: argparse._ActionsContainer) -> None:
    """Add --help where a command's help should list it."""
    group.add_argument("-h", "--help", action="help", help="print this help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0; 2 for an input that can't be used, 3 for a device that failed; 130 after Ctrl-C, 143 after
    SIGTERM, 129 after SIGHUP, and 141 if the reader of the output has gone away. Raises SystemExit
    after printing help, and for a command line that can't be parsed.
    """
    _prepare_streams()
    try:
        try:
            if "_ARGCOMPLETE" in os.environ:  # a shell asks, by the script of --completion
                _answer_shell()
            status = _run(sys.argv[1:] if arguments is None else arguments)
        except InputError as error:
            tell(f"error: {error}")
            status = error.status
        except KeyboardInterrupt:
            tell("interrupted")
            status = 130
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone away, as in `| head`; there is nobody to report it to.
        _discard(sys.stdout)
        return 141
    except OSError as error:
        if error.filename is None:  # not a file of ours: standard output can't be written
            _discard(sys.stdout)
        tell(f"error: {error.filename or 'standard output'}: {error.strerror}")
        return InputError.status
    return status


def note(text: str) -> None:
    """Print one line on standard error, if anyone can read it."""
    try:
        sys.stderr.write(f"{printable(text)}\n")  # at once, beside other processes
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def tell(message: str) -> None:
    """The same for a warning or an error, which starts with the program's name."""
    note(f"mlp_xp: {message}")


def _prepare_streams() -> None:
    """Make standard output and error print whatever there is, wherever they go."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed, as by `>&-`
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, open(nowhere, "w", closefd=False))  # noqa: SIM115  (it stays open)
        elif hasattr(stream, "reconfigure"):  # a terminal in ASCII can't print every name
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: Sequence[str]) -> int:
    # The first word is the command, or the value of --completion, which ends the program.
    words = (i for i, argument in enumerate(arguments) if not argument.startswith("-"))
    end = next(words, len(arguments) - 1) + 1
    parser, _ = _main_parser()
    name: str = parser.parse_args(arguments[:end]).command
    command = import_module(f"{__name__}.{name}")
    parser = _Parser(f"mlp_xp {name}", "%(prog)s [options]", COMMANDS[name])
    command.add_arguments(parser)
    options = arguments[end:]
    # Or an abbreviation. Before they are read: what is wrong with them is told once.
    if name == "train" and any("--distributed".startswith(o) and len(o) > 3 for o in options):
        from mlp_xp.cli.world import World

        world = World()
        parser.set_defaults(world=world)
        return world.run(partial(_call, command, parser, options))
    return _call(command, parser, options)


def _call(command: Any, parser: _Parser, options: Sequence[str]) -> int:
    """Read a command's options, and run it."""
    parsed = parser.parse_args(options)

    import numpy as np

    # All that the commands use: Python now and then drops a Ctrl-C that comes during an import.
    import mlp_xp.runs  # noqa: F401
    from mlp_xp.devices import device_errors

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # set by __main__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A number that overflows shows up in the loss, which is checked.
    with np.errstate(all="ignore"), device_errors(), _one_line_warnings():
        status: int = command.run(parsed) or 0
        return status


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Print the package's own warnings as `tell` does, beside a progress bar if there is one."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
        from tqdm import tqdm

        if category is not TrainingWarning:
            others(message, category, *place, **rest)
            return
        # The bar, like the terminal it was drawn on, may be gone.
        with suppress(OSError), tqdm.external_write_mode(file=sys.stderr):
            tell(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", TrainingWarning)
        warnings.showwarning = show
        yield


def _main_parser() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    """The parser of a command's name, and those of the commands, which have no options yet."""
    parser = _Parser(
        "mlp_xp",
        "%(prog)s COMMAND [options]",
        "A multi-layer perceptron written out in full, on NumPy and on CuPy.",
    )
    # A long option has a line to itself, so that the commands keep theirs.
    parser.formatter_class = partial(_HelpFormatter, column=14)
    commands = parser.add_subparsers(
        title="commands (each has its own --help)", dest="command", required=True,
        metavar="COMMAND", parser_class=argparse.ArgumentParser,
    )  # fmt: skip
    parsers = {
        name: commands.add_parser(name, help=summary.replace("%", "%%"), add_help=False)
        for name, summary in COMMANDS.items()
    }
    options = parser.add_argument_group("options")
    options.add_argument(
        "--completion", action=_Print, text=_completion, choices=SHELLS, metavar="SHELL",
        help=f"print what makes Tab complete commands: {'|'.join(SHELLS)}",
    )  # fmt: skip
    options.add_argument(
        "--version", action=_Print, text=_versions, nargs=0,
        help="print the versions of mlp_xp, Python, NumPy and CuPy",
    )  # fmt: skip
    add_help(options)
    return parser, parsers


def _completion(shell: str) -> str:
    from mlp_xp.cli.completion import script

    return script(shell)


def _versions(_: object) -> str:
    from mlp_xp.versions import versions

    return "\n".join(f"{name} {version}" for name, version in versions().items())


def _answer_shell() -> None:
    """Print what may come next on a command line, and end the process."""
    from mlp_xp.cli.completion import answer

    parser, commands = _main_parser()
    for name, command in commands.items():
        import_module(f"{__name__}.{name}").add_arguments(command)
    answer(parser, commands)


def _discard(stream: TextIO) -> None:
    """Discard unflushed output, so that the interpreter's shutdown doesn't fail on it again."""
    with suppress(OSError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
