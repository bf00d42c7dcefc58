"""The options of `train` that say what is trained, and on what."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlp_xp.config import CHOICES, PRESETS, RANGES, Config
from mlp_xp.datasets import Dataset, load
from mlp_xp.errors import InputError
from mlp_xp.functions import OUTPUTS

HELP = {
    "hidden": "widths of the hidden layers, with commas between them",
    "activation": "of the hidden layers",
    "init": "how weights begin",
    "output": "softmax: one class; sigmoid: several labels; identity: numbers",
    "dropout": "share of each hidden layer that a step leaves out",
    "batch_size": "rows a step",
    "epochs": "times through the data",
    "optimizer": "how gradients change weights",
    "lr": "learning rate",
    "schedule": "of the learning rate",
    "warmup": "epochs in which the learning rate rises first",
    "lr_factor": "by which the schedules step and plateau cut",
    "lr_patience": "epochs without improvement that plateau lets pass",
    "momentum": "of sgd",
    "nesterov": "look ahead with the momentum",
    "weight_decay": "pull of the weights towards 0",
    "clip_norm": "largest norm of all gradients together",
    "label_smoothing": "share of a label spread over all classes",
    "class_weight": "balanced, or a number for each class, with commas",
    "standardise": "scale each input to mean 0 and variance 1",
    "validation": "share of the training rows to set aside, or a data set",
    "patience": "stop after so many epochs without improvement, with the best weights",
    "no_shuffle": "take the rows in their own order",
    "seed": "of weights, orders and masks",
    "dtype": "of all that is computed",
    "window": "batches whose first-layer updates are applied together; 1: the plain step",
}
CONFIG = "config.json"


@dataclass(frozen=True)
class Source:
    """Where a run's data is: --data, --label, and --validation if it names a data set."""

    data: str = "mnist"
    label: str | None = None
    validation_data: str | None = None

    def resolved(self) -> Source:
        """The same with absolute paths, so that it can be read from any folder."""
        other = self.validation_data and _absolute(self.validation_data)
        return replace(self, data=_absolute(self.data), validation_data=other)

    def load(self, config: Config) -> Dataset:
        """The data set, with targets as the configuration's output needs them."""
        target = OUTPUTS[config.output].target
        data = load(self.data, target=target, label=self.label)
        if self.validation_data is None:
            return data
        classes = data.class_names
        other = load(self.validation_data, target=target, label=self.label, classes=classes)
        more = other.n_classes > data.n_classes
        if target != "classes":
            more = other.n_classes != data.n_classes
        if other.n_features != data.n_features or more:
            raise InputError(
                f"{self.validation_data}: {other.n_features} inputs and {other.n_classes} outputs, "
                f"but {self.data} has {data.n_features} and {data.n_classes}"
            )
        return replace(data, validation=other.train)


def _absolute(source: str) -> str:
    return source if source == "mnist" else str(Path(source).resolve())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each field of Config and Source; none has a default, so presets can show."""
    default = Config().to_dict()
    parser.add_argument("--data", help="mnist, or a file or folder with data (mnist)")
    parser.add_argument("--label", help="the column to learn, in a table with a header (the last)")
    parser.add_argument("--preset", choices=PRESETS, help="a set of settings with a name")
    parser.add_argument("--config", type=Path, help="the config.json of a run, to run it again")
    for name, text in HELP.items():
        value = default.get(name)
        options: dict[str, Any] = {"default": argparse.SUPPRESS}
        if name == "no_shuffle":
            options |= {"action": "store_false", "dest": "shuffle"}
        elif isinstance(value, bool):
            options |= {"action": "store_true"}
        else:
            shown = ",".join(map(str, value)) if isinstance(value, list) else value
            text += f" ({'none' if shown is None else shown})"
            options |= _kind(name)
        parser.add_argument("--" + name.replace("_", "-"), help=text, **options)


def _kind(name: str) -> dict[str, Any]:
    if name in CHOICES:
        return {"choices": [choice for choice in CHOICES[name] if choice is not None]}
    if name == "hidden":
        return {"type": _integers, "metavar": "N,N"}
    if name == "class_weight":
        return {"type": _class_weight, "metavar": "balanced|W,W"}
    if name == "validation":
        return {"type": str, "metavar": "SHARE|PATH"}
    return {"type": RANGES[name][0], "metavar": "N" if RANGES[name][0] is int else "X"}


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no list of layer widths; write 128 or 512,256"
        ) from None


def _class_weight(text: str) -> str | list[float]:
    try:
        return text if text == "balanced" else [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' are no class weights; write balanced, or 1,2.5"
        ) from None


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line itself gives, by the names of Config and Source."""
    names = {*Config.__annotations__, *Source.__annotations__}
    given = {k: v for k, v in vars(arguments).items() if k in names and v is not None}
    if "validation" in given:
        try:
            given["validation"] = float(given["validation"])
        except ValueError:
            given["validation_data"] = given.pop("validation")
    return given


def gather(arguments: argparse.Namespace) -> tuple[Source, Config]:
    """Defaults, then the preset or the file, then single options."""
    if arguments.preset and arguments.config:
        raise InputError("--preset and --config exclude each other; give one of them")
    base = dict(PRESETS[arguments.preset]) if arguments.preset else {}
    if arguments.config:
        base = read(arguments.config)
    given = chosen(arguments)
    # Of two ways to say what validates, the command line's stands alone.
    if given.keys() & {"validation", "validation_data"}:
        base.pop("validation", None)
        base.pop("validation_data", None)
    return parse({**base, **given})


def parse(values: dict[str, Any]) -> tuple[Source, Config]:
    """Source and Config from the content of a config.json."""
    names = Source.__annotations__
    source = {name: values[name] for name in names if name in values}
    for name, value in source.items():
        if not (isinstance(value, str) or (value is None and name != "data")):
            raise InputError(f"{name} is {value!r}; it must be a text")
    config = Config.from_dict({k: v for k, v in values.items() if k not in names})
    return Source(**source), config


def read(path: Path) -> dict[str, Any]:
    """The content of a config.json. Raises InputError, naming the file, if it is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a configuration in JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a configuration; it must be a JSON object")
    return values
