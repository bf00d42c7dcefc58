"""What a call costs the host, and what the step's operations cost the device, back to back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.gpu.experiment import Experiment

CHAIN = 100  # operations in a graph, so many that starting it hardly counts
Call = Callable[[], object]


def experiment(on: Experiment) -> None:
    for name, call in host_calls(on.gpu.xp, on.gpu.product).items():
        on.figure(on.host_us(call), "us of the host", name)
    zero = on.gpu.xp.zeros((), "f8")
    on.figure(on.whole_us(lambda: float(zero)), "us", "float(array): a wait")
    empty = on.gpu.capture(lambda: zero.fill(0))
    on.figure(on.host_us(empty), "us of the host", "a graph of one operation")
    on.figure(on.whole_us(empty), "us", "a graph of one operation, until it is done")
    for batch in (1, 128) if on.quick else (1, 32, 128, 512, 4096):
        for name, call in device_calls(on.gpu.xp, on.gpu.product, batch).items():
            figure_of_chain(on, f"batch {batch}: {name}", call)


def figure_of_chain(on: Experiment, name: str, call: Call) -> None:
    """The time of one of many calls in one graph: what no host can hide."""

    def chain() -> None:
        for _ in range(CHAIN):
            call()

    try:
        on.figure(on.whole_us(on.gpu.capture(chain), CHAIN), "us of the GPU", name)
    except Exception as error:
        on.fail(f"{name}: {type(error).__name__}: {error}")


def host_calls(xp: Any, product: Callable[..., Any]) -> dict[str, Call]:
    """The kinds of calls that a step consists of, on arrays so small that only the call counts."""
    a, out = xp.ones((1, 128), "f4"), xp.empty((1, 128), "f4")
    A, W, logits = xp.ones((1, 129), "f4"), xp.ones((129, 10), "f4"), xp.empty((1, 10), "f4")
    table, rows, labels = xp.ones((64, 10), "f4"), xp.arange(64), xp.zeros(64, "i8")
    return {
        "ufunc with out=": lambda: xp.add(a, a, out),
        "ufunc, new array": lambda: a + a,
        "product(a, b, out)": lambda: product(A, W, logits),
        "a @ b": lambda: A @ W,
        "max(axis=1)": lambda: logits.max(axis=1, keepdims=True),
        "sum(axis=0)": lambda: table.sum(axis=0),
        "a[rows]": lambda: table[rows],
        "a[rows, labels]": lambda: table[rows, labels],
        "fill": lambda: out.fill(2),
        "copy": lambda: out.__setitem__(..., a),
        "asarray of 64 numbers": lambda: xp.asarray([1.0] * 64, dtype="f4"),
    }


def device_calls(xp: Any, product: Callable[..., Any], batch: int) -> dict[str, Call]:
    """The operations of a step of 784-128-10."""

    def shaped(*shape: int) -> Any:
        return xp.ones(shape, "f4")

    X, W, Z = shaped(batch, 784), shaped(784, 128), shaped(batch, 128)
    V, logits, dW = shaped(128, 10), shaped(batch, 10), shaped(784, 128)
    return {
        "add, batch x 128": lambda: xp.add(Z, Z, Z),
        "max(axis=1), batch x 10": lambda: logits.max(axis=1, keepdims=True),
        "X W, batch x 784 x 128": partial(product, X, W, Z),
        "A V, batch x 128 x 10": partial(product, Z, V, logits),
        "d V^T, batch x 10 x 128": partial(product, logits, V.T, Z),
        "X^T d added, 784 x batch x 128": partial(product, X.T, Z, dW, add=True),
    }
