"""From a fitted estimator to a Model, which can be saved and exported."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlp_xp.devices import get_device
from mlp_xp.errors import InputError
from mlp_xp.nn import Dense
from mlp_xp.schema import Schema
from mlp_xp.sklearn.parameters import ACTIVATION_NAMES
from mlp_xp.training.model import Model

OBJECTIVES = {"softmax": "multiclass", "logistic": "multilabel", "identity": "regression"}
"""By out_activation_."""


def to_model(estimator: Any) -> Model:
    """The Model of an estimator's weights, on the CPU, with its names of features and classes.

    A single output z that tells two classes apart becomes two, 0 and z, which softmax makes the
    same probabilities. Raises InputError for the loss poisson, whose exp() a Model doesn't have.
    """
    objective = OBJECTIVES.get(estimator.out_activation_)
    if objective is None:
        raise InputError("a model of the loss poisson can't be saved or exported")
    weights = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    classes = getattr(estimator, "classes_", None)
    two_classes = objective == "multilabel" and weights[-1][0].shape[1] == 1
    if two_classes:
        W, b = weights[-1]
        weights[-1] = np.hstack([0 * W, W]), np.hstack([0 * b, b])
        objective = "multiclass"
    device = get_device("cpu")
    layers = [Dense(W.copy(), b.copy()) for W, b in weights]
    model = Model(device, layers, ACTIVATION_NAMES[estimator.activation], objective)
    names = getattr(estimator, "feature_names_in_", None)
    model.schema = Schema(
        feature_names=None if names is None else tuple(map(str, names)),
        output_names=None if classes is None else tuple(map(str, classes)),
    )
    return model
