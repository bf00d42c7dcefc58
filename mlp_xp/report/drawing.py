"""A part of a page in which a picture is drawn by hand, and a network is seen at work on it.

The page computes everything itself, on the model's own weights; draw/network.js is the mathematics.
Texts such as the names of classes go there as JSON and become text nodes, never HTML.
"""

from __future__ import annotations

import base64
import json
from importlib import resources
from typing import Any

import numpy as np

from mlp_xp.nn import activations
from mlp_xp.nn.losses import Multiclass, Multilabel
from mlp_xp.report.inputs import picture_of
from mlp_xp.schema import Picture
from mlp_xp.training import Model
from mlp_xp.types import HostArray

OWN_ACTIVATIONS = (
    activations.relu, activations.leaky_relu, activations.gelu, activations.tanh,
    activations.sigmoid, activations.identity,
)  # fmt: skip
"""The functions that network.js has; each is called there as it is in Python."""
SCRIPTS = ("network.js", "ink.js", "shown.js", "page.js")
MOST_WEIGHTS = 4_000_000
"""A page holds 5.3 bytes for each weight: 21 MB."""
MOST_EXAMPLES = 12


def why_not(model: Model) -> str | None:
    """Why nobody can draw for a model, for a sentence that starts with that; None if one can."""
    if type(model.objective) is not Multiclass and type(model.objective) is not Multilabel:
        return f"its objective is {model.objective_name}, not one of the package's for classes"
    if picture_of(model) is None:
        return f"its {model.sizes[0]:,} inputs aren't known to be a picture's pixels"
    if model.activation.function not in OWN_ACTIVATIONS:
        return f"its activation {model.activation_name} isn't one of the package's own"
    weights = sum(array.size for array in model.parameters())
    if weights > MOST_WEIGHTS:
        return f"its {weights:,} weights are more than the {MOST_WEIGHTS:,} that a page can hold"
    to_host = model.device.to_host
    if not all(np.isfinite(_float32(to_host(array))).all() for array in model.parameters()):
        return "some of its weights are no finite numbers in float32"
    return None


def drawing_section(model: Model, X: HostArray, y: HostArray) -> str:
    """The HTML of the part, `<section id="draw">`, with the model and some examples inside.

    X (M, n_in), y (M,) or (M, K): pictures as the data has them, and what they show. They tell how
    much of a picture ink fills, and one of each class, up to MOST_EXAMPLES, becomes an example to
    start from. M may be 0; some hundred are enough. The model is one that has no why_not(). The
    page also needs drawing_style() and, once, drawing_script() after the section.
    """
    # `<` ends a script's text wherever `</script>` stands; as an escape it is the same JSON.
    content = json.dumps(_content(model, X, y), allow_nan=False).replace("<", "\\u003c")
    return _resource("draw.html").replace("{{model}}", content)


def drawing_script() -> str:
    """The part's JavaScript, in a scope of its own, for one `<script>`."""
    code = "".join(map(_resource, SCRIPTS))
    return f'(() => {{\n"use strict";\n{code}}})();\n'


def drawing_style() -> str:
    """The part's CSS. Colors are the page's variables, such as --ink and --for."""
    return _resource("draw.css")


def _content(model: Model, X: HostArray, y: HostArray) -> dict[str, Any]:
    """All that the scripts know, as JSON holds it; arrays in base64."""
    picture, to_host = picture_of(model), model.device.to_host
    if picture is None:
        raise ValueError(f"the {model.sizes[0]} inputs are no picture")
    low, high = _range(model, X)
    dark_ink = _on_light_ground(X, picture, (low + high) / 2)
    mean, std = model.standardization or (None, None)
    return {
        "height": picture.height, "width": picture.width, "channels": picture.channels,
        "low": low, "high": high,
        "darkInk": dark_ink, "filled": _filled_share(X, picture, low, high, dark_ink),
        "scale": model.input_scale,
        "mean": None if mean is None else _base64(to_host(mean).astype("<f8")),
        "std": None if std is None else _base64(to_host(std).astype("<f8")),
        "activation": model.activation.function.__name__,
        "manyLabels": not model.objective.single_label,
        "classes": list(model.output_names),
        "layers": [
            {"W": _base64(_float32(to_host(layer.W))), "b": _base64(_float32(to_host(layer.b)))}
            for layer in model.layers
        ],
        "examples": [
            {"values": _base64(_float32(X[i])), "label": _label(y[i], model.output_names)}
            for i in _one_of_each(y)
        ],
    }  # fmt: skip


def _range(model: Model, X: HostArray) -> tuple[float, float]:
    """The values of the darkest and the lightest pixel."""
    if model.value_range is not None:
        low, high = model.value_range
        return float(low.min()), float(high.max())
    if len(X):
        return float(X.min()), float(X.max())
    return 0.0, float(model.input_scale or 1)


def _on_light_ground(X: HostArray, picture: Picture, middle: float) -> bool:
    """Whether the pictures' borders are light, so that ink is dark."""
    if not len(X):
        return False
    pixels = X.reshape(len(X), picture.height, picture.width, picture.channels)
    edges = [pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]]
    return bool(np.concatenate([edge.ravel() for edge in edges]).mean() > middle)


def _filled_share(X: HostArray, picture: Picture, low: float, high: float, dark_ink: bool) -> float:
    """How much of the picture's height or width ink fills, whichever is more; of most pictures.

    In MNIST 20 of 28 pixels, which is also the answer where there are no pictures.
    """
    pixels: HostArray = X.reshape(len(X), picture.height, picture.width, picture.channels)
    faint = (high - low) / 10
    ink = (pixels < high - faint) if dark_ink else (pixels > low + faint)
    lines = [np.asarray(ink.any(axis=axes)) for axes in ((2, 3), (1, 3))]
    shares = [[_extent(holds) / len(holds) for holds in some] for some in lines]
    filled = np.max(shares, axis=0)
    return float(np.median(filled[filled > 0])) if filled.any() else 20 / 28


def _extent(holds: HostArray) -> int:
    """From the first to the last that is true."""
    where = np.flatnonzero(holds)
    return int(where[-1] - where[0]) + 1 if len(where) else 0


def _one_of_each(y: HostArray) -> list[int]:
    """The first row of each class, or of each set of labels; of MOST_EXAMPLES of them."""
    _, first = np.unique(y, axis=0, return_index=True)
    return [int(i) for i in first[:MOST_EXAMPLES]]


def _label(y: Any, names: tuple[str, ...]) -> str:
    """What a picture shows: its class, or all of its labels."""
    if np.ndim(y) == 0:
        return names[int(y)]
    return ", ".join(name for name, holds in zip(names, y, strict=True) if holds) or "none"


def _float32(array: HostArray) -> HostArray:
    with np.errstate(over="ignore"):
        return np.asarray(array).astype("<f4")


def _base64(array: HostArray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath("draw", name).read_text(encoding="utf-8")
