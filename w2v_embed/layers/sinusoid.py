"""The sinusoid of "Attention Is All You Need" as a Keras initializer that fills a weight with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from ..sinusoid import sinusoid_table
from .arguments import even

if TYPE_CHECKING:
    from .backend import Tensor


@keras.saving.register_keras_serializable(package="w2v_embed")
class Sinusoid(keras.initializers.Initializer):
    """Fills a table `(positions, output_dim)` with the sinusoid: row `r` is position `r`.

    With `trainable=False` a `RelativePositionEmbedding` becomes that of NEZHA, whose rows are numbered by the shifted
    distance: distance 0 is row `K`.

    Example:

    >>> from w2v_embed.layers import RelativePositionEmbedding
    >>> nezha = RelativePositionEmbedding(129, 64, embeddings_initializer=Sinusoid(), trainable=False)

    Reference: Wei et al., 2019 (NEZHA), https://arxiv.org/abs/1909.00204
    """

    def __call__(self, shape: tuple[int, int], dtype: str | None = None) -> Tensor:
        positions, output_dim = shape
        table = sinusoid_table(np.arange(positions), even("output_dim", output_dim))
        return ops.convert_to_tensor(table, dtype=dtype or keras.config.floatx())
