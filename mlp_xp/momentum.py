"""Exact SGD with momentum or weight decay, in windows as windowed.py has them.

Both are linear in the gradients, so what a window does to the first layer is known beforehand up
to the gradients themselves. Let g[i] = X[i]^T U[i] be batch i's, with U[i] = dZ[i]. Before batch j

    W[j] = a[j] W + b[j] V + sum_{i<j} c[j, i] g[i]

with the weights W and the velocity V at the window's begin, and numbers a, b, c that follow from
the learning rates alone. So Z[j] is windowed.py's product once P is a X W + b X V, row by row, and
G's blocks are scaled by c; and the window ends with W[m] and the velocity as such sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlp_xp.functions import Array
from mlp_xp.optimizers import SGD
from mlp_xp.windowed import Buffers, WindowedStepper

if TYPE_CHECKING:
    from mlp_xp.network import Network


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


class MomentumStepper(WindowedStepper):
    """SGD with momentum, Nesterov's or not, and weight decay: a steps.Stepper.

    The velocities are the stepper's own arrays; the optimizer's state becomes views of them.
    """

    def __init__(
        self, network: Network, batch_size: int, optimizer: SGD, length: int | None = None
    ):
        super().__init__(network, batch_size, length)
        # Weights of dead inputs move as well, and a window is never taken twice.
        self.only_live, self.always_shift = False, True
        self.optimizer = optimizer
        self.above = SGD(optimizer.momentum, optimizer.nesterov, optimizer.weight_decay)
        if optimizer.momentum:
            self.V = 0 * self.W
            above = [0 * WT for WT in self.upper]
            self.above.keep_in({"velocity": above})
            views = [part for V in [self.V, *(VT.T for VT in above)] for part in (V[:-1], V[-1])]
            optimizer.keep_in({"velocity": views})

    def rate(self, lr: float, rows: int) -> float:
        """With it, U is dZ itself: the learning rate is part of the coefficients."""
        return -1 / rows

    def begin(self, buffers: Buffers, XT: Array, W: Array, lrs: Sequence[float]) -> None:
        """P into U, and G's blocks scaled."""
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
        """W and V as they are after the window's last step."""

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
        self.optimizer.steps += buffers.m

    def update_above(self, buffers: Buffers, lr: float) -> None:
        """The ordinary step of the layers above the first."""
        self.above.step(self.upper, buffers.dWTs, lr)
