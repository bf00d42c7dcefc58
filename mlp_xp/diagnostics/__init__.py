"""Checks of an installation: what the machine has, and whether its devices agree."""

from mlp_xp.diagnostics.doctor import Finding, examine, machine
from mlp_xp.diagnostics.parity import TOLERANCE, Agreement, Trace, compare, trace

__all__ = ["TOLERANCE", "Agreement", "Finding", "Trace", "compare", "examine", "machine", "trace"]
