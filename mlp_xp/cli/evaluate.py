"""The command `evaluate`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device, tell
from mlp_xp.cli.options import argument_type, parse_path
from mlp_xp.errors import InputError

if TYPE_CHECKING:
    from mlp_xp.data import Split
    from mlp_xp.training import Model


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
    parser.add_argument("--all", action="store_true", help="a line for each class, however many")
    device.add_arguments(parser)
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print how well a model does on a data set."""
    from mlp_xp.cli.results import headline, table
    from mlp_xp.training import evaluate, load_model
    from mlp_xp.training.model import ROWS_LOOKED_AT

    selected = device.select(arguments)
    network = load_model(arguments.model, selected)
    name, split = _load(arguments, network)
    surprise = network.surprise(split.take(0, ROWS_LOOKED_AT)[0])  # not all, of a mapped file
    if surprise is not None:
        tell(f"warning: {arguments.data or name}: {surprise}")
    result = evaluate(network, split)
    device.announce(selected)
    print(headline(name, result, network.output_names))
    print(table(result, network.output_names, all_rows=arguments.all))


def _load(arguments: argparse.Namespace, network: Model) -> tuple[str, Split]:
    """The rows to evaluate on, and what they are called.

    Those of the data that the command line names, or else those of the model's run that it wasn't
    trained on.
    """
    from mlp_xp.data import load_data
    from mlp_xp.run_data import load_run_data
    from mlp_xp.runs import RunFolder

    if arguments.data is not None:
        data = load_data(arguments.data, label=arguments.label, like=network)
        return (f"{arguments.data} test", data.test) if data.test else (arguments.data, data.train)
    path = arguments.model
    folder = RunFolder(path if path.is_dir() else path.parent)
    if not folder.config.exists():
        raise InputError(f"{path}: belongs to no run, so give the data with --data")
    data = load_run_data(folder, network, label=arguments.label)
    which, split = data.evaluation_split
    return f"{data.name} {which}", split
