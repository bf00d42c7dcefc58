"""Which weights a worker has: columns of one layer, rows of the next, in an array of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlp_xp.nn.network import Dense
from mlp_xp.training.team import share
from mlp_xp.types import Array


@dataclass(frozen=True)
class Part:
    """A worker's part of a layer: the weights of these inputs (rows) and outputs (columns).

    has_bias: whether it has the biases of its outputs. Where workers add up a layer's outputs, one
    has them; the others have zeros, and units of 0 in place of the column of ones. is_summed:
    whether the outputs are such sums.
    """

    rows: slice
    columns: slice
    has_bias: bool = True
    is_summed: bool = False

    @property
    def n_in(self) -> int:
        """Inputs, without the one of the biases."""
        return int(self.rows.stop - self.rows.start)

    @property
    def n_out(self) -> int:
        """Outputs."""
        return int(self.columns.stop - self.columns.start)

    @property
    def size(self) -> int:
        """Weights, the biases' row included."""
        return (self.n_in + 1) * self.n_out

    def pairs(self, own: Array, layer: Dense) -> Iterator[tuple[Array, Array]]:
        """Views of a worker's weights (n_in + 1, n_out), and of the same in the layer."""
        yield own[:-1], layer.W[self.rows, self.columns]
        if self.has_bias:
            yield own[-1], layer.b[self.columns]


def parts(sizes: Sequence[int], rank: int, size: int) -> list[Part]:
    """A worker's part of each layer: its columns and its rows in turn, the last one alone whole."""
    found = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        if i % 2:
            rows = share(n_in, rank, size)
            found.append(Part(rows, slice(0, n_out), has_bias=rank == 0, is_summed=True))
        else:
            alone = i + 2 == len(sizes)
            columns = slice(0, n_out) if alone else share(n_out, rank, size)
            found.append(Part(slice(0, n_in), columns))
    return found


def cut(flat: Array, parts: Sequence[Part]) -> list[Array]:
    """Views of a flat array, (n_in + 1, n_out) for each part, one after another."""
    views, start = [], 0
    for part in parts:
        views.append(flat[start : start + part.size].reshape(part.n_in + 1, part.n_out))
        start += part.size
    return views
