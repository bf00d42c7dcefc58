"""Stands in for training/step.py with momentum or weight decay, in windows like sgd.py's.

Both are linear in the gradients, so what a window does to the first layer is known beforehand up
to the gradients themselves. Let g[i] = X[i]^T U[i] be batch i's, with U[i] = dZ[i]. Before batch j

    W[j] = a[j] W + b[j] V + sum_{i<j} c[j, i] g[i]

with the weights W and the velocity V at the start of the window, and numbers a, b, c that follow
from the learning rates alone. So Z[j] is sgd.py's product once P is a X W + b X V, row by row, and
G's blocks are scaled by c; and the window ends with W[m] and the velocity as such sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import SGD
from mlp_xp.training.windowed.buffers import Buffers
from mlp_xp.training.windowed.layout import by_parameter, copy_arrays
from mlp_xp.training.windowed.sgd import WindowedSGD
from mlp_xp.types import Array


def coefficients(
    lrs: Sequence[float], momentum: float, nesterov: bool, weight_decay: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What m steps of optimizers.SGD make of weights and velocity, as sums.

    The columns stand for W, V and the m gradients. Returns the weights before each step and after
    the last, (m + 1, m + 2), and the velocity after the last, (m + 2,).
    """
    m = len(lrs)
    weights, velocity = np.zeros((m + 1, m + 2)), np.zeros(m + 2)
    weights[0, 0] = velocity[1] = 1
    for j, lr in enumerate(lrs):
        gradient = weight_decay * weights[j]
        gradient[2 + j] += 1
        velocity = momentum * velocity + gradient
        step = gradient + momentum * velocity if nesterov else velocity
        weights[j + 1] = weights[j] - lr * step
    return weights, velocity


class WindowedMomentum(WindowedSGD):
    """SGD with momentum, Nesterov's or not, and weight decay: a TrainStep.

    The velocities too are copies, read from the optimizer and written back with the weights.
    """

    skips_dead_inputs = False  # their weights still decay and follow their velocity
    needs_shift = True  # velocities can't be undone

    def __init__(
        self,
        network: Network,
        optimizer: SGD,
        batch_size: int,
        length: int | None = None,
        threads: int = 1,
    ):
        super().__init__(network, optimizer, batch_size, length, threads)
        self.above = SGD(optimizer.momentum, optimizer.nesterov, optimizer.weight_decay)
        self.above.initialize(self.upper)
        if optimizer.momentum:
            self.V = 0 * self.W

    def _velocities(self) -> list[Array]:
        """Views of the copies of the velocities, one for each parameter; none without momentum."""
        if not self.optimizer.momentum:
            return []
        return by_parameter(self.V, self.above.state["velocity"])

    def _read(self) -> None:
        super()._read()
        copy_arrays(self.optimizer.state.get("velocity", []), self._velocities())

    def _write(self, n_steps: int) -> None:
        super()._write(n_steps)
        copy_arrays(self._velocities(), self.optimizer.state.get("velocity", []))

    def rate(self, lr: float, rows: int) -> float:
        """The rate that makes U dZ itself: the learning rate is part of the coefficients."""
        return -1 / rows

    def begin(self, buffers: Buffers, XT: Array, W: Array, lrs: Sequence[float]) -> None:
        """Write P into U, and scale G's blocks."""
        xp, optimizer, B = self.xp, self.optimizer, buffers.B
        weights, velocity = coefficients(
            lrs, optimizer.momentum, optimizer.nesterov, optimizer.weight_decay
        )
        self.last, self.velocity = weights[-1], velocity
        before = xp.asarray(weights[:-1], dtype=W.dtype)
        self.product(XT.T, W, buffers.U)
        buffers.U *= xp.repeat(before[:, 0], B)[:, None]
        if optimizer.momentum:
            buffers.U += xp.dot(XT.T, self.V) * xp.repeat(before[:, 1], B)[:, None]
        if buffers.symmetric and buffers.m > 1:
            # c is 0 on its diagonal, where G has the identity.
            scale = before[:, 2:] + xp.eye(buffers.m, dtype=W.dtype)
            buffers.G[0] *= xp.repeat(xp.repeat(scale, B, axis=0), B, axis=1)
        elif not buffers.symmetric:
            for j in range(1, buffers.m):
                buffers.G[j] *= xp.repeat(before[j, 2 : 2 + j], B)

    def end(self, buffers: Buffers, XT: Array, W: Array) -> None:
        """Set W and V to their values after the window's last step."""

        def after(numbers: NDArray[np.float64]) -> Array:
            by_row = self.xp.repeat(self.xp.asarray(numbers[2:], dtype=W.dtype), buffers.B)
            total = self.xp.dot(XT, buffers.U * by_row[:, None])
            total += float(numbers[0]) * W
            if self.optimizer.momentum:
                total += float(numbers[1]) * self.V
            return total

        weights = after(self.last)
        if self.optimizer.momentum:
            self.V[...] = after(self.velocity)
        W[...] = weights

    def update_above(self, buffers: Buffers, lr: float) -> None:
        """The ordinary step of the layers above the first."""
        self.above.step(self.upper, buffers.dWTs, lr)
