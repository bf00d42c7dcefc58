"""Evaluation against scikit-learn's metrics."""

import tracemalloc

import numpy as np
import pytest
from sklearn import metrics

from mlp_xp import Config, Dataset, InputError, Network, Split, Trainer, evaluate, predict
from mlp_xp.devices import CPU, Device
from mlp_xp.training.windowed.buffers import Buffers


@pytest.fixture
def split(rng) -> Split:
    # More rows than one batch of evaluation, and not a multiple of it.
    return Split(rng.integers(0, 256, (2500, 9), dtype=np.uint8), rng.integers(0, 4, 2500))


def test_figures_equal_scikit_learns(device: Device, split, dtype):
    network = Network.initialize(device, (9, 8, 4), dtype=dtype, seed=2)
    network.input_scale = 255.0
    result = evaluate(network, split)
    p = predict(network, split.X)
    assert type(p) is np.ndarray
    assert p.dtype == dtype
    predicted = p.argmax(axis=1)
    assert result.accuracy == metrics.accuracy_score(split.y, predicted)
    np.testing.assert_array_equal(result.confusion, metrics.confusion_matrix(split.y, predicted))
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=rtol)
    p = p.astype(np.float64)
    expected = metrics.log_loss(split.y, p / p.sum(axis=1, keepdims=True))
    assert result.loss == pytest.approx(expected, rel=rtol)


@pytest.mark.parametrize("kind", ["int16", "float32", "float64", "int64"])
def test_a_value_means_the_same_in_every_type(device: Device, split, kind):
    network = Network.initialize(device, (9, 8, 4), seed=2)
    for scale in (None, 255.0):
        network.input_scale = scale
        of_bytes = predict(network, split.X)
        assert predict(network, split.X.astype(kind)).tobytes() == of_bytes.tobytes()
    network.input_scale = None
    as_floats = split.X.astype(np.float32) / np.float32(255)
    assert predict(network, as_floats).tobytes() == of_bytes.tobytes()


def test_what_does_not_fit_is_refused(device: Device, split):
    with pytest.raises(InputError, match="takes 8 inputs, the data has 9"):
        predict(Network.initialize(device, (8, 4)), split.X)
    with pytest.raises(InputError, match="label 3"):
        evaluate(Network.initialize(device, (9, 3)), split)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int32", "uint64"])
def test_labels_of_any_integer_type_count_the_same(kind, device: Device, rng):
    """y * n_outputs overflowed in uint8."""
    X, y = rng.integers(0, 256, (700, 9), dtype=np.uint8), rng.integers(0, 60, 700)
    network = Network.initialize(device, (9, 60), seed=2)
    expected, found = (evaluate(network, Split(X, labels)) for labels in (y, y.astype(kind)))
    assert found.accuracy == expected.accuracy
    np.testing.assert_array_equal(found.confusion, expected.confusion)


@pytest.mark.parametrize("standardized", [False, True])
def test_rows_that_cannot_be_predicted_are_refused(standardized, device: Device, rng):
    network = Network.initialize(device, (4, 3))
    if standardized:
        network.standardize(np.zeros(4), np.ones(4))
    bad = np.zeros((700, 4))
    bad[600, 1] = np.inf
    for X, words in (
        (np.zeros((2, 5)), "the network takes 4 inputs, the data has 5"),
        (np.zeros((2, 1)), "the network takes 4 inputs, the data has 1"),
        (np.zeros(4), r"the data has shape \(4,\); it needs one row a sample"),
        (np.zeros((0, 4)), "there are no rows"),
        ([], "shape"),
        (bad, "the data holds NaN or infinity, first in row 600"),
        (np.where(bad > 0, np.nan, bad), "the data holds NaN or infinity, first in row 600"),
        ([["a"] * 4], "convert it to numbers"),
        ([[1, 2], [3]], "can't be converted to an array"),
        (None, "shape"),
    ):
        with pytest.raises(InputError, match=words):
            predict(network, X)
    with pytest.raises(InputError, match="the network takes 4 inputs, the data has 5"):
        evaluate(network, Split(np.zeros((2, 5)), np.zeros(2, dtype=np.int64)))
    with pytest.raises(InputError, match="row 600"):
        evaluate(network, Split(bad, np.zeros(700, dtype=np.int64)))


@pytest.mark.parametrize("standardized", [False, True])
def test_values_beyond_float32_are_refused(standardized, device: Device):
    """They gave a class with probabilities of NaN."""
    X = np.ones((700, 4))
    X[600, 2] = 1e300
    network, wide = (Network.initialize(device, (4, 3), dtype=f"float{n}") for n in (32, 64))
    if standardized:
        network.standardize(np.zeros(4), np.ones(4))
    for use in (
        lambda: predict(network, X),
        lambda: evaluate(network, Split(X, np.arange(700) % 3)),
    ):
        with pytest.raises(InputError, match="float32, first in row 600"):
            use()
    assert np.isfinite(predict(wide, X)).all()


@pytest.mark.parametrize("objective", ["multiclass", "regression"])
def test_rows_whose_outputs_overflow_are_refused(objective, device: Device):
    """Each of their values fits into float32; their sum doesn't."""
    X = np.ones((700, 4), dtype="float32")
    X[600] = [3e38, -3e38, 3e38, -3e38]
    y = np.arange(700) % 3 if objective == "multiclass" else np.ones((700, 3))
    network = Network.initialize(device, (4, 8, 3), objective=objective)
    network.layers[0].W *= 9
    for use in (lambda: predict(network, X), lambda: evaluate(network, Split(X, y))):
        with pytest.raises(InputError, match="output for row 600 isn't finite: the row's values"):
            use()


def test_lists_pictures_and_integers_are_predicted(device: Device, rng):
    network = Network.initialize(device, (4, 3))
    X = rng.integers(-9, 9, (7, 4))
    expected = predict(network, X.astype(np.float32)).tobytes()
    for rows in (X, X.tolist(), X.reshape(7, 2, 2), np.asfortranarray(X), X.astype(">i2")):
        assert predict(network, rows).tobytes() == expected


@pytest.mark.parametrize(
    ("objective", "y"),
    [("multilabel", -3), ("multilabel", 0.5), ("regression", np.nan), ("regression", np.inf)],
)
def test_targets_that_nothing_could_predict_are_refused(objective, y, device: Device):
    network = Network.initialize(device, (4, 1), objective=objective)
    with pytest.raises(InputError, match=r"the data: target .* in row 0, column 0"):
        evaluate(network, Split(np.ones((3, 4)), np.full((3, 1), y)))


@pytest.mark.parametrize("split", [None, (np.zeros((2, 4)), np.zeros(2))])
def test_only_a_split_is_evaluated(split):
    with pytest.raises(InputError, match=r"evaluate\(\) takes a Split, such as data.test"):
        evaluate(Network.initialize(CPU(), (4, 3)), split)


def peak_memory(function) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_classes_not_with_their_square(rng):
    """5,000 classes: a K x K matrix takes 100 MB in float32, 200 MB in int64."""
    X, y = rng.standard_normal((600, 3)), rng.integers(0, 5000, 600)
    names = tuple(map(str, range(5000)))
    data = Dataset.from_arrays(X, y, objective="multiclass", output_names=names)
    trainer = Trainer(data, Config(hidden=(4,), epochs=1, lr=0.01), CPU())
    assert peak_memory(trainer.fit) < 60e6
    assert peak_memory(lambda: evaluate(trainer.network, data.train)) < 60e6
    assert evaluate(trainer.network, data.train).confusion is None


def test_a_large_batch_needs_no_square_of_its_rows():
    """The identity of 8,192 rows takes 268 MB."""
    W = np.ones((4, 5), dtype="float32")
    assert peak_memory(lambda: Buffers(CPU(), W, [], n_out=2, m=1, B=8192, in_P=False)) < 10e6


@pytest.mark.parametrize("settings", [{}, {"window": 1}, {"momentum": 0.9}])
def test_memory_grows_with_the_rows_not_with_the_batch_size(settings, rng):
    data = Dataset.from_arrays(rng.standard_normal((100, 3)), np.arange(100) % 2)
    for batch_size in (5 * 10**8, 2**53):
        config = Config(hidden=(4,), epochs=2, batch_size=batch_size, **settings)
        assert peak_memory(lambda config=config: Trainer(data, config, CPU()).fit()) < 10e6
