"""Stands in for training/step.py with momentum or weight decay, in windows like sgd.py's.

Both are linear in the gradients, so what a window does to the first layer is known beforehand up
to the gradients themselves. Let g[i] = X[i]^T U[i] be batch i's, with U[i] = dZ[i]. Before batch j

    W[j] = a[j] W + b[j] V + sum_{i<j} c[j, i] g[i]

with the weights W and the velocity V at the start of the window, and numbers a, b, c that follow
from the learning rates alone. So Z[j] is sgd.py's product once P is a X W + b X V, row by row, and
G's blocks are scaled by c; and the window ends with W[m] and the velocity as such sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import SGD
from mlp_xp.training.windowed.buffers import Buffers
from mlp_xp.training.windowed.layout import by_parameter, copy_arrays
from mlp_xp.training.windowed.sgd import WindowedSGD
from mlp_xp.types import Array, Arrays, HostArray


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

    def read(self) -> None:
        """Copy the network's weights, and their velocities."""
        super().read()
        copy_arrays(self.optimizer.state.get("velocity", []), self._velocities())
        for name in ("momentum", "nesterov", "weight_decay"):  # a callback may have changed them
            setattr(self.above, name, getattr(self.optimizer, name))

    def write(self, n_steps: int) -> None:
        """Copy them back, after so many steps."""
        super().write(n_steps)
        copy_arrays(self._velocities(), self.optimizer.state.get("velocity", []))

    def state(self) -> Arrays:
        """The copies, of velocities too."""
        return [*super().state(), *self._velocities()]

    def numbers(self, lrs: Sequence[float], rows: int) -> HostArray:
        """The rates that make U dZ itself, coefficients(), and the learning rates."""
        optimizer, m = self.optimizer, len(lrs)
        weights, velocity = coefficients(
            lrs, optimizer.momentum, optimizer.nesterov, optimizer.weight_decay
        )
        return np.concatenate([np.full(m, -m / rows), weights.ravel(), velocity, lrs])

    def n_steps(self, numbers: Array) -> int:
        """From the size: of so many rates, then (m + 2)^2 coefficients, then learning rates."""
        return math.isqrt(len(numbers) + 5) - 3

    def lrs(self, numbers: Array) -> Array:
        """The learning rates."""
        return numbers[-self.n_steps(numbers) :]

    def _coefficients(self, numbers: Array) -> Array:
        """(m + 2, m + 2): the weights before each step and after the last, then the velocity."""
        m = self.n_steps(numbers)
        return numbers[m:-m].reshape(m + 2, m + 2)

    def begin(self, buffers: Buffers, XT: Array, W: Array, numbers: Array) -> None:
        """Write P into U, and scale G's blocks."""
        xp, B, m, U = self.xp, buffers.B, buffers.m, buffers.U
        before = self._coefficients(numbers)[:m]
        # The rows of U and G by batch, to scale them by a number each.
        by_batch = U.reshape(m, B, -1)
        self.product(XT.T, W, U)
        by_batch *= before[:, 0, None, None]
        if self.optimizer.momentum:
            from_V = xp.empty_like(U)
            self.product(XT.T, self.V, from_V)
            by_batch += from_V.reshape(m, B, -1) * before[:, 1, None, None]
        if buffers.symmetric and m > 1:
            # c is 0 on its diagonal, where G has the identity.
            scale = before[:, 2:] + xp.eye(m, dtype=W.dtype)
            blocks = buffers.G[0].reshape(m, B, m, B)
            blocks *= scale[:, None, :, None]
        elif not buffers.symmetric:
            for j in range(1, m):
                blocks = buffers.G[j].reshape(B, j, B)
                blocks *= before[j, 2 : 2 + j, None]

    def end(self, buffers: Buffers, XT: Array, W: Array, numbers: Array) -> None:
        """Set W and V to their values after the window's last step."""
        m = buffers.m
        *_, last, velocity = self._coefficients(numbers)

        def after(numbers: Array) -> Array:
            scaled = buffers.U.reshape(m, buffers.B, -1) * numbers[2:, None, None]
            total = self.xp.empty_like(W)
            self.product(XT, scaled.reshape(buffers.U.shape), total)
            total += numbers[0] * W
            if self.optimizer.momentum:
                total += numbers[1] * self.V
            return total

        weights = after(last)
        if self.optimizer.momentum:
            self.V[...] = after(velocity)
        W[...] = weights

    def update_above(self, buffers: Buffers, lr: Array) -> None:
        """The ordinary step of the layers above the first."""
        self.above.step(self.upper, buffers.dWTs, lr)
