"""From a file to predictions: train, evaluate and predict, on tables, arrays and pictures."""

import csv
import io
import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from mlp_xp import Trainer, load_data, load_model
from mlp_xp.cli import main
from mlp_xp.data.sampling import hold_out
from mlp_xp.runs import RunFolder
from mlp_xp.training import Checkpointer

DEVICE = ("--device", "cpu")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Printed(list):
    """The lines that a command printed on standard output; err: those on standard error."""

    err: list[str]


@pytest.fixture
def mlp_xp(capsys):
    """Runs a command that has to succeed."""

    def run(*words: object) -> Printed:
        capsys.readouterr()
        assert main([*map(str, words), *DEVICE]) == 0, capsys.readouterr().err
        printed = capsys.readouterr()
        lines = Printed(printed.out.splitlines())
        lines.err = [line for line in printed.err.splitlines() if not line.startswith("device ")]
        return lines

    return run


def rows_of(lines: list[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(lines))


# ---- a table as people have it


def messy(path: str, seed: int, count: int = 240, **changes: object) -> list[str]:
    """A table with names, gaps, categories, dates, decimal commas; returns each row's class.

    Red ones are `warm`; others `große` from 5 cm on, and else `kleine`.
    """
    rng = np.random.default_rng(seed)
    kinds, rows = [], []
    for i in range(count):
        size, color = rng.uniform(0, 10), rng.choice(["red", "blue", "green"])
        kinds.append("warm" if color == "red" else "große" if size >= 5 else "kleine")
        size += 1 if size >= 5 else 0  # a gap between the classes
        rows.append({
            "name": f"Tier {i}",
            "Größe, cm": f"{size:.3f}".replace(".", ","),
            "color": f" {color} ",
            "found": "" if i % 11 == 0 else f"2024-0{i % 9 + 1}-1{i % 7}",
            "alive": "NA" if i % 13 == 0 else str(i % 3 == 0),
            "label": kinds[-1],
        })  # fmt: skip
        for column, value in changes.items():
            rows[-1][column] = value
    header = list(rows[0])
    lines = [";".join(header), *(";".join(f'"{row[c]}"' for c in header) for row in rows)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return kinds


MESSY = ("train", "--data", "animals.csv", "--drop", "name", "--epochs", "40", "--out", "run")


def test_a_messy_table_the_whole_way(mlp_xp):
    messy("animals.csv", 1)
    kinds = messy("more.csv", 2)
    trained = mlp_xp(*MESSY)
    notices = [
        r"mlp_xp: animals: columns Größe, cm, color \(3 categories\), found \(date, 22 missing\), "
        r"alive \(boolean, 19 missing\); left out name; 3 classes in 'label'",
        r"mlp_xp: animals: 48 of 240 rows are held out to test the result \(--test 0\.2\)",
        r"mlp_xp: animals: recipe tabular \(192 rows of 8 numbers\): standardized inputs, adamw, "
        r"lr 0\.003, 40 epochs",
        r"saved run/model\.safetensors",
    ]
    assert len(trained.err) == len(notices)
    for line, pattern in zip(trained.err, notices, strict=True):
        assert re.fullmatch(pattern, line), line
    assert trained[-1].startswith("test accuracy 100.00%  (always ")
    evaluated = mlp_xp("evaluate", "run")
    assert evaluated.err == []
    assert evaluated[0].startswith("animals test accuracy 100.00%  loss 0.")
    assert "  rows 48  (always " in evaluated[0]
    assert [line.split()[0] for line in evaluated[2:5]] == ["große", "kleine", "warm"]
    rows = rows_of(mlp_xp("predict", "run", "more.csv"))
    assert list(rows[0]) == ["row", "label", "p(große)", "p(kleine)", "p(warm)"]
    assert [row["row"] for row in rows] == list(map(str, range(240)))
    assert np.mean([row["label"] == kind for row, kind in zip(rows, kinds, strict=True)]) > 0.98
    named = rows_of(mlp_xp("predict", "run", "more.csv", "--id", "name"))
    assert [row.pop("name") for row in named] == [f"Tier {i}" for i in range(240)]
    assert named == [{k: v for k, v in row.items() if k != "row"} for row in rows]


def test_quiet_leaves_the_result_alone(mlp_xp):
    messy("animals.csv", 1)
    trained = mlp_xp(*MESSY, "--quiet")
    assert trained.err == []
    assert trained[-1].startswith("test accuracy ")


def test_texts_that_training_did_not_have_are_counted(mlp_xp):
    messy("animals.csv", 1)
    mlp_xp(*MESSY, "--quiet")
    kinds = messy("odd.csv", 2, 30, color="violet", found="")
    empty = "mlp_xp: warning: odd.csv: column 'found' is empty, and wasn't in training"
    predicted = mlp_xp("predict", "run", "odd.csv")
    assert len(predicted) == 31
    assert predicted.err == [
        "mlp_xp: warning: odd.csv: column 'color' holds 'violet', which training didn't have, in "
        "30 rows; they count as none of its categories",
        empty,
    ]
    evaluated = mlp_xp("evaluate", "run", "--data", "odd.csv")
    assert evaluated[0].startswith("odd.csv accuracy ")
    assert evaluated.err == predicted.err
    assert len(kinds) == 30


def test_a_column_in_another_unit_is_warned_of(mlp_xp):
    messy("animals.csv", 1)
    mlp_xp(*MESSY, "--quiet")
    messy("mm.csv", 3, 50, **{"Größe, cm": "5000"})
    for command in (["predict", "run", "mm.csv"], ["evaluate", "run", "--data", "mm.csv"]):
        (warning,) = mlp_xp(*command).err
        assert warning.startswith("mlp_xp: warning: mm.csv: ")
        assert "Größe, cm" in warning


def test_the_held_out_rows_are_those_that_it_was_not_trained_on(mlp_xp):
    """Labels are noise, so that rows learned by heart show."""
    rng = np.random.default_rng(5)
    numbers = [",".join(f"{x:.6f}" for x in row) for row in rng.normal(size=(100, 8))]
    rows = [f"{row},{'xy'[i % 2]}" for i, row in enumerate(numbers)]
    head = "a,b,c,d,e,f,g,h,kind"
    Path("noise.csv").write_text("\n".join([head, *rows]) + "\n")
    options = ("--epochs", "60", "--weight-decay", "0")
    train = ("train", "--data", "noise.csv", *options, "--quiet", "--seed")
    for seed in (0, 3):
        last = mlp_xp(*train, seed, "--out", f"run{seed}")[-1]
        first = mlp_xp("evaluate", f"run{seed}")[0]
        accuracy = re.match(r"test (accuracy [\d.]+%)  ", last)[1]
        assert first.startswith(f"noise test {accuracy}  loss ")
        assert "  rows 20  " in first
        data = hold_out(load_data("noise.csv"), 0.2, seed)
        model = load_model(f"run{seed}")
        own = model.evaluate(data.train)
        assert own.accuracy > 0.9
        assert model.evaluate(data.test).accuracy < 0.8
        held_out = {rows[i].rpartition(",")[0] for i in data.test.rows}
        Path("rest.csv").write_text(
            "\n".join([head, *(r for r in rows if r.rpartition(",")[0] not in held_out)])
        )
        line = mlp_xp("evaluate", f"run{seed}", "--data", "rest.csv")[0]
        assert line.startswith(f"rest.csv accuracy {own.accuracy:.2%}  ")
        assert "  rows 80  " in line


def test_what_has_changed_since_is_warned_of(mlp_xp):
    messy("animals.csv", 1)
    mlp_xp(*MESSY, "--quiet")
    with open("animals.csv", "a", encoding="utf-8") as file:
        file.write('x;"1,5";blue;;;kleine\n')
    (warning,) = mlp_xp("evaluate", "run").err
    assert "animals.csv has changed since the run was trained on it" in warning


@pytest.mark.parametrize(
    ("options", "note", "rows"),
    [
        (("--test", "0.5"), "15 of 30 rows are held out to test the result (--test 0.5)", 15),
        ((), "6 of 30 rows are held out to test the result (--test 0.2)", 6),
        (("--test", "0"), None, 30),
    ],
)
def test_how_much_is_held_out(options, note, rows, mlp_xp):
    lines = [f"{i % 7},{i % 2}" for i in range(30)]
    Path("t.csv").write_text("\n".join(["a,kind", *lines]) + "\n")
    trained = mlp_xp("train", "--data", "t.csv", "--epochs", "1", "--out", "run", *options)
    notes = [line for line in trained.err if "held out" in line]
    assert notes == ([] if note is None else [f"mlp_xp: t: {note}"])
    split = "train" if note is None else "test"
    assert trained[-1].startswith(f"{split} accuracy ")
    assert f" rows {rows} " in mlp_xp("evaluate", "run")[0]
    assert json.loads(Path("run/config.json").read_text())["test"] == float(
        dict([options]).get("--test", 0.2) if options else 0.2
    )


def test_fewer_than_20_rows_are_never_split(mlp_xp):
    Path("t.csv").write_text("a,kind\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(19)))
    trained = mlp_xp("train", "--data", "t.csv", "--epochs", "1", "--out", "run")
    assert "mlp_xp: t: fewer than 20 rows, so none is held out, and nothing tests the result" in (
        trained.err
    )
    assert trained[-1].startswith("train accuracy ")


# ---- predictions


@pytest.fixture
def flowers(mlp_xp) -> Path:
    """A table, and a run on it."""
    rng = np.random.default_rng(7)
    length = rng.uniform(0, 9, 60)
    lines = [f"{x:.4f},{'red' if x > 4 else 'blue'},f{i},{'tall' if x > 5 else 'low, small'!r}"
             for i, x in enumerate(length)]  # fmt: skip
    text = "\n".join(["length,color,name,kind", *lines]).replace("'", '"')
    Path("flowers.csv").write_text(text.replace('"low, small"', '"low, small"') + "\n")
    mlp_xp("train", "--data", "flowers.csv", "--drop", "name", "--epochs", "5", "--out", "run")
    return Path("flowers.csv")


def test_all_formats_hold_what_the_library_predicts(flowers, mlp_xp):
    model = load_model("run")
    expected = model.predict(load_data(flowers, like=model).train.X)
    names = [model.output_names[k] for k in expected.argmax(axis=1)]
    columns = ["row", "kind", *(f"p({name})" for name in model.output_names)]
    printed = mlp_xp("predict", "run", flowers)
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        out = Path(f"out.{suffix}")
        done = mlp_xp("predict", "run", flowers, "--out", out)
        assert (done, done.err) == ([], [f"saved {out}: 60 rows"])
        if suffix == "parquet":
            table = pyarrow.parquet.read_table(out)
            rows = table.to_pylist()
            np.testing.assert_array_equal(np.stack([table[c] for c in columns[2:]], 1), expected)
        elif suffix == "jsonl":
            rows = [json.loads(line) for line in out.read_text().splitlines()]
        else:
            delimiter = {"csv": ",", "tsv": "\t"}[suffix]
            rows = list(csv.DictReader(io.StringIO(out.read_text()), delimiter=delimiter))
        assert list(rows[0]) == columns
        assert [int(row["row"]) for row in rows] == list(range(60))
        assert [row["kind"] for row in rows] == names
        numbers = np.array([[float(row[c]) for c in columns[2:]] for row in rows])
        np.testing.assert_allclose(numbers, expected, rtol=0, atol=5.1e-10)
    assert Path("out.csv").read_text().splitlines() == printed


def test_standard_input_gives_the_same(flowers, mlp_xp, monkeypatch):
    expected = mlp_xp("predict", "run", flowers, "--id", "name")
    for content in (flowers.read_bytes(), b"\xef\xbb\xbf" + flowers.read_bytes()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert mlp_xp("predict", "run", "-", "--id", "name") == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(flowers.read_bytes())))
    both = rows_of(mlp_xp("predict", "run", flowers, "-", "--id", "name"))
    assert [row["file"] for row in both] == ["flowers.csv"] * 60 + ["-"] * 60


def test_a_feature_may_name_the_rows_too(flowers, mlp_xp):
    rows = rows_of(mlp_xp("predict", "run", flowers, "--id", "length"))
    table = rows_of(flowers.read_text().splitlines())
    assert [float(row["length"]) for row in rows] == [float(row["length"]) for row in table]


def test_a_file_that_fails_leaves_the_older_predictions(flowers, mlp_xp, capsys):
    Path("old.csv").write_text("old")
    Path("bad.csv").write_text("length,color\n1,red\nlong,red\n")
    arguments = ["predict", "run", "flowers.csv", "bad.csv", "--out", "old.csv", *DEVICE]
    assert main(arguments) == 2
    assert "bad.csv: line 3, column 'length': 'long' is not a number" in capsys.readouterr().err
    assert Path("old.csv").read_text() == "old"
    mlp_xp("predict", "run", "flowers.csv", "--out", "old.csv")
    assert len(Path("old.csv").read_text().splitlines()) == 61


# ---- roles


def test_a_weight_of_0_is_as_good_as_no_row(mlp_xp):
    """Half of the rows have wrong labels, and no weight."""
    rng = np.random.default_rng(8)
    x, wrong = rng.normal(size=200), np.arange(200) % 2 == 1
    kind = np.where((x > 0) ^ wrong, "plus", "minus")
    lines = [f"{a},{int(not w)},{k}" for a, w, k in zip(x, wrong, kind, strict=True)]
    Path("t.csv").write_text("\n".join(["x,share,kind", *lines]) + "\n")
    Path("clean.csv").write_text(f"x,kind\n{x[0]},{kind[0]}\n-9,minus\n9,plus\n-2,minus\n2,plus\n")
    options = ("--epochs", "20", "--test", "0", "--quiet", "--data", "t.csv")
    mlp_xp("train", *options, "--weight", "share", "--out", "weighted")
    mlp_xp("train", *options, "--drop", "share", "--out", "plain")
    assert load_model("weighted").schema.feature_names == ("x",)
    line = mlp_xp("evaluate", "weighted", "--data", "clean.csv")[0]
    assert line.startswith("clean.csv accuracy 100.00%  ")
    config = json.loads(Path("weighted/config.json").read_text())
    assert (config["weight"], config["drop"]) == ("share", [])
    config = json.loads(Path("plain/config.json").read_text())
    assert (config["weight"], config["drop"]) == (None, ["share"])
    for run in ("weighted", "plain"):  # both find the columns again
        assert mlp_xp("evaluate", run)[0].startswith("t train accuracy ")
        assert mlp_xp("train", "--config", f"{run}/config.json", "--out", f"{run}-again")
        assert same_models(run, f"{run}-again")


def test_a_regression_is_recognized_and_scored(mlp_xp):
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(2, 200))
    lines = [f"{x:.5f},{y:.5f},{1000 + 50 * x - 20 * y:.3f}" for x, y in zip(a, b, strict=True)]
    Path("prices.csv").write_text("\n".join(["a,b,price", *lines]) + "\n")
    trained = mlp_xp("train", "--data", "prices.csv", "--epochs", "60", "--out", "run")
    assert trained.err[0].startswith("mlp_xp: prices: columns a, b; regression of price")
    assert re.fullmatch(r"test R2 (1\.00|0\.9\d)  \(RMSE [\d.]+; always the mean: [\d.]+\)",
                        trained[-1]), trained[-1]  # fmt: skip
    first, head, row = mlp_xp("evaluate", "run")
    assert re.match(r"prices test R2 (1\.00|0\.9\d)  loss \d\.\d{4}  rows 40  \(RMSE ", first)
    assert head.split() == ["target", "R2", "RMSE", "MAE", "RMSE", "of", "the", "mean"]
    assert row.split()[0] == "price"
    rows = rows_of(mlp_xp("predict", "run", "prices.csv"))
    assert list(rows[0]) == ["row", "price"]
    difference = [float(row["price"]) - float(line.split(",")[2])
                  for row, line in zip(rows, lines, strict=True)]  # fmt: skip
    assert np.abs(difference).mean() < 10


def test_several_columns_of_0_and_1_are_labels(mlp_xp):
    rng = np.random.default_rng(10)
    X = rng.normal(size=(160, 2))
    lines = [f"{int(a > 0)},{a:.4f},{b:.4f},{int(b > 0)}" for a, b in X]
    Path("sky.csv").write_text("\n".join(["rain,a,b,wind", *lines]) + "\n")
    options = ("--label", "rain,wind", "--epochs", "60", "--out", "run")
    trained = mlp_xp("train", "--data", "sky.csv", *options)
    assert trained.err[0] == "mlp_xp: sky: columns a, b; labels rain, wind"
    assert re.match(r"test accuracy 9\d\.\d\d%|test accuracy 100\.00%", trained[-1])
    assert "exact match" in trained[-1]
    evaluated = mlp_xp("evaluate", "run")
    assert [line.split()[0] for line in evaluated[1:4]] == ["label", "rain", "wind"]
    rows = rows_of(mlp_xp("predict", "run", "sky.csv"))
    assert list(rows[0]) == ["row", "rain", "wind", "p(rain)", "p(wind)"]
    right = [row["rain"] == line[0] for row, line in zip(rows, lines, strict=True)]
    assert np.mean(right) > 0.9


def test_a_model_no_better_than_its_baseline_is_warned_of(mlp_xp):
    rng = np.random.default_rng(11)
    lines = [f"{x:.4f},{'ab'[i % 4 == 0]}" for i, x in enumerate(rng.normal(size=100))]
    Path("noise.csv").write_text("\n".join(["x,kind", *lines]) + "\n")
    options = ("--epochs", "3", "--quiet", "--out", "run", "--lr", "1e-9", "--seed", "2")
    trained = mlp_xp("train", "--data", "noise.csv", *options)
    assert any("no better than" in line for line in trained.err)
    assert all(line.startswith("mlp_xp: warning: ") for line in trained.err)


def test_recipes(mlp_xp):
    X, y = np.zeros((40, 64), np.uint8), np.arange(40) % 2
    X[np.arange(40), y] = 255
    np.savez("squares.npz", X=X, y=y)
    wanted = {
        (): "recipe image (32 rows of 64 bytes): inputs as they are, sgd, lr 0.3, 1 epoch",
        ("--recipe", "tabular"): "recipe tabular (32 rows of 64 bytes): standardized inputs, "
        "adamw, lr 0.003, 1 epoch",
        ("--recipe", "image", "--optimizer", "adam"): "recipe image (32 rows of 64 bytes): inputs "
        "as they are, adam, lr 0.001, 1 epoch",
    }
    for number, (options, line) in enumerate(wanted.items()):
        out = f"run{number}"
        command = ("train", "--data", "squares.npz", "--epochs", "1", "--out", out)
        assert f"mlp_xp: squares: {line}" in mlp_xp(*command, *options).err
        settings = RunFolder(Path(out)).read_settings().config
        assert settings.standardize == ("tabular" in options)
        again = mlp_xp("train", "--config", f"{out}/config.json", "--out", f"{out}-again")
        assert not any("recipe" in line for line in again.err)


def test_classes_without_names_stay_numbers_where_some_are_missing(mlp_xp):
    X = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    y, some = np.arange(60) % 3, np.arange(60) % 3 > 0
    np.savez("all.npz", X=X, y=y)
    np.savez("some.npz", X=X[some], y=y[some])
    options = ("--epochs", "30", "--quiet", "--validation", "some.npz")
    lines = mlp_xp("train", "--data", "all.npz", *options, "--out", "run")
    assert "validation accuracy 100.00%" in lines[-2]
    assert load_model("run").schema.output_names is None
    assert mlp_xp("evaluate", "run", "--data", "some.npz")[0].startswith(
        "some.npz accuracy 100.00%  "
    )


# ---- going on


@pytest.fixture
def stopped(monkeypatch, capsys):
    """Runs a training that a signal stops after its first epoch."""

    def stop(_: object, trainer: Trainer) -> None:
        if trainer.history:
            signal.raise_signal(signal.SIGTERM)

    def run(*words: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("mlp_xp.cli.progress.Reporter.on_chunk", stop)
            assert main([*map(str, words), *DEVICE]) == 143
        assert "continue with: python -m mlp_xp train --resume" in capsys.readouterr().err

    return run


def test_a_second_signal_while_the_run_is_saved_changes_nothing(stopped, monkeypatch):
    save = Checkpointer.save

    def save_slowly(checkpointer: Checkpointer, trainer: Trainer) -> None:
        signal.raise_signal(signal.SIGTERM)  # without a handler it would end this test
        save(checkpointer, trainer)

    monkeypatch.setattr(Checkpointer, "save", save_slowly)
    np.savez("few.npz", X=np.eye(40), y=np.arange(40) % 3)
    stopped("train", "--data", "few.npz", "--epochs", 3, "--out", "twice")
    assert Path("twice/checkpoint.safetensors").exists()


def same_models(*runs: str) -> bool:
    first, second = (Path(run, "model.safetensors").read_bytes() for run in runs)
    return first == second


@pytest.mark.parametrize("data", ["animals.csv", "pictures", "bytes.npz"])
def test_a_run_that_was_stopped_or_extended_has_the_bits_of_a_long_one(data, mlp_xp, stopped):
    messy("animals.csv", 1, 60)
    draw("pictures", 12)
    np.savez("bytes.npz", X=np.eye(40, dtype=np.uint8), y=np.arange(40) % 3 - 1)
    options = ("--data", data, "--schedule", "constant", "--quiet")
    drop = ("--drop", "name") if data.endswith("csv") else ()
    for out, epochs in (("short", 2), ("long", 6)):
        mlp_xp("train", *options, *drop, "--epochs", epochs, "--out", out)
    mlp_xp("train", "--resume", "short", "--epochs", "6", "--quiet")
    assert same_models("short", "long")
    stopped("train", *options, *drop, "--epochs", 6, "--out", "cut")
    assert not Path("cut/model.safetensors").exists()
    mlp_xp("train", "--resume", "cut", "--quiet")
    assert same_models("cut", "long")


START = ("--epochs", "2", "--quiet", "--schedule", "constant", "--init-from", "run")


def test_going_on_with_the_same_classes(mlp_xp):
    messy("animals.csv", 1)
    messy("more.csv", 2)
    mlp_xp(*MESSY, "--quiet")
    last = mlp_xp("train", "--data", "more.csv", *START, "--out", "on", "--lr", "1e-5")[-1]
    assert re.match(r"test accuracy (9[5-9]|100)\.", last), last
    old, new = load_model("run"), load_model("on")
    assert new.schema == old.schema
    np.testing.assert_allclose(new.layers[0].W, old.layers[0].W, atol=1e-3)
    assert Path("on/start.safetensors").exists()
    assert mlp_xp("evaluate", "on")[0].startswith("more test " + last.split("  ")[0][5:])


def test_going_on_with_fewer_and_with_new_classes(mlp_xp):
    messy("animals.csv", 1)
    mlp_xp(*MESSY, "--quiet")
    lines = messy("more.csv", 2) and Path("more.csv").read_text("utf-8-sig").splitlines()
    two = [lines[0], *(line for line in lines[1:] if "warm" not in line)]
    Path("two.csv").write_text("\n".join(two) + "\n")
    mlp_xp("train", "--data", "two.csv", *START, "--out", "two")
    assert load_model("two").output_names == ("große", "kleine", "warm")
    Path("four.csv").write_text("\n".join(lines).replace('"warm"', '"cold"') + "\n")
    mlp_xp("train", "--data", "four.csv", *START, "--out", "four", "--lr", "1e-6")
    old, new = load_model("run"), load_model("four")
    assert new.output_names == ("cold", "große", "kleine")
    np.testing.assert_allclose(new.layers[-1].W[:, 1:], old.layers[-1].W[:, :2], atol=1e-4)
    rows = rows_of(mlp_xp("predict", "four", "four.csv"))
    assert list(rows[0])[2:] == ["p(cold)", "p(große)", "p(kleine)"]


@pytest.mark.parametrize("new", [0, 2])
def test_going_on_from_a_model_of_arrays(new, mlp_xp):
    rng = np.random.default_rng(12)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 5)) + 6 * np.eye(5)[y]
    np.savez("first.npz", X=X, y=y)
    np.savez("second.npz", X=X, y=y + new)
    mlp_xp("train", "--data", "first.npz", "--epochs", "30", "--quiet", "--out", "run")
    mlp_xp("train", "--data", "second.npz", *START, "--out", "on", "--lr", "1e-5")
    model = load_model("on")
    assert model.output_names == (("2", "3", "4") if new else ("0", "1", "2"))
    if not new:
        line = mlp_xp("evaluate", "on")[0]
        assert re.match(r"second test accuracy (9\d|100)\.", line), line


@pytest.mark.parametrize("data", ["more.csv", "four.csv", "arrays.npz", "pictures"])
def test_going_on_can_be_stopped_and_resumed(data, mlp_xp, stopped):
    draw("first", 12)
    draw("pictures", 12)
    Path("pictures/above").rename("pictures/aside")
    messy("animals.csv", 1, 60)
    messy("more.csv", 2, 60)
    text = Path("more.csv").read_text("utf-8-sig")
    Path("four.csv").write_text(text.replace('"warm"', '"cold"'))
    rng = np.random.default_rng(13)
    np.savez("first.npz", X=rng.normal(size=(40, 3)), y=np.arange(40) % 3)
    np.savez("arrays.npz", X=rng.normal(size=(40, 3)), y=np.arange(40) % 2 + 1)
    first = {"arrays.npz": ("first.npz",), "pictures": ("first",)}
    source = first.get(data, ("animals.csv", "--drop", "name"))
    mlp_xp("train", "--epochs", "2", "--quiet", "--out", "run", "--data", *source)
    command = ("train", "--data", data, *START, "--epochs", "6", "--out")
    mlp_xp(*command, "long")
    stopped(*command, "short")
    Path("run/model.safetensors").unlink()  # the run has its own copy
    mlp_xp("train", "--resume", "short", "--quiet")
    assert same_models("short", "long")
    assert mlp_xp("evaluate", "short").err == []


# ---- pictures


def draw(folder: str, count: int, side: int = 8, split: str = "") -> dict[str, np.ndarray]:
    """Pictures of two classes, bright above or below; returns each class's pixels."""
    rng = np.random.default_rng(len(split))
    drawn = {}
    for name, rows in (("above", slice(0, side // 2)), ("below", slice(side // 2, side))):
        pixels = rng.integers(0, 60, (count, side, side), dtype=np.uint8)
        pixels[:, rows] += 150
        drawn[name] = pixels
        path = Path(folder, split, name)
        path.mkdir(parents=True)
        for i, picture in enumerate(pixels):
            Image.fromarray(picture).save(path / f"{i:02}.png")
    return drawn


def test_folders_of_pictures_the_whole_way(mlp_xp):
    draw("pictures", 30)
    trained = mlp_xp("train", "--data", "pictures", "--epochs", "3", "--out", "run")
    assert trained.err[:3] == [
        "mlp_xp: pictures: pictures: 60 of 8 x 8 in gray, 2 classes",
        "mlp_xp: pictures: 12 of 60 rows are held out to test the result (--test 0.2)",
        "mlp_xp: pictures: recipe image (48 rows of 64 bytes): inputs as they are, sgd, lr 0.3, "
        "3 epochs",
    ]
    assert trained[-1].startswith("test accuracy 100.00%  (always ")
    assert mlp_xp("evaluate", "run")[0].startswith("pictures test accuracy 100.00%  loss ")
    files = [f"pictures/{name}/0{i}.png" for name in ("above", "below") for i in range(3)]
    rows = rows_of(mlp_xp("predict", "run", *files))
    assert [row["file"] for row in rows] == files
    assert [row["class"] for row in rows] == ["above"] * 3 + ["below"] * 3
    draw("large", 2, side=20)
    rows = rows_of(mlp_xp("predict", "run", "large/above/00.png", "large/below/00.png"))
    assert [row["class"] for row in rows] == ["above", "below"]
    assert mlp_xp("evaluate", "run", "--data", "large")[0].startswith("large accuracy 100.00%")
    trained = mlp_xp("train", "--data", "large", "--init-from", "run", "--epochs", "1")
    assert trained.err[0].startswith("mlp_xp: large: pictures: 4 of 8 x 8 in gray, 2 classes; 4 ")


def test_folders_for_training_and_for_tests_and_a_size(mlp_xp):
    draw("split", 6, split="train")
    draw("split", 4, split="test")
    options = ("--epochs", "1", "--out", "run", "--size", "4x6")
    trained = mlp_xp("train", "--data", "split", *options)
    assert "20 (12 for training, 8 for testing) of 4 x 6 in gray" in trained.err[0]
    assert not any("held out" in line for line in trained.err)
    assert trained[-1].startswith("test accuracy ")
    assert json.loads(Path("run/config.json").read_text())["size"] == [4, 6]
    assert " rows 8 " in mlp_xp("evaluate", "run")[0]
    assert load_model("run").sizes[0] == 24


def test_one_picture_means_the_same_in_four_formats(mlp_xp):
    above = draw("pictures", 30)["above"]
    X = np.concatenate([above, 255 - above])
    np.savez("bytes.npz", X=X, y=np.repeat([0, 1], 30))
    mlp_xp("train", "--data", "pictures", "--epochs", "2", "--quiet", "--out", "folders")
    mlp_xp("train", "--data", "bytes.npz", "--epochs", "2", "--quiet", "--out", "arrays")
    picture = above[4]
    np.savez("picture.npz", x=picture[np.newaxis])
    np.save("floats.npy", picture[np.newaxis].astype(np.float32))
    np.save("whole.npy", picture.astype(np.int64))
    names = ",".join(f"p{i}" for i in range(64))
    Path("picture.csv").write_text(names + "\n" + ",".join(map(str, picture.ravel())) + "\n")
    Image.fromarray(picture).save("picture.png")
    files = ["picture.npz", "floats.npy", "whole.npy", "picture.csv", "picture.png"]
    for run in ("folders", "arrays"):
        done = mlp_xp("predict", run, *files)
        assert done.err == []
        rows = rows_of(done)
        assert [row["file"] for row in rows] == files
        numbers = np.array([[float(v) for k, v in row.items() if k[:2] == "p("] for row in rows])
        np.testing.assert_allclose(numbers, numbers[:1].repeat(5, 0), rtol=0, atol=1e-6)
        np.save("scaled.npy", picture[np.newaxis] / 255)
        Image.fromarray(picture // 50).save("dark.png")
        assert mlp_xp("predict", run, "dark.png").err == []
        (warning,) = mlp_xp("predict", run, "scaled.npy").err
        assert warning.startswith("mlp_xp: warning: scaled.npy: ")
