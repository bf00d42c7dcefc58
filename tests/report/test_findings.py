"""What a report tells of a run, before it is drawn."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance

from mlp_xp import Dataset, InputError, Model, Split, train
from mlp_xp.cli import main
from mlp_xp.devices import CPU
from mlp_xp.errors import TrainingWarning
from mlp_xp.nn import OBJECTIVES
from mlp_xp.report import reading
from mlp_xp.report.answers import SHOWN, calibrate, find_answers
from mlp_xp.report.inputs import columns_of, describe_row, find_columns, find_units, picture_of
from mlp_xp.report.reading import ReportRun
from mlp_xp.schema import Picture, Schema

MULTICLASS, MULTILABEL, REGRESSION = (
    OBJECTIVES[name]() for name in ("multiclass", "multilabel", "regression")
)


def probabilities(rng, rows, n_classes):
    p = rng.exponential(size=(rows, n_classes))
    return p / p.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def messy(tmp_path_factory) -> tuple[Path, list[dict[str, str]]]:
    """A run on a table of all kinds of columns, and the table's rows."""
    folder, rng = tmp_path_factory.mktemp("messy"), np.random.default_rng(0)
    names = ["size", "a & b", "<b>city</b>", "since", "member", "verdict"]
    rows = []
    for i in range(240):
        x = rng.normal(size=3)
        rows.append([
            f"{x[0]:.2f}", "" if i % 7 == 0 else f"{100 * x[1]:.0f}",
            ["Bern", "<script>alert(1)</script>", "東京", ""][i % 4],
            f"20{20 + i % 5}-0{1 + i % 9}-11", "true" if x[2] > 0 else "false",
            "yes" if x[0] + (x[2] > 0) > 0.5 else "no </script> $x$",
        ])  # fmt: skip
    with open(folder / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    arguments = ["--data", str(folder / "t.csv"), "--epochs", "3", "--hidden", "8", "--quiet"]
    assert main(["train", *arguments, "--validation", "0.2", "--out", str(folder / "run")]) == 0
    return folder / "run", [dict(zip(names, row, strict=True)) for row in rows]


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 99))
def test_calibration_is_that_of_its_definition(n_classes, rows, seed):
    rng = np.random.default_rng(seed)
    p, y = probabilities(rng, rows, n_classes), rng.integers(0, n_classes, rows)
    found = calibrate(MULTICLASS, p, y)
    sure, right = p.max(axis=1), p.argmax(axis=1) == y
    error = 0.0
    for low, high in zip(found.edges[:-1], found.edges[1:], strict=True):
        inside = (sure >= low) & ((sure < high) | ((high == 1) & (sure == 1)))
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert found.error == pytest.approx(error, abs=1e-12)
    assert found.counts.sum() == rows
    assert np.isnan(found.right).tolist() == (found.counts == 0).tolist()


def test_calibration_of_labels_is_scikit_learns(rng):
    p = rng.random((500, 3)).astype("float32")
    y = (rng.random((500, 3)) < p**2).astype("float32")
    found = calibrate(MULTILABEL, p, y)
    right, confidence = calibration_curve(y.ravel(), p.ravel(), n_bins=10)
    np.testing.assert_allclose(found.right, right, rtol=1e-6)
    np.testing.assert_allclose(found.confidence, confidence, rtol=1e-6)
    assert found.of_labels
    assert calibrate(REGRESSION, p, y) is None


def test_a_model_that_is_always_right_and_sure_has_no_error():
    assert calibrate(MULTICLASS, np.eye(3), np.arange(3)).error == 0


def test_mistakes_are_the_surest_and_right_answers_the_least_sure(rng):
    p, y = probabilities(rng, 300, 3), rng.integers(0, 3, 300)
    numbers = np.arange(300) + 1000
    names = ["a", "b", "c"]
    wrong, right = find_answers(MULTICLASS, names, p, y, p, numbers, np.ones(3))
    order = np.argsort(-p.max(axis=1))
    assert [a.row for a in wrong] == [
        i + 1000 for i in order if p[i].argmax() != y[i]
    ][:SHOWN]  # fmt: skip
    assert [a.row for a in right] == [
        i + 1000 for i in order[::-1] if p[i].argmax() == y[i]
    ][:SHOWN]  # fmt: skip
    for answer in wrong + right:
        i = answer.row - 1000
        assert (answer.true, answer.given) == (names[y[i]], names[p[i].argmax()])
        assert (answer.p_true, answer.p_given) == (p[i, y[i]], p[i].max())
        np.testing.assert_array_equal(answer.x, p[i])


def test_answers_of_labels_are_of_whole_rows():
    p = np.array([[0.9, 0.2], [0.1, 0.3], [0.6, 0.7]])
    y = np.array([[1, 1], [0, 0], [1, 1]], dtype="float32")
    wrong, right = find_answers(MULTILABEL, ["x", "y"], p, y, p, np.arange(3), np.ones(2))
    (answer,) = wrong
    assert (answer.true, answer.given) == ("x, y", "x")
    assert answer.p_given == pytest.approx(0.9 * 0.8)
    assert answer.p_true == pytest.approx(0.9 * 0.2)
    assert [(a.row, a.given) for a in right] == [(2, "x, y"), (1, "none")]


def test_errors_of_numbers_are_compared_in_deviations():
    y = np.array([[0.0, 100.0], [1.0, 0.0], [0.0, 900.0]])
    given_numbers = np.array([[0.0, 90.0], [3.0, 0.0], [0.0, 0.0]])
    worst, right = find_answers(
        REGRESSION, ["small", "large"], y, y, given_numbers, np.arange(3), np.array([1.0, 500.0])
    )
    assert [(a.row, a.target, a.true, a.given) for a in worst] == [
        (1, "small", 1.0, 3.0), (2, "large", 900.0, 0.0), (0, "large", 100.0, 90.0),
    ]  # fmt: skip
    assert worst[0].p_given is None
    assert right == []


class Classifier(ClassifierMixin, BaseEstimator):
    """A model, for scikit-learn."""

    def __init__(self, model=None):
        self.model = model

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.model.predict(X).argmax(axis=1)


def test_importance_is_scikit_learns(rng):
    X = rng.normal(size=(400, 4))
    y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
    model, _ = train(X[:200], y[:200], hidden=(16,), epochs=40, batch_size=8, lr=0.02)
    found = find_columns(model, X[200:], y[200:])
    estimator = Classifier(model)
    estimator.classes_ = np.arange(2)
    estimator.fitted_ = True
    theirs = permutation_importance(estimator, X[200:], y[200:], n_repeats=50, random_state=0)
    places = [int(name.split()[1]) for name in found.names]
    spread = theirs.importances_std[places] * np.sqrt(1 / 50 + 1 / 5)
    difference = found.importance - theirs.importances_mean[places]
    assert (abs(difference) <= 4 * spread + 1e-12).all()
    assert places[0] == 0


def test_a_column_without_weights_matters_nothing(rng):
    X = rng.normal(size=(300, 3)).astype("float32")
    model = Model.initialize(CPU(), (3, 4, 1), objective="regression")
    model.layers[0].W[1] = 0
    found = find_columns(model, X, (X[:, :1] * 2 + 1).astype("float32"))
    place = found.names.index("column 1")
    assert found.importance[place] == found.spread[place] == found.strength[place] == 0
    assert found.score == "R2"


def test_rows_are_told_as_their_table_has_them(messy):
    path, rows = messy
    run = ReportRun(path)
    split = run.data.test
    for number in range(len(split)):
        row = rows[int(split.index(number, number + 1)[0])]
        told = describe_row(run.model, split.take(number, number + 1)[0][0])
        assert run.rows.numbers[number] == split.index(number, number + 1)[0]
        for name, text in told.items():
            expected = row[name]
            if name in ("size", "a & b") and expected:
                assert float(text) == pytest.approx(float(expected))
            else:
                assert text == (expected or "–")
        assert told.keys() == row.keys() - {"verdict"}


def test_columns_are_those_of_the_table(messy):
    run = ReportRun(messy[0])
    names = [name for name, _ in columns_of(run.model)]
    assert names == ["size", "a & b", "<b>city</b>", "since", "member"]
    assert sum(s.stop - s.start for _, s in columns_of(run.model)) == run.model.sizes[0]
    assert sorted(run.columns.names) == sorted(names)


@pytest.mark.parametrize(
    ("n", "schema", "low", "expected"),
    [
        (784, Schema(), 0.0, Picture(28, 28)),
        (64, Schema(), 0.0, Picture(8, 8)),
        (64, Schema(), None, None),  # another range in each column
        (60, Schema(), 0.0, None),
        (12, Schema(picture=Picture(2, 2, 3)), 0.0, Picture(2, 2, 3)),
        (64, Schema(feature_names=tuple(f"pixel_{i}" for i in range(64))), None, Picture(8, 8)),
        (64, Schema(feature_names=tuple(f"sensor{i}x" for i in range(64))), 0.0, None),
        (64, Schema(feature_names=tuple(map(str, range(64)))), 0.0, Picture(8, 8)),
        (64, Schema(feature_names=tuple(map(str, range(64)))), None, None),  # numbered columns
    ],
)
def test_what_a_picture_is(n, schema, low, expected):
    model = Model.initialize(CPU(), (n, 3, 2))
    model.schema = schema
    lowest = np.arange(float(n)) if low is None else np.full(n, low)
    model.value_range = lowest, lowest + 1
    assert picture_of(model) == expected


def test_units_are_the_strongest(rng):
    model = Model.initialize(CPU(), (64, 100, 2))
    model.layers[1].W[:] = 0
    model.layers[1].W[[7, 3]] = [[1, -1], [0, -3]]
    units = find_units(model, Picture(8, 8))
    assert units.units[:2].tolist() == [3, 7]
    assert units.of == 100
    np.testing.assert_array_equal(units.weights[0, :, :, 0].ravel(), model.layers[0].W[:, 3])


def test_a_network_without_hidden_layers_has_its_outputs_as_units():
    model = Model.initialize(CPU(), (64, 3))
    assert find_units(model, Picture(8, 8)).units.tolist() == [0, 1, 2]


@given(arrays("float32", (20, 5), elements=st.floats(-5, 5, width=32)))
def test_histograms_count_all_values(X):
    model = Model.initialize(CPU(), (5, 4, 2))
    model.layers[0].W[:, 0], model.layers[0].b[0] = 0, -1  # never active
    data = Dataset("d", Split(X, np.arange(20) % 2), None, 2)
    run = ReportRun.__new__(ReportRun)
    run.__dict__.update(model=model, rows=reading.Rows("train", data.train, model))
    assert [h.counts.sum() for h in run.weight_histograms] == [20, 8]
    A, _ = model.forward(X)
    (histogram,) = run.activation_histograms
    assert histogram.counts.sum() == np.count_nonzero(A[1])
    assert "unit" in histogram.label.rpartition(",")[2]


def test_a_run_says_what_it_came_to(messy):
    run = ReportRun(messy[0])
    assert not run.missing
    assert run.curves.epochs == [1, 2, 3]
    assert run.curves.unit == "nats"
    assert run.curves.kept is None  # without --patience, the last is
    assert run.evaluation.accuracy == run.summary.result["accuracy"]
    assert run.evaluation.confusion.sum() == len(run.data.test) == run.rows.of
    assert run.rows.numbers.tolist() == run.data.test.rows.tolist()
    wrong = run.rows.predictions.argmax(axis=1) != run.rows.y
    assert {answer.row for answer in run.mistakes} == set(run.rows.numbers[wrong].tolist())
    assert run.numbers is None
    assert run.units is None


def test_of_many_rows_some_are_looked_at(messy, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 10)
    run = ReportRun(messy[0])
    assert len(run.rows.numbers) == len(run.rows.X) == 10 < run.rows.of
    assert run.evaluation.rows == run.rows.of
    again = ReportRun(messy[0])
    assert run.rows.numbers.tolist() == again.rows.numbers.tolist() == sorted(run.rows.numbers)


def test_the_epoch_kept_is_that_of_the_lowest_validation_loss(messy, tmp_path):
    folder = Path(shutil.copytree(messy[0], tmp_path / "run"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "patience": 1}))
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        if record["record"] == "epoch":
            record["validation_loss"] = {1: None, 2: 0.1, 3: 0.2}[record["epoch"]]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert ReportRun(folder).curves.kept == 2


def test_a_run_without_its_data_or_its_model(messy, tmp_path):
    folder = Path(shutil.copytree(messy[0], tmp_path / "run"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "data": str(tmp_path / "gone.csv")}))
    run = ReportRun(folder)
    with pytest.warns(TrainingWarning, match=r"gone\.csv: no such file"):
        assert run.rows is None
    assert run.evaluation is run.calibration is run.columns is None
    assert run.mistakes == run.hardest_right == run.activation_histograms == []
    assert run.weight_histograms
    assert "gone.csv" in run.missing[0]
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        _ = ReportRun(folder, str(tmp_path / "nowhere.csv")).rows
    moved = ReportRun(folder, config["data"])
    assert moved.evaluation.accuracy == run.summary.result["accuracy"]

    (folder / "model.safetensors").unlink()
    run = ReportRun(folder)
    assert "no model yet" in run.missing[0]
    assert run.model is run.rows is run.units is None
    assert run.curves.epochs == [1, 2, 3]


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        ReportRun(tmp_path)


def test_a_regression_has_numbers(tmp_path, rng):
    X = rng.normal(size=(100, 3))
    np.savez(tmp_path / "d.npz", X=X, y=np.stack([X[:, 0], 1000 * X[:, 1]], axis=1))
    assert main(["train", "--data", str(tmp_path / "d.npz"), "--epochs", "2", "--hidden", "4",
                 "--quiet", "--out", str(tmp_path / "run")]) == 0  # fmt: skip
    run = ReportRun(tmp_path / "run")
    assert run.curves.unit == "squared error"
    assert run.calibration is None
    assert run.hardest_right == []
    assert run.numbers.true.shape == run.numbers.given.shape == (20, 2)
    np.testing.assert_allclose(
        np.square(run.numbers.true - run.numbers.given).mean(axis=0) ** 0.5,
        run.summary.result["rmse_by_target"], rtol=1e-6,
    )  # fmt: skip
    assert {answer.target for answer in run.mistakes} <= {"target 0", "target 1"}


@pytest.mark.parametrize(
    "line",
    [
        '{"record": "epoch", "loss": 1}',
        '{"record": "epoch", "epoch": "1", "loss": 1}',
        '{"record": "epoch", "epoch": 1, "loss": 1, "learning_rate": []}',
        '{"record": "start", "time": "", "device": {"used": ""}, "data": {"name": ""}, "rows": ""}',
        '{"record": "test", "accuracy": 0.5, "f1": ["x", "y"]}',
        '{"record": "test", "accuracy": 0.5, "baseline": 1}',
        '{"record": "test", "accuracy": 0.5, "baseline": {"accuracy": "x"}}',
        '{"record": "test", "accuracy": 0.5, "baseline": {"accuracy": 0.5, "answer": -9}}',
        '{"record": "test", "accuracy": 0.5, "exact_match": "x"}',
        '{"record": "test", "accuracy": 0.5, "rmse": 1%s}' % ("0" * 400),
        '{"record": "test", "accuracy": 0.5, "f1": [1%s]}' % ("0" * 400),
    ],
)
def test_a_damaged_run_is_an_error(line, messy, tmp_path):
    shutil.copy(messy[0] / "config.json", tmp_path)
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match="damaged run"):
        ReportRun(tmp_path)


def test_runs_are_told_apart(messy, tmp_path):
    other = Path(shutil.copytree(messy[0], tmp_path / "run"))
    third = Path(shutil.copytree(messy[0], tmp_path / "third"))
    names = [run.name for run in reading.read_runs([messy[0], other, third])]
    assert names == [str(messy[0]), str(other), "third"]


def test_a_loss_of_ones_own_has_units_of_its_own(messy, tmp_path):
    folder = Path(shutil.copytree(messy[0], tmp_path / "run"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "objective": "poisson"}))
    (folder / "model.safetensors").unlink()
    assert ReportRun(folder).curves.unit == "in its own units"
