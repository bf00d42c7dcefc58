"""PyTorch, eager: nn.Sequential, cross_entropy and torch.optim.SGD in the loop of its tutorials.

As documented: docs.pytorch.org "Optimizing model parameters" for the loop; "Performance tuning
guide" for gradients set to None, no reading of the loss inside the loop, and inference_mode;
torch.optim for fused=True, named there as the fastest implementation. The data is one uint8 tensor
that steps index: a DataLoader would add its own cost for each row. Threads come from
OMP_NUM_THREADS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from bench.peers import Peer
from bench.problem import PREDICT_ROWS, Array, Problem


def build(problem: Problem) -> nn.Sequential:
    """The network with the problem's weights."""
    modules: list[nn.Module] = []
    for W, b in problem.weights():
        layer = nn.Linear(W.shape[0], W.shape[1], dtype=getattr(torch, problem.dtype))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(W.T))
            layer.bias.copy_(torch.from_numpy(b))
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class Implementation(Peer):
    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        super().__init__(problem, X, y)
        self.model = build(problem)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=problem.lr, fused=True)
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        self.dtype = getattr(torch, problem.dtype)

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        total = torch.zeros((), dtype=self.dtype)
        group = self.optimizer.param_groups[0]
        for rows, group["lr"] in zip(torch.from_numpy(order), rates.tolist(), strict=True):
            self.optimizer.zero_grad()
            logits = self.model(self.X[rows].to(self.dtype) / 255)
            loss = cross_entropy(logits, self.y[rows])
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
        return total.item() / len(order)

    @torch.inference_mode()
    def predict(self, X: NDArray[np.uint8]) -> Array:
        parts = (part.to(self.dtype) / 255 for part in torch.from_numpy(X).split(PREDICT_ROWS))
        return torch.cat([self.model(part).softmax(1) for part in parts]).numpy()

    def save(self, path: Path) -> None:
        torch.save(self.model.state_dict(), path.with_suffix(".pt"))
