"""RowSparseAdam against a loop over rows in NumPy, and against Keras' Adam where the two must agree."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import MaskedMeanPooling, PretrainedEmbedding, RowSparseAdam  # noqa: E402

pytestmark = pytest.mark.keras

# XLA compiles for seconds what most of these tests run for milliseconds.
QUICK = False if keras.backend.backend() == "tensorflow" else "auto"

ROWS, DIM, STEPS = 12, 3, 6
RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.9, 0.999, 1e-7


@pytest.fixture
def table():
    table = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype("float32")
    table[0] = 0
    return table


def batches(words):
    rng = np.random.default_rng(1)
    return [(rng.choice(words, (4, 5)), rng.normal(size=(4, 1)).astype("float32")) for _ in range(STEPS)]


def train(table, optimizer, data, jit_compile=QUICK, **kwargs):
    keras.utils.set_random_seed(5)
    layer = PretrainedEmbedding(table, trainable=True, mask_zero=True, **kwargs)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layer, MaskedMeanPooling(), keras.layers.Dense(1)])
    kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    for x, y in data:
        model.train_on_batch(x, y)
    return keras.ops.convert_to_numpy(layer.embeddings), kernel, model


def oracle(table, kernel, data, clipnorm=None):
    """The same training in float64: Adam row by row, and only for the rows of the batch."""
    w, k, b = table.astype("float64"), kernel[:, 0].astype("float64"), 0.0
    m_w, v_w = np.zeros_like(w), np.zeros_like(w)
    m_k, v_k, m_b, v_b = np.zeros_like(k), np.zeros_like(k), 0.0, 0.0

    def step(m, v, g, t):
        m, v = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * v + (1 - BETA_2) * g * g
        rate = RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        return m, v, rate * m / (np.sqrt(v) + EPSILON)

    def clip(g):
        norm = np.sqrt(np.sum(np.square(g)))
        return g * min(1.0, clipnorm / norm) if clipnorm else g

    for t, (x, y) in enumerate(data, start=1):
        g_w, g_k, g_b = np.zeros_like(w), np.zeros_like(k), 0.0
        for row, target in zip(x, y[:, 0]):
            words = [word for word in row if word != 0]
            mean = sum(w[word] for word in words) / len(words)
            slope = 2 * (mean @ k + b - target) / len(x)
            g_k, g_b = g_k + slope * mean, g_b + slope
            for word in words:
                g_w[word] += slope * k / len(words)
        g_w, g_k, g_b = clip(g_w), clip(g_k), clip(g_b)
        for word in sorted(set(x.ravel()) - {0}):
            m_w[word], v_w[word], change = step(m_w[word], v_w[word], g_w[word], t)
            w[word] -= change
        m_k, v_k, change = step(m_k, v_k, g_k, t)
        k = k - change
        m_b, v_b, change = step(m_b, v_b, g_b, t)
        b = b - change
    return w


@pytest.mark.parametrize("clipnorm", [None, 0.05])
def test_it_is_adam_on_the_rows_of_the_batch_and_rests_the_others(table, clipnorm):
    data = batches(np.arange(10))
    got, kernel, _ = train(table, RowSparseAdam(RATE, clipnorm=clipnorm), data, jit_compile="auto")
    np.testing.assert_allclose(got, oracle(table, kernel, data, clipnorm), rtol=0, atol=2e-5)
    np.testing.assert_array_equal(got[10:], table[10:])
    adam, _, _ = train(table, keras.optimizers.Adam(RATE, clipnorm=clipnorm), data)
    assert np.abs(got - adam).max() > 1e-3, "rows that rest in one step and move in another tell the two apart"


@pytest.mark.parametrize("kwargs", [{}, {"clipnorm": 0.05}, {"global_clipnorm": 0.05}, {"clipvalue": 0.01}])
def test_it_equals_adam_where_every_step_uses_every_row(kwargs):
    # Each word once: where a batch repeats a word, Keras' Adam on TensorFlow squares the parts of its gradient before
    # it adds them up (seen in 3.15), and is no Adam.
    table = np.random.default_rng(0).normal(size=(21, DIM)).astype("float32")
    table[0] = 0
    rng = np.random.default_rng(2)
    data = [(rng.permutation(np.arange(1, 21)).reshape(4, 5), rng.normal(size=(4, 1))) for _ in range(STEPS)]
    got, _, model = train(table, RowSparseAdam(RATE, **kwargs), data)
    expected, _, reference = train(table, keras.optimizers.Adam(RATE, **kwargs), data)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
    for a, b in zip(model.optimizer.variables, reference.optimizer.variables):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), rtol=0, atol=1e-6)


def test_a_word_seen_with_a_zero_gradient_is_a_matter_of_the_next_step_only(table):
    # The padding row is in every batch, and its gradient is zero.
    got, _, _ = train(table, RowSparseAdam(RATE), [(np.array([[1, 2, 0, 0, 0]]), np.ones((1, 1)))] * 3)
    assert not got[0].any()
    assert (got[[1, 2]] != table[[1, 2]]).any(axis=1).all()


def test_mixed_float16_scales_its_loss_through_it(table):
    data = batches(np.arange(10))
    optimizer = keras.optimizers.LossScaleOptimizer(RowSparseAdam(0.01), initial_scale=64.0)
    got, _, _ = train(table, optimizer, data, dtype="mixed_float16")
    expected, _, _ = train(table, RowSparseAdam(0.01), data)
    np.testing.assert_allclose(got, expected, rtol=0, atol=0.01)
    np.testing.assert_array_equal(got[10:], table[10:])


def test_it_is_saved_with_its_model_and_goes_on(table, tmp_path):
    data = batches(np.arange(10))
    straight, _, _ = train(table, RowSparseAdam(RATE), data)
    _, _, model = train(table, RowSparseAdam(RATE), data[:3])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is RowSparseAdam
    for x, y in data[3:]:
        loaded.train_on_batch(x, y)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded.layers[0].embeddings), straight, atol=1e-6)


def test_another_optimizer_may_follow(table):
    data = batches(np.arange(10))
    _, _, model = train(table, RowSparseAdam(RATE), data[:2])
    for name in ("rmsprop", "adagrad", "adam"):
        model.compile(name, "mse", jit_compile=QUICK)
        model.train_on_batch(*data[2])
    assert np.isfinite(keras.ops.convert_to_numpy(model.layers[0].embeddings)).all()


def test_two_tables_in_one_model(table):
    a = PretrainedEmbedding(table, trainable=True, name="a")
    b = PretrainedEmbedding(table * 2, trainable=True, name="b")
    ids = keras.Input((2,), dtype="int32")
    out = keras.layers.Dense(1)(keras.layers.Flatten()(keras.layers.Concatenate()([a(ids), b(ids)])))
    model = keras.Model(ids, out)
    model.compile(RowSparseAdam(RATE), "mse", jit_compile=QUICK)
    for _ in range(2):
        model.train_on_batch(np.array([[1, 2]]), np.ones((1, 1)))
    for layer, start in ((a, table), (b, table * 2)):
        moved = np.flatnonzero((keras.ops.convert_to_numpy(layer.embeddings) != start).any(axis=1))
        assert moved.tolist() == [1, 2]


@pytest.mark.parametrize("name", ["weight_decay", "use_ema", "gradient_accumulation_steps", "amsgrad"])
def test_what_would_move_unseen_rows_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be left out of RowSparseAdam.*received 2"):
        RowSparseAdam(**{name: 2})


def test_a_batch_may_use_more_rows_than_are_updated_together():
    # JAX updates blocks of rows: three of them here, the last one not full; and a table shorter than a block.
    for rows in (3000, 7):
        table = np.random.default_rng(0).normal(size=(rows, 2)).astype("float32")
        table[0] = 0
        used = np.arange(1, rows - 2)
        ids = np.resize(used, (-(-len(used) // 5), 5))
        data = [(ids, np.random.default_rng(1).normal(size=(len(ids), 1)))] * 2
        got, kernel, _ = train(table, RowSparseAdam(RATE), data)
        np.testing.assert_allclose(got, oracle(table, kernel, data), rtol=0, atol=2e-4)
        np.testing.assert_array_equal(got[-2:], table[-2:])
        assert (got[used] != table[used]).any(axis=1).all()


@pytest.mark.filterwarnings("ignore:embeddings_regularizer moves every row")
def test_a_regularizer_moves_every_row_as_with_adam(table):
    data = batches(np.arange(1, 10))
    got, _, _ = train(table, RowSparseAdam(0.01), data, embeddings_regularizer="l2")
    assert (got[1:] != table[1:]).all()
