"""Names for arrays in signatures.

NumPy and CuPy share no base class, so an array on a device and the namespace it came from are
`Any` to the type checker. The docstrings give shape and dtype instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array on a device: `numpy.ndarray` or `cupy.ndarray`."""

Arrays: TypeAlias = list[Array]
"""One array for each layer, or for each parameter."""

Namespace: TypeAlias = Any
"""The module that makes such arrays, called `xp` throughout: `numpy` or `cupy`."""

HostArray: TypeAlias = "NDArray[Any]"
"""A NumPy array, whatever the device."""

Chunk: TypeAlias = tuple[Array, Array, "Array | None"]
"""Rows of an epoch on the device: X (C, n) as loaded, y (C,) or (C, K), weights (C,) or None."""
