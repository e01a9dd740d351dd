"""PositionEmbedding and SinusoidalPositionEmbedding against loops over positions."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from w2v_embed.layers import PositionEmbedding, Sinusoid, SinusoidalPositionEmbedding
from w2v_embed.sinusoid import sinusoid_table

pytestmark = pytest.mark.keras


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sinusoid_oracle(position, width):
    """One row, number by number, with Python's own float64 sine."""
    row = []
    for column in range(width):
        angle = position * 10000.0 ** (-(column - column % 2) / width)
        row.append(math.cos(angle) if column % 2 else math.sin(angle))
    return row


def place(x, rows, mode):
    """Loops over batch and steps."""
    out = []
    for sample in x:
        steps = [step + row if mode == "add" else np.concatenate([step, row]) for step, row in zip(sample, rows)]
        out.append(steps)
    return np.array(out)


def as_initializer(table):
    return lambda shape, dtype: ops.convert_to_tensor(table, dtype=dtype)


@pytest.mark.parametrize("input_dim", [1, 3, 10])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float32"])
def test_expand_clips_on_both_sides(rng, input_dim, dtype):
    table = rng.normal(size=(2 * input_dim + 1, 4)).astype("float32")
    ids = rng.integers(-15, 16, (2, 9))
    ids[0, :2] = -100, 100
    out = ops.convert_to_numpy(PositionEmbedding(input_dim, 4, weights=table)(ids.astype(dtype)))
    for b in range(2):
        for t in range(9):
            np.testing.assert_array_equal(out[b, t], table[min(max(ids[b, t], -input_dim), input_dim) + input_dim])


def test_expand_of_unsigned_and_of_wide_ids():
    layer = PositionEmbedding(3, 1, weights=np.arange(-3.0, 4.0)[:, None])
    assert ops.convert_to_numpy(layer(np.array([0, 2, 200], "uint8"))).ravel().tolist() == [0, 2, 3]
    assert ops.convert_to_numpy(layer(np.array([-3e9, 3e9], "float32"))).ravel().tolist() == [-3, 3]


@pytest.mark.parametrize("mode", ["add", "concat"])
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 4), (2, 7)])
def test_add_and_concat(rng, mode, batch, length):
    table = rng.normal(size=(7, 4)).astype("float32")
    x = rng.normal(size=(batch, length, 4 if mode == "add" else 3)).astype("float32")
    out = ops.convert_to_numpy(PositionEmbedding(7, 4, mode, as_initializer(table))(x))
    np.testing.assert_allclose(out, place(x, table, mode), atol=1e-6)


@pytest.mark.parametrize("mode", ["add", "concat"])
@pytest.mark.parametrize("input_dim", [1, 4])
def test_an_input_longer_than_the_table_is_refused(mode, input_dim):
    # A table of one row is the trap: it would broadcast.
    message = rf"inputs must have at most input_dim={input_dim} positions, received 6. Cut them"
    with pytest.raises(ValueError, match=message):
        PositionEmbedding(input_dim, 3, mode)(np.zeros((2, 6, 3), "float32"))
    with pytest.raises(ValueError, match=message):
        PositionEmbedding(input_dim, 3, mode)(keras.Input((6, 3)))
    built = PositionEmbedding(input_dim, 3, mode)
    built(np.zeros((2, 1, 3), "float32"))
    with pytest.raises(ValueError, match=message):
        built(np.zeros((2, 6, 3), "float32"))
    inputs = keras.Input((None, 3))
    with pytest.raises(ValueError, match=message):
        keras.Model(inputs, PositionEmbedding(input_dim, 3, mode)(inputs))(np.zeros((2, 6, 3), "float32"))


@pytest.mark.parametrize("mode", ["add", "concat"])
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has graphs of unknown length")
def test_a_length_known_only_at_run_time_is_refused_too(mode):
    import tensorflow as tf

    layer = PositionEmbedding(1, 3, mode)
    run = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 3))])
    assert run(tf.zeros((2, 1, 3))).shape[:2] == (2, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 1\], but got 6"):
        run(tf.zeros((2, 6, 3)))


def test_add_refuses_another_feature_size():
    for x in (np.zeros((2, 3, 1), "float32"), keras.Input((3, 1))):
        with pytest.raises(ValueError, match=r"must be the number of features, 1, received 4"):
            PositionEmbedding(5, 4, "add")(x)
        with pytest.raises(ValueError, match=r"must be the number of features, 1, received 4"):
            SinusoidalPositionEmbedding("add", 4)(x)


@pytest.mark.parametrize("layer", [PositionEmbedding(5, 4, "add"), SinusoidalPositionEmbedding("concat", 4)])
def test_add_and_concat_take_three_dimensions(layer):
    message = r"\(batch, length, features\) with a known number of features, received shape \(2, 4\)"
    with pytest.raises(ValueError, match=message):
        layer(np.zeros((2, 4), "float32"))
    with pytest.raises(ValueError, match=r"received shape \(None, 3, None\)"):
        layer(keras.Input((3, None)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": -1}, "input_dim must be a whole number from 1 on, received -1"),
        ({"output_dim": "4"}, "output_dim must be a whole number from 1 on, received '4'"),
        ({"mode": "sum"}, 'mode must be "expand", "add" or "concat", received \'sum\''),
        ({"mask_zero": 10000}, r"mask_zero must be True .* received 10000.* keras-pos-embd "),
        ({"weights": np.zeros((12, 4))}, r"fit into the table \(11, 4\).* received shape \(12, 4\)"),
        ({"weights": np.zeros((3, 5))}, r"fit into the table \(11, 4\).* received shape \(3, 5\)"),
        ({"weights": np.zeros((4, 4))}, r"odd number of rows in expand mode.* received shape \(4, 4\)"),
        ({"weights": np.zeros((6, 4)), "mode": "add"}, r"fit into the table \(5, 4\).* received shape \(6, 4\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PositionEmbedding(**{"input_dim": 5, "output_dim": 4, **arguments})


def test_a_shorter_pretrained_table_is_extended(rng):
    rows = rng.normal(size=(3, 2)).astype("float32")
    add = PositionEmbedding(5, 2, "add", "ones", weights=rows)
    out = ops.convert_to_numpy(add(np.zeros((1, 5, 2), "float32")))[0]
    np.testing.assert_array_equal(out, [*rows, [1, 1], [1, 1]])
    # Expand: position 0 stays in the middle, whatever the size of the table.
    expand = PositionEmbedding(4, 2, "expand", "ones", weights=rows)
    expected = [[1, 1], [1, 1], [1, 1], *rows, [1, 1], [1, 1], [1, 1]]
    np.testing.assert_array_equal(ops.convert_to_numpy(expand(np.arange(-4, 5)))[:], expected)


def test_pretrained_rows_belong_to_the_layer(rng):
    rows = rng.normal(size=(3, 2)).astype("float32")
    expected = rows.copy()
    before, after = PositionEmbedding(3, 2, "add", weights=rows), PositionEmbedding(3, 2, "add", weights=rows)
    after.build((None, 3, 2))
    rows[:] = 7
    before.build((None, 3, 2))
    for layer in (before, after):
        np.testing.assert_array_equal(layer.get_weights()[0], expected)


def test_mask_zero_in_expand_mode_is_about_the_position_0():
    inputs = keras.Input((None,), dtype="int32")
    x = PositionEmbedding(9, 2, mask_zero=True)(inputs)
    mean = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))
    table = mean.layers[1].get_weights()[0]
    # Position 1 would be the padding if True were taken for the id of padding, as keras-pos-embd does.
    np.testing.assert_allclose(ops.convert_to_numpy(mean(np.array([[1, 3, 0]])))[0], (table[10] + table[12]) / 2, 1e-6)


@pytest.mark.parametrize("width", [2, 6, 64])
@pytest.mark.parametrize("mode", ["add", "concat"])
def test_sinusoid_equals_the_loop(rng, mode, width):
    x = rng.normal(size=(2, 9, width)).astype("float32")
    rows = np.array([sinusoid_oracle(p, width) for p in range(9)])
    out = ops.convert_to_numpy(SinusoidalPositionEmbedding(mode, output_dim=width)(x))
    np.testing.assert_allclose(out, place(x, rows, mode), atol=1e-6)


def test_sinusoid_is_exact_up_to_4096_and_beyond():
    width = 64
    rows = np.array([sinusoid_oracle(p, width) for p in range(4097)])
    zeros = np.zeros((1, 4097, width), "float32")
    out = ops.convert_to_numpy(SinusoidalPositionEmbedding()(zeros))[0]
    assert np.abs(out - rows).max() <= 1e-6
    np.testing.assert_allclose(sinusoid_table(np.arange(4097), width), rows, atol=1e-12)
    # The test can see the fault: angles in float32 are 1.5e-4 off here.
    frequencies = (10000.0 ** (-np.arange(0, width, 2) / width)).astype("float32")
    wrong = np.sin(np.arange(4097, dtype="float32")[:, None] * frequencies)
    assert np.abs(wrong - rows[:, 0::2]).max() > 5e-5


def test_sinusoid_of_given_positions(rng):
    ids = np.concatenate([np.arange(4096), -np.arange(300), [10**6, -(10**6), 2**31 - 1, 1 - 2**31]])
    expected = np.array([sinusoid_oracle(p, 8) for p in ids])
    layer = SinusoidalPositionEmbedding("expand", 8)
    assert np.abs(ops.convert_to_numpy(layer(ids.astype("int32"))) - expected).max() <= 1e-6
    whole = ids[:4000].reshape(2, -1)
    as_float = ops.convert_to_numpy(layer(whole.astype("float32")))
    assert np.abs(as_float - expected[:4000].reshape(2, -1, 8)).max() <= 1e-6
    np.testing.assert_array_equal(*(ops.convert_to_numpy(layer(np.array([p], "float32"))) for p in (2.0, 2.75)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("known", [True, False])
def test_positions_keep_their_value_in_half_precision(policy, dtype, known):
    # 257 is 256 in bfloat16, 2049 is 2048 in float16.
    ids = np.array([[256, 257, 2048, 2049]])
    inputs = keras.Input((4 if known else None,), dtype=dtype)
    sine = SinusoidalPositionEmbedding("expand", 4, dtype=policy)
    learned = PositionEmbedding(4096, 1, weights=np.arange(-4096, 4097)[:, None] % 2, dtype=policy)
    model = keras.Model(inputs, [sine(inputs), learned(inputs)])
    exact = np.array([[sinusoid_oracle(p, 4) for p in ids[0]]])
    for waves, parity in ((sine(ids.astype(dtype)), learned(ids.astype(dtype))), model(ids.astype(dtype))):
        # Half a unit in the last place of bfloat16 below 1.
        assert np.abs(ops.convert_to_numpy(ops.cast(waves, "float32")) - exact).max() <= 2**-9
        assert ops.convert_to_numpy(ops.cast(parity, "float32")).ravel().tolist() == [0, 1, 0, 1]


def test_sinusoid_needs_an_even_width():
    with pytest.raises(ValueError, match=r"output_dim must be even.* received 5"):
        SinusoidalPositionEmbedding("concat", 5)
    with pytest.raises(ValueError, match=r'output_dim must be an even number with mode="expand", received None'):
        SinusoidalPositionEmbedding("expand")
    with pytest.raises(ValueError, match=r'"expand", "add" or "concat", received .cat.'):
        SinusoidalPositionEmbedding("cat", 4)
    for x in (np.zeros((2, 3, 5), "float32"), keras.Input((3, 5))):
        with pytest.raises(ValueError, match=r"number of features must be even, received 5 in \(.*, 3, 5\)"):
            SinusoidalPositionEmbedding()(x)
    with pytest.raises(ValueError, match=r"output_dim must be even.* received 3"):
        Sinusoid()((2, 3))


def test_sinusoid_as_the_start_of_a_learned_table():
    layer = PositionEmbedding(6, 4, "add", Sinusoid())
    out = ops.convert_to_numpy(layer(np.zeros((1, 6, 4), "float32")))[0]
    np.testing.assert_allclose(out, [sinusoid_oracle(p, 4) for p in range(6)], atol=1e-6)
    assert len(layer.trainable_weights) == 1


def test_a_mode_may_come_as_the_function_of_its_name():
    # Keras' reader of .h5 files looks every string of a config up among its functions.
    assert PositionEmbedding(5, 6, keras.layers.add).mode == "add"
    assert SinusoidalPositionEmbedding(keras.layers.add).mode == "add"
    with pytest.raises(ValueError, match=r'mode must be "expand", "add" or "concat", received .multiply.'):
        PositionEmbedding(5, 6, keras.layers.multiply)
