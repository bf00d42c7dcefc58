"""The command `predict`."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, device, note
from mlp_xp.cli.options import argument_type, parse_names, parse_path
from mlp_xp.errors import InputError, TrainingWarning

if TYPE_CHECKING:
    from mlp_xp.training import Model
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
        help="a table, .npy, .npz (its array x or x_test, or its only one), pictures, or - for CSV "
        "on standard input",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=argument_type(parse_path), metavar="FILE",
        help=".csv, .tsv, .jsonl or .parquet (CSV on standard output)",
    )  # fmt: skip
    parser.add_argument(
        "--id", metavar="NAME", help="the column that names the rows, in a table (their number)"
    )
    parser.add_argument(
        "--label", metavar="NAME", help="a column to leave out, for a model of arrays (none)"
    )
    parser.add_argument(
        "--drop", type=parse_names, metavar="A,B", default=(),
        help="more columns to leave out, for a model of arrays (none)",
    )  # fmt: skip
    device.add_arguments(parser)
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write a line for each row: what names it, the prediction, and all probabilities."""
    from mlp_xp.data.predictions import Header, check_out, open_writer
    from mlp_xp.training import load_model

    if arguments.out is not None:
        check_out(arguments.out, arguments.files)
    selected = device.select(arguments)
    network = load_model(arguments.model, selected)
    header = Header(
        network.objective, network.output_names, network.schema.label,
        arguments.id or "row", with_file=len(arguments.files) > 1,
    )  # fmt: skip
    parts = (
        (path, *part) for path in arguments.files for part in _predictions(network, path, arguments)
    )
    first = next(parts)  # before a header is printed: most errors come here
    device.announce(selected)
    n_rows = 0
    with open_writer(arguments.out, header) as writer:
        for path, ids, predictions in chain([first], parts):
            writer.write(ids, predictions, path)
            n_rows += len(predictions)
    if arguments.out is not None:
        note(f"saved {arguments.out}: {n_rows:,} rows")


def _predictions(
    network: Model, path: Path, arguments: argparse.Namespace
) -> Iterator[tuple[range | list[str], HostArray]]:
    """The ids and the predictions of a file's rows, block by block."""
    from mlp_xp.data import read_rows
    from mlp_xp.data.pictures.folders import SUFFIXES
    from mlp_xp.data.roles import Roles
    from mlp_xp.training import predict

    roles, start = Roles(arguments.label, None, arguments.drop), 0
    is_picture = path.suffix.lower() in SUFFIXES  # a dark one isn't in another unit
    for ids, X in read_rows(path, network.sizes[0], network.schema, roles, arguments.id):
        if not (start or is_picture) and (surprise := network.surprise(X)) is not None:
            warnings.warn(f"{path}: {surprise}", TrainingWarning, stacklevel=2)
        try:
            predictions = predict(network, X, first_row=start)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        yield range(start, start + len(X)) if ids is None else ids, predictions
        start += len(X)
