"""The emulator shows what it claims to show: see README.md."""

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import emulator
import numpy as np
import pytest
from recording import counts, quiet, recorded

pytestmark = pytest.mark.cuda
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
UNSUPPORTED, INVALIDATED, ISOLATION, CAPTURED_EVENT = 900, 901, 905, 907


@pytest.fixture
def cp() -> Any:
    if not emulator.is_installed():
        pytest.skip("there is a real driver, or CUDA can't be emulated here")
    import cupy

    cupy.cuda.Device(0).use()
    return cupy


# -- what is computed --


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (130, 131)])
def test_kernels_whose_threads_wait_for_each_other_compute_what_numpy_does(cp, shape, axis):
    x = np.random.default_rng(5).integers(-9, 9, shape).astype(np.float64)
    on_gpu = cp.asarray(x)
    np.testing.assert_array_equal(on_gpu.sum(axis=axis).get(), x.sum(axis=axis))
    np.testing.assert_array_equal(on_gpu.max(axis=axis).get(), x.max(axis=axis))
    if isinstance(axis, int):
        np.testing.assert_array_equal(on_gpu.argmax(axis=axis).get(), x.argmax(axis=axis))


def test_sorting_and_running_sums_compute_what_numpy_does(cp):
    x = np.random.default_rng(5).integers(-9, 9, 1500)
    on_gpu = cp.asarray(x)
    np.testing.assert_array_equal(cp.sort(on_gpu).get(), np.sort(x))
    np.testing.assert_array_equal(cp.cumsum(on_gpu).get(), np.cumsum(x))
    np.testing.assert_array_equal(on_gpu[on_gpu > 2].get(), x[x > 2])


def test_every_float16_is_converted_as_numpy_does(cp):
    bits = np.arange(1 << 16, dtype=np.uint16)
    x = bits.view(np.float16)
    np.testing.assert_array_equal(cp.asarray(x).astype("float32").get(), x.astype(np.float32))
    numbers = x[np.isfinite(x)].astype(np.float32)
    between = [np.nextafter(numbers, np.float32(0)), numbers * np.float32(1.0003)]
    halfway = np.float32([65519, 65520, 1e9, 2.9e-8, 3e-8])
    for y in (*between, halfway):
        with np.errstate(over="ignore"):
            expected = y.astype(np.float16)
        np.testing.assert_array_equal(cp.asarray(y).astype("float16").get(), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("flips", ["", "a", "b", "ab"])
def test_products_compute_what_numpy_does(cp, flips, dtype):
    rng = np.random.default_rng(6)
    a, b = (rng.integers(-9, 9, (7, 7)).astype(dtype) for _ in range(2))
    a, b = a[:5], b[:, :6]
    x, y = cp.asarray(a), cp.asarray(b)
    if "a" in flips:
        x = x.T.copy().T
    if "b" in flips:
        y = y.T.copy().T
    np.testing.assert_array_equal((x @ y).get(), a @ b)


def test_a_kernel_of_ones_own_runs_with_its_blocks_and_threads(cp):
    source = """extern "C" __global__ void numbers(int* out) {
        out[blockIdx.x * blockDim.x + threadIdx.x] = 100 * blockIdx.x + threadIdx.x; }"""
    out = cp.zeros(6, dtype="int32")
    cp.RawKernel(source, "numbers")((2,), (3,), (out,))
    assert out.get().tolist() == [0, 1, 2, 100, 101, 102]


# -- what is recorded --


def test_everything_is_recorded_in_order(cp):
    a = cp.ones((3, 4), dtype="float32")
    cp.cuda.Device().synchronize()
    before = counts()
    with recorded() as events:
        b = a + 1
        (a @ b.T).get()
        b.fill(0)
    assert [event.kind for event in events if event.kind != "allocation"] == [
        *("launch", "gemm", "copy", "wait", "memset")
    ]
    assert events.names("launch") == ["cupy_add__float32_float_float32"]
    assert events.names("gemm") == ["float32 TN 3 x 3 x 4, 0 bytes of workspace"]
    assert events.names("copy") == ["device to host"]
    (copy,) = (event for event in events if event.kind == "copy")
    assert (copy.bytes, copy.device, copy.stream) == (36, 0, 0)
    assert counts() - before == events.counts()


def test_only_what_has_something_to_wait_for_is_a_wait(cp):
    a = cp.ones(3)
    cp.cuda.Device().synchronize()
    with recorded() as events:
        cp.cuda.Device().synchronize()
        a += 1
        assert not np.isnan(float(a[0]))
        cp.cuda.get_current_stream().synchronize()
    assert len(events.names("wait")) == 1


def test_in_a_quiet_block_work_is_counted_and_not_done(cp):
    a = cp.ones(3)
    with quiet(), recorded() as events:
        a += 1
        a.sum()
    assert events.counts()["launch"] == 2
    assert a.get().tolist() == [1, 1, 1]


# -- the order of work --


def test_a_buffer_that_is_overwritten_before_its_copy_was_waited_for_shows(cp):
    import cupyx

    stream = cp.cuda.Stream(non_blocking=True)
    source, out = cupyx.empty_pinned(3, "float32"), cp.empty(3, dtype="float32")
    for waits, expected in ((True, 1), (False, 2)):
        source[:] = 1
        out.set(source, stream=stream)
        done = stream.record()
        if waits:
            done.synchronize()
        source[:] = 2
        assert out.get(stream=stream).tolist() == [expected] * 3


def test_ordinary_memory_is_copied_at_once_which_is_a_wait(cp):
    out = cp.zeros(3)
    with recorded() as events:
        source = np.ones(3)
        cp.cuda.runtime.memcpyAsync(out.data.ptr, source.ctypes.data, 24, 1, 0)
        source[:] = 2
    assert out.get().tolist() == [1, 1, 1]
    assert events.names("wait") == ["cudaMemcpyAsync of pageable memory"]


# -- memory --


def test_new_memory_and_memory_of_a_pool_is_poisoned(cp):
    for pool in (cp.get_default_memory_pool(), cp.cuda.MemoryPool()):
        with cp.cuda.using_allocator(pool.malloc):
            for _ in range(2):  # the second time the pool has it already
                a = cp.empty(1000, dtype="float32")
                assert np.isnan(a.get()).all()
                a[:] = 1
                del a


def test_new_memory_of_the_driver_and_page_locked_memory_is_poisoned(cp):
    runtime, out = cp.cuda.runtime, np.zeros(128, np.float32)
    device, host = runtime.malloc(512), runtime.hostAlloc(512, 0)
    for address in (device, host):
        out[:] = 0
        runtime.memcpy(out.ctypes.data, address, 512, runtime.memcpyDefault)
        assert np.isnan(out).all()
    runtime.free(device)
    runtime.freeHost(host)


def test_memory_that_was_freed_is_refused(cp):
    address = cp.cuda.runtime.malloc(512)
    memory = cp.cuda.UnownedMemory(address, 512, None, device_id=0)
    a = cp.ndarray(4, "float32", cp.cuda.MemoryPointer(memory, 0))
    a.fill(1)
    a += 1
    cp.cuda.runtime.free(address)
    with pytest.raises(Exception, match=r"CUDA_ERROR_700: argument 0 of cupy_add.* has been freed"):
        a += 1
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError) as refused:
        cp.cuda.runtime.memset(address, 0, 4)
    assert refused.value.status == 700


def test_a_copy_beyond_what_was_allocated_is_refused(cp):
    a, b = (cp.cuda.runtime.malloc(512) for _ in range(2))
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError) as refused:
        cp.cuda.runtime.memcpy(a, b, 513, 3)
    assert refused.value.status == 700
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
        cp.cuda.runtime.malloc(1 << 50)


# -- captures --


@pytest.fixture
def stream(cp) -> Iterator[Any]:
    stream = cp.cuda.Stream(non_blocking=True)
    yield stream
    with suppress(cp.cuda.runtime.CUDARuntimeError):  # else a test that fails would have all fail
        stream.end_capture()


def record(stream: Any, function: Callable[[], Any], mode: int = RELAXED) -> Any:
    with stream:
        stream.begin_capture(mode)
        try:
            function()
        finally:
            graph = stream.end_capture()
    return graph


def test_a_graph_does_what_was_captured_each_time_it_is_launched(cp, stream):
    a, b = cp.ones((2, 3), dtype="float32"), cp.zeros((2, 3), dtype="float32")
    cp.multiply(a, 2, out=b)
    b += a
    before = b.get()
    with recorded() as events:
        graph = record(stream, lambda: (cp.multiply(a, 2, out=b), b.__iadd__(a)))
    assert events == []
    assert [event.kind for event in events.captured] == ["launch", "launch"]
    for value in (1, 5):
        a[...] = value
        cp.cuda.Device().synchronize()  # the stream doesn't wait for the default one
        with recorded() as events:
            graph.launch(stream)
            stream.synchronize()
        assert [(event.kind, event.bytes) for event in events] == [("graph", 2), ("wait", 0)]
        assert b.get().tolist() == (before * value).tolist()


def test_a_graph_whose_memory_was_freed_is_refused(cp, stream):
    address = cp.cuda.runtime.malloc(512)
    graph = record(stream, lambda: cp.cuda.runtime.memsetAsync(address, 1, 512, stream.ptr))
    graph.launch(stream)
    stream.synchronize()
    cp.cuda.runtime.free(address)
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError) as refused:
        graph.launch(stream)
    assert refused.value.status == 700


REFUSED: dict[str, tuple[Callable[[Any, Any, Any], Any], dict[int, int | None]]] = {
    # by name: what is done with CuPy, the capturing stream, an array; the status in each mode
    "cudaMalloc": (
        lambda cp, stream, a: cp.cuda.runtime.malloc(512),
        {GLOBAL: UNSUPPORTED, THREAD_LOCAL: UNSUPPORTED, RELAXED: None},
    ),
    "page-locked memory": (
        lambda cp, stream, a: cp.cuda.runtime.hostAlloc(512, 0),
        {GLOBAL: UNSUPPORTED, THREAD_LOCAL: UNSUPPORTED, RELAXED: None},
    ),
    "waiting for the stream": (
        lambda cp, stream, a: stream.synchronize(),
        {GLOBAL: UNSUPPORTED, RELAXED: UNSUPPORTED},
    ),
    "waiting for the device": (
        lambda cp, stream, a: cp.cuda.runtime.deviceSynchronize(),
        {GLOBAL: UNSUPPORTED, RELAXED: UNSUPPORTED},
    ),
    "waiting for another stream": (
        lambda cp, stream, a: cp.cuda.Stream.null.synchronize(),
        {GLOBAL: UNSUPPORTED, RELAXED: None},
    ),
    "waiting for a captured event": (
        lambda cp, stream, a: stream.record().synchronize(),
        {GLOBAL: CAPTURED_EVENT, RELAXED: CAPTURED_EVENT},
    ),
    "a synchronous copy": (
        lambda cp, stream, a: cp.cuda.runtime.memcpy(a.data.ptr, a.data.ptr + 8, 4, 3),
        {GLOBAL: UNSUPPORTED, RELAXED: UNSUPPORTED},
    ),
    "a copy from ordinary memory": (
        lambda cp, stream, a: cp.cuda.runtime.memcpyAsync(
            a.data.ptr, np.ones(1).ctypes.data, 8, 1, stream.ptr
        ),
        {GLOBAL: UNSUPPORTED, RELAXED: UNSUPPORTED},
    ),
    "an event from outside": (
        lambda cp, stream, a: stream.wait_event(cp.cuda.Stream.null.record()),
        {RELAXED: ISOLATION},
    ),
}
CASES = [
    pytest.param(name, mode, id=f"{name}-{mode}") for name in REFUSED for mode in REFUSED[name][1]
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_what_cuda_refuses_in_a_capture_is_refused_and_ends_it(cp, stream, name, mode):
    function, status = REFUSED[name][0], REFUSED[name][1][mode]
    a, runtime = cp.ones(4), cp.cuda.runtime
    a += 1  # loads the kernel
    with stream:
        stream.begin_capture(mode)
        if status is None:
            function(cp, stream, a)
            stream.end_capture()
            return
        with pytest.raises(runtime.CUDARuntimeError) as refused:
            function(cp, stream, a)
        assert refused.value.status == status
        with pytest.raises(Exception, match="CUDA_ERROR_901"):
            a += 1
        with pytest.raises(runtime.CUDARuntimeError) as refused:
            stream.end_capture()
        assert refused.value.status == INVALIDATED
        a += 1  # and all is as before
        stream.synchronize()


def test_asking_whether_a_capturing_stream_is_done_ends_the_capture(cp, stream):
    with stream:
        stream.begin_capture()
        assert not stream.done
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
            stream.end_capture()


def test_the_legacy_stream_is_refused_while_a_blocking_one_captures(cp):
    a = cp.ones(4)
    a += 1  # loads the kernel
    for nonblocking in (True, False):
        stream = cp.cuda.Stream(non_blocking=nonblocking)
        stream.begin_capture()
        if nonblocking:
            a += 1  # on the default stream
            stream.end_capture()
            continue
        with pytest.raises(Exception, match="CUDA_ERROR_906"):
            a += 1
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
            stream.end_capture()
        assert a.get().tolist() == [3] * 4


def test_loading_a_kernel_is_refused_in_a_global_capture(cp, stream):
    kernel = cp.RawKernel('extern "C" __global__ void late(int* a) { *a = 1; }', "late")
    a = cp.zeros(1, dtype="int32")
    stream.begin_capture(GLOBAL)
    with stream, pytest.raises(Exception, match="CUDA_ERROR_900"):
        kernel((1,), (1,), (a,))
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
        stream.end_capture()


def test_a_stream_that_waits_for_a_captured_event_joins_the_capture(cp, stream):
    other, a = cp.cuda.Stream(non_blocking=True), cp.ones(4)

    def fork() -> None:
        other.wait_event(stream.record())
        with other:
            cp.add(a, 1, out=a)
        stream.wait_event(other.record())

    graph = record(stream, fork)
    assert a.get().tolist() == [1] * 4
    graph.launch(stream)
    stream.synchronize()
    assert a.get().tolist() == [2] * 4


# -- cuBLAS by a handle of one's own --


class Blas:
    """cuBLAS through ctypes."""

    def __init__(self, cp: Any, stream: Any):
        from cuda import pathfinder

        self.cp, self.library = (
            cp,
            ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path),
        )
        self.handle = ctypes.c_void_p()
        assert self.library.cublasCreate_v2(ctypes.byref(self.handle)) == 0
        assert self.library.cublasSetStream_v2(self.handle, ctypes.c_void_p(stream.ptr)) == 0
        self.workspace = cp.empty(1 << 16, dtype="uint8")
        address = ctypes.c_void_p(self.workspace.data.ptr)
        assert self.library.cublasSetWorkspace_v2(self.handle, address, 1 << 16) == 0

    def square(self, a: Any, out: Any, n: int, ld: int, compute: int = 68) -> int:
        """out = 2 a a + 3 out, for float32; returns the status."""
        two, three = ctypes.c_float(2), ctypes.c_float(3)
        pointer = ctypes.c_void_p
        return int(
            self.library.cublasGemmEx(
                *(self.handle, 0, 0, n, n, n, ctypes.byref(two)),
                *(pointer(a.data.ptr), 0, ld, pointer(a.data.ptr), 0, ld, ctypes.byref(three)),
                *(pointer(out.data.ptr), 0, ld, compute, -1),
            )
        )


def test_a_product_of_ones_own_handle_is_captured(cp, stream):
    a, out = cp.arange(9, dtype="float32").reshape(3, 3), cp.ones((3, 3), dtype="float32")
    blas = Blas(cp, stream)
    expected = 2 * a.get() @ a.get() + 3
    graph = record(stream, lambda: blas.square(a, out, 3, 3))
    assert (out.get() == 1).all()
    with recorded() as events:
        graph.launch(stream)
        stream.synchronize()
    assert events.counts()["gemm"] == 0
    np.testing.assert_array_equal(out.get(), expected)


def test_a_wrong_product_is_refused(cp, stream, capfd):
    a = cp.zeros((1024, 1024), dtype="float32")
    blas = Blas(cp, stream)
    assert blas.square(a, a, 1024, 1024) == 0
    assert blas.square(a, a, 1024, 1023) == 7  # a leading dimension below the rows
    # rows that aren't allocated, the host's memory, float64 for float32's numbers
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        small = cp.zeros((16, 16), dtype="float32")
    assert blas.square(small, a, 1024, 1024) == 13
    assert blas.square(small, small, 16, 16, compute=70) == 15
    with cp.cuda.Device(1):
        assert blas.square(small, small, 16, 16) == 13
    assert "goes beyond what was allocated" in capfd.readouterr().err


def test_a_library_function_without_an_emulation_says_so(cp, capfd):
    a = cp.ones((2, 3, 3), dtype="complex64")
    with pytest.raises(Exception, match="NOT_SUPPORTED"):
        a @ a
    assert "cublas.c has no" in capfd.readouterr().err


# -- programs that a test starts --


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.stdout.strip()


def test_a_program_that_a_test_starts_uses_the_emulator(cp):
    assert run_python("import cupy; print((cupy.arange(3) + 1).get().tolist())") == "[1, 2, 3]"


def test_a_program_without_cupy_starts_as_ever(cp):
    assert run_python("import sys; print('numpy' in sys.modules)") == "False"
