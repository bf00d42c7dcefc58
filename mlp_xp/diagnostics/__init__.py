"""Checks of an installation: what the machine has, and whether its devices agree."""

from typing import TYPE_CHECKING

from mlp_xp.lazy import lazy_names

if TYPE_CHECKING:
    from mlp_xp.diagnostics.doctor import Finding, examine, machine
    from mlp_xp.diagnostics.parity import TOLERANCE, Agreement, Trace, compare, trace

__all__ = ["TOLERANCE", "Agreement", "Finding", "Trace", "compare", "examine", "machine", "trace"]

# kernels.py runs in a process of its own that has to start quickly.
__getattr__, __dir__ = lazy_names(__name__, {
    "doctor": ["Finding", "examine", "machine"],
    "parity": ["TOLERANCE", "Agreement", "Trace", "compare", "trace"],
})  # fmt: skip
