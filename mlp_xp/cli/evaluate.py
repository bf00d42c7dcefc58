"""Accuracy, mean loss and confusion matrix of a saved model."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlp_xp import checkpoint
from mlp_xp.backend import resolve
from mlp_xp.datasets import load
from mlp_xp.evaluation import Evaluation, evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    parser.add_argument("model", type=Path, help="a model.safetensors, or the folder of a run")
    parser.add_argument("--data", default="mnist", help="as for train (mnist)")
    parser.add_argument("--device", default="auto", help="auto or cpu (auto)")


def run(arguments: argparse.Namespace) -> None:
    """Load the model and the data, and print how well they go together."""
    network = checkpoint.load(arguments.model, resolve(arguments.device).backend)
    data = load(arguments.data)
    which, split = ("test", data.test) if data.test else ("train", data.train)
    result = evaluate(network, split)
    print(f"{which} accuracy {result.accuracy:.2%}  loss {result.loss:.4f}  rows {len(split)}")
    print(_table(result))


def _table(result: Evaluation) -> str:
    """The confusion matrix as text: a row for each true class, a column for each predicted one."""
    n_classes = len(result.confusion)
    width = max(len(str(result.confusion.max())), len(str(n_classes - 1))) + 2
    head = "true \\ predicted"
    lines = [head + "".join(f"{k:{width}}" for k in range(n_classes))]
    for k, row in enumerate(result.confusion):
        lines.append(f"{k:{len(head)}}" + "".join(f"{count:{width}}" for count in row))
    return "\n".join(lines)
