"""The sinusoid of "Attention Is All You Need", as a NumPy table: the layers and the encoders share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def sinusoid_table(positions: npt.ArrayLike, width: int) -> npt.NDArray[np.float64]:
    """Sines and cosines of `positions`, interleaved, in float64: `(…)` → `(…, width)`.

    Column `2c` is `sin(p · 10000^(−2c / width))`, column `2c + 1` the cosine; an odd width ends with a sine. float64 matters:
    an angle near 4096 kept in float32 is off by up to 1.5e-4.

    Example:
        >>> sinusoid_table([0, 1], 4).round(3)
        array([[0.   , 1.   , 0.   , 1.   ],
               [0.841, 0.54 , 0.01 , 1.   ]])

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    """
    frequencies = 10000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.asarray(positions, np.float64)[..., None] * frequencies
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return pairs.reshape(*angles.shape[:-1], -1)[..., :width]
