"""tinygrad on its CPU device, with the step under TinyJit.

As documented in docs.tinygrad.org "MNIST tutorial" and the project's examples/beautiful_mnist.py:
the data lives on the device and rows are gathered there; optimizer and loss are scheduled and
realized together inside one TinyJit. BEAM=2, its search for faster kernels, took a quarter off the
step for five to ten times the compile time, far too little to change the order of the peers. The
CPU device needs clang.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tinygrad import nn
from tinygrad.engine.jit import TinyJit
from tinygrad.helpers import Context
from tinygrad.tensor import Tensor

from bench.peers import Peer
from bench.problem import Labels, Problem, Rows


class Jit(Peer):
    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        self.weights = [Tensor(array).is_param_() for layer in problem.weights() for array in layer]
        self.optimizer = nn.optim.SGD(self.weights, lr=problem.lr)
        self.X, self.y = Tensor(X).realize(), Tensor(y.astype(np.int32)).realize()
        self.total = Tensor.zeros(1).contiguous().realize()
        self.step = TinyJit(self._step)

    def logits(self, X: Tensor) -> Tensor:
        A = X.cast(self.weights[0].dtype) / 255
        for i in range(0, len(self.weights), 2):
            A = (A.relu() if i else A) @ self.weights[i] + self.weights[i + 1]
        return A

    @Context(TRAINING=1)
    def _step(self, rows: Tensor, rate: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        self.optimizer.lr.assign(rate)
        loss = self.logits(self.X[rows]).sparse_categorical_crossentropy(self.y[rows]).backward()
        self.total.assign(self.total + loss)
        return self.total.realize(*self.optimizer.schedule_step(), self.optimizer.lr)

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        self.total.assign(Tensor.zeros(1).contiguous()).realize()
        each_rate = rates.astype(np.float32).reshape(-1, 1)
        for rows, rate in zip(order.astype(np.int32), each_rate, strict=True):
            self.step(Tensor(rows), Tensor(rate))
        return float(self.total.item()) / len(order)
