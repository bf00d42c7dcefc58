"""A stand-in for a GPU: arrays that refuse what CuPy's refuse, and record every wait.

NumPy does the computing. Every conversion from or to NumPy arrays that CuPy doesn't offer is
refused; a name or keyword that CuPy lacks isn't: tests/devices/test_cupy.py finds those. Where CuPy
accepts what is most likely a mistake, this device is stricter: an index out of range, an assignment
to one element twice, a host array as an index, `np.exp(array)`.

Every operation that would wait for a GPU is recorded: float(), .item(), a boolean mask, and so on;
see Trace.syncs.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlp_xp.devices import Device

FROM_HOST = {"array", "asarray", "asanyarray"}
# The size of the result depends on the values, so CuPy has to wait for those.
WAITING = {
    "argwhere", "bincount", "compress", "extract", "flatnonzero", "histogram", "intersect1d",
    "nonzero", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
    *("ndarray." + name for name in ("compress", "item", "nonzero", "tobytes", "tolist")),
}  # fmt: skip
COMPARING = {
    "allclose",
    "array_equal",
    "array_equiv",
}  # return a 0-d array in CuPy, a bool in NumPy
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]
OPERATORS = [
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *(f"__{kind}{name}__" for name in BINARY for kind in ("", "r", "i")),
    *("__matmul__", "__rmatmul__", "__neg__", "__pos__", "__abs__", "__invert__"),
]


class Trace:
    """A record of what was done with the arrays of one stand-in.

    syncs: every wait for the device, as `what in file:function`. dtypes: those of every result that
    has an axis, except integers and booleans.
    """

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self.dtypes: set[str] = set()

    def sync(self, what: str) -> None:
        frame = sys._getframe(1)
        while frame.f_code.co_filename == __file__:
            assert frame.f_back is not None
            frame = frame.f_back
        code = frame.f_code
        self.syncs.append(f"{what} in {Path(code.co_filename).name}:{code.co_name}")

    def run(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call NumPy's function as if it were CuPy's `name`."""
        if name in WAITING or (name == "where" and len(args) == 1):
            self.sync(name)
        if isinstance(function, np.ufunc) and any(isinstance(arg, list | tuple) for arg in args):
            raise TypeError(f"{name} of a list or tuple: CuPy takes arrays and numbers")
        result = function(
            *(bare(value, name) for value in args),
            **{key: bare(value, name) for key, value in kwargs.items()},
        )
        for value in (*args, *kwargs.values()):
            if isinstance(value, Array) and value._host is result:
                return value  # the array that was passed as out=
        return self.wrap(np.asarray(result) if name in COMPARING else result)

    def wrap(self, result: Any) -> Any:
        """NumPy's result in the form that CuPy returns: scalars become arrays of shape ()."""
        if type(result) in (tuple, list):
            return type(result)(self.wrap(part) for part in result)
        if not isinstance(result, np.ndarray | np.generic):
            return result
        host = np.asarray(result)
        if host.ndim and host.dtype.kind not in "iub":
            self.dtypes.add(str(host.dtype))
        return Array(host, self)


def bare(value: Any, name: str) -> Any:
    """An argument as NumPy needs it. Refuses a host array where CuPy doesn't accept one."""
    if isinstance(value, Array):
        return value._host
    if isinstance(value, list | tuple):
        return type(value)(bare(part, name) for part in value)
    if isinstance(value, np.ndarray):
        if name not in FROM_HOST:
            raise TypeError(f"{name} of a NumPy array: CuPy doesn't mix it with its own")
        return value.copy()
    return value


class Array:
    """An array on the stand-in's device."""

    __slots__ = ("_host", "_trace")
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, host: np.ndarray, trace: Trace):
        self._host = host
        self._trace = trace

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("no implicit conversion to a NumPy array: use to_host()")

    def __array_function__(self, function: Any, *args: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a device array: use xp.{function.__name__}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("base", "data", "device", "flat"):
            raise AttributeError(f"the stand-in's arrays have no {name}")
        value = getattr(self._host, name)
        if callable(value):
            return partial(self._trace.run, f"ndarray.{name}", value)
        return self._trace.wrap(value) if isinstance(value, np.ndarray) else value

    def _index(self, key: Any) -> tuple[tuple[Any, ...], set[str]]:
        """The key for NumPy, with `...` so that it never returns a scalar; its arrays' kinds."""
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, np.ndarray | list) for part in parts):
            raise TypeError("a host array as an index: each use would copy it to the device")
        kinds = {part._host.dtype.kind for part in parts if isinstance(part, Array)}
        plain = tuple(bare(part, "an index") for part in parts)
        return (plain if any(part is ... for part in plain) else (*plain, ...)), kinds

    def __getitem__(self, key: Any) -> Any:
        index, kinds = self._index(key)
        if "b" in kinds:
            self._trace.sync("a boolean mask")
        return self._trace.wrap(self._host[index])

    def __setitem__(self, key: Any, value: Any) -> None:
        index, kinds = self._index(key)
        if "b" in kinds and isinstance(value, Array) and value._host.ndim:
            self._trace.sync("a boolean mask")
        if kinds & {"i", "u"}:
            places = np.arange(self._host.size).reshape(self._host.shape)[index]
            if np.unique(places).size < places.size:
                raise ValueError(
                    "indices name one element twice: CuPy doesn't define which value wins"
                )
        self._host[index] = bare(value, "assignment")

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _read(self, what: str) -> Any:
        self._trace.sync(what)
        return self._host

    def __bool__(self) -> bool:
        return bool(self._read("bool()"))

    def __float__(self) -> float:
        return float(self._read("float()"))

    def __int__(self) -> int:
        return int(self._read("int()"))

    def __repr__(self) -> str:
        return repr(self._read("repr()"))

    def __format__(self, spec: str) -> str:
        return format(self._read("format()"), spec)

    def __copy__(self) -> "Array":
        return Array(self._host.copy(), self._trace)

    def __deepcopy__(self, memo: Any) -> "Array":
        return Array(self._host.copy(), self._trace)


def _operator(name: str) -> Callable[..., Any]:
    def method(self: Array, *others: Any) -> Any:
        if any(isinstance(other, list | tuple) for other in others):
            return NotImplemented
        return self._trace.run(f"ndarray.{name}", getattr(np.ndarray, name), self, *others)

    return method


for _name in OPERATORS:
    setattr(Array, _name, _operator(_name))


class Function:
    """A function of the namespace; ufuncs have methods too."""

    def __init__(self, trace: Trace, name: str, function: Any):
        self._trace, self._name, self._function = trace, name, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._trace.run(self._name, self._function, *args, **kwargs)

    def __getattr__(self, method: str) -> "Function":
        return Function(self._trace, f"{self._name}.{method}", getattr(self._function, method))


class Namespace:
    """The stand-in's `xp`."""

    ndarray = Array

    def __init__(self, trace: Trace):
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if callable(value) and not isinstance(value, type):
            return Function(self._trace, name, value)
        return value


class StandIn(Device):
    """The device itself; `trace` records what is done with its arrays."""

    name = "standin"

    def __init__(self) -> None:
        super().__init__()
        self.trace = Trace()
        self.xp = Namespace(self.trace)

    def __deepcopy__(self, memo: object) -> "StandIn":
        return self  # as CUDA

    def use(self) -> None:
        pass

    def to_device(self, array: Any) -> Array:
        return array if isinstance(array, Array) else Array(np.array(array), self.trace)

    def to_host(self, array: Any, out: np.ndarray | None = None) -> np.ndarray:
        host = array._read("to_host()") if isinstance(array, Array) else array
        if out is None:
            return np.array(host)
        np.copyto(out, host, casting="no")
        return out

    def synchronize(self) -> None:
        pass

    def free_memory(self) -> int:
        return 2**30

    def upload(self, source: np.ndarray, out: Array) -> Callable[[], None]:
        assert type(source) is np.ndarray
        assert source.flags.c_contiguous
        assert out._host.flags.c_contiguous
        assert (source.shape, source.dtype) == (out._host.shape, out._host.dtype)
        out._host[...] = source
        return lambda: None
