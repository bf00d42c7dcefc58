"""Activations and losses: against PyTorch, against central differences, and their properties."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlp_xp.functions import ACTIVATIONS, OUTPUTS, log_softmax, sigmoid, softmax
from mlp_xp.functions import softmax_cross_entropy as cross_entropy

ORACLE = json.loads((Path(__file__).parent / "oracles" / "torch.json").read_text())
LOSSES = ORACLE["losses"]
PRECISION = {"float32": 1e-5, "float64": 1e-10}

# Rows of logits that a network could ever produce, and far beyond.
logit_rows = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)),
                    elements=st.floats(-1e4, 1e4))  # fmt: skip


def assert_like(result, expected, dtype, rtol=None, atol=0.0):
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=rtol or PRECISION[dtype], atol=atol)


def targets(output: str, rng: np.random.Generator, rows: int, n_outputs: int):
    """Random targets of the kind that this output learns from."""
    if output == "softmax":
        return rng.integers(n_outputs, size=rows)
    if output == "sigmoid":
        return rng.integers(2, size=(rows, n_outputs)).astype(np.uint8)
    return rng.standard_normal((rows, n_outputs))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_pytorchs(name, backend, dtype):
    activation, expected = ACTIVATIONS[name], ORACLE["activations"]["values"][name]
    Z = np.array(ORACLE["activations"]["Z"], dtype=dtype)
    if dtype == "float32":  # exp(-800) is no float32, and 0.3 isn't the float64 0.3
        moderate = np.abs(Z) <= 6
        Z = Z[moderate]
        expected = {key: np.array(value)[moderate] for key, value in expected.items()}
    device_Z = backend.to_device(Z)
    A = activation.function(backend.xp, device_Z)
    derivative = activation.derivative(backend.xp, device_Z, A)
    # Near -6 gelu is 1 + tanh, a difference of almost equal numbers, in PyTorch too.
    atol = {"float32": 1e-6, "float64": 1e-15}[dtype]
    assert_like(backend.to_host(A), expected["A"], dtype, atol=atol)
    assert_like(backend.to_host(derivative), expected["derivative"], dtype, atol=atol)
    np.testing.assert_array_equal(backend.to_host(device_Z), Z)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_write_to_out(name, backend, dtype, rng):
    activation, xp = ACTIVATIONS[name], backend.xp
    Z = backend.to_device(rng.standard_normal((5, 3)).astype(dtype))
    A = activation.function(xp, Z)
    derivative = activation.derivative(xp, Z, A)
    assert A is not Z
    for expected, function, inputs in (
        (A, activation.function, (Z,)),
        (derivative, activation.derivative, (Z, A)),
    ):
        before = [backend.to_host(array).copy() for array in inputs]
        out = backend.to_device(np.full((5, 3), np.nan, dtype=dtype))
        assert function(xp, *inputs, out) is out
        np.testing.assert_array_equal(backend.to_host(out), backend.to_host(expected))
        for array, old in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(backend.to_host(array), old)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_equal_central_differences(name, backend, rng):
    activation, xp, h = ACTIVATIONS[name], backend.xp, 1e-6
    Z = rng.standard_normal(200) * 3
    Z = Z[np.abs(Z) > 1e-3]  # relu has no derivative at 0
    up, down = (
        backend.to_host(activation.function(xp, backend.to_device(z))) for z in (Z + h, Z - h)
    )
    device_Z = backend.to_device(Z)
    derivative = activation.derivative(xp, device_Z, activation.function(xp, device_Z))
    np.testing.assert_allclose(
        backend.to_host(derivative), (up - down) / (2 * h), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("case", LOSSES["cases"], ids=lambda case: case["output"])
def test_losses_equal_pytorchs(case, backend, dtype):
    y = backend.to_device(np.array(LOSSES["targets"][case["output"]]))
    weights = backend.to_device(np.array(LOSSES["weights"], dtype)) if case["weighted"] else None
    logits = backend.to_device(np.array(LOSSES["logits"], dtype))
    loss, dlogits = OUTPUTS[case["output"]].loss(backend.xp, logits, y, weights, **case["options"])
    assert loss.shape == ()
    assert_like(backend.to_host(loss), case["loss"], dtype)
    assert_like(backend.to_host(dlogits), case["dlogits"], dtype, atol=PRECISION[dtype] / 10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("output", "options"),
    [("softmax", {}), ("softmax", {"smoothing": 0.2}), ("sigmoid", {}), ("identity", {})],
)
def test_loss_gradients_equal_central_differences(output, options, weighted, backend, rng):
    rows, n_outputs, h = 4, 3, 1e-5
    y = backend.to_device(targets(output, rng, rows, n_outputs))
    weights = backend.to_device(rng.uniform(0, 2, rows)) if weighted else None
    Z = rng.standard_normal((rows, n_outputs))

    def loss(logits):
        return OUTPUTS[output].loss(backend.xp, backend.to_device(logits), y, weights, **options)

    dlogits = backend.to_host(loss(Z)[1])
    for i, k in np.ndindex(rows, n_outputs):
        nudge = np.zeros_like(Z)
        nudge[i, k] = h
        up, down = (backend.to_host(loss(z)[0]) for z in (Z + nudge, Z - nudge))
        difference = (up - down) / (2 * h)
        np.testing.assert_allclose(dlogits[i, k], difference, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("output", OUTPUTS)
def test_predictions(output, backend, dtype, rng):
    logits = (5 * rng.standard_normal((6, 4))).astype(dtype)
    predicted = backend.to_host(OUTPUTS[output].predict(backend.xp, backend.to_device(logits)))
    e = np.exp(logits.astype(np.float64))
    expected = {"softmax": e / e.sum(axis=1, keepdims=True), "sigmoid": e / (1 + e),
                "identity": logits}  # fmt: skip
    assert_like(predicted, expected[output], dtype)


@pytest.mark.parametrize(
    ("output", "label_dtype"),
    [(output, label_dtype) for output in OUTPUTS for label_dtype in ("uint8", "int64", "float64")
     if (output, label_dtype) != ("softmax", "float64")],
)  # fmt: skip
def test_the_labels_dtype_changes_nothing(output, label_dtype, backend, dtype, rng):
    logits = backend.to_device(rng.standard_normal((4, 3)).astype(dtype))
    y = rng.integers(2, size=4 if output == "softmax" else (4, 3)).astype(label_dtype)
    for result in OUTPUTS[output].loss(backend.xp, logits, backend.to_device(y)):
        assert result.dtype == dtype


@pytest.mark.parametrize("output", OUTPUTS)
def test_weights_of_one_change_nothing_and_zero_forgets_a_row(output, backend, dtype, rng):
    xp, loss = backend.xp, OUTPUTS[output].loss
    logits = backend.to_device(rng.standard_normal((4, 3)).astype(dtype))
    y = backend.to_device(targets(output, rng, 4, 3))
    plain = [backend.to_host(array) for array in loss(xp, logits, y)]
    ones = [backend.to_host(array) for array in loss(xp, logits, y, xp.ones(4, dtype=dtype))]
    for a, b in zip(plain, ones, strict=True):
        np.testing.assert_array_equal(a, b)
    weights = backend.to_device(np.array([0, 4 / 3, 4 / 3, 4 / 3], dtype))
    weighted = [backend.to_host(array) for array in loss(xp, logits, y, weights)]
    rest = [backend.to_host(array) for array in loss(xp, logits[1:], y[1:])]
    assert_like(weighted[0], rest[0], dtype)
    assert_like(weighted[1][1:], rest[1], dtype)
    assert not weighted[1][0].any()


@pytest.mark.parametrize("function", [*(a.function for a in ACTIVATIONS.values()), softmax])
def test_nothing_overflows(function, backend, dtype):
    Z = np.array([[-1e4, 0, 1e4], [1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(backend.to_host(function(backend.xp, backend.to_device(Z)))).all()


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_loss_overflows(output, backend, dtype):
    logits = backend.to_device(np.array([[-1e4, 0, 1e4], [1e4, 1e4, -1e4]], dtype=dtype))
    y = backend.to_device(np.array([0, 2]) if output == "softmax" else np.array([[1, 1, 0]] * 2))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, dlogits = OUTPUTS[output].loss(backend.xp, logits, y)
    assert 0 < backend.to_host(loss) < np.inf
    assert np.isfinite(backend.to_host(dlogits)).all()


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
    loss, dlogits = cross_entropy(np, logits, labels, smoothing=data.draw(st.floats(0, 0.9)))
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-12)
    assert loss >= 0


@given(logit_rows, st.floats(0, 0.9), st.data())
def test_smoothing_mixes_the_labels_loss_with_that_of_all_classes(logits, smoothing, data):
    rows, classes = logits.shape
    labels = data.draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    plain = cross_entropy(np, logits, labels)
    assert plain[0] == -log_softmax(np, logits)[np.arange(rows), labels].mean()
    each = [cross_entropy(np, logits, np.full(rows, k)) for k in range(classes)]
    mixed = cross_entropy(np, logits, labels, smoothing=smoothing)
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
    binary, dz = OUTPUTS["sigmoid"].loss(np, z, y[:, None])
    loss, dlogits = cross_entropy(np, np.hstack([np.zeros_like(z), z]), y)
    np.testing.assert_allclose(binary, loss, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dz, dlogits[:, 1:], rtol=1e-9, atol=1e-15)
