"""Conversions for windows: weights in another layout, activations that write in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlp_xp.types import Array, Namespace


def writing_to_out(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of xp and arrays that copies its result to a further array, the last argument."""

    def write(xp: Namespace, *arguments: Array) -> Array:
        *inputs, out = arguments
        out[...] = function(xp, *inputs)
        return out

    return write


def copy_arrays(sources: Sequence[Array], targets: Sequence[Array]) -> None:
    """Copy each source into its target."""
    for source, target in zip(sources, targets, strict=True):
        target[...] = source


def by_parameter(W: Array, upper: Sequence[Array]) -> list[Array]:
    """Views of (n_in + 1, n) and transposed arrays as W and b of each layer."""
    layers = [W, *(WT.T for WT in upper)]
    return [part for array in layers for part in (array[:-1], array[-1])]
