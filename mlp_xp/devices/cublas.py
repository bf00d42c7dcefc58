"""Matrix products by cuBLAS's own interface, which a CUDA graph can record.

CuPy refuses its cuBLAS while a stream records (issue 6290 of CuPy), since a handle without a
workspace of its own would allocate memory. This handle has one.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from functools import cache
from typing import Any

from mlp_xp.types import Array, Namespace

WORKSPACE_BYTES = 32 << 20
"""What NVIDIA recommends for Hopper; 4 MiB would do on older ones.   cuBLAS, section 2.1.8.2."""

PLAIN, TRANSPOSED = 0, 1  # cublasOperation_t
DEFAULT_ALGORITHM = -1  # cublasGemmAlgo_t
FLOAT32, FLOAT64 = 0, 1  # cudaDataType_t
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70  # cublasComputeType_t


@cache
def _idle_handles(device: int) -> list[ctypes.c_void_p]:
    """The handles of a GPU that nobody uses. They aren't destroyed: that waits for the GPU, which
    ends what any thread is recording."""
    return []


class CuBLAS:
    """cuBLAS on one stream of the current device.

    Raises OSError where the library isn't found, RuntimeError where it fails.
    """

    def __init__(self, xp: Namespace, stream: Any):
        self.library = _load(xp.cuda.runtime.runtimeGetVersion() // 1000)
        idle = _idle_handles(xp.cuda.runtime.getDevice())
        try:
            self.handle = idle.pop()
        except IndexError:
            self.handle = ctypes.c_void_p()
            self._call("cublasCreate_v2", ctypes.byref(self.handle))
        weakref.finalize(self, idle.append, self.handle)
        self.workspace = xp.empty(WORKSPACE_BYTES, dtype="uint8")
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(stream.ptr))
        # After the stream, which takes the workspace away.
        self._call(
            "cublasSetWorkspace_v2", self.handle, ctypes.c_void_p(self.workspace.data.ptr),
            ctypes.c_size_t(WORKSPACE_BYTES),
        )  # fmt: skip
        in_tf32 = os.environ.get("CUPY_TF32") == "1"  # then CuPy's products are too
        compute_32f = COMPUTE_32F_FAST_TF32 if in_tf32 else COMPUTE_32F
        self.kinds = {
            "float32": (FLOAT32, compute_32f, ctypes.c_float),
            "float64": (FLOAT64, COMPUTE_64F, ctypes.c_double),
        }
        whole, pointer = ctypes.c_int, ctypes.c_void_p
        self.library.cublasGemmEx.argtypes = [
            pointer, whole, whole, whole, whole, whole, pointer, pointer, whole, whole,
            pointer, whole, whole, pointer, pointer, whole, whole, whole, whole,
        ]  # fmt: skip

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returns status {status}")

    def product(self, a: Array, b: Array, out: Array, *, add: bool = False) -> Array:
        """out = a b, or out + a b with `add`; a (m, k), b (k, n), out (m, n), float32 or float64.

        Any of them may be transposed or lie in rows of a wider array: nothing is copied.
        """
        out_transposed, out_stride = _layout(out)
        if out_transposed:  # out^T = b^T a^T
            self.product(b.T, a.T, out.T, add=add)
            return out
        kind, compute, scalar = self.kinds[str(out.dtype)]
        one, old = scalar(1), scalar(1 if add else 0)
        (m, k), n = a.shape, b.shape[1]
        a_transposed, a_stride = _layout(a)
        b_transposed, b_stride = _layout(b)
        # By columns, as cuBLAS reads, the matrices are out^T, b^T and a^T.
        self._call(
            "cublasGemmEx", self.handle, b_transposed, a_transposed, n, m, k,
            ctypes.addressof(one), b.data.ptr, kind, b_stride, a.data.ptr, kind, a_stride,
            ctypes.addressof(old), out.data.ptr, kind, out_stride, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip
        return out


def _layout(matrix: Array) -> tuple[int, int]:
    """PLAIN for contiguous rows or TRANSPOSED for columns, and the elements from one to the next.

    Raises ValueError if neither are contiguous.
    """
    (rows, columns), size = matrix.shape, matrix.itemsize
    by_row, by_column = (stride // size for stride in matrix.strides)
    if (by_column == 1 or columns == 1) and (by_row >= columns or rows == 1):
        return PLAIN, max(by_row, columns)
    if (by_row == 1 or rows == 1) and (by_column >= rows or columns == 1):
        return TRANSPOSED, max(by_column, rows)
    raise ValueError(f"a matrix of shape {matrix.shape} with strides {matrix.strides}")


def _load(version: int) -> ctypes.CDLL:
    """The library that CuPy has loaded, for this version of CUDA."""
    try:
        from cuda import pathfinder  # comes with CuPy

        return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
    except Exception:  # what it raises has changed from version to version
        return ctypes.CDLL(f"libcublas.so.{version}")
