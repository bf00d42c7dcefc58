"""NumPy's BLAS: its kernels, and its threads, one during training unless products are large.

BLAS threads busy-wait for each other. On a machine that is also busy with something else, small
products take 3 to 10 times as long with two threads as with one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from logging import getLogger
from threading import Lock, Thread, current_thread, main_thread
from typing import Any

from threadpoolctl import ThreadpoolController

from mlp_xp.devices.base import Device
from mlp_xp.devices.cores import usable_cores
from mlp_xp.devices.kernels import slow_kernel
from mlp_xp.types import Array

WORTH_BLAS_THREADS = 100_000_000
"""Multiplications in a product from which BLAS keeps its threads, unless SharedProduct splits it.
Two threads took 0.58 of the time for 256 rows through 1024 x 1024, 0.69 to 1.4 for 512 rows
through 784 x 128."""

PROCESS = os.getpid()
"""The process that imported this; another one is a fork of it."""


def blas_threads_for(
    rows: int, parameters: Iterable[Array], threads: int | None = None
) -> AbstractContextManager[None]:
    """One BLAS thread in the block, unless products of so many rows with these matrices are large.

    threads: how many the training may use; None: more than one.
    """
    largest: int = max(array.size for array in parameters)
    return one_blas_thread(unless=threads != 1 and rows * largest >= WORTH_BLAS_THREADS)


def default_threads() -> int:
    """How many cores a training shares its steps between, where nobody says it.

    All that this process may use, or fewer where BLAS has a limit (OPENBLAS_NUM_THREADS and the
    like, threadpoolctl, a worker of joblib). One where others probably use the rest: on a thread
    beside the main one, in a process that multiprocessing started or a fork, in a notebook.
    """
    beside_others = (
        current_thread() is not main_thread()
        or _is_started_by_multiprocessing()
        or os.getpid() != PROCESS
        or "ipykernel" in sys.modules
    )
    return 1 if beside_others else min(usable_cores(), blas_threads())


def blas_threads() -> int:
    """How many threads BLAS may use: as many as the machine has, or the limit that is set.

    A limit of one_blas_thread() doesn't count: another training may have set it, and whether this
    one shares its products mustn't depend on what else runs.
    """
    with _limit.lock:
        return _limit.found if _limit.blocks else _limit.threads_now()


def openblas_kernel() -> str | None:
    """The processor that the kernels of NumPy's OpenBLAS are for; None if its BLAS is another."""
    loaded = (library for library in _limit.libraries.info() if library["user_api"] == "blas")
    first: dict[str, str] = next(loaded, {})  # SciPy may have brought one of its own
    return first.get("architecture") if first.get("internal_api") == "openblas" else None


def tell_of_slow_kernel(device: Device) -> None:
    """Log one line, once in a program, if the device is a CPU and OpenBLAS could be faster on it.

    To the logger `mlp_xp`, whose warnings Python prints by default, and not as a warning of
    Python's, which may be an error: nothing is wrong with the result.
    """
    if device.on_host:
        _tell_once()


@cache
def _tell_once() -> None:
    line = slow_kernel(openblas_kernel())
    if line and not _is_started_by_multiprocessing():  # not in each of a program's workers
        getLogger("mlp_xp").warning(line)


def _is_started_by_multiprocessing() -> bool:
    """Whether this process is one of multiprocessing's, or of joblib, which uses its names."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.current_process().name != "MainProcess"


class _Limit:
    """BLAS's limit of one thread in this process, and how many blocks want it at the moment.

    found: the number of threads before the limit.
    """

    def __init__(self) -> None:
        self.lock, self.blocks, self.found = Lock(), 0, 1
        self.limits: Any = None

    @cached_property
    def libraries(self) -> ThreadpoolController:
        """The libraries that NumPy loaded, found once: that takes most of the time of a limit."""
        return ThreadpoolController()

    def threads_now(self) -> int:
        blas = (library for library in self.libraries.info() if library["user_api"] == "blas")
        return max((library["num_threads"] for library in blas), default=1)

    def set(self) -> Any:
        return self.libraries.limit(limits=1, user_api="blas")

    def enter(self) -> None:
        with self.lock:
            self.blocks += 1
            if self.blocks == 1:
                self.found = self.threads_now()
                if self.found > 1:
                    _on_another_thread(self._set)

    def leave(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks == 0 and self.limits is not None:
                _on_another_thread(self.limits.restore_original_limits)
                self.limits = None

    def _set(self) -> None:
        self.limits = self.set()


def _on_another_thread(function: Callable[[], None]) -> None:
    """Call it on a thread that then ends: threadpoolctl lets none but the one that set a limit
    change it again, as long as that one lives."""
    thread = Thread(target=function)
    try:
        thread.start()
        thread.join()
    finally:  # where a signal's handler has raised an error
        if thread.ident is not None:
            thread.join()


_limit = _Limit()


@contextmanager
def one_blas_thread(unless: bool = False) -> Iterator[None]:
    """Limit BLAS to one thread in the block, or leave it alone with `unless`; then restore it.

    Blocks of several threads may overlap: the last to end restores what the first one found. The
    limit is the whole process's, so it holds beside the block too, `unless` or not.
    """
    if unless:
        yield
        return
    try:
        _limit.enter()
        # A BLAS on OpenMP has a number for each thread, and one that a user has set on this thread
        # can't be changed from another.
        with _limit.set():
            yield
    finally:
        _limit.leave()
