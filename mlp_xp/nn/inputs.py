"""From the rows of a data set to the numbers that the first layer reads."""

from mlp_xp.types import Array, Namespace


def scale_inputs(
    xp: Namespace, X: Array, dtype: str, divisor: float | None, out: Array | None = None
) -> Array:
    """X / divisor, rounded to float32 as in the notebook; with the divisor None, X itself.

    X (B, n) uint8 or float. Returns (B, n) in dtype: `out`, a new array, or X if nothing changes.
    """
    if divisor is not None:
        out = xp.empty(X.shape, dtype=dtype) if out is None else out
        return xp.divide(X, divisor, out=out, dtype=xp.float32)
    if out is None:
        return X.astype(dtype, copy=False)
    out[...] = X
    return out
