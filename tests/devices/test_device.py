"""From a name to a device; each way in which CUDA can be unusable has a message of its own."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import mlp_xp
from mlp_xp.devices import CPU, CUDA, Device, device_errors, get_device
from mlp_xp.devices.cuda import BLOCK_BYTES
from mlp_xp.devices.device import gpu_of_place
from mlp_xp.devices.probe import CAPABILITY, DRIVER, STATUS, probe
from mlp_xp.errors import DeviceError, DeviceUnavailable, InputError

ROOT = Path(mlp_xp.__file__).parent.parent


class CUDAError(RuntimeError):
    """Like CuPy's: a message and a number."""

    def __init__(self, status: int, text: str = "cudaErrorOfSomeKind: a message"):
        super().__init__(text)
        self.status = status


CUDAError.__module__ = "cupy_backends.cuda.api.runtime"


class OnGPU(np.ndarray):
    """A NumPy array with CuPy's get() and set(); the copy is made when an event is waited for."""

    copies: ClassVar[list[tuple["OnGPU", np.ndarray]]] = []

    def get(self):
        return np.array(self)

    def set(self, source, stream):
        assert source.shape == self.shape
        assert source.dtype == self.dtype
        assert source.flags.c_contiguous
        self.copies.append((self, source))


class Event:
    """Made and recorded after the copies that it waits for."""

    def __init__(self, block: bool, disable_timing: bool):
        pass

    def record(self) -> None:
        self.copies = tuple(OnGPU.copies)

    def synchronize(self) -> None:
        for out, source in self.copies:
            out[...] = source


def raising(error: BaseException):
    def function(*_: object, **__: object):
        raise error

    return function


class Cublas:
    """cupy.cuda, which loads cuBLAS on first use."""

    def __init__(self, **parts: object):
        self.__dict__.update(parts)

    @property
    def cublas(self):
        if self.__dict__.get("no_cublas"):
            raise ImportError('Failure finding "libcublas.so.13"\nNo such file')
        return object()


@pytest.fixture
def fake(monkeypatch):
    """A working CuPy with two GPUs, made of NumPy; each test breaks one thing in it."""
    before: list[int] = []

    class Device:
        def __init__(self, index: int):
            self.index = index
            self.compute_capability = "90"

        def use(self) -> None:
            cupy.current = self.index

        def __enter__(self) -> None:
            before.append(cupy.current)
            cupy.current = self.index

        def __exit__(self, *_: object) -> None:
            cupy.current = before.pop()

        def synchronize(self) -> None:
            cupy.places.append(self.index)

    def here(function):
        """A function that works on the current device."""

        def noted(*args, **kwargs):
            cupy.places.append(cupy.current)
            return function(*args, **kwargs)

        return noted

    properties = {"name": b"Card", "totalGlobalMem": 80_000_000_000, "major": 9, "minor": 0}
    cuda = Cublas(
        Device=Device,
        runtime=SimpleNamespace(
            runtimeGetVersion=lambda: 13020,
            driverGetVersion=lambda: 13000,
            getDeviceCount=lambda: 2,
            getDeviceProperties=lambda index: properties,
            memGetInfo=here(lambda: (1000, 2000)),
        ),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 2)),
        get_current_stream=here(lambda: None),
        Event=here(Event),
        get_allocator=lambda: None,
        using_allocator=lambda _: nullcontext(),
    )
    monkeypatch.setattr(OnGPU, "copies", [])
    cupy = SimpleNamespace(
        __version__="14.2.0",
        cuda=cuda,
        current=0,
        places=[],
        arange=lambda *a, **k: np.arange(*a, **k).view(OnGPU),
        ones=lambda *a, **k: np.ones(*a, **k).view(OnGPU),
        empty=here(lambda *a, **k: np.empty(*a, **k).view(OnGPU)),
        asarray=here(lambda array: np.array(array).view(OnGPU)),
        asnumpy=here(lambda array, out=None: np.asarray(array)),
        get_default_memory_pool=lambda: SimpleNamespace(free_bytes=here(lambda: 24)),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=here(np.empty)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return cupy


@pytest.mark.parametrize(
    ("name", "index"), [("auto", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)]
)
def test_a_gpu_that_passes_the_probe_is_used(fake, name, index):
    device = get_device(name, require=True)
    assert isinstance(device, CUDA)
    assert not device.on_host
    assert (device.requested, device.fallback_reason) == (name, None)
    assert device.name == f"cuda:{index}"
    assert device.xp is fake
    assert device.free_memory() == 1024
    assert fake.current == index


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_rank_of_a_host_takes_the_next_gpu(fake, name):
    assert [gpu_of_place(name, place) for place in range(3)] == [name, "cuda:1", name]
    # As where CUDA_VISIBLE_DEVICES leaves a GPU of its own to each.
    fake.cuda.runtime.getDeviceCount = lambda: 1
    assert [gpu_of_place(name, place) for place in range(3)] == [name] * 3


@pytest.mark.parametrize("name", ["cpu", "cuda:0", "cuda:9", "tpu"])
def test_a_name_that_is_no_gpus_choice_stays(fake, name):
    assert gpu_of_place(name, 1) == name


@pytest.mark.parametrize("count", [lambda: 0, raising(CUDAError(35))])
def test_without_a_gpu_the_name_stays_and_the_device_has_the_cause(fake, monkeypatch, count):
    fake.cuda.runtime.getDeviceCount = count
    assert gpu_of_place("cuda", 1) == "cuda"
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu_of_place("auto", 1) == "auto"


def test_a_gpu_is_used_whichever_is_current(fake):
    """In a new thread it is GPU 0."""
    device = CUDA(1)
    on_gpu = device.to_device(np.ones((2, 3)))
    device.to_device(np.ones(BLOCK_BYTES))
    device.to_host(on_gpu)
    device.upload(device.empty_pinned((2, 3), "float64"), on_gpu)
    device.free_memory()
    device.synchronize()
    assert len(fake.places) >= 10
    assert set(fake.places) == {1}
    assert fake.current == 0
    device.use()
    assert fake.current == 1


def test_the_cpu_copies_nothing_and_has_no_limit():
    device = get_device("cpu")
    array = np.arange(3)
    assert isinstance(device, CPU)
    assert (device.name, device.xp, device.on_host) == ("cpu", np, True)
    assert device.to_device(array) is array
    assert device.to_host(array) is array
    assert device.free_memory() is None


def test_an_array_is_fetched_into_a_pinned_one(device):
    out = device.empty_pinned((2, 3), "float32")
    found = device.to_host(device.to_device(np.arange(6, dtype="float32").reshape(2, 3)), out)
    assert found is out
    assert out.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_uploading_copies_a_pinned_array(device):
    source = device.empty_pinned((2, 3), "float32")
    source[...] = [[1, 2, 3], [4, 5, 6]]
    out = device.xp.empty((2, 3), dtype="float32")
    wait = device.upload(source, out)
    wait()
    source[...] = 0
    device.synchronize()
    assert device.to_host(out).tolist() == [[1, 2, 3], [4, 5, 6]]


HOST_ARRAYS = {
    "rows": np.arange(6000.0).reshape(2000, 3),
    "columns": np.arange(6000.0).reshape(3, 2000).T,
    "every other": np.arange(6000.0).reshape(1000, 6)[:, ::2],
    "reversed": np.arange(3000)[::-1],
    "three axes": np.arange(6000.0).reshape(10, 20, 30).transpose(1, 2, 0),
    "one long row": np.arange(3000)[None],
    "big-endian": np.arange(3000, dtype=">i4"),
    "number": np.array(2.5),
    "no rows": np.empty((0, 5), "float32"),
    "no columns": np.empty((5, 0), "float32"),
}


@pytest.mark.parametrize("kind", HOST_ARRAYS)
def test_an_array_of_any_kind_is_copied_whole(kind, device, monkeypatch):
    monkeypatch.setattr("mlp_xp.devices.cuda.BLOCK_BYTES", 1000)
    array = HOST_ARRAYS[kind]
    copy = device.to_device(array)
    assert (copy.shape, copy.dtype.kind) == (array.shape, array.dtype.kind)
    assert device.to_host(copy).tolist() == array.tolist()
    assert device.to_device(copy) is copy


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_of_any_size_page_locks_a_block_at_most(fake, tmp_path, order):
    array = np.lib.format.open_memmap(
        tmp_path / "X.npy",
        mode="w+",
        dtype="float32",
        shape=(4000, 1000),
        fortran_order=order == "F",
    )
    array[:] = np.arange(4000)[:, None] + np.arange(1000) / 1000
    expected = array.copy()
    fake.asarray = raising(AssertionError("through one page-locked buffer"))
    copy = CUDA(0).to_device(array)
    array[:] = 0  # the copies must have been made
    assert copy.tolist() == expected.tolist()
    assert copy.flags.fnc == (order == "F")
    assert 1 < len(OnGPU.copies) < 10
    assert max(source.nbytes for _, source in OnGPU.copies) <= BLOCK_BYTES


def test_a_device_says_which_name_was_requested():
    assert CPU().requested == "cpu"
    assert CPU("cuda:3", "no GPU").requested == "cuda:3"
    with pytest.raises(TypeError, match="abstract"):
        Device()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_devices_and_their_errors_can_be_copied_and_pickled(fake, copied):
    for device in (CPU("cuda:3", "no GPU"), get_device("auto"), CUDA(1)):
        again = copied(device)
        assert type(again) is type(device)
        assert again.name == device.name
        assert again.requested == device.requested
        assert again.fallback_reason == device.fallback_reason
        assert again.to_device(np.arange(3)).tolist() == [0, 1, 2]
    for error in (DeviceUnavailable("no GPU", "buy one"), DeviceError("cuda: no GPU\x1b")):
        again = copied(error)
        assert (type(again), str(again)) == (type(error), str(error))
        assert getattr(again, "cause", None) == getattr(error, "cause", None)


def test_a_pickled_gpu_is_tested_where_it_is_loaded(fake):
    pickled = pickle.dumps(CUDA(1))
    fake.cuda.runtime.getDeviceCount = lambda: 1
    with pytest.raises(DeviceError, match="cuda:1: there is no GPU 1"):
        pickle.loads(pickled)


def test_the_probe_reports_each_step(fake):
    steps = dict(probe(1))
    assert list(steps) == [
        "CuPy", "driver", "GPU", "cuBLAS", "NVRTC", "kernel", "reduction", "product",
    ]  # fmt: skip
    assert steps["driver"] == "CUDA 13.0"
    assert steps["GPU"].endswith("cuda:1 Card, 80.0 GB, compute capability 9.0")


@pytest.mark.parametrize(
    "name", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:1.0", "cuda:٣", "cuda: 1", "cuda:1\n"]
)
def test_an_unknown_name_is_an_input_error(name):
    with pytest.raises(InputError, match=r"unknown device .*; use auto, cpu, cuda or cuda:N"):
        get_device(name)


def test_cpu_never_imports_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it would raise
    assert get_device("cpu", require=True).fallback_reason is None


def wrong_product(cupy):
    class Wrong(OnGPU):
        def __matmul__(self, other):
            return np.zeros((2, 2)).view(OnGPU)

    cupy.arange = lambda *a, **k: np.arange(*a, **k).view(Wrong)


def sums_that_never_start(cupy):
    """And whose results would lie where an earlier one's still do."""
    memory = np.ones(1024, "float32") * 1024

    class Pointer:
        def memset(self, value, size):
            memory.view(np.uint8)[...] = value

    class Lazy(OnGPU):
        def sum(self, axis=None):
            cupy.allocate(memory.nbytes)
            return memory[0] * 1024 if axis is None else memory

    @contextmanager
    def using_allocator(allocate):
        before, cupy.allocate = cupy.allocate, allocate
        yield
        cupy.allocate = before

    cupy.allocate = lambda size: Pointer()
    cupy.cuda.get_allocator = lambda: cupy.allocate
    cupy.cuda.using_allocator = using_allocator
    cupy.ones = lambda *a, **k: np.ones(*a, **k).view(Lazy)


def old_card(cupy):
    device = cupy.cuda.Device

    def old(index):
        card = device(index)
        card.compute_capability = "70"
        return card

    cupy.cuda.Device = old


CAUSES = {
    "no driver": (
        lambda cupy: setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 0),
        "no NVIDIA driver was found; install it, or start the container with --gpus all",
    ),
    "driver too old": (
        lambda cupy: setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 12040),
        "the NVIDIA driver supports CUDA 12.4, too old for this CuPy, which needs CUDA 13; "
        "update it to 580 or newer, or use the extra cuda12",
    ),
    "driver older than any extra": (
        lambda cupy: setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 11080),
        "the NVIDIA driver supports CUDA 11.8, too old for this CuPy, which needs CUDA 13; "
        "update it to 580 or newer",
    ),
    "index out of range": (
        lambda cupy: setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 1),
        "there is no GPU 1: 1 found; use cuda:0",
    ),
    "old card": (
        old_card,
        "the GPU's compute capability 7.0 is below the 7.5 that CUDA 13 needs; use the extra "
        "cuda12",
    ),
    "cuBLAS missing": (
        lambda cupy: setattr(cupy.cuda, "no_cublas", True),
        "the CUDA library cuBLAS 13 is missing; install the extra that contains it: "
        "pip install '.[cuda13]' in the clone",
    ),
    "NVRTC missing": (
        lambda cupy: setattr(cupy.cuda.nvrtc, "getVersion", raising(RuntimeError("not found"))),
        "the CUDA library NVRTC 13 is missing; install the extra that contains it: "
        "pip install '.[cuda13]' in the clone",
    ),
    "NVRTC of another CUDA": (
        lambda cupy: setattr(cupy.cuda.nvrtc, "getVersion", lambda: (12, 9)),
        "NVRTC is 12.9, but this CuPy needs CUDA 13; install the extra that contains it: "
        "pip install '.[cuda13]' in the clone",
    ),
    "headers missing": (
        lambda cupy: setattr(
            cupy, "arange", raising(RuntimeError("Failed to find CUDA headers in /x"))
        ),
        "CUDA's headers are missing, so no kernel compiles; install the extra that contains them: "
        "pip install '.[cuda13]' in the clone",
    ),
    "wrong product": (
        wrong_product,
        "the GPU computes [[0.0, 0.0], [0.0, 0.0]], not [[7.0, 10.0], [15.0, 22.0]]; "
        "have the GPU checked: it is faulty",
    ),
    "sums that never start": (
        sums_that_never_start,
        "the GPU computes [nan, nan, nan], not [1048576.0, 1024.0, 1024.0]; update CuPy, or set "
        "CUPY_ACCELERATORS to nothing, so that it compiles its sums for this GPU",
    ),
    "something new": (
        lambda cupy: setattr(cupy, "arange", raising(CUDAError(719, "\nunspecified\nmore"))),
        "the step 'kernel' failed (CUDAError: unspecified); "
        "`mlp_xp doctor` shows what came before it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause_has_its_message_and_falls_back_or_raises(fake, name):
    spoil, message = CAUSES[name]
    spoil(fake)
    device = get_device("cuda:1")
    assert (device.name, device.on_host, device.requested) == ("cpu", True, "cuda:1")
    assert device.fallback_reason == message
    with pytest.raises(DeviceError) as raised:
        get_device("cuda:1", require=True)
    assert str(raised.value) == f"cuda:1: {message}"
    assert raised.value.status == 3
    if name != "index out of range":  # auto means the first GPU, which is there
        assert get_device("auto").fallback_reason == message.partition("; ")[0]
        with pytest.raises(DeviceError):
            get_device("auto", require=True)


@pytest.mark.parametrize("status", STATUS)
def test_each_status_of_cuda_has_its_message(fake, status):
    fake.cuda.runtime.getDeviceCount = raising(CUDAError(status))
    assert get_device("cuda").fallback_reason == "; ".join(STATUS[status])


def test_hidden_devices_are_named_as_the_cause(fake, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    fake.cuda.runtime.getDeviceCount = raising(CUDAError(100))
    assert "CUDA_VISIBLE_DEVICES is '-1'" in get_device("cuda").fallback_reason


def test_causes_differ_from_each_other():
    messages = [message for _, message in CAUSES.values()]
    messages += ["; ".join(pair) for pair in STATUS.values()]
    assert len({message.partition(";")[0] for message in messages}) == len(messages)
    assert DRIVER.keys() == CAPABILITY.keys() == {12, 13}


BROKEN = {
    "CuPy isn't installed": None,
    "CuPy can't be imported (libstdc++ is too old)": "raise ImportError('\\n====\\nlibstdc++ is "
    "too old\\n====')",
    "CuPy is installed, but cuda is missing": "raise ModuleNotFoundError('No module', name='cuda')",
    "CuPy can't create the folder for its kernels": "raise PermissionError(13, 'denied', '/x')",
}


@pytest.mark.parametrize("cause", BROKEN)
def test_a_cupy_that_cannot_be_imported(cause, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    if BROKEN[cause] is None:
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        monkeypatch.setattr(sys, "meta_path", [sys.meta_path[-1]])
    else:
        (tmp_path / "cupy.py").write_text(BROKEN[cause])
        monkeypatch.syspath_prepend(tmp_path)
    assert get_device("cuda").fallback_reason.startswith(cause)


NOT_CUPY = {
    "folder": ("cupy/notes.txt", "", "CuPy isn't installed: the folder {} isn't it"),
    "file": ("cupy.py", "", "{} isn't CuPy, but is imported in its place"),
    "program": (
        "cupy.py",
        "import cupy as cp; cp.arange(3)",
        "CuPy can't be imported (partially initialized module 'cupy'",
    ),
    "command": ("cupy.py", "raise SystemExit('usage')", "CuPy can't be imported (usage)"),
    "names": ("cupy.py", "cuda = True", "{} isn't CuPy, but is imported in its place"),
    "package": ("cupy/__init__.py", "x = 1", "{} isn't CuPy, but is imported in its place"),
}


def test_a_cupy_that_fails_when_it_is_asked_for_its_version(tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text("cuda, __version__ = None, '99'")
    monkeypatch.setitem(sys.modules, "cupy", None)
    del sys.modules["cupy"]
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert "the step 'CuPy' failed (AttributeError" in get_device("cuda").fallback_reason


@pytest.mark.parametrize("kind", NOT_CUPY)
def test_what_a_user_called_cupy_is_not_taken_for_it(kind, tmp_path, monkeypatch):
    name, text, cause = NOT_CUPY[kind]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    monkeypatch.setitem(sys.modules, "cupy", None)
    del sys.modules["cupy"]
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    own = path.parent if kind == "folder" else path
    reason = get_device("cuda").fallback_reason
    assert reason.startswith(cause.format(own))
    assert ("pip install" in reason) == (kind == "folder")
    assert (f"rename {own}" in reason) == (kind != "folder")
    assert get_device("auto").fallback_reason == reason.rpartition("; ")[0]


def test_two_cupys_that_warn_still_give_one_line(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    text = "import warnings; warnings.warn('two packages\\n are installed'); raise ImportError('x')"
    (tmp_path / "cupy.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert get_device("cuda").fallback_reason.startswith("CuPy can't be imported (x)")


class OutOfMemoryError(MemoryError):
    """Like CuPy's."""


OutOfMemoryError.__module__ = "cupy.cuda.memory"


def test_memory_that_runs_out_names_what_was_needed_and_what_to_lower():
    text = "Out of memory allocating 3,000,000,000 bytes (allocated so far: 78,500,000,000 bytes)."
    with pytest.raises(DeviceError) as raised, device_errors():
        raise OutOfMemoryError(text)
    assert str(raised.value) == (
        "out of memory: 3 GB more needed, 78.5 GB in use; "
        "lower --batch-size, --hidden or --device-memory"
    )


def test_memory_that_runs_out_on_the_host_is_one_line_too():
    with (
        pytest.raises(DeviceError, match=r"^out of memory: Unable to allocate .*lower --batch"),
        device_errors(),
    ):
        np.empty(1 << 60, dtype=np.uint8)


def test_a_gpu_that_fails_in_a_run_is_one_line_and_no_fallback():
    with (
        pytest.raises(DeviceError, match="failed during the run: an illegal address; `mlp_xp do"),
        device_errors(),
    ):
        raise CUDAError(700, "an illegal address\nwas met")


def raised_in(module: str, error: Exception) -> None:
    exec("def fail(error): raise error", namespace := {"__name__": module})
    namespace["fail"](error)


@pytest.mark.parametrize(
    "module", ["cupy._environment", "cupy_backends.cuda.libs", "cuda.pathfinder"]
)
@pytest.mark.parametrize("kind", [RuntimeError, ImportError])
def test_a_plain_error_raised_in_cupy_is_the_gpus(module, kind):
    with (
        pytest.raises(DeviceError, match="failed during the run: no libnvrtc; `mlp_xp doctor`"),
        device_errors(),
    ):
        raised_in(module, kind("no libnvrtc"))


def test_a_plain_error_of_the_real_cupy_is_the_gpus():
    core = pytest.importorskip("cupy._core.core", reason="needs the real CuPy")
    with pytest.raises(DeviceError, match="failed during the run: Must not be"), device_errors():
        core._ndarray_base()


def test_a_users_own_runtime_error_is_not_the_gpus():
    for module in ("cupyter", "cuda", "users.cupy", "__main__"):
        with pytest.raises(RuntimeError, match="mine"), device_errors():
            raised_in(module, RuntimeError("mine"))


@pytest.mark.parametrize("kind", [TypeError, NotImplementedError, ModuleNotFoundError])
def test_a_mistake_that_cupy_finds_is_not_the_gpus(kind):
    with pytest.raises(kind, match="no such thing"), device_errors():
        raised_in("cupy._core.core", kind("no such thing"))


NO_MEMORY = CUDAError(2, "cudaErrorMemoryAllocation: out of memory")


def test_page_locked_memory_that_runs_out_has_words_of_its_own(fake, monkeypatch):
    monkeypatch.setattr(sys.modules["cupyx"], "empty_pinned", raising(NO_MEMORY))
    with pytest.raises(DeviceError) as raised, device_errors():
        CUDA(0).empty_pinned((1000, 1000), "float64")
    assert str(raised.value) == (
        "out of page-locked host memory: 0.00839 GB more needed; free host memory, lower "
        "--batch-size, or raise --device-memory so that the data stays on the GPU"
    )
    monkeypatch.setattr(sys.modules["cupyx"], "empty_pinned", raising(CUDAError(700)))
    with pytest.raises(CUDAError):
        CUDA(0).empty_pinned((1000, 1000), "float64")


@pytest.mark.parametrize(
    "text",
    [
        str(NO_MEMORY),
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    ],
)
def test_other_errors_of_a_gpus_memory_say_what_to_lower(text):
    with (
        pytest.raises(DeviceError, match=f"^out of memory: {text}; lower --batch-size, "),
        device_errors(),
    ):
        raise CUDAError(2, text)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        RuntimeError("cudaErrorMemoryAllocation in a user's own words"),
        InputError("theirs"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as raised, device_errors():
        raise error
    assert raised.value is error


STUB = r"""
#include <stdlib.h>
#include <string.h>
static int number(const char *name) { return atoi(getenv(name)); }
int cuInit(unsigned flags) { return number("STUB_INIT"); }
int cuDriverGetVersion(int *version) { *version = number("STUB_VERSION"); return 0; }
static int fails(void) { return number("STUB_INIT"); }
int cuGetProcAddress_v2(const char *name, void **p, int version, unsigned long f, int *result) {
    if (!strcmp(name, "cuInit")) *p = cuInit;
    else if (!strcmp(name, "cuDriverGetVersion")) *p = cuDriverGetVersion;
    else if (!strncmp(name, "cuGetProcAddress", 16)) *p = cuGetProcAddress_v2;
    else *p = fails;
    if (result) *result = 0;
    return 0;
}
int cuGetProcAddress(const char *name, void **p, int version, unsigned long f) {
    return cuGetProcAddress_v2(name, p, version, f, 0);
}
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory) -> Path:
    """A folder with a libcuda.so.1 that reports the version and error in environment variables."""
    pytest.importorskip("cupy", reason="needs the real CuPy, which isn't installed")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("stub")
    (folder / "stub.c").write_text(STUB)
    command = [compiler, "-shared", "-fPIC", "-w", "-o", "libcuda.so.1", "stub.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(
    ("version", "init", "message"),
    [
        ("0", "100", "no NVIDIA driver was found; "),
        (
            "11040",
            "0",
            "the NVIDIA driver supports CUDA 11.4, too old for this CuPy, which needs CUDA 1",
        ),
        *(("99000", str(status), STATUS[status][0]) for status in (46, 100, 802, 803, 804)),
        ("99000", "999", "the step 'GPU' failed (CUDARuntimeError: cudaErrorUnknown"),
    ],
)
def test_driver_states_with_the_real_cupy(stub, version, init, message):
    environment = {key: value for key, value in os.environ.items() if key[:5] != "CUDA_"}
    environment |= {"LD_LIBRARY_PATH": str(stub), "STUB_VERSION": version, "STUB_INIT": init}
    environment["PYTHONPATH"] = str(ROOT)
    code = (
        "from mlp_xp import get_device; device = get_device('cuda');"
        "print(device.name, device.fallback_reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(f"cpu {message}"), done.stdout
