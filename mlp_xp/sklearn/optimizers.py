"""Where scikit-learn's optimizers round or scale otherwise than PyTorch's, whose form ours have.

Facts from scikit-learn 1.9, sklearn/neural_network/_stochastic_optimizers.py.
"""

import math
from typing import Any

from mlp_xp.nn.optimizers import SGD, Adam, Optimizer
from mlp_xp.types import Array


class VelocityOfSteps(SGD):
    """SGD whose velocity holds steps, so that a new learning rate doesn't scale the old ones.

    v <- momentum v - lr g
    theta <- theta + v,   or  theta + momentum v - lr g with nesterov
    """

    def update_one(self, parameter: Array, gradient: Array, lr: float, *slots: Array) -> None:
        """Change the parameter and its velocity in place."""
        gradient *= -lr
        for velocity in slots:
            velocity *= self.momentum
            velocity += gradient
            if self.nesterov:
                gradient += self.momentum * velocity
            else:
                gradient[...] = velocity
        parameter += gradient


class UncorrectedEpsilon(Adam):
    """Adam with eps added before the correction of v: Kingma, Ba 2015, the end of section 2.

    theta <- theta - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)
    """

    def update_one(self, parameter: Array, gradient: Array, lr: float, *slots: Array) -> None:
        """Change the parameter, m and v in place."""
        m, v = slots
        beta1, beta2 = self.betas
        m *= beta1
        m += (1 - beta1) * gradient
        v *= beta2
        gradient *= gradient
        gradient *= 1 - beta2
        v += gradient
        root = v**0.5
        root += self.eps
        update = m / root
        update *= lr * math.sqrt(1 - beta2**self.steps) / (1 - beta1**self.steps)
        parameter -= update


def new_optimizer(parameters: dict[str, Any]) -> Optimizer:
    """The solver's optimizer, as scikit-learn computes it."""
    if parameters["solver"] == "adam":
        betas = parameters["beta_1"], parameters["beta_2"]
        return UncorrectedEpsilon(betas, parameters["epsilon"])
    momentum = parameters["momentum"]
    constant = parameters["learning_rate"] == "constant" and parameters["schedule"] is None
    kind = SGD if constant or not momentum else VelocityOfSteps
    return kind(momentum, bool(momentum) and parameters["nesterovs_momentum"])
