"""Activations and losses: against PyTorch, against central differences, and their properties."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlp_xp.nn.activations import ACTIVATIONS, sigmoid
from mlp_xp.nn.losses import OBJECTIVES, Multiclass, log_softmax, softmax

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "torch.json").read_text())
LOSSES = ORACLE["losses"]
PRECISION = {"float32": 1e-5, "float64": 1e-10}

# Rows of logits that a network could ever produce, and far beyond.
logit_rows = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)),
                    elements=st.floats(-1e4, 1e4))  # fmt: skip


def assert_like(result, expected, dtype, rtol=None, atol=0.0):
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=rtol or PRECISION[dtype], atol=atol)


def targets(objective: str, rng: np.random.Generator, rows: int, n_outputs: int):
    """Random targets of the kind that this objective learns from."""
    if objective == "multiclass":
        return rng.integers(n_outputs, size=rows)
    if objective == "multilabel":
        return rng.integers(2, size=(rows, n_outputs)).astype(np.uint8)
    return rng.standard_normal((rows, n_outputs))


def cross_entropy(logits, labels, smoothing=0.0):
    return Multiclass(label_smoothing=smoothing).loss(np, logits, labels)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_pytorchs(name, device, dtype):
    activation, expected = ACTIVATIONS[name], ORACLE["activations"]["values"][name]
    Z = np.array(ORACLE["activations"]["Z"], dtype=dtype)
    if dtype == "float32":  # exp(-800) is no float32, and 0.3 isn't the float64 0.3
        moderate = np.abs(Z) <= 6
        Z = Z[moderate]
        expected = {key: np.array(value)[moderate] for key, value in expected.items()}
    device_Z = device.to_device(Z)
    A = activation.function(device.xp, device_Z)
    derivative = activation.derivative(device.xp, device_Z, A)
    # Near -6 gelu is 1 + tanh, a difference of almost equal numbers, in PyTorch too.
    atol = {"float32": 1e-6, "float64": 1e-15}[dtype]
    assert_like(device.to_host(A), expected["A"], dtype, atol=atol)
    assert_like(device.to_host(derivative), expected["derivative"], dtype, atol=atol)
    np.testing.assert_array_equal(device.to_host(device_Z), Z)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_equal_central_differences(name, device, rng):
    activation, xp, h = ACTIVATIONS[name], device.xp, 1e-6
    Z = rng.standard_normal(200) * 3
    Z = Z[np.abs(Z) > 1e-3]  # relu has no derivative at 0
    up, down = (
        device.to_host(activation.function(xp, device.to_device(z))) for z in (Z + h, Z - h)
    )
    device_Z = device.to_device(Z)
    derivative = activation.derivative(xp, device_Z, activation.function(xp, device_Z))
    np.testing.assert_allclose(
        device.to_host(derivative), (up - down) / (2 * h), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("case", LOSSES["cases"], ids=lambda case: case["objective"])
def test_losses_equal_pytorchs(case, device, dtype):
    y = device.to_device(np.array(LOSSES["targets"][case["objective"]]))
    weights = device.to_device(np.array(LOSSES["weights"], dtype)) if case["weighted"] else None
    logits = device.to_device(np.array(LOSSES["logits"], dtype))
    loss, dlogits = OBJECTIVES[case["objective"]](**case["options"]).loss(
        device.xp, logits, y, weights
    )
    assert loss.shape == ()
    assert_like(device.to_host(loss), case["loss"], dtype)
    assert_like(device.to_host(dlogits), case["dlogits"], dtype, atol=PRECISION[dtype] / 10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("multiclass", {}),
        ("multiclass", {"label_smoothing": 0.2}),
        ("multilabel", {}),
        ("regression", {}),
    ],
)
def test_loss_gradients_equal_central_differences(objective, options, weighted, device, rng):
    rows, n_outputs, h = 4, 3, 1e-5
    y = device.to_device(targets(objective, rng, rows, n_outputs))
    weights = device.to_device(rng.uniform(0, 2, rows)) if weighted else None
    Z = rng.standard_normal((rows, n_outputs))

    def loss(logits):
        return OBJECTIVES[objective](**options).loss(
            device.xp, device.to_device(logits), y, weights
        )

    dlogits = device.to_host(loss(Z)[1])
    for i, k in np.ndindex(rows, n_outputs):
        nudge = np.zeros_like(Z)
        nudge[i, k] = h
        up, down = (device.to_host(loss(z)[0]) for z in (Z + nudge, Z - nudge))
        difference = (up - down) / (2 * h)
        np.testing.assert_allclose(dlogits[i, k], difference, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_predictions(objective, device, dtype, rng):
    logits = (5 * rng.standard_normal((6, 4))).astype(dtype)
    predicted = device.to_host(OBJECTIVES[objective]().predict(device.xp, device.to_device(logits)))
    e = np.exp(logits.astype(np.float64))
    expected = {"multiclass": e / e.sum(axis=1, keepdims=True), "multilabel": e / (1 + e),
                "regression": logits}  # fmt: skip
    assert_like(predicted, expected[objective], dtype)


@pytest.mark.parametrize(
    ("objective", "label_dtype"),
    [(name, dtype) for name in OBJECTIVES for dtype in ("uint8", "int64", "float64")
     if (name, dtype) != ("multiclass", "float64")],
)  # fmt: skip
def test_the_labels_dtype_changes_nothing(objective, label_dtype, device, dtype, rng):
    logits = device.to_device(rng.standard_normal((4, 3)).astype(dtype))
    y = rng.integers(2, size=4 if objective == "multiclass" else (4, 3)).astype(label_dtype)
    for result in OBJECTIVES[objective]().loss(device.xp, logits, device.to_device(y)):
        assert result.dtype == dtype


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_weights_of_one_change_nothing_and_zero_forgets_a_row(objective, device, dtype, rng):
    xp, loss = device.xp, OBJECTIVES[objective]().loss
    logits = device.to_device(rng.standard_normal((4, 3)).astype(dtype))
    y = device.to_device(targets(objective, rng, 4, 3))
    plain = [device.to_host(array) for array in loss(xp, logits, y)]
    ones = [device.to_host(array) for array in loss(xp, logits, y, xp.ones(4, dtype=dtype))]
    for a, b in zip(plain, ones, strict=True):
        np.testing.assert_array_equal(a, b)
    weights = device.to_device(np.array([0, 4 / 3, 4 / 3, 4 / 3], dtype))
    weighted = [device.to_host(array) for array in loss(xp, logits, y, weights)]
    rest = [device.to_host(array) for array in loss(xp, logits[1:], y[1:])]
    assert_like(weighted[0], rest[0], dtype)
    assert_like(weighted[1][1:], rest[1], dtype)
    assert not weighted[1][0].any()


@pytest.mark.parametrize("function", [*(a.function for a in ACTIVATIONS.values()), softmax])
def test_nothing_overflows(function, device, dtype):
    Z = np.array([[-1e4, 0, 1e4], [1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(device.to_host(function(device.xp, device.to_device(Z)))).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_loss_overflows(objective, device, dtype):
    logits = device.to_device(np.array([[-1e4, 0, 1e4], [1e4, 1e4, -1e4]], dtype=dtype))
    y = device.to_device(
        np.array([0, 2]) if objective == "multiclass" else np.array([[1, 1, 0]] * 2)
    )
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, dlogits = OBJECTIVES[objective]().loss(device.xp, logits, y)
    assert 0 < device.to_host(loss) < np.inf
    assert np.isfinite(device.to_host(dlogits)).all()


@given(logit_rows, st.floats(-1e3, 1e3))
def test_softmax_ignores_a_shift_and_its_rows_add_up_to_one(logits, shift):
    p = softmax(np, logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (p >= 0).all()
    np.testing.assert_allclose(softmax(np, logits + shift), p, rtol=1e-10, atol=1e-300)


@given(logit_rows, st.data())
def test_cross_entropys_gradient_adds_up_to_zero_in_each_row(logits, data):
    rows, classes = logits.shape
    labels = data.draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    loss, dlogits = cross_entropy(logits, labels, data.draw(st.floats(0, 0.9)))
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-12)
    assert loss >= 0


@given(logit_rows, st.floats(0, 0.9), st.data())
def test_smoothing_mixes_the_labels_loss_with_that_of_all_classes(logits, smoothing, data):
    rows, classes = logits.shape
    labels = data.draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    plain = cross_entropy(logits, labels)
    assert plain[0] == -log_softmax(np, logits)[np.arange(rows), labels].mean()
    each = [cross_entropy(logits, np.full(rows, k)) for k in range(classes)]
    mixed = cross_entropy(logits, labels, smoothing)
    for i, result in enumerate(mixed):
        expected = (1 - smoothing) * plain[i] + smoothing * np.mean([e[i] for e in each], axis=0)
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)


@given(arrays(np.float64, st.integers(1, 8), elements=st.floats(-600, 600)))
def test_sigmoid_is_symmetric_and_rises(Z):
    A = sigmoid(np, Z)
    np.testing.assert_allclose(A + sigmoid(np, -Z), 1, rtol=1e-15)
    np.testing.assert_allclose(np.log(A) - np.log(sigmoid(np, -Z)), Z, rtol=1e-9, atol=1e-9)
    assert (np.diff(sigmoid(np, np.sort(Z))) >= 0).all()


@given(logit_rows, st.data())
def test_sigmoid_of_one_label_is_softmax_of_two(logits, data):
    z = logits[:, :1]
    y = data.draw(arrays(np.int64, len(z), elements=st.integers(0, 1)))
    binary, dz = OBJECTIVES["multilabel"]().loss(np, z, y[:, None])
    loss, dlogits = cross_entropy(np.hstack([np.zeros_like(z), z]), y)
    np.testing.assert_allclose(binary, loss, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dz, dlogits[:, 1:], rtol=1e-9, atol=1e-15)
