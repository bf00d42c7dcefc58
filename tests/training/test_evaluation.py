"""Evaluation against scikit-learn's metrics."""

import numpy as np
import pytest
from sklearn import metrics

from mlp_xp import InputError, Network, Split, evaluate, predict
from mlp_xp.devices import Device


@pytest.fixture
def split(rng) -> Split:
    # More rows than one batch of evaluation, and not a multiple of it.
    return Split(rng.integers(0, 256, (2500, 9), dtype=np.uint8), rng.integers(0, 4, 2500))


def test_figures_equal_scikit_learns(device: Device, split, dtype):
    network = Network.initialize(device, (9, 8, 4), dtype=dtype, seed=2)
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


def test_bytes_are_scaled_as_byte_over_255(device: Device, split):
    network = Network.initialize(device, (9, 8, 4), seed=2)
    as_floats = split.X.astype(np.float32) / np.float32(255)
    assert predict(network, split.X).tobytes() == predict(network, as_floats).tobytes()


def test_what_does_not_fit_is_refused(device: Device, split):
    with pytest.raises(InputError, match="takes 8 inputs, the data has 9"):
        predict(Network.initialize(device, (8, 4)), split.X)
    with pytest.raises(InputError, match="label 3"):
        evaluate(Network.initialize(device, (9, 3)), split)
