"""Validation split, weights and standardization, against scikit-learn where it has them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from mlp_xp import (
    Config,
    Dataset,
    Device,
    InputError,
    Network,
    Split,
    Trainer,
    evaluate,
    load_model,
    save_model,
    train,
)
from mlp_xp.data.sampling import mean_and_std, sample_weights, train_validation_split
from mlp_xp.devices import CPU
from mlp_xp.nn.inputs import scale_inputs


@pytest.fixture
def data(rng) -> Dataset:
    X = rng.standard_normal((600, 5)) * [1, 10, 0.1, 100, 1] + [0, 5, -3, 1000, 2]
    y = np.where(X[:, 0] > 1, 2, np.where(X[:, 0] > 0, 1, 0)).astype(np.int64)
    return Dataset("unbalanced", Split(X, y), None, 3)


def test_a_share_of_the_rows_validates_and_the_others_train(data):
    training, validation = train_validation_split(data, 0.25, seed=0)
    assert (len(training), len(validation)) == (450, 150)
    shuffled = np.random.default_rng([0, 0, 3]).permutation(600)
    np.testing.assert_array_equal(validation.rows, np.sort(shuffled[:150]))
    np.testing.assert_array_equal(training.rows, np.sort(shuffled[150:]))
    for split in (training, validation):
        assert split.X is data.train.X
        assert split.y is data.train.y
    again, _ = train_validation_split(data, 0.25, seed=0)
    np.testing.assert_array_equal(training.rows, again.rows)
    other, _ = train_validation_split(data, 0.25, seed=1)
    assert not np.array_equal(training.rows, other.rows)


def test_without_a_share_all_rows_train(data):
    assert train_validation_split(data, 0, seed=0) == (data.train, None)


def test_a_share_of_a_subset_is_of_the_rows_of_the_subset(data):
    odd = np.arange(1, 600, 2)
    part = replace(data, train=data.train.subset(odd))
    training, validation = train_validation_split(part, 0.25, seed=0)
    assert (len(training), len(validation)) == (225, 75)
    np.testing.assert_array_equal(np.sort(np.concatenate([training.rows, validation.rows])), odd)


def test_a_validation_set_of_its_own_leaves_all_rows_to_train_on(data):
    own = replace(data, validation=Split(data.train.X[:50], data.train.y[:50]))
    assert train_validation_split(own, 0, seed=0) == (own.train, own.validation)
    with pytest.raises(InputError, match="a validation set and a share to hold out exclude each"):
        train_validation_split(own, 0.1, seed=0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patience": 2}, "patience 2 needs a validation set"),
        ({"schedule": "plateau"}, "the schedule plateau needs a validation set"),
        ({"validation": 0.9999}, "leaves none to train on"),
        ({"class_weight": (1, 2)}, "class_weight has 2 numbers, the data 3 classes"),
        ({"class_weight": (0, 0, 0)}, "nothing would be learned"),
    ],
)
def test_shares_that_do_not_fit_are_refused(data, settings, words):
    with pytest.raises(InputError, match=words):
        Trainer(data, Config(**settings), CPU())


def test_balanced_class_weights_equal_scikit_learns(data):
    weights = sample_weights(data.train, "balanced", 3, "float64")
    expected = compute_sample_weight("balanced", data.train.y)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    assert weights.mean() == pytest.approx(1)
    # Balanced over the rows that train, whatever the others are.
    rows = np.concatenate([np.flatnonzero(data.train.y == k)[: 10 * k + 10] for k in range(3)])
    weights = sample_weights(data.train.subset(rows), "balanced", 3, "float64")
    assert weights.shape == (600,)
    expected = compute_sample_weight("balanced", data.train.y[rows])
    np.testing.assert_allclose(weights[rows], expected, rtol=1e-12)
    assert weights[rows].mean() == pytest.approx(1)


def test_weights_multiply_and_have_mean_1_over_the_rows_that_train(data, rng):
    sample = rng.uniform(0, 3, 600)
    weighted = replace(data.train, weights=sample.copy())
    rows = np.arange(0, 600, 2)
    weights = sample_weights(weighted.subset(rows), (1, 2, 5), 3, "float32")
    assert weights.dtype == np.float32
    expected = sample * np.array([1, 2, 5])[data.train.y]
    np.testing.assert_allclose(weights, expected / expected[rows].mean(), rtol=1e-6)
    assert sample_weights(data.train, None, 3, "float32") is None
    assert sample_weights(data.train.subset(rows), None, 3, "float32") is None
    only = sample_weights(weighted, None, 3, "float64")
    np.testing.assert_allclose(only, sample / sample.mean(), rtol=1e-12)
    np.testing.assert_array_equal(sample, weighted.weights)


def test_weights_whose_sum_is_infinite_are_refused(data):
    heavy = replace(data.train, weights=np.full(600, 1e308))
    with pytest.raises(InputError, match="add up to infinity"):
        sample_weights(heavy, None, 3, "float32")


def test_weights_that_are_0_on_all_rows_that_train_are_refused(data):
    half = np.arange(600) % 2
    weighted = replace(data.train, weights=half.astype(np.float64))
    with pytest.raises(InputError, match="nothing would be learned"):
        sample_weights(weighted.subset(half == 0), None, 3, "float32")


@pytest.mark.parametrize("rows", [None, np.arange(1, 600, 3)])
@pytest.mark.parametrize("kind", ["float64", "uint8"])
@pytest.mark.parametrize("chunk_rows", [4096, 7])
def test_standardization_equals_scikit_learns(data, rows, kind, chunk_rows, rng, monkeypatch):
    monkeypatch.setattr("mlp_xp.data.sampling.CHUNK_ROWS", chunk_rows)
    X = data.train.X if kind == "float64" else rng.integers(0, 256, (600, 5), dtype=np.uint8)
    X[:, 4] = 7  # never changes
    split = Split(X, data.train.y)
    divisor = 255.0 if kind == "uint8" else None
    mean, deviation = mean_and_std(split if rows is None else split.subset(rows), divisor)
    used = X if rows is None else X[rows]
    scaler = StandardScaler().fit(scale_inputs(np, used, "float64", divisor))
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(deviation, scaler.scale_, rtol=1e-10)
    assert (mean.dtype, deviation.dtype) == (np.float64, np.float64)


def test_an_input_that_never_changes_becomes_zero():
    X = np.full((1000, 1), 0.1)  # whose mean, summed up, isn't 0.1
    mean, deviation = mean_and_std(Split(X, np.zeros(1000, dtype=np.int64)))
    assert (mean[0], deviation[0]) == (0.1, 1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-50, 1e39, 1e290])
@pytest.mark.parametrize("offset", [0, 1e8, 1.7e9])
def test_standardized_inputs_do_not_depend_on_scale_and_offset(scale, offset, device: Device, rng):
    """float32 holds neither the scales, nor what differs between time stamps."""
    X = rng.standard_normal((500, 3))
    shifted = (X + offset) * scale
    network = Network.initialize(device, (3, 2))
    network.standardize(*mean_and_std(Split(shifted, np.zeros(500, dtype=np.int64))))
    prepared = device.to_host(network.prepare(device.to_device(shifted)))
    assert prepared.dtype == np.float32
    expected = (X - X.mean(axis=0)) / X.std(axis=0)
    # 1.7e9 and its neighbor in float64 are 2.4e-7 apart.
    np.testing.assert_allclose(prepared, expected, rtol=1e-5, atol=2e-6)


def test_inputs_too_far_apart_to_be_standardized_are_refused():
    X = np.array([[1.0, -1.7e308], [2.0, 1.7e308]])
    with pytest.raises(InputError, match="input 1 can't be standardized: its values are too far"):
        mean_and_std(Split(X, np.array([0, 1])))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_split_put_together_by_hand_is_checked_where_it_is_standardized(value):
    X = np.zeros((5000, 2), dtype="float32")
    X[4500, 1] = value
    with pytest.raises(InputError, match=r"the training data holds NaN or infinity, .* row 4500;"):
        mean_and_std(Split(X, np.arange(5000) % 2))


def test_time_stamps_are_learned_like_the_hours_since_the_first(device: Device, rng):
    hours = rng.uniform(0, 1000, (400, 2))
    y = (hours[:, 0] > hours[:, 1]).astype(np.int64)
    config = Config(hidden=(8,), epochs=20, lr=0.3, standardize=True)
    accuracies = []
    for X in (hours, hours + 1.7e9):
        data = Dataset.from_arrays(X, y)
        accuracies.append(evaluate(train(data, config, device).network, data.train).accuracy)
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.01)
    assert accuracies[1] > 0.95


def test_data_that_does_not_fit_the_network_is_refused(data, device: Device):
    with pytest.raises(InputError, match="objective is regression, the data was loaded for multic"):
        Trainer(data, Config(objective="regression"), device)
    with pytest.raises(InputError, match="5 inputs and 3 outputs, but the network has 4 and 3"):
        Trainer(data, Config(), device, Network.initialize(device, (4, 3)))


def test_a_standardized_network_learns_and_keeps_its_inputs(data, device: Device, tmp_path):
    config = Config(hidden=(8,), epochs=20, lr=0.5, standardize=True, validation=0.2)
    network, history = train(data, config, device)
    assert history[-1].validation_accuracy > 0.9
    save_model(network, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", device)
    assert evaluate(again, data.train).loss == evaluate(network, data.train).loss


@pytest.mark.filterwarnings("ignore:the training loss")  # need not fall here
def test_zero_weights_leave_rows_out(data, device: Device):
    """Weights 0 on half of the rows, full batches: the same as training on the other half."""
    half = np.arange(600) % 2
    config = Config(hidden=(4,), epochs=5, batch_size=600, lr=0.01, shuffle=False, dtype="float64")
    weighted = replace(data, train=replace(data.train, weights=half.astype(np.float64)))
    kept = Split(data.train.X[half == 1], data.train.y[half == 1])
    X = data.train.X / 1000
    weighted = replace(weighted, train=replace(weighted.train, X=X))
    kept = replace(kept, X=X[half == 1])
    runs = [
        train(weighted, config, device),
        train(replace(data, train=kept), replace(config, batch_size=300), device),
    ]
    for a, b in zip(*(run.network.parameters() for run in runs), strict=True):
        np.testing.assert_allclose(device.to_host(a), device.to_host(b), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("device_memory", [None, 1], ids=["resident", "streamed"])
def test_a_weighted_subset_trains_like_its_rows_alone(data, device: Device, rng, device_memory):
    """Bit for bit, with half of the rows of a data set and with a data set of that half."""
    rows = rng.permutation(600)[:300]
    whole = replace(data.train, weights=rng.random(600))
    alone = Split(whole.X[rows], whole.y[rows], whole.weights[rows])
    config = Config(hidden=(4,), epochs=2, batch_size=32, class_weight="balanced", standardize=True)
    parameters = []
    for split in (whole.subset(rows), alone):
        trainer = Trainer(replace(data, train=split), config, device, device_memory=device_memory)
        trainer.fit()
        parameters.append([device.to_host(a).tobytes() for a in trainer.network.parameters()])
    assert parameters[0] == parameters[1]


def test_early_stopping_ends_with_the_best_weights(data, device: Device):
    """With a rate that makes the validation loss erratic, the best epoch is restored."""
    config = Config(
        hidden=(16,), epochs=60, lr=1.0, batch_size=8, schedule="constant", standardize=True,
        validation=0.3, patience=3,
    )  # fmt: skip
    trainer = Trainer(data, config, device)
    trainer.fit()
    losses = [epoch.validation_loss for epoch in trainer.history]
    best = int(np.argmin(losses)) + 1
    assert len(losses) < 60
    assert len(losses) == best + 3
    assert trainer.early_stopping.best_epoch == best
    assert evaluate(trainer.network, trainer.validation).loss == losses[best - 1]


def test_plateau_cuts_the_learning_rate(data, device: Device):
    config = Config(
        hidden=(4,), epochs=6, lr=1e-9, schedule="plateau", lr_patience=1, lr_factor=0.5,
        validation=0.3,
    )  # fmt: skip
    trainer = Trainer(data, config, device)
    trainer.fit()  # with a rate of 1e-9 no epoch is better than the first by a ten-thousandth
    assert trainer.schedule.scale == 0.5**2


def test_evaluation_of_labels_and_numbers(device: Device, rng):
    X = rng.standard_normal((50, 3)).astype(np.float32)
    for objective, y in (
        ("multilabel", (X[:, :2] > 0).astype(np.float32)),
        ("regression", X[:, :2] * 3),
    ):
        network = Network.initialize(device, (3, 4, 2), objective=objective)
        result = evaluate(network, Split(X, y))
        logits = device.to_host(network.logits(network.prepare(device.to_device(X))))
        assert result.confusion is None
        if objective == "multilabel":
            assert result.accuracy == pytest.approx(((logits > 0) == y).mean())
        else:
            assert result.accuracy is None
            assert result.loss == pytest.approx(((logits - y) ** 2).mean(), rel=1e-5)
        with pytest.raises(InputError, match="targets differ"):
            evaluate(network, Split(X, np.zeros(50, dtype=np.int64)))
        with pytest.raises(InputError, match="2 outputs, the data 3 columns"):
            evaluate(network, Split(X, X))
