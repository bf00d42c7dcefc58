"""Writes what mlp_xp.data.idx reads."""

import struct

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    """The content of the IDX file that holds this array of unsigned bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    return header + array.tobytes()
