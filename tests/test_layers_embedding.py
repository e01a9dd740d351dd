"""embedding_layer: a plain Keras Embedding that holds the given rows, by both paths, at every stage of its life."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import embedding_layer  # noqa: E402

pytestmark = pytest.mark.keras

PATHS = ("weights", "constant")
IDS = np.array([[0, 3, 1], [5, 2, 0]])


@pytest.fixture
def table():
    return np.random.default_rng(1).normal(size=(6, 4)).astype("float32")


def matrix_with(table, padding_row=None, word_index=None):
    return SimpleNamespace(matrix=table, padding_row=padding_row, word_index=word_index or {})


def rows_of(layer):
    return keras.ops.convert_to_numpy(layer.embeddings)


def classifier(layer):
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), layer, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    return model


@pytest.mark.parametrize("via", PATHS)
def test_it_is_keras_own_layer_and_holds_the_rows_at_once(table, via):
    layer = embedding_layer(table, via=via)
    assert type(layer) is keras.layers.Embedding
    assert layer.built
    assert not layer.trainable
    np.testing.assert_array_equal(rows_of(layer), table)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(IDS)), table[IDS])


@pytest.mark.parametrize("via", PATHS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_other_dtypes_hold_the_nearest_value_and_mixed_policies_the_float32_one(table, via, dtype):
    layer = embedding_layer(table, via=via, dtype=dtype)
    expected = table if dtype.startswith("mixed") else table.astype(dtype)
    assert layer.dtype_policy.name == dtype
    np.testing.assert_array_equal(rows_of(layer).astype("float32"), expected.astype("float32"))


@pytest.mark.parametrize("source", ["float64", "float16", "int32"])
def test_a_table_of_another_dtype_becomes_the_layers_dtype(table, source):
    given = (table * 100).astype(source)
    for via in PATHS:
        np.testing.assert_array_equal(rows_of(embedding_layer(given, via=via)), given.astype("float32"))


def test_a_list_and_a_read_only_strided_view_are_taken(table):
    view = np.repeat(table, 2, axis=1)[:, ::2]
    view.flags.writeable = False
    for via in PATHS:
        np.testing.assert_array_equal(rows_of(embedding_layer(view, via=via)), table)
        np.testing.assert_array_equal(rows_of(embedding_layer(table.tolist(), via=via)), table)


@pytest.mark.parametrize("via", PATHS)
def test_changing_the_source_array_changes_no_layer(table, via):
    given = np.ascontiguousarray(np.tile(table, (500, 1)))  # large enough for a backend to prefer sharing
    before = given.copy()
    layer = embedding_layer(given, via=via)
    given[:] = 9.0
    np.testing.assert_array_equal(rows_of(layer), before)


def test_both_paths_stay_equal_through_training(table):
    x, y = np.random.default_rng(2).integers(0, 6, (32, 3)), np.linspace(-1, 1, 32)[:, None]
    trained = []
    for via in PATHS:
        keras.utils.set_random_seed(3)
        model = classifier(embedding_layer(table, via=via, trainable=True))
        model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
        trained.append(rows_of(model.layers[0]))
    np.testing.assert_array_equal(trained[0], trained[1])
    assert np.abs(trained[0] - table).max() > 1e-3


@pytest.mark.parametrize("via", PATHS)
def test_a_frozen_table_is_bit_identical_after_training(table, via):
    model = classifier(embedding_layer(table, via=via))
    model.fit(IDS, np.ones((2, 1)), epochs=2, verbose=0)
    np.testing.assert_array_equal(rows_of(model.layers[0]), table)


READER = """
import sys
sys.modules["w2v_embed"] = None  # an import of the package would now fail
import keras, numpy as np
for path in sys.argv[1:]:
    model = keras.saving.load_model(path + ".keras")
    saved = np.load(path + ".npz")
    assert model.layers[0].trainable == bool(saved["trainable"])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.layers[0].embeddings), saved["table"])
    np.testing.assert_allclose(model.predict(saved["ids"], verbose=0), saved["out"], rtol=1e-6)
"""


def test_a_saved_model_loads_where_this_package_is_unknown(table, tmp_path):
    paths = []
    for via in PATHS:
        for trainable in (False, True):
            model = classifier(embedding_layer(table, via=via, trainable=trainable, mask_zero=True))
            model.fit(IDS, np.ones((2, 1)), verbose=0)
            paths.append(str(tmp_path / f"{via}-{trainable}"))
            model.save(paths[-1] + ".keras")
            out = model.predict(IDS, verbose=0)
            np.savez(paths[-1], table=rows_of(model.layers[0]), ids=IDS, out=out, trainable=trainable)
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", READER, *paths], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("via", PATHS)
def test_the_configuration_is_small_and_a_clone_is_empty_rather_than_random(via):
    table = np.random.default_rng(1).normal(size=(3000, 50)).astype("float32")
    model = keras.Sequential([keras.Input((3,), dtype="int32"), embedding_layer(table, via=via)])
    assert len(model.to_json()) < 4000
    clone = keras.models.clone_model(model)
    assert not rows_of(clone.layers[0]).any()
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(rows_of(clone.layers[0]), table)


def test_mask_zero_follows_the_padding_row_and_can_be_overruled(table):
    table[0] = 0
    assert embedding_layer(table).mask_zero is False
    assert embedding_layer(matrix_with(table, padding_row=0)).mask_zero is True
    assert embedding_layer(matrix_with(table)).mask_zero is False
    assert embedding_layer(matrix_with(table, padding_row=0), mask_zero=False).mask_zero is False
    assert embedding_layer(table, mask_zero=True).mask_zero is True


@pytest.mark.parametrize("via", PATHS)
def test_other_arguments_reach_keras(table, via):
    layer = embedding_layer(table, via=via, name="words", trainable=True, embeddings_regularizer="l2", input_dim=6)
    assert (layer.name, layer.trainable) == ("words", True)
    assert isinstance(layer.embeddings_regularizer, keras.regularizers.L2)


@pytest.mark.parametrize("via", PATHS)
def test_lora_starts_at_the_rows_and_trains_beside_them(table, via):
    layer = embedding_layer(table, via=via, trainable=True, lora_rank=2, lora_alpha=4)
    assert (layer.lora_rank, layer.lora_alpha) == (2, 4)
    np.testing.assert_array_equal(rows_of(layer), table)
    classifier(layer).fit(IDS, np.ones((2, 1)), epochs=3, verbose=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.weights[0]), table)
    assert np.abs(rows_of(layer) - table).max() > 0


@pytest.mark.parametrize("via", PATHS)
@pytest.mark.parametrize(
    ("shape", "kwargs", "words"),
    [
        ((4,), {}, r"received shape \(4,\)"),
        ((2, 3, 4), {}, r"received shape \(2, 3, 4\)"),
        ((), {}, r"received shape \(\)"),
        ((0, 4), {}, r"received shape \(0, 4\)"),
        ((4, 0), {}, r"received shape \(4, 0\)"),
        ((1, 4), {"input_dim": 6}, r"input_dim must be 1, .*\(1, 4\), received 6"),
        ((6, 1), {"output_dim": 4}, r"output_dim must be 1, .*\(6, 1\), received 4"),
    ],
)
def test_a_wrong_shape_is_refused_in_the_same_words_on_both_paths(via, shape, kwargs, words):
    with pytest.raises(ValueError, match=words):
        embedding_layer(np.ones(shape, "float32"), via=via, **kwargs)


@pytest.mark.parametrize("via", PATHS)
def test_what_is_no_table_of_numbers_is_refused(via):
    for given, words in (
        ([[1.0, 2.0], [3.0]], "rows that differ"),
        (np.array([["a", "b"]]), "received ndarray of dtype <U1"),
        (np.array([[1.0, None]], dtype=object), "dtype object"),
        (np.ones((2, 2), "complex64"), "dtype complex64"),
        (np.ones((2, 2), bool), "dtype bool"),
        ("vectors.txt", "received str of dtype"),
        (None, "received NoneType"),
    ):
        with pytest.raises(ValueError, match=words):
            embedding_layer(given, via=via)


@pytest.mark.parametrize("via", PATHS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_its_row_and_word(via, value):
    table = np.ones((20_000, 3))
    table[19_999, 2] = value
    with pytest.raises(ValueError, match=rf"^Row 19999 of the vectors holds {value} in column 2"):
        embedding_layer(table, via=via)
    with pytest.raises(ValueError, match=rf"Row 19999 \(the word '猫'\) .* holds {value}"):
        embedding_layer(matrix_with(table, word_index={"狗": 1, "猫": 19_999}), via=via)


@pytest.mark.parametrize("via", PATHS)
def test_a_value_too_large_for_the_dtype_is_refused_rather_than_made_infinite(via):
    table = np.array([[1.0, 2.0], [70_000.0, 3.0]])
    with pytest.raises(ValueError, match=r"Row 1 .* holds 70000.0 in column 0, which is no finite float16"):
        embedding_layer(table, via=via, dtype="float16")
    np.testing.assert_array_equal(rows_of(embedding_layer(table, via=via)), table)


def test_arguments_that_cannot_be_combined_are_named(table):
    with pytest.raises(TypeError, match="takes no 'weights'"):
        embedding_layer(table, weights=[table])
    with pytest.raises(TypeError, match="takes no 'embeddings_initializer'"):
        embedding_layer(table, embeddings_initializer="uniform")
    with pytest.raises(ValueError, match=r"trainable must be True with LoRA.*received trainable=False, lora_rank=2"):
        embedding_layer(table, lora_rank=2)
    with pytest.raises(ValueError, match=r'via must be "weights" or "constant", received .initializer.'):
        embedding_layer(table, via="initializer")
    with pytest.raises(ValueError, match=r"dtype must be .*, received 'int8_from_float32'.*quantize"):
        embedding_layer(table, dtype="int8_from_float32")
    with pytest.raises(ValueError, match="dtype must be .*, received 'int32'"):
        embedding_layer(table, dtype="int32")


WITHOUT_KERAS = """
import sys
sys.modules["keras"] = None
try:
    from w2v_embed import embedding_layer
except ImportError as error:
    assert "pip install 'w2v-embed[tensorflow]'" in str(error), error
else:
    raise SystemExit("imported without Keras")
"""


def test_without_keras_the_error_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_KERAS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
