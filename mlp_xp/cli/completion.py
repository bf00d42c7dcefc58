"""What a shell completes at Tab: its script asks this program, which answers with argcomplete."""

from __future__ import annotations

import argparse
import os
from typing import Any

from mlp_xp.cli.options import LOGS
from mlp_xp.errors import InputError

NAMES = ("mlp_xp", "mlp-xp")
"""What the program is called; a shell completes each by its name."""
DEVICES = ("auto", "cpu", "cuda")
FILES = ("FILE", "FOLDER", "MODEL", "PATH", "RUN")
"""What stands in the help for a value that is a file; after other options there are none."""


def script(shell: str) -> str:
    """What the shell, a name of argcomplete's, has to run to complete the program's commands.

    Raises InputError without argcomplete.
    """
    # Without its defaults, by which bash has files where nothing is offered.
    text: str = _argcomplete().shellcode(NAMES, use_defaults=False, shell=shell)
    return text.strip()


def answer(parser: argparse.ArgumentParser, commands: dict[str, argparse.ArgumentParser]) -> None:
    """Print what may follow on the command line that the shell has set in the environment, and
    end the process.

    commands: the parsers of the commands, by their names, which are part of the parser. Raises
    InputError without argcomplete.
    """
    # cuda:1 can be given too, and several logs, so these aren't choices.
    special = {"device": lambda **_: DEVICES, "log": _logs, "sort": _columns}
    for action in (action for command in commands.values() for action in command._actions):
        completer = special.get(action.dest)
        is_file = not {*str(action.metavar).split("|")}.isdisjoint(FILES)
        if completer is not None or not (is_file or action.choices):
            vars(action)["completer"] = completer or (lambda **_: ())
    # A command comes first, and its options, or those of the program if one begins to write them.
    has_command = not commands.keys().isdisjoint(os.environ.get("COMP_LINE", "").split())
    _argcomplete().autocomplete(parser, always_complete_options=has_command)


def _logs(prefix: str, **_: Any) -> list[str]:
    """Lists of logs that go on with one more."""
    *given, _begun = prefix.split(",")
    return [",".join([*given, name]) for name in LOGS if name not in given]


def _columns(**_: Any) -> list[str]:
    from mlp_xp.run_list import column_names

    return column_names()


def _argcomplete() -> Any:
    try:
        import argcomplete
    except ModuleNotFoundError as error:
        raise InputError(
            "completion needs argcomplete: pip install '.[completion]' in the clone"
        ) from error
    return argcomplete
