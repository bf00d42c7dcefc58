"""The options of `train` and their help, and how options on the command line are read."""

import argparse
import re

import pytest

from mlp_xp.cli import COMMANDS, main, options
from mlp_xp.cli.options import BY_RECIPE, GROUPS, argument_type, parse_bytes, parse_interval
from mlp_xp.errors import InputError
from mlp_xp.training.config import SETTINGS
from mlp_xp.training.recipes import RECIPES


def help_of(command: str, capsys, monkeypatch, columns: int = 100) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    return capsys.readouterr().out.splitlines()


def test_the_help_of_train_fits_one_and_a_half_screens(capsys, monkeypatch):
    lines = help_of("train", capsys, monkeypatch)
    assert len(lines) <= 65
    assert max(map(len, lines)) <= 100
    assert lines[0] == "usage: mlp_xp train [options]"
    continued = [line for line in lines if line.startswith(" " * 20)]
    assert len(continued) <= 3  # all others have a line to themselves


def test_the_help_of_train_has_each_setting_in_its_group(capsys, monkeypatch):
    lines = help_of("train", capsys, monkeypatch, columns=200)
    titles = [line.removesuffix(":") for line in lines if re.fullmatch(r"[a-z]+:", line)]
    assert titles == list(GROUPS)
    for name, setting in SETTINGS.items():
        option = name.replace("_", "-")
        start = rf"  --\[no-\]{option} " if setting.is_flag else rf"  --{option} [A-Z,|]+ "
        (number,) = [i for i, line in enumerate(lines) if re.match(start, line)]
        group = [line for line in lines[:number] if re.fullmatch(r"[a-z]+:", line)][-1]
        assert group == f"{setting.group}:"
        default = setting.shown_default
        if setting.is_flag:
            default = "on" if setting.default else "off"
        default = "by the data" if name in BY_RECIPE else default
        assert lines[number].endswith(f" ({default})")
        for choice in setting.choices or ():
            assert choice in lines[number]


@pytest.mark.parametrize("columns", [40, 80, 100])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(command, columns, capsys, monkeypatch):
    lines = help_of(command, capsys, monkeypatch, columns)
    assert lines[0].startswith("usage: mlp_xp")
    assert max(map(len, lines)) <= columns or columns == 40  # a long word can't be broken


def test_the_main_help_lists_every_command(capsys, monkeypatch):
    text = "\n".join(help_of("", capsys, monkeypatch, columns=80))
    for name, summary in COMMANDS.items():
        assert re.search(rf"^    {name} +{re.escape(summary)}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("2G", 2 << 30), ("500m", 500 << 20), ("1.5k", 1536), (" 1T ", 1 << 40)],
)
def test_amounts_of_memory(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "0", "0.5", "-1G", "2GB", "1e9", "nan", "٣", "2 G", "1.G"]
)
def test_invalid_amounts_of_memory(text):
    with pytest.raises(InputError, match="write it like 500M or 2G"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("30s", {"seconds": 30}),
        ("5m", {"seconds": 300}),
        ("2h", {"seconds": 7200}),
        ("2", {"epochs": 2}),
    ],
)
def test_intervals(text, interval):
    assert parse_interval(text) == interval


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "1.5m", "1d", "s", "9999999999", "5 m"])
def test_invalid_intervals(text):
    with pytest.raises(InputError, match="is not an interval; write 30s, 5m or 2"):
        parse_interval(text)


def test_argparse_gets_the_message_of_a_value_that_cannot_be_parsed():
    with pytest.raises(argparse.ArgumentTypeError, match="write it like 500M or 2G"):
        argument_type(parse_bytes)("much")
    assert argument_type(parse_bytes)("1k") == 1024


def test_the_recipes_of_the_help_are_those_that_there_are():
    """They are written twice, as a help page loads no NumPy."""
    assert tuple(RECIPES) == options.RECIPES
