"""The command `export`."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from mlp_xp import export
from mlp_xp.cli import add_help, note
from mlp_xp.cli.options import argument_type, parse_path
from mlp_xp.cli.outputs import check_target
from mlp_xp.errors import InputError, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.usage = "%(prog)s RUN [options]"
    parser.add_argument(
        "run", type=argument_type(parse_path), metavar="RUN",
        help="the folder of a run, or a model.safetensors",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=export.FORMATS, default="onnx", metavar="NAME",
        help=f"{'|'.join(export.FORMATS)} (onnx)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=argument_type(parse_path), metavar="FILE",
        help="where to write it; replaces a file only if that has the format's suffix (beside the "
        "model)",
    )  # fmt: skip
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the file, and print how to use it."""
    from mlp_xp.devices import get_device
    from mlp_xp.training import load_model
    from mlp_xp.training.model_file import MODEL

    exporter = import_module(f"{export.__name__}.{export.FORMATS[arguments.format]}")
    path: Path = arguments.run
    model = load_model(path, get_device("cpu"))
    saved = path / MODEL if path.is_dir() else path
    out: Path = arguments.out or saved.with_name(saved.stem + exporter.SUFFIX)
    if out.exists() and out.samefile(saved):
        raise InputError(f"{out}: is the model itself; name another file with --out")
    target = check_target(out, (exporter.SUFFIX,))
    lines = exporter.export(model, target)
    note(f"saved {out}")
    for line in lines:
        print(printable(line))
