"""`report`: where the page goes, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from mlp_xp.cli import main

pytest.importorskip("matplotlib", reason="the extra plot")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    X = np.random.default_rng(0).normal(size=(60, 2))
    np.savez(folder / "d.npz", X=X, y=(X[:, 0] > 0).astype(int))
    assert main(["train", "--data", str(folder / "d.npz"), "--epochs", "2", "--hidden", "3",
                 "--quiet", "--out", str(folder / "run")]) == 0  # fmt: skip
    return folder


def test_the_page_goes_into_the_run(trained, capsys):
    assert main(["report", str(trained / "run")]) == 0
    assert capsys.readouterr() == ("", f"saved {trained / 'run' / 'report.html'}\n")
    assert "<h1>run</h1>" in (trained / "run" / "report.html").read_text(encoding="utf-8")


def test_the_comparison_goes_into_this_folder(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(trained / "run"), str(trained / "run")]) == 0
    assert capsys.readouterr().err == "saved report.html\n"
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nothing"], "nothing: no such folder"),
        (["run", "--out", "d.npz"], "d.npz: exists already, and only .html"),
        (["run", "--out", "no/r.html"], "no/r.html: there is no folder no"),
        (["run", "--out", "run"], "run: is a folder"),
        (["."], ".: no run is in there"),
        (["run", "--out", "r.pdf"], "r.pdf: a page is .html"),
        (["run", "--only", "draw"], "nothing to draw on"),
        (["run", "run", "--only", "draw"], "--only is for a single run"),
        (["run", "run", "--data", "d.npz"], "--data is for a single run"),
    ],
)
def test_one_line_and_nothing_harmed(arguments, error, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert main(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert error in err
    assert err.count("\n") == 1
    assert {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()} == before
