"""The examples run, and print what their stored notebooks show."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
NEEDED = ["nbclient", "ipykernel", "matplotlib", "jinja2", "pyarrow", "onnx", "onnxruntime"]
# A time, or what another processor rounds differently.
NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text(value: str | list[str]) -> str:
    """What a notebook's file has as a text, or as the list of its lines."""
    return value if isinstance(value, str) else "".join(value)


def outputs(cell: dict[str, Any]) -> list[str]:
    """The texts that a cell prints, by stream; of a picture its kind and size."""
    shown = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            shown.append(f"{output['name']}: {text(output['text'])}")
        else:
            shown.append(f"{sorted(output['data'])}: {text(output['data']['text/plain'])}")
    return shown


def words(shown: str) -> str:
    """What is compared of a cell tagged `varies`: no number, and not which device there is."""
    shown = re.sub(r"^(stdout: )?device .*\n", r"\1", shown, flags=re.MULTILINE)
    return " ".join(NUMBER.sub("#", shown).split())


def percentages(shown: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+)%", shown)]


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["notebook", "own_data"]


@each_notebook
def test_notebook_is_stored_run_and_clean(path):
    content = path.read_text(encoding="utf-8")
    notebook = json.loads(content)
    assert len(content) < 400_000
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert all(set(cell["metadata"]) <= {"tags"} for cell in notebook["cells"])
    for cell in cells:
        for shown in outputs(cell):
            assert not shown.startswith("stderr"), shown
            assert not re.search(r"(?<![\w.])/(tmp|root|home|usr|work)/|site-packages", shown)


@pytest.mark.full
@each_notebook
def test_notebook_shows_what_it_prints(path, monkeypatch):
    for package in NEEDED:
        pytest.importorskip(package)
    from examples.store import executed

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    stored = code_cells(json.loads(path.read_text(encoding="utf-8")))
    for cell, again in zip(stored, code_cells(executed(path)), strict=True):
        before, after = outputs(cell), outputs(again)
        if "varies" in cell["metadata"].get("tags", ()):
            for a, b in zip(before, after, strict=True):
                assert percentages(b) == pytest.approx(percentages(a), abs=5)
            before, after = [*map(words, before)], [*map(words, after)]
        assert after == before, text(cell["source"])


def test_custom_loop(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "custom_loop.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("train() ends with the same weights\n")
    assert list(tmp_path.iterdir()) == []
