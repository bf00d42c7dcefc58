"""Between the network's parts and the windows': weights in another layout, activations in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from mlp_xp.types import Array, Namespace


def writing_to_out(
    function: Callable[..., Array], xp: Namespace, *sample: Array
) -> Callable[..., Array]:
    """An activation's function or derivative that is certain to write to its last argument.

    A user's own may not take `out`, or may take it and return another array. That is found out by
    one call with `sample`, the arguments between xp and out.
    """
    try:
        takes_out = "out" in inspect.signature(function).parameters
    except ValueError:  # a function of C without a signature
        takes_out = False
    out = xp.empty_like(sample[0])
    if takes_out and function(xp, *sample, out) is out:
        return function

    def write(xp: Namespace, *arguments: Array) -> Array:
        *inputs, out = arguments
        out[...] = function(xp, *inputs)
        return out

    return write


def copy_arrays(sources: Sequence[Array], targets: Sequence[Array]) -> None:
    """Copy each array into another."""
    for source, target in zip(sources, targets, strict=True):
        target[...] = source


def by_parameter(W: Array, upper: Sequence[Array]) -> list[Array]:
    """Views of (n_in + 1, n) and transposed arrays as W and b of each layer."""
    layers = [W, *(WT.T for WT in upper)]
    return [part for array in layers for part in (array[:-1], array[-1])]
