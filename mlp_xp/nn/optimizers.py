"""How gradients change weights: arithmetic on arrays, in place, that never waits for a device.

Each follows PyTorch's of the same name. To add one, write `update_one` and register the class:

    OPTIMIZERS["sign_sgd"] = SignSGD
"""

import math
from collections.abc import Sequence
from typing import Any

from mlp_xp.errors import InputError
from mlp_xp.types import Array, Namespace


class Optimizer:
    """Changes parameters step by step. Config fills a constructor's arguments by their names.

    slots: the names of the arrays kept for each parameter. `steps`, the number of steps taken, and
    `state`, those arrays by slot, are all that a bit-for-bit resume needs.
    """

    slots: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.steps = 0
        self.state: dict[str, list[Array]] = {}

    def initialize(self, parameters: Sequence[Array]) -> None:
        """Set the state for these parameters to zeros."""
        self.state = {slot: [0 * array for array in parameters] for slot in self.slots}

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], lr: float) -> None:
        """Change every parameter in place; overwrites the gradients."""
        if not self.state:
            self.initialize(parameters)
        self.steps += 1
        columns = zip(parameters, gradients, *self.state.values(), strict=True)
        for parameter, gradient, *slots in columns:
            self.update_one(parameter, gradient, lr, *slots)

    def rates(self, lr: float) -> float | tuple[float, ...]:
        """What follows from lr in the step that `steps` counts: update_one() takes it as lr too."""
        return lr

    def update_one(self, parameter: Array, gradient: Array, lr: Any, *slots: Array) -> None:
        """Change one parameter, and its array in each slot, in place; `steps` counts this one."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent (Robbins, Monro 1951), with momentum v.

        g = gradient + weight_decay theta
        v <- momentum v + g                                      Polyak 1964
        theta <- theta - lr v,   or  theta - lr (g + momentum v) with nesterov
                                                                 Sutskever et al. 2013, section 2
    Raises InputError for nesterov without momentum.
    """

    def __init__(self, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0):
        super().__init__()
        if nesterov and not momentum:
            raise InputError("nesterov needs a momentum above 0")
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.slots = ("velocity",) if momentum else ()

    def update_one(self, parameter: Array, gradient: Array, lr: Any, *slots: Array) -> None:
        if self.weight_decay:
            gradient += self.weight_decay * parameter
        for velocity in slots:
            velocity *= self.momentum
            velocity += gradient
            if self.nesterov:
                gradient += self.momentum * velocity
            else:
                gradient[...] = velocity
        gradient *= lr
        parameter -= gradient


class Adam(Optimizer):
    """Adam (Kingma, Ba 2015, algorithm 1), with weight decay as part of the gradient.

    g = gradient + weight_decay theta
    m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
    theta <- theta - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
    """

    slots = ("m", "v")
    decoupled = False

    def __init__(
        self, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
    ):
        super().__init__()
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def rates(self, lr: float) -> tuple[float, ...]:
        """The corrected rate, the eps that goes with it, and what decoupled decay leaves."""
        beta1, beta2 = self.betas
        c = math.sqrt(1 - beta2**self.steps)  # m / (sqrt(v) / c + eps) = c m / (sqrt(v) + c eps)
        return c * lr / (1 - beta1**self.steps), c * self.eps, 1 - lr * self.weight_decay

    def update_one(self, parameter: Array, gradient: Array, lr: Any, *slots: Array) -> None:
        (m, v), (beta1, beta2) = slots, self.betas
        rate, eps, kept = lr if isinstance(lr, tuple) else self.rates(lr)
        if self.weight_decay and self.decoupled:
            parameter *= kept
        elif self.weight_decay:
            gradient += self.weight_decay * parameter
        m *= beta1
        gradient *= 1 - beta1
        m += gradient
        v *= beta2
        gradient *= gradient
        gradient *= (1 - beta2) / (1 - beta1) ** 2
        v += gradient
        update = v**0.5
        update += eps
        update = m / update
        update *= rate
        parameter -= update


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019, algorithm 2).

    theta <- (1 - lr weight_decay) theta before Adam's step, whose g is the gradient alone.
    """

    decoupled = True


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def clip_gradients(xp: Namespace, gradients: Sequence[Array], max_norm: float) -> None:
    """Scale all gradients, in place, so that their common Euclidean norm is at most max_norm.

        scale = min(1, max_norm / (norm + 1e-6))       Pascanu et al. 2013, algorithm 1
    with PyTorch's 1e-6, for a norm of 0. The norm stays on the device.
    """
    norm = xp.sqrt(sum(xp.vdot(gradient, gradient) for gradient in gradients))
    scale = xp.minimum(max_norm / (norm + 1e-6), 1)
    for gradient in gradients:
        gradient *= scale
