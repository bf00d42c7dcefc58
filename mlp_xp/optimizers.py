"""How gradients change weights, and how the learning rate changes with time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlp_xp.functions import Array

SCHEDULES: dict[str, Callable[[float], float]] = {
    # The factor on the learning rate after a fraction t in [0, 1) of all steps.
    "constant": lambda t: 1.0,
    "linear": lambda t: 1.0 - t,
}


class SGD:
    """Stochastic gradient descent (Robbins, Monro 1951):  theta <- theta - lr d loss / d theta."""

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], lr: float) -> None:
        """Change every parameter in place; the gradients are used up."""
        for parameter, gradient in zip(parameters, gradients, strict=True):
            gradient *= lr
            parameter -= gradient
