"""Running a command on the ranks that mpiexec has started: they speak with one voice, and end
together."""

from __future__ import annotations

import math
import os
import platform
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, NoReturn

from mlp_xp.cli import tell
from mlp_xp.devices.blas import default_threads
from mlp_xp.errors import DeviceError, InputError
from mlp_xp.training.ranks import host_of, threads_for

PATIENCE = 3.0
"""Seconds in which all ranks fail, if what one of them has failed by is the same for all."""
A_LOOK = 0.01
"""Seconds between two looks at whether the others have come."""
A_MOMENT = 0.5
"""Seconds for mpiexec to read what a rank has said before it ends the ranks."""


class Alone:
    """The only process that runs a command.

    rank, size: its number, of how many. place: its number among those on its host. communicator:
    what a Trainer takes.
    """

    rank, size, place = 0, 1, 0
    communicator: Any = None

    def threads(self) -> int:
        """How many threads each has, where nobody says it."""
        return default_threads()

    def meet(self) -> None:
        """Wait until all are here, or have failed; raises what one of them has failed by."""

    def members(self) -> str:
        """Who shares each step, in words."""
        return ""


class World(Alone):
    """Those of MPI.COMM_WORLD, as one of them sees them. Raises InputError without an MPI."""

    def __init__(self) -> None:
        silence_others()
        try:
            from mpi4py import MPI
        except ModuleNotFoundError as error:
            raise InputError(
                f"--distributed needs mpi4py ({error}): pip install '.[mpi]' in the clone"
            ) from error
        except (ImportError, RuntimeError) as error:
            raise InputError(
                "--distributed needs an MPI, and mpi4py finds no libmpi.so: load your cluster's "
                "module, add its folder to LD_LIBRARY_PATH, or pip install '.[mpi]' in the clone"
            ) from error
        self.communicator, self._failure = MPI.COMM_WORLD, MPI.Exception
        self.rank, self.size = self.communicator.Get_rank(), self.communicator.Get_size()
        started = launched()[1]
        if self.size == 1 < started:
            library = " ".join(MPI.Get_library_version().split(",")[0].split())
            raise InputError(
                f"{started} processes were started, but each is alone for mpi4py's {library}; "
                "start them by the mpiexec that came with it"
            )
        # The training's messages have another communicator, so that this one is free at any moment.
        self._meeting = self.communicator.Dup()
        self._errors = sys.__stderr__ or sys.stderr
        self._members = self._meeting.allgather((platform.node(), os.getpid()))
        self._threads = threads_for(self.communicator)
        self._host = host_of(self.communicator)
        self.place = self._host.place
        self._patience, self._ended = math.inf, False  # they may read their data at other speeds

    def run(self, command: Callable[[], int]) -> int:
        """Call a command on all ranks.

        Returns the highest exit status on the first one, or raises what one of them has failed by;
        the others return 0, since launchers join all statuses into one. What stops a rank while the
        others wait for it in the middle of a step ends the program.
        """
        try:
            status = self._run(command)
        except (InputError, OSError, KeyboardInterrupt, SystemExit):
            if self.rank == 0:
                raise
        return status if self.rank == 0 else 0

    def _run(self, command: Callable[[], int]) -> int:
        error, status = None, 0
        try:
            status = command()
        except (InputError, OSError, KeyboardInterrupt, SystemExit) as problem:
            if self._ended:
                raise
            error = problem
        except self._failure as problem:  # a connection that is lost
            self._abort(DeviceError(f"MPI failed: {problem}"))
        except BaseException:
            traceback.print_exc(file=self._errors)
            self._abort(RuntimeError("an error in the program, shown above"))
        return self._meet(error, status)

    def threads(self) -> int:
        """See Alone."""
        return self._threads

    def meet(self) -> None:
        """See Alone. From the first meeting on, all are as far."""
        self._meet(None, 0)
        self._patience = PATIENCE

    def members(self) -> str:
        """See Alone: the ranks' processes, in their order, and a hint where they are too many.

        If one of them is killed, mpiexec names it by its process and host.
        """
        if self.size == 1:
            return (
                "--distributed finds a single rank; start more by: "
                "mpiexec -n 2 python -m mlp_xp train --distributed"
            )
        of_host = [
            f"{', '.join(str(process) for _, process in members)} on {host}"
            for host, members in groupby(
                sorted(self._members, key=itemgetter(0)), key=itemgetter(0)
            )
        ]
        found = f"{self.size} ranks share each step: processes {'; '.join(of_host)}"
        cores, ranks, _ = self._host
        if ranks > cores:
            found += f", with {cores} cores for {ranks} of them: fewer are faster"
        return found

    def _meet(self, error: BaseException | None, status: int) -> int:
        """Wait for all ranks; the highest status, or raises the error of the first that has one."""
        given_up = math.inf if error is None else time.monotonic() + self._patience
        with _noted_interrupts() as interrupts:
            arrival = self._meeting.Ibarrier()
            while not arrival.Test():  # MPI's own waiting would keep a core busy
                if error is not None and time.monotonic() > given_up:
                    self._abort(error)
                time.sleep(A_LOOK)
            if interrupts:  # the others have had it too
                error = error or KeyboardInterrupt()
            mine = None if error is None else (_words(error), _status(error))
            failures, statuses = zip(*self._meeting.allgather((mine, status)), strict=True)
        first = next((rank for rank, failure in enumerate(failures) if failure), None)
        if first is None:
            return int(max(statuses))
        self._ended = True
        if first == self.rank and error is not None:
            raise error
        message, status = failures[first]
        failure = InputError(f"{self._name(first)}: {message}")
        failure.status = status
        raise failure

    def _name(self, rank: int) -> str:
        return f"rank {rank} on {self._members[rank][0]}"

    def _abort(self, error: BaseException) -> NoReturn:
        sys.stderr = self._errors
        tell(f"error: {self._name(self.rank)}: {_words(error)}; all ranks end")
        time.sleep(A_MOMENT)
        self.communicator.Abort(_status(error))
        os._exit(_status(error))  # Abort may return before it takes effect


def silence_others() -> None:
    """Let the first rank alone speak from here on, so that a wrong option is one line."""
    rank = launched()[0]
    with suppress(ImportError, RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mpi4py tells of another MPI's launcher; so does World
        from mpi4py import MPI

        rank = MPI.COMM_WORLD.Get_rank() or rank
    if rank:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (it stays open)


@contextmanager
def _noted_interrupts() -> Iterator[list[int]]:
    """Within it, Ctrl-C is noted where it would be raised: a meeting is whole, or none."""
    noted: list[int] = []
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, lambda signum, _: noted.append(signum))
    try:
        yield noted
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def launched() -> tuple[int, int]:
    """This process's number, of how many, as mpiexec says it to any program that it starts."""
    for names in (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")):
        rank, size = (os.environ.get(name, "") for name in names)
        if rank.isdecimal() and size.isdecimal():
            return int(rank), int(size)
    return 0, 1


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "its command line isn't understood; give all the same"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or "interrupted"


def _status(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, SystemExit):
        return int(error.code or 0)
    return int(getattr(error, "status", InputError.status if isinstance(error, OSError) else 1))
