"""The command `evaluate`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device
from mlp_xp.cli.options import argument_type, check_present, parse_path
from mlp_xp.errors import InputError, printable

if TYPE_CHECKING:
    from mlp_xp.data import Dataset
    from mlp_xp.nn import Network
    from mlp_xp.types import HostArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    parser.usage = "%(prog)s MODEL [options]"
    parser.add_argument(
        "model", type=argument_type(parse_path), metavar="MODEL",
        help="a model.safetensors, or the folder of a run",
    )  # fmt: skip
    parser.add_argument("--data", metavar="PATH", help="as for train (the data of the run)")
    parser.add_argument(
        "--label", metavar="NAME", help="the label column, in a table (the model's)"
    )
    device.add_arguments(parser)
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print how well a model does on a data set."""
    from mlp_xp.training import evaluate, load_model

    selected = device.select(arguments)
    network = load_model(arguments.model, selected)
    data = _load(arguments, network)
    split_name, split = data.evaluation_split
    result = evaluate(network, split)
    device.announce(selected)
    # Rows of another file than the run's are neither its training rows nor its test set.
    which = split_name if data.test or arguments.data is None else ""
    title = printable(" ".join(filter(None, (data.name, which))))
    accuracy = "" if result.accuracy is None else f"accuracy {result.accuracy:.2%}  "
    print(f"{title} {accuracy}loss {result.loss:.4f}  rows {len(split)}")
    if result.confusion is not None:
        names = network.output_names or tuple(map(str, range(len(result.confusion))))
        print(_format_confusion(result.confusion, tuple(map(printable, names))))


def _load(arguments: argparse.Namespace, network: Network) -> Dataset:
    """The data that the command line names, or else the data of the model's run."""
    from mlp_xp.data import load_data
    from mlp_xp.runs import RunFolder

    data = arguments.data
    if data is None:
        path = arguments.model
        folder = RunFolder(path if path.is_dir() else path.parent)
        if not folder.config.exists():
            raise InputError(f"{path}: belongs to no run, so give the data with --data")
        data = folder.read_settings().source.data
        check_present(data, "--data")
    return load_data(data, label=arguments.label, objective=network.objective_name, like=network)


def _format_confusion(confusion: HostArray, names: tuple[str, ...]) -> str:
    """The confusion matrix as text: a row for each true class, a column for each predicted one."""
    corner = "true \\ predicted"
    left = max(len(corner), *map(len, names))
    width = max(len(str(confusion.max())), *map(len, names)) + 2
    lines = [f"{corner:{left}}" + "".join(f"{name:>{width}}" for name in names)]
    for name, row in zip(names, confusion, strict=True):
        lines.append(f"{name:{left}}" + "".join(f"{count:{width}}" for count in row))
    return "\n".join(lines)
