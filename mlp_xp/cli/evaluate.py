"""Loss, accuracy and confusion matrix of a saved model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mlp_xp import checkpoint
from mlp_xp.cli import device, settings
from mlp_xp.cli.settings import CONFIG, Source
from mlp_xp.datasets import load
from mlp_xp.evaluation import evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    parser.add_argument("model", type=Path, help="a model.safetensors, or the folder of a run")
    parser.add_argument("--data", help="as for train (what the run was trained on, or mnist)")
    parser.add_argument("--label", help="a table's column of labels (the last)")
    device.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Load the model and the data, and print how well they go together."""
    network = checkpoint.load(arguments.model, device.choose(arguments).backend)
    source = Source(arguments.data or "mnist", arguments.label)
    if arguments.data is None and (arguments.model / CONFIG).exists():
        own, _ = settings.parse(settings.read(arguments.model / CONFIG))
        source = Source(own.data, arguments.label or own.label)
    target = network.output.target
    data = load(source.data, label=source.label, target=target, classes=network.classes)
    which, split = data.scored
    result = evaluate(network, split)
    accuracy = "" if result.accuracy is None else f"accuracy {result.accuracy:.2%}  "
    print(f"{which} {accuracy}loss {result.loss:.4f}  rows {len(split)}")
    if result.confusion is not None:
        names = network.classes or tuple(map(str, range(len(result.confusion))))
        print(_table(result.confusion, names))


def _table(confusion: NDArray[Any], names: tuple[str, ...]) -> str:
    """The confusion matrix as text: a row for each true class, a column for each predicted one."""
    head = "true \\ predicted"
    left = max(len(head), *map(len, names))
    width = max(len(str(confusion.max())), *map(len, names)) + 2
    lines = [f"{head:{left}}" + "".join(f"{name:>{width}}" for name in names)]
    for name, row in zip(names, confusion, strict=True):
        lines.append(f"{name:{left}}" + "".join(f"{count:{width}}" for count in row))
    return "\n".join(lines)
