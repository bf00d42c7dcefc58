"""PyTorch with torch.compile: the whole step, gather to update, as one graph.

As documented: torch.func's grad_and_value and functional_call inside torch.compile
(docs.pytorch.org, torch.func "Whirlwind tour" and "torch.compiler" FAQ on torch.func), static
shapes, the learning rate as a tensor so that a new one compiles nothing ("Running the compiled
optimizer with an LR scheduler"). Compiling the model alone, and model and optimizer each by
itself, took two to three times as long a step here. Inductor needs a C++ compiler on a CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.peers import torch_eager
from bench.problem import PREDICT_ROWS, Array, Problem


class Implementation(torch_eager.Implementation):
    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        super().__init__(problem, X, y)
        model, dtype = self.model, self.dtype
        # The graph changes these in place; being the model's own memory, they are its weights too.
        self.weights = {name: weight.detach() for name, weight in model.named_parameters()}

        def mean_loss(weights: dict[str, Tensor], X: Tensor, y: Tensor) -> Tensor:
            return cross_entropy(torch.func.functional_call(model, weights, (X,)), y)

        @torch.compile(fullgraph=True, dynamic=False)
        def step(
            weights: dict[str, Tensor],
            X: Tensor,
            y: Tensor,
            rows: Tensor,
            lr: Tensor,
            total: Tensor,
        ) -> None:
            gradients, loss = torch.func.grad_and_value(mean_loss)(
                weights, X[rows].to(dtype) / 255, y[rows]
            )
            for name, weight in weights.items():
                weight.sub_(lr * gradients[name])
            total.add_(loss)

        self.step = step
        self.forward = torch.compile(lambda X: model(X.to(dtype) / 255).softmax(1))

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        total = torch.zeros((), dtype=self.dtype)
        each_rate = torch.from_numpy(rates).to(self.dtype)
        for rows, rate in zip(torch.from_numpy(order), each_rate, strict=True):
            self.step(self.weights, self.X, self.y, rows, rate, total)
        return total.item() / len(order)

    @torch.inference_mode()
    def predict(self, X: NDArray[np.uint8]) -> Array:
        parts = torch.from_numpy(X).split(PREDICT_ROWS)
        return torch.cat([self.forward(part) for part in parts]).numpy()
