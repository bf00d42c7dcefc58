"""The command `import`, a module that Python's own statement can't name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mlp_xp.cli import add_help, note
from mlp_xp.cli.options import argument_type, parse_names, parse_path
from mlp_xp.errors import InputError
from mlp_xp.files import check_file_name
from mlp_xp.training.config import SETTINGS

if TYPE_CHECKING:
    from mlp_xp.training import Model
    from mlp_xp.types import HostArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `import`."""
    parser.usage = "%(prog)s FILE --activation NAME --out FILE [options]"
    activations, objectives = SETTINGS["activation"].choices, SETTINGS["objective"].choices
    parser.add_argument(
        "file", type=argument_type(parse_path), metavar="FILE",
        help="a PyTorch state dict of Linear layers, as safetensors",
    )  # fmt: skip
    parser.add_argument(
        "--activation", choices=activations, metavar="NAME",
        help=f"between the layers: {'|'.join(activations or ())} (as exported)",
    )  # fmt: skip
    parser.add_argument(
        "--objective", choices=objectives, metavar="NAME",
        help=f"what the outputs are: {'|'.join(objectives or ())} (multiclass)",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=parse_names, metavar="A,B", help="a name for each output (numbers)"
    )
    parser.add_argument(
        "--input-scale", type=float, metavar="X",
        help="what the inputs were divided by: 255 for bytes brought to 0 to 1 (1)",
    )  # fmt: skip
    parser.add_argument(
        "--mean", type=argument_type(_parse_numbers), metavar="X,X",
        help="what was subtracted then, one for all inputs or one for each (0)",
    )  # fmt: skip
    parser.add_argument(
        "--std", type=argument_type(_parse_numbers), metavar="X,X",
        help="what they were divided by then, one for all or one for each (1)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=argument_type(parse_path), required=True, metavar="FILE",
        help="the model to write, under a name that is still free",
    )  # fmt: skip
    add_help(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the model, and print what it was taken for."""
    from mlp_xp.export.from_torch import read_torch
    from mlp_xp.training import save_model

    out = arguments.out
    check_file_name(out)
    if out.exists():
        raise InputError(f"{out}: exists already; name another")
    options = {k: v for k, v in vars(arguments).items() if k not in ("file", "out")}
    model = read_torch(arguments.file, **options)
    save_model(model, out)
    sizes = "-".join(map(str, model.sizes))
    kind = f"{sizes}, {model.activation_name}, {model.objective_name}, {model.dtype}"
    print(f"{kind}, inputs {_scaled(model)}")
    note(f"saved {out}")


def _scaled(model: Model) -> str:
    """What the network is given for an input x, as a formula, so that a wrong scale is seen."""
    formula = "x" if model.input_scale in (None, 1) else f"x / {model.input_scale:g}"
    if model.standardization is not None:
        mean, std = model.standardization
        if (mean != 0).any():
            formula = f"({formula} - {_number(mean, 'mean')})"
        if (std != 1).any():
            formula = f"{formula} / {_number(std, 'std')}"
    return "as they are" if formula == "x" else formula


def _number(values: HostArray, name: str) -> str:
    """The one number that all values are, or else their name."""
    return f"{values[0]:g}" if (values == values[0]).all() else name


def _parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them. Raises ValueError for anything else."""
    try:
        return tuple(map(float, text.split(",")))
    except ValueError as error:
        raise ValueError(f"'{text}' is not a list of numbers like 0.5 or 0.5,1") from error
