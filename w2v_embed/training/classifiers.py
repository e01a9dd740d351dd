"""The Keras classifiers: embedding → mean, convolution or LSTM → labels. Keras is loaded by who imports this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np

from .._types import ClassifierName, TrainingName
from ..checks import above_zero, one_of, whole
from ..layers import MaskedMeanPooling, PretrainedEmbedding, UnfreezeEmbedding
from ..layers.pretrained import pretrained_layers

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..matrix.embedding_matrix import EmbeddingMatrix


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
    length: int | None,
    classes: int,
    rate: float,
    seed: int = 0,
    several: bool = False,
) -> Any:
    """A compiled classifier.

    Args:
        kind: what pools the words: "mean", "cnn" or "bilstm".
        matrix: whose id 0 is padding.
        embedding: "random" (a trainable table with mean and spread of the found rows), "frozen", "oov" (only rows without a
            vector are trained), "trainable", or "gradual" (frozen at first; `fit` thaws it).
        length, classes: of the texts (None: any), and how many labels.
        rate: of learning.
        seed: of the random table.
        several: whether a text may have any number of labels: a probability for each, instead of one that all share.
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
    activation, loss = ("sigmoid", "binary_crossentropy") if several else ("softmax", "sparse_categorical_crossentropy")
    model = keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(keras.layers.Dropout(0.3)(x)))
    model.compile(keras.optimizers.Adam(rate), loss, weighted_metrics=["accuracy"])
    return model


@dataclass(frozen=True)
class Settings:
    """How a classifier is trained.

    Attributes:
        classifier, embedding, rate, several: `kind`, `embedding`, `rate` and `several` of `make_model`. "gradual" begins with
            the rows as they are, goes on with those that had no vector, and from two thirds of `epochs` on trains all, slower.
        epochs, batch_size: of training.
        patience: epochs without a better validation before it stops; where rows thaw, once all are trained.
    """

    classifier: ClassifierName = "mean"
    embedding: TrainingName = "gradual"
    epochs: int = 24
    patience: int = 4
    rate: float = 5e-3
    batch_size: int = 64
    several: bool = False

    def __post_init__(self) -> None:
        one_of("classifier", self.classifier, get_args(ClassifierName))
        one_of("embedding", self.embedding, get_args(TrainingName))
        for name in ("epochs", "patience", "batch_size"):
            whole(name, getattr(self, name))
        above_zero("rate", self.rate)


def learn(
    settings: Settings,
    matrix: EmbeddingMatrix,
    train: tuple[Any, ...],
    validation: tuple[Any, ...],
    *,
    length: int | None,
    classes: int,
    seed: int,
    callbacks: Sequence[Any] = (),
) -> tuple[Any, dict[str, list[float]]]:
    """Make a classifier and train it.

    Args:
        matrix: of the words.
        train, validation, callbacks: as for `fit`.
        length, classes: as for `make_model`.
        seed: of what Keras draws; it is that of the process, too, from then on.

    Returns:
        (the model, its history)
    """
    keras.utils.set_random_seed(seed)
    model = make_model(
        settings.classifier,
        matrix,
        settings.embedding,
        length,
        classes,
        settings.rate,
        seed,
        several=settings.several,
    )
    return model, fit(settings, model, train, validation, callbacks)


def fit(
    settings: Settings,
    model: Any,
    train: tuple[Any, ...],
    validation: tuple[Any, ...],
    callbacks: Sequence[Any] = (),
) -> dict[str, list[float]]:
    """Train a compiled model, as `settings` say; it keeps the weights that were the best on `validation`.

    Args:
        train, validation: ids, labels, and perhaps a weight for each text, by which accuracies are weighted, too.
        callbacks: more of Keras'.

    Returns:
        the history: name → number of each epoch.
    """
    epochs, begin = settings.epochs, 0
    thaw: list[Any] = []
    if settings.embedding == "gradual":
        begin = 2 * epochs // 3
        if any(len(layer.oov_rows) for layer in pretrained_layers(model) if layer.oov_rows is not None):
            thaw.append(UnfreezeEmbedding(epochs // 3, "oov"))
        thaw.append(UnfreezeEmbedding(begin, learning_rate=settings.rate / 5))
    stop = keras.callbacks.EarlyStopping(
        "val_loss" if settings.several else "val_accuracy",
        patience=settings.patience,
        restore_best_weights=True,
        start_from_epoch=begin,
    )
    x, y, *weights = train
    done = model.fit(
        x,
        y,
        sample_weight=weights[0] if weights else None,
        validation_data=validation,
        epochs=epochs,
        batch_size=settings.batch_size,
        verbose=0,
        callbacks=[*thaw, stop, *callbacks],
    )
    history: dict[str, list[float]] = done.history
    return history


def guess(
    settings: Settings,
    matrix: EmbeddingMatrix,
    ids: npt.NDArray[np.int32],
    labels: npt.NDArray[np.integer[Any]],
    train: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    seed: int,
) -> npt.NDArray[np.int64]:
    """Train a classifier on some rows, and let it guess others.

    Args:
        settings, matrix, seed: as for `learn`.
        ids, labels: of all texts: `(texts, length)`, and whole numbers from 0 on.
        train, validation, test: rows.

    Returns:
        the guesses for the rows of `test`.
    """
    parts = [(ids[rows], labels[rows]) for rows in (train, validation)]
    model, _ = learn(settings, matrix, *parts, length=ids.shape[1], classes=int(labels.max()) + 1, seed=seed)
    guesses: npt.NDArray[np.int64] = model.predict(ids[test], verbose=0).argmax(axis=1)
    keras.backend.clear_session()
    return guesses
