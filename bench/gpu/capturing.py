"""Which operations a CUDA graph can hold, and whether it computes the same each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.gpu.experiment import Experiment
from mlp_xp.errors import DeviceError


def experiment(on: Experiment) -> None:
    xp, product = on.gpu.xp, on.gpu.product
    a = xp.arange(32 * 32, dtype="f4").reshape(32, 32) / 1024
    rows, out, column = xp.arange(32), xp.empty((32, 32), "f4"), xp.empty((32, 1), "f4")
    total, narrow = xp.empty((), "f8"), xp.empty((32, 16), "f4")
    cases: tuple[tuple[str, Callable[[], object], Any], ...] = (
        ("ufunc", lambda: xp.multiply(a, a, out), out),
        ("max(axis=1)", lambda: a.max(axis=1, keepdims=True, out=column), column),
        ("sum(axis=1)", lambda: a.sum(axis=1, keepdims=True, out=column), column),
        ("sum in float64", lambda: a.sum(dtype="f8", out=total), total),
        ("take", lambda: a.take(rows, axis=0, out=out), out),
        ("a[rows]", lambda: out.__setitem__(..., a[rows]), out),
        ("a[rows, rows] = b", lambda: out.__setitem__((rows, rows), a[0]), out),
        ("copy", lambda: out.__setitem__(..., a), out),
        ("fill", lambda: out.fill(3), out),
        ("product", lambda: product(a, a, out), out),
        ("product, transposed", lambda: product(a.T, a[:, :16], narrow), narrow),
        ("product, added", lambda: product(a, a, out, add=True), out),
    )
    for name, call, result in cases:
        try:
            on.check(*same(on, call, result, name))
        except Exception as error:
            on.fail(f"{name}: {type(error).__name__}: {error}")
    try:
        on.gpu.capture(lambda: a.dot(a, out))
    except DeviceError as error:
        on.check(True, f"CuPy's own product is refused, as is expected: {error}")
    else:
        on.note("CuPy's own product: captured, where it was expected to be refused")


def same(on: Experiment, call: Callable[[], object], result: Any, name: str) -> tuple[bool, str]:
    """Whether a graph of a call, launched twice, leaves what the call does."""
    replay = on.gpu.capture(call)
    results = []
    for each in (call, replay, replay):
        result.fill(7)
        each()
        results.append(on.gpu.to_host(result))
    expected, *replayed = results
    apart = max(float(abs(each - expected).max()) for each in replayed)
    good = apart <= 1e-6 * float(abs(expected).max())
    return good, f"{name}: captured, {apart:.0e} from the call itself"
