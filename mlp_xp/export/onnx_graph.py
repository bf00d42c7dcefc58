"""The graph of an ONNX file while it is built: nodes, constants, and names that differ."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from mlp_xp.errors import InputError

OPSETS = {"": 13, "ai.onnx.ml": 2}
"""The versions of the operators.

From 13 on, Softmax and ReduceSum are what they are today; runtimes know it since the end of 2020.
Nothing newer is needed: GELU, which came with 20, is made of older ones.
"""
IR_VERSION = 7  # the one that came with opset 13


def import_onnx() -> ModuleType:
    """The package onnx. Raises InputError if it isn't installed."""
    try:
        import onnx
    except ImportError as error:
        raise InputError(
            "exporting to ONNX needs the package onnx: pip install '.[onnx]' in the clone"
        ) from error
    return onnx


class Graph:
    """Nodes that are added one by one, each to the results of earlier ones.

    A value is known by its name, which no other has. signature: for each type and shape of input or
    output, as in `input float64 (N, 1)`, the names of those.
    """

    def __init__(self) -> None:
        self.onnx = import_onnx()
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.signature: dict[str, list[str]] = {}
        self._names: dict[str, int] = {}  # and the last number after each

    def _free(self, wanted: str) -> str:
        """The name, or with the first number from 2 on after it that makes it a new one."""
        name = wanted
        while name in self._names:
            self._names[wanted] += 1
            name = f"{wanted}_{self._names[wanted]}"
        self._names[name] = 1
        return name

    def input(self, name: str, dtype: str, width: int, description: str = "") -> str:
        """An input (N, width)."""
        name = self._free(name)
        self.inputs.append(self._value_info("input", name, dtype, (width,), description))
        return name

    def output(self, name: str, value: str, dtype: str, *shape: int) -> None:
        """Make a value (N, *shape) an output."""
        name = self._free(name)
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name], name))
        self.outputs.append(self._value_info("output", name, dtype, shape))

    def add(
        self, operator: str, *inputs: str | NDArray[Any], domain: str = "", **attributes: Any
    ) -> str:
        """The result of an operator; arrays among its inputs become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        result = self._free(operator.lower())
        self.nodes.append(
            self.onnx.helper.make_node(
                operator, names, [result], result, domain=domain, **attributes
            )
        )
        return result

    def constant(self, array: NDArray[Any], name: str = "constant") -> str:
        """An array, which the file holds."""
        name = self._free(name)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def cast(self, value: str, dtype: str) -> str:
        """The value in another type."""
        return self.add("Cast", value, to=self._type(dtype))

    def is_nan(self, value: str) -> str:
        """Whether each element is NaN, which old runtimes can tell of float32 alone."""
        return self.add("IsNaN", self.cast(value, "float32"))

    def _type(self, dtype: str) -> int:
        names = {"float32": "FLOAT", "float64": "DOUBLE"}  # of all others, the same as NumPy's
        return int(self.onnx.TensorProto.DataType.Value(names.get(dtype, dtype.upper())))

    def _value_info(
        self, what: str, name: str, dtype: str, shape: tuple[int, ...], description: str = ""
    ) -> Any:
        sizes = ", ".join(map(str, ("N", *shape))) + "," * (not shape)
        self.signature.setdefault(f"{what} {dtype} ({sizes})", []).append(name)
        make = self.onnx.helper.make_tensor_value_info
        return make(name, self._type(dtype), ["N", *shape], description)
