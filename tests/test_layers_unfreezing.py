"""UnfreezeEmbedding takes effect at its epoch and keeps the optimizer's state; decay is warned of."""

import json
import warnings

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from w2v_embed.layers import MaskedMeanPooling, PretrainedEmbedding, UnfreezeEmbedding, warn_about_decay  # noqa: E402

pytestmark = pytest.mark.keras

# XLA compiles for seconds what most of these tests run for milliseconds.
QUICK = False if keras.backend.backend() == "tensorflow" else "auto"

OOV, FOUND = [2, 4], [1, 3, 5]
IDS = np.array([[1, 2, 3], [4, 5, 0], [2, 1, 5], [3, 4, 2]])
TARGETS = np.array([[1.0], [-1.0], [0.5], [2.0]])


@pytest.fixture
def table():
    table = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    table[0] = 0
    return table


class Watch(keras.callbacks.Callback):
    """Copies of the table, the step count and the learning rate as they are when each epoch ends."""

    def on_train_begin(self, logs=None):
        self.tables, self.steps, self.rates = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        self.tables.append(keras.ops.convert_to_numpy(self.model.layers[0].embeddings).copy())
        self.steps.append(int(optimizer.iterations))
        self.rates.append(float(optimizer.learning_rate))


def model_of(table, optimizer="adam", jit_compile=QUICK, **kwargs):
    keras.utils.set_random_seed(3)
    layer = PretrainedEmbedding(table, oov_rows=OOV, mask_zero=True, name="words", **kwargs)
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer, MaskedMeanPooling(), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def fit(model, epochs, *callbacks):
    watch = Watch()
    model.fit(IDS, TARGETS, epochs=epochs, batch_size=2, shuffle=False, verbose=0, callbacks=[*callbacks, watch])
    return watch


def moved(a, b):
    return np.flatnonzero((a != b).any(axis=1)).tolist()


def test_first_nothing_then_oov_rows_then_all(table):
    model = model_of(table, keras.optimizers.Adam(0.05), jit_compile="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        watch = fit(model, 4, UnfreezeEmbedding(1, "oov"), UnfreezeEmbedding(3, "all", learning_rate=0.01))
    assert moved(table, watch.tables[0]) == []
    assert moved(watch.tables[0], watch.tables[1]) == OOV
    assert moved(watch.tables[1], watch.tables[2]) == OOV
    assert moved(watch.tables[2], watch.tables[3]) == [1, 2, 3, 4, 5]
    assert watch.steps == [2, 4, 6, 8]
    np.testing.assert_allclose(watch.rates, [0.05, 0.05, 0.05, 0.01], rtol=1e-6)


def test_the_moments_of_the_other_variables_go_on(table):
    def dense_moments(model):
        return [
            keras.ops.convert_to_numpy(v) for v in model.optimizer.variables if "dense" in v.path and "kernel" in v.path
        ]

    frozen = model_of(table)
    fit(frozen, 2)
    checked = []

    class Check(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                checked.extend(dense_moments(self.model))

    fit(model_of(table), 3, UnfreezeEmbedding(2), Check())
    assert len(checked) == 2
    for a, b in zip(checked, dense_moments(frozen)):
        np.testing.assert_array_equal(a, b)
        assert a.any()


def test_a_model_that_was_unfrozen_is_saved_with_the_optimizer_it_has_now(table, tmp_path):
    model = model_of(table, keras.optimizers.Adam(0.05))
    fit(model, 2, UnfreezeEmbedding(1, "oov", learning_rate=0.01))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    assert moved(table, fit(loaded, 1).tables[0]) == OOV


def test_what_was_excluded_from_decay_stays_excluded(table):
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["embeddings"])
    extended = np.concatenate([table, np.ones((2, 3), "float32")])  # rows 6 and 7 are in no batch
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        watch = fit(model_of(extended, optimizer), 2, UnfreezeEmbedding(1))
    np.testing.assert_array_equal(watch.tables[1][6:], extended[6:])
    assert moved(extended, watch.tables[1]) == [1, 2, 3, 4, 5]


def test_decay_of_unseen_words_is_warned_of_and_does_happen(table):
    extended = np.concatenate([table, np.ones((2, 3), "float32")])
    with pytest.warns(UserWarning, match=r"weight_decay=0.5 shrinks every row of layer 'words'"):
        watch = fit(model_of(extended, keras.optimizers.AdamW(0.01, weight_decay=0.5)), 2, UnfreezeEmbedding(1))
    assert {6, 7} <= set(moved(extended, watch.tables[1]))
    assert not watch.tables[1][0].any()


def test_decay_is_not_warned_of_where_no_found_row_can_move(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for kwargs in ({}, {"trainable": True, "train_rows": "oov"}):
            assert warn_about_decay(model_of(table, keras.optimizers.AdamW(), **kwargs)) == []
        assert warn_about_decay(model_of(table, "adam", trainable=True)) == []
    with pytest.warns(UserWarning, match="weight_decay=0.004"):
        assert warn_about_decay(model_of(table, keras.optimizers.AdamW(), trainable=True)) == ["words"]


def test_float16_keeps_its_loss_scale(table):
    model = model_of(table, keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.05), initial_scale=32.0))
    watch = fit(model, 3, UnfreezeEmbedding(1, "oov"))
    assert moved(table, watch.tables[0]) == []
    assert moved(table, watch.tables[2]) == OOV
    assert watch.steps == [2, 4, 6]
    assert float(model.optimizer.dynamic_scale) == 32.0


def test_training_goes_on_past_the_epoch(table):
    model = model_of(table)
    model.fit(IDS, TARGETS, initial_epoch=5, epochs=6, verbose=0, callbacks=[UnfreezeEmbedding(2)])
    assert moved(table, keras.ops.convert_to_numpy(model.layers[0].embeddings)) == [1, 2, 3, 4, 5]


def test_wrong_arguments_are_named(table):
    with pytest.raises(ValueError, match=r"epoch must be a whole number from 0 on, received -1"):
        UnfreezeEmbedding(-1)
    with pytest.raises(ValueError, match=r"epoch must be a whole number from 0 on, received True"):
        UnfreezeEmbedding(True)
    with pytest.raises(ValueError, match="train_rows must be .all. or .oov., received 'found'"):
        UnfreezeEmbedding(1, "found")
    with pytest.raises(ValueError, match="layer must be the name of a PretrainedEmbedding.*received 'wrods'"):
        fit(model_of(table), 1, UnfreezeEmbedding(0, layer="wrods"))


def test_it_can_be_made_again_from_its_configuration():
    callback = UnfreezeEmbedding(np.int64(2), "oov", layer="words", learning_rate=1e-4)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(callback))))
    assert (again.epoch, again.train_rows, again.layer, again.learning_rate) == (2, "oov", "words", 1e-4)
