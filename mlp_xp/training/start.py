"""Going on from a trained model: its weights on new data, with new classes where there are some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlp_xp.data import Dataset, Split
from mlp_xp.errors import InputError
from mlp_xp.nn import Dense
from mlp_xp.nn.rng import stream
from mlp_xp.schema import Schema
from mlp_xp.training.model import Model


def wanted_schema(model: Model) -> Schema:
    """What new data for the model has to be: the same inputs, and classes of its own."""
    if not model.objective.single_label:
        return model.schema
    return replace(model.schema, output_names=None)


def start_from(model: Model, data: Dataset, seed: int = 0) -> tuple[Model, Dataset]:
    """The model, ready to be trained on the data, and the data, ready for it.

    Classes are matched by name. Where the data has none that the model doesn't know, both have the
    model's. Otherwise both have the data's: the outputs of known classes keep their weights, and
    those of new ones start from N(0, 1/n_in), and 0 for the bias. What is known of the inputs is
    the model's. Raises InputError for data with other inputs, or another objective.
    """
    if (data.objective, data.n_features) != (model.objective_name, model.sizes[0]):
        raise InputError(
            f"{data.name}: {data.n_features} inputs and the objective {data.objective}, but the "
            f"model to start from has {model.sizes[0]} and {model.objective_name}"
        )
    model.prior = None  # of the old data
    if not model.objective.single_label:
        return model, data
    names = data.output_names or tuple(map(str, range(data.n_outputs)))
    known = {name: k for k, name in enumerate(model.output_names)}
    if all(name in known for name in names):
        return model, _with_classes(data, model, np.array([known[name] for name in names]))
    last = model.layers[-1]
    W, b = model.device.to_host(last.W), model.device.to_host(last.b)
    drawn = stream(seed, "weights").standard_normal((len(W), len(names))) / np.sqrt(len(W))
    new_W, new_b = drawn.astype(W.dtype), np.zeros(len(names), dtype=b.dtype)
    for k, name in enumerate(names):
        if name in known:
            new_W[:, k], new_b[k] = W[:, known[name]], b[known[name]]
    to_device = model.device.to_device
    model.layers[-1] = Dense(to_device(new_W), to_device(new_b))
    model.schema = replace(model.schema, output_names=data.output_names, label=data.label)
    return model, data


def _with_classes(data: Dataset, model: Model, place: np.ndarray) -> Dataset:
    """The data with the model's classes; place[k] is the model's number of class k."""

    def renumbered(split: Split | None) -> Split | None:
        return None if split is None else replace(split, y=place[split.y])

    train = renumbered(data.train)
    assert train is not None
    return replace(
        data, train=train, test=renumbered(data.test), validation=renumbered(data.validation),
        n_outputs=model.sizes[-1], output_names=model.schema.output_names,
    )  # fmt: skip
