"""MaskedMeanPooling against a loop, where masks are odd and where floats are short."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import MaskedMeanPooling  # noqa: E402

pytestmark = pytest.mark.keras

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
MASK = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)


def oracle(x, mask):
    out = np.zeros((len(x), x.shape[2]))
    for i, row in enumerate(x):
        words = [vector for vector, valid in zip(row, mask[i]) if valid]
        if words:
            out[i] = sum(np.float64(word) for word in words) / len(words)
    return out


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def test_it_is_the_mean_of_what_the_mask_lets_through():
    np.testing.assert_allclose(numpy(MaskedMeanPooling()(X, mask=MASK)), oracle(X, MASK), atol=1e-6)
    np.testing.assert_allclose(numpy(MaskedMeanPooling()(X)), X.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(numpy(MaskedMeanPooling()(X, mask=MASK.astype("int32"))), oracle(X, MASK), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_short_floats_count_far_and_divide_by_no_zero(dtype):
    x = np.ones((2, 1000, 2), "float32") * 3
    mask = np.zeros((2, 1000), bool)
    mask[0, :999] = True
    out = MaskedMeanPooling(dtype=dtype)(x, mask=mask)
    assert keras.backend.standardize_dtype(out.dtype) == dtype.removeprefix("mixed_")
    np.testing.assert_array_equal(numpy(out), [[3, 3], [0, 0]])


def test_nan_behind_the_mask_stays_there_in_both_directions():
    x = X.copy()
    x[~MASK] = np.nan
    np.testing.assert_allclose(numpy(MaskedMeanPooling()(x, mask=MASK)), oracle(X, MASK), atol=1e-6)

    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return x * self.scale

    features, mask = keras.Input((5, 3)), keras.Input((5,), dtype="bool")
    scale = Scale()
    scale.supports_masking = True
    model = keras.Model([features, mask], keras.layers.Dense(1)(MaskedMeanPooling()(scale(features), mask=mask)))
    model.compile("sgd", "mse")
    model.train_on_batch([np.where(MASK[..., None], X, 1e30).astype("float32"), MASK], np.ones((4, 1)))
    assert np.isfinite(numpy(scale.scale))


def test_the_mask_comes_from_the_layer_before_and_ends_here():
    inputs = keras.Input((None, 3))
    pooled = MaskedMeanPooling()(keras.layers.Masking()(inputs))
    assert pooled.shape == (None, 3)
    assert getattr(pooled, "_keras_mask", None) is None
    x = X * MASK[..., None]
    np.testing.assert_allclose(keras.Model(inputs, pooled).predict(x, verbose=0), oracle(X, MASK), atol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"mask must have the shape \(batch, time\), received shape \(4, 5, 1\)"):
        MaskedMeanPooling()(X, mask=MASK[..., None])
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        MaskedMeanPooling()(X[0])
