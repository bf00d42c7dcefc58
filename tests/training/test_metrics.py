"""The figures of an evaluation against scikit-learn's, and the baseline against its dummies."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import dummy, metrics

from mlp_xp import InputError, Network, Split, evaluate, predict
from mlp_xp.devices import CPU, Device
from mlp_xp.nn import OBJECTIVES
from mlp_xp.nn.losses import Regression
from mlp_xp.training.tally import mean_and_squares

SCORES = ("precision", "recall", "f1", "support")


def identity(n: int, objective: str, device: Device | None = None) -> Network:
    """A network whose logits are its inputs, in float64."""
    network = Network.initialize(device or CPU(), (n, n), objective=objective, dtype="float64")
    network.layers[0].W[...] = network.xp.eye(n)
    return network


@pytest.fixture(autouse=True, scope="module")
def small_steps():
    """Several batches, several of them held, and several blocks, from a handful of rows."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BATCH_ROWS", "DEVICE_ROWS"):
            patch.setattr(f"mlp_xp.training.evaluation.{name}", 5)
        patch.setattr("mlp_xp.training.tally.HELD_ELEMENTS", 30)
        patch.setattr("mlp_xp.training.tally.BLOCK_ROWS", 7)
        yield


@st.composite
def answers(draw, columns: int | None = None):
    """(outputs, y, training y): logits (N, K), with classes (N,) or labels (N, K)."""
    K = columns or draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, used = draw(st.integers(1, 60)), draw(st.integers(1, K))
    Z = rng.standard_normal((n, K)) * draw(st.sampled_from([0.1, 3.0]))
    return Z, rng.integers(0, used, n), rng.integers(0, K, 40)


@given(answers())
@settings(max_examples=60, deadline=None)
def test_classes_are_scored_as_by_scikit_learn(drawn):
    Z, y, y_train = drawn
    K = Z.shape[1]
    network = identity(K, "multiclass")
    result = evaluate(network, Split(Z, y))
    predicted = Z.argmax(axis=1)
    expected = metrics.precision_recall_fscore_support(
        y, predicted, labels=range(K), zero_division=0
    )
    for name, values in zip(SCORES, expected, strict=True):
        np.testing.assert_allclose(getattr(result, name), values, rtol=1e-15, err_msg=name)
    np.testing.assert_array_equal(result.predicted, np.bincount(predicted, minlength=K))
    assert result.accuracy == metrics.accuracy_score(y, predicted)
    expected = metrics.confusion_matrix(y, predicted, labels=range(K))
    np.testing.assert_array_equal(result.confusion, expected)
    p = predict(network, Z)
    loss = metrics.log_loss(y, p / p.sum(axis=1, keepdims=True), labels=range(K))
    assert result.loss == pytest.approx(loss, rel=1e-12)
    assert result.rows == len(y)
    assert (result.r2, result.exact_match, result.label_accuracy) == (None, None, None)

    for prior, known in ((None, y), (np.bincount(y_train, minlength=K) / 40, y_train)):
        network.prior = prior
        baseline = evaluate(network, Split(Z, y)).baseline
        constant = dummy.DummyClassifier(strategy="most_frequent").fit(known[:, None], known)
        assert baseline.accuracy == constant.score(y[:, None], y)
        assert baseline.answer == constant.predict([[0]])[0]
        assert baseline.from_training == (prior is not None)


@given(answers(), st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_labels_are_scored_as_by_scikit_learn(drawn, share):
    Z, _, _ = drawn
    n, K = Z.shape
    rng = np.random.default_rng(n)
    y, y_train = rng.random((n, K)) < share, rng.random((41, K)) < share
    network = identity(K, "multilabel")
    result = evaluate(network, Split(Z, y))
    expected = metrics.precision_recall_fscore_support(y, Z > 0, average=None, zero_division=0)
    for name, values in zip(SCORES, expected, strict=True):
        np.testing.assert_allclose(getattr(result, name), values, rtol=1e-15, err_msg=name)
    assert result.exact_match == metrics.accuracy_score(y, Z > 0)
    by_label = [metrics.accuracy_score(y[:, k], Z[:, k] > 0) for k in range(K)]
    np.testing.assert_array_equal(result.label_accuracy, by_label)
    assert result.accuracy == pytest.approx(np.mean(by_label), rel=1e-15)
    assert (result.confusion, result.r2) == (None, None)

    network.prior = y_train.mean(axis=0)
    baseline = evaluate(network, Split(Z, y)).baseline
    constant = np.tile(y_train.sum(axis=0) > 20, (n, 1))
    np.testing.assert_array_equal(baseline.answer, constant[0])
    assert baseline.exact_match == metrics.accuracy_score(y, constant)
    assert baseline.accuracy == pytest.approx((y == constant).mean(), rel=1e-15)
    network.prior = None
    baseline = evaluate(network, Split(Z, y)).baseline
    assert not baseline.from_training
    constant = y.mean(axis=0) > 0.5
    assert baseline.accuracy == pytest.approx((y == constant).mean(), rel=1e-15)


@given(answers(), st.sampled_from([0, 1e3, -1e9]), st.sampled_from([1e-3, 1, 500]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_numbers_are_scored_as_by_scikit_learn(drawn, mean, std, several):
    Z, _, _ = drawn
    K = Z.shape[1] if several else 1
    Z = np.vstack([Z[:, :K], Z[:1, :K] + 1])  # R2 takes two rows
    means, stds = mean + np.arange(K), np.full(K, std)
    rng = np.random.default_rng(len(Z))
    split = Split(Z, means + stds * (Z + 0.3 * rng.standard_normal(Z.shape)))
    y = split.y.astype(np.float64)
    network = identity(K, "regression")
    network.target_scaling = (means, stds)
    network.prior = means + stds
    result = evaluate(network, split)
    p = predict(network, Z)
    oracles = {
        "r2": metrics.r2_score,
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
    }
    # Predictions in their own unit, which the oracle gets, are rounded by 2e-16 of the mean: at
    # 1000 that is up to 2e-10 of a deviation of 0.001, which ours are computed in.
    digits = {"rel": 1e-9, "abs": {0: 1e-12, 1e3: 1e-9, -1e9: 1e-6}[mean]}
    for name, oracle in oracles.items():
        by_target = oracle(y, p, multioutput="raw_values")
        assert getattr(result, f"{name}_by_target") == pytest.approx(by_target, **digits), name
        assert getattr(result, name) == pytest.approx(oracle(y, p), **digits), name
    assert result.loss == pytest.approx((((y - means) / stds - Z) ** 2).mean(), rel=1e-12)
    constant = np.broadcast_to(means + stds, y.shape)
    expected = metrics.root_mean_squared_error(y, constant, multioutput="raw_values")
    assert result.baseline.rmse_by_target == pytest.approx(expected, **digits)
    assert result.baseline.rmse == pytest.approx(expected.mean(), **digits)
    assert (result.accuracy, result.confusion, result.f1) == (None, None, None)
    network.prior = None
    baseline = evaluate(network, split).baseline
    assert not baseline.from_training
    constant = dummy.DummyRegressor().fit(Z, y).predict(Z).reshape(y.shape)
    expected = metrics.root_mean_squared_error(y, constant, multioutput="raw_values")
    assert baseline.rmse_by_target == pytest.approx(expected, **digits)


def test_small_differences_of_large_targets_keep_their_digits(rng):
    """The textbook sum of squares minus N mean^2 has none left here."""
    small = rng.standard_normal((1000, 2))
    split = Split(small, small)
    object.__setattr__(split, "y", 1e9 + small)  # Split has float32
    mean, squares = mean_and_squares(split)
    exact = (1e9 + small) - 1e9
    np.testing.assert_allclose(mean - 1e9, exact.mean(axis=0), atol=2e-7)
    np.testing.assert_allclose(squares, ((exact - exact.mean(axis=0)) ** 2).sum(axis=0), rtol=1e-12)


def test_targets_that_never_change(rng):
    Z = np.full((40, 2), 0.1)
    right = evaluate(identity(2, "regression"), Split(Z, np.full((40, 2), np.float32(0.1))))
    assert right.baseline.rmse == 0
    assert right.r2_by_target.tolist() == [0, 0]  # 0.1 isn't float32's
    Z = Z.astype(np.float32)
    assert evaluate(identity(2, "regression"), Split(Z, Z)).r2_by_target.tolist() == [1, 1]


def test_numbers_come_in_the_targets_own_units(device: Device):
    """In float32, 1e9 + 1 and 1e9 + 2 are the same number."""
    network = Network.initialize(device, (1, 1), objective="regression")
    network.layers[0].W[...] = 1
    X = np.array([[1.0], [2.0]])
    assert predict(network, X).dtype == np.float32
    network.target_scaling = (np.array([1e9]), np.array([2.0]))
    predicted = predict(network, X)
    assert predicted.dtype == np.float64
    assert predicted.tolist() == [[1e9 + 2], [1e9 + 4]]
    network.target_scaling = (np.array([0.0]), np.array([1e308]))
    with pytest.raises(InputError, match="output for row 1 isn't finite"):
        predict(network, [[1.0], [2.0]])


def test_an_objective_of_ones_own_is_scored_by_what_it_predicts(device: Device, monkeypatch):
    class Poisson(Regression):
        def predict(self, xp, logits):
            return xp.exp(logits)

    monkeypatch.setitem(OBJECTIVES, "poisson", Poisson)
    Z = np.log([[1.0], [2.0], [4.0]])
    result = evaluate(identity(1, "poisson", device), Split(Z, np.array([[1.0], [3.0], [3.0]])))
    assert result.mae == pytest.approx(2 / 3)


def test_weights_of_rows_do_not_count():
    Z, y = np.eye(3)[[0, 1, 1, 2]], np.array([0, 1, 2, 2])
    plain, weighted = (
        evaluate(identity(3, "multiclass"), Split(Z, y, weights=w)) for w in (None, [0, 0, 9, 0])
    )
    assert plain.to_dict() == weighted.to_dict()


def test_memory_grows_with_50000_classes_not_with_their_square(rng):
    """A K x K matrix of them takes 20 GB."""
    network = Network.initialize(CPU(), (3, 50_000))
    split = Split(rng.standard_normal((60, 3)), rng.integers(0, 50_000, 60))
    tracemalloc.start()
    try:
        result = evaluate(network, split)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert result.f1.shape == (50_000,)
    assert result.support.sum() == result.predicted.sum() == 60
    assert "f1" not in result.to_dict()


def test_figures_as_json():
    Z = np.array([[1e200], [-1e200], [0.0]])
    result = evaluate(identity(1, "regression"), Split(Z, np.array([[1.0], [2.0], [3.0]])))
    assert result.rmse == np.inf
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (values["rmse"], values["rmse_by_target"], values["rows"]) == (None, [None], 3)
    assert values["baseline"]["rmse"] == pytest.approx((2 / 3) ** 0.5)
    assert values["baseline"]["answer"] == [2.0]
    assert not {"accuracy", "f1", "confusion"} & values.keys()
    values = evaluate(identity(2, "multiclass"), Split(np.eye(2), np.arange(2))).to_dict()
    assert json.loads(json.dumps(values))["f1"] == [1, 1]
    assert values["baseline"] == {"answer": 0, "from_training": False, "accuracy": 0.5}
    assert "confusion" not in values
