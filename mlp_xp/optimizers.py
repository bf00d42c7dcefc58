"""How gradients change weights, and how the learning rate changes with time.

The optimizers are arithmetic on whatever arrays they are given, in place: nothing here waits for
a device. Each follows PyTorch's optimizer of the same name, and weight decay acts on every
parameter, biases too, as it does there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from mlp_xp.errors import InputError
from mlp_xp.functions import Array, Namespace


class Optimizer:
    """Changes parameters step by step, and keeps `slots`: arrays like them that it remembers.

    steps: how many steps were taken. A run goes on to the same bits from `steps` and state().
    """

    slots: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.steps = 0
        self._kept: dict[str, list[Array]] = {}

    def step(self, parameters: Sequence[Array], gradients: Sequence[Array], lr: float) -> None:
        """Change every parameter in place; the gradients are used up."""
        if not self._kept:
            self._kept = {slot: [0 * array for array in parameters] for slot in self.slots}
        self.steps += 1
        for parameter, gradient, *kept in zip(
            parameters, gradients, *self._kept.values(), strict=True
        ):
            self._update(parameter, gradient, lr, *kept)

    def _update(self, parameter: Array, gradient: Array, lr: float, *kept: Array) -> None:
        """Change one parameter and what is kept of it, in place."""
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """What is kept, as `slot.i` for parameter i: the arrays themselves; none before step 1."""
        kept = self._kept.items() if self.steps else ()
        return {f"{slot}.{i}": array for slot, arrays in kept for i, array in enumerate(arrays)}

    def keep_in(self, arrays: dict[str, list[Array]]) -> None:
        """Keep each slot in these arrays, one for each parameter, and not in new ones."""
        self._kept = arrays

    def load_state(
        self, parameters: Sequence[Array], state: Mapping[str, Array], steps: int
    ) -> None:
        """Go on from a copy of another's state() and `steps`, with the same parameters.

        state: arrays on the device of the parameters. Raises InputError if it doesn't fit them.
        """
        count = len(parameters) if steps else 0
        wanted = {f"{slot}.{i}": parameters[i] for slot in self.slots for i in range(count)}
        for name in sorted(wanted.keys() ^ state.keys()):
            problem = "lacks" if name in wanted else "has an unknown"
            raise InputError(f"the optimizer's state {problem} '{name}'")
        for name, parameter in wanted.items():
            array = state[name]
            if (array.shape, array.dtype) != (parameter.shape, parameter.dtype):
                raise InputError(
                    f"the optimizer's '{name}' is {array.dtype} {array.shape}, "
                    f"its parameter {parameter.dtype} {parameter.shape}"
                )
        self.steps = steps
        if steps and not self._kept:
            self._kept = {slot: [0 * array for array in parameters] for slot in self.slots}
        for name in wanted:
            slot, _, i = name.rpartition(".")
            self._kept[slot][int(i)][...] = state[name]


class SGD(Optimizer):
    """Stochastic gradient descent (Robbins, Monro 1951), with momentum v.

        g = gradient + weight_decay theta
        v <- momentum v + g                                      Polyak 1964
        theta <- theta - lr v,   or  theta - lr (g + momentum v) with nesterov
                                                                 Sutskever et al. 2013, section 2
    Raises InputError for nesterov without momentum.
    """

    def __init__(
        self, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__()
        if nesterov and not momentum:
            raise InputError("nesterov needs a momentum above 0")
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.slots = ("velocity",) if momentum else ()

    def _update(self, parameter: Array, gradient: Array, lr: float, *kept: Array) -> None:
        if self.weight_decay:
            gradient += self.weight_decay * parameter
        for velocity in kept:
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
        self,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def _update(self, parameter: Array, gradient: Array, lr: float, *kept: Array) -> None:
        m, v = kept
        beta1, beta2 = self.betas
        if self.weight_decay and self.decoupled:
            parameter *= 1 - lr * self.weight_decay
        elif self.weight_decay:
            gradient += self.weight_decay * parameter
        m *= beta1
        m += (1 - beta1) * gradient
        v *= beta2
        gradient *= gradient
        gradient *= 1 - beta2
        v += gradient
        root = v**0.5
        root /= math.sqrt(1 - beta2**self.steps)
        root += self.eps
        update = m / root
        update *= lr / (1 - beta1**self.steps)
        parameter -= update


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019, algorithm 2).

    theta <- (1 - lr weight_decay) theta before Adam's step, whose g is the gradient alone.
    """

    decoupled = True


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def clip_gradients(xp: Namespace, gradients: Sequence[Array], max_norm: float) -> None:
    """Scale all gradients, in place, so that their common Euclidean norm is at most max_norm.

        scale = min(1, max_norm / (norm + 1e-6))       Pascanu et al. 2013, algorithm 1

    The norm stays on the device. The 1e-6 is PyTorch's, and keeps a norm of 0 from dividing.
    """
    norm = xp.sqrt(sum(xp.vdot(gradient, gradient) for gradient in gradients))
    scale = xp.minimum(max_norm / (norm + 1e-6), 1)
    for gradient in gradients:
        gradient *= scale


def step_decay(step: int, total: int, gamma: float = 0.1, stages: int = 3) -> float:
    """gamma ** (how many of `stages` equal parts of the run are over)."""
    return gamma ** (stages * step // total)


SCHEDULES: dict[str, Callable[..., float]] = {
    # The factor on the learning rate of step `step`, from 0, of `total`.
    "constant": lambda step, total: 1.0,
    "linear": lambda step, total: 1 - step / total,
    "step": step_decay,
    # Loshchilov, Hutter 2017, equation 5
    "cosine": lambda step, total: (1 + math.cos(math.pi * step / total)) / 2,
}


def learning_rate_factors(
    schedule: str, steps: range, total: int, warmup: int = 0, **options: float
) -> list[float]:
    """The factors of SCHEDULES[schedule] at these steps, after `warmup` ones that rise evenly to 1.

    steps counts from 0 to total - 1. The first step has 1/warmup, the schedule takes the steps
    that are left. options: what the schedule takes besides.    Goyal et al. 2017, section 2.2
    """
    factor = SCHEDULES[schedule]
    return [
        (step + 1) / warmup if step < warmup else factor(step - warmup, total - warmup, **options)
        for step in steps
    ]


class ReduceOnPlateau:
    """A factor on the learning rate, cut when the validation loss has stopped falling.

    After more than `patience` epochs in a row whose loss isn't below (1 - threshold) times the
    best, scale <- factor * scale, and the count begins anew.
    """

    def __init__(self, factor: float = 0.1, patience: int = 10, threshold: float = 1e-4) -> None:
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.scale, self.best, self.waited = 1.0, math.inf, 0

    def update(self, loss: float) -> None:
        """Take note of one epoch's validation loss."""
        if loss < self.best * (1 - self.threshold):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.scale, self.waited = self.scale * self.factor, 0

    def state(self) -> dict[str, float]:
        """All that it remembers, as plain numbers; `best` is infinite before the first epoch."""
        return {"scale": self.scale, "best": self.best, "waited": self.waited}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Go on from another's state()."""
        self.scale, self.best = state["scale"], state["best"]
        self.waited = int(state["waited"])
