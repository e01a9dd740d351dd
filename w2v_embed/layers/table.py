"""From word vectors to the variable of a layer: what is checked, and how the values get there.

Every way into a layer (`embedding_layer` by both paths, `PretrainedEmbedding`) goes through `read_table` and
`assign_rows` or `build_with`, so that each refuses the same tables in the same words and holds the same values.
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


def build_with(layer, table):
    """Build the Embedding `layer` so that its variable holds `table`: without a random draw or a needless copy.

    The initializer is Zeros afterwards: the configuration stays small, the source can be freed, and a clone
    that was not given weights is visibly empty.
    """
    layer.embeddings_initializer = keras.initializers.Zeros()
    if keras.backend.backend() == "jax" and keras.distribution.distribution() is None:
        # Values never change on JAX: zeros first would be a second table. (For a distributed layout Keras would compile
        # the initializer with the whole table in it; there the assignment below places each shard.)
        layer.embeddings_initializer = lambda shape, dtype=None: _jax_copy(table, dtype)
        layer.build(None)
        layer.embeddings_initializer = keras.initializers.Zeros()
    else:
        layer.build(None)
        # The variable itself: `embeddings` is a sum where LoRA stands beside it.
        assign_rows(layer._embeddings, table)


def assign_rows(variable, table):
    """Copy `table` into a variable of the same shape, so that the two share no memory.

    Where a backend can write in place it happens in blocks: TensorFlow's own assignment needs two more tables.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        variable.assign(_jax_copy(table, variable.dtype))
        return
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy() or isinstance(variable.value, tf.distribute.DistributedValues):
            variable.assign(np.array(table))
            return

        def write(start, block):
            rows = tf.range(start, start + len(block))
            variable.value.scatter_update(tf.IndexedSlices(tf.cast(block, variable.dtype), rows))
            end_copy_on_read(variable.value)
    else:
        import torch

        def write(start, block):
            with torch.no_grad():
                variable.value[start : start + len(block)] = torch.from_numpy(block).to(variable.value)

    for start in range(0, len(table), _BLOCK_ROWS):
        block = table[start : start + _BLOCK_ROWS]
        # bfloat16 of ml_dtypes is unknown to torch.
        write(start, np.array(block, "float32" if block.dtype.name == "bfloat16" else block.dtype))


def end_copy_on_read(*variables):
    """Let reads of these TensorFlow variables share the table again, after rows were written into it in place.

    A write of single rows (and a gather from the variable itself) makes TensorFlow copy the whole table in every later
    read: a training step with a frozen table of 200,000 × 300 took 203 ms instead of 2.4. The switch stays on until
    it is turned off. Inside a function that XLA compiles there is neither the switch nor the operation that turns it off.
    """
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    if not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return
    for variable in variables:
        tf.raw_ops.DisableCopyOnRead(resource=variable.handle)


def _jax_copy(table, dtype):
    import jax

    # JAX on a CPU keeps the memory of an array that is aligned to 64 bytes as its own, and copies any other. So it is
    # given an aligned copy: the source's own memory would let later changes in, and jnp.array() would copy twice.
    dtype = jax.numpy.zeros((), dtype).dtype
    size = table.size * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    own = memory[start : start + size].view(dtype).reshape(table.shape)
    own[...] = table
    return jax.device_put(own)


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
