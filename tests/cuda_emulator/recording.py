"""What CuPy has the emulated devices do: counted always, and listed in order in a block."""

import ctypes
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from emulator import install

KINDS = ("launch", "graph", "gemm", "copy", "memset", "wait", "allocation", "free")
"""As in machine.h."""


class Event(NamedTuple):
    """One thing that CuPy had a device do, or waited for.

    kind: one of KINDS. name: of the kernel, the product's shape, the copy's direction, the function
    that waited. bytes: of a copy, filling or allocation; of a graph how many pieces of work it has.
    stream: 0 is the default one.
    """

    kind: str
    name: str
    bytes: int
    stream: int
    device: int


class Events(list[Event]):
    """What was done in a block, in order; see recorded().

    captured: what went into graphs, and so wasn't done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.captured: list[Event] = []

    def counts(self) -> Counter[str]:
        return Counter(event.kind for event in self)

    def names(self, kind: str) -> list[str]:
        return [event.name for event in self if event.kind == kind]


class _Event(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("device", ctypes.c_int),
        ("captured", ctypes.c_int),
        ("bytes", ctypes.c_size_t),
        ("stream", ctypes.c_ssize_t),
        ("name", ctypes.c_char * 100),
    )


def counts() -> Counter[str]:
    """How often each of KINDS was done since the process began."""
    values = install().cuda.emulator_counts()
    return Counter({kind: values[i] for i, kind in enumerate(KINDS)})


@contextmanager
def recorded() -> Iterator[Events]:
    """Record what is done in the block; the list is complete when the block ends."""
    cuda, events = install().cuda, Events()
    cuda.emulator_record(1)
    start = cuda.emulator_told()
    try:
        yield events
    finally:
        n = cuda.emulator_told() - start
        raw = (_Event * n)()
        cuda.emulator_read(raw, ctypes.c_size_t(start), ctypes.c_size_t(n))
        cuda.emulator_record(0)
        for one in raw:
            event = Event(KINDS[one.kind], one.name.decode(), one.bytes, one.stream, one.device)
            (events.captured if one.captured else events).append(event)


@contextmanager
def quiet() -> Iterator[None]:
    """Do no kernels, products and graphs in the block, only count them: for timing the host."""
    emulator = install()
    emulator.cuda.emulator_quiet(1)
    emulator.fills_memory = False
    try:
        yield
    finally:
        emulator.cuda.emulator_quiet(0)
        emulator.fills_memory = True
