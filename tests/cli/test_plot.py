"""`plot`: a figure of a run as a file, and one line where there is none."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlp_xp.cli import main
from mlp_xp.report.plots import WHAT

pytest.importorskip("matplotlib", reason="needs matplotlib")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with runs on pictures, classes, labels and numbers, and their data."""
    place = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    pixels = rng.integers(0, 256, (60, 64)).astype(np.uint8)
    kinds = {
        "pictures": (pixels, np.arange(60) % 3), "classes": (X, np.arange(60) % 3),
        "labels": (X, (X[:, :2] > 0).astype(np.uint8)), "numbers": (X, X[:, :1] * 100),
    }  # fmt: skip
    for name, (rows, y) in kinds.items():
        data = place / f"{name}.npz"
        np.savez(data, X_train=rows[:40], y_train=y[:40], X_test=rows[40:], y_test=y[40:])
        objective = ["--objective", "multilabel"] if name == "labels" else []
        assert not main([
            "train", "--data", str(data), "--out", str(place / name), "--epochs", "2",
            "--hidden", "5", "--validation", "0.2", "--device", "cpu", *objective,
        ])  # fmt: skip
    return place


@pytest.fixture
def place(trained, tmp_path, monkeypatch, capsys) -> Path:
    """The working folder, with copies of the runs."""
    for run in ("pictures", "classes", "labels", "numbers"):
        shutil.copytree(trained / run, tmp_path / run)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return tmp_path


def test_the_curves_are_beside_the_model(place, capsys):
    assert not main(["plot", "classes"])
    assert capsys.readouterr() == ("", "saved classes/curves.png\n")
    with Image.open("classes/curves.png") as image:
        assert image.format == "PNG"
        assert image.width == 3.5 * 300  # a column of print
    assert not main(["plot", "classes"])  # replaces it


def test_several_runs(place, capsys):
    assert not main(["plot", "classes", "labels", "--out", "both.svg"])
    assert capsys.readouterr() == ("", "saved both.svg\n")
    text = Path("both.svg").read_text()
    assert ">classes</text>" in text
    assert ">labels</text>" in text
    assert not main(["plot", "classes", "labels"])
    assert Path("curves.png").exists()


@pytest.mark.parametrize(
    ("run", "what", "text"),
    [
        ("classes", "confusion", ">predicted</text>"),
        ("labels", "calibration", ">expected calibration error "),
        ("pictures", "mistakes", "not "),
        ("numbers", "mistakes", "(true: "),
        ("numbers", "predictions", ">true − predicted</text>"),
        ("pictures", "weights", "<image "),
        ("numbers", "weights", ">fall in R2</text>"),
    ],
)
def test_what_there_is(run, what, text, place, capsys):
    assert not main(["plot", run, "--what", what, "--out", "x.SVG"])
    assert capsys.readouterr() == ("", "saved x.SVG\n")
    assert text in Path("x.SVG").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("numbers --what confusion", "numbers: a regression has no classes, so no confusion; "
         "--what predictions shows"),
        ("numbers --what calibration", "numbers: a regression has no probabilities, so no calib"),
        ("classes --what predictions", "classes: the model predicts no numbers; --what calib"),
        ("labels --what confusion", "labels: labels don't exclude each other, so none is taken"),
        ("classes labels --what confusion", "confusion can be drawn of one run at a time; name"),
        ("classes --out x.jpg", "x.jpg: can't tell its format; name it .png, .svg, .pdf"),
        ("classes --out classes/config.json", "only .png, .svg, .pdf files are replaced; name ano"),
        ("classes --out none/x.png", "none/x.png: there is no folder none; make it, or name anot"),
        ("classes --out classes", "classes: is a folder; name a file in it"),
        ("missing", "missing/config.json: No such file or directory"),
        ("classes --what mistakes --data gone.npz", "gone.npz: no such file or folder; if it has "
         "moved, give --data"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(words, said, place, capsys):
    assert main(["plot", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert not list(place.rglob("*.png"))
    assert not list(place.rglob("*.part"))


def test_a_run_without_a_model_has_curves(place, capsys):
    Path("classes/model.safetensors").unlink()
    assert not main(["plot", "classes"])
    assert main(["plot", "classes", "--what", "weights"]) == 2
    assert (
        "so it has no model yet; continue it with: python -m mlp_xp train --resume classes"
        in capsys.readouterr().err
    )


def test_a_run_of_no_epoch_yet(place, capsys):
    lines = Path("classes/metrics.jsonl").read_text().splitlines(keepends=True)
    Path("classes/metrics.jsonl").write_text(lines[0])
    assert main(["plot", "classes"]) == 2
    assert "classes: no epoch of it has ended, so it has no curves" in capsys.readouterr().err


def test_a_link_stays(place, capsys):
    Path("real.png").write_bytes(b"old")
    Path("link.png").symlink_to("real.png")
    assert not main(["plot", "classes", "--out", "link.png"])
    assert Path("link.png").is_symlink()
    assert Path("real.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_all_that_help_names_can_be_drawn(place, capsys):
    for what in WHAT:
        run = "numbers" if what == "predictions" else "classes"
        assert not main(["plot", run, "--what", what, "--out", f"{what}.pdf"])
