"""TokenEmbedding and EmbeddingSimilarity against loops, and the tie between them."""

import keras
import numpy as np
import pytest
from keras import ops

from w2v_embed.layers import EmbeddingSimilarity, TokenEmbedding

pytestmark = pytest.mark.keras

IDS = np.array([[1, 2, 0], [4, 4, 3]], "int32")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def similarity_oracle(x, table, bias=None, softmax=True):
    """Loops over rows and tokens, in float64."""
    flat = x.reshape(-1, x.shape[-1]).astype("float64")
    out = np.zeros((len(flat), len(table)))
    for i, row in enumerate(flat):
        for token, embedding in enumerate(table.astype("float64")):
            out[i, token] = sum(a * b for a, b in zip(row, embedding)) + (0 if bias is None else bias[token])
        if softmax:
            exponentials = np.exp(out[i] - out[i].max())
            out[i] = exponentials / exponentials.sum()
    return out.reshape(*x.shape[:-1], len(table))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 4)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_embedding_takes_rows(rng, shape, dtype):
    table, ids = rng.normal(size=(6, 5)).astype("float32"), rng.integers(0, 6, shape)
    embedding, returned = TokenEmbedding(6, 5, weights=table)(ids.astype(dtype))
    expected = np.zeros((*shape, 5), "float32")
    for index in np.ndindex(*shape):
        expected[index] = table[ids[index]]
    np.testing.assert_array_equal(ops.convert_to_numpy(embedding), expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(returned), table)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_ids_keep_their_value_in_half_precision(policy, dtype):
    # 257 is 256 in bfloat16, 2049 is 2048 in float16. keras.Input is float32 unless told otherwise.
    table = np.arange(4096, dtype="float32")[:, None] % 2
    ids = np.array([[256, 257, 2048, 2049]])
    inputs = keras.Input((4,), dtype=dtype)
    layer = TokenEmbedding(4096, 1, weights=table, dtype=policy)
    model = keras.Model(inputs, layer(inputs)[0])
    for values in (layer(ids.astype(dtype))[0], model(ids.astype(dtype))):
        assert ops.convert_to_numpy(ops.cast(values, "float32")).ravel().tolist() == [0, 1, 0, 1]


def test_pretrained_rows_come_in_three_forms_and_belong_to_the_layer(rng):
    class Matrix:  # what np.asarray takes, as an EmbeddingMatrix is
        def __array__(self, dtype=None, copy=None):
            return source

    source = rng.normal(size=(5, 4)).astype("float32")
    expected = source.copy()
    layers = [TokenEmbedding(5, 4, weights=form) for form in (source, [source], Matrix())]
    source[:] = 7
    for layer in layers:
        np.testing.assert_array_equal(layer.get_weights()[0], expected)
        assert layer.get_config()["weights"] is None
        clone = TokenEmbedding.from_config(layer.get_config())
        clone.build(None)
        assert not clone.get_weights()[0].any(), "visibly empty, not random"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, r"input_dim must be a whole number from 1 on, received 0"),
        ({"output_dim": 2.5}, r"output_dim must be a whole number from 1 on, received 2.5"),
        ({"output_dim": True}, r"output_dim must be .* received True"),
        ({"weights": np.zeros((5, 3))}, r"shape \(input_dim, output_dim\) = \(5, 4\), received shape \(5, 3\)"),
        ({"weights": np.zeros((1, 4))}, r"received shape \(1, 4\)"),
        ({"weights": np.zeros(4)}, r"shape \(rows, dim\).* received shape \(4,\)"),
        ({"weights": [np.full((5, 4), np.nan)]}, r"Row 0 of the vectors holds nan"),
    ],
)
def test_wrong_arguments_of_the_embedding(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenEmbedding(**{"input_dim": 5, "output_dim": 4, **arguments})


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", ["softmax", None])
def test_similarity_equals_the_loop(rng, shape, use_bias, activation):
    x, table = rng.normal(size=(2, *shape)).astype("float32"), rng.normal(size=(7, 4)).astype("float32")
    bias = rng.normal(size=7).astype("float32")
    layer = EmbeddingSimilarity(use_bias, lambda shape, dtype: ops.convert_to_tensor(bias), activation=activation)
    out = ops.convert_to_numpy(layer([x, table]))
    expected = similarity_oracle(x, table, bias if use_bias else None, activation == "softmax")
    np.testing.assert_allclose(out, expected, atol=1e-6, rtol=1e-6)
    assert len(layer.weights) == use_bias


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_in_half_precision(rng, policy):
    x, table = rng.normal(size=(3, 64)).astype("float32"), rng.normal(size=(9, 64)).astype("float32")
    logits = EmbeddingSimilarity(activation=None, dtype=policy)
    out = logits([x, table])
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    np.testing.assert_allclose(ops.convert_to_numpy(out), similarity_oracle(x, table, softmax=False), atol=1e-5)
    told = logits([keras.Input((64,)), keras.Input(batch_shape=(9, 64))])
    assert told.dtype == "float32"
    probabilities = EmbeddingSimilarity(dtype=policy)([x, table])
    assert keras.backend.standardize_dtype(probabilities.dtype) == policy.removeprefix("mixed_")


def test_similarity_refuses_what_does_not_fit():
    layer = EmbeddingSimilarity()
    with pytest.raises(ValueError, match=r"list of two tensors, received shape \(2, 3, 4\)"):
        layer(np.zeros((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match=r"same last dimension, received 4 and 5, in the shapes \(2, 4\) and \(7, 5\)"):
        layer([np.zeros((2, 4), "float32"), np.zeros((7, 5), "float32")])
    with pytest.raises(ValueError, match=r"a table \(V, d\) of known size, received shape \(None, 4\)"):
        layer([keras.Input((4,)), keras.Input((4,))])
    layer([np.zeros((2, 4), "float32"), np.zeros((7, 4), "float32")])
    with pytest.raises(ValueError, match="received 1 and 4"):
        layer([np.zeros((2, 1), "float32"), np.zeros((7, 4), "float32")])


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_one_step_moves_all_rows_or_only_those_of_the_input(stop_gradient):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None,), dtype="int32")
    embedding = TokenEmbedding(8, 4, embeddings_initializer="normal")
    x, table = embedding(inputs)
    x = keras.layers.Dense(4, use_bias=False, name="between")(x)
    model = keras.Model(inputs, EmbeddingSimilarity(stop_gradient=stop_gradient)([x, table]))
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    before, dense = embedding.get_weights()[0].copy(), model.get_layer("between").get_weights()[0].copy()
    model.train_on_batch(IDS, np.roll(IDS, 1, axis=1))
    moved = np.flatnonzero((embedding.get_weights()[0] != before).any(axis=1)).tolist()
    assert moved == (sorted(set(IDS.ravel().tolist())) if stop_gradient else list(range(8)))
    assert (model.get_layer("between").get_weights()[0] != dense).any(), "the gradient into x always flows"
    assert len([w for w in model.trainable_weights if tuple(w.shape) == (8, 4)]) == 1, "one variable, not two"


def test_the_mask_of_x_reaches_the_loss():
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, EmbeddingSimilarity()(TokenEmbedding(5, 4, mask_zero=True)(inputs)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    probabilities = ops.convert_to_numpy(model(IDS))
    losses = [[-np.log(probabilities[b, t, IDS[b, t]]) for t in range(3)] for b in range(2)]
    counted = np.mean(np.array(losses)[IDS != 0])
    assert abs(counted - np.mean(losses)) > 1e-4, "with and without the mask must differ here"
    np.testing.assert_allclose(model.evaluate(IDS, IDS, verbose=0), counted, rtol=1e-5)


def test_lora_beside_pretrained_rows(rng):
    table = rng.normal(size=(6, 5)).astype("float32")
    layer = TokenEmbedding(6, 5, weights=table, lora_rank=2)
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(6, 2), (2, 5)]
    embedding, returned = layer(IDS)
    np.testing.assert_array_equal(ops.convert_to_numpy(embedding), table[IDS])
    np.testing.assert_array_equal(ops.convert_to_numpy(returned), table)
    assert TokenEmbedding.from_config(layer.get_config()).lora_rank == 2


def sparse(ids):
    """The same ids as a sparse tensor of the backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.sparse.from_dense(ids)
    from jax.experimental.sparse import BCOO

    return BCOO.fromdense(ids)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras has no sparse tensors on torch")
def test_sparse_ids_are_taken():
    table = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    layer = TokenEmbedding(6, 5, mask_zero=True, weights=table)
    inputs = keras.Input((3,), dtype="int32", sparse=True)
    for call in (layer, keras.Model(inputs, layer(inputs))):
        embedding, _ = call(sparse(IDS))
        np.testing.assert_array_equal(ops.convert_to_numpy(embedding), table[IDS])
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.compute_mask(sparse(IDS))[0]), IDS != 0)
