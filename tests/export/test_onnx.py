"""ONNX files: onnxruntime predicts from them what the models do."""

import doctest
import io
import json
import os
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pandas as pd
import pytest
import safetensors.numpy
import standin
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets

from mlp_xp import Config, Dataset, InputError, Model, Trainer, save_model, train
from mlp_xp.cli import main
from mlp_xp.devices import CPU
from mlp_xp.export import to_onnx
from mlp_xp.export.from_torch import read_torch
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES
from mlp_xp.schema import Column, Picture, Schema

ROWS = 64


def exported(model: Model, path: Path) -> onnxruntime.InferenceSession:
    """A session of the model's file, which onnx finds nothing wrong with."""
    to_onnx.export(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def network(rng, *sizes: int, **options) -> Model:
    """Random weights, and biases that aren't 0."""
    model = Model.initialize(CPU(), sizes, seed=1, **options)
    for layer in model.layers:
        layer.b += rng.standard_normal(layer.b.shape).astype(layer.b.dtype)
    return model


def check(model: Model, outputs: list, rows) -> None:
    """What onnxruntime returned is what the model predicts of the rows."""
    with warnings.catch_warnings(action="ignore"):
        expected = model.predict(rows)
    *label, numbers = outputs
    assert numbers.dtype == expected.dtype
    tolerance = 1e-5 if model.dtype == np.float32 else 1e-12
    scale = 1 if label else np.abs(expected).max()
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=tolerance * scale)
    if label:
        chosen = model.objective.chosen(numbers)
        if model.schema.output_names and chosen.ndim == 1:
            chosen = np.array(model.schema.output_names)[chosen]
        assert label[0].tolist() == chosen.tolist()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_every_objective(activation, objective, dtype, rng, tmp_path):
    model = network(rng, 5, 7, 6, 3, activation=activation, objective=objective, dtype=dtype)
    X = rng.standard_normal((ROWS, 5)).astype(dtype) * 3
    session = exported(model, tmp_path / "model.onnx")
    check(model, session.run(None, {"X": X}), X)
    check(model, session.run(None, {"X": X[:1]}), X[:1])


@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("picture", [None, Picture(4, 3), Picture(2, 2, 3)])
def test_bytes(picture, standardized, dtype, rng, tmp_path):
    model = network(rng, 12, 8, 3, dtype=dtype)
    model.input_scale, model.schema = 255.0, Schema(picture=picture)
    model.value_range = np.zeros(12), np.full(12, 255.0)
    X = rng.integers(0, 256, (ROWS, 12), dtype=np.uint8)
    if standardized:
        model.standardize(np.full(12, 0.4), np.full(12, 0.2))
    session = exported(model, tmp_path / "model.onnx")
    check(model, session.run(None, {"X": X}), X)
    size = session.get_modelmeta().custom_metadata_map.get("picture")
    assert size == (picture and json.dumps([picture.height, picture.width, picture.channels]))


def test_mnist(mnist, rng, tmp_path):
    model = network(rng, 784, 64, 10)
    model.input_scale = 255.0
    model.value_range = np.zeros(784), np.full(784, 255.0)
    X = mnist.test.X
    check(model, exported(model, tmp_path / "model.onnx").run(None, {"X": X}), X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("imported", [True, False])
def test_floats_that_are_divided_stay_floats(imported, dtype, rng, tmp_path):
    """Those of a network that was imported, and of pictures; a file of bytes would cut them."""
    X = rng.uniform(0, 255, (ROWS, 12)).astype(dtype)
    if imported:
        tensors = {f"{i}.weight": rng.standard_normal((5, 12 - 7 * i)).astype(dtype)
                   for i in range(2)}  # fmt: skip
        safetensors.numpy.save_file(tensors, tmp_path / "w.safetensors")
        model = read_torch(tmp_path / "w.safetensors", activation="tanh", input_scale=255)
        wanted = "tensor(double)"
    else:
        data = Dataset.from_arrays(X, X.argmax(axis=1))
        data = replace(data, picture=Picture(4, 3))
        model = Trainer(data, Config(epochs=1, dtype=dtype), CPU()).network
        wanted = "tensor(float)" if dtype == "float32" else "tensor(double)"
    assert model.input_scale == 255
    session = exported(model, tmp_path / "model.onnx")
    assert session.get_inputs()[0].type == wanted
    rows = X.astype("float64" if wanted == "tensor(double)" else "float32")
    check(model, session.run(None, {"X": rows}), X)


def test_what_was_trained_on_bytes_takes_bytes(rng, tmp_path):
    X = rng.integers(0, 256, (40, 12), dtype=np.uint8)
    model, _ = train(X, np.arange(40) % 2, epochs=1)
    session = exported(model, tmp_path / "model.onnx")
    assert session.get_inputs()[0].type == "tensor(uint8)"
    check(model, session.run(None, {"X": X}), X)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_time_stamps_keep_what_differs_between_them(objective, rng, tmp_path):
    """Which float32 would round away."""
    model = network(rng, 2, 8, 2, objective=objective)
    X = 1.7e9 + rng.standard_normal((ROWS, 2))
    model.standardize(X.mean(axis=0), X.std(axis=0))
    assert np.ptp(model.predict(X), axis=0).min() > 0.01
    session = exported(model, tmp_path / "model.onnx")
    check(model, session.run(None, {"X": X}), X)


def test_targets_keep_their_unit(rng, tmp_path):
    X = rng.standard_normal((ROWS, 3)).astype(np.float32)
    model = network(rng, 3, 4, 1, objective="regression")
    model.target_scaling = np.array([1e9]), np.array([0.5])
    (y,) = exported(model, tmp_path / "model.onnx").run(["variable"], {"X": X})
    assert y.shape == (ROWS, 1)
    assert np.ptp(y) > 1
    np.testing.assert_allclose(y - 1e9, model.predict(X) - 1e9, atol=1e-5)


NAMES = ("Länge", "ist neu", "gefunden am", "色", "label", "size", "matmul")


def messy(rng, n: int = 60) -> pd.DataFrame:
    """A column of each kind, with gaps, and names that others may take for their own."""
    days = pd.Timestamp("2024-05-31") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s")
    frame = pd.DataFrame(
        {
            "Länge": rng.normal(1.7e9, 5, n),
            "ist neu": pd.array(rng.integers(0, 2, n) > 0, dtype="boolean"),
            "gefunden am": days,
            "色": rng.choice(["赤", "b c", "é"], n),
            "label": rng.choice(["2", "3.0", "more"], n),
            "size": rng.normal(size=n),
            "matmul": rng.integers(0, 5, n),
        }
    ).astype({"色": object, "label": object})
    for i, name in enumerate(NAMES[:5]):
        frame.loc[i + 1, name] = None
    return frame


def feeds(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """A table's columns as the file takes them."""
    values = {}
    for name, column in frame.items():
        if pd.api.types.is_datetime64_any_dtype(column):
            column = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        if column.dtype == object:
            column = column.fillna("")
            values[name] = column.to_numpy(object).reshape(-1, 1)
        else:
            values[name] = column.to_numpy("float64", na_value=np.nan).reshape(-1, 1)
    return values


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> tuple[Model, onnxruntime.InferenceSession, Path]:
    """A model of messy(), its session, and its file."""
    rng = np.random.default_rng(4)
    frame = messy(rng)
    model, _ = train(frame, np.where(frame["size"] > 0, "no", "così"), epochs=30)
    path = tmp_path_factory.mktemp("table") / "model.onnx"
    return model, exported(model, path), path


def test_a_table(table, rng):
    model, session, path = table
    kinds = {value.name: value.type for value in session.get_inputs()}
    assert kinds == {
        name: f"tensor({'string' if name in ('色', 'label') else 'double'})" for name in NAMES
    }
    frame = messy(rng, 200)
    frame.loc[7, "色"] = frame.loc[8, "label"] = "unknown"
    frame.loc[9:15, "label"] = ["2.0", "3", "3.0", "3.00001", "2", "2.", "3.00"]
    frame.loc[16, "size"] = np.nan  # which training never lacked
    results = session.run(None, feeds(frame))
    check(model, results, frame)
    assert [value.name for value in session.get_outputs()] == ["label_2", "probabilities"]
    # Another implementation, which nobody here wrote either.
    for ours, theirs in zip(
        results, onnx.reference.ReferenceEvaluator(str(path)).run(None, feeds(frame)), strict=True
    ):
        if ours.dtype == object:
            assert ours.tolist() == theirs.tolist()
        else:
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_function_of_the_docs_takes_dates_of_any_time_zone(table, rng):
    """And what pandas reads of a CSV file as the page says."""
    session = table[1]
    page = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"
    examples = doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8"))
    (source,) = [e.source for e in examples if e.source.startswith("def inputs_of")]
    names = {"pd": pd, "np": np, "session": session}
    exec(source, names)
    frame = messy(rng, 30)
    wanted = session.run(None, names["inputs_of"](frame))
    check(table[0], wanted, frame)
    there = frame["gefunden am"].dt.tz_localize("UTC").dt.tz_convert(timezone(timedelta(hours=9)))
    found = session.run(None, names["inputs_of"](frame.assign(**{"gefunden am": there})))
    np.testing.assert_array_equal(found[1], wanted[1])
    text = frame.to_csv(index=False, na_rep="?")
    read = pd.read_csv(io.StringIO(text), parse_dates=["gefunden am"], na_values=["?", "-"],
                       dtype={"色": str, "label": str})  # fmt: skip
    found = session.run(None, names["inputs_of"](read))
    np.testing.assert_array_equal(found[1], wanted[1])


NUMBER = st.floats(-1e12, 1e12) | st.just(np.nan)
# No digits: 02 is 2 for the package, and unknown for the file.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Nd"], exclude_characters="\0"), max_size=3)
MOMENT = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


def category(*levels: str) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(levels) | TEXT.map(str.strip)


@settings(max_examples=40)  # pandas takes most of the time
@given(
    st.lists(
        st.tuples(
            NUMBER, st.none() | st.booleans(), st.none() | MOMENT, category("赤", "b c", "é"),
            category("2", "2.0", "3", "3.0", "more"), NUMBER, NUMBER,
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_any_row(table, rows):
    model, session, _ = table
    frame = pd.DataFrame(rows, columns=NAMES)
    frame = frame.astype(
        {"ist neu": "boolean", "gefunden am": "datetime64[s]", "色": object, "label": object}
    )
    check(model, session.run(None, feeds(frame)), frame)


@pytest.mark.parametrize("has_gaps", [False, True])
@pytest.mark.parametrize("kind", ["number", "boolean", "date", "category"])
def test_a_table_of_one_column(kind, has_gaps, rng, tmp_path):
    levels = ("a", "b") if kind == "category" else ()
    column = Column("x", kind, 0.5 if kind == "number" else 1.0, has_gaps, levels)
    model = network(rng, column.width, 4, 1, objective="regression", dtype="float64")
    model.schema = Schema((column,), column.feature_names)
    values = {"number": [1.5, None], "boolean": [True, None], "category": ["b", "c", None],
              "date": [datetime(2024, 5, 31, 12, tzinfo=UTC), None]}[kind]  # fmt: skip
    session = exported(model, tmp_path / "model.onnx")
    frame = pd.DataFrame({"x": values}, dtype="boolean" if kind == "boolean" else None)
    if kind == "date":
        frame["x"] = frame["x"].dt.tz_localize(None)
    if kind == "category":
        frame["x"] = frame["x"].astype(object)
    check(model, session.run(None, feeds(frame)), frame)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_predict_refuses_is_nan(activation, objective, rng, tmp_path):
    """tanh would make 1 of infinity."""
    model = network(rng, 3, 4, 3, activation=activation, objective=objective)
    X = rng.standard_normal((40, 3)).astype(np.float32)
    X[[2, 3, 4], [1, 0, 2]] = np.nan, np.inf, -np.inf
    *label, numbers = exported(model, tmp_path / "model.onnx").run(None, {"X": X})
    assert np.isnan(numbers[2:5]).all()
    assert np.isfinite(np.delete(numbers, [2, 3, 4], axis=0)).all()
    if label:
        assert (label[0][2:5] == -1).all()


def test_a_row_of_nan_has_no_class(table, rng):
    frame = messy(rng, 10)
    frame.loc[6, "size"] = np.inf
    label, p = table[1].run(None, feeds(frame))
    assert label[6] == ""
    assert np.isnan(p[6]).all()
    assert set(np.delete(label, 6)) <= {"no", "così"}


def test_runtimes_of_2020_know_the_versions_in_the_file(table, rng, tmp_path):
    exported(network(rng, 2, 2, 2), tmp_path / "array.onnx")
    opsets = {"": 13}
    for path in (tmp_path / "array.onnx", table[2]):
        proto = onnx.load(path)
        assert proto.ir_version == 7
        assert {opset.domain: opset.version for opset in proto.opset_import} == opsets
        opsets["ai.onnx.ml"] = 2  # for the categories of a table


def test_what_is_known_of_the_model_is_in_the_file(table):
    model, session, path = table
    meta = session.get_modelmeta()
    known = meta.custom_metadata_map
    assert meta.producer_name == "mlp_xp"
    assert onnx.load(path).producer_version == "0.1.0"
    assert known["objective"] == "multiclass"
    assert json.loads(known["output_names"]) == ["così", "no"]
    assert tuple(json.loads(known["feature_names"])) == model.schema.feature_names
    assert json.loads(known["columns"]) == {c.name: c.kind for c in model.schema.columns}
    (found,) = [value for value in onnx.load(path).graph.input if value.name == "gefunden am"]
    assert found.doc_string.startswith("days since 1970-01-01")


def test_a_name_that_is_no_unicode_is_spelled_out(rng, tmp_path):
    """As that of a folder of pictures can be."""
    model = network(rng, 2, 3, 1)
    model.schema = Schema(output_names=("a\udce9",))
    X = rng.standard_normal((1, 2)).astype(np.float32)
    label, _ = exported(model, tmp_path / "model.onnx").run(None, {"X": X})
    assert label == ["a\\udce9"]


def test_a_model_on_another_device_makes_the_same_file(rng, tmp_path):
    paths = []
    for device in (CPU(), standin.StandIn()):
        model = Model.initialize(device, (3, 4, 2), objective="regression")
        model.standardize(np.ones(3), np.full(3, 2.0))
        model.target_scaling = np.ones(2), np.full(2, 3.0)
        paths.append(tmp_path / f"{device.name}.onnx")
        to_onnx.export(model, paths[-1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_equal_models_make_equal_files(table, tmp_path):
    to_onnx.export(table[0], tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == table[2].read_bytes()


def test_what_cannot_be_exported(rng, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    monkeypatch.setitem(ACTIVATIONS, "softsign", ACTIVATIONS["tanh"])
    with pytest.raises(InputError, match="activation 'softsign' can't be exported to ONNX, only r"):
        to_onnx.export(network(rng, 2, 2, 2, activation="softsign"), path)
    model = network(rng, 2, 2, 2)
    with monkeypatch.context() as patch:
        patch.setattr(to_onnx, "MOST_BYTES", 10)
        with pytest.raises(InputError, match="over 2 GB"):
            to_onnx.export(model, path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"needs the package onnx: pip install '\.\[onnx\]'"):
        to_onnx.export(model, path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run(rng, tmp_path, monkeypatch) -> Path:
    """A folder with a model and settings, as a run leaves it, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    save_model(network(rng, 3, 4, 2), "run/model.safetensors")
    Path("run/config.json").write_text("{}")
    return Path("run")


@pytest.mark.parametrize("name", ["run", "run/model.safetensors"])
def test_the_command_writes_beside_the_model(name, run, capsys):
    Path("run/model.onnx").write_text("an older one")
    assert main(["export", name]) == 0
    captured = capsys.readouterr()
    assert captured.err == "saved run/model.onnx\n"
    assert captured.out.splitlines() == [
        "input float32 (N, 3): X",
        "output int64 (N,): label",
        "output float32 (N, 2): probabilities",
        "load it with onnxruntime.InferenceSession('run/model.onnx')",
    ]
    onnx.checker.check_model("run/model.onnx", full_check=True)


def test_the_command_writes_through_a_link(run):
    Path("far").mkdir()
    Path("link.onnx").symlink_to("far/real.onnx")
    assert main(["export", "run", "--format", "onnx", "--out", "link.onnx"]) == 0
    assert Path("link.onnx").is_symlink()
    onnx.checker.check_model("far/real.onnx")
    assert main(["export", "run", "--format", "onnx", "--out", "link.onnx"]) == 0


def test_the_model_may_be_no_pipe(run, capsys):
    """Which the command would wait for."""
    os.mkfifo("pipe")
    assert main(["export", "pipe"]) == 2
    assert capsys.readouterr().err == "mlp_xp: error: pipe: is not a regular file\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file"),
        (["run/config.json"], "run/config.json: not a model file, or a damaged one"),
        (["."], ".: holds no model.safetensors"),
        (["run", "--out", "run"], "run: is a folder; name a file in it"),
        (["run", "--out", "no/m.onnx"], "no/m.onnx: there is no folder no; make it"),
        (["run", "--out", "/dev/null"], "/dev/null: is not a regular file"),
        (["run", "--out", "run/model.safetensors"], "run/model.safetensors: is the model itself"),
        (["run", "--out", "run/config.json"], "only .onnx files are replaced; name another"),
        (["own.onnx"], "own.onnx: is the model itself; name another file with --out"),
        (["run", "--out", "itself.onnx"], "itself.onnx: is the model itself; name another file"),
        (["run", "--out", "other.onnx"], "other.safetensors: exists already, and only .onnx files"),
        (["run", "--out", "loop.onnx"], "loop.onnx: is a link that leads to no file; name another"),
    ],
)
def test_what_the_command_refuses(arguments, message, run, capsys):
    Path("own.onnx").write_bytes(Path("run/model.safetensors").read_bytes())
    Path("run/other.safetensors").write_bytes(b"other")
    for link, file in ("itself", "run/model.safetensors"), ("other", "run/other.safetensors"):
        Path(f"{link}.onnx").symlink_to(file)
    Path("loop.onnx").symlink_to("loop2")
    Path("loop2").symlink_to("loop.onnx")
    before = {path: path.read_bytes() for path in Path().rglob("*.*") if path.exists()}
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("mlp_xp: error: ")
    assert message in captured.err
    assert {path: path.read_bytes() for path in Path().rglob("*.*") if path.exists()} == before
    assert Path("loop.onnx").is_symlink()


@pytest.mark.full
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "load", [datasets.load_iris, datasets.load_breast_cancer, datasets.load_diabetes]
)
def test_trained_networks(load, activation, dtype, tmp_path):
    bunch = load(as_frame=True)
    names = bunch.get("target_names")
    y = bunch.target + 0.5 if names is None else names[bunch.target]  # no classes, if not whole
    model, _ = train(bunch.data, y, activation=activation, dtype=dtype, epochs=20)
    session = exported(model, tmp_path / "model.onnx")
    check(model, session.run(None, feeds(bunch.data)), bunch.data)


@pytest.mark.full
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mnist_trained(mnist, activation, tmp_path):
    trainer = Trainer(mnist, Config(epochs=1, activation=activation), CPU())
    trainer.fit()
    model, X = trainer.network, mnist.test.X
    label, p = exported(model, tmp_path / "model.onnx").run(None, {"X": X})
    check(model, [label, p], X)
    assert (label == mnist.test.y).mean() > 0.9


@pytest.mark.full
def test_several_labels_trained(tmp_path):
    X, y = datasets.make_multilabel_classification(500, 10, n_classes=4, random_state=0)
    model, _ = train(X, y, epochs=20)
    session = exported(model, tmp_path / "model.onnx")
    check(model, session.run(None, {"X": X}), X)
