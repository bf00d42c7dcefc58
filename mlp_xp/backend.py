"""From the name of a device to the arrays that live on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp_xp.errors import InputError


@dataclass(frozen=True)
class Backend:
    """An array namespace and the way in and out of it.

    xp: the namespace, NumPy or CuPy. to_device copies a NumPy array to the device (the CPU
    returns it as it is), to_host brings one back; synchronize waits until all work is done.
    """

    device: str
    xp: Any
    to_device: Callable[[Any], Any]
    to_host: Callable[[Any], Any]
    synchronize: Callable[[], None]


@dataclass(frozen=True)
class Resolution:
    """What was asked for, what is used, and why they differ (None if they don't)."""

    asked: str
    backend: Backend
    reason: str | None = None


def resolve(asked: str = "auto") -> Resolution:
    """The backend for a device name: `auto` or `cpu`.

    Raises InputError for a name that is neither.
    """
    if asked not in ("auto", "cpu"):
        raise InputError(f"unknown device '{asked}': use auto or cpu")
    return Resolution(asked, cpu())


def cpu() -> Backend:
    """NumPy, on the host."""
    return Backend("cpu", np, np.asarray, np.asarray, lambda: None)
