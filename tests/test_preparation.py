"""Hold-out, weights and standardisation, against scikit-learn where it has them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from mlp_xp import (
    Config,
    Dataset,
    InputError,
    Network,
    Run,
    Split,
    evaluate,
    load_model,
    save_model,
)
from mlp_xp import train as train_network
from mlp_xp.backend import Backend, cpu
from mlp_xp.functions import scale_inputs
from mlp_xp.preparation import fit_standardisation, hold_out, row_weights


@pytest.fixture
def data(rng) -> Dataset:
    X = rng.standard_normal((600, 5)) * [1, 10, 0.1, 100, 1] + [0, 5, -3, 1000, 2]
    y = np.where(X[:, 0] > 1, 2, np.where(X[:, 0] > 0, 1, 0)).astype(np.int64)
    return Dataset("unbalanced", Split(X, y), None, 3)


def test_hold_out_parts_the_rows(data):
    rows, validation = hold_out(data, Config(validation=0.25))
    split, held = validation
    assert split is data.train
    assert (len(rows), len(held)) == (450, 150)
    np.testing.assert_array_equal(np.sort(np.concatenate([rows, held])), np.arange(600))
    again, _ = hold_out(data, Config(validation=0.25))
    np.testing.assert_array_equal(rows, again)
    other, _ = hold_out(data, Config(validation=0.25, seed=1))
    assert not np.array_equal(rows, other)


def test_a_validation_set_of_its_own_leaves_all_rows_to_train_on(data):
    own = replace(data, validation=Split(data.train.X[:50], data.train.y[:50]))
    assert hold_out(own, Config()) == (None, (own.validation, None))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patience": 2}, "patience needs a validation set"),
        ({"schedule": "plateau"}, "schedule needs a validation set"),
        ({"validation": 0.9999}, "leaves none to train on"),
        ({"class_weight": (1, 2)}, "class_weight has 2 numbers, the data 3 classes"),
        ({"class_weight": (0, 0, 0)}, "nothing would be learned"),
    ],
)
def test_what_cannot_be_is_refused(data, settings, words):
    with pytest.raises(InputError, match=words):
        Run(data, Config(**settings), cpu())


def test_balanced_class_weights_equal_scikit_learns(data):
    weights = row_weights(data, Config(class_weight="balanced", dtype="float64"), None)
    expected = compute_sample_weight("balanced", data.train.y)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    assert weights.mean() == pytest.approx(1)


def test_weights_multiply_and_have_mean_1_over_the_rows_that_train(data, rng):
    sample = rng.uniform(0, 3, 600)
    weighted = replace(data, train=replace(data.train, weights=sample))
    rows = np.arange(0, 600, 2)
    config = Config(class_weight=(1, 2, 5))
    weights = row_weights(weighted, config, rows)
    assert weights.dtype == np.float32
    expected = sample * np.array([1, 2, 5])[data.train.y]
    np.testing.assert_allclose(weights, expected / expected[rows].mean(), rtol=1e-6)
    assert row_weights(data, Config(), None) is None


@pytest.mark.parametrize("rows", [None, np.arange(1, 600, 3)])
@pytest.mark.parametrize("kind", ["float64", "uint8"])
def test_standardisation_equals_scikit_learns(data, rows, kind, rng):
    X = data.train.X if kind == "float64" else rng.integers(0, 256, (600, 5), dtype=np.uint8)
    X[:, 4] = 7  # never changes
    mean, deviation = fit_standardisation(X, rows)
    used = X if rows is None else X[rows]
    scaler = StandardScaler().fit(scale_inputs(np, used, "float64"))
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(deviation, scaler.scale_, rtol=1e-10)


def test_an_input_that_never_changes_becomes_zero():
    X = np.full((1000, 1), 0.1)  # whose mean, summed up, isn't 0.1
    mean, deviation = fit_standardisation(X, None)
    assert (mean[0], deviation[0]) == (0.1, 1.0)


def test_data_that_does_not_fit_the_network_is_refused(data, backend: Backend):
    with pytest.raises(InputError, match="needs targets that are numbers, these are classes"):
        Run(data, Config(output="identity"), backend)
    with pytest.raises(InputError, match="5 inputs and 3 outputs, but the network has 4 and 3"):
        Run(data, Config(), backend, Network.initialise(backend, (4, 3)))


def test_a_standardised_network_learns_and_keeps_its_inputs(data, backend: Backend, tmp_path):
    config = Config(hidden=(8,), epochs=20, lr=0.5, standardise=True, validation=0.2)
    network, history = train_network(data, config, backend)
    assert history[-1].validation_accuracy > 0.9
    save_model(network, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", backend)
    assert evaluate(again, data.train).loss == evaluate(network, data.train).loss


def test_zero_weights_leave_rows_out(data, backend: Backend):
    """Weights 0 on half of the rows, full batches: the same as training on the other half."""
    half = np.arange(600) % 2
    config = Config(hidden=(4,), epochs=5, batch_size=600, lr=0.01, shuffle=False, dtype="float64")
    weighted = replace(data, train=replace(data.train, weights=half.astype(np.float64)))
    kept = Split(data.train.X[half == 1], data.train.y[half == 1])
    X = data.train.X / 1000
    weighted = replace(weighted, train=replace(weighted.train, X=X))
    kept = replace(kept, X=X[half == 1])
    runs = [
        train_network(weighted, config, backend),
        train_network(replace(data, train=kept), replace(config, batch_size=300), backend),
    ]
    for a, b in zip(*(run.network.parameters() for run in runs), strict=True):
        np.testing.assert_allclose(backend.to_host(a), backend.to_host(b), rtol=1e-10, atol=1e-14)


def test_early_stopping_ends_with_the_best_weights(data, backend: Backend):
    """A rate that makes validation jump about: the run stops, and the best epoch comes back."""
    config = Config(
        hidden=(16,), epochs=60, lr=1.0, batch_size=8, schedule="constant", standardise=True,
        validation=0.3, patience=3,
    )  # fmt: skip
    run = Run(data, config, backend)
    run.go()
    losses = [epoch.validation_loss for epoch in run.history]
    best = int(np.argmin(losses)) + 1
    assert len(losses) < 60
    assert len(losses) == best + 3
    assert run.best[0] == best
    split, rows = run.validation
    assert evaluate(run.network, split, rows).loss == losses[best - 1]


def test_plateau_cuts_the_learning_rate(data, backend: Backend):
    config = Config(
        hidden=(4,), epochs=6, lr=1e-9, schedule="plateau", lr_patience=1, lr_factor=0.5,
        validation=0.3,
    )  # fmt: skip
    run = Run(data, config, backend)
    run.go()  # with a rate of 1e-9 no epoch is better than the first by a ten-thousandth
    assert run.plateau.scale == 0.5**2


def test_evaluation_of_labels_and_numbers(backend: Backend, rng):
    X = rng.standard_normal((50, 3)).astype(np.float32)
    for output, y in (
        ("sigmoid", (X[:, :2] > 0).astype(np.float32)),
        ("identity", X[:, :2] * 3),
    ):
        network = Network.initialise(backend, (3, 4, 2), output=output)
        result = evaluate(network, Split(X, y))
        said = backend.to_host(network.logits(network.prepare(backend.to_device(X))))
        assert result.confusion is None
        if output == "sigmoid":
            assert result.accuracy == pytest.approx(((said > 0) == y).mean())
        else:
            assert result.accuracy is None
            assert result.loss == pytest.approx(((said - y) ** 2).mean(), rel=1e-5)
        with pytest.raises(InputError, match="targets are others"):
            evaluate(network, Split(X, np.zeros(50, dtype=np.int64)))
        with pytest.raises(InputError, match="2 outputs, the data 3 columns"):
            evaluate(network, Split(X, X))
