"""The command `evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device

if TYPE_CHECKING:
    from mlp_xp.data import DataSource
    from mlp_xp.types import HostArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    parser.usage = "%(prog)s MODEL [options]"
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a model.safetensors, or the folder of a run"
    )
    parser.add_argument(
        "--data", metavar="PATH", help="as for train (the data of the run, else mnist)"
    )
    parser.add_argument("--label", metavar="NAME", help="the label column, in a table (the last)")
    device.add_arguments(parser)
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print how well a model does on a data set."""
    from mlp_xp.data import load_data
    from mlp_xp.training import evaluate, load_model

    network = load_model(arguments.model, device.select(arguments))
    source = _source(arguments)
    data = load_data(
        source.data,
        label=source.label,
        objective=network.objective_name,
        output_names=network.output_names,
    )
    split_name, split = data.evaluation_split
    result = evaluate(network, split)
    accuracy = "" if result.accuracy is None else f"accuracy {result.accuracy:.2%}  "
    print(f"{split_name} {accuracy}loss {result.loss:.4f}  rows {len(split)}")
    if result.confusion is not None:
        names = network.output_names or tuple(map(str, range(len(result.confusion))))
        print(_format_confusion(result.confusion, names))


def _source(arguments: argparse.Namespace) -> DataSource:
    """The data that the command line names, or else the data of the model's run."""
    from mlp_xp.data import DataSource
    from mlp_xp.runs import RunFolder

    folder = RunFolder(arguments.model)
    if arguments.data is not None or not folder.config.exists():
        return DataSource(arguments.data or "mnist", arguments.label)
    source, _ = folder.read_settings()
    return DataSource(source.data, arguments.label or source.label)


def _format_confusion(confusion: HostArray, names: tuple[str, ...]) -> str:
    """The confusion matrix as text: a row for each true class, a column for each predicted one."""
    corner = "true \\ predicted"
    left = max(len(corner), *map(len, names))
    width = max(len(str(confusion.max())), *map(len, names)) + 2
    lines = [f"{corner:{left}}" + "".join(f"{name:>{width}}" for name in names)]
    for name, row in zip(names, confusion, strict=True):
        lines.append(f"{name:{left}}" + "".join(f"{count:{width}}" for count in row))
    return "\n".join(lines)
