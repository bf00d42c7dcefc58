"""The page to draw on: its Python here, its JavaScript in a browser (marked `full`)."""

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from mlp_xp import Dataset, Model, TrainingResult, load_model, predict, save_model, train
from mlp_xp.devices import CPU
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, Activation
from mlp_xp.nn.losses import Multiclass
from mlp_xp.report.drawing import drawing_script, drawing_section, drawing_style, why_not
from mlp_xp.report.parts import share as written
from mlp_xp.schema import Column, Picture, Schema

SIDE = 28
# The page's variables, which the report's own style defines.
LIGHT = {
    "ink": "#1b1f24", "soft": "#57606a", "line": "#d0d7de", "paper": "#ffffff", "card": "#f6f8fa",
    "accent": "#0072b2", "second": "#d55e00", "third": "#009e73", "for": "#0072b2",
    "against": "#d55e00",
}  # fmt: skip
DARK = {
    "ink": "#e6edf3", "soft": "#9aa4af", "line": "#3d444d", "paper": "#0d1117", "card": "#161b22",
    "accent": "#56b4e9", "second": "#e69f00", "third": "#2fbf94", "for": "#56b4e9",
    "against": "#ff8c42",
}  # fmt: skip
NASTY = ("<script>alert(1)</script>", "</script>", "<!--<script>", "a & b", "<img src=x onerror=x>")


def new_model(sizes: tuple[int, ...] = (784, 12, 10), **settings: Any) -> Model:
    """A model that nothing has trained, for pictures in bytes."""
    model = Model.initialize(CPU(), sizes, **settings)
    model.input_scale = 255.0
    model.value_range = np.zeros(sizes[0]), np.full(sizes[0], 255.0)
    return model


def new_rows(model: Model, rng: np.random.Generator, count: int = 3) -> np.ndarray:
    return rng.integers(0, 256, (count, model.sizes[0]), dtype=np.uint8)


def page_of(model: Model, X: np.ndarray, y: np.ndarray) -> str:
    """The section on a page as the report has it."""
    colors, dark = ("; ".join(f"--{k}: {v}" for k, v in c.items()) for c in (LIGHT, DARK))
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Draw</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>:root {{ {colors} }}
@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }} :root[data-theme="dark"] {{ {dark} }}
body {{ margin: 0 auto; padding: 1rem; max-width: 70rem; font: 16px/1.5 sans-serif;
color: var(--ink); background: var(--paper) }}
{drawing_style()}</style><main>{drawing_section(model, X, y)}</main>
<script>{drawing_script()}</script>"""


class ModelText(HTMLParser):
    """The text of the script that holds the model, as a browser reads it, and all tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self.inside = "", [], False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = ("id", "draw-model") in attrs

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data
            self.inside = False


def content_of(section: str) -> dict[str, Any]:
    return json.loads(ModelText(section).text)


def decoded(text: str, dtype: str = "<f4") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


# -- In Python -------------------------------------------------------------------------------------


def test_the_page_has_the_models_own_numbers(rng):
    model = new_model(activation="gelu")
    model.standardize(rng.random(784), rng.random(784) + 0.5)
    X = new_rows(model, rng, 2)
    content = content_of(drawing_section(model, X, np.array([7, 2])))
    for layer, there in zip(model.layers, content["layers"], strict=True):
        np.testing.assert_array_equal(decoded(there["W"]), layer.W.ravel())
        np.testing.assert_array_equal(decoded(there["b"]), layer.b)
    np.testing.assert_array_equal(decoded(content["mean"], "<f8"), model.standardization[0])
    np.testing.assert_array_equal(decoded(content["std"], "<f8"), model.standardization[1])
    assert [(e["label"], *decoded(e["values"])) for e in content["examples"]] == [
        ("2", *X[1]), ("7", *X[0])
    ]  # fmt: skip
    kept = {name: content[name] for name in ("height", "width", "channels", "low", "high", "scale")}
    assert kept == {
        "height": 28, "width": 28, "channels": 1, "low": 0, "high": 255, "scale": 255
    }  # fmt: skip


def test_names_stay_text(rng):
    model = new_model((64, 5))
    model.schema = Schema(output_names=NASTY)
    section = drawing_section(model, new_rows(model, rng), np.array([0, 1, 2]))
    content = content_of(section)
    assert tuple(content["classes"]) == NASTY
    assert [example["label"] for example in content["examples"]] == list(NASTY[:3])
    assert ModelText(section).tags == ModelText(plain_section(rng)).tags
    assert not re.search("</script|<!--", section.partition("draw-model")[2].rpartition("</sc")[0])


def plain_section(rng: np.random.Generator) -> str:
    model = new_model((64, 5))
    return drawing_section(model, new_rows(model, rng), np.array([0, 1, 2]))


def test_a_model_of_the_default_size_is_under_1_5_mb(rng):
    model = new_model((784, 256, 10))
    X = new_rows(model, rng, 100)
    assert len(drawing_section(model, X, np.arange(100) % 10)) < 1_500_000


def test_examples_show_each_class_or_set_of_labels_once(rng):
    model = new_model((64, 30))
    y = np.arange(60) % 30
    examples = content_of(drawing_section(model, new_rows(model, rng, 60), y))["examples"]
    assert [example["label"] for example in examples] == [str(k) for k in range(12)]
    labels = new_model((64, 3), objective="multilabel")
    labels.schema = Schema(output_names=("red", "green", "blue"))
    y = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    examples = content_of(drawing_section(labels, new_rows(labels, rng), y))["examples"]
    assert [example["label"] for example in examples] == ["none", "red, blue"]
    assert content_of(drawing_section(labels, np.empty((0, 64)), y[:0]))["examples"] == []


def test_how_much_of_a_picture_digits_fill(mnist, rng):
    """20 of MNIST's 28 pixels, as its page says (yann.lecun.com/exdb/mnist)."""
    X, y, _ = mnist.test.take(0, 200)
    model = new_model()
    for pictures in (X, 255 - X, X[:0]):
        content = content_of(drawing_section(model, pictures, y[: len(pictures)]))
        assert content["filled"] == 20 / 28
    X = rng.integers(0, 256, (9, 784))
    assert content_of(drawing_section(model, X, y[:9]))["filled"] == 1
    assert content_of(drawing_section(model, X * 0, y[:9]))["filled"] == 20 / 28


@pytest.mark.parametrize(("ground", "dark_ink"), [(0, False), (255, True)])
def test_ink_is_what_the_ground_is_not(ground, dark_ink, rng):
    X = np.full((4, 8, 8), ground, dtype=np.uint8)
    X[:, 2:6, 2:6] = 255 - ground
    section = drawing_section(new_model((64, 2)), X.reshape(4, 64), np.zeros(4, dtype=int))
    assert content_of(section)["darkInk"] is dark_ink


def test_the_range_is_found_without_the_models(rng):
    model = new_model((64, 2))
    model.value_range = None
    X, y = rng.uniform(-3, 9, (5, 64)), np.zeros(5, dtype=int)
    content = content_of(drawing_section(model, X, y))
    assert (content["low"], content["high"]) == (X.min(), X.max())
    content = content_of(drawing_section(model, X[:0], y[:0]))
    assert (content["low"], content["high"]) == (0, 255)


def columns(names: list[str]) -> Schema:
    return Schema(tuple(Column(name, "number") for name in names), tuple(names))


@pytest.mark.parametrize(
    "names",
    [
        [f"pixel{i}" for i in range(64)],
        [f"pixel_{i}_{j}" for i in range(8) for j in range(8)],
        [f"{i}x{j}" for i in range(8) for j in range(8)],
    ],
)
def test_a_table_of_pixels_is_of_pictures(names):
    model = new_model((64, 3))
    model.schema = columns(names)
    assert why_not(model) is None
    model.schema = columns([*names[:-1], "age"])
    assert "64 inputs aren't known to be" in why_not(model)


def test_why_nobody_can_draw(monkeypatch):
    assert why_not(new_model()) is None
    assert why_not(new_model((60, 3))) == "its 60 inputs aren't known to be a picture's pixels"
    assert "3,072 inputs" in why_not(new_model((3072, 3)))  # in which order its colors are
    assert "49 inputs" in why_not(new_model((49, 3)))  # rather a table's
    model = new_model((60, 3))
    model.schema = Schema(picture=Picture(4, 5, 3))
    assert why_not(model) is None
    assert "regression" in why_not(new_model(objective="regression"))
    assert "4,024,587 weights" in why_not(new_model((784, 5056, 11)))
    model = new_model(dtype="float64")
    model.layers[0].W[3, 4] = 1e39
    assert "float32" in why_not(model)


def test_ones_own_activation_and_objective_are_refused(monkeypatch):
    mine = Activation(lambda xp, Z: Z * 2, lambda xp, Z, A: xp.full_like(Z, 2), "he")
    monkeypatch.setitem(ACTIVATIONS, "double", mine)
    assert why_not(new_model(activation="double")) == (
        "its activation double isn't one of the package's own"
    )
    monkeypatch.setitem(ACTIVATIONS, "relu", mine)  # whatever it is called
    assert "activation relu" in why_not(new_model())

    @dataclasses.dataclass(frozen=True)
    class Focal(Multiclass):
        pass

    monkeypatch.setitem(OBJECTIVES, "focal", Focal)
    assert "objective is focal" in why_not(new_model(activation="tanh", objective="focal"))


def test_the_style_needs_only_the_pages_variables():
    assert set(re.findall(r"var\(--(\w+)", drawing_style())) <= {*LIGHT, "lit", "hue", "columns"}


def test_the_script_can_stand_in_a_page():
    script = drawing_script()
    assert "</script" not in script
    assert "<!--" not in script
    assert script.startswith('(() => {\n"use strict";')


# -- In a browser ----------------------------------------------------------------------------------

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def trained(mnist: Dataset) -> TrainingResult:
    """A model of MNIST that is good enough to know digits that are traced."""
    X, y = mnist.train.X[:30_000], mnist.train.y[:30_000]
    return train(X, y, hidden=(64,), epochs=2, seed=1, validation=0.1)


@pytest.fixture(scope="session")
def digits(mnist: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """1,000 test digits."""
    X, y, _ = mnist.test.take(0, 1000)
    return X, y


@pytest.fixture
def drawing(open_html: Open, trained: TrainingResult, digits: tuple[np.ndarray, np.ndarray]) -> Any:
    """The page of that model, wide and light."""
    return open_html(page_of(trained.network, *digits))


def strokes_of(digit: np.ndarray) -> Iterator[list[tuple[float, float]]]:
    """A digit's dark pixels row by row, as short strokes (x, y) in pixels.

    Of its inner pixels, as the pen is two pixels wide: those with ink on all four sides.
    """
    ink = np.pad(digit.reshape(SIDE, SIDE) > 60, 1)
    inner = ink[1:-1, 1:-1] & ink[2:, 1:-1] & ink[:-2, 1:-1] & ink[1:-1, 2:] & ink[1:-1, :-2]
    for y, row in enumerate(inner):
        edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield [(start + 0.5, y + 0.5), (end - 0.5, y + 0.5)]


def draw(page: Any, strokes: Any, side: tuple[int, int] = (SIDE, SIDE)) -> None:
    """Draw by pointer events, all of them before the next frame; points (x, y) in pixels."""
    page.evaluate(
        """([strokes, [width, height]]) => {
            const canvas = document.getElementById("draw-canvas");
            const box = canvas.getBoundingClientRect();
            const [across, down] = [box.width / width, box.height / height];
            const send = (name, [x, y]) => canvas.dispatchEvent(new PointerEvent(name, {
                bubbles: true, pointerId: 7, pointerType: "pen", isPrimary: true, buttons: 1,
                clientX: box.left + x * across, clientY: box.top + y * down,
            }));
            for (const points of strokes) {
                send("pointerdown", points[0]);
                for (const point of points.slice(1)) send("pointermove", point);
                send("pointerup", points.at(-1));
            }
            mlp_xp.update();
        }""",
        [[[[float(x), float(y)] for x, y in stroke] for stroke in strokes], side],
    )


def answer(page: Any) -> str:
    return page.locator("#draw-answer strong").inner_text()


def seen(page: Any) -> np.ndarray:
    return np.array(page.evaluate("mlp_xp.seen()"))


def predicted_there(page: Any, X: np.ndarray) -> np.ndarray:
    """What the page predicts for rows of uint8 or float32."""
    assert X.dtype in (np.uint8, np.float32)
    return np.array(
        page.evaluate(
            """([text, n, isBytes]) => {
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                const values = isBytes ? bytes : new Float32Array(bytes.buffer);
                const rows = [];
                for (let i = 0; i < values.length; i += n) rows.push(values.subarray(i, i + n));
                return mlp_xp.predict(rows);
            }""",
            [base64.b64encode(X.tobytes()).decode(), X.shape[1], X.dtype == np.uint8],
        )
    )


@pytest.mark.full
def test_it_opens_and_explains_itself(drawing, trained, digits):
    """open_html() has seen no error and no request."""
    X, y = digits
    first = int(np.flatnonzero(y == 0)[0])
    np.testing.assert_array_equal(seen(drawing), X[first])
    assert "The picture shows 0." in drawing.locator("#draw-answer").inner_text()
    assert drawing.locator(".draw-units button").count() == 64
    bars = drawing.locator("#draw-bars button").all_inner_texts()
    p = predict(trained.network, X[first : first + 1])[0]
    assert [re.split(r"\s+", bar) for bar in bars] == [
        [str(k), *written(share, 1).split()] for k, share in enumerate(p)
    ]


@pytest.mark.full
@pytest.mark.parametrize("digit", range(10))
def test_a_digit_is_drawn_and_known(digit, drawing, trained, digits):
    X, y = digits
    p = predict(trained.network, X)[:, digit]
    bold = np.where((y == digit) & (p > 0.99), X.sum(axis=1, dtype=int), 0).argsort()[-3:]
    said = []
    for row in bold:
        draw(drawing, strokes_of(X[row]))
        said.append(answer(drawing))
        # It is the same picture: what ink there is lies where the digit's does.
        assert np.corrcoef(seen(drawing), X[row])[0, 1] > 0.7
        drawing.get_by_role("button", name="Clear").click()
    assert said == [str(digit)] * 3


@pytest.mark.full
def test_a_mouse_draws(drawing):
    canvas = drawing.locator("#draw-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2
    drawing.mouse.move(middle, box["y"] + 0.2 * box["height"])
    drawing.mouse.down()
    drawing.mouse.move(middle, box["y"] + 0.8 * box["height"], steps=8)
    drawing.mouse.up()
    drawing.wait_for_function("document.querySelector('#draw-answer strong').textContent === '1'")
    drawing.mouse.move(box["x"], box["y"])  # with the pen up
    before = seen(drawing)
    drawing.evaluate("mlp_xp.update()")
    np.testing.assert_array_equal(seen(drawing), before)
    drawing.wait_for_function(
        "document.getElementById('draw-spoken').textContent.startsWith('The network says 1 with')"
    )


@pytest.mark.full
@pytest.mark.parametrize("small", [1, 0.5])
def test_ink_is_placed_as_mnist_places_it(small, drawing):
    """An L in a corner: 20 pixels long, and its center of mass in the middle."""
    left, top, length = 2.0, 3.0, 12 * small
    draw(drawing, [[(left, top), (left, top + length), (left + length / 2, top + length)]])
    picture = seen(drawing).reshape(SIDE, SIDE)
    rows, columns = (np.flatnonzero(picture.max(axis=axis) > 25) for axis in (1, 0))
    assert np.ptp(rows) + 1 in (20, 21)
    assert np.ptp(columns) + 1 < 16
    places = np.arange(SIDE) + 0.5
    assert (picture.sum(axis=1) @ places) / picture.sum() == pytest.approx(14, abs=0.02)
    assert (picture.sum(axis=0) @ places) / picture.sum() == pytest.approx(14, abs=0.02)
    assert picture.max() == pytest.approx(255)
    assert picture.min() == 0


@pytest.mark.full
def test_a_dot_is_enlarged_four_times_at_most(drawing):
    """The picture's sum is the area of the pen's round tip, so averages lose nothing."""
    draw(drawing, [[(14, 14)]])
    radius = 0.04 * SIDE * 4
    assert seen(drawing).sum() / 255 == pytest.approx(np.pi * radius**2, rel=0.02)


@pytest.mark.full
def test_examples_erasing_and_undo(drawing, digits):
    X, y = digits
    drawing.get_by_role("button", name="Start from a picture of 7").click()
    start = X[np.flatnonzero(y == 7)[0]]
    np.testing.assert_array_equal(seen(drawing), start)
    assert answer(drawing) == "7"
    eraser = drawing.get_by_role("button", name="Eraser")
    eraser.click()
    assert eraser.get_attribute("aria-pressed") == "true"
    draw(drawing, [[(x, 0), (x, 28)] for x in np.arange(0, 14.5, 0.5)])
    erased = seen(drawing).reshape(SIDE, SIDE)
    assert erased[:, :14].max() < 1  # the left half is gone, and the right one where it was
    np.testing.assert_allclose(erased[:, 16:], start.reshape(SIDE, SIDE)[:, 16:], atol=0.5)
    eraser.click()
    draw(drawing, [[(3, 3), (3, 25)]])
    assert seen(drawing).reshape(SIDE, SIDE)[4:24, 2:4].min() > 250
    undo = drawing.get_by_role("button", name="Undo")
    undo.click()
    np.testing.assert_allclose(seen(drawing).reshape(SIDE, SIDE), erased, atol=1e-9)
    for _ in range(29):
        undo.click()
    np.testing.assert_array_equal(seen(drawing), start)
    drawing.get_by_role("button", name="Clear").click()
    assert seen(drawing).max() == 0
    assert "Even of an empty picture" in drawing.locator("#draw-answer").inner_text()
    undo.click()
    np.testing.assert_array_equal(seen(drawing), start)


def test_what_is_erased_leaves_nothing(drawing):
    drawing.get_by_role("button", name="Clear").click()
    draw(drawing, [[(14, 9), (14, 19)]])
    alone = seen(drawing)
    draw(drawing, [[(25, 25), (25, 25)]])
    drawing.keyboard.press("Tab")
    drawing.locator("#draw-canvas").press("E")  # as with Caps Lock
    draw(drawing, [[(25, 25), (25, 25)]])
    np.testing.assert_array_equal(seen(drawing), alone)  # no edge of it that fit() would count


@pytest.mark.full
@pytest.mark.parametrize("objective", ["multiclass", "multilabel"])
@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "gelu", "tanh", "sigmoid", "identity"]
)
def test_it_agrees_with_predict(activation, objective, open_html, digits):
    X, y = digits
    model = new_model((784, 40, 24, 10), activation=activation, objective=objective, seed=5)
    for layer in model.layers:
        layer.W *= 3  # so that the answers are sure
        layer.b += np.linspace(-0.5, 0.5, len(layer.b), dtype="float32")
    if objective == "multilabel":
        Z = X / np.float32(255)
        model.standardize(Z.mean(axis=0), Z.std(axis=0) + 0.2)
        y = np.eye(10, dtype=int)[y]
    page = open_html(page_of(model, X, y))
    expected = predict(model, X)
    assert expected.max() > 0.9
    np.testing.assert_allclose(predicted_there(page, X), expected, rtol=0, atol=1e-5)


@pytest.mark.full
def test_the_trained_model_agrees_with_predict(drawing, trained, digits):
    X, _ = digits
    np.testing.assert_allclose(
        predicted_there(drawing, X), predict(trained.network, X), rtol=0, atol=1e-5
    )


@pytest.mark.full
@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "gelu", "tanh", "sigmoid", "identity"]
)
def test_the_gradient_is_that_of_backward(activation, open_html, digits):
    """Network.backward in float64, whose first db is the gradient in Z[0]; and a difference."""
    model = new_model((784, 30, 20, 10), activation=activation, dtype="float32", seed=2)
    model.standardize(np.full(784, 0.13), np.full(784, 0.31))
    X, y = digits
    page = open_html(page_of(model, X[:20], y[:20]))
    exact = new_model((784, 30, 20, 10), activation=activation, dtype="float64", seed=2)
    for layer, rounded in zip(exact.layers, model.layers, strict=True):
        layer.W[...] = rounded.W
    x = model.prepare(X[:1]).astype("float64")
    A, Z = exact.forward(x)
    for k in (0, 7):
        there = np.array(page.evaluate(f"mlp_xp.gradient({X[0].tolist()}, {k})"))
        db = exact.backward(A, Z, np.eye(10)[[k]])[1]
        np.testing.assert_allclose(there, exact.layers[0].W @ db, rtol=1e-9, atol=1e-12)
        step = 1e-6 * np.random.default_rng(k).standard_normal(784)
        up, down = (exact.logits(x + sign * step)[0, k] for sign in (1, -1))
        assert (up - down) / 2 == pytest.approx(there @ step, rel=1e-5)


@pytest.mark.full
def test_the_colors_are_the_signs_of_the_gradient(drawing, digits):
    """Blue where more ink speaks for the class that is asked for; ink on blue does so indeed."""
    X, y = digits
    row = X[np.flatnonzero(y == 0)[0]]
    drawing.locator("#draw-bars button").nth(6).click()
    assert drawing.locator("#draw-asked").inner_text() == "6"
    assert (
        "The gradient of the logit of 6, its score before it becomes a probability, in each pixel"
        in (drawing.locator("#draw-gradient-note").inner_text())
    )
    gradient = np.array(drawing.evaluate(f"mlp_xp.gradient({row.tolist()}, 6)"))
    colors = pixels(drawing, "#draw-gradient")
    strongest = np.abs(gradient).argsort()[-60:]
    is_blue = colors[:, 2].astype(int) > colors[:, 0]
    np.testing.assert_array_equal(is_blue[strongest], gradient[strongest] > 0)
    most = np.abs(gradient).argmax()
    hue = LIGHT["for" if gradient[most] > 0 else "against"]
    assert "#" + bytes(colors[most, :3]).hex() == hue
    drawing.get_by_role("button", name="Only where there is ink").click()
    colors = pixels(drawing, "#draw-gradient")
    card = list(bytes.fromhex(LIGHT["card"][1:]))
    assert (colors[row == 0, :3] == card).all()
    assert (colors[row > 200, :3] != card).any(axis=1).mean() > 0.9


def pixels(page: Any, canvas: str) -> np.ndarray:
    """(pixels, 4)"""
    data = page.evaluate(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const { width, height } = canvas;
            const copy = new OffscreenCanvas(width, height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            return [...context.getImageData(0, 0, width, height).data];
        }""",
        canvas,
    )
    return np.array(data, dtype=np.uint8).reshape(-1, 4)


@pytest.mark.full
def test_a_unit_shows_its_own_weights(drawing, trained):
    drawing.locator(".draw-units button").nth(5).click()
    weights = trained.network.layers[0].W[:, 5]
    colors = pixels(drawing, ".draw-unit canvas")
    most = np.abs(weights).argsort()[-60:]
    np.testing.assert_array_equal(colors[most, 2].astype(int) > colors[most, 0], weights[most] > 0)
    out = trained.network.layers[1].W[5]
    assert f"most for {out.argmax()} (weight {out.max():.2f})" in (
        drawing.locator(".draw-tells").inner_text()
    )


@pytest.mark.full
def test_a_unit_further_up_shows_its_weights_multiplied_back(open_html, digits):
    model = new_model((784, 30, 20, 10), activation="tanh", seed=2)
    page = open_html(page_of(model, *digits))
    assert page.locator(".draw-layer").count() == 2
    page.locator(".draw-units").nth(1).locator("button").nth(3).click()
    expected = model.layers[0].W @ model.layers[1].W[:, 3]
    colors = pixels(page, ".draw-layer:nth-child(2) .draw-unit canvas")
    most = np.abs(expected).argsort()[-60:]
    np.testing.assert_array_equal(colors[most, 2].astype(int) > colors[most, 0], expected[most] > 0)
    text = page.locator(".draw-looks-for").nth(1).inner_text()
    assert "multiplied back through the layers before it as if they had no activations" in text


@pytest.mark.full
def test_the_keyboard_suffices(drawing):
    focused = "document.activeElement"
    for _ in range(30):
        drawing.keyboard.press("Tab")
        if drawing.evaluate(f"{focused}.id") == "draw-canvas":
            break
    cursor = drawing.locator("#draw-cursor")
    assert cursor.is_visible()
    for _ in range(8):
        drawing.keyboard.press("ArrowUp")
    drawing.keyboard.press(" ")
    for _ in range(16):
        drawing.keyboard.press("ArrowDown")
    drawing.keyboard.press("Enter")
    drawing.keyboard.press("ArrowLeft")  # with the pen up
    drawing.evaluate("mlp_xp.update()")
    assert answer(drawing) == "1"
    drawing.keyboard.press("Escape")
    assert seen(drawing).max() == 0
    drawing.keyboard.press("z")
    assert seen(drawing).max() == 255
    drawing.keyboard.press("Delete")
    assert seen(drawing).max() == 0
    reached = set()
    for _ in range(40):
        drawing.keyboard.press("Tab")
        reached.add(drawing.evaluate(f"{focused}.id || {focused}.textContent || 'unit'"))
        assert drawing.evaluate(f"{focused} === document.body || "
            f"getComputedStyle({focused}).outlineStyle === 'solid'")  # fmt: skip
        if drawing.evaluate(f"{focused}.closest('.draw-units') !== null"):
            break
    assert reached >= {"draw-eraser", "draw-undo", "draw-clear", "draw-times-ink", "unit"}
    drawing.keyboard.press("Home")
    drawing.keyboard.press("ArrowRight")
    drawing.keyboard.press("ArrowDown")
    drawing.keyboard.press("Enter")
    assert drawing.locator(".draw-unit h4").inner_text().startswith("Unit 9:")  # of 8 a row
    assert drawing.locator(".draw-units button[tabindex='0']").count() == 1


@pytest.mark.full
def test_a_phone(open_html, trained, digits):
    page = open_html(
        page_of(trained.network, *digits),
        viewport={"width": 375, "height": 667}, has_touch=True, is_mobile=True,
    )  # fmt: skip
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """() => [...document.querySelectorAll("#draw button")]
            .filter((button) => !button.closest(".draw-units"))
            .map((button) => [button.textContent, button.offsetWidth, button.offsetHeight])
            .filter(([, width, height]) => width < 40 || height < 40)"""
    )
    assert small == []
    canvas = page.locator("#draw-canvas")
    canvas.scroll_into_view_if_needed()
    box, scrolled = canvas.bounding_box(), page.evaluate("scrollY")
    finger = page.context.new_cdp_session(page)
    x = box["x"] + box["width"] / 2
    for step in range(11):
        y = box["y"] + box["height"] * (0.2 + 0.06 * step)
        finger.send(
            "Input.dispatchTouchEvent",
            {"type": "touchMove" if step else "touchStart", "touchPoints": [{"x": x, "y": y}]},
        )
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("document.getElementById('draw-quick').textContent === '→ 1'")
    assert page.evaluate("scrollY") == scrolled  # drawing doesn't scroll


@pytest.mark.full
def test_names_are_shown_as_text(open_html, rng):
    """open_html() would have seen a dialog, a request or an error."""
    model = new_model((64, 8, 5))
    model.schema = Schema(output_names=NASTY)
    page = open_html(page_of(model, new_rows(model, rng, 5), np.arange(5)))
    for name in NASTY:
        page.get_by_role("button", name=f"Start from a picture of {name}", exact=True).click()
        assert page.locator("#draw-answer").inner_text().endswith(f"The picture shows {name}.")
    assert page.locator("#draw-bars .draw-name").all_inner_texts() == list(NASTY)
    assert page.locator("#draw script, #draw img").count() == 1


@pytest.mark.full
def test_colors_follow_the_theme(open_html, trained, digits):
    page = open_html(page_of(trained.network, *digits), color_scheme="light")

    def check(card: str) -> None:
        """The gradient's ground turns into the card; the picture, which is data, stays black."""
        for _ in range(40):
            ground = bytes(pixels(page, "#draw-gradient")[0, :3]).hex()
            if f"#{ground}" == card:
                break
            page.wait_for_timeout(50)
        assert f"#{ground}" == card
        assert (pixels(page, "#draw-seen")[0, :3] == 0).all()

    page.get_by_role("button", name="Only where there is ink").click()
    check(LIGHT["card"])
    page.emulate_media(color_scheme="dark")
    check(DARK["card"])
    page.emulate_media(color_scheme="light")
    check(LIGHT["card"])
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    check(DARK["card"])


@pytest.mark.full
def test_an_update_takes_less_than_50_ms(open_html, digits):
    model = new_model((784, 256, 10))
    page = open_html(page_of(model, *digits))
    draw(page, strokes_of(digits[0][0]))
    median = page.evaluate(
        """() => Array.from({ length: 15 }, () => {
            const start = performance.now();
            mlp_xp.update();
            document.body.offsetHeight; // the layout, too
            return performance.now() - start;
        }).sort((a, b) => a - b)[7]"""
    )
    assert median < 50


@pytest.mark.full
def test_pictures_in_color_that_are_no_square(open_html, rng):
    model = new_model((12 * 20 * 3, 9, 4), activation="gelu")
    model.schema = Schema(output_names=("a", "b", "c", "d"), picture=Picture(12, 20, 3))
    X = new_rows(model, rng, 50).reshape(50, 12, 20, 3)
    X[:, :2] = X[:, 10:] = X[:, :, :4] = X[:, :, 16:] = 0  # ink fills 8 of 12 pixels
    X = X.reshape(50, -1)
    page = open_html(page_of(model, X, np.arange(50) % 4))
    np.testing.assert_allclose(predicted_there(page, X), predict(model, X), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(seen(page), X[0])
    shown = pixels(page, "#draw-seen")
    np.testing.assert_array_equal(shown[:, :3], X[0].reshape(-1, 3))
    page.get_by_role("button", name="Clear").click()
    draw(page, [[(2, 2), (2, 9)]], (20, 12))
    picture = seen(page).reshape(12, 20, 3)
    assert (picture == picture[:, :, :1]).all()
    rows = np.flatnonzero(picture[:, :, 0].max(axis=1) > 25)
    assert np.ptp(rows) + 1 in (8, 9)  # as the examples do


@pytest.mark.full
def test_dark_ink_on_light_ground_in_floats(open_html, digits):
    """Ink is what raises a blue unit, also where it is the lower value."""
    X, y = 1 - digits[0][:100] / np.float32(255), digits[1][:100]
    result = train(X, y, hidden=(16,), epochs=1)
    model = result.network
    page = open_html(page_of(model, X, y))
    np.testing.assert_allclose(predicted_there(page, X), predict(model, X), rtol=0, atol=1e-5)
    assert pixels(page, "#draw-seen")[0, 0] == 255
    draw(page, [[(8, 8), (20, 20)]])
    picture = seen(page).reshape(SIDE, SIDE)
    assert (picture[0, 0], picture.max()) == (1, 1)
    assert picture.min() == pytest.approx(0, abs=1e-6)
    page.locator(".draw-units button").nth(5).click()
    weights = model.layers[0].W[:, 5]
    colors = pixels(page, ".draw-unit canvas")
    most = np.abs(weights).argsort()[-60:]
    np.testing.assert_array_equal(colors[most, 2].astype(int) > colors[most, 0], weights[most] < 0)


@pytest.mark.full
def test_no_hidden_layer_many_classes_and_many_units(open_html, rng):
    plain = new_model((64, 300))
    X = new_rows(plain, rng, 40)
    page = open_html(page_of(plain, X, np.arange(40)))
    assert page.locator(".draw-layer").count() == 0
    p = predict(plain, X[:1])[0]
    names = page.locator("#draw-bars .draw-name").all_inner_texts()
    assert names == [str(k) for k in (-p).argsort(kind="stable")[:10]]
    wide = new_model((64, 600, 3), seed=9)
    page = open_html(page_of(wide, X, np.arange(40) % 3))
    shown = page.evaluate(
        "[...document.querySelectorAll('.draw-units button')].map(b => b.ariaLabel)"
    )
    largest = np.square(wide.layers[1].W).sum(axis=1).argsort()[-256:]
    assert shown == [f"Unit {unit}" for unit in sorted(largest)]
    assert "256 of its 600 units" in page.locator(".draw-layer-note").inner_text()


@pytest.mark.full
def test_several_labels_are_all_said(open_html, rng):
    model = new_model((64, 6, 3), objective="multilabel")
    model.schema = Schema(output_names=("red", "green", "blue"))
    model.layers[-1].W *= 0
    model.layers[-1].b[:] = [5, -5, 5]
    page = open_html(page_of(model, new_rows(model, rng), np.array([[1, 0, 0]] * 3)))
    assert page.locator("#draw-answer").inner_text() == "red, blue. The picture shows red."
    assert page.locator("#draw-bars button").all_inner_texts()[0].split() == ["red", "99.3", "%"]


@pytest.mark.full
def test_a_model_from_a_file_is_the_same(open_html, trained, digits, tmp_path):
    save_model(trained.network, tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors", CPU())
    assert why_not(model) is None
    assert drawing_section(model, *digits) == drawing_section(trained.network, *digits)
