"""What is measured: networks, batches, numbers of ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from bench.problem import Problem

RANKS = (1, 2, 4)
CROWDED_TURNS = 2
"""The turns with more ranks than two cores: whether they bear it."""
PEERS = {"ours": "mlp_xp", "ddp": "PyTorch"}
WITH_DDP = (1, 2)
"""The numbers of ranks with which PyTorch is measured too."""


@dataclass(frozen=True)
class Case:
    """A network, and a batch: of all ranks together (strong) or of each of them (weak scaling).

    Epochs have the rows of a chunk of mlp_xp's, 2048, or more: what a chunk costs would weigh more
    in smaller ones.
    """

    hidden: tuple[int, ...]
    batch: int
    steps: int
    epochs: int
    turns: int = 5

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.problem(self.batch).sizes

    @property
    def name(self) -> str:
        """What --only calls it."""
        return f"{'-'.join(map(str, self.sizes))}x{self.batch}"

    @property
    def gradient_bytes(self) -> int:
        """Of the numbers that a step adds up over the ranks."""
        return 4 * sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.sizes))

    def problem(self, batch: int) -> Problem:
        """The training, with this batch of all ranks together."""
        rows = batch * self.steps
        return Problem(self.hidden, batch, rows=rows, epochs=self.epochs, lr=0.01)

    def problems(self, ranks: int) -> dict[str, Problem]:
        """By the kind of scaling; one rank has none."""
        if ranks == 1:
            return {"": self.problem(self.batch)}
        return {
            "strong": self.problem(self.batch),
            "weak": self.problem(self.batch * ranks),
        }

    def shortest(self) -> Case:
        """With the fewest steps, to try whether everything runs."""
        return replace(self, steps=1, epochs=2)


CASES = (
    Case((128,), 128, steps=100, epochs=8),
    Case((128,), 512, steps=25, epochs=8),
    Case((1024, 1024), 256, steps=8, epochs=6),
    Case((4096, 4096), 256, steps=8, epochs=2, turns=3),
)
