"""The embeddings at the entrance of a BERT: token + segment + position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from .position import PositionEmbedding
from .table import pretrained_rows
from .token import TokenEmbedding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Table
    from .backend import Tensor


@keras.saving.register_keras_serializable(package="w2v_embed")
class AddToFirst(keras.layers.Add):
    """The sum of its inputs with the mask of the first. Keras' `Add` drops the mask where any input has none."""

    def compute_mask(self, inputs: Sequence[Tensor], mask: Tensor = None) -> Tensor:
        return None if mask is None else mask[0]


def bert_embedding(
    inputs: Sequence[Tensor],
    token_num: int,
    pos_num: int,
    embed_dim: int,
    dropout_rate: float = 0.1,
    trainable: bool = True,
    layer_norm: bool = False,
    *,
    vectors: Table | None = None,
    name: str = "Embedding",
) -> tuple[Tensor, Tensor]:
    """Token + segment + position, with the mask `tokens ≠ 0`; then, where wanted, LayerNormalization and Dropout.

    Args:
        inputs: A list of token ids `(B, T)` and segment ids `(B, T)`, each 0 or 1; what follows is not used.
        token_num: Number of tokens `V`.
        pos_num: The longest input.
        embed_dim: Size `d` of every embedding.
        dropout_rate: Share dropped in training; at 0 there is no such layer.
        trainable: Whether the weights of all these layers are trained.
        layer_norm: Whether to normalise the sum as BERT does, with epsilon 1e-12, before the dropout.
        vectors: Pretrained word vectors `(V, dim)`, an array or an `EmbeddingMatrix`, that fill the token table. Where
            `dim` is not `embed_dim`, a linear map that is learned with the rest stands behind the table.
        name: What the names of the layers begin with: `Embedding-Token`, `Embedding-Segment`, `Embedding-Projection`,
            `Embedding-Token-Segment`, `Embedding-Position`, `Embedding-Norm`, `Embedding-Dropout`.

    Returns:
        The embeddings `(B, T, d)` and the token table `(V, d)`, for an `EmbeddingSimilarity` to be tied to.

    Raises:
        ValueError: There are not two inputs, or `vectors` has not `token_num` rows.

    Example:

    >>> import keras
    >>> from w2v_embed.layers import EmbeddingSimilarity
    >>> tokens, segments = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    >>> x, table = bert_embedding([tokens, segments], token_num=100, pos_num=16, embed_dim=8, layer_norm=True)
    >>> model = keras.Model([tokens, segments], EmbeddingSimilarity()([x, table]))
    >>> model.output_shape
    (None, None, 100)

    References: Devlin et al., 2018, https://arxiv.org/abs/1810.04805; the map behind a narrower table is that of
    Lan et al., 2019 (ALBERT), https://arxiv.org/abs/1909.11942
    """
    if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
        count = f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else type(inputs).__name__
        raise ValueError(f"inputs must be a list of token ids and segment ids, received {count}")
    rows = None if vectors is None else pretrained_rows(vectors)
    if rows is not None and len(rows) != token_num:
        raise ValueError(f"vectors must have token_num={token_num} rows, received shape {rows.shape}")
    width = embed_dim if rows is None else rows.shape[1]

    tokens, table = TokenEmbedding(
        token_num, width, mask_zero=True, weights=rows, trainable=trainable, name=f"{name}-Token"
    )(inputs[0])
    if width != embed_dim:
        projection = keras.layers.Dense(
            embed_dim,
            use_bias=False,
            kernel_initializer="orthogonal",
            trainable=trainable,
            name=f"{name}-Projection",
        )
        tokens, table = projection(tokens), projection(table)
    segments = keras.layers.Embedding(2, embed_dim, trainable=trainable, name=f"{name}-Segment")(inputs[1])
    x = AddToFirst(name=f"{name}-Token-Segment")([tokens, segments])
    x = PositionEmbedding(pos_num, embed_dim, mode="add", trainable=trainable, name=f"{name}-Position")(x)
    if layer_norm:
        x = keras.layers.LayerNormalization(epsilon=1e-12, trainable=trainable, name=f"{name}-Norm")(x)
    if dropout_rate > 0:
        x = keras.layers.Dropout(dropout_rate, name=f"{name}-Dropout")(x)
    return x, table
