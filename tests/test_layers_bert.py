"""bert_embedding: the sum against a loop, the mask, the names, pretrained vectors, and the tie."""

import keras
import numpy as np
import pytest
from keras import ops

from w2v_embed.layers import EmbeddingSimilarity, bert_embedding

pytestmark = pytest.mark.keras

TOKENS = np.array([[1, 2, 3, 0], [4, 5, 0, 0]], "int32")
SEGMENTS = np.array([[0, 0, 1, 0], [0, 1, 0, 0]], "int32")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(**arguments):
    """The model tokens, segments → (x, table), its weights drawn at random."""
    inputs = [keras.Input((None,), dtype="int32") for _ in range(2)]
    model = keras.Model(inputs, bert_embedding(inputs, **{"token_num": 6, "pos_num": 5, "embed_dim": 4, **arguments}))
    for layer in model.layers:
        if "vectors" not in arguments or not layer.name.endswith("Token"):
            layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.get_weights()])
    return model


def weights_of(model, name):
    return [w.astype("float64") for w in model.get_layer(f"Embedding-{name}").get_weights()]


def oracle(model, layer_norm):
    (token,), (segment,), (position,) = (weights_of(model, name) for name in ("Token", "Segment", "Position"))
    out = np.zeros((*TOKENS.shape, 4))
    for b in range(2):
        for t in range(4):
            row = token[TOKENS[b, t]] + segment[SEGMENTS[b, t]] + position[t]
            if layer_norm:
                gamma, beta = weights_of(model, "Norm")
                row = (row - row.mean()) / np.sqrt(row.var() + 1e-12) * gamma + beta
            out[b, t] = row
    return out


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("dropout_rate", [0.0, 0.1])
def test_the_sum_equals_the_loop(layer_norm, dropout_rate):
    model = make(layer_norm=layer_norm, dropout_rate=dropout_rate)
    x, table = model([TOKENS, SEGMENTS])
    np.testing.assert_allclose(ops.convert_to_numpy(x), oracle(model, layer_norm), atol=1e-6, rtol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(table), weights_of(model, "Token")[0].astype("float32"))
    names = [layer.name for layer in model.layers if layer.name.startswith("Embedding-")]
    expected = {"Token", "Segment", "Token-Segment", "Position"} | ({"Norm"} if layer_norm else set())
    assert set(names) == {f"Embedding-{name}" for name in expected | ({"Dropout"} if dropout_rate else set())}


def test_the_dropout_comes_last_and_only_in_training():
    keras.utils.set_random_seed(0)
    model = make(layer_norm=True, dropout_rate=0.5)
    calm = ops.convert_to_numpy(model([TOKENS, SEGMENTS])[0])
    dropped = ops.convert_to_numpy(model([TOKENS, SEGMENTS], training=True)[0])
    assert 0 < (dropped == 0).sum() < dropped.size
    # Dropped before the norm, the others would not be twice what they were.
    np.testing.assert_allclose(dropped[dropped != 0], 2 * calm[dropped != 0], rtol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"layer_norm": True}, {"vectors": np.ones((6, 3))}])
def test_the_mask_of_the_tokens_survives_the_sum(arguments):
    model = make(**arguments)
    pooled = keras.layers.GlobalAveragePooling1D()(model.outputs[0])
    x = ops.convert_to_numpy(model([TOKENS, SEGMENTS])[0])
    expected = np.array([x[b][TOKENS[b] != 0].mean(axis=0) for b in range(2)])
    assert np.abs(expected - x.mean(axis=1)).max() > 0.01, "with and without the mask must differ here"
    pooled = keras.Model(model.inputs, pooled)([TOKENS, SEGMENTS])
    np.testing.assert_allclose(ops.convert_to_numpy(pooled), expected, atol=1e-6)


def test_keras_add_would_drop_the_mask():
    # Why AddToFirst exists. Should Keras change, it can go.
    inputs = keras.Input((None,), dtype="int32")
    masked, plain = keras.layers.Embedding(5, 2, mask_zero=True)(inputs), keras.layers.Embedding(5, 2)(inputs)
    assert keras.layers.Add().compute_mask([masked, plain], [inputs, None]) is None


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("arguments", [{}, {"vectors": np.ones((6, 3))}])
def test_trainable_is_about_every_weight(trainable, arguments):
    model = make(trainable=trainable, layer_norm=True, **arguments)
    assert len(model.trainable_weights) == (len(model.weights) if trainable else 0)


def test_vectors_of_the_same_width_are_the_table(rng):
    vectors = rng.normal(size=(6, 4)).astype("float32")
    model = make(vectors=vectors, layer_norm=True)
    x, table = model([TOKENS, SEGMENTS])
    np.testing.assert_array_equal(ops.convert_to_numpy(table), vectors)
    np.testing.assert_allclose(ops.convert_to_numpy(x), oracle(model, True), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("width", [3, 9])
def test_vectors_of_another_width_are_projected_for_x_and_the_table(rng, width):
    vectors = rng.normal(size=(6, width)).astype("float32")
    model = make(vectors=vectors, dropout_rate=0)
    np.testing.assert_array_equal(model.get_layer("Embedding-Token").get_weights()[0], vectors)
    (kernel,) = weights_of(model, "Projection")
    x, table = map(ops.convert_to_numpy, model([TOKENS, SEGMENTS]))
    np.testing.assert_allclose(table, vectors @ kernel, atol=1e-6, rtol=1e-6)
    (segment,), (position,) = weights_of(model, "Segment"), weights_of(model, "Position")
    expected = (vectors @ kernel)[TOKENS] + segment[SEGMENTS] + position[:4]
    np.testing.assert_allclose(x, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"vectors": np.eye(6, 3)}])
def test_a_tied_head_trains_every_row(arguments):
    block = make(dropout_rate=0, **arguments)
    model = keras.Model(block.inputs, EmbeddingSimilarity()(block.outputs))
    table = model.get_layer("Embedding-Token")
    before = table.get_weights()[0].copy()
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    model.train_on_batch([TOKENS, SEGMENTS], TOKENS)
    assert (table.get_weights()[0] != before).any(axis=1).all()


def test_two_blocks_in_one_model_and_further_inputs():
    inputs = [keras.Input((None,), dtype="int32") for _ in range(3)]
    x, _ = bert_embedding(inputs, 6, 5, 4)
    y, _ = bert_embedding(inputs, 6, 5, 4, name="Other")
    names = {layer.name for layer in keras.Model(inputs[:2], [x, y]).layers}
    assert {"Embedding-Token", "Other-Token"} <= names


def test_half_precision_is_finite_and_close():
    exact = make(layer_norm=True)
    expected = ops.convert_to_numpy(exact([TOKENS, SEGMENTS])[0])
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = make(layer_norm=True)
        finally:
            keras.config.set_dtype_policy("float32")
        model.set_weights(exact.get_weights())
        x = ops.convert_to_numpy(ops.cast(model([TOKENS, SEGMENTS])[0], "float32"))
        np.testing.assert_allclose(x, expected, atol=0.05)


def test_a_saved_model_comes_back(tmp_path):
    model = make(vectors=np.eye(6, 3), layer_norm=True)
    model.save(tmp_path / "bert.keras")
    again = keras.saving.load_model(tmp_path / "bert.keras")
    for mine, theirs in zip(model([TOKENS, SEGMENTS]), again([TOKENS, SEGMENTS])):
        np.testing.assert_array_equal(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs))


def test_what_does_not_fit_is_refused(rng):
    tokens = keras.Input((9,), dtype="int32")
    with pytest.raises(ValueError, match=r"list of token ids and segment ids, received 1 of them"):
        bert_embedding([tokens], 6, 5, 4)
    with pytest.raises(ValueError, match=r"list of token ids and segment ids, received KerasTensor"):
        bert_embedding(tokens, 6, 5, 4)
    with pytest.raises(ValueError, match=r"token_num=6 rows, received shape \(5, 4\)"):
        bert_embedding([tokens, tokens], 6, 5, 4, vectors=np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"at most input_dim=5 positions, received 9"):
        bert_embedding([tokens, tokens], 6, 5, 4)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_it_comes_back_out_of_an_h5_file(tmp_path):
    inputs = [keras.Input((None,), dtype="int32") for _ in range(2)]
    x, table = bert_embedding(inputs, token_num=9, pos_num=5, embed_dim=4, layer_norm=True)
    model = keras.Model(inputs, EmbeddingSimilarity()([x, table]))
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5")
    ids = [np.array([[1, 2, 0]]), np.array([[0, 1, 1]])]
    got, expected = (ops.convert_to_numpy(each(ids)) for each in (loaded, model))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=5e-6)
