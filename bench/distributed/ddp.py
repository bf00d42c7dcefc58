"""PyTorch's DistributedDataParallel with gloo, in processes of one thread.

As documented on docs.pytorch.org: "Getting Started with Distributed Data Parallel" for the set-up
and torchrun; DistributedDataParallel for gradient_as_bucket_view and static_graph, which save a
copy of the gradients and a search of the graph. Each process takes its rows of a batch from tensors
in memory, as many as DistributedSampler would give it; a DataLoader would add its own cost. One
process trains without it.
"""

from __future__ import annotations

import os

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bench.peers.pytorch import Eager
from bench.problem import Labels, Problem, Rows


class DDP(Eager):
    """Eager, on the ranks of torchrun."""

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        torch.set_num_threads(1)
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("gloo")
        super().__init__(problem, X, y)

    def build(self) -> nn.Module:  # type: ignore[override]
        model = super().build()
        if self.size == 1:
            return model
        return DistributedDataParallel(model, gradient_as_bucket_view=True, static_graph=True)

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        own = order.reshape(len(order), self.size, -1)[:, self.rank]
        loss = torch.tensor(super().epoch(np.ascontiguousarray(own), rates))
        if self.size > 1:
            dist.all_reduce(loss)
        return loss.item() / self.size
