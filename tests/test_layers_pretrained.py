"""PretrainedEmbedding keeps its promises: padding stays zero, found rows stay as they are, nothing is ever random."""

import itertools
import logging
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import (  # noqa: E402
    MaskedMeanPooling,
    PretrainedEmbedding,
    embedding_layer,
    reload_vectors,
)

pytestmark = pytest.mark.keras

# XLA compiles for seconds what most of these tests run for milliseconds.
QUICK = False if keras.backend.backend() == "tensorflow" else "auto"

ROWS, DIM, OOV = 9, 4, [2, 5, 8]
FOUND = [1, 3, 4, 6, 7]
IDS = np.array([[1, 2, 3, 0, 0], [5, 5, 1, 4, 0], [7, 8, 6, 2, 3], [0, 0, 0, 0, 0]])
TARGETS = np.array([[1.0], [-1.0], [0.5], [2.0]])


@dataclass
class Matrix:
    """What the layers use of an EmbeddingMatrix."""

    matrix: np.ndarray
    padding_row: int | None = 0
    oov_rows: np.ndarray = field(default_factory=lambda: np.array(OOV))
    word_index: dict = field(default_factory=dict)


@pytest.fixture
def em():
    table = np.random.default_rng(1).normal(size=(ROWS, DIM)).astype("float32")
    table[0] = 0
    return Matrix(table)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def model_of(layer, pooling=None):
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [keras.Input((5,), dtype="int32"), layer, pooling or MaskedMeanPooling(), keras.layers.Dense(1)]
    )


def fit(model, optimizer="sgd", jit_compile=QUICK):
    if optimizer is not None:
        model.compile(optimizer, "mse", jit_compile=jit_compile)
    model.fit(IDS, TARGETS, epochs=3, batch_size=2, shuffle=False, verbose=0)
    return model


# -- the three ways into a layer -----------------------------------------------------------------------------------


WAYS = {
    "weights": lambda em, **kwargs: embedding_layer(em, via="weights", **kwargs),
    "constant": lambda em, **kwargs: embedding_layer(em, via="constant", **kwargs),
    "pretrained": PretrainedEmbedding,
}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("trainable", [False, True])
def test_three_ways_hold_equal_rows_at_every_stage(em, policy, trainable, tmp_path):
    stages = {}
    for name, make in WAYS.items():
        model = model_of(make(em, trainable=trainable, dtype=policy))
        built = numpy(model.layers[0].embeddings)
        fit(model, keras.optimizers.SGD(0.3), jit_compile="auto")
        fitted = numpy(model.layers[0].embeddings)
        path = str(tmp_path / f"{name}.keras")
        model.save(path)
        loaded = numpy(keras.saving.load_model(path).layers[0].embeddings)
        clone = keras.models.clone_model(model)
        assert not numpy(clone.layers[0].embeddings).any(), "a clone is empty, not random"
        clone.set_weights(model.get_weights())
        stages[name] = built, fitted, loaded, numpy(clone.layers[0].embeddings)
    for name in WAYS:
        built, fitted, loaded, cloned = stages[name]
        np.testing.assert_array_equal(built, em.matrix)
        np.testing.assert_array_equal(loaded, fitted)
        np.testing.assert_array_equal(cloned, fitted)
        np.testing.assert_allclose(fitted, stages["weights"][1], rtol=0, atol=1e-6)
        assert np.array_equal(fitted, em.matrix) == (not trainable)


def test_it_is_the_table_that_is_looked_up(em):
    layer = PretrainedEmbedding(em)
    assert layer.built
    assert not layer.trainable
    assert layer.mask_zero is True
    np.testing.assert_array_equal(numpy(layer(IDS)), em.matrix[IDS])
    np.testing.assert_array_equal(numpy(layer(np.array(7))), em.matrix[7])
    np.testing.assert_array_equal(numpy(layer.compute_mask(IDS)), IDS != 0)
    assert layer.compute_output_shape((None, 5)) == (None, 5, DIM)


def test_ids_do_not_pass_through_a_short_float():
    table = np.arange(600, dtype="float32").reshape(300, 2) / 600
    for policy in ("mixed_bfloat16", "mixed_float16"):
        inputs = keras.Input((3,))  # float32 ids, as keras.Input has by default
        model = keras.Model(inputs, PretrainedEmbedding(table, dtype=policy)(inputs))
        got = model.predict(np.array([[257.0, 299.0, 256.0]]), verbose=0)
        np.testing.assert_allclose(got[0].astype("float32"), table[[257, 299, 256]], rtol=0.005)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_short_table_is_the_nearest_one(em, dtype):
    layer = PretrainedEmbedding(em, dtype=dtype)
    assert layer.embeddings.dtype == dtype
    np.testing.assert_array_equal(numpy(layer(IDS)).astype("float32"), em.matrix.astype(dtype).astype("float32")[IDS])


def test_changing_the_source_changes_no_layer(em):
    before = em.matrix.copy()
    layer = PretrainedEmbedding(em, trainable=True, train_rows="oov")
    em.matrix[:] = 9
    np.testing.assert_array_equal(numpy(layer.embeddings), before)
    np.testing.assert_array_equal(numpy(layer(IDS)), before[IDS])


# -- what training may move ----------------------------------------------------------------------------------------


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1),
    "clipped": lambda: keras.optimizers.Adam(0.1, global_clipnorm=1.0),
}


# Adam under all conditions; of the others one each way, the rest only when it is asked for.
CONDITIONS = [
    pytest.param(
        *condition,
        marks=() if condition[0] == "adam" or condition[1:] in ((None, True), ("l2", False)) else pytest.mark.slow,
    )
    for condition in itertools.product(OPTIMIZERS, (None, "l2"), (True, False))
]


@pytest.mark.parametrize(("name", "regularizer", "masked"), CONDITIONS)
def test_padding_stays_zero_and_found_rows_stay_bit_identical(em, name, regularizer, masked):
    pooling = MaskedMeanPooling() if masked else keras.layers.Flatten()
    for train_rows in ("all", "oov"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # L2 and decay are warned of; here they are meant
            layer = PretrainedEmbedding(
                em, trainable=True, train_rows=train_rows, mask_zero=masked, embeddings_regularizer=regularizer
            )
            fit(model_of(layer, pooling), OPTIMIZERS[name]())
        table = numpy(layer.embeddings)
        assert not table[0].any()
        assert not numpy(layer(np.zeros((1, 2), "int32"))).any()
        moved = np.any(table != em.matrix, axis=1)
        assert moved[OOV].all()
        assert moved[FOUND].any() == (train_rows == "all")
        np.testing.assert_array_equal(numpy(layer(IDS)), table[IDS])


def test_one_step_on_oov_rows_is_the_step_of_the_oracle(em):
    layer = PretrainedEmbedding(em, trainable=True, train_rows="oov")
    model = model_of(layer)
    kernel = numpy(model.layers[-1].kernel)[:, 0]
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.train_on_batch(IDS, TARGETS)

    expected = em.matrix.astype("float64")
    for row, target in zip(IDS, TARGETS[:, 0]):
        words = [word for word in row if word != 0]
        if not words:
            continue
        mean = sum(em.matrix[word].astype("float64") for word in words) / len(words)
        slope = 2 * (mean @ kernel - target) / len(IDS)
        for word in words:
            if word in OOV:
                expected[word] -= 0.5 * slope * kernel / len(words)
    np.testing.assert_allclose(numpy(layer.embeddings), expected, atol=1e-6)


def test_the_oov_rows_are_the_only_variable_that_is_trained(em):
    layer = PretrainedEmbedding(em, trainable=True, train_rows="oov")
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(len(OOV), DIM)]
    model = fit(model_of(layer), "adam")
    slots = [tuple(v.shape) for v in model.optimizer.variables]
    assert slots.count((len(OOV), DIM)) == 2
    assert (ROWS, DIM) not in slots


def test_nan_from_above_does_not_reach_the_padding_row(em):
    layer = PretrainedEmbedding(em, trainable=True, mask_zero=False)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(IDS, np.full((4, 1), np.nan))
    assert np.isnan(numpy(layer.embeddings)[1:]).any()
    assert not numpy(layer.embeddings)[0].any()


def test_a_bare_array_has_padding_where_mask_and_zero_row_say_so(em):
    assert PretrainedEmbedding(em.matrix).padding_row is None
    assert PretrainedEmbedding(em.matrix).mask_zero is False
    assert PretrainedEmbedding(em.matrix, mask_zero=True).padding_row == 0
    assert PretrainedEmbedding(em.matrix, padding_row=0).padding_row == 0
    em.matrix[0] = 1
    layer = PretrainedEmbedding(em.matrix, mask_zero=True)
    assert layer.padding_row is None
    np.testing.assert_array_equal(numpy(layer(IDS)), em.matrix[IDS])
    with pytest.raises(ValueError, match=r"row 0 of vectors must be zero.*padding row, received \[1"):
        PretrainedEmbedding(em)


def test_a_real_word_at_row_0_is_trained_like_any_other(em):
    em.matrix[0], em.padding_row = 1, None
    layer = PretrainedEmbedding(em, trainable=True)
    fit(model_of(layer))
    assert (numpy(layer.embeddings)[0] != em.matrix[0]).all()


# -- changing it later ---------------------------------------------------------------------------------------------


def test_frozen_then_oov_then_all_keeps_what_was_learnt(em):
    layer = PretrainedEmbedding(em)
    model = fit(model_of(layer))
    np.testing.assert_array_equal(numpy(layer.embeddings), em.matrix)

    with pytest.warns(UserWarning, match=r"train_rows of layer .* was changed after a training step.*compile\(\)"):
        layer.train_rows = "oov"
    layer.trainable = True
    fit(model)
    first = numpy(layer.embeddings)
    np.testing.assert_array_equal(first[FOUND], em.matrix[FOUND])
    assert (first[OOV] != em.matrix[OOV]).all()

    with pytest.warns(UserWarning, match="was changed after a training step"):
        layer.train_rows = "all"
    np.testing.assert_array_equal(numpy(layer.embeddings), first)
    assert [tuple(w.shape) for w in layer.weights] == [(ROWS, DIM)]
    fit(model)
    assert (numpy(layer.embeddings)[FOUND] != em.matrix[FOUND]).any()
    assert not numpy(layer.embeddings)[0].any()

    with pytest.warns(UserWarning, match="trainable of layer .* was changed after a training step"):
        layer.trainable = False
    last = numpy(layer.embeddings)
    fit(model)
    np.testing.assert_array_equal(numpy(layer.embeddings), last)


def test_thawing_the_model_does_not_thaw_the_found_rows(em):
    layer = PretrainedEmbedding(em, trainable=True, train_rows="oov")
    model = model_of(layer)
    model.trainable = False
    model.trainable = True
    fit(model, "adam", jit_compile="auto")
    np.testing.assert_array_equal(numpy(layer.embeddings)[FOUND], em.matrix[FOUND])


def test_a_table_without_oov_rows_trains_nothing_and_says_so(em, caplog):
    em.oov_rows = np.array([], int)
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        layer = PretrainedEmbedding(em, trainable=True, train_rows="oov")
    assert "has no OOV rows" in caplog.text
    fit(model_of(layer))
    np.testing.assert_array_equal(numpy(layer.embeddings), em.matrix)


def test_l2_on_the_whole_table_is_warned_of(em):
    with pytest.warns(UserWarning, match="embeddings_regularizer moves every row of layer 'words'"):
        PretrainedEmbedding(em, trainable=True, embeddings_regularizer="l2", name="words")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PretrainedEmbedding(em, trainable=False, embeddings_regularizer="l2")
        PretrainedEmbedding(em, trainable=True, train_rows="oov", embeddings_regularizer="l2")


# -- files, configurations, clones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("train_rows", ["all", "oov"])
def test_saved_files_bring_everything_back(em, train_rows, tmp_path):
    model = fit(model_of(PretrainedEmbedding(em, trainable=True, train_rows=train_rows)), "adam")
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.load_weights(tmp_path / "model.weights.h5")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for other in (loaded, clone, copy):
        layer = other.layers[0]
        assert (layer.train_rows, layer.trainable, layer.padding_row, layer.mask_zero) == (train_rows, True, 0, True)
        if other is not copy or train_rows == "oov":
            np.testing.assert_array_equal(layer.oov_rows, OOV)
        np.testing.assert_array_equal(numpy(layer.embeddings), numpy(model.layers[0].embeddings))
        np.testing.assert_array_equal(other.predict(IDS, verbose=0), model.predict(IDS, verbose=0))
    before = numpy(loaded.layers[0].embeddings)
    fit(loaded, None)  # goes on with its own optimizer
    assert (numpy(loaded.layers[0].embeddings)[FOUND] != before[FOUND]).any() == (train_rows == "all")
    assert (numpy(loaded.layers[0].embeddings)[OOV] != before[OOV]).any()


def test_a_loaded_frozen_layer_still_knows_its_oov_rows(em, tmp_path):
    model_of(PretrainedEmbedding(em)).save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    layer.train_rows = "oov"
    layer.trainable = True
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(len(OOV), DIM)]
    np.testing.assert_array_equal(numpy(layer.embeddings), em.matrix)


def test_the_configuration_is_small_and_needs_no_vectors():
    table = np.random.default_rng(1).normal(size=(3000, 50)).astype("float32")
    layer = PretrainedEmbedding(table, trainable=True, train_rows="oov", oov_rows=np.arange(1000), check_ids=True)
    config = layer.get_config()
    assert len(model_of(layer).to_json()) < 5000
    again = PretrainedEmbedding.from_config(config)
    assert again.get_config() == config
    again.build()
    assert [tuple(w.shape) for w in again.weights] == [(3000, 50), (1000, 50), (1000,)]
    assert not any(numpy(w).any() for w in again.weights[:2])
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numpy(again.embeddings), table)


def test_reload_fills_a_clone(em):
    for train_rows in ("all", "oov"):
        model = model_of(PretrainedEmbedding(em, trainable=True, train_rows=train_rows, name="words"))
        clone = keras.models.clone_model(model)
        assert reload_vectors(clone, em) == ["words"]
        np.testing.assert_array_equal(numpy(clone.layers[0].embeddings), em.matrix)
        fit(clone)
        moved = np.any(numpy(clone.layers[0].embeddings) != em.matrix, axis=1)
        assert moved[OOV].all()
        assert moved[FOUND].any() == (train_rows == "all")


def test_reload_says_why_it_cannot(em):
    clone = keras.models.clone_model(model_of(PretrainedEmbedding(em, trainable=True, train_rows="oov", name="words")))
    with pytest.raises(ValueError, match=r"shape \(9, 4\) of the table of layer 'words', received shape \(8, 4\)"):
        reload_vectors(clone, em.matrix[:8])
    with pytest.raises(
        ValueError, match="must be an EmbeddingMatrix, for layer 'words' trains OOV rows.*received ndarray"
    ):
        reload_vectors(clone, em.matrix)
    em.oov_rows = np.array([1])
    with pytest.raises(ValueError, match=r"oov_rows must be 3, as many as layer 'words' has, received 1"):
        reload_vectors(clone, em)
    assert not numpy(clone.layers[0].weights[0]).any(), "a refusal leaves the layer as it was"
    with pytest.raises(ValueError, match="has no PretrainedEmbedding"):
        reload_vectors(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), em)


@pytest.mark.parametrize("train_rows", ["all", "oov"])
def test_a_file_without_the_table_takes_only_the_vectors_it_was_saved_with(train_rows, tmp_path):
    table = np.random.default_rng(1).normal(size=(2000, 64)).astype("float32")
    table[0] = 0
    em = Matrix(table)
    layer = PretrainedEmbedding(
        em, trainable=train_rows == "oov", train_rows=train_rows, save_table=False, name="words"
    )
    model = fit(model_of(layer), "adam")
    path = tmp_path / "model.keras"
    model.save(path)
    assert path.stat().st_size < table.nbytes / 8

    loaded = keras.saving.load_model(path)
    with pytest.raises(ValueError, match=r"'words' was saved without its table.*reload_vectors"):
        loaded(IDS)
    with pytest.raises(
        ValueError, match=r"SHA-256 [0-9a-f]{64} that layer 'words' was saved with, received [0-9a-f]{64}"
    ):
        reload_vectors(loaded, Matrix(table * 2))
    assert reload_vectors(loaded, em) == ["words"]
    np.testing.assert_array_equal(numpy(loaded.layers[0].embeddings), numpy(layer.embeddings))
    np.testing.assert_array_equal(loaded.predict(IDS, verbose=0), model.predict(IDS, verbose=0))
    loaded.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    reload_vectors(again, table)
    np.testing.assert_array_equal(again.predict(IDS, verbose=0), model.predict(IDS, verbose=0))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_an_h5_file_keeps_the_trained_oov_rows(em, tmp_path):
    for save_table in (True, False):
        layer = PretrainedEmbedding(em, trainable=True, train_rows="oov", save_table=save_table)
        model = fit(model_of(layer))
        model.compile()  # Keras cannot read the name of a loss out of a .h5 file
        model.save(tmp_path / "model.h5")
        loaded = keras.saving.load_model(tmp_path / "model.h5")
        if not save_table:
            reload_vectors(loaded, em)
        np.testing.assert_array_equal(loaded.layers[0].oov_rows, OOV)
        np.testing.assert_array_equal(numpy(loaded.layers[0].embeddings), numpy(layer.embeddings))
        np.testing.assert_allclose(loaded.predict(IDS, verbose=0), model.predict(IDS, verbose=0), rtol=1e-5, atol=1e-6)


def test_a_trained_table_is_not_left_out_of_the_file(em, tmp_path):
    model = fit(model_of(PretrainedEmbedding(em, trainable=True, save_table=False, name="words")))
    with pytest.raises(
        ValueError,
        match="save_table must be True .* layer 'words' was built with.*received False",
    ):
        model.save(tmp_path / "model.keras")
    model.layers[0].save_table = True
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(IDS, verbose=0), model.predict(IDS, verbose=0))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's format")
def test_savedmodel_export_gives_the_same_numbers(em, tmp_path):
    import tensorflow as tf

    model = fit(model_of(PretrainedEmbedding(em, trainable=True, train_rows="oov")), "adam")
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(served.serve(IDS.astype("int32")), model.predict(IDS, verbose=0), rtol=1e-6)


# -- smaller tables ------------------------------------------------------------------------------------------------


def test_int8_keeps_padding_zero_and_reports_its_error(em, tmp_path):
    layer = PretrainedEmbedding(em)
    model = model_of(layer)
    layer.quantize("int8")
    got = numpy(layer(np.arange(ROWS)))
    assert not got[0].any()
    worst = np.abs(got - em.matrix).max()
    assert layer.quantization_error == pytest.approx(worst)
    assert 0 < worst <= np.abs(em.matrix).max() / 127
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded.layers[0](np.arange(ROWS))), got)


def test_only_a_frozen_whole_table_is_quantized(em):
    with pytest.raises(ValueError, match=r"trainable must be False before layer 'words' is quantized, received True"):
        PretrainedEmbedding(em, trainable=True, name="words").quantize("int8")
    with pytest.raises(ValueError, match="train_rows must be .all. in layer 'words' .*received 'oov'"):
        PretrainedEmbedding(em, train_rows="oov", name="words").quantize("int8")


def test_lora_moves_words_but_neither_the_table_nor_padding(em, tmp_path):
    layer = PretrainedEmbedding(em, trainable=True, mask_zero=False)
    layer.enable_lora(2)
    np.testing.assert_array_equal(numpy(layer(IDS)), em.matrix[IDS])
    model = fit(model_of(layer, keras.layers.Flatten()), "adam")
    np.testing.assert_array_equal(numpy(layer.weights[0]), em.matrix)
    table = numpy(layer.embeddings)
    assert not table[0].any()
    assert (table[1:] != em.matrix[1:]).any(axis=1).all()
    np.testing.assert_allclose(numpy(layer(IDS)), table[IDS], atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(IDS, verbose=0), model.predict(IDS, verbose=0), rtol=1e-5, atol=1e-6)


def test_lora_rank_of_the_constructor_is_that_of_enable_lora(em, tmp_path):
    layer = PretrainedEmbedding(em, trainable=True, lora_rank=2, lora_alpha=4)
    assert (layer.lora_rank, layer.lora_alpha) == (2, 4)
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(ROWS, 2), (2, DIM)]
    assert not numpy(layer.lora_embeddings_a)[0].any()
    np.testing.assert_array_equal(numpy(layer.embeddings), em.matrix)
    model = fit(model_of(layer), "adam")
    np.testing.assert_array_equal(numpy(layer.weights[0]), em.matrix)
    assert (numpy(layer.embeddings)[1:] != em.matrix[1:]).any()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(IDS, verbose=0), model.predict(IDS, verbose=0), rtol=1e-5, atol=1e-6)
    again = PretrainedEmbedding.from_config(layer.get_config())
    again.build()
    reload_vectors(again, em)
    np.testing.assert_array_equal(numpy(again.embeddings), em.matrix)

    with pytest.raises(ValueError, match=r"trainable must be True with LoRA.*received trainable=False, lora_rank=2"):
        PretrainedEmbedding(em, lora_rank=2)
    with pytest.raises(ValueError, match="with LoRA or integers in the table"):
        PretrainedEmbedding(em, trainable=True, train_rows="oov", lora_rank=2)


def test_lora_and_oov_rows_exclude_each_other(em):
    layer = PretrainedEmbedding(em, trainable=True, train_rows="oov", name="words")
    with pytest.raises(ValueError, match="train_rows must be .all. in layer 'words' .*received 'oov'"):
        layer.enable_lora(2)
    layer = PretrainedEmbedding(em, trainable=True, name="words")
    layer.enable_lora(2)
    with pytest.raises(ValueError, match="with LoRA or integers in the table of layer 'words', received 'oov'"):
        layer.train_rows = "oov"


# -- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, ROWS])
def test_check_ids_raises_in_eager_calls_and_in_models(em, bad):
    layer = PretrainedEmbedding(em, check_ids=True)
    wrong = IDS.copy()
    wrong[1, 1] = bad
    low, high = min(bad, 0), max(bad, 8)
    with pytest.raises(
        ValueError, match=rf"ids must be from 0 to 8, the rows of layer .*, received ids from {low} to {high}"
    ):
        layer(wrong)
    for call in (lambda model: model.predict(wrong, verbose=0), lambda model: model.fit(wrong, TARGETS, verbose=0)):
        # Each with a model of its own: on JAX Keras loses the weights of a model whose predict() was interrupted.
        model = fit(model_of(PretrainedEmbedding(em, check_ids=True, trainable=True)))
        with pytest.raises(Exception, match="ids must be from 0 to 8"):
            call(model)


def sparse(ids):
    """The same ids as a sparse tensor of the backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.sparse.from_dense(ids)
    from jax.experimental.sparse import BCOO

    return BCOO.fromdense(ids)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras has no sparse tensors on torch")
@pytest.mark.parametrize("kwargs", [{}, {"check_ids": True}, {"trainable": True, "train_rows": "oov"}])
def test_sparse_ids_are_taken_as_by_keras_embedding(em, kwargs):
    ids = IDS.astype("int32")
    plain = keras.layers.Embedding(ROWS, DIM, weights=[em.matrix])
    np.testing.assert_array_equal(numpy(plain(sparse(ids))), em.matrix[ids])
    with pytest.raises((TypeError, ValueError)):  # with a mask Keras' own layer refuses them
        keras.layers.Embedding(ROWS, DIM, mask_zero=True)(sparse(ids))

    layer = PretrainedEmbedding(em, **kwargs)
    np.testing.assert_array_equal(numpy(layer(sparse(ids))), em.matrix[ids])
    inputs = keras.Input((5,), dtype="int32", sparse=True)
    model = keras.Model(inputs, keras.layers.Dense(1)(MaskedMeanPooling()(layer(inputs))))
    dense = keras.Input((5,), dtype="int32")
    twin = keras.Model(dense, model.layers[-1](MaskedMeanPooling()(layer(dense))))
    np.testing.assert_allclose(numpy(model(sparse(ids))), numpy(twin(ids)), atol=1e-6)
    model.compile("sgd", "mse", jit_compile=QUICK)
    model.fit(sparse(ids), TARGETS, batch_size=4, verbose=0)
    assert not numpy(layer.embeddings)[0].any()


def test_pad_rows_to_appends_zero_rows(em):
    layer = PretrainedEmbedding(em, trainable=True, pad_rows_to=4)
    assert tuple(layer.embeddings.shape) == (12, DIM)
    np.testing.assert_array_equal(numpy(layer.embeddings), np.concatenate([em.matrix, np.zeros((3, DIM))]))
    again = PretrainedEmbedding.from_config(layer.get_config())
    assert again.input_dim == 12
    again.build()
    again.reload(em)
    np.testing.assert_array_equal(numpy(again.embeddings), numpy(layer.embeddings))


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"train_rows": "some"}, ValueError, 'train_rows must be "all" or "oov", received \'some\''),
        ({"padding_row": 3}, ValueError, "padding_row must be None or 0, received 3"),
        ({"pad_rows_to": 0}, ValueError, "pad_rows_to must be None or a whole number from 1 on, received 0"),
        ({"weights": 1}, TypeError, "takes no 'weights'"),
        ({"embeddings_initializer": "zeros"}, TypeError, "takes no 'embeddings_initializer'"),
        ({"input_dim": 8}, ValueError, r"input_dim must be 9, as in the vectors of shape \(9, 4\), received 8"),
        ({"output_dim": 1}, ValueError, "output_dim must be 4.*received 1"),
        ({"oov_rows": [1, 9]}, ValueError, r"ids from 0 to 8, received \[1 9\]"),
        ({"oov_rows": [-1]}, ValueError, r"ids from 0 to 8, received \[-1\]"),
        ({"oov_rows": [0.5]}, ValueError, "of float64"),
        ({"oov_rows": [0, 1]}, ValueError, "must not hold the padding row.*0 1"),
        ({"dtype": "int8_from_float32"}, ValueError, "dtype must be .*, received 'int8_from_float32'"),
    ],
)
def test_wrong_arguments_are_named(em, kwargs, error, words):
    with pytest.raises(error, match=words):
        PretrainedEmbedding(em, **kwargs)


def test_what_is_missing_is_named(em):
    with pytest.raises(ValueError, match=r"vectors must be an EmbeddingMatrix or an array.*received None"):
        PretrainedEmbedding(None)
    with pytest.raises(ValueError, match=r"oov_rows must be the ids .*received None, and ndarray does not know them"):
        PretrainedEmbedding(em.matrix, train_rows="oov")
    layer = PretrainedEmbedding(em.matrix, name="words")
    with pytest.raises(ValueError, match="not known, as in layer 'words', received 'oov'"):
        layer.train_rows = "oov"
    with pytest.raises(ValueError, match="train_rows must be .* received None"):
        layer.train_rows = None


def test_the_table_is_checked_like_that_of_embedding_layer(em):
    em.matrix[4, 2] = np.nan
    em.word_index = {"Wort": 4}
    for make in WAYS.values():
        with pytest.raises(ValueError, match=r"Row 4 \(the word 'Wort'\) of the vectors holds nan in column 2"):
            make(em)
        with pytest.raises(ValueError, match=r"received shape \(4,\)"):
            make(np.ones(4))


# -- several devices -----------------------------------------------------------------------------------------------


SHARDED = """
import keras, numpy as np
from w2v_embed.layers import PretrainedEmbedding, embedding_layer, MaskedMeanPooling
mesh = keras.distribution.DeviceMesh((1, 8), ["batch", "model"], keras.distribution.list_devices())
layout = keras.distribution.LayoutMap(mesh)
layout[".*embeddings"] = ("model", None)
keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
table = np.random.default_rng(0).normal(size=(21, 6)).astype("float32")
table[0] = 0
ids = np.arange(20).reshape(4, 5)
padded = np.concatenate([table, np.zeros((3, 6), "float32")])
for layer in (
    PretrainedEmbedding(table, trainable=True, mask_zero=True, pad_rows_to=8),
    embedding_layer(padded, trainable=True, via="weights"),
    embedding_layer(padded, trainable=True, via="constant"),
):
    shards = {shard.data.shape for shard in layer.embeddings.value.addressable_shards}
    assert shards == {(3, 6)}, shards
    np.testing.assert_array_equal(np.asarray(layer.embeddings.value), padded)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layer, MaskedMeanPooling(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(ids, np.ones((4, 1)), batch_size=4, verbose=0)
    assert {shard.data.shape for shard in layer.embeddings.value.addressable_shards} == {(3, 6)}
    assert (np.asarray(layer.embeddings.value)[1:20] != padded[1:20]).any()
"""

MIRRORED = """
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from w2v_embed.layers import PretrainedEmbedding, MaskedMeanPooling, UnfreezeEmbedding
table = np.random.default_rng(0).normal(size=(21, 6)).astype("float32")
table[0] = 0
ids, y = np.arange(20).reshape(4, 5), np.ones((4, 1))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = PretrainedEmbedding(table, trainable=True, train_rows="oov", oov_rows=[3, 4], mask_zero=True)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layer, MaskedMeanPooling(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
model.fit(ids, y, batch_size=4, verbose=0)
after = keras.ops.convert_to_numpy(layer.embeddings)
moved = np.flatnonzero((after != table).any(axis=1)).tolist()
assert moved == [3, 4], moved
model.fit(ids, y, batch_size=4, verbose=0, callbacks=[UnfreezeEmbedding(0)])
after = keras.ops.convert_to_numpy(layer.embeddings)
assert not after[0].any() and (after[1:20] != table[1:20]).all()
"""


def run_alone(script, **environment):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="ModelParallel is JAX's")
def test_one_table_over_eight_devices():
    run_alone(SHARDED, KERAS_BACKEND="jax", XLA_FLAGS="--xla_force_host_platform_device_count=8")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="MirroredStrategy is TensorFlow's")
def test_the_same_table_on_two_devices():
    run_alone(MIRRORED, KERAS_BACKEND="tensorflow")
