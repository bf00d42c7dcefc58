"""The page of a report, as the file that it is."""

import json
import os
import re
import shutil
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import InputError
from mlp_xp.cli import main
from mlp_xp.errors import TrainingWarning

pytest.importorskip("matplotlib", reason="the extra plot")
from mlp_xp.report.page import _text, write_drawing, write_report
from mlp_xp.report.parts import share

EVIL = ["<script>alert(1)</script>", "</script><b>", "a & b $x$", '" onload="alert(2)']
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """What a page holds; refuses tags that aren't closed in order."""

    def __init__(self, path: Path):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style") and data.strip():
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check(path: Path) -> Page:
    """The page, if it is whole: one file, ids that are unique, a text for every picture."""
    page = Page(path)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"].removeprefix("#") in ids
    assert all(picture["src"].startswith("data:") and picture["alt"] for picture in page.all("img"))
    svgs = page.all("svg")
    assert all(svg.get("aria-label") for svg in svgs)
    assert len(page.all("figcaption")) == len(svgs)
    assert {a.get("type") for a in page.all("script")} <= {None, "application/json"}
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    text = re.sub(r"http://www\.w3\.org/\d+/\w+", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    return page


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> Path:
    """A run whose columns and classes have names that could end up as HTML."""
    folder, rng = tmp_path_factory.mktemp("evil"), np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] > 0) * 2 + (X[:, 1] > 0)
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in EVIL]
    lines = [f"{a:.3f},{b:.3f},{quoted[k]}" for (a, b), k in zip(X, y, strict=True)]
    (folder / "t.csv").write_text("\n".join(["<img src=x>,$y_0$,class <i>", *lines]))
    arguments = ["train", "--data", str(folder / "t.csv"), "--epochs", "4", "--quiet"]
    assert main([*arguments, "--validation", "0.2", "--out", str(folder / "run <1>")]) == 0
    return folder / "run <1>"


def test_a_page_is_one_whole_file_in_which_texts_stay_texts(evil, tmp_path):
    out = tmp_path / "r.html"
    write_report([evil], out)
    page = check(out)
    assert len(page.all("script")) == 1
    assert not [*page.all("b"), *page.all("i"), *page.all("img")]
    for name in (*EVIL, "<img src=x>", "$y_0$", "run <1>"):
        assert any(name in text for text in page.texts), name
    titles = [text for text in page.texts if text in (
        "Result", "Learning", "Confusion", "Calibration", "Mistakes", "What it learned", "Inside",
        "Data", "Settings", "Repeat it",
    )]  # fmt: skip
    assert len(titles) == 2 * 10  # in the list of sections, and above each


def test_a_page_always_has_the_same_bytes(evil, tmp_path):
    write_report([evil], tmp_path / "a.html")
    write_report([evil], tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_several_runs_side_by_side(evil, tmp_path):
    data = evil.parent / "t.csv"
    assert main(["train", "--data", str(data), "--epochs", "2", "--lr", "0.02", "--hidden", "5",
                 "--quiet", "--out", str(tmp_path / "other")]) == 0  # fmt: skip
    write_report([evil, tmp_path / "other"], tmp_path / "r.html")
    page = check(tmp_path / "r.html")
    for text in ("run <1>, other", "hidden", "lr", "0.02", "5", "F1 of each class"):
        assert text in page.texts
    assert "optimizer" not in page.texts  # is the same


def test_what_cannot_be_had_is_left_out_and_said(evil, tmp_path):
    run = Path(shutil.copytree(evil, tmp_path / "run"))
    out = tmp_path / "r.html"
    gone = str(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="no such file"):
        write_report([run], out, data=gone)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data": gone}))
    with pytest.warns(TrainingWarning, match="no such file"):
        write_report([run], out)
    page = check(out)
    assert any("The data can't be read" in text for text in page.texts)
    assert "Result" in page.texts
    assert "Confusion" not in page.texts
    (run / "model.safetensors").unlink()
    (run / "metrics.jsonl").write_text("")
    write_report([run], out)
    page = check(out)
    assert any("no model yet" in text for text in page.texts)
    assert "Settings" in page.texts
    assert "Result" not in page.texts


def test_changed_data_is_said_in_the_page(evil, tmp_path):
    data = (evil.parent / "t.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "t.csv").write_text("\n".join(data[:150]), encoding="utf-8")
    with pytest.warns(TrainingWarning, match="has changed since"):
        write_report([evil], tmp_path / "r.html", data=str(tmp_path / "t.csv"))
    assert any("has changed since" in text for text in check(tmp_path / "r.html").texts)


def test_a_model_that_may_be_older_than_the_curves_is_said_to_be(evil, tmp_path):
    run = Path(shutil.copytree(evil, tmp_path / "run"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    (run / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    write_report([run], tmp_path / "r.html")
    assert any("The run is stopped" in text for text in check(tmp_path / "r.html").texts)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names there are bytes")
def test_a_folder_whose_name_is_no_text(evil, tmp_path):
    run = Path(shutil.copytree(evil, tmp_path / os.fsdecode(b"caf\xe9")))
    write_report([run], tmp_path / "r.html")
    write_report([run, evil], tmp_path / "c.html")
    assert any("caf\\udce9" in text for text in check(tmp_path / "r.html").texts)


def test_there_is_nothing_to_draw_on_for_a_table(evil, tmp_path):
    with pytest.raises(InputError, match="nothing to draw on: the model takes no pictures"):
        write_drawing(evil, tmp_path / "d.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        (["regression"], ["test R2", "Largest errors", "Predictions"]),
        (["labels"], ["all labels right", "Calibration", "The 3 labels"]),
        (
            ["many"],
            [
                "The 60 classes, the worst F1 first",
                "Confused most often, and the share of the true class's rows",
            ],
        ),
    ],
)
def test_other_kinds_of_answers(settings, texts, tmp_path, rng):
    X = rng.normal(size=(600, 4))
    y = {
        "regression": X[:, 0] ** 2,
        "labels": (X[:, :3] > 0).astype(int),
        "many": (np.arange(600) % 60),
    }[settings[0]]
    np.savez(tmp_path / "d.npz", X=X, y=y)
    assert main(["train", "--data", str(tmp_path / "d.npz"), "--epochs", "1", "--quiet",
                 "--out", str(tmp_path / "run")]) == 0  # fmt: skip
    write_report([tmp_path / "run"], tmp_path / "r.html")
    page = check(tmp_path / "r.html")
    for text in texts:
        assert text in page.texts


@pytest.mark.full
def test_the_default_runs_page_is_small_and_quick(tmp_path):
    """Under 3 MB, in under 10 seconds."""
    assert main(["train", "--epochs", "1", "--quiet", "--out", str(tmp_path / "run")]) == 0
    start = time.perf_counter()
    write_report([tmp_path / "run"], tmp_path / "r.html")
    assert time.perf_counter() - start < 10
    assert (tmp_path / "r.html").stat().st_size < 3_000_000
    page = check(tmp_path / "r.html")
    assert len(page.all("img")) == 48
    write_drawing(tmp_path / "run", tmp_path / "d.html")
    assert "Result" not in check(tmp_path / "d.html").texts


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.5, "50.0 %"), (0.0001, "<0.1 %"), (0.99999, ">99.9 %")],
)
def test_shares_that_are_not_quite_all_or_nothing(value, text):
    assert share(value, 1).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    "cells",
    [
        ["9.5 s", "10.2 s", "1 min 03 s", "2 h 05 min"],
        ["loss 0.5", "loss 2", "loss 10"],
        ["R2 -0.500", "R2 -0.100", "R2 0.900"],
        ["<0.1 %", "2.0 %", "12.0 %"],
    ],
)
def test_tables_are_sorted_by_what_their_cells_mean(cells, open_html):
    rows = [*cells[1:], cells[0]]
    table = "".join(f"<tr><td>{text.replace('<', '&lt;')}</td></tr>" for text in rows)
    page = open_html(
        '<!doctype html><link rel="icon" href="data:,"><button id="theme"><span></span></button>'
        f'<table class="sortable"><thead><tr><th>x</th></tr></thead><tbody>{table}</tbody></table>'
        f"<script>{_text('page.js')}</script>"
    )
    page.locator("th button").click()
    assert page.locator("td").all_inner_texts() == cells[::-1]


def test_paper_is_white_in_a_dark_theme_too(open_html):
    page = open_html(
        f'<!doctype html><link rel="icon" href="data:,"><style>{_text("page.css")}</style>',
        color_scheme="dark",
    )
    page.emulate_media(media="print", color_scheme="dark")
    color = "getComputedStyle(document.documentElement).getPropertyValue"
    assert page.evaluate(f"{color}('--paper')") == "#ffffff"
    assert page.evaluate(f"{color}('--for')") == "#0072b2"
