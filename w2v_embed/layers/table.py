"""From word vectors to the variable of a layer: what is checked, and how the values get there.

Every way into a layer (`embedding_layer` by both paths, `PretrainedEmbedding`) goes through `read_table` and
`tensor_of`, so that each refuses the same tables in the same words and holds the same values.
"""

import keras
import numpy as np

_FLOATS = ("float32", "float16", "bfloat16", "float64")

# Rows checked together: a few MB, so that the check needs no second table.
_BLOCK_ROWS = 8192


def read_table(vectors, dtype=None, input_dim=None, output_dim=None):
    """The rows that `vectors` holds, after every check that a table must pass.

    Args:
        vectors: array-like of shape `(rows, dim)`, or an object with such an array as `.matrix`
            (an `EmbeddingMatrix`; its `word_index` then names the words in messages).
        dtype: dtype or dtype policy of the layer, as Keras takes it.
        input_dim: the number of rows that the caller expects, if any.
        output_dim: the number of columns that the caller expects, if any.

    Returns:
        Array of shape `(rows, dim)`: `vectors` itself or a view of it wherever that is possible.

    Raises:
        ValueError: the shape, the dtype or a value cannot be a table of word vectors.
    """
    try:
        table = np.asarray(getattr(vectors, "matrix", vectors))
    except ValueError as error:
        raise ValueError(f"Expected one array of shape (rows, dim), got rows that differ: {error}") from None
    # ml_dtypes gives bfloat16 to NumPy with the kind of raw bytes.
    if table.dtype.kind not in "fiu" and table.dtype.name != "bfloat16":
        raise ValueError(
            "Expected an EmbeddingMatrix or an array of real numbers, got "
            f"{type(vectors).__name__} of dtype {table.dtype}. build_matrix() makes one of a file or of KeyedVectors."
        )
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"Expected vectors of shape (rows, dim), neither of them 0. Received: shape={table.shape}")
    for name, expected, received in (("input_dim", input_dim, len(table)), ("output_dim", output_dim, table.shape[1])):
        if expected is not None and expected != received:
            raise ValueError(
                f"{name}={expected!r} disagrees with the vectors, whose shape is {table.shape}. "
                f"Leave {name} out: it is read from the vectors."
            )
    _check_values(table, variable_dtype(dtype), getattr(vectors, "word_index", None))
    return table


def variable_dtype(dtype):
    """The dtype in which a layer of this dtype (or policy; None: the global one) keeps its table."""
    policy = keras.dtype_policies.get(dtype)
    if policy.quantization_mode is not None or policy.variable_dtype not in _FLOATS:
        raise ValueError(
            f"A table of vectors is built in one of {', '.join(_FLOATS)} or a mixed policy. Received: "
            f"dtype={policy.name!r}. For integers build the layer first, then call layer.quantize('int8')."
        )
    return policy.variable_dtype


def tensor_of(table, dtype):
    """`table` as a tensor of the backend that shares no memory with it, made with as few copies as the backend allows.

    JAX and torch may otherwise keep the memory of a NumPy array as their own, and then a later change of
    the array changes the layer.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax.numpy as jnp

        return jnp.array(table, dtype=dtype, copy=True)
    # Neither torch nor TensorFlow reads every dtype of ml_dtypes from NumPy.
    own = np.array(table, dtype="float32" if dtype == "bfloat16" else dtype)
    if backend == "torch":
        import torch

        own = torch.from_numpy(own)
    return keras.ops.cast(keras.ops.convert_to_tensor(own), dtype)


def build_with(layer, table):
    """Build the Embedding `layer` so that its variable holds `table`, and nothing random is drawn.

    The initializer is Zeros afterwards: the configuration stays small, the source can be freed, and a clone
    that was not given weights is visibly empty.
    """
    if keras.distribution.distribution() is None:
        layer.embeddings_initializer = lambda shape, dtype=None: tensor_of(table, dtype)
        layer.build(None)
        layer.embeddings_initializer = keras.initializers.Zeros()
    else:
        # An initializer would be compiled with the whole table in it; an assignment places each shard.
        layer.embeddings_initializer = keras.initializers.Zeros()
        layer.build(None)
        layer.embeddings.assign(tensor_of(table, layer.variable_dtype))


def _check_values(table, dtype, word_index):
    for start in range(0, len(table), _BLOCK_ROWS):
        with np.errstate(over="ignore"):
            finite = np.isfinite(table[start : start + _BLOCK_ROWS].astype(dtype))
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            row += start
            words = [word for word, index in (word_index or {}).items() if index == row]
            raise ValueError(
                f"Row {row}{f' (the word {words[0]!r})' if words else ''} of the vectors holds {table[row, column]} in "
                f"column {column}, which is no finite {dtype}. Mend that row, or leave its word out."
            )
