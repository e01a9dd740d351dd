"""The Keras classifiers: embedding → mean, convolution or LSTM → labels. Keras is loaded by who imports this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np

from .._types import ClassifierName, TrainingName
from ..checks import one_of
from ..layers import MaskedMeanPooling, PretrainedEmbedding, UnfreezeEmbedding

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..matrix.embedding_matrix import EmbeddingMatrix

_BATCH = 64


def encode(texts: Sequence[Sequence[str]], word_index: Mapping[str, int], length: int) -> npt.NDArray[np.int32]:
    """The ids of words, int32 `(texts, length)`: unknown words are left out, what is longer is cut, 0 fills up."""
    ids = np.zeros((len(texts), length), np.int32)
    for row, words in zip(ids, texts):
        known = [word_index[word] for word in words if word in word_index][:length]
        row[: len(known)] = known
    return ids


def make_model(
    kind: ClassifierName,
    matrix: EmbeddingMatrix,
    embedding: TrainingName,
    length: int,
    classes: int,
    rate: float,
    seed: int = 0,
) -> Any:
    """A compiled classifier.

    Args:
        kind: what pools the words: "mean", "cnn" or "bilstm".
        matrix: whose id 0 is padding.
        embedding: "random" (a trainable table with mean and spread of the found rows), "frozen", "oov" (only rows without a
            vector are trained), "trainable", or "gradual" (frozen at first; `fit` thaws it).
        length, classes: of the texts, and how many labels.
        rate: of learning.
        seed: of the random table.
    """
    one_of("model", kind, get_args(ClassifierName))
    one_of("embedding", embedding, get_args(TrainingName))
    mask_zero = kind != "cnn"  # a convolution knows no masks; the padding row is zero for it
    if embedding == "random":
        found = matrix.matrix[matrix.matrix.any(axis=1)]
        table = np.random.default_rng(seed).normal(found.mean(), found.std(), matrix.shape).astype("float32")
        table[0] = 0
        layer = PretrainedEmbedding(table, trainable=True, padding_row=0, mask_zero=mask_zero)
    else:
        layer = PretrainedEmbedding(
            matrix,
            trainable=embedding in ("oov", "trainable"),
            train_rows="oov" if embedding == "oov" else "all",
            mask_zero=mask_zero,
        )
    inputs = keras.Input((length,), dtype="int32")
    x = keras.layers.Dropout(0.2)(layer(inputs))
    if kind == "mean":
        x = MaskedMeanPooling()(x)
    elif kind == "cnn":
        x = keras.layers.Conv1D(128, 3, padding="same", activation="relu")(x)
        x = keras.layers.GlobalMaxPooling1D()(x)
    else:
        x = keras.layers.Bidirectional(keras.layers.LSTM(64))(x)
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(keras.layers.Dropout(0.3)(x)))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(
    model: Any,
    embedding: TrainingName,
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    *,
    epochs: int = 18,
    patience: int = 4,
    rate: float = 5e-3,
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Train until `patience` epochs were no better on `validation`, or as "gradual" says; returns the history."""
    callbacks = [keras.callbacks.EarlyStopping("val_accuracy", patience=patience, restore_best_weights=True)]
    if embedding == "gradual":
        first, then = epochs // 3, 2 * epochs // 3
        callbacks = [UnfreezeEmbedding(first, "oov"), UnfreezeEmbedding(then, "all", learning_rate=rate / 5)]
    done = model.fit(
        *train, validation_data=validation, epochs=epochs, batch_size=_BATCH, verbose=verbose, callbacks=callbacks
    )
    history: dict[str, list[float]] = done.history
    return history


def guess(
    kind: ClassifierName,
    embedding: TrainingName,
    matrix: EmbeddingMatrix,
    ids: npt.NDArray[np.int32],
    labels: npt.NDArray[np.integer[Any]],
    train: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    seed: int,
    rate: float = 5e-3,
    **options: Any,
) -> npt.NDArray[np.int64]:
    """Train a classifier on some rows, and let it guess others.

    Args:
        kind, embedding, rate: as for `make_model`.
        matrix: of the words.
        ids, labels: of all texts: `(texts, length)`, and whole numbers from 0 on.
        train, validation, test: rows.
        seed: of what Keras draws.
        options: of `fit`.

    Returns:
        the guesses for the rows of `test`.
    """
    keras.utils.set_random_seed(seed)
    model = make_model(kind, matrix, embedding, ids.shape[1], int(labels.max()) + 1, rate, seed)
    fit(model, embedding, (ids[train], labels[train]), (ids[validation], labels[validation]), rate=rate, **options)
    guesses: npt.NDArray[np.int64] = model.predict(ids[test], verbose=0).argmax(axis=1)
    keras.backend.clear_session()
    return guesses
