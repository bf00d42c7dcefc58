"""Fitting by L-BFGS: SciPy's optimizer with our loss and gradient, on any device."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from mlp_xp.devices.blas import blas_threads_for
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.sklearn.losses import HalfSquaredError, loss_and_gradients
from mlp_xp.sklearn.rows import Loader
from mlp_xp.training.environment import training_environment
from mlp_xp.types import Array, HostArray


class LossOfAll:
    """The mean loss of all rows with its penalty, and the gradient, of weights in one vector.

    theta (P,) float64, on the host, as SciPy has it: each layer's W, then its b. The weights go to
    the device for each evaluation, and the gradient comes back.
    """

    def __init__(self, network: Network, objective: Objective, loader: Loader, alpha: float):
        self.network, self.objective, self.loader, self.alpha = network, objective, loader, alpha
        # The gradient is that of the sum over outputs, so this is what has to be minimized.
        self.outputs = network.sizes[-1] if isinstance(objective, HalfSquaredError) else 1
        is_matrix = [np.full(array.size, array.ndim == 2) for array in network.parameters()]
        self.penalized = np.concatenate(is_matrix)

    def pack(self, arrays: Sequence[Array]) -> HostArray:
        """Arrays in the shapes of the parameters, as one vector."""
        to_host = self.network.device.to_host
        return np.concatenate([to_host(array).ravel() for array in arrays]).astype(np.float64)

    def set_weights(self, theta: HostArray) -> None:
        """Make these the network's weights."""
        start = 0
        for array in self.network.parameters():
            part = theta[start : start + array.size].reshape(array.shape).astype(array.dtype)
            array[...] = self.network.device.to_device(part)
            start += array.size

    def __call__(self, theta: HostArray) -> tuple[float, HostArray]:
        """The loss, and its gradient (P,)."""
        self.set_weights(theta)
        loss, gradient, total = 0.0, np.zeros_like(theta), 0.0
        for chunk in self.loader.chunks():
            weight = float(len(chunk[0]) if chunk[2] is None else chunk[2].sum())
            if weight == 0:
                continue
            mean, _, gradients = loss_and_gradients(self.network, self.objective, 0.0, chunk)
            loss += weight * float(mean) * self.outputs
            gradient += weight * self.pack(gradients)
            total += weight
        decay = self.alpha * np.where(self.penalized, theta, 0)
        return (loss + float(decay @ theta) / 2) / total, (gradient + decay) / total


def fit_lbfgs(
    network: Network, objective: Objective, loader: Loader, parameters: dict[str, Any]
) -> tuple[float, int]:
    """Minimize the loss of all rows, with its penalty. Returns it, and the number of iterations.

    Warns, with a ConvergenceWarning, if it stops at a limit. Raises InputError for a loss that is
    not finite, and KeyboardInterrupt for Ctrl-C.
    """
    loss_of = LossOfAll(network, objective, loader, parameters["alpha"])
    options = {
        "maxfun": parameters["max_fun"],
        "maxiter": parameters["max_iter"],
        "gtol": parameters["tol"],
    }
    start = loss_of.pack(network.parameters())
    rows = min(loader.n_rows, loader.chunk_rows)
    threads = blas_threads_for(rows, network.parameters())
    with training_environment(network.device) as interrupts, threads:

        def evaluate(theta: HostArray) -> tuple[float, HostArray]:
            interrupts.check()
            return loss_of(theta)

        result = minimize(evaluate, start, method="L-BFGS-B", jac=True, options=options)
        loss_of.set_weights(result.x)
    if not math.isfinite(result.fun):
        raise InputError(f"the loss became {result.fun}: scale the inputs, as by StandardScaler")
    iterations = min(int(result.nit), parameters["max_iter"])
    if parameters["verbose"]:
        print(f"lbfgs: {iterations} iterations, loss = {result.fun:.8f}")  # noqa: T201
    if not result.success:
        warnings.warn(
            f"lbfgs stopped after {iterations} iterations ({result.message}); raise max_iter or "
            "max_fun, or scale the inputs, as by StandardScaler",
            ConvergenceWarning, stacklevel=4,
        )  # fmt: skip
    return float(result.fun), iterations
