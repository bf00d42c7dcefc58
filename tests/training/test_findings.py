"""What a first look from outside found wrong, each held by a test."""

import json
import struct

import numpy as np
import pytest

from mlp_xp import Config, Dataset, InputError, Trainer, load_model, save_model, train
from mlp_xp.data.sampling import hold_out
from mlp_xp.devices import CPU
from mlp_xp.nn import OBJECTIVES
from mlp_xp.training import load_checkpoint, save_checkpoint
from mlp_xp.training.recipes import recipe_for
from mlp_xp.training.start import start_from


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((60, 4)).astype(np.float32)
    return X, np.where(X[:, 0] > 0, "in", "out")


def test_which_rows_are_held_out_does_not_depend_on_how_classes_are_numbered(rng):
    X, y = rng.standard_normal((26, 2)), rng.permutation(26) % 2
    for seed in range(20):
        split = [hold_out(Dataset.from_arrays(X, z), 0.2, seed).test for z in (y, 1 - y)]
        np.testing.assert_array_equal(split[0].rows, split[1].rows)


def test_going_on_from_a_model_keeps_what_its_inputs_mean(rng):
    X = rng.integers(0, 256, (80, 6))
    y = X[:, 0] > 128
    model = train(X.astype(np.float32), y, epochs=40).network
    assert (model.input_scale, model.value_range[1].max() <= 255) == (None, True)
    before = model.predict(X)
    low = model.value_range[0].copy()
    model, data = start_from(model, Dataset.from_arrays(X.astype(np.uint8), y))
    Trainer(data, Config(standardize=True, epochs=1), CPU(), model)
    assert model.input_scale is None
    np.testing.assert_array_equal(model.value_range[0], low)
    np.testing.assert_array_equal(model.predict(X), before)


def test_an_array_of_three_axes_is_a_picture_only_by_its_values(rng):
    y = np.arange(40) % 2
    for X in (rng.uniform(0, 16, (40, 8, 8)), 1000 * rng.standard_normal((40, 20, 8))):
        data = Dataset.from_arrays(X, y)
        assert recipe_for(data) == "tabular"
        assert train(data, epochs=1).network.input_scale is None


def test_targets_are_scaled_only_for_a_class_that_says_so(monkeypatch, rows):
    class Own(OBJECTIVES["regression"]):
        pass

    monkeypatch.setitem(OBJECTIVES, "own", Own)
    X, _ = rows
    assert train(X, X[:, 0], objective="own", epochs=1).network.target_scaling is None
    assert train(X, X[:, 0], objective="regression", epochs=1).network.target_scaling is not None


def test_labels_beside_themselves_are_refused(rows):
    pandas = pytest.importorskip("pandas")
    X, y = rows
    table = pandas.DataFrame(X, columns=list("abcd")).assign(kind=y)
    with pytest.raises(InputError, match="y is the column 'kind', which X holds too"):
        train(table, table["kind"])


def test_numbers_are_no_classes_of_a_model_of_texts(rows):
    X, y = rows
    model = train(X, y, epochs=30).network
    assert model.evaluate(X, y).accuracy > 0.8
    with pytest.raises(InputError, match="labels are numbers, and the model's classes are in, out"):
        model.evaluate(X, (y == "in").astype(int))
    with pytest.raises(InputError, match="holds the class 'False', which is not in training"):
        model.evaluate(X, y == "in")


def test_booleans_are_classes_by_name(rows):
    X, y = rows
    model = train(X, y == "in", epochs=30).network
    assert model.output_names == ("False", "True")
    by_name = model.evaluate(X, np.where(y == "in", "True", "False"))
    assert by_name.to_dict() == model.evaluate(X, y == "in").to_dict()


def test_a_model_goes_on_with_rows_of_its_own_columns(rows):
    pandas = pytest.importorskip("pandas")
    X, y = rows
    table = pandas.DataFrame(X, columns=list("abcd"))
    table.loc[:5, "a"] = np.nan
    model = train(table, y, epochs=60).network
    fill = model.schema.columns[0].fill
    other = table[20:][["d", "c", "b", "a"]]  # whose median and gaps are others
    labels = np.where(y == "in", "in", "new")[20:]
    again = train(other, labels, network=model, epochs=60).network
    assert again is model
    assert again.schema.output_names == ("in", "new")
    assert again.schema.columns[0].fill == fill != table["a"][20:].median()


@pytest.mark.parametrize(("name", "value"), [
    ("rows", -1), ("rows", "x"), ("rows", None), ("steps", "x"), ("steps", -1), ("loss_sum", None),
    ("seconds", "x"), ("best_loss", None), ("best_epoch", "x"), ("best_epoch", 7),
    ("learning_rate", "x"), ("history", [[1, "x", 0.1, 3.0, None, None]]), ("history", None),
])  # fmt: skip
def test_a_damaged_checkpoint_is_one_line(rows, tmp_path, name, value):
    path = tmp_path / "checkpoint.safetensors"
    data = Dataset.from_arrays(*rows)
    trainer = Trainer(data, Config(hidden=(3,), epochs=2), CPU())
    trainer.fit()
    save_checkpoint(trainer, path)
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    metadata = json.loads(header["__metadata__"]["mlp_xp"])
    header["__metadata__"]["mlp_xp"] = json.dumps({**metadata, name: value})
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    with pytest.raises(InputError, match="damaged checkpoint"):
        load_checkpoint(Trainer(data, Config(hidden=(3,), epochs=2), CPU()), path)


def test_a_model_file_without_a_scale_has_none(rows, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(train(*rows, epochs=1).network, path)
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    metadata = json.loads(header["__metadata__"]["mlp_xp"])
    del metadata["input_scale"]
    header["__metadata__"]["mlp_xp"] = json.dumps(metadata)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    assert load_model(path).input_scale is None


def test_the_learning_rate_follows_the_optimizer():
    assert [Config(optimizer=name).lr for name in ("sgd", "adam", "adamw")] == [0.3, 0.001, 0.001]
    assert Config(optimizer="adam", lr=0.3).lr == 0.3
