"""The variable that holds a table: what fills it, or trains it, must not make TensorFlow copy it in every later read."""

import contextlib

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import (  # noqa: E402
    MaskedMeanPooling,
    PretrainedEmbedding,
    RowSparseAdam,
    TokenEmbedding,
    UnfreezeEmbedding,
    embedding_layer,
    reload_vectors,
)
from w2v_embed.layers.table import assign_rows  # noqa: E402

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has copy-on-read"),
]

IDS, TARGETS = np.array([[1, 2, 3], [4, 5, 0]]), np.ones((2, 1))
TABLE = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
TABLE[0] = 0
OOV = {"train_rows": "oov", "oov_rows": [2, 5]}

MAKERS = {
    "weights": lambda **kwargs: embedding_layer(TABLE, via="weights", mask_zero=True, **kwargs),
    "constant": lambda **kwargs: embedding_layer(TABLE, via="constant", mask_zero=True, **kwargs),
    "pretrained": lambda **kwargs: PretrainedEmbedding(TABLE, mask_zero=True, **kwargs),
    "oov": lambda **kwargs: PretrainedEmbedding(TABLE, mask_zero=True, **OOV, **kwargs),
    "padded": lambda **kwargs: PretrainedEmbedding(TABLE, mask_zero=True, pad_rows_to=16, **kwargs),
}


def copied(variable):
    """Whether two reads of a variable give two copies of it, which is what its copy-on-read switch means."""
    reads = [np.asarray(memoryview(variable.value.read_value())) for _ in range(2)]
    return not np.shares_memory(*reads)


def copied_tables(layer):
    return [variable.path for variable in layer.weights if "float" in variable.dtype and copied(variable)]


def model_of(layer, optimizer="adam", **kwargs):
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer, MaskedMeanPooling(), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **kwargs)
    return model


def test_a_write_of_rows_is_what_turns_it_on():
    # What the tests below rely on, so that none of them passes because the switch can no longer be seen.
    import tensorflow as tf

    layer = keras.layers.Embedding(30, 4, weights=[TABLE])
    assert not copied(layer.embeddings)
    for use in (
        lambda: tf.gather(layer.embeddings.value, [1]),
        lambda: layer.embeddings.value.scatter_update(tf.IndexedSlices(TABLE[:1], [0])),
    ):
        use()
        assert copied(layer.embeddings)
        tf.raw_ops.DisableCopyOnRead(resource=layer.embeddings.value.handle)
        assert not copied(layer.embeddings)


def test_an_optimizer_of_keras_leaves_the_table_alone():
    model = model_of(keras.layers.Embedding(30, 4, weights=[TABLE], mask_zero=True))
    model.fit(IDS, TARGETS, verbose=0)
    assert not copied(model.layers[0].embeddings)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_no_table_is_copied_from_its_making_to_its_loading(name, trainable, tmp_path):
    layer = MAKERS[name](trainable=trainable)
    assert not copied_tables(layer)
    model = model_of(layer)
    model.fit(IDS, TARGETS, verbose=0)
    model.predict(IDS, verbose=0)
    layer(IDS)
    assert not copied_tables(layer)
    for file in ("model.keras", "model.h5"):
        model.compile()  # Keras cannot read the name of a loss in a .h5 file
        model.save(tmp_path / file)
        loaded = keras.saving.load_model(tmp_path / file).layers[0]
        assert not copied_tables(loaded)
        np.testing.assert_array_equal(loaded.embeddings.numpy(), layer.embeddings.numpy())
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    model.set_weights(model.get_weights())
    assert not copied_tables(layer)


def test_no_table_is_copied_after_reloading_and_unfreezing():
    model = keras.models.clone_model(model_of(PretrainedEmbedding(TABLE, oov_rows=[2, 5], mask_zero=True)))
    layer = model.layers[0]
    reload_vectors(model, TABLE)
    assert not copied_tables(layer)
    layer._oov_ids = np.array([2, 5], "int32")
    model.compile("adam", "mse")
    for epoch, rows in enumerate(("oov", "all")):
        model.fit(IDS, TARGETS, epochs=epoch + 1, verbose=0, callbacks=[UnfreezeEmbedding(epoch, rows)])
        assert layer.train_rows == rows
        assert not copied_tables(layer)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_no_table_is_copied_after_a_row_sparse_step(plain, jit_compile):
    layer = MAKERS["weights" if plain else "pretrained"](trainable=True)
    model = model_of(layer, RowSparseAdam(0.1), jit_compile=jit_compile)
    model.fit(IDS, TARGETS, verbose=0, epochs=2)
    assert (layer.embeddings.numpy()[1:6] != TABLE[1:6]).all(axis=1).all()
    np.testing.assert_array_equal(layer.embeddings.numpy()[6:], TABLE[6:])
    assert not copied_tables(layer)
    tables = [variable for variable in model.optimizer.variables if tuple(variable.shape) == TABLE.shape]
    assert len(tables) == 2
    assert not any(map(copied, tables))


def test_tied_tables_are_not_copied():
    assert not copied_tables(TokenEmbedding(30, 4, weights=TABLE))


def test_a_table_is_filled_under_a_strategy_and_from_outside_it():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    for scope in (strategy.scope, contextlib.nullcontext):
        with strategy.scope():
            layer = keras.layers.Embedding(30, 4)
            layer.build(None)
        with scope():
            assign_rows(layer.embeddings, TABLE)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.embeddings), TABLE)
