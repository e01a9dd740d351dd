"""A graph of ONNX that grows while it is computed with: tensors that only note what is done to them.

Sizes that are open, a batch's and its length, are numbers that the graph itself computes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    Size: TypeAlias = "int | Traced"
    _Operator: TypeAlias = Callable[[Any, Any], Any]
    Value: TypeAlias = Any  # a `Traced`, or what NumPy makes an array of

_OPSET, _IR = 20, 9  # an IR that ONNX Runtime has read since 1.17
OWN: Final = "com.microsoft"  # what it adds to ONNX
KINDS: Final = ("bool", "int32", "int64", "float32", "float64")  # of two, the later is that of the result


def _operator(op: str, turned: bool = False, result: str | None = None) -> _Operator:
    def compute(self: Traced, other: Value) -> Traced:
        return self.writer.broadcast(op, *((other, self) if turned else (self, other)), result=result)

    return compute


class Traced:
    """A tensor of a graph.

    Args:
        writer: who writes the graph.
        name: in the graph.
        dtype: its name.
        shape: numbers, and where a size is open, the `Traced` number that says it.
    """

    __array_ufunc__: None = None  # so that NumPy's arrays leave sums with it to us

    __add__: _Operator = _operator("Add")
    __radd__: _Operator = _operator("Add", turned=True)
    __sub__: _Operator = _operator("Sub")
    __rsub__: _Operator = _operator("Sub", turned=True)
    __mul__: _Operator = _operator("Mul")
    __rmul__: _Operator = _operator("Mul", turned=True)
    __truediv__: _Operator = _operator("Div")
    __rtruediv__: _Operator = _operator("Div", turned=True)
    __floordiv__: _Operator = _operator("Div")  # of sizes, which are not negative
    __rfloordiv__: _Operator = _operator("Div", turned=True)
    __gt__: _Operator = _operator("Greater", result="bool")
    __ge__: _Operator = _operator("GreaterOrEqual", result="bool")
    __lt__: _Operator = _operator("Less", result="bool")
    __le__: _Operator = _operator("LessOrEqual", result="bool")

    def __init__(self, writer: Any, name: str, dtype: str, shape: Sequence[Size]) -> None:
        self.writer: Any = writer
        self.name: str = name
        self.dtype: str = dtype
        self.shape: tuple[Size, ...] = tuple(shape)

    def __getitem__(self, key: Any) -> Traced:
        return self.writer.sliced(self, key if isinstance(key, tuple) else (key,))

    def __neg__(self) -> Traced:
        return self.writer.broadcast("Mul", self, -1)


def name_of_weight(name: str) -> str:
    """What a weight is called in a graph, where an input may have its name."""
    return f"weight {name}"


class Written(NamedTuple):
    """A graph: the model as bytes, the names of the weights that it needs, and kinds and shapes of its outputs by name."""

    model: bytes
    weights: list[str]
    outputs: dict[str, tuple[str, list[int | str]]]


class Graph:
    """Nodes, inputs and weights of a graph, and the sizes of its tensors.

    Args:
        what: is written, for messages.
    """

    def __init__(self, what: str) -> None:
        import onnx

        self.onnx: Any = onnx
        self.what: str = what
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._weights: dict[str, Any] = {}
        self.made_by: dict[str, Any] = {}

    # ── the graph ──

    def node(self, op: str, inputs: Sequence[Value], dtype: str, shape: Sequence[Size], **attributes: Any) -> Traced:
        """Write a node of one output."""
        return self.nodes(op, inputs, [(dtype, shape)], attributes)[0]

    def nodes(
        self,
        op: str,
        inputs: Sequence[Value],
        results: Sequence[tuple[str, Sequence[Size]]],
        attributes: Mapping[str, Any],
    ) -> list[Traced]:
        """Write a node of several outputs, whose kinds and shapes are `results`."""
        names = [each.name if isinstance(each, Traced) else self.constant(each) for each in inputs]
        made = [Traced(self, f"t{len(self._nodes)}_{k}", *result) for k, result in enumerate(results)]
        node = self.onnx.helper.make_node(op, names, [each.name for each in made], **attributes)
        self._nodes.append(node)
        self.made_by.update({each.name: (node, inputs) for each in made})
        return made

    def constant(self, value: Value) -> str:
        """The name of an array in the graph; None is an input that is left out."""
        if value is None:
            return ""
        name = f"c{len(self._constants)}"
        self._constants[name] = self.onnx.numpy_helper.from_array(
            np.ascontiguousarray(value).reshape(np.shape(value)), name
        )
        return name

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> Traced:
        """An input of the graph; sizes that have a name are open."""
        self._inputs.append(self._info(name, dtype, shape))
        traced = Traced(self, name, dtype, ())
        sizes = self.node("Shape", [traced], "int64", (len(shape),))
        one = [self.node("Gather", [sizes, np.int64(k)], "int64", ()) for k in range(len(shape))]
        traced.shape = tuple(size if isinstance(size, int) else one[k] for k, size in enumerate(shape))
        return traced

    def weight(self, name: str, shape: Sequence[int]) -> Traced:
        """A float32 weight, whose values a session gets beside the graph."""
        held = name_of_weight(name)
        tensor = self.onnx.TensorProto(name=held, dims=shape, data_type=self.type_of("float32"))
        tensor.data_location = self.onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="beside the graph")
        self._weights[name] = tensor
        return Traced(self, held, "float32", tuple(shape))

    def graph(self, outputs: Mapping[str, Traced]) -> Written:
        """All that the outputs need, no more."""
        helper = self.onnx.helper
        kept = [helper.make_node("Identity", [made.name], [name]) for name, made in outputs.items()]
        needed = {made.name for made in outputs.values()}
        for node in reversed(self._nodes):
            if needed & {*node.output}:
                needed |= {*node.input}
                kept.append(node)
        inputs = [info for info in self._inputs if info.name in needed]
        weights = {name: tensor for name, tensor in self._weights.items() if tensor.name in needed}
        constants = [tensor for name, tensor in self._constants.items() if name in needed]
        kinds = {
            name: (made.dtype, [x if isinstance(x, int) else f"{name}_{axis}" for axis, x in enumerate(made.shape)])
            for name, made in outputs.items()
        }
        infos = [self._info(name, *kind) for name, kind in kinds.items()]
        graph = helper.make_graph(kept[::-1], self.what, inputs, infos, [*constants, *weights.values()])
        versions = [helper.make_opsetid("", _OPSET), helper.make_opsetid(OWN, 1)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=_IR)
        return Written(model.SerializeToString(), list(weights), kinds)

    def _info(self, name, dtype, shape):
        return self.onnx.helper.make_tensor_value_info(name, self.type_of(dtype), shape)

    def type_of(self, dtype: str) -> int:
        """What ONNX calls a kind."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    # ── sizes ──

    def shape(self, x: Traced) -> tuple[Size, ...]:
        return x.shape

    def vector(self, sizes: Sequence[Size]) -> Value:
        """Sizes as a tensor of one axis."""
        if all(not isinstance(size, Traced) for size in sizes):
            return np.array(sizes, np.int64)
        parts = [
            self.node("Unsqueeze", [size, np.array([0])], "int64", (1,))
            if isinstance(size, Traced)
            else np.array([size], np.int64)
            for size in sizes
        ]
        return self.node("Concat", parts, "int64", (len(sizes),), axis=0)

    def quotient(self, all_of: Sequence[Size], by: Sequence[Size]) -> Size:
        """The product of some sizes by that of others; what stands in both is left out."""
        above = [size for size in all_of if isinstance(size, Traced)]
        below = []
        for size in by:
            if not isinstance(size, Traced):
                continue
            same = next((k for k, each in enumerate(above) if each.name == size.name), None)
            below.append(size) if same is None else above.pop(same)
        numbers = [
            int(np.prod([size for size in sizes if not isinstance(size, Traced)], dtype=np.int64))
            for sizes in (all_of, by)
        ]
        if not above and not below:
            return numbers[0] // numbers[1]
        if numbers[0] % numbers[1] == 0:
            numbers = [numbers[0] // numbers[1], 1]
        factors: list[Any] = [*above, *([] if numbers[0] == 1 else [numbers[0]])]
        product: Any = reduce(operator.mul, factors or [1])
        divisors: list[Any] = [*below, *([] if numbers[1] == 1 else [numbers[1]])]
        return cast("Size", reduce(operator.floordiv, divisors, product))
