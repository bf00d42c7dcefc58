"""Which of NumPy's names CuPy has, and with which parameters.

    python tests/helpers/surface.py > tests/helpers/cupy.txt

reads them from the installed CuPy; no GPU is needed. Each line is `name`, or `name(parameters)`
with None for every default; methods are `ndarray.name` or `add.reduce`. A name without a line is
one that CuPy lacks, or one whose keywords can't be determined.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

SNAPSHOT = Path(__file__).with_name("cupy.txt")
COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
# Their signatures are only *args or **kwargs, but they raise for any parameter except these.
BY_HAND = {
    "einsum": "subscripts, *operands, dtype=None, optimize=None",
    "matmul": "x0, x1, /, *, out=None, axes=None, axis=None, keepdims=None, casting=None, "
    "dtype=None, signature=None, order=None",
}


class Call(NamedTuple):
    """One use of a name: how many positional arguments (None if not called), which keywords."""

    name: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()


class Surface(dict[str, inspect.Signature | None]):
    """From a name to its signature, or to None for types, constants and operators."""

    @classmethod
    def parse(cls, text: str) -> "Surface":
        surface = cls()
        for line in text.splitlines():
            name, has_parameters, parameters = line.partition("(")
            if name and not name.startswith("#"):
                signature = inspect.signature(eval(f"lambda {parameters.removesuffix(')')}: None"))
                surface[name] = signature if has_parameters else None
        return surface

    def complaint(self, call: Call) -> str | None:
        """Why CuPy doesn't support this call, or None if it does."""
        if call.name not in self:
            return f"CuPy has no {call.name}"
        signature = self[call.name]
        if signature is None or call.positional is None:
            return None
        try:
            signature.bind(*range(call.positional), **dict.fromkeys(call.keywords))
        except TypeError as error:
            return f"CuPy's {call.name}{signature}: {error}"
        return None


def describe(cupy: ModuleType) -> str:
    """The text for cupy.txt that describes this CuPy."""
    lines = [f"# CuPy {cupy.__version__}, by tests/helpers/surface.py"]
    for name in sorted(set(dir(cupy)) & set(dir(np))):
        value = getattr(cupy, name)
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if isinstance(value, type) or not callable(value):
            lines.append(name)
        elif (parameters := _parameters(name, value)) is not None:
            lines.append(f"{name}({parameters})")
        if isinstance(value, cupy.ufunc):
            lines += _ufunc_methods(name, value)
    for name in sorted(set(dir(cupy.ndarray)) & set(dir(np.ndarray))):
        if not name.startswith("_"):
            parameters = _parameters(name, getattr(cupy.ndarray, name))
            lines.append(f"ndarray.{name}" + (f"({parameters})" if parameters is not None else ""))
        elif name.endswith("__") and (name in COMPARISONS or name not in dir(object)):
            lines.append(f"ndarray.{name}")
    return "\n".join(lines) + "\n"


def _parameters(name: str, value: Any) -> str | None:
    """The parameters of a function, ufunc or method as text, None if they can't be determined."""
    if name in BY_HAND:
        return BY_HAND[name]
    if hasattr(value, "nin"):  # a ufunc, whose signature is only *args, **kwargs
        if value.nout != 1:
            return None
        inputs = ", ".join(f"x{i}" for i in range(value.nin))
        return f"{inputs}, /, out=None, *, casting=None, dtype=None"
    try:
        signature = str(inspect.signature(value))
    except (ValueError, TypeError):
        signature = (value.__doc__ or "").partition("\n")[0]
    text = re.match(r"[\w.]*\((.*)\)", signature)
    if text is None or "**" in text[1]:
        return None
    return ", ".join(_without_types(text[1]))


def _without_types(parameters: str) -> Iterator[str]:
    for parameter in re.sub(r"\([^()]*\)", "None", parameters).split(", "):
        name, has_default, _ = parameter.partition("=")
        name = name.split(":")[0].split()[-1] if name.strip() else ""
        if name and name != "self":
            yield f"{name}=None" if has_default else name


def _ufunc_methods(name: str, ufunc: Any) -> Iterator[str]:
    """The methods that work: every ufunc has all of them, but most raise NotImplementedError."""
    for method in ("reduce", "accumulate", "at"):
        bound = getattr(ufunc, method)
        try:
            bound(None, None)
        except NotImplementedError:
            continue
        except Exception:
            yield f"{name}.{method}({_parameters(method, bound)})"


if __name__ == "__main__":
    import cupy

    sys.stdout.write(describe(cupy))
