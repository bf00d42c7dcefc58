"""The figures of a report: the findings are in them, whatever they are called, in every format."""

import io
import re
import subprocess
import sys
import warnings
from importlib import import_module
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlp_xp import InputError
from mlp_xp.errors import TrainingWarning
from mlp_xp.report.findings import (
    Answer,
    Calibration,
    ColumnUse,
    Curves,
    Histogram,
    Numbers,
    UnitPictures,
)
from mlp_xp.schema import Picture

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")

from mlp_xp.report import figures  # noqa: E402  (it imports matplotlib)
from mlp_xp.report.figures import style  # noqa: E402

NASTY = ("<script>alert(1)</script>", "$x^2$ & y", "漢字 😀", 'a "quote"\n#0072b2', "")


def curves(name: str = "run", count: int = 3, **changes: object) -> Curves:
    epochs = list(range(1, count + 1))
    values = {
        "loss": [1 / e for e in epochs], "validation": [1 / e + 0.1 for e in epochs],
        "accuracy": [1 - 0.5 / e for e in epochs], "rates": [0.1 / e for e in epochs], **changes,
    }  # fmt: skip
    return Curves(name, epochs, **values)


def lines_of(axes) -> list[np.ndarray]:
    """The points (n, 2) of each line with more than a point, or of all if there is no other."""
    return [line.get_xydata() for line in axes.lines if len(line.get_xdata())]


def texts_of(figure) -> list[str]:
    """All texts that are drawn, in the SVG, with any space as a plain one."""
    return [
        text.replace("\N{NO-BREAK SPACE}", " ") for text in texts_in(figures.to_svg(figure, "x"))
    ]


def texts_in(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter("text")]


# ---- the findings are in the figures


def test_curves_are_the_epochs():
    run = curves(validation=[None, 0.6, float("nan")], kept=2)
    loss, accuracy, rate = figures.draw_curves([run]).axes
    training, validation = lines_of(loss)[:2]
    np.testing.assert_array_equal(training, np.c_[run.epochs, run.loss])
    np.testing.assert_array_equal(validation[:, 1], [np.nan, 0.6, np.nan])
    np.testing.assert_array_equal(lines_of(accuracy)[0][:, 1], run.accuracy)
    np.testing.assert_array_equal(lines_of(rate)[0][:, 1], run.rates)
    texts = texts_of(loss.figure)
    assert {"training", "validation", "epoch 2 kept", "loss (nats)", "epoch"} <= set(texts)
    # Between gaps a line alone would show nothing.
    assert [line.get_marker() for line in loss.lines if len(line.get_xdata()) == 3] == ["o", "o"]


@pytest.mark.parametrize(
    ("losses", "scale"), [([1.0, 0.05], "log"), ([1.0, 0.2], "linear"), ([1.0, 0.0], "linear")]
)
def test_a_logarithmic_axis_only_where_it_shows_more(losses, scale):
    run = Curves("r", [1, 2], losses, [None] * 2, [None] * 2, [None] * 2)
    (axes,) = figures.draw_curves([run]).axes
    assert axes.get_yscale() == scale
    assert not any("$" in text for text in texts_of(axes.figure))


def test_a_single_epoch_and_none_at_all():
    figure = figures.draw_curves([curves(count=1)])
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["1"]
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)
    figure = figures.draw_curves([Curves("r", [1], [float("nan")], [None], [None], [None])])
    assert "loss (nats)" in texts_of(figure)


def test_eight_runs_differ_in_color_and_marker():
    runs = [curves(f"run {i}", kept=2 if i else None, count=40) for i in range(8)]
    figure = figures.draw_curves(runs)
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 40]
    assert len(drawn) == 16
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 8
    assert {f"run {i}" for i in range(8)} | {"epoch kept"} <= set(texts_of(figure))


def test_a_confusion_matrix_in_numbers():
    confusion = np.array([[9, 1], [0, 4]])
    texts = texts_of(figures.draw_confusion(confusion, ["no", "yes"]))
    for text in ("9", "90 %", "1", "10 %", "4", "100 %", "no", "yes", "predicted", "true"):
        assert text in texts


@pytest.mark.parametrize("K", [30, 1000])
def test_many_classes_are_an_image(K):
    confusion = np.diag(np.full(K, 99))
    confusion[3, 20] = 1
    figure = figures.draw_confusion(confusion, [f"class {k}" for k in range(K)])
    image = figure.axes[0].images[0].get_array()
    blocks = -(-K // 500)
    alpha = image[..., 3].copy()
    assert alpha[3 // blocks, 20 // blocks] > 0.2
    np.testing.assert_allclose(
        image[3 // blocks, 20 // blocks, :3], matplotlib.colors.to_rgb(style.AGAINST)
    )
    alpha[3 // blocks, 20 // blocks] = 0
    np.testing.assert_array_equal(alpha > 0, np.eye(len(alpha), dtype=bool))
    named = [text for text in texts_of(figure) if text.startswith("class ")]
    assert 20 <= len(named) <= 100  # on both sides
    assert "class 0" in named


def test_a_class_without_rows_is_an_empty_row():
    figure = figures.draw_confusion(np.array([[0, 0], [1, 3]]), ["a", "b"])
    cells = figure.axes[0].collections[0].get_facecolors()
    np.testing.assert_allclose(cells[:, 3], [0.5, 0.75**0.5])


def test_calibration():
    found = Calibration(
        np.linspace(0, 1, 5), np.array([0, 1, 1, 998]), np.array([np.nan, 0.4, 0.6, 0.9]),
        np.array([np.nan, 0.0, 1.0, 0.8]), 0.0123,
    )  # fmt: skip
    figure = figures.draw_calibration(found)
    np.testing.assert_array_equal(
        lines_of(figure.axes[0])[1], np.c_[found.confidence, found.right][1:]
    )
    texts = texts_of(figure)
    assert "expected calibration error 1.2 %" in texts
    assert [text for text in texts if text in ("<1", "100", ">99")] == ["<1", "<1", ">99"]


@pytest.mark.parametrize(("channels", "size"), [(1, 6), (3, 18)])
def test_answers_with_pictures(channels, size):
    x = np.arange(size, dtype=np.uint8)
    answers = [Answer(5, "7", "2", 0.1, 0.876, x), Answer(6, "3", "3", 0.4, 0.4, x)]
    figure = figures.draw_answers(answers, Picture(3, 2, channels), 0, 255)
    image = np.squeeze(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(image, x.reshape(image.shape) / 255)
    assert {"2, not 7", "88 %", "3", "40 %"} <= set(texts_of(figure))


def test_answers_of_a_table_are_bars():
    x = np.zeros(2)
    answers = [Answer(17, "a", "b", 0.25, 0.5, x), Answer(3, "a", "a", 0.4, 0.4, x)]
    figure = figures.draw_answers(answers, None)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.5, 0.25, 0.4]
    assert {"row 17: b (true: a)", "row 3: a", "50.0 %", "25.0 %"} <= set(texts_of(figure))


def test_numbers_as_answers_each_target_in_its_own_units():
    x = np.zeros(2)
    answers = [
        Answer(1, 10.0, 2.5, None, None, x, "cm"), Answer(2, 1e6, -5.0, None, None, x, "EUR"),
    ]  # fmt: skip
    figure = figures.draw_answers(answers, None)
    for axes, answer in zip(figure.axes, answers, strict=True):
        np.testing.assert_array_equal(lines_of(axes)[0][:, 0], [answer.true, answer.given])
    assert {"cm", "EUR", "row 2: −5 (true: 1e+06)"} <= set(texts_of(figure))


def test_units_are_blue_and_orange():
    weights = np.array([[[[2.0], [-1.0]]], [[[0.0], [0.0]]]])  # two of 1 x 2 pixels
    figure = figures.draw_units(UnitPictures(np.array([4, 9]), weights, 10))
    first, second = (axes.images[0].get_array() for axes in figure.axes[:2])
    blue, orange = map(matplotlib.colors.to_rgb, (style.FOR, style.AGAINST))
    np.testing.assert_allclose(first[0], [[*blue, 1], [*orange, 0.5]])
    assert not second[..., 3].any()
    assert {"4", "9"} <= set(texts_of(figure))


def test_units_of_colors_are_colors():
    weights = np.array([[[[1.0, 0.0, -1.0]]]])
    figure = figures.draw_units(UnitPictures(np.array([0]), weights, 1))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[[1, 0.5, 0]]])


def test_columns_the_first_on_top():
    use = ColumnUse(["a", "b"], np.array([3.0, 1]), np.array([0.5, -0.1]), np.zeros(2), "R2", 7)
    figure = figures.draw_columns(use)
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [0.5, -0.1]
    assert [bar.get_width() for bar in right.patches] == [3, 1]
    assert left.yaxis_inverted()
    assert {"a", "b", "fall in R2", "and 7 columns more"} <= set(texts_of(figure))


def test_histograms():
    found = [Histogram(f"layer {i}", np.array([-1.0, 0, 1]), np.array([1200, i])) for i in range(3)]
    figure = figures.draw_histograms(found)
    for axes, histogram in zip(figure.axes, found, strict=False):
        np.testing.assert_array_equal(axes.patches[0].get_data().values, histogram.counts)
    assert {"layer 0", "layer 1", "layer 2"} <= set(texts_of(figure))


def test_numbers_few_as_points_many_as_density():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(1600, 1))
    given_ = true + rng.normal(size=(1600, 1))
    given_[7] = np.nan
    few = figures.draw_numbers(Numbers(["y"], true[:99], given_[:99])).axes
    (points,) = [p for p in lines_of(few[0]) if len(p) > 2]
    np.testing.assert_array_equal(points, np.delete(np.c_[true, given_][:99], 7, axis=0))
    residuals = few[1].patches[0].get_data()
    assert residuals.values.sum() == 98
    assert residuals.edges[-1] == np.nanmax((true - given_)[:99])
    many = figures.draw_numbers(Numbers(["y"], true, given_)).axes
    assert many[0].images
    same = np.full((3, 1), 2.0**50)  # a bin of a histogram is too narrow for such numbers
    assert figures.draw_numbers(Numbers(["y"], same * 0, same)).axes
    assert len(figures.draw_numbers(Numbers(list("abcdefgh"), *np.ones((2, 5, 8)))).axes) == 12


# ---- in a page


def test_svgs_share_a_page():
    confusion = np.eye(len(NASTY), dtype=int)
    drawn = [
        figures.to_svg(figures.draw_curves([curves(), curves("other")]), "first", "Two & <runs>"),
        figures.to_svg(figures.draw_confusion(confusion, NASTY), "second"),
        figures.to_svg(figures.draw_confusion(confusion, NASTY), "third"),
    ]
    page = ElementTree.fromstring(f"<body>{''.join(drawn)}</body>")
    ids = [e.attrib["id"] for e in page.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids)) > 3
    used = re.findall(r"""(?:url\(|href=")#([^)"]+)""", "".join(drawn))
    assert set(used) == set(ids)
    assert {e.tag for e in page.iter()} <= {
        "body", "svg", "g", "path", "text", "use", "defs", "clipPath", "rect", "image", "tspan",
    }  # fmt: skip
    first, second, _ = page
    assert first.attrib["role"] == "img"
    assert first.attrib["aria-label"] == "Two & <runs>"
    assert second.attrib["aria-hidden"] == "true"
    styles = " ".join(e.attrib.get("style", "") for e in page.iter())
    for color in ("ink", "soft", "line", "paper", "accent", "second", "against"):
        assert f"var(--{color})" in styles
    found = {color for color in style.SERIES if color in styles}
    assert not found & {style.ACCENT, style.SECOND}
    assert "font-family: inherit" in first.attrib["style"]
    assert styles.count("font-family") == 3  # on the <svg> alone
    assert "font-size: " in styles


def test_names_stay_text():
    svg = figures.to_svg(figures.draw_confusion(np.eye(len(NASTY), dtype=int), NASTY), "x")
    texts = texts_in(svg)
    for text in ("$x^2$ & y", "漢字 😀", style.cut(NASTY[0], 14), style.cut(NASTY[3], 14)):
        assert texts.count(text) == 2  # on both sides
    assert "<script" not in svg


def test_a_user_s_color_is_no_color_of_ours():
    figure = figures.draw_histograms([Histogram("#0072b2", np.array([0.0, 1]), np.array([1]))])
    assert "#0072b2" in texts_of(figure)


@pytest.mark.full
def test_figures_are_small():
    rng = np.random.default_rng(0)
    long = curves(count=1000, loss=rng.random(1000).tolist(), validation=rng.random(1000).tolist())
    drawn = [
        figures.draw_curves([long]),
        figures.draw_confusion(rng.integers(0, 9, (400, 400)), list(map(str, range(400)))),
        figures.draw_numbers(Numbers(["y"], *rng.random((2, 50_000, 1)))),
    ]
    assert sum(len(figures.to_svg(figure, "x")) for figure in drawn) < 600_000


# ---- in a file


@pytest.mark.full
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_figure_is_the_same_bytes(suffix, tmp_path):
    first, second = (tmp_path / f"{name}{suffix}" for name in ("first", "second"))
    for path in (first, second):
        figures.save(figures.draw_curves([curves()]), path)
    content = first.read_bytes()
    assert content == second.read_bytes()
    assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate|/work|/home", content)
    if suffix == ".png":
        with Image.open(io.BytesIO(content)) as image:
            assert image.width == 3.5 * 300
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    elif suffix == ".svg":
        assert b"training</text>" in content
    else:
        assert content.startswith(b"%PDF")
        assert b"/Type3" not in content  # which journals refuse


def test_signs_that_the_font_lacks(tmp_path):
    def draw():
        return figures.draw_confusion(np.eye(2, dtype=int), ["漢字", "b"])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figures.save(draw(), tmp_path / "x.png")
        figures.save(draw(), tmp_path / "x.svg")
        figures.to_svg(draw(), "x")
    (warning,) = caught
    assert warning.category is TrainingWarning
    assert re.search(r"x\.png: the font lacks 漢 字; an \.svg keeps them", str(warning.message))
    assert "漢字" in (tmp_path / "x.svg").read_text()


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(InputError, match=r"x\.png: can't be written: No such file"):
        figures.save(figures.draw_curves([curves()]), tmp_path / "missing" / "x.png")
    assert not list(tmp_path.iterdir())


def test_neither_takes_nor_changes_the_user_s_settings():
    theirs = {"text.usetex": True, "lines.linewidth": 9, "text.parse_math": True}
    with matplotlib.rc_context(theirs):
        before = dict(matplotlib.rcParams)
        svg = figures.to_svg(figures.draw_curves([curves("$x$")]), "x")
        assert dict(matplotlib.rcParams) == before
    assert svg == figures.to_svg(figures.draw_curves([curves("$x$")]), "x")


def test_without_matplotlib(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("mlp_xp.report.figures")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"needs matplotlib .*pip install '\.\[plot\]'"):
        import_module("mlp_xp.report.figures")


@pytest.mark.full
def test_settings_that_matplotlib_refuses(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    code = "import mlp_xp.report.figures"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "InputError: matplotlib doesn't start: Key backend: 'nonsense'" in done.stderr


def test_a_report_s_findings_need_no_matplotlib():
    code = (
        "import sys, mlp_xp.report.plots, mlp_xp.report.reading; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- whatever there is

NUMBER = st.floats(allow_nan=True, allow_infinity=True, width=32)
KNOWN = st.floats(-(2.0**100), 2.0**100, width=32)
NAME = st.text(st.characters(codec="utf-8"), max_size=40) | st.text(max_size=5)


def well_formed(figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts_of(figure)


@pytest.mark.full
@settings(max_examples=50)
@given(
    st.lists(st.tuples(NAME, st.lists(st.tuples(NUMBER, st.none() | NUMBER), max_size=5)),
             min_size=1, max_size=9),
    st.none() | st.integers(0, 6),
)  # fmt: skip
def test_any_curves(runs, kept):
    well_formed(figures.draw_curves([
        Curves(name, list(range(1, len(values) + 1)), [v[0] for v in values],
               [v[1] for v in values], [v[1] for v in values], [v[0] for v in values], kept=kept)
        for name, values in runs
    ]))  # fmt: skip


@pytest.mark.full
@settings(max_examples=50)
@given(st.lists(NAME, min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_any_names_of_classes(names, seed):
    rng = np.random.default_rng(seed)
    confusion = rng.integers(0, 10 ** rng.integers(1, 9), (len(names), len(names)))
    confusion[rng.random(confusion.shape) < rng.random()] = 0
    well_formed(figures.draw_confusion(confusion, names))


@pytest.mark.full
@settings(max_examples=50)
@given(st.lists(st.tuples(NAME, NAME, st.floats(0, 1), KNOWN, KNOWN), min_size=1, max_size=7),
       st.booleans())  # fmt: skip
def test_any_answers(rows, of_numbers):
    answers = [
        Answer(i, a, b, None, None, np.zeros(1), ["", "x"][i % 2]) if of_numbers
        else Answer(i, true, given_, p, 1 - p, np.zeros(1))
        for i, (true, given_, p, a, b) in enumerate(rows)
    ]  # fmt: skip
    well_formed(figures.draw_answers(answers, None))
    well_formed(figures.draw_answers(answers, Picture(1, 1), 0, 0))


@pytest.mark.full
@settings(max_examples=50)
@given(st.lists(st.tuples(NAME, KNOWN, KNOWN, NUMBER), min_size=1, max_size=40))
def test_any_columns_and_numbers(rows):
    names, a, b, c = zip(*rows, strict=True)
    use = ColumnUse(list(names), np.abs(a), np.array(b), np.abs(a))
    well_formed(figures.draw_columns(use))
    well_formed(figures.draw_numbers(Numbers([names[0]], np.c_[list(a)], np.c_[list(c)])))
    edges = np.sort(np.unique([*a, *b, 1.0]))
    if len(edges) > 1:
        counts = np.arange(len(edges) - 1)
        well_formed(figures.draw_histograms([Histogram(name, edges, counts) for name in names[:3]]))
