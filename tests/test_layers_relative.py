"""RelativePositionEmbedding and RelativeSelfAttention against loops, and the tensors that attention makes."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from w2v_embed.layers import RelativePositionEmbedding, RelativeSelfAttention, Sinusoid
from w2v_embed.layers.relative import collect_by_distance, spread_by_distance

pytestmark = pytest.mark.keras


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def distance_row(query, value, largest):
    """The row of the table, found by walking instead of clipping."""
    row = largest
    while query < value and row < 2 * largest:
        query, row = query + 1, row + 1
    while value < query and row > 0:
        value, row = value + 1, row - 1
    return row


def nezha_table(largest, width):
    table = np.zeros((2 * largest + 1, width))
    for r in range(2 * largest + 1):
        for c in range(width // 2):
            angle = r * 10000 ** (-2 * c / width)
            table[r, 2 * c], table[r, 2 * c + 1] = math.sin(angle), math.cos(angle)
    return table


def attention_oracle(x, weights, table, heads, mask=None):
    """Loops over batch, heads, queries and keys, with R spelled out pair by pair, in float64."""
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = weights
    batch, length, _ = x.shape
    width, largest = table.shape[1], len(table) // 2
    out = np.zeros((batch, length, wo.shape[1]))
    for b in range(batch):
        merged = np.zeros((length, heads * width))
        for n in range(heads):
            own = slice(n * width, (n + 1) * width)
            q, k, v = (x[b].astype("float64") @ w[:, own] + bias[own] for w, bias in ((wq, bq), (wk, bk), (wv, bv)))
            for i in range(length):
                keys = [j for j in range(length) if mask is None or mask[b, j]]
                rows = [table[distance_row(i, j, largest)] for j in keys]
                scores = np.array([q[i] @ (k[j] + row) / math.sqrt(width) for j, row in zip(keys, rows)])
                shares = np.exp(scores - scores.max())
                shares /= shares.sum()
                for share, j, row in zip(shares, keys, rows):
                    merged[i, own] += share * (v[j] + row)
        out[b] = merged @ wo + bo
    return out


@pytest.mark.parametrize("input_dim", [1, 2, 5, 6, 21])
@pytest.mark.parametrize(("q_length", "v_length"), [(1, 1), (4, 4), (3, 7), (8, 2)])
def test_embedding_equals_the_loop(rng, input_dim, q_length, v_length):
    table = rng.normal(size=(input_dim, 3)).astype("float32")
    layer = RelativePositionEmbedding(input_dim, 3, lambda shape, dtype: ops.convert_to_tensor(table))
    q, v = np.zeros((2, q_length, 5), "float32"), np.zeros((2, v_length), "int32")
    out = ops.convert_to_numpy(layer([q, v]))
    assert out.shape == (q_length, v_length, 3)
    for i in range(q_length):
        for j in range(v_length):
            np.testing.assert_array_equal(out[i, j], table[distance_row(i, j, (input_dim - 1) // 2)])


def test_embedding_of_nezha_is_a_frozen_sinusoid_by_shifted_distance():
    layer = RelativePositionEmbedding(9, 6, Sinusoid(), trainable=False)
    out = ops.convert_to_numpy(layer([np.zeros((1, 7)), np.zeros((1, 7))]))
    table = nezha_table(4, 6)
    for i in range(7):
        for j in range(7):
            np.testing.assert_allclose(out[i, j], table[distance_row(i, j, 4)], atol=1e-6)
    assert layer.trainable_weights == []


def test_embedding_starts_at_zero_and_takes_keras_initializers_by_position():
    assert not ops.convert_to_numpy(RelativePositionEmbedding(5, 2)([np.zeros((1, 3)), np.zeros((1, 3))])).any()
    assert ops.convert_to_numpy(RelativePositionEmbedding(5, 2, "ones")([np.zeros((1, 3)), np.zeros((1, 3))])).all()


def test_embedding_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"input_dim must be a whole number from 1 on, received 0"):
        RelativePositionEmbedding(0, 4)
    with pytest.raises(ValueError, match=r"output_dim must be a whole number from 1 on, received None"):
        RelativePositionEmbedding(5, None)
    with pytest.raises(ValueError, match=r"list of two tensors, received shape \(2, 3, 4\)"):
        RelativePositionEmbedding(5, 4)(np.zeros((2, 3, 4), "float32"))
    built = RelativePositionEmbedding(5, 4)
    built([np.zeros((2, 3)), np.zeros((2, 3))])
    with pytest.raises(ValueError, match=r"list of two tensors, received shape \(2, 3, 4\)"):
        built(np.zeros((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match=r"a batch and a length, received shapes \(3,\) and \(2, 3\)"):
        RelativePositionEmbedding(5, 4)([np.zeros(3), np.zeros((2, 3))])


@pytest.mark.parametrize("largest", [1, 2, 4, 9])
@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_spread_and_collect_equal_the_loops(rng, largest, length):
    buckets = rng.normal(size=(2, 3, length, 2 * largest + 1)).astype("float32")
    pairs = rng.normal(size=(2, 3, length, length)).astype("float32")
    spread, collected = np.zeros_like(pairs), np.zeros_like(buckets)
    for i in range(length):
        for j in range(length):
            row = distance_row(i, j, largest)
            spread[..., i, j] = buckets[..., i, row]
            collected[..., i, row] += pairs[..., i, j]
    np.testing.assert_array_equal(ops.convert_to_numpy(spread_by_distance(ops.convert_to_tensor(buckets))), spread)
    mine = ops.convert_to_numpy(collect_by_distance(ops.convert_to_tensor(pairs), largest))
    np.testing.assert_allclose(mine, collected, atol=1e-6)


@pytest.mark.parametrize("positions", ["sinusoid", "learned"])
@pytest.mark.parametrize(("heads", "width", "largest", "length"), [(1, 2, 1, 1), (2, 4, 2, 5), (3, 4, 64, 6)])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_equals_the_loop(rng, positions, heads, width, largest, length, padded):
    x = rng.normal(size=(2, length, 6)).astype("float32")
    mask = np.ones((2, length), bool)
    if padded:
        mask[1, length // 2 + 1 :] = mask[0, :1] = False
        mask[0, -1] = True
    layer = RelativeSelfAttention(heads, width, largest, positions=positions)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape, scale=0.5) for w in layer.get_weights()])
    table = nezha_table(largest, width)
    if positions == "learned":
        table = ops.convert_to_numpy(layer.table)
    layers = (layer.query, layer.key, layer.value, layer.output_projection)
    expected = attention_oracle(x, [each.get_weights() for each in layers], table, heads, mask)
    out = ops.convert_to_numpy(layer(x, mask=ops.convert_to_tensor(mask)))
    np.testing.assert_allclose(out, expected, atol=1e-6, rtol=1e-6)
    if padded and length > 1:
        plain = attention_oracle(x, [each.get_weights() for each in layers], table, heads)
        assert np.abs(plain - expected).max() > 1e-3, "with and without the mask must differ here"


def test_attention_reads_the_mask_of_its_input(rng):
    ids = np.array([[1, 2, 0, 0], [3, 1, 2, 4]])
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(5, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, RelativeSelfAttention(2, 2, 3)(x))
    alone, batch = ops.convert_to_numpy(model(ids[:1, :2])), ops.convert_to_numpy(model(ids))
    np.testing.assert_allclose(batch[:1, :2], alone, atol=1e-6)


def test_a_row_of_padding_gives_finite_numbers_and_gradients():
    inputs = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(5, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(RelativeSelfAttention(2, 2, positions="learned")(x)))
    model.compile("sgd", "mse")
    model.train_on_batch(np.array([[0, 0, 0], [1, 2, 0]]), np.ones((2, 12)))
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_attention_drops_in_training_only(rng):
    x = rng.normal(size=(2, 4, 6)).astype("float32")
    layer = RelativeSelfAttention(2, 4, dropout=0.5)
    calm = [ops.convert_to_numpy(layer(x)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    assert np.abs(ops.convert_to_numpy(layer(x, training=True)) - calm[0]).max() > 1e-3


def test_the_sinusoid_is_no_weight_and_the_learned_table_is_trained(rng):
    x = rng.normal(size=(2, 4, 6)).astype("float32")
    fixed, learned = RelativeSelfAttention(2, 4, 2), RelativeSelfAttention(2, 4, 2, positions="learned")
    fixed.build(x.shape)
    assert all(tuple(w.shape) != (5, 4) for w in fixed.weights)
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, learned(inputs))
    model.compile("sgd", "mse")
    assert not ops.convert_to_numpy(learned.table).any()
    model.train_on_batch(x, np.ones_like(x))
    assert ops.convert_to_numpy(learned.table).all(axis=1).all(), "every distance within the length is reached"


def test_attention_refuses_what_does_not_fit():
    for name in ("num_heads", "key_dim", "max_distance"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 on, received 0"):
            RelativeSelfAttention(**{"num_heads": 2, "key_dim": 4, name: 0})
    with pytest.raises(ValueError, match=r'positions must be "sinusoid" or "learned", received .t5.'):
        RelativeSelfAttention(2, 4, positions="t5")
    with pytest.raises(ValueError, match=r"key_dim must be even.* received 3"):
        RelativeSelfAttention(2, 3)(np.zeros((1, 2, 6), "float32"))
    with pytest.raises(ValueError, match=r"\(batch, length, features\).* received shape \(2, 6\)"):
        RelativeSelfAttention(2, 4)(np.zeros((2, 6), "float32"))
    with pytest.raises(ValueError, match=r"received shape \(None, 3, None\)"):
        RelativeSelfAttention(2, 4)(keras.Input((3, None)))


def sizes_of_all_tensors(function, x):
    """The number of elements of every tensor that `function(x)` makes, its gradient included where there is a graph."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def walk(jaxpr):
            for equation in jaxpr.eqns:
                yield from (math.prod(out.aval.shape) for out in equation.outvars)
                for inner in jax.core.jaxprs_in_params(equation.params):
                    yield from walk(inner)

        return list(walk(jax.make_jaxpr(jax.grad(lambda x: function(x).sum()))(x).jaxpr))
    if backend == "tensorflow":
        import tensorflow as tf

        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                out = function(x)
            return tape.gradient(out, x)

        graph = tf.function(run).get_concrete_function(tf.constant(x)).graph
        return [out.shape.num_elements() for operation in graph.get_operations() for out in operation.outputs]
    if backend == "torch":
        import torch
        from torch.utils._python_dispatch import TorchDispatchMode

        sizes = []

        class Watch(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                sizes.extend(t.numel() for t in keras.tree.flatten(out) if isinstance(t, torch.Tensor))
                return out

        with Watch():
            leaf = torch.tensor(x, requires_grad=True)
            function(leaf).sum().backward()
        return sizes
    raise NotImplementedError(backend)


def test_attention_makes_no_tensor_of_length_by_length_by_width(rng):
    length, width, largest = 64, 32, 3
    x = rng.normal(size=(1, length, 8)).astype("float32")
    attention = RelativeSelfAttention(1, width, largest)
    attention(x)
    spelled_out = RelativePositionEmbedding(2 * largest + 1, width)
    spelled_out([x, x])

    def size_of_largest(function):
        return max(filter(None, sizes_of_all_tensors(function, x)))

    assert size_of_largest(lambda x: ops.sum(spelled_out([x, x]), -1) @ x[0]) >= length * length * width
    # The widest is a band in its frame of T + 2K − 2 columns, with one more to shift it.
    assert size_of_largest(attention) <= length * (length + 2 * largest - 1) < length * length * width / 16
