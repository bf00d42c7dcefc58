"""Exact SGD, faster than training/step.py; a test checks that the two agree.

A step takes 0.06 of the plain one's time at batch 1 and 0.68 at batch 32 (784-128-10, float32, one
core of an AMD EPYC, Zen 4). sgd.py has the derivation.
"""

from __future__ import annotations

from mlp_xp.errors import InputError
from mlp_xp.nn.losses import Multiclass, Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import SGD, Optimizer
from mlp_xp.training.config import Config
from mlp_xp.training.model import Model
from mlp_xp.training.windowed.momentum import WindowedMomentum
from mlp_xp.training.windowed.sgd import WindowedSGD

__all__ = ["WindowedMomentum", "WindowedSGD", "windowed_step"]

MOMENTUM_PAYS_UP_TO, DECAY_PAYS_UP_TO = 8, 32
"""Batch sizes. Time of momentum.py's windows over the plain step's, 784-128-10, one core: with
momentum 0.13 at batch 1, 0.90 at 8, 1.17 at 16; with weight decay alone 0.11, 0.59, 0.73, and 0.93
at 32, 1.07 at 128. Every weight changes then, so no input is skipped; with momentum the products
with the inputs are done twice."""
DEVICE_PAYS_UP_TO = 128
"""For both on a GPU, where a step in windows has 18 to 25 calls in place of 36. No GPU has measured
this guess."""


def windowed_step(
    network: Network,
    objective: Objective,
    optimizer: Optimizer,
    config: Config,
    *,
    weighted: bool,
) -> WindowedSGD | None:
    """The windowed step, a TrainStep, where it supports the settings and is faster; else None.

    With a `config.window` of 1 it is always None, with a longer one never: then settings that
    windows don't support raise InputError.
    """
    # Exact types: a user's class derived from one of these may compute something else.
    obstacles = {
        f"the network {type(network).__name__}": type(network) not in (Network, Model),
        f"the optimizer {config.optimizer}": type(optimizer) is not SGD,
        f"the objective {network.objective_name}": type(objective) is not Multiclass,
        "dropout": config.dropout > 0,
        "clip_norm": config.clip_norm is not None,
        "label_smoothing": config.label_smoothing > 0,
        "weights of rows or classes": weighted,
    }
    present = [name for name, found in obstacles.items() if found]
    if present and (config.window or 1) > 1:
        raise InputError(f"a window of {config.window} can't be combined with {present[0]}")
    if present or config.window == 1 or not isinstance(optimizer, SGD):
        return None
    threads = config.threads or 1
    if optimizer.momentum or optimizer.weight_decay:
        pays_up_to = MOMENTUM_PAYS_UP_TO if optimizer.momentum else DECAY_PAYS_UP_TO
        if not network.device.on_host:
            pays_up_to = DEVICE_PAYS_UP_TO
        if config.window is None and config.batch_size > pays_up_to:
            return None
        return WindowedMomentum(network, optimizer, config.batch_size, config.window, threads)
    return WindowedSGD(network, optimizer, config.batch_size, config.window, threads)
