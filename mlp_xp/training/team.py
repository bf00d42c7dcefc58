"""Workers that compute together, as one of them sees them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from mlp_xp.types import Array, Arrays

T = TypeVar("T")


class Team:
    """The workers of a training as one of them sees it: number `rank` of `size`. Here, one alone.

    transport: the way that sums take, in words, where it isn't common memory.
    workers/team.py has processes over common memory, ranks.py those that MPI has started.
    """

    rank, size, transport = 0, 1, ""

    def share(self, n: int) -> slice:
        """This worker's share of n things."""
        return share(n, self.rank, self.size)

    def barrier(self) -> None:
        """Wait until every worker has called this as often."""

    def sum(self, addends: Arrays, out: Array) -> Array:
        """The sum of all workers' addends; with one worker it is its addend, and out isn't used."""
        return addends[0]

    def total(self, arrays: Arrays) -> Arrays:
        """The sum over all workers of each array, which may be overwritten."""
        return arrays

    def count(self, n: int) -> int:
        """The sum over all workers of n."""
        return n

    def from_first(self, function: Callable[[], T]) -> T:
        """What a function returns to the first worker, or raises there, for all of them."""
        return function()

    def difference(self, values: Callable[[], dict[str, Hashable]]) -> str | None:
        """Which of some values by name a worker has otherwise, in words; None if none.

        values: returns this worker's; one that is alone doesn't call it.
        """
        return None


def share(n: int, rank: int, size: int) -> slice:
    """A worker's share of n things, of which all have the same number up to one."""
    return slice(n * rank // size, n * (rank + 1) // size)
