"""Processes that compute together: a place in common memory for each, sums, and waiting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from mlp_xp.training.team import Team
from mlp_xp.types import Array, Arrays

SPINS = 200
"""Looks at the others before the core is offered to them: 10 us, less than a wake-up takes."""
PATIENCE = 0.05
"""Seconds of waiting after which a worker sleeps between two looks, as the others are stopped."""

Allocate = Callable[[tuple[int, ...], object], Array]
"""A new array of zeros (shape, dtype), in memory that all workers share, in the same order."""


class SharedTeam(Team):
    """Processes that share memory, as one of them sees them.

    check: called while waiting for long; raises an error if the others are gone.
    """

    def __init__(self, rank: int, size: int, allocate: Allocate, check: Callable[[], None]):
        self.rank, self.size, self.allocate, self.check = rank, size, allocate, check
        # How often each has arrived, in a cache line of its own, as what Python reads fastest.
        lines: Array = allocate((size, 8), np.int64) if size > 1 else np.zeros((1, 8), np.int64)
        arrived = [memoryview(line) for line in lines]
        self.own, self.others = arrived[rank], arrived[:rank] + arrived[rank + 1 :]
        self.arrivals = 0

    def barrier(self) -> None:
        """See Team."""
        self.arrivals = count = self.arrivals + 1
        self.own[0] = count
        for other in self.others:
            spins = 0
            while other[0] < count:
                spins += 1
                if spins > SPINS:
                    self._wait(other, count)

    def _wait(self, other: memoryview[int], count: int) -> None:
        """Wait, leaving the core to others."""
        until = time.monotonic() + PATIENCE
        while other[0] < count:
            if time.monotonic() < until:
                os.sched_yield()
            else:
                self.check()
                time.sleep(0.001)

    def sum(self, addends: Arrays, out: Array) -> Array:
        """Wait for all workers' addends; their sum, in order of rank, in out.

        With one worker it is its addend itself, and out isn't used.
        """
        if self.size == 1:
            return addends[0]
        self.barrier()
        np.add(addends[0], addends[1], out)
        for addend in addends[2:]:
            np.add(out, addend, out)
        return out
