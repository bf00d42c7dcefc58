"""Tables are matched by the names of their columns, in every command."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import load_model, save_model
from mlp_xp.cli import main

COLUMNS = ("width", "kind", "length")


def write(path: Path, order: tuple[str, ...], seed: int, rows: int = 200) -> None:
    """A table whose kind says which of two very different columns is larger."""
    rng = np.random.default_rng(seed)
    width, length = rng.normal(5, 1, rows), rng.normal(5, 1, rows)
    values = {"width": width, "length": length, "kind": np.where(width > length, "wide", "long"),
              "note": np.full(rows, "text")}  # fmt: skip
    lines = [",".join(str(values[name][i]) for name in order) for i in range(rows)]
    path.write_text("\n".join([",".join(order), *lines]) + "\n")


@pytest.fixture
def place(tmp_path, monkeypatch, capsys) -> Path:
    """A folder with tables of the same rows in several orders of columns, and a run on one."""
    monkeypatch.chdir(tmp_path)
    write(Path("train.csv"), COLUMNS, seed=1)
    write(Path("same.csv"), COLUMNS, seed=2)
    write(Path("other.csv"), ("length", "note", "width", "kind"), seed=2)
    train("run")
    capsys.readouterr()
    return tmp_path


def train(out: str, *options: str) -> None:
    command = ["train", "--data", "train.csv", "--label", "kind", "--hidden", "8", "--epochs", "30"]
    more = ["--lr", "0.1", "--standardize", "--device", "cpu", "--quiet", "--out", out]
    assert main([*command, *more, *options]) == 0


def output(capsys, *command: str) -> str:
    capsys.readouterr()
    assert main([*command, "--device", "cpu"]) == 0
    return capsys.readouterr().out


def test_another_order_of_columns_is_evaluated_and_predicted_alike(place, capsys):
    same = output(capsys, "evaluate", "run", "--data", "same.csv")
    assert same.startswith("same.csv accuracy 9")
    other = output(capsys, "evaluate", "run", "--data", "other.csv")
    assert other == same.replace("same", "other", 1)
    same = output(capsys, "predict", "run", "same.csv")
    assert same.startswith("row,kind,p(long),p(wide)\n0,")
    assert output(capsys, "predict", "run", "other.csv") == same


def test_a_validation_set_too(place, capsys):
    for name in ("same", "other"):
        train(f"by-{name}", "--validation", f"{name}.csv", "--patience", "3")
    models = [Path(f"by-{name}", "model.safetensors").read_bytes() for name in ("same", "other")]
    assert models[0] == models[1]


def test_a_column_that_is_missing_is_named(place, capsys):
    Path("short.csv").write_text("length,kind\n1,wide\n")
    for command in (["evaluate", "run", "--data", "short.csv"], ["predict", "run", "short.csv"]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert "short.csv: lacks width, which the model learned from" in err


def test_a_row_that_overflows_is_named_by_its_file_and_number(place, capsys, monkeypatch):
    monkeypatch.setattr("mlp_xp.data.memory.BLOCK_BYTES", 64)
    rows = np.ones((50, 2), dtype="float32")
    np.save("fine.npy", rows)
    rows[43] = 3e38, -3e38
    np.save("large.npy", rows)
    network = load_model("run")
    network.layers[0].W *= 9
    save_model(network, "m.safetensors")
    assert main(["predict", "m.safetensors", "fine.npy", "large.npy", "--device", "cpu"]) == 2
    assert "error: large.npy: the network's output for row 43 isn't" in capsys.readouterr().err


def test_a_model_file_is_evaluated_on_the_data_of_its_run_or_on_none(place, capsys):
    own = output(capsys, "evaluate", "run")
    assert own.startswith("train test accuracy ")
    assert output(capsys, "evaluate", "run/model.safetensors") == own
    shutil.copy("run/model.safetensors", "alone.safetensors")
    assert main(["evaluate", "alone.safetensors"]) == 2
    assert "belongs to no run, so give the data with --data" in capsys.readouterr().err
    assert output(capsys, "evaluate", "alone.safetensors", "--data", "train.csv")
