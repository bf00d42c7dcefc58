"""PyTorch both ways. The tests marked `full` compare with PyTorch itself, the others with NumPy."""

import ast
import json
import math
import os
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_xp import (
    Config,
    Dataset,
    InputError,
    Model,
    Split,
    Trainer,
    load_model,
    save_model,
    train,
)  # fmt: skip
from mlp_xp.cli import main
from mlp_xp.devices import CPU
from mlp_xp.export.from_torch import read_torch
from mlp_xp.export.to_torch import export
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, Activation
from mlp_xp.schema import Schema

DOCS = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"
MEAN, STD = [3.0, -40.0, 0.1, 7.0], [2.0, 9.0, 0.3, 1.0]


def new_model(activation="relu", objective="multiclass", dtype="float32", **changes) -> Model:
    """A model of 4 inputs and 3 outputs that scales whatever there is to scale."""
    model = Model.initialize(
        CPU(), (4, 6, 5, 3), activation=activation, objective=objective, seed=3, dtype=dtype
    )
    for layer in model.layers:
        layer.b += np.linspace(-1, 1, len(layer.b)).astype(dtype)
    mean, std = (
        np.array(changes.get(name, value)) for name, value in (("mean", MEAN), ("std", STD))
    )
    model.standardize(mean, std)
    model.value_range = mean - 3 * std, mean + 3 * std
    if objective == "regression":
        model.target_scaling = np.array([300.0, -1.0, 0.0]), np.array([200.0, 0.5, 1.0])
    model.prior = np.array([0.2, 0.3, 0.5])
    model.schema = Schema(None, ("a", "b", "c", "d"), ("x", "y", "z"), "kind")
    return model


def rows_for(model: Model, count: int = 50) -> np.ndarray:
    assert model.value_range is not None
    low, high = model.value_range
    return np.random.default_rng(1).uniform(low, high, (count, len(low)))


def outputs_of(model: Model, X: np.ndarray) -> np.ndarray:
    """Logits, or numbers in the targets' own units."""
    z = model.logits(model.prepare(X)).astype("float64")
    if model.target_scaling is None:
        return z
    mean, std = model.target_scaling
    return z * std + mean


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, beside the range of its output: a sum is rounded by its terms."""
    return float((abs(found - wanted) / np.ptp(wanted, axis=0)).max())


def sequential(path: Path, activation: str, X: np.ndarray) -> np.ndarray:
    """What torch.nn.Sequential gives for the rows, with the tensors of a file."""
    tensors = safetensors.numpy.load_file(path)
    numbers = sorted({int(name.partition(".")[0]) for name in tensors})
    assert numbers == list(range(0, 2 * len(numbers), 2))
    assert set(tensors) == {f"{n}.{part}" for n in numbers for part in ("weight", "bias")}
    A = X.astype(tensors["0.weight"].dtype)
    for number in numbers:
        A = A if number == 0 else ACTIVATIONS[activation].function(np, A)
        A = A @ tensors[f"{number}.weight"].T + tensors[f"{number}.bias"]
    return A


def save(path: Path, metadata: dict[str, str] | None = None, **shapes) -> Path:
    """A file of tensors with these shapes; `__` stands for a dot in a name."""
    rng = np.random.default_rng(0)
    tensors = {
        name.replace("__", "."): value if isinstance(value, np.ndarray)
        else rng.standard_normal(value).astype("float32")
        for name, value in shapes.items()
    }  # fmt: skip
    safetensors.numpy.save_file(tensors, path, metadata)
    return path


TWO = {"0__weight": (5, 4), "0__bias": (5,), "2__weight": (3, 5), "2__bias": (3,)}


# ---- out


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_there_and_back(activation, objective, dtype, tmp_path):
    model = new_model(activation, objective, dtype)
    export(model, tmp_path / "w.safetensors")
    X = rows_for(model)
    found = sequential(tmp_path / "w.safetensors", activation, X)
    assert found.dtype == dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    assert error(found, outputs_of(model, X)) < tolerance

    back = read_torch(tmp_path / "w.safetensors")
    assert error(outputs_of(back, X), outputs_of(model, X)) < tolerance
    assert error(back.predict(X), model.predict(X)) < tolerance
    assert back.predict(X).dtype == model.predict(X).dtype
    assert (back.activation_name, back.objective_name) == (activation, objective)
    assert (back.schema, back.dtype) == (model.schema, dtype)
    for name in ("standardization", "value_range", "target_scaling", "prior"):
        np.testing.assert_array_equal(getattr(back, name), getattr(model, name))


def test_weights_that_scale_nothing_are_the_models_own(tmp_path, dtype):
    model = Model.initialize(CPU(), (4, 6, 3), dtype=dtype)
    export(model, tmp_path / "w.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    for i, layer in enumerate(model.layers):
        np.testing.assert_array_equal(tensors[f"{2 * i}.weight"], layer.W.T)
        np.testing.assert_array_equal(tensors[f"{2 * i}.bias"], layer.b)
        assert tensors[f"{2 * i}.weight"].dtype == dtype


def test_equal_models_make_equal_files(tmp_path):
    for name in "ab":
        export(new_model(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bytes_go_in_as_they_are(tmp_path):
    model = Model.initialize(CPU(), (9, 5, 2), activation="tanh")
    model.input_scale = 255.0
    lines = export(model, tmp_path / "w.safetensors")
    assert lines[0] == (
        "# Inputs (N, 9) in float32: the values as they were in training; "
        "don't scale them, the weights do."
    )
    X = np.random.default_rng(0).integers(0, 256, (30, 9), dtype=np.uint8)
    found = sequential(tmp_path / "w.safetensors", "tanh", X)
    np.testing.assert_allclose(found, outputs_of(model, X), rtol=1e-5, atol=1e-6)
    assert read_torch(tmp_path / "w.safetensors").input_scale == 255.0


def test_without_a_hidden_layer_the_one_layer_scales_inputs_and_outputs(tmp_path):
    model = Model.initialize(CPU(), (2, 1), objective="regression", dtype="float64")
    model.standardize(np.array([5.0, 1e4]), np.array([2.0, 3e3]))
    model.target_scaling = np.array([7e5]), np.array([1e4])
    export(model, tmp_path / "w.safetensors")
    X = np.array([[1.0, 2.0], [9.0, 8e4]])
    found = sequential(tmp_path / "w.safetensors", "relu", X)
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-12)
    np.testing.assert_allclose(read_torch(tmp_path / "w.safetensors").predict(X), found, rtol=1e-12)


def test_time_stamps_are_exported_in_float64(tmp_path):
    """Those of one day differ by less than float32 does there."""
    model = new_model(mean=[1.8e9, 0, 0, 0], std=[2.5e4, 1, 1, 1])
    lines = export(model, tmp_path / "w.safetensors")
    assert "# In float64, as float32 would round away what differs between rows." in lines
    assert lines[-2].endswith(".double()")
    X = rows_for(model)
    found = sequential(tmp_path / "w.safetensors", "relu", X)
    np.testing.assert_allclose(found, outputs_of(model, X), rtol=1e-5, atol=1e-5)
    back = read_torch(tmp_path / "w.safetensors")
    assert back.dtype == "float32"
    np.testing.assert_allclose(back.predict(X), model.predict(X), rtol=1e-5, atol=1e-6)
    rounded = X.astype("float32").astype("float64")  # as a float32 layer would get them
    assert abs(outputs_of(model, rounded) - outputs_of(model, X)).max() > 1e-4


def test_targets_far_from_zero_are_exported_in_float64(tmp_path):
    model = new_model(objective="regression")
    model.target_scaling = np.full(3, 1e9), np.ones(3)
    assert export(model, tmp_path / "w.safetensors")[-2].endswith(".double()")
    X = rows_for(model)
    found = sequential(tmp_path / "w.safetensors", "relu", X)
    np.testing.assert_allclose(found - 1e9, model.predict(X) - 1e9, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std"), [([0, 1e18, 0, 0], [1, 3.0, 1, 1]), ([1, 1e-310, 1, 1], [1, 1e-310, 1, 1])]
)
def test_what_no_weights_can_scale_is_refused(mean, std, tmp_path):
    with pytest.raises(
        InputError, match=r"weights can't scale them \(the farthest is '[ab]', .*ag"
    ):
        export(new_model(mean=mean, std=std), tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


@settings(max_examples=60)
@given(
    offset=st.floats(0, 22), unit=st.floats(-60, 60), objective=st.sampled_from(list(OBJECTIVES)),
    dtype=st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_a_file_gives_what_the_model_gives_or_there_is_none(
    offset, unit, objective, dtype, tmp_path_factory
):
    path = tmp_path_factory.mktemp("w") / "w.safetensors"
    std = 10.0**unit
    model = new_model("tanh", objective, dtype, mean=[10.0 ** (unit + offset), 0, 0, 0])
    model.standardize(np.array([10.0 ** (unit + offset), 0, 0, 0]), np.array([std, 1, 1, 1]))
    mean = model.standardization[0]
    model.value_range = mean - std, mean + std
    try:
        export(model, path)
    except InputError:
        assert offset > 8 or abs(unit) > 30
        return
    X = rows_for(model, 20)
    found, wanted = sequential(path, "tanh", X), outputs_of(model, X)
    scale = np.ones(3) if model.target_scaling is None else model.target_scaling[1]
    assert (abs(found - wanted) / scale).max() < 1e-4


def test_an_activation_of_ones_own_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "mine", Activation(np.sin, np.cos, "he"))
    with pytest.raises(InputError, match="PyTorch has no layer for the activation mine; those"):
        export(Model.initialize(CPU(), (2, 2, 2), activation="mine"), tmp_path / "w")


def test_the_metadata_names_inputs_and_outputs(tmp_path):
    lines = export(new_model("gelu"), tmp_path / "w.safetensors")
    assert "# The file's metadata has the names of inputs and outputs, in this order." in lines
    with safetensors.safe_open(tmp_path / "w.safetensors", "numpy") as file:
        metadata = json.loads(file.metadata()["mlp_xp"])
    assert (metadata["activation"], metadata["objective"]) == ("gelu", "multiclass")
    assert metadata["schema"]["feature_names"] == ["a", "b", "c", "d"]
    assert metadata["schema"]["output_names"] == ["x", "y", "z"]


# ---- in


@pytest.mark.parametrize(
    "names",
    [
        ("0", "2", "4"), ("8", "9", "10"), ("net.0", "net.1", "net.12"), ("fc1", "fc2", "fc3"),
        ("_orig_mod.module.layers.3.linear", "_orig_mod.module.layers.5.linear",
         "_orig_mod.module.layers.11.linear"),
    ],
)  # fmt: skip
def test_layers_are_ordered_by_their_numbers(names, tmp_path):
    sizes = [(4, 4), (4, 4), (3, 4)]  # so that shapes alone don't tell
    shapes = {f"{name}.weight": size for name, size in zip(names, sizes, strict=True)}
    shapes |= {f"{name}.bias": size[:1] for name, size in zip(names, sizes, strict=True)}
    path = save(tmp_path / "w.safetensors", **dict(reversed(shapes.items())))
    model = read_torch(path, activation="tanh")
    tensors = safetensors.numpy.load_file(path)
    for name, layer in zip(names, model.layers, strict=True):
        np.testing.assert_array_equal(layer.W, tensors[f"{name}.weight"].T)
        np.testing.assert_array_equal(layer.b, tensors[f"{name}.bias"])


def test_a_single_layer_needs_no_number_and_none_a_bias(tmp_path):
    path = save(tmp_path / "w.safetensors", weight=(3, 4))
    model = read_torch(path, activation="relu")
    assert model.sizes == (4, 3)
    assert not model.layers[0].b.any()


@pytest.mark.parametrize(
    ("types", "dtype"),
    [(["F16", "F16"], "float32"), (["BF16", "F32"], "float32"), (["BF16", "F64"], "float64")],
)
def test_short_tensors_keep_their_values(types, dtype, tmp_path):
    """1.5 and -0.75, in whatever type; bfloat16 is the upper half of a float32."""
    header, data = {}, b""
    for i, kind in enumerate(types):
        numbers = np.array([1.5, -0.75], "<f4")
        if kind == "BF16":
            part = numbers.view("<u2")[1::2].tobytes()
        else:
            part = numbers.astype(f"<f{int(kind[1:]) // 8}").tobytes()
        shape, place = [2, 1] if i == 0 else [1, 2], [len(data), len(data) + len(part)]
        header[f"{i}.weight"] = {"dtype": kind, "shape": shape, "data_offsets": place}
        data += part
    text = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    model = read_torch(path, activation="relu", objective="regression")
    assert model.dtype == dtype
    assert model.layers[0].W.tolist() == [[1.5, -0.75]]
    assert model.layers[1].W.tolist() == [[1.5], [-0.75]]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "holds no tensors"),
        ({**TWO, "1__running_mean": (5,)}, r"1.running_mean \(5,\) is no part of a Linear layer"),
        ({**TWO, "1__weight": (5,)}, r"1.weight \(5,\) is no part of a Linear layer"),
        ({"0__weight": (8, 1, 3, 3), "0__bias": (8,)}, r"0.weight \(8, 1, 3, 3\) is no part of"),
        ({**TWO, "0__bias": (5, 1)}, r"0.bias \(5, 1\) is no part of a Linear layer"),
        ({**TWO, "in_proj_weight": (5, 4)}, r"in_proj_weight \(5, 4\) is no part"),
        ({**TWO, "4__bias": (3,)}, "4.bias has no weight beside it"),
        ({**TWO, "0__bias": (4,)}, r"0.bias is \(4,\), beside a weight \(5, 4\)"),
        ({**TWO, "2__weight": (3, 6)}, "2.weight takes 6 inputs, but 0.weight gives 5"),
        ({"fc1__weight": (5, 4), "out__weight": (3, 5)}, "order of the layers can't be told"),
        ({"a__weight": (5, 4), "b__weight": (3, 5)}, "order of the layers can't be told"),
        ({"pi__0__weight": (5, 4), "v__0__weight": (5, 5)}, "order of the layers can't be told"),
        ({"0__1__weight": (5, 4), "1__0__weight": (3, 5)}, "order of the layers can't be told"),
        ({**TWO, "0__bias": np.full(5, np.nan, "float32")}, "0.bias holds NaN or infinity"),
        ({**TWO, "0__bias": np.zeros(5, "int64")}, "0.bias is of type I64; weights are of F64,"),
        ({"0__weight": (3, 0), "0__bias": (3,)}, r"0.weight is empty: \(3, 0\)"),
    ],
)  # fmt: skip
def test_what_is_no_row_of_linear_layers_is_refused(shapes, message, tmp_path):
    path = save(tmp_path / "w.safetensors", **shapes)
    with pytest.raises(InputError, match=f"w.safetensors: .*{message}"):
        read_torch(path, activation="relu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": None}, "its tensors don't say the activation; give --activation relu|"),
        ({"activation": "swish"}, "swish; give --activation relu|leaky_relu|gelu|tanh|sigmoid"),
        ({"objective": "ranking"}, "ranking; give --objective multiclass|multilabel|regression"),
        ({"classes": ["a", "b"]}, "has 3 outputs, but --classes names 2, of which 2 differ"),
        ({"classes": ["a", "b", "b"]}, "has 3 outputs, but --classes names 3, of which 2 differ"),
        ({"input_scale": 0.0}, "input_scale is 0.0; it must be above 0"),
        ({"input_scale": math.nan}, "input_scale is nan; it must be above 0"),
        ({"input_scale": math.inf}, "input_scale is inf; it must be above 0"),
        ({"mean": [1, 2]}, "has 4 inputs, but --mean 2 numbers; give 1 or 4"),
        ({"mean": [math.inf]}, "--mean must be finite numbers"),
        ({"std": [1, 1, 0, 1]}, "--std must be finite numbers above 0"),
    ],
)
def test_what_cannot_be_said_of_a_network_is_refused(options, message, tmp_path):
    path = save(tmp_path / "w.safetensors", **TWO)
    with pytest.raises(InputError, match=re.escape(message)):
        read_torch(path, **{"activation": "relu", **options})


def test_one_output_is_no_class(tmp_path):
    path = save(tmp_path / "w.safetensors", weight=(1, 4))
    with pytest.raises(InputError, match="has 1 output, which can't be multiclass; give"):
        read_torch(path, activation="relu")
    assert read_torch(path, activation="relu", objective="multilabel").sizes == (4, 1)


def test_inputs_are_scaled_as_the_options_say(tmp_path):
    path = save(tmp_path / "w.safetensors", **TWO)
    plain = read_torch(path, activation="tanh")
    scaled = read_torch(path, activation="tanh", input_scale=255, mean=[0.25], std=[1, 2, 3, 4])
    X = np.random.default_rng(0).integers(0, 256, (20, 4), dtype=np.uint8)
    prepared = (X / 255 - 0.25) / [1, 2, 3, 4]
    np.testing.assert_allclose(scaled.predict(X), plain.predict(prepared), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [None, 100.0])
def test_training_on_keeps_what_the_inputs_mean(scale, tmp_path):
    """Bytes are divided by 255 where nothing is known of them."""
    path = save(tmp_path / "w.safetensors", weight=(2, 64))
    model = read_torch(path, activation="relu", input_scale=scale)
    X = np.random.default_rng(0).integers(0, 256, (40, 64), dtype=np.uint8)
    before = model.prepare(X).copy()
    data = Dataset("bytes", Split(X, np.arange(40) % 2), None, 2)
    save_model(model, tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors", CPU())
    trainer = Trainer(data, Config(epochs=1), CPU(), model)
    trainer.fit()
    np.testing.assert_array_equal(trainer.network.prepare(X), before)


@pytest.mark.parametrize("damage", ["pickle", "old pickle", "zip", "empty", "cut", "text", "json"])
def test_other_files_are_refused(damage, tmp_path):
    path = save(tmp_path / "w.safetensors", **TWO)
    whole = path.read_bytes()
    contents = {
        "pickle": b"PK\x03\x04" + bytes(22) + b"net/data.pkl", "zip": b"PK\x03\x04" + bytes(99),
        "old pickle": b"\x80\x02\x8a\nl\xfc" + bytes(99),
        "empty": b"", "cut": whole[:-1], "text": b"hello there",
        "json": bytes([2, *[0] * 7]) + b"[]",
    }  # fmt: skip
    path.write_bytes(contents[damage])
    wanted = "a pickle, which could run code" if "pickle" in damage else "not a safetensors file"
    with pytest.raises(InputError, match=f"w.safetensors: {wanted}"):
        read_torch(path, activation="relu")


def test_a_file_whose_header_begins_as_a_pickle_does_is_read(tmp_path):
    """The length of the header comes first, and its first byte can be any multiple of 8."""
    for spaces in range(400):
        path = save(tmp_path / "w.safetensors", {"note": " " * spaces}, **TWO)
        if path.read_bytes()[:1] == b"\x80":
            break
    assert path.read_bytes()[:1] == b"\x80"
    assert read_torch(path, activation="relu").sizes == (4, 5, 3)


def test_every_way_to_damage_an_export_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "w.safetensors"
    export(new_model(objective="regression"), path)
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(0)
    errors = 0
    for place in rng.integers(0, 8 + header, 400):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(7))
        path.write_bytes(damaged)
        try:
            read_torch(path)
        except InputError as error:
            errors += str(error).startswith(f"{path}: ") or pytest.fail(str(error))
    assert errors > 200


@pytest.mark.parametrize(
    "change",
    [
        {"import": None}, {"import": {}}, {"schema": {}}, {"activation": "none"}, {"objective": 1},
        {"import": {"dtype": "int8", "input_scale": None, "arrays": {}}},
        {"import": {"dtype": "float32", "input_scale": "x", "arrays": {}}},
        {"import": {"dtype": "float32", "input_scale": -1.0, "arrays": {}}},
        {"import": {"dtype": "float32", "input_scale": None, "arrays": {"input.mean": [1.0, 2.0]}}},
        {"import": {"dtype": "float32", "input_scale": None, "arrays": {"layer.0.W": [1.0]}}},
        {"import": {"dtype": "float32", "input_scale": None, "arrays": {"more": [1.0]}}},
        {"import": {"dtype": "float32", "input_scale": None, "arrays": {"input.std": [10**400]}}},
        {"import": {"dtype": "float32", "input_scale": 10**400, "arrays": {}}},
        {"schema": {"columns": [{"name": "a", "kind": "number", "fill": 10**400,
                                 "has_gaps": False, "levels": []}]}},
        {"import": {"dtype": "float32", "input_scale": None, "arrays": {"input.std": [0.0] * 4}}},
        {"format": "torch 99"},
    ],
    ids=lambda change: json.dumps(change)[:80],
)  # fmt: skip
def test_metadata_that_does_not_fit_is_refused(change, tmp_path):
    path = tmp_path / "w.safetensors"
    export(new_model(), path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata = json.loads(file.metadata()["mlp_xp"])
    tensors = safetensors.numpy.load_file(path)
    for text in (json.dumps({**metadata, **change}), json.dumps([change])):
        safetensors.numpy.save_file(tensors, path, {"mlp_xp": text})
        with pytest.raises(InputError, match=r"w\.safetensors: "):
            read_torch(path)


def test_our_own_models_need_no_import(tmp_path):
    save_model(new_model(), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="is mlp_xp's own model 2"):
        read_torch(tmp_path / "model.safetensors")


@pytest.mark.parametrize("options", [{"activation": "relu"}, {"mean": [0], "input_scale": 2.0}])
def test_what_an_export_says_itself_cannot_be_given(options, tmp_path):
    export(new_model(), tmp_path / "w.safetensors")
    listed = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(options))
    with pytest.raises(InputError, match=f"says itself what the model is: leave out {listed}"):
        read_torch(tmp_path / "w.safetensors", **options)


# ---- the commands


@pytest.fixture
def table(tmp_path, monkeypatch) -> str:
    """A table with a category, a gap and a time, in the working directory; its class follows x."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["x,color,seconds,kind"]
    for i in range(200):
        x, color = rng.normal(), rng.choice(["red", "green", "blue"])
        seconds = "" if i % 10 == 0 else 1_800_000_000 + int(rng.integers(86400))
        lines.append(f"{x:.3f},{color},{seconds},{'high' if x > 0 else 'low'}")
    Path("table.csv").write_text("\n".join(lines) + "\n")
    return "table.csv"


def run(capsys, *words: object) -> tuple[int, list[str], str]:
    capsys.readouterr()
    status = main([*map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err


def test_a_tables_model_goes_out_and_comes_back(table, capsys):
    run(capsys, "train", "--data", table, "--out", "run", "--epochs", 3, "--device", "cpu")
    status, lines, err = run(capsys, "export", "run", "--format", "torch", "--out", "w.safetensors")
    assert (status, err) == (0, "saved w.safetensors\n")
    assert lines[0].startswith(
        "# Inputs (N, 6) in float64: a table's columns, encoded as the model does it; don't scale"
    )
    status, lines, err = run(capsys, "import", "w.safetensors", "--out", "back.safetensors")
    assert (status, err) == (0, "saved back.safetensors\n")
    assert re.fullmatch(
        r"6-[0-9-]+-2, \w+, multiclass, float32, inputs \(x - mean\) / std", lines[0]
    )
    ours = run(capsys, "predict", "run", table, "--device", "cpu")[1]
    theirs = run(capsys, "predict", "back.safetensors", table, "--device", "cpu")[1]
    assert ours[0] == theirs[0]
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert mine.split(",")[:2] == other.split(",")[:2]
        np.testing.assert_allclose(
            [float(p) for p in mine.split(",")[2:]], [float(p) for p in other.split(",")[2:]],
            atol=2e-5,
        )  # fmt: skip
    status, lines, _ = run(
        capsys, "train", "--data", table, "--init-from", "back.safetensors", "--out", "run2",
        "--epochs", 20, "--device", "cpu",
    )  # fmt: skip
    assert status == 0
    assert float(re.search(r"accuracy ([0-9.]+)%", lines[-1])[1]) > 90


def test_a_network_of_pytorchs_is_evaluated_and_trained_on(tmp_path, monkeypatch, capsys, mnist):
    monkeypatch.chdir(tmp_path)
    model = train(mnist, epochs=1, hidden=(16,), device=CPU()).network
    tensors = {f"fc{i + 1}.{part}": array for i, layer in enumerate(model.layers)
               for part, array in (("weight", layer.W.T.copy()), ("bias", layer.b))}  # fmt: skip
    safetensors.numpy.save_file(tensors, "theirs.safetensors")
    words = ("import", "theirs.safetensors", "--activation", "relu", "--out", "m.safetensors")
    names = ",".join(f"digit {k}" for k in range(10))
    status, lines, _ = run(capsys, *words, "--input-scale", "255", "--classes", names)
    assert (status, lines) == (0, ["784-16-10, relu, multiclass, float32, inputs x / 255"])
    loaded = load_model("m.safetensors", CPU())
    assert loaded.output_names[3] == "digit 3"
    X = mnist.test.X[:500]
    np.testing.assert_allclose(loaded.predict(X), model.predict(X), rtol=1e-5, atol=1e-6)
    Path("m.safetensors").unlink()
    run(capsys, *words, "--input-scale", "255", "--mean", "0", "--std=1")
    before = run(capsys, "evaluate", "m.safetensors", "--data", "mnist", "--device", "cpu")[1][0]
    status, lines, _ = run(
        capsys, "train", "--init-from", "m.safetensors", "--epochs", 1, "--out", "run",
        "--device", "cpu", "--quiet",
    )  # fmt: skip
    assert status == 0
    accuracy = [float(re.search(r"accuracy ([0-9.]+)%", line)[1]) for line in (before, lines[-1])]
    assert accuracy[0] > 85
    assert accuracy[1] > accuracy[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.safetensors"], "missing.safetensors: No such file or directory"),
        (["."], ".: Is a directory"),
        (["w.safetensors"], "its tensors don't say the activation"),
        (["w.safetensors", "--activation", "relu", "--out", "w.safetensors"],
         "w.safetensors: exists already; name another"),
        (["w.safetensors", "--activation", "relu", "--out", "no/m.safetensors"],
         "no/m.safetensors: there is no folder no; make it, or name another"),
        (["w.safetensors", "--activation", "relu", "--out", "."],
         ".: is a folder; name a file in it"),
    ],
)  # fmt: skip
def test_import_reports_what_is_wrong_in_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = save(Path("w.safetensors"), **TWO).read_bytes()
    if "--out" not in words:
        words = [*words, "--out", "m.safetensors"]
    status, lines, err = run(capsys, "import", *words)
    assert (status, lines) == (2, [])
    assert message in err
    assert err.count("\n") == 1
    assert Path("w.safetensors").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["w.safetensors"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_what_is_no_file_is_left_in_place(tmp_path, capsys):
    """A device or a pipe; a file would take its place."""
    os.mkfifo(tmp_path / "pipe")
    source = save(tmp_path / "w.safetensors", **TWO)
    words = ("import", source, "--activation", "relu", "--out", tmp_path / "pipe")
    assert "pipe: is not a regular file; name another" in run(capsys, *words)[2]
    with pytest.raises(InputError, match="pipe: can't be written: not a regular file"):
        export(new_model(), tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_import_replaces_no_file(tmp_path, capsys):
    source, out = save(tmp_path / "w.safetensors", **TWO), tmp_path / "model.safetensors"
    save_model(new_model(), out)
    before = out.read_bytes()
    status, lines, err = run(capsys, "import", source, "--activation", "relu", "--out", out)
    assert (status, lines) == (2, [])
    assert err == f"mlp_xp: error: {out}: exists already; name another\n"
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], "as they are"),
        (["--input-scale", "1", "--mean", "0"], "as they are"),
        (["--input-scale", "255"], "x / 255"),
        (["--std", ".5"], "x / 0.5"),
        (["--mean", "-1,2,3,4"], "(x - mean)"),
        (["--mean", "-1e3"], "(x - -1000)"),
        (["--mean", "-.5,-.5,-.5,-.5", "--std", "1,1,1,2", "--input-scale", "255"],
         "(x / 255 - -0.5) / std"),
    ],
)  # fmt: skip
def test_import_says_how_inputs_are_scaled(options, shown, tmp_path, capsys):
    source = save(tmp_path / "w.safetensors", **TWO)
    words = ("import", source, "--activation", "relu", "--out", tmp_path / "m.safetensors")
    status, (line,), _ = run(capsys, *words, *options)
    assert (status, line) == (0, f"4-5-3, relu, multiclass, float32, inputs {shown}")


@pytest.mark.parametrize(
    ("name", "new"),
    [("net.pt", "net.safetensors"), ('a "b\' c.pt', 'a "b\' c.safetensors'),
     ("wrong.safetensors", "wrong.new.safetensors"), ("two\nlines", "two\nlines.safetensors")],
)  # fmt: skip
def test_the_way_out_of_a_pickle_is_python_for_this_file(name, new, tmp_path):
    (tmp_path / name).write_bytes(b"\x80\x02")
    with pytest.raises(InputError, match="a pickle") as caught:
        read_torch(tmp_path / name)
    message = str(caught.value)
    assert "\n" not in message
    _, saving = ast.parse(message.partition("in Python: ")[2]).body
    loading, out = saving.value.args
    assert ast.literal_eval(loading.args[0]) == str(tmp_path / name)
    assert ast.literal_eval(out) == str(tmp_path / new)


@pytest.mark.parametrize(
    ("names", "layers"),
    [(("fc1", "fc2", "out"), "net.fc1, net.fc2, net.out"), (("a.0", "b"), "net.a[0], net.b"),
     ("abcd", "net.a, net.b, net.c, ...")],
)  # fmt: skip
def test_layers_in_no_order_have_a_way_out(names, layers, tmp_path):
    path = save(tmp_path / "w.safetensors", **{f"{name}.weight": (4, 4) for name in names})
    with pytest.raises(InputError, match=re.escape(f"torch.nn.Sequential({layers}).state_dict()")):
        read_torch(path, activation="relu")


@pytest.mark.parametrize("text", ["", "1,,2", "one", "1;2"])
def test_numbers_that_are_none_are_named(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["import", "w", "--mean", text, "--out", "m"])
    assert f"'{text}' is not a list of numbers like 0.5 or 0.5,1" in capsys.readouterr().err


# ---- with PyTorch itself


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.full
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_pytorch_gives_what_the_model_gives(activation, objective, dtype, tmp_path, torch):
    model = new_model(activation, objective, dtype)
    names: dict = {}
    exec("\n".join(export(model, tmp_path / 'we"ights é.safetensors')), names)
    X = rows_for(model, 300)
    with torch.no_grad():
        found = names["model"](torch.from_numpy(X.astype(dtype))).numpy()
    assert found.dtype == dtype
    assert error(found, outputs_of(model, X)) < (1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.full
def test_the_mnist_model_in_pytorch(tmp_path, mnist, torch):
    model = train(mnist, epochs=1, device=CPU()).network
    names: dict = {}
    exec("\n".join(export(model, tmp_path / "w.safetensors")), names)
    X = mnist.test.X
    with torch.no_grad():
        found = names["model"](torch.from_numpy(X).float()).softmax(1).numpy()
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-4, atol=1e-6)


@pytest.mark.full
@pytest.mark.parametrize("half", [None, "bfloat16", "float16"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_of_pytorchs_gives_the_same_here(activation, half, dtype, tmp_path, torch):
    from safetensors.torch import save_file

    layer = eval(TORCH_LAYERS[activation], {"torch": torch})
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 8), layer, torch.nn.Dropout(0.5), torch.nn.Linear(8, 6, bias=False),
        layer, torch.nn.Linear(6, 3),
    ).to(getattr(torch, dtype)).eval()  # fmt: skip
    if half is not None:
        net = net.to(getattr(torch, half))
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    model = read_torch(tmp_path / "w.safetensors", activation=activation)
    assert model.dtype == ("float32" if half else dtype)
    net = net.to(getattr(torch, str(model.dtype)))
    X = np.random.default_rng(0).normal(size=(50, 4))
    with torch.no_grad():
        wanted = net(torch.from_numpy(X).to(getattr(torch, str(model.dtype)))).softmax(1).numpy()
    close = 1e-6 if model.dtype == "float32" else 1e-13
    np.testing.assert_allclose(model.predict(X), wanted, rtol=close, atol=close)


TORCH_LAYERS = {
    "relu": "torch.nn.ReLU()", "leaky_relu": "torch.nn.LeakyReLU()", "tanh": "torch.nn.Tanh()",
    "gelu": "torch.nn.GELU('tanh')", "sigmoid": "torch.nn.Sigmoid()",
    "identity": "torch.nn.Identity()",
}  # fmt: skip


@pytest.mark.full
def test_weights_that_were_trained_on_in_pytorch_come_back(tmp_path, torch):
    """Under the export's metadata, which says how the inputs are scaled."""
    from safetensors.torch import save_file

    model, names, path = new_model("tanh", "regression"), {}, tmp_path / "w.safetensors"
    exec("\n".join(export(model, path)), names)
    net = names["model"]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 1.1
    with safetensors.safe_open(path, "pt") as file:
        save_file(net.state_dict(), path, file.metadata())
    X = rows_for(model)
    with torch.no_grad():
        wanted = net(torch.from_numpy(X).float()).numpy()
    assert abs(wanted - model.predict(X)).max() > 1
    np.testing.assert_allclose(read_torch(path).predict(X), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("new", [True, False])
def test_the_way_out_of_a_pickle_works(new, tmp_path, monkeypatch, torch):
    monkeypatch.chdir(tmp_path)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3))
    torch.save(net.state_dict(), "net.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(InputError, match="a pickle") as caught:
        read_torch(Path("net.pt"), activation="relu")
    exec(str(caught.value).partition("in Python: ")[2], {})
    assert read_torch(Path("net.safetensors"), activation="relu").sizes == (4, 3)


@pytest.mark.full
def test_the_section_of_the_docs_runs(tmp_path, monkeypatch, torch):
    """Its commands and its Python, from top to bottom, as one session."""
    monkeypatch.chdir(tmp_path)
    section = re.split(r"^## ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith("PyTorch\n")]
    names: dict = {"__name__": "__main__"}
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, code in blocks:
        if language == "python":
            exec(code, names)
            continue
        for line in code.replace("\\\n", "").splitlines():
            command, _, out = line.partition(" > ")
            assert command.startswith("python -m mlp_xp ")
            with Path(out or os.devnull).open("w") as file, redirect_stdout(file):
                assert main(shlex.split(command)[3:]) == 0
    assert (tmp_path / "model.safetensors").exists()
