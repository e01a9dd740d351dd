"""An `nnx.Embed` whose padding row stays as it is. flax is imported by whoever imports this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx
from jax import numpy as jnp

if TYPE_CHECKING:
    from typing import Any

    import jax


class PaddedEmbed(nnx.Embed):
    """Id 0 gives zeros, and no gradient reaches its row."""

    def __call__(self, inputs: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        rows = super().__call__(inputs, *args, **kwargs)
        return jnp.where((inputs == 0)[..., None], jnp.zeros_like(rows), rows)
