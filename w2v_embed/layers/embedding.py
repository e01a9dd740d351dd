"""A plain `keras.layers.Embedding` that holds pretrained vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import keras

from .._types import Via
from ..checks import one_of
from ..mapped import is_mapped
from .arguments import masks_zero, refuse_fillers
from .table import assign_rows, build_with, build_zeros, read_table

if TYPE_CHECKING:
    from .._types import Table
    from .arguments import Dtype


def embedding_layer(
    vectors: Table,
    *,
    trainable: bool = False,
    via: Via = "weights",
    mask_zero: bool | None = None,
    name: str | None = None,
    dtype: Dtype = None,
    **kwargs: Any,
) -> keras.layers.Embedding:
    """A `keras.layers.Embedding` that holds these vectors from the start.

    The layer is Keras' own class, so a model with it is saved, loaded and exported in processes that
    never heard of this package. It is built at once, owns a copy of the values, and has the initializer
    Zeros afterwards: its configuration stays small, and a clone that was given no weights holds zeros,
    never random rows.

    Input shape: ids `(...)`. Output shape: `(..., dim)`.

    Args:
        vectors: `EmbeddingMatrix`, or array-like of shape `(rows, dim)`.
        trainable: whether training changes the table.
        via: how the rows get into the layer, with equal results: "weights" builds the table and then
            assigns the rows, "constant" builds it out of the rows (on JAX with one table less in memory on the way). A
            mapped matrix always goes the second way.
        mask_zero: whether id 0 is padding that later layers shall skip. None means: if
            `vectors.padding_row` is 0; and False for a bare array.
        name: name of the layer.
        dtype: dtype or dtype policy of the layer.
        **kwargs: the other arguments of `keras.layers.Embedding`, for example `embeddings_regularizer`
            or `lora_rank`.

    Returns:
        A built `keras.layers.Embedding`.

    Raises:
        TypeError: `weights` or `embeddings_initializer` was given, and the vectors stand for both.
        ValueError: the vectors are no table of finite numbers, disagree with `input_dim` or `output_dim`,
            or an option is not known.

    Example:

    >>> import numpy as np
    >>> layer = embedding_layer(np.eye(3, dtype="float32"), trainable=False)
    >>> print(np.asarray(layer(np.array([[2, 0]]))).tolist())
    [[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]
    """
    refuse_fillers("embedding_layer()", kwargs, trainable)
    one_of("via", via, get_args(Via))
    table = read_table(vectors, dtype, kwargs.pop("input_dim", None), kwargs.pop("output_dim", None))
    lora_rank, lora_alpha = kwargs.pop("lora_rank", None), kwargs.pop("lora_alpha", None)
    layer = keras.layers.Embedding(
        *table.shape,
        embeddings_initializer="zeros",
        mask_zero=masks_zero(mask_zero, vectors),
        trainable=trainable,
        name=name,
        dtype=dtype,
        **kwargs,
    )
    if via == "weights" and not is_mapped(table):
        build_zeros(layer)
        assign_rows(layer.embeddings, table)
    else:
        build_with(layer, table)
    if lora_rank:
        layer.enable_lora(lora_rank, lora_alpha=lora_alpha)
    return layer
