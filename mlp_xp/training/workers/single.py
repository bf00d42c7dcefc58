"""A single worker on a GPU, as steps that a graph can repeat."""

from __future__ import annotations

from collections.abc import Sequence

from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer
from mlp_xp.training.config import Config
from mlp_xp.training.workers.shard import Shard
from mlp_xp.training.workers.team import SharedTeam
from mlp_xp.types import Array, Arrays, Chunk


class SingleWorker:
    """Steps of one batch each; see captured.Windows.

    longest: rows of the longest batch.
    """

    length = 1

    def __init__(
        self,
        network: Network,
        objective: Objective,
        optimizer: Optimizer,
        config: Config,
        longest: int,
        *,
        weighted: bool,
    ):
        self.network, self.optimizer, self.dropout = network, optimizer, config.dropout
        team = SharedTeam(0, 1, network.xp.zeros, check=lambda: None)
        self.shard = Shard(network, objective, optimizer, config, team, longest, weighted=weighted)

    def read(self) -> None:
        """Copy the network's weights and the optimizer's state to the worker's."""
        self.shard.copy(self.network, self.optimizer, back=False)

    def write(self, n_steps: int) -> None:
        """Copy them back."""
        self.shard.copy(self.network, self.optimizer, back=True)

    def state(self) -> Arrays:
        """The worker's weights, and what the optimizer keeps for them."""
        return list(self.shard.flats[0])

    def numbers(self, lrs: Sequence[float], rows: int) -> Sequence[float]:
        """The optimizer's rates in its next step."""
        (lr,) = lrs
        self.optimizer.steps += 1
        rates = self.optimizer.rates(lr)
        return rates if isinstance(rates, tuple) else (rates,)

    def window(self, chunk: Chunk, masks: Arrays | None, numbers: Array) -> Array:
        """Take a step; see captured.Windows."""
        if masks is not None:
            xp, dtype = self.network.xp, self.network.dtype
            masks = [xp.divide(mask, 1 - self.dropout, dtype=dtype) for mask in masks]
        rates = tuple(numbers[i] for i in range(len(numbers)))
        return self.shard.step(chunk, masks, rates if len(rates) > 1 else rates[0])
