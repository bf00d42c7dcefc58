"""From the rows of a data set to the numbers that the first layer reads."""

from mlp_xp.types import Array, Namespace


def scale_inputs(xp: Namespace, X: Array, dtype: str, out: Array | None = None) -> Array:
    """Bytes become byte / 255, rounded to float32 as in the notebook; other values are unchanged.

    X (B, n) uint8 or float. Returns (B, n) in dtype: `out`, a new array, or X if nothing changes.
    """
    if X.dtype == xp.uint8:
        out = xp.empty(X.shape, dtype=dtype) if out is None else out
        return xp.divide(X, 255, out=out, dtype=xp.float32)
    if out is None:
        return X.astype(dtype, copy=False)
    out[...] = X
    return out
