"""What a family computes, as an ONNX graph: its functions run once, and their operations are written down.

While `written` runs a function, `ops` of `backend` is a `Writer`, whose methods are called and work as those of `keras.ops`;
so there is one text of each family, which Keras computes and this writes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import compute_with
from .onnx_graph import KINDS, OWN, Graph, Traced, Written

if TYPE_CHECKING:
    from .onnx_graph import Size, Value


class Writer(Graph):
    """The functions of `keras.ops` that families use, as nodes of a graph."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ValueError(
            f'engine="onnx" cannot write {self.what} as a graph: it uses ops.{name}, for which nothing is written. Load it '
            'with engine="keras".'
        )

    # ── numbers one by one ──

    def broadcast(self, op: str, a: Value, b: Value, result: str | None = None) -> Traced:
        """A function of two tensors, or of one and numbers that take its kind."""
        traced = [each for each in (a, b) if isinstance(each, Traced)]
        kinds = [each.dtype for each in traced]
        for other in (a, b):
            if not isinstance(other, Traced):
                array = np.asarray(other)
                of_float = "float32" if isinstance(other, float) else str(array.dtype)
                kinds += [of_float] if array.dtype.kind == "f" else [] if np.ndim(other) == 0 else [str(array.dtype)]
        kind = max(kinds, key=KINDS.index)
        if op == "Div" and result is None and kind.startswith("int") and not all(_is_size(each) for each in traced):
            kind = "float32"
        both = [self.cast(each, kind) if isinstance(each, Traced) else np.asarray(each, kind) for each in (a, b)]
        return self.node(op, both, result or kind, _broadcast(both[0].shape, both[1].shape))

    def _each(self, op, x, **attributes):
        return self.node(op, [x], x.dtype, x.shape, **attributes)

    def cast(self, x: Value, dtype: str) -> Traced:
        if not isinstance(x, Traced):
            return self.convert_to_tensor(x, dtype)
        return x if x.dtype == dtype else self.node("Cast", [x], dtype, x.shape, to=self.type_of(dtype))

    def convert_to_tensor(self, x: Value, dtype: str | None = None) -> Traced:
        if isinstance(x, Traced):
            return self.cast(x, dtype or x.dtype)
        array = np.asarray(x, dtype)
        return Traced(self, self.constant(array), str(array.dtype), array.shape)

    def equal(self, a: Value, b: Value) -> Traced:
        return self.broadcast("Equal", a, b, result="bool")

    def not_equal(self, a: Value, b: Value) -> Traced:
        return self._each("Not", self.equal(a, b))

    def maximum(self, a: Value, b: Value) -> Traced:
        return self.broadcast("Max", a, b)

    def minimum(self, a: Value, b: Value) -> Traced:
        return self.broadcast("Min", a, b)

    def clip(self, x: Traced, low: Value, high: Value) -> Traced:
        return self.minimum(self.maximum(x, low), high)

    def where(self, condition: Traced, a: Value, b: Value) -> Traced:
        values = [each if isinstance(each, Traced) else self.convert_to_tensor(each) for each in (a, b)]
        shape = reduce(_broadcast, (each.shape for each in (condition, *values)))
        return self.node("Where", [condition, *values], values[0].dtype, shape)

    def abs(self, x: Traced) -> Traced:
        return self._each("Abs", x)

    def sin(self, x: Traced) -> Traced:
        return self._each("Sin", x)

    def cos(self, x: Traced) -> Traced:
        return self._each("Cos", x)

    def erf(self, x: Traced) -> Traced:
        return self._each("Erf", x)

    def tanh(self, x: Traced) -> Traced:
        return self._each("Tanh", x)

    def relu(self, x: Traced) -> Traced:
        return self._each("Relu", x)

    def sigmoid(self, x: Traced) -> Traced:
        return self._each("Sigmoid", x)

    def silu(self, x: Traced) -> Traced:
        return x * self.sigmoid(x)

    def gelu(self, x: Traced, approximate: bool = True) -> Traced:
        return self._each("Gelu", x, approximate="tanh" if approximate else "none")

    # ── tensors that are made ──

    def arange(self, start: Size, stop: Size | None = None, step: int = 1, dtype: str = "int32") -> Traced:
        first, end = (0, start) if stop is None else (start, stop)
        ends = [self.cast(each, "int64") if isinstance(each, Traced) else np.int64(each) for each in (first, end)]
        length: Size = (end - first) if step == 1 else (first - end) // -step
        return self.cast(self.node("Range", [*ends, np.int64(step)], "int64", (length,)), dtype)

    def zeros(self, shape: Sequence[Size], dtype: str = "float32") -> Traced:
        zero = self.onnx.numpy_helper.from_array(np.zeros(1, dtype))
        return self.node("ConstantOfShape", [self.vector(shape)], dtype, shape, value=zero)

    # ── axes ──

    def reshape(self, x: Traced, shape: Sequence[Size]) -> Traced:
        others = [size for size in shape if isinstance(size, Traced) or size != -1]
        sizes = [size if isinstance(size, Traced) or size != -1 else self.quotient(x.shape, others) for size in shape]
        return self.node("Reshape", [x, self.vector(shape)], x.dtype, sizes)

    def transpose(self, x: Traced, axes: Sequence[int] | None = None) -> Traced:
        order = list(range(len(x.shape)))[::-1] if axes is None else list(axes)
        return self.node("Transpose", [x], x.dtype, [x.shape[axis] for axis in order], perm=order)

    def sliced(self, x: Traced, keys: Sequence[Any]) -> Traced:
        """`x[keys]` of slices without steps, numbers and None."""
        axis, fallen, made = 0, list[int](), list[int]()
        for place, key in enumerate(keys):
            if key is None:
                made.append(place - len(fallen))
                continue
            if isinstance(key, slice):
                x = self._part(x, axis, key)
            else:
                x = self._part(x, axis, slice(key, key + 1))
                fallen.append(axis)
            axis += 1
        if fallen:
            kept = [size for k, size in enumerate(x.shape) if k not in fallen]
            x = self.node("Squeeze", [x, np.array(fallen)], x.dtype, kept)
        if made:
            sizes = list(x.shape)
            for place in made:
                sizes.insert(place, 1)
            x = self.node("Unsqueeze", [x, np.array(made)], x.dtype, sizes)
        return x

    def _part(self, x, axis, key):
        if key.step is not None:
            raise ValueError(f'engine="onnx" cannot write {self.what} as a graph: a slice has the step {key.step}.')
        if key == slice(None):
            return x
        size = x.shape[axis]
        start, stop = 0 if key.start is None else key.start, size if key.stop is None else key.stop
        left = stop if not isinstance(start, Traced) and start == 0 else stop - start
        sizes = [*x.shape[:axis], left, *x.shape[axis + 1 :]]
        return self.node("Slice", [x, self.vector([start]), self.vector([stop]), np.array([axis])], x.dtype, sizes)

    def concatenate(self, parts: Sequence[Traced], axis: int = 0) -> Traced:
        kind = max((part.dtype for part in parts), key=KINDS.index)
        axis %= len(parts[0].shape)
        sizes = list(parts[0].shape)
        sizes[axis] = reduce(operator.add, (part.shape[axis] for part in parts))
        return self.node("Concat", [self.cast(part, kind) for part in parts], kind, sizes, axis=axis)

    def split(self, x: Traced, parts: int, axis: int = 0) -> list[Traced]:
        axis %= len(x.shape)
        sizes = [*x.shape[:axis], self.quotient([x.shape[axis]], [parts]), *x.shape[axis + 1 :]]
        return self.nodes("Split", [x], [(x.dtype, sizes)] * parts, {"axis": axis, "num_outputs": parts})  # type: ignore[no-any-return]

    def pad(self, x: Traced, widths: Sequence[tuple[Size, Size]]) -> Traced:
        ends = [width for side in zip(*widths) for width in side]
        sizes = [reduce(operator.add, (size, *width)) for size, width in zip(x.shape, widths)]
        return self.node("Pad", [x, self.vector(ends)], x.dtype, sizes)

    def take(self, x: Traced, indices: Traced, axis: int = 0) -> Traced:
        shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
        return self.node("Gather", [x, indices], x.dtype, shape, axis=axis)

    # ── sums over many numbers ──

    def sum(self, x: Traced, axis: int, keepdims: bool = False) -> Traced:
        axis %= len(x.shape)
        shape = [*x.shape[:axis], *([1] if keepdims else []), *x.shape[axis + 1 :]]
        return self.node("ReduceSum", [x, np.array([axis])], x.dtype, shape, keepdims=int(keepdims))

    def cumsum(self, x: Traced, axis: int) -> Traced:
        return self.node("CumSum", [x, np.int64(axis)], x.dtype, x.shape)

    def softmax(self, x: Traced, axis: int = -1) -> Traced:
        return self._each("Softmax", x, axis=axis)

    def layer_normalization(
        self, x: Traced, gamma: Traced, beta: Traced, axis: int = -1, epsilon: float = 1e-3
    ) -> Traced:
        return self.node("LayerNormalization", [x, gamma, beta], x.dtype, x.shape, axis=axis, epsilon=epsilon)

    def matmul(self, a: Traced, b: Traced) -> Traced:
        shape = [*_broadcast(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]]
        return self.node("MatMul", [a, b], a.dtype, shape)

    # ── what ONNX Runtime computes in one pass ──

    def attention(self, qkv: Traced, added: Traced, number: int, scale: float) -> Traced:
        """Queries, keys and values side by side `(B, T, 3 · N · D)` → what each token takes from the others `(B, T, N · D)`.

        Args:
            added: to the scores, `(B or 1, N or 1, T or 1, T)`.
        """
        node, (y, bias) = self.made_by.get(qkv.name, (None, (None, None)))
        if node is None or node.op_type != "Add" or len(bias.shape) != 1:
            y, bias = qkv, None
        q, k, v = self.split(y, 3, axis=-1)
        length = y.shape[1]
        whole = [*added.shape[:2], length, length]
        if isinstance(added.shape[2], int):  # alike for all queries, which the kernel wants one by one
            added = self.node("Expand", [added, self.vector(whole)], "float32", whole)
        of_heads = {"num_heads": number, "scale": scale, "domain": OWN}
        return self.node("MultiHeadAttention", [q, k, v, bias, None, added], "float32", q.shape, **of_heads)


def _is_size(x: Traced) -> bool:
    return x.shape == () and x.dtype == "int64"


def _broadcast(a: Sequence[Size], b: Sequence[Size]) -> tuple[Size, ...]:
    """The shape of a result; of two open sizes either is taken, as they must be the same."""
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    shorter = (*[1] * (len(longer) - len(shorter)), *shorter)
    return tuple(
        y if isinstance(x, int) and x == 1 else x if isinstance(y, int) and y == 1 else x if isinstance(x, int) else y
        for x, y in zip(longer, shorter)
    )


def written(
    what: str,
    function: Callable[[Mapping[str, Traced], Mapping[str, Traced]], Mapping[str, Traced]],
    inputs: Mapping[str, tuple[str, Sequence[int | str]]],
    weights: Mapping[str, Sequence[int]],
) -> Written:
    """Write a function as a graph.

    Args:
        what: it is, for messages.
        function: takes a dict of weights and a dict of inputs, computes with `backend.ops`, and gives a dict of outputs.
        inputs: kinds and shapes by name; sizes that have a name are open.
        weights: shapes by name.

    Raises:
        ValueError: it uses an operation for which nothing is written.
    """
    writer = Writer(what)
    given = {name: writer.input(name, *kind) for name, kind in inputs.items()}
    with compute_with(writer):
        return writer.graph(function({name: writer.weight(name, shape) for name, shape in weights.items()}, given))
