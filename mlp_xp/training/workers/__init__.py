"""The training step on the cores of a CPU, faster than training/step.py; a test checks that the
two agree.

With one worker it is the plain step with every array made once; single.py is that for a GPU, where
training/captured.py repeats it. More of them are processes over common memory, each with its share
of the network: Python's threads would wait for each other at every call, and BLAS's take several
times as long where the machine is busy with something else.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from mlp_xp.nn import activations
from mlp_xp.nn.losses import Multiclass, Multilabel, Objective, Regression
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import SGD, Adam, AdamW, Optimizer
from mlp_xp.training.config import Config
from mlp_xp.training.model import Model
from mlp_xp.training.workers.single import SingleWorker
from mlp_xp.training.workers.step import WorkersStep
from mlp_xp.types import Array

__all__ = ["SingleWorker", "WorkersStep", "own_kinds", "workers_step"]

WORTH_SHARING = 800_000
"""Multiplications of a batch by the weights from which several workers are quicker than one: with
Adam on 784-128-10, two took 0.54 of the time for 8 rows (Intel Xeon)."""
WORTH_LEAVING_WINDOWS = 3_000_000
"""The same for SGD in windows: two took 0.9 of the time for 16 rows, 0.8 for 32."""
WORTH_STARTING = 2_000_000_000
"""Those of an epoch, a fifth of a second of one core, from which processes are worth the fifth of a
second that they take to start. Not of all epochs: a run that is extended goes on as it began."""


def own_kinds(network: Network, objective: Objective, optimizer: Optimizer) -> bool:
    """Whether all are of this package's own kinds: a class derived from one, or an activation of a
    user's, may compute something else."""
    return (
        type(network) in (Network, Model)
        and type(objective) in (Multiclass, Multilabel, Regression)
        and type(optimizer) in (SGD, Adam, AdamW)
        and _is_own(network.activation.function)
        and _is_own(network.activation.derivative)
    )


def workers_step(
    network: Network,
    objective: Objective,
    optimizer: Optimizer,
    config: Config,
    rows: int,
    chunk_rows: int,
    *,
    has_windows: bool,
) -> WorkersStep:
    """The step of own_kinds() on as many workers as are worth it, at most config.threads.

    rows: of the training, and of its longest chunk. has_windows: whether windows are the other way.
    """
    size = worth_workers(network, config, rows, has_windows=has_windows)
    return WorkersStep(network, objective, optimizer, config, size, chunk_rows)


def _is_own(function: Callable[..., Array]) -> bool:
    """Whether it is a function of nn/activations.py, which other processes find by its name."""
    return vars(activations).get(getattr(function, "__name__", "")) is function


def worth_workers(network: Network, config: Config, rows: int, *, has_windows: bool) -> int:
    """How many workers are quicker than fewer, at most config.threads.

    It depends on the settings and the number of rows alone, as the result's last bits do on it.
    Only Linux on x86-64 has several: there a worker sees what others write in the order in which
    they wrote it, and memory without a name.
    """
    system = sys.platform == "linux" and platform.machine() == "x86_64"
    system = system and not getattr(sys, "frozen", False)  # its interpreter is the program itself
    weights = sum(layer.W.size for layer in network.layers)
    able = system and len(network.layers) > 1 and config.clip_norm is None
    worth = (
        config.batch_size * weights >= (WORTH_LEAVING_WINDOWS if has_windows else WORTH_SHARING)
        and rows * weights >= WORTH_STARTING
    )
    most = min(network.sizes[1:-1], default=1)
    return min(config.threads or 1, most) if able and worth else 1
