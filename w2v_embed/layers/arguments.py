"""The checks of arguments that several layers share. Each returns the value as the layer keeps it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import keras

from ..checks import one_of, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeAlias

    from .backend import Tensor

    Shape: TypeAlias = tuple[int | None, ...]
    Named: TypeAlias = str | dict[str, Any] | Callable[..., Any] | None  # for keras.initializers.get() and its like
    Dtype: TypeAlias = str | keras.DTypePolicy | None
    Config: TypeAlias = dict[str, Any]


def mode_of(name: str, value: object, legal: Iterable[str]) -> str:
    """`value` if it is one of `legal`, or a ValueError that lists them.

    Out of an `.h5` file Keras gives a layer the function of this name where it has one, say `keras.layers.add` for "add".
    """
    return one_of(name, value.__name__ if inspect.isfunction(value) else value, legal)


def even(name: str, value: object) -> int:
    """`value` as an `int`, if it is a width that a sinusoid can have."""
    number = whole(name, value)
    if number % 2:
        raise ValueError(f"{name} must be even, a sine and a cosine of each frequency, received {number}")
    return number


def refuse_fillers(maker: str, kwargs: dict[str, Any], trainable: bool) -> None:
    """Refuse what disagrees with vectors that fill a table: other values for it, and a LoRA beside a frozen one."""
    for taken in ("weights", "embeddings_initializer"):
        if taken in kwargs:
            raise TypeError(f"{maker} fills the table with its vectors, so it takes no {taken!r}")
    if kwargs.get("lora_rank") and not trainable:
        raise ValueError(
            "trainable must be True with LoRA, which trains two small factors beside the table, received "
            f"trainable={trainable!r}, lora_rank={kwargs['lora_rank']!r}"
        )


def masks_zero(mask_zero: bool | None, vectors: object) -> bool:
    """`mask_zero`, or where it is None: whether row 0 of `vectors` is padding."""
    return bool(getattr(vectors, "padding_row", None) == 0 if mask_zero is None else mask_zero)


def dense(ids: Tensor) -> Tensor:
    """Ids as a dense tensor: what sparse ids leave out is id 0, as in Keras' own layer."""
    if isinstance(ids, keras.KerasTensor) and not ids.sparse:
        return ids  # no operation of its own in the model
    return keras.ops.convert_to_tensor(ids, sparse=False)


def shapes_of(inputs: Tensor) -> Any:
    """The shape of a tensor, or the list of shapes of a list of tensors: what Keras passes to `build`."""
    return [x.shape for x in inputs] if isinstance(inputs, (list, tuple)) else inputs.shape


def pair(name: str, shapes: Sequence[Any]) -> tuple[Shape, Shape]:
    """The two shapes of a layer that takes a list of two tensors, or a ValueError that says what the two are."""
    if len(shapes) != 2 or not all(hasattr(shape, "__len__") for shape in shapes):
        raise ValueError(f"inputs must be {name}, a list of two tensors, received shape {tuple(shapes)}")
    first, second = map(tuple, shapes)
    return first, second
