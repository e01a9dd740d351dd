"""The matrix as a module of plain torch, or of flax. Neither Keras nor the other of the two is imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, get_args

import numpy as np

from .._types import BagMode
from ..checks import one_of
from .finite import check_finite

if TYPE_CHECKING:
    from typing import Any

    import torch
    from flax import nnx

    from .._types import Floats
    from .embedding_matrix import EmbeddingMatrix


def torch_embedding(em: EmbeddingMatrix, freeze: bool) -> torch.nn.Embedding:
    """See `EmbeddingMatrix.as_torch`."""
    torch = _imported("torch", "as_torch()")
    return torch.nn.Embedding.from_pretrained(torch.from_numpy(_own(em)), freeze=freeze, padding_idx=em.padding_row)


def torch_bag(em: EmbeddingMatrix, mode: BagMode, freeze: bool) -> torch.nn.EmbeddingBag:
    """See `EmbeddingMatrix.as_torch_bag`."""
    one_of("mode", mode, get_args(BagMode))
    torch = _imported("torch", "as_torch_bag()")
    table = torch.from_numpy(_own(em))
    return torch.nn.EmbeddingBag.from_pretrained(table, freeze=freeze, mode=mode, padding_idx=em.padding_row)


def nnx_embed(em: EmbeddingMatrix, freeze: bool) -> nnx.Embed:
    """See `EmbeddingMatrix.as_nnx`."""
    nnx, numpy = _imported("flax.nnx", "as_nnx()"), _imported("jax.numpy", "as_nnx()")
    own = _own(em)
    table = numpy.asarray(own)  # JAX may keep this memory, which nobody else has
    if table.dtype != own.dtype:
        raise ValueError(
            f"JAX must be told to hold {own.dtype}, or it makes {table.dtype} of the rows: "
            "jax.config.update('jax_enable_x64', True). Or build the matrix with dtype='float32'."
        )
    if em.padding_row is None or freeze:
        kind = nnx.Embed
    else:
        from ._padded_embed import PaddedEmbed

        kind = PaddedEmbed
    layer = kind(*table.shape, param_dtype=table.dtype, embedding_init=lambda *_: table, rngs=nnx.Rngs(0))
    if freeze:
        layer.embedding = nnx.Variable(table)
    return layer


def _own(em: EmbeddingMatrix) -> Floats:
    """A copy of the matrix that torch and JAX can take over, after the checks that Keras' layers make."""
    matrix = em.matrix
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize > 8 or 0 in matrix.shape:
        raise ValueError(
            "matrix must hold rows of float16, float32 or float64, received "
            f"shape {matrix.shape} and dtype {matrix.dtype}. build_matrix(…, dtype=…) makes such a one."
        )
    check_finite(matrix, matrix.dtype, em.word_index)
    if em.padding_row is not None and matrix[0].any():
        raise ValueError(f"row 0 of matrix must be zero, for it is the padding row, received {matrix[0][:4]} …")
    return np.array(matrix, matrix.dtype.newbyteorder("="), order="C")


def _imported(module: str, user: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{user} needs {package}, and importing it failed: {error}. pip install {package}") from error
