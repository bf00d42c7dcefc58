"""PyTorch in its three documented ways: eager, with torch.compile, and as a CUDA graph.

The data is one uint8 tensor on the device from which steps take rows: a DataLoader would add its
own cost to each row, and floats took as long as bytes. Threads come from OMP_NUM_THREADS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.peers import Peer
from bench.problem import BETAS, EPSILON, PREDICT_ROWS, SEED, Array, Labels, Problem, Rows


class Eager(Peer):
    """nn.Sequential, cross_entropy and torch.optim in the loop of PyTorch's tutorials.

    As documented on docs.pytorch.org: "Optimizing model parameters" for the loop; "Performance
    tuning guide" for gradients set to None, no reading of the loss inside the loop, and
    inference_mode; torch.optim for fused=True, the fastest implementation according to it.
    torch.index_select takes the rows: up to a tenth quicker for the whole step than X[rows].
    torch.set_flush_denormal, as JAX does unasked: up to a tenth with momentum and Adam.
    """

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        torch.manual_seed(SEED)  # for dropout
        torch.set_flush_denormal(True)
        self.device, self.dtype = problem.device, getattr(torch, problem.dtype)
        self.model = self.build().to(self.device)
        self.optimizer = self.build_optimizer()
        self.X, self.y = torch.from_numpy(X).to(self.device), torch.from_numpy(y).to(self.device)
        self.total = torch.zeros((), dtype=self.dtype, device=self.device)

    def build(self) -> nn.Sequential:
        """The network with the problem's weights."""
        modules: list[nn.Module] = []
        for W, b in self.problem.weights():
            if modules:
                modules.append(nn.ReLU())
            if modules and self.problem.dropout:
                modules.append(nn.Dropout(self.problem.dropout))
            layer = nn.Linear(W.shape[0], W.shape[1], dtype=self.dtype)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(W.T))
                layer.bias.copy_(torch.from_numpy(b))
            modules.append(layer)
        return nn.Sequential(*modules)

    def build_optimizer(self) -> torch.optim.Optimizer:
        parameters, problem = self.model.parameters(), self.problem
        if problem.optimizer == "adam":
            return torch.optim.Adam(parameters, problem.lr, BETAS, EPSILON, fused=True)
        return torch.optim.SGD(parameters, problem.lr, problem.momentum, fused=True)

    def step(self, rows: Tensor) -> None:
        logits = self.model(self.X.index_select(0, rows).to(self.dtype) / 255)
        loss = cross_entropy(logits, self.y.index_select(0, rows))
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        self.total.zero_()
        steps = torch.from_numpy(order).to(self.device)
        group = self.optimizer.param_groups[0]
        for rows, group["lr"] in zip(steps, rates.tolist(), strict=True):
            self.optimizer.zero_grad()
            self.step(rows)
        return self.total.item() / len(order)

    def forward(self, X: Tensor) -> Tensor:
        return self.model(X.to(self.dtype) / 255).softmax(1)

    @torch.inference_mode()
    def predict(self, X: Rows) -> Array:
        self.model.eval()
        parts = torch.from_numpy(X).to(self.device).split(PREDICT_ROWS)
        return torch.cat([self.forward(part) for part in parts]).cpu().numpy()

    def save(self, path: Path) -> None:
        torch.save(self.model.state_dict(), path.with_suffix(".pt"))


def direction(problem: Problem, gradient: Tensor, moments: list[Tensor], steps: Tensor) -> Tensor:
    """What a step subtracts, before the learning rate; changes the moments in place."""
    if problem.optimizer == "adam":
        m, v = moments
        beta1, beta2 = BETAS
        m.mul_(beta1).add_((1 - beta1) * gradient)
        v.mul_(beta2).add_((1 - beta2) * gradient * gradient)
        return m / (1 - beta1**steps) / ((v / (1 - beta2**steps)).sqrt() + EPSILON)
    for velocity in moments:
        gradient = velocity.mul_(problem.momentum).add_(gradient)
    return gradient


class Compiled(Eager):
    """torch.compile over the whole step, from gathering the rows to the update, as one graph.

    As documented: torch.func's grad_and_value and functional_call inside torch.compile
    (docs.pytorch.org, torch.func "Whirlwind tour" and the torch.compiler FAQ on torch.func), static
    shapes, the learning rate as a tensor so that a new one doesn't recompile ("Running the compiled
    optimizer with an LR scheduler"). Compiling the model alone, or model and optimizer separately,
    took two to three times as long per step. Inductor needs a C++ compiler on a CPU.
    """

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        model, dtype = self.model, self.dtype
        # The graph updates these in place; the weights share the model's memory.
        self.weights = {name: weight.detach() for name, weight in model.named_parameters()}
        slots = 2 if problem.optimizer == "adam" else int(problem.momentum > 0)
        self.moments = {
            name: [torch.zeros_like(weight) for _ in range(slots)]
            for name, weight in self.weights.items()
        }
        self.steps = torch.zeros((), dtype=dtype, device=self.device)

        def mean_loss(weights: dict[str, Tensor], X: Tensor, y: Tensor) -> Tensor:
            return cross_entropy(torch.func.functional_call(model, weights, (X,)), y)

        @torch.compile(fullgraph=True, dynamic=False)
        def step(
            weights: dict[str, Tensor],
            moments: dict[str, list[Tensor]],
            X: Tensor,
            y: Tensor,
            rows: Tensor,
            lr: Tensor,
            steps: Tensor,
            total: Tensor,
        ) -> None:
            gradients, loss = torch.func.grad_and_value(mean_loss)(
                weights, X[rows].to(dtype) / 255, y[rows]
            )
            steps.add_(1)
            for name, weight in weights.items():
                weight.sub_(lr * direction(problem, gradients[name], moments[name], steps))
            total.add_(loss)

        self.compiled_step = step
        self.forward = torch.compile(lambda X: model(X.to(dtype) / 255).softmax(1))

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        self.total.zero_()
        steps = torch.from_numpy(order).to(self.device)
        each_rate = torch.from_numpy(rates).to(self.device, self.dtype)
        for rows, rate in zip(steps, each_rate, strict=True):
            self.compiled_step(
                *(self.weights, self.moments, self.X, self.y, rows, rate, self.steps, self.total)
            )
        return self.total.item() / len(order)


class CUDAGraph(Eager):
    """The eager step, captured once and replayed: docs.pytorch.org, "CUDA Graphs".

    The learning rate is captured too, so it must be constant. Adam has to be told that its steps
    will be captured.
    """

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        self.rows = torch.zeros(problem.batch_size, dtype=torch.int64, device=self.device)
        initial = [parameter.detach().clone() for parameter in self.model.parameters()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.optimizer.zero_grad()
                self.step(self.rows)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad()
        with torch.cuda.graph(self.graph):
            self.step(self.rows)
        # The warm-up has trained already: restore the weights that all peers start from, and Adam's
        # averages and number of steps.
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), initial, strict=True):
                parameter.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    if value is not None:  # SGD's momentum, where it has none
                        value.zero_()

    def build_optimizer(self) -> torch.optim.Optimizer:
        optimizer = super().build_optimizer()
        if self.problem.optimizer == "adam":
            optimizer.param_groups[0]["capturable"] = True
        return optimizer

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        self.total.zero_()
        for rows in torch.from_numpy(order).to(self.device):
            self.rows.copy_(rows)
            self.graph.replay()
        return self.total.item() / len(order)
