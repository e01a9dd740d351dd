"""Every layer through the one contract (layer_contract.py)."""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import w2v_embed.layers as keras_layers
from tests.layer_contract import Case, check_h5, check_layer, check_saved
from w2v_embed.layers import (
    AttentionPooling,
    EmbeddingSimilarity,
    MaskedMaxPooling,
    MaskedMeanPooling,
    OpenVocabularyEmbedding,
    PositionEmbedding,
    PretrainedEmbedding,
    RelativePositionEmbedding,
    RelativeSelfAttention,
    Sinusoid,
    SinusoidalPositionEmbedding,
    TokenEmbedding,
    WeightedMeanPooling,
)
from w2v_embed.layers.backend import Backend, backend
from w2v_embed.layers.bert import AddToFirst
from w2v_embed.subwords import SubwordModel

pytestmark = pytest.mark.keras

IDS = np.array([[1, 2, 3, 4], [5, 6, 0, 0]], "int32")
FEATURES = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
FEATURES[1, 2:] = 0  # what Masking takes for padding
MASK = IDS != 0
VECTORS = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
VECTORS[0] = 0
PADDED = SimpleNamespace(matrix=VECTORS, padding_row=0)
NGRAMS = SubwordModel(np.array([3, 5, 8], np.uint64), VECTORS[1:4], VECTORS[4])
SPELT = np.array([[1, -2, 3, -1, 1, 3, 2, 0], [-3, 6, 0, 0, 3, 2, 1, 0]], "int32")


def masked(layer, x):
    return layer(keras.layers.Masking()(x))


def tied(layer, ids):
    return layer(TokenEmbedding(7, 4, mask_zero=True, embeddings_initializer=Sinusoid())(ids))


def with_unmasked(layer, x):
    return layer([keras.layers.Masking()(x), x])


def masked_first(layer, inputs):
    return layer([keras.layers.Masking()(inputs[0]), inputs[1]])


def pairwise(layer, inputs):
    return layer([keras.layers.Masking()(x) for x in inputs])


CASES = [
    Case(TokenEmbedding, {"input_dim": 7, "output_dim": 3}, IDS, [None, None]),
    Case(TokenEmbedding, {"input_dim": 7, "output_dim": 3, "mask_zero": True}, IDS, [MASK, None], label="mask"),
    Case(EmbeddingSimilarity, {}, IDS, [MASK], tied),
    Case(
        EmbeddingSimilarity,
        {"use_bias": False, "stop_gradient": True, "regularizer": "l2", "constraint": "non_neg", "activation": "tanh"},
        IDS,
        [MASK],
        tied,
        label="arguments",
    ),
    Case(PositionEmbedding, {"input_dim": 5, "output_dim": 6}, IDS - 3),
    Case(PositionEmbedding, {"input_dim": 9, "output_dim": 6, "mask_zero": True}, IDS, [MASK], label="mask"),
    Case(PositionEmbedding, {"input_dim": 5, "output_dim": 6, "mode": "add"}, FEATURES, [MASK], masked, label="add"),
    Case(
        PositionEmbedding,
        {"input_dim": 4, "output_dim": 3, "mode": "concat", "embeddings_regularizer": "l2"},
        FEATURES,
        [MASK],
        masked,
        label="concat",
    ),
    Case(SinusoidalPositionEmbedding, {}, FEATURES, [MASK], masked),
    Case(SinusoidalPositionEmbedding, {"mode": "concat", "output_dim": 4}, FEATURES, [MASK], masked, label="concat"),
    Case(SinusoidalPositionEmbedding, {"mode": "expand", "output_dim": 4}, IDS * 1000, label="expand"),
    Case(
        RelativePositionEmbedding,
        {"input_dim": 5, "output_dim": 4, "embeddings_initializer": "uniform"},
        [FEATURES, np.concatenate([FEATURES, FEATURES], axis=1)],
        [None],
        pairwise,
    ),
    Case(
        RelativePositionEmbedding,
        {"input_dim": 5, "output_dim": 4, "embeddings_initializer": Sinusoid()},
        [FEATURES, FEATURES],
        [None],
        pairwise,
        label="sinusoid",
    ),
    Case(PretrainedEmbedding, {"vectors": VECTORS}, IDS),
    Case(
        PretrainedEmbedding,
        {
            "vectors": VECTORS,
            "mask_zero": True,
            "check_ids": True,
            "pad_rows_to": 4,
            "embeddings_constraint": "non_neg",
        },
        IDS,
        [MASK],
        label="arguments",
    ),
    Case(OpenVocabularyEmbedding, {"vectors": VECTORS, "subwords": NGRAMS, "ngrams_per_text": 4}, SPELT),
    Case(
        OpenVocabularyEmbedding,
        {"vectors": PADDED, "subwords": NGRAMS, "ngrams_per_text": 4},
        SPELT,
        [SPELT[:, :4] != 0],
        label="mask",
    ),
    Case(MaskedMeanPooling, {}, FEATURES, wire=masked),
    Case(MaskedMaxPooling, {}, FEATURES, wire=masked),
    Case(AttentionPooling, {}, FEATURES, wire=masked),
    Case(
        AttentionPooling,
        {"query_initializer": "ones", "query_regularizer": "l2"},
        FEATURES,
        wire=masked,
        label="arguments",
    ),
    Case(WeightedMeanPooling, {}, [FEATURES, IDS.astype("float32") / 8], wire=masked_first),
    Case(
        WeightedMeanPooling,
        {"id_weights": [9, 1, 2, 0.5, 1e-6, 3, 4]},
        [FEATURES, IDS],
        wire=masked_first,
        label="ids",
    ),
    Case(AddToFirst, {}, FEATURES, [MASK], with_unmasked),
    Case(RelativeSelfAttention, {"num_heads": 2, "key_dim": 4, "max_distance": 2}, FEATURES, [MASK], masked),
    Case(
        RelativeSelfAttention,
        {"num_heads": 3, "key_dim": 5, "positions": "learned", "dropout": 0.2, "use_bias": False},
        FEATURES,
        [MASK],
        masked,
        label="learned",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(case):
    check_layer(case)


def test_saved_models_load_in_a_new_process(tmp_path):
    check_saved(CASES, tmp_path)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_h5_file_gives_the_layer_back(case, tmp_path):
    # Plainly called where a mask is an argument of the call: Keras itself cannot load those (the test below).
    wire = Case.wire if case.wire is masked else case.wire
    check_h5(case, wire, tmp_path / "model.h5")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_keras_cannot_load_a_mask_out_of_h5(tmp_path):
    inputs = keras.Input((4,))
    x = keras.layers.Embedding(7, 3, mask_zero=True)(inputs)
    keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x)).save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match="Unknown layer: 'NotEqual'"):
        keras.saving.load_model(tmp_path / "model.h5")


def test_one_file_alone_asks_which_backend_runs():
    files = Path(keras_layers.__file__).parent.glob("*.py")
    words = (
        "keras.backend.backend(",
        "import tensorflow",
        "import jax",
        "from jax",
        "import torch",
        "keras.distribution",
    )
    asking = {file.name for file in files if any(word in file.read_text(encoding="utf-8") for word in words)}
    assert asking == {"backend.py"}
    # Each of the three has what it needs, and another one gets what Keras does everywhere.
    assert type(backend).__name__.lower() == f"_{keras.backend.backend()}"


def test_what_keras_does_everywhere_is_enough_to_fill_and_read_a_table():
    plain, table = Backend(), np.eye(3, 2, dtype="float32")
    variable = keras.Variable(np.zeros((3, 2), "float32"))
    assert not plain.built_full()
    assert not plain.writes_rows(variable)
    copy = plain.own_copy(table, "float32")
    assert not np.shares_memory(copy, table)
    variable.assign(copy)
    ids = plain.check_range(np.array([2, 0]), 3, "words")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(plain.take_rows(variable, ids)), table[[2, 0]])
    with pytest.raises(
        ValueError, match="ids must be from 0 to 2, the rows of layer 'words', received ids from -1 to 3"
    ):
        plain.check_range(np.array([-1, 3]), 3, "words")
    assert plain.split(table) == (None, table)
    assert plain.joined(table, None, copy) is copy
    assert not plain.update_rows(table, variable, variable, variable, None)
