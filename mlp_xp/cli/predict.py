"""The command `predict`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device
from mlp_xp.cli.options import argument_type, parse_path
from mlp_xp.errors import InputError, printable

if TYPE_CHECKING:
    from mlp_xp.nn import Network
    from mlp_xp.types import HostArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `predict`."""
    parser.usage = "%(prog)s MODEL FILE... [options]"
    parser.add_argument(
        "model", type=argument_type(parse_path), metavar="MODEL",
        help="a model.safetensors, or the folder of a run",
    )  # fmt: skip
    parser.add_argument(
        "files", type=argument_type(parse_path), nargs="+", metavar="FILE",
        help=".npy, .npz (its array x or x_test, or its only one), .csv, .tsv, .parquet or .png",
    )  # fmt: skip
    parser.add_argument("--label", metavar="NAME", help="a column to leave out, in a table (none)")
    device.add_arguments(parser)
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each row: its file and number, then the prediction."""
    from mlp_xp.data import read_rows
    from mlp_xp.data.memory import blocks
    from mlp_xp.training import load_model, predict

    selected = device.select(arguments)
    network = load_model(arguments.model, selected)
    announced = False
    for path in arguments.files:
        X = read_rows(path, network.sizes[0], arguments.label, network.feature_names)
        name = printable(str(path))
        for start, block in blocks(X):
            try:
                predictions = predict(network, block, first_row=start)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            if not announced:
                device.announce(selected)
                announced = True
            for row, values in enumerate(predictions, start):
                print(f"{name}:{row}  {_format_prediction(network, values)}")


def _format_prediction(network: Network, values: HostArray) -> str:
    """The predicted classes or labels and all probabilities, or the predicted numbers."""
    outputs = network.objective.predicted_outputs(values)
    if outputs is None:
        return " ".join(f"{value:.6g}" for value in values)
    names = [network.output_names[k] if network.output_names else str(k) for k in outputs]
    return f"{printable(','.join(names)) or '-'}  {' '.join(f'{value:.4f}' for value in values)}"
