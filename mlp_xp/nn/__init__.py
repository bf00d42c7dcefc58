"""The mathematics, written against an array namespace `xp`: NumPy or CuPy."""

from typing import TYPE_CHECKING

from mlp_xp.lazy import lazy_names

if TYPE_CHECKING:
    from mlp_xp.nn.activations import ACTIVATIONS, INITIALIZERS, Activation
    from mlp_xp.nn.losses import OBJECTIVES, Objective
    from mlp_xp.nn.network import Dense, Network
    from mlp_xp.nn.optimizers import OPTIMIZERS, Optimizer
    from mlp_xp.nn.schedules import SCHEDULES, Schedule

__all__ = [
    "ACTIVATIONS", "INITIALIZERS", "OBJECTIVES", "OPTIMIZERS", "SCHEDULES",
    "Activation", "Dense", "Network", "Objective", "Optimizer", "Schedule",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, {
    "activations": ["ACTIVATIONS", "INITIALIZERS", "Activation"],
    "losses": ["OBJECTIVES", "Objective"],
    "network": ["Dense", "Network"],
    "optimizers": ["OPTIMIZERS", "Optimizer"],
    "schedules": ["SCHEDULES", "Schedule"],
})  # fmt: skip
