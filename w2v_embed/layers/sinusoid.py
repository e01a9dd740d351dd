"""The sinusoid of "Attention Is All You Need": a NumPy table, and a Keras initializer that fills a weight with it."""

import keras
import numpy as np
from keras import ops

from .arguments import positive_int


def sinusoid_table(positions, output_dim):
    """Sines and cosines of `positions`, interleaved, in float64: `(…)` → `(…, output_dim)`.

    Column `2c` is `sin(p · 10000^(−2c / output_dim))`, column `2c + 1` the cosine. float64 matters: an angle near 4096
    kept in float32 is off by up to 1.5e-4.

    Example:

    >>> sinusoid_table([0, 1], 4).round(3)
    array([[0.   , 1.   , 0.   , 1.   ],
           [0.841, 0.54 , 0.01 , 1.   ]])

    Raises:
        ValueError: `output_dim` is not a positive even number.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    """
    if positive_int("output_dim", output_dim) % 2:
        raise ValueError(
            f"`output_dim` must be even: a sinusoid has a sine and a cosine of each frequency. Received: {output_dim}"
        )
    frequencies = 10000.0 ** (-np.arange(0, output_dim, 2) / output_dim)
    angles = np.asarray(positions, dtype="float64")[..., None] * frequencies
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(*angles.shape[:-1], output_dim)


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

    def __call__(self, shape, dtype=None):
        positions, output_dim = shape
        table = sinusoid_table(np.arange(positions), output_dim)
        return ops.convert_to_tensor(table, dtype=dtype or keras.config.floatx())
