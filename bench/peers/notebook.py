"""The notebook's loop in plain NumPy, one sample per update, written from its formulas.

    z1 = W1 x + b1,  a1 = max(0, z1),  z2 = W2 a1 + b2,  p = softmax(z2),  loss = -log(p[y] + 1e-12)
    dz2 = p - y,  dW2 = dz2 a1^T,  dz1 = (W2^T dz2) * (z1 > 0),  dW1 = dz1 x^T,  each times lr

Inputs are scaled once, before the loop, as in the notebook. np.outer is NumPy's fastest outer
product at this size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.peers import Peer
from bench.problem import Array, Labels, Problem, Rows


class Loop(Peer):
    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        (W1, b1), (W2, b2) = problem.weights()
        self.W1, self.b1 = np.ascontiguousarray(W1.T), b1
        self.W2, self.b2 = np.ascontiguousarray(W2.T), b2
        self.X, self.Y = self.scaled(X), np.eye(10, dtype=problem.dtype)[y]

    def scaled(self, X: Rows) -> Array:
        return X.astype(np.float32) / np.float32(255)

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        W1, b1, W2, b2 = self.W1, self.b1, self.W2, self.b2
        total = 0.0
        for i, lr in zip(order.ravel().tolist(), rates.tolist(), strict=True):
            x, y = self.X[i], self.Y[i]
            z1 = W1 @ x + b1
            a1 = np.maximum(0, z1)
            z2 = W2 @ a1 + b2
            exp = np.exp(z2 - z2.max())
            p = exp / exp.sum()
            total -= float(np.sum(y * np.log(p + 1e-12)))
            dz2 = p - y
            dz1 = (W2.T @ dz2) * (z1 > 0)
            W2 -= lr * np.outer(dz2, a1)
            b2 -= lr * dz2
            W1 -= lr * np.outer(dz1, x)
            b1 -= lr * dz1
        return total / order.size

    def predict(self, X: Rows) -> Array:
        A = np.maximum(0, self.scaled(X) @ self.W1.T + self.b1)
        Z = A @ self.W2.T + self.b2
        exp = np.exp(Z - Z.max(axis=1, keepdims=True))
        probabilities: Array = exp / exp.sum(axis=1, keepdims=True)
        return probabilities

    def save(self, path: Path) -> None:
        np.savez(path.with_suffix(".npz"), W1=self.W1, b1=self.b1, W2=self.W2, b2=self.b2)
