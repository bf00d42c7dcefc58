"""Products and captures of every device."""

import gc
from typing import Any

import numpy as np
import pytest

from mlp_xp.errors import DeviceError

SHAPES = [(1, 1, 1), (1, 5, 3), (4, 1, 3), (4, 5, 1), (1, 1, 6), (7, 3, 1), (5, 6, 7)]
LAYOUTS = ("rows", "columns", "in a wider one", "columns of a wider one")


def laid_out(xp: Any, values: np.ndarray, layout: str) -> Any:
    """The values on the device, as a view of this layout."""
    rows, columns = values.shape
    if layout.startswith("columns"):
        return laid_out(xp, values.T, layout.replace("columns", "rows").replace("rows of", "in")).T
    wide = xp.full((rows, columns + (3 if "wider" in layout else 0)), np.nan, str(values.dtype))
    view = wide[:, :columns]
    view[...] = xp.asarray(values)
    return view


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_numpys(shape, add, device, check, dtype, rng):
    m, k, n = shape
    a, b, c = (rng.integers(-9, 9, s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
    out = device.to_device(c.copy())
    product = device.product(device.to_device(a), device.to_device(b), out, add=add)
    assert product is out or not add
    np.testing.assert_array_equal(check(out, dtype), a @ b + (c if add else 0))


@pytest.mark.cuda
@pytest.mark.parametrize("a_layout", LAYOUTS)
@pytest.mark.parametrize("b_layout", LAYOUTS)
def test_a_captured_product_takes_every_layout(a_layout, b_layout, cuda, dtype, rng):
    xp, cases = cuda.xp, []
    for m, k, n in SHAPES:
        a, b, c = (rng.integers(-9, 9, s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
        x, y = laid_out(xp, a, a_layout), laid_out(xp, b, b_layout)
        cases += [(x, y, laid_out(xp, c, layout), xp.asarray(c), a @ b + c) for layout in LAYOUTS]

    def products() -> None:
        for x, y, out, old, _ in cases:
            out[...] = old
            cuda.product(x, y, out, add=True)

    repeat = cuda.capture(products)
    for _, _, out, _, _ in cases:
        out.fill(np.nan)
    repeat()
    for _, _, out, _, expected in cases:
        np.testing.assert_array_equal(cuda.to_host(out), expected)


@pytest.mark.cuda
def test_a_layout_that_cublas_has_no_word_for_is_refused(cuda):
    a = cuda.xp.ones((4, 6), "float32")[:, ::2]
    out = cuda.xp.zeros((4, 4), "float32")

    with pytest.raises(DeviceError, match=r"a matrix of shape .* with strides"):
        cuda.capture(lambda: cuda.product(a, a.T, out))


def test_what_is_captured_is_called_once_and_repeated(device, check):
    xp = device.xp
    total, step = xp.zeros(3, "float32"), xp.ones(3, "float32")

    def add() -> None:
        nonlocal total
        total += step

    repeat = device.capture(add)
    assert check(total, "float32").tolist() == [1, 1, 1]
    step *= 5
    repeat()
    repeat()
    assert check(total, "float32").tolist() == [11, 11, 11]


@pytest.mark.cuda
def test_a_graph_that_is_dropped_gives_its_memory_back(cuda):
    xp = cuda.xp
    a, out = xp.ones((1000, 1000), "float32"), xp.zeros((1000, 1000), "float32")

    def use() -> None:
        out[...] = a + 1

    free = []
    for _ in range(4):
        cuda.capture(use)()
        gc.collect()
        free.append(xp.cuda.runtime.memGetInfo()[0])
    assert free[1] == free[3]


@pytest.mark.cuda
def test_a_graph_keeps_what_it_reads(cuda):
    """The arrays that a function refers to, and those that it makes."""
    total = cuda.xp.zeros(1000, "float32")

    def adding() -> Any:
        step = cuda.xp.arange(1000, dtype="float32")

        def add() -> None:
            nonlocal total
            total += 2 * step + 1

        return cuda.capture(add)

    repeat = adding()
    others = [cuda.xp.full(1000, np.nan, "float32") for _ in range(20)]
    repeat()
    assert len(others) == 20
    np.testing.assert_array_equal(cuda.to_host(total), 2 * (2 * np.arange(1000.0) + 1))


@pytest.mark.cuda
def test_a_refused_capture_leaves_the_device_as_it_was(cuda):
    xp = cuda.xp
    a, stream, allocator = xp.ones(3), xp.cuda.get_current_stream(), xp.cuda.get_allocator()
    for mistake in (lambda: float(a.sum()), lambda: xp.asarray([1.0, 2.0])):
        with pytest.raises(DeviceError):
            cuda.capture(mistake)
        assert xp.cuda.get_current_stream() == stream
        assert xp.cuda.get_allocator() == allocator
        b = xp.ones((2, 2))
        assert cuda.to_host(cuda.product(b, b, xp.zeros((2, 2)))).tolist() == [[2, 2], [2, 2]]
    with pytest.raises(DeviceError, match="division by zero"):
        cuda.capture(lambda: 1 / 0)
