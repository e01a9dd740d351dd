"""The poolings against loops, where masks are odd, where floats are short, and where there is nothing to pool."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import (  # noqa: E402
    AttentionPooling,
    MaskedMaxPooling,
    MaskedMeanPooling,
    WeightedMeanPooling,
)

pytestmark = pytest.mark.keras

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
MASK = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
IDS = np.array([[3, 1, 2, 2, 0], [1, 1, 4, 5, 2], [1, 2, 3, 4, 5], [5, 0, 3, 0, 1]], "int32")
ID_WEIGHTS = np.array([0, 3, 1e-6, 0.5, 7, 1], "float32")
QUERY = np.array([0.7, -1.3, 2.0], "float32")


def oracle(x, mask, weigh=lambda i, t: 1.0):
    """The mean of what the mask lets through, by weights."""
    out = np.zeros((len(x), x.shape[2]))
    for i, row in enumerate(x):
        total, weights = np.zeros(x.shape[2]), 0.0
        for t, vector in enumerate(row):
            if mask[i][t]:
                total += np.float64(weigh(i, t)) * vector.astype("float64")
                weights += np.float64(weigh(i, t))
        if weights:
            out[i] = total / weights
    return out


def largest_oracle(x, mask):
    out = np.zeros((len(x), x.shape[2]))
    for i, row in enumerate(x):
        words = [vector for vector, valid in zip(row, mask[i]) if valid]
        for column in range(x.shape[2]):
            if words:
                out[i, column] = max(word[column] for word in words)
    return out


def attention_oracle(x, mask):
    return oracle(x, mask, lambda i, t: np.exp(x[i, t].astype("float64") @ QUERY.astype("float64")))


def attention(**kwargs):
    return AttentionPooling(query_initializer=keras.initializers.Constant(QUERY), **kwargs)


def by_ids(**kwargs):
    """A WeightedMeanPooling that is called with vectors alone: the ids are `IDS`."""
    layer = WeightedMeanPooling(ID_WEIGHTS, **kwargs)
    return lambda x, mask=None: layer([x, IDS[: x.shape[0], : x.shape[1]]], mask=[mask, None])


def by_positions(**kwargs):
    layer = WeightedMeanPooling(**kwargs)
    return lambda x, mask=None: layer([x, ID_WEIGHTS[IDS][: x.shape[0], : x.shape[1]]], mask=[mask, None])


def weighted_oracle(x, mask):
    return oracle(x, mask, lambda i, t: ID_WEIGHTS[IDS[i, t]])


POOLINGS = {
    "mean": (MaskedMeanPooling, oracle),
    "max": (MaskedMaxPooling, largest_oracle),
    "attention": (attention, attention_oracle),
    "ids": (by_ids, weighted_oracle),
    "positions": (by_positions, weighted_oracle),
}
each = pytest.mark.parametrize(("make", "expected"), POOLINGS.values(), ids=POOLINGS)


def numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype("float64")


def gradient_of(function, x):
    """d sum(function(x) · 1, 2, 3 …) / dx, by the backend that runs."""

    def loss(x):
        y = keras.ops.cast(function(x), "float32")
        factors = np.arange(1, 1 + y.shape[0] * y.shape[1], dtype="float32").reshape(y.shape)
        return keras.ops.sum(y * keras.ops.convert_to_tensor(factors))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.Variable(x)
        with tf.GradientTape() as tape:
            value = loss(x)
        return tape.gradient(value, x).numpy()
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(loss)(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    loss(x).backward()
    return x.grad.numpy()


@each
def test_it_pools_what_the_mask_lets_through(make, expected):
    np.testing.assert_allclose(numpy(make()(X, mask=MASK)), expected(X, MASK), atol=1e-6)
    np.testing.assert_allclose(numpy(make()(X)), expected(X, np.ones_like(MASK)), atol=1e-6)
    np.testing.assert_allclose(numpy(make()(X, mask=MASK.astype("int32"))), expected(X, MASK), atol=1e-6)


@each
@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_no_length_gives_zeros_and_a_length_of_1_the_vector(make, expected, batch, length):
    x, mask = X[:batch, :length], MASK[:batch, :length]
    for masks in ({}, {"mask": mask}):
        out = numpy(make()(x, **masks))
        assert out.shape == (batch, 3)
        np.testing.assert_allclose(out, expected(x, masks.get("mask", np.ones_like(mask))), atol=1e-6)


@each
def test_a_graph_whose_lengths_are_not_known_takes_none_as_well(make, expected):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the other backends compile for each length anew")
    import tensorflow as tf

    layer = make()
    if expected is weighted_oracle:
        layer = lambda x, mask: WeightedMeanPooling()([x, tf.ones(tf.shape(x)[:2])], mask=[mask, None])  # noqa: E731
    else:
        layer(X)  # builds it
    signature = [tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None), "bool")]
    pooled = tf.function(lambda x, mask: layer(x, mask=mask), signature)
    for batch, length in ((4, 5), (2, 0), (0, 2)):
        x, mask = X[:batch, :length], MASK[:batch, :length]
        wanted = (oracle if expected is weighted_oracle else expected)(x, mask)
        np.testing.assert_allclose(numpy(pooled(x, mask)), wanted, atol=1e-6)


@each
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_short_floats_count_far_and_divide_by_no_zero(make, expected, dtype):
    x = np.ones((2, 1000, 3), "float32") * 3
    mask = np.zeros((2, 1000), bool)
    mask[0, :999] = True
    layer = make(dtype=dtype)
    if expected is weighted_oracle:
        function = WeightedMeanPooling(np.full(2, 1e-7), dtype=dtype)
        layer = lambda x, mask: function([x, np.ones((2, 1000), "int32")], mask=[mask, None])  # noqa: E731
    out = layer(x, mask=mask)
    assert keras.backend.standardize_dtype(out.dtype) == dtype.removeprefix("mixed_")
    np.testing.assert_array_equal(numpy(out), [[3, 3, 3], [0, 0, 0]])


@each
def test_nan_behind_the_mask_stays_there_in_both_directions(make, expected):
    x = X.copy()
    x[~MASK] = np.nan
    np.testing.assert_allclose(numpy(make()(x, mask=MASK)), expected(X, MASK), atol=1e-6)
    gradient = gradient_of(lambda x: make()(x, mask=MASK), x)
    np.testing.assert_array_equal(gradient[~MASK], 0)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[MASK]).max() > 0.1


@each
def test_gradients_equal_differences_of_the_loop(make, expected):
    weights = np.arange(1, 13).reshape(4, 3)
    numeric = np.zeros(X.shape)
    for place in np.ndindex(X.shape):
        step = np.zeros(X.shape)
        step[place] = 1e-5
        up, down = (expected(X.astype("float64") + sign * step, MASK) for sign in (1, -1))
        numeric[place] = ((up - down) * weights).sum() / 2e-5
    np.testing.assert_allclose(gradient_of(lambda x: make()(x, mask=MASK), X), numeric, atol=1e-3)


@each
def test_infinite_and_large_numbers(make, expected):
    x = np.full((2, 3, 2), -3e38, "float32")
    if expected is largest_oracle:
        x[1] = -np.inf  # is not taken for padding
        np.testing.assert_array_equal(numpy(make()(x)), [[-np.float32(3e38)] * 2, [-np.inf] * 2])
    elif expected is weighted_oracle:
        huge = WeightedMeanPooling()([np.full((2, 3, 2), 2.0, "float32"), np.full((2, 3), 1e37, "float32")])
        np.testing.assert_allclose(numpy(huge), 2)
    elif expected is attention_oracle:
        x = np.zeros((1, 3, 3), "float32")
        x[0, :, 0] = 1e30, 1e29, -1e30  # exp() of these is no number
        np.testing.assert_allclose(numpy(make()(x)), [[1e30, 0, 0]])


@each
def test_the_mask_comes_from_the_layer_before_and_ends_here(make, expected):
    if expected is weighted_oracle:
        pytest.skip("see test_a_model_of_ids")
    inputs = keras.Input((None, 3))
    pooled = make()(keras.layers.Masking()(inputs))
    assert pooled.shape == (None, 3)
    assert getattr(pooled, "_keras_mask", None) is None
    x = X * MASK[..., None]
    np.testing.assert_allclose(keras.Model(inputs, pooled).predict(x, verbose=0), expected(x, MASK), atol=1e-6)


@each
def test_wrong_shapes_are_named(make, expected):
    with pytest.raises(ValueError, match=r"mask must have the shape \(batch, time\), received shape \(4, 5, 1\)"):
        make()(X, mask=MASK[..., None])
    # Keras would stretch it, and the mean would divide by 1.
    with pytest.raises(ValueError, match=r"mask must have the shape \(batch, time\), received shape \(4, 1\)"):
        make()(X, mask=MASK[:, :1])
    if expected is not weighted_oracle:
        with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
            make()(X[0])


# ── the learned one ──


def test_attention_begins_as_the_mean_and_learns_which_word_counts():
    np.testing.assert_allclose(numpy(AttentionPooling()(X, mask=MASK)), oracle(X, MASK), atol=1e-6)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(256, 6, 4)).astype("float32")
    x[..., 0] = 0
    told = rng.integers(6, size=256)
    x[np.arange(256), told, 0] = 1  # the word that counts
    inputs = keras.Input((None, 4))
    layer = AttentionPooling()
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    wanted = x[np.arange(256), told]
    first = model.evaluate(x, wanted, verbose=0)
    model.fit(x, wanted, epochs=20, batch_size=64, verbose=0)
    assert model.evaluate(x, wanted, verbose=0) < first / 10
    query = numpy(layer.query)
    assert query[0] > 3
    assert query[0] > 10 * np.abs(query[1:]).max()


def test_attention_needs_a_width():
    with pytest.raises(
        ValueError, match=r"the last dimension of inputs must be known, received shape \(None, 5, None\)"
    ):
        AttentionPooling()(keras.Input((5, None)))


# ── the weighted one ──


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_model_of_ids(dtype, tmp_path):
    table = np.random.default_rng(0).normal(size=(3000, 3)).astype("float32")
    weights = np.random.default_rng(1).uniform(1e-7, 1e-6, size=3000)  # float16 has none of these
    ids = np.array([[2999, 2049, 2050, 0], [5, 0, 0, 0], [0, 0, 0, 0]], "int32")  # nor some of these
    inputs = keras.Input((None,))  # float32, as many give ids
    from w2v_embed.layers import embedding_layer

    x = embedding_layer(table, mask_zero=True, dtype=dtype)(keras.ops.cast(inputs, "int32"))
    model = keras.Model(inputs, WeightedMeanPooling(weights, dtype=dtype)([x, inputs]))
    expected = oracle(table[ids], ids != 0, lambda i, t: weights[ids[i, t]])
    tolerance = {"float32": 1e-6, "mixed_float16": 2e-3}[dtype]
    np.testing.assert_allclose(model.predict(ids, verbose=0), expected, atol=tolerance)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(ids, verbose=0), model.predict(ids, verbose=0))
    assert "0.0000" not in str(loaded.get_config())
    assert len(str(model.get_config())) < 10_000


def test_ids_may_be_sparse():
    if keras.backend.backend() == "torch":
        pytest.skip("Keras has no sparse tensors on torch")
    ids = np.where(MASK, IDS, 0)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        sparse = tf.sparse.from_dense(ids)
    else:
        from jax.experimental.sparse import BCOO

        sparse = BCOO.fromdense(ids)
    expected = oracle(X, np.ones_like(MASK), lambda i, t: ID_WEIGHTS[ids[i, t]])
    np.testing.assert_allclose(numpy(WeightedMeanPooling(ID_WEIGHTS)([X, sparse])), expected, atol=1e-6)


def test_both_masks_count_and_either_may_be_missing():
    layer, other = WeightedMeanPooling(ID_WEIGHTS), MASK[::-1]
    both = weighted_oracle(X, MASK & other)
    np.testing.assert_allclose(numpy(layer([X, IDS], mask=[MASK, other])), both, atol=1e-6)
    np.testing.assert_allclose(numpy(layer([X, IDS], mask=[None, other])), weighted_oracle(X, other), atol=1e-6)


def test_weights_of_ids_are_a_copy_are_trained_on_demand_and_stay_from_0_on():
    source = ID_WEIGHTS.copy()
    layer = WeightedMeanPooling(source)
    source[:] = 5
    np.testing.assert_array_equal(numpy(layer.id_weights), ID_WEIGHTS)
    assert not layer.trainable_weights
    inputs = [keras.Input((None, 3)), keras.Input((None,), dtype="int32")]
    layer = WeightedMeanPooling(ID_WEIGHTS, trainable=True)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1e3), "mse")
    model.fit([X, IDS], np.full((4, 3), 9.0), epochs=3, verbose=0)
    after = numpy(layer.id_weights)
    assert (after != ID_WEIGHTS).any()
    assert (after >= 0).all()
    assert (after == 0).any()
    assert np.isfinite(after).all()
    assert model.get_layer(layer.name).get_config()["trainable"]


def test_the_gradient_of_the_weights_equals_differences_of_the_loop():
    weights = np.array([[0.3, 0, 2, 1, 4], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1e-6, 1e-6, 0, 0, 1e-6]], "float32")
    got = gradient_of(lambda w: WeightedMeanPooling()([X, w], mask=[MASK, None]), weights)
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got[[1, 2]], 0)  # nothing counts there
    factors = np.arange(1, 13).reshape(4, 3)
    for t in range(5):
        step = np.zeros(5)
        step[t] = 1e-5
        up, down = (oracle(X[:1], MASK[:1], lambda i, k, w=weights + s * step: w[i, k]) for s in (1, -1))
        assert got[0, t] == pytest.approx(((up - down) * factors[:1]).sum() / 2e-5, abs=1e-3)


def test_a_clone_is_visibly_empty_until_it_gets_its_weights():
    layer = WeightedMeanPooling(ID_WEIGHTS)
    clone = WeightedMeanPooling.from_config(layer.get_config())
    np.testing.assert_array_equal(numpy(clone([X, IDS])), 0)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numpy(clone([X, IDS])), numpy(layer([X, IDS])))


def test_an_id_outside_of_the_weights():
    layer, ids = WeightedMeanPooling(ID_WEIGHTS), IDS.copy()
    np.testing.assert_array_equal(numpy(layer([X, ids - 6])), numpy(layer([X, ids])))
    ids[0, 0] = 6
    if keras.backend.backend() == "jax":
        out = numpy(layer([X, ids]))
        assert np.isnan(out[0]).all()
        assert np.isfinite(out[1:]).all()
    else:
        with pytest.raises(Exception, match="range|not in"):
            layer([X, ids])


def test_weights_that_are_none_are_refused():
    for wrong, told in (
        ([1.0, -2.0], "id_weights must be finite numbers from 0 on, received -2.0 for the id 1"),
        ([1.0, np.nan], "received nan for the id 1"),
        ([1e39, 1.0], "received 1e+39 for the id 0"),
        ([[1.0]], "id_weights must be one number for each id, an array of shape (rows,), received shape (1, 1)"),
        ([], "received shape (0,)"),
        (["a"], "dtype <U1. w2v_embed.weights.sif_weights() makes them of counts."),
        ([True], "dtype bool"),
    ):
        with pytest.raises(ValueError) as error:
            WeightedMeanPooling(wrong)
        assert told in str(error.value)
    with pytest.raises(ValueError, match="input_dim must be 2, the number of id_weights, received 3"):
        WeightedMeanPooling([1, 2], input_dim=3)
    with pytest.raises(ValueError, match="input_dim must be None or a whole number from 1 on, received 0"):
        WeightedMeanPooling(input_dim=0)


def test_inputs_that_are_none_are_refused():
    shapes = "inputs must be vectors (batch, time, dim) and ids (batch, time), received shapes (4, 5, 3) and ({})"
    for ids, told in ((IDS[:, :1], "4, 1"), (IDS[:1], "1, 5"), (IDS[..., None], "4, 5, 1")):
        with pytest.raises(ValueError) as error:
            WeightedMeanPooling(ID_WEIGHTS)([X, ids])
        assert shapes.format(told) in str(error.value)
    for second, layer in (("ids", WeightedMeanPooling(ID_WEIGHTS)), ("weights", WeightedMeanPooling())):
        with pytest.raises(ValueError, match=rf"inputs must be \[vectors, {second}\], a list of two tensors"):
            layer(X)
    with pytest.raises(
        ValueError, match=r"and weights \(batch, time\), received shapes \(None, 5, 3\) and \(None, 4\)"
    ):
        WeightedMeanPooling()([keras.Input((5, 3)), keras.Input((4,))])
