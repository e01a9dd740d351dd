"""A model with its encoder and its labels, in one .keras file: `save_model`, `load_model`."""

from __future__ import annotations

import numbers
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..checks import whole
from ..layers import OpenVocabularyEmbedding, reload_vectors
from ..layers._table_files import table_sha256
from ..layers.pretrained import pretrained_layers
from ..layers.table import read_table
from ..output import check_writable, write_atomically
from ..shown import plain_errors, quoted
from .archive import add_text, checked_labels, read_text_member
from .encoder import TextEncoder

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import StrPath, Table
    from .archive import Label
    from .coverage import TextCoverage

_SLACK = 1e-3  # of a probability, in half precision


class TextModel:
    """A model that takes texts: what `load_model` returns.

    Attributes:
        model: the `keras.Model`.
        encoder: the `TextEncoder`.
        labels: of the classes; None: they are their numbers.
        multi_label: whether a text may have any number of them, each with a probability of its own.
    """

    def __init__(
        self, model: keras.Model, encoder: TextEncoder, labels: list[Label] | None = None, multi_label: bool = False
    ) -> None:
        self.model: keras.Model = model
        self.encoder: TextEncoder = encoder
        self.labels: list[Label] | None = labels
        self.multi_label: bool = multi_label

    def encode(self, texts: Iterable[str]) -> npt.NDArray[np.int32]:
        """The ids of texts, and n-grams where there are any: what the model gets."""
        ids = self.encoder(texts)
        if ids.shape[1] > self.encoder.ngrams_per_text:
            return ids
        return np.concatenate([np.full((len(ids), 1), self.encoder.padding_id, np.int32), ids], axis=1)

    def coverage(self, texts: Iterable[str]) -> TextCoverage:
        """How much of texts the encoder has ids for."""
        return self.encoder.coverage(texts)

    @plain_errors
    def probabilities(self, texts: Iterable[str], *, batch_size: int = 256) -> npt.NDArray[np.floating[Any]]:
        """What the model says: `(n, classes)`. One number a text is the probability of the second of two classes.

        Raises:
            ValueError: what comes out of the model are no probabilities, or not one for each label.
        """
        ids = self.encode(texts)
        if not len(ids):
            return np.zeros((0, len(self.labels or ())), np.float32)
        scores = np.asarray(self.model.predict(ids, batch_size=whole("batch_size", batch_size), verbose=0))
        if scores.dtype.kind != "f":
            scores = scores.astype(np.float32)  # bfloat16
        if scores.ndim != 2:
            raise ValueError(f"the model must give one row a text, received scores of shape {scores.shape}")
        if not (np.isfinite(scores).all() and scores.min() >= -_SLACK and scores.max() <= 1 + _SLACK):
            raise ValueError(
                "the model must give probabilities, so end in softmax or sigmoid, received scores from "
                f"{scores.min()} to {scores.max()}. Call model.predict(encode(texts)) for others."
            )
        if scores.shape[1] == 1 and not self.multi_label:
            scores = np.concatenate([1 - scores, scores], axis=1)
        _check_classes(self.labels, scores.shape[1])
        return scores

    def predict(self, texts: Iterable[str], *, batch_size: int = 256) -> list[tuple[Label, float]]:
        """For each text the most probable label and its probability."""
        scores = self.probabilities(texts, batch_size=batch_size)
        best = scores.argmax(axis=1) if len(scores) else []
        labels = self.labels or range(scores.shape[1])
        return [(labels[place], float(row[place])) for place, row in zip(best, scores)]

    @plain_errors
    def ranked(
        self, texts: Iterable[str], *, top: int | None = None, threshold: float = 0.0, batch_size: int = 256
    ) -> list[list[tuple[Label, float]]]:
        """For each text its labels and their probabilities, the most probable ones first.

        Args:
            top: so many at most.
            threshold: only those that are at least so probable; 0.5 is usual where a text may have any number of labels.
        """
        top = None if top is None else whole("top", top, or_none=True)
        if isinstance(threshold, bool) or not isinstance(threshold, numbers.Real) or not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a number from 0 to 1, received {quoted(threshold)}")
        scores = self.probabilities(texts, batch_size=batch_size)
        labels = self.labels or range(scores.shape[1])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return [
            [(labels[place], float(row[place])) for place in places if row[place] >= threshold]
            for places, row in zip(order.tolist(), scores)
        ]

    def __repr__(self) -> str:
        return f"<TextModel: {self.encoder!r}, labels={quoted(self.labels)}>"


@plain_errors
def save_model(
    model: keras.Model,
    path: StrPath,
    *,
    encoder: TextEncoder,
    labels: Iterable[Label] | None = None,
    multi_label: bool = False,
    leave_out: Table | None = None,
) -> None:
    """Write a model, its encoder and its labels to one .keras file, whole or not at all.

    `keras.saving.load_model` opens it as any other, once w2v_embed.layers is imported where the model has its layers.

    Args:
        path: its name ends in .keras.
        encoder: what made the ids that the model was trained on. Its `split` is no callable.
        labels: one for each class, in their order.
        multi_label: whether a text may have any number of them: the model gives a probability for each.
        leave_out: the vectors that a frozen `PretrainedEmbedding` was filled with, an `EmbeddingMatrix` or an array: the file
            then has their SHA-256 instead, and `load_model` gets them as `vectors`.

    Raises:
        ValueError, TypeError: the encoder does not fit the model; it cannot be saved; a table is not that of `leave_out`.
        OSError: the file cannot be written.
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f"path must end in .keras, received {str(path)!r}")
    if not isinstance(encoder, TextEncoder):
        raise TypeError(f"encoder must be a TextEncoder, received {type(encoder).__name__}")
    told = None if labels is None else checked_labels(labels)
    check_writable(path)
    _check_fit(model, encoder, told, multi_label)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "model.keras")
        with _without_tables(model, leave_out):
            model.save(written)
        add_text(written, encoder, told, bool(multi_label))
        with open(written, "rb") as source:
            write_atomically(path, lambda file: shutil.copyfileobj(source, file, 1 << 20))


@plain_errors
def load_model(path: StrPath, *, vectors: Table | None = None) -> TextModel:
    """Read what `save_model` wrote, or scripts/train_classifier.py, under any backend.

    Args:
        path: the .keras file.
        vectors: what was left out of it; it is looked at whether they are the same.

    Returns:
        A `TextModel`, with `predict(texts)` → list of (label, probability).

    Raises:
        FileNotFoundError, ValueError: no such file, or not this. Keras refuses code in a file (its `safe_mode`).
    """
    encoder, labels, multi_label = read_text_member(path)
    from .. import layers  # noqa: F401  (registers them with Keras)

    try:
        model = keras.saving.load_model(path)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: Keras cannot read the model in it: {error}") from error
    _check_fit(model, encoder, labels, multi_label)
    if vectors is not None:
        reload_vectors(model, vectors)
    return TextModel(model, encoder, labels, multi_label)


def _check_fit(model, encoder, labels, multi_label):
    spelling = [layer for layer in model._flatten_layers() if isinstance(layer, OpenVocabularyEmbedding)]
    _check_ngrams(spelling, encoder)
    shape = getattr(model, "input_shape", None)
    length = shape[1] if isinstance(shape, tuple) and len(shape) == 2 else None
    if length is not None and length - encoder.ngrams_per_text != encoder.length:
        raise ValueError(
            f"length of the encoder must be {length - encoder.ngrams_per_text}, as the model takes so many ids a text, "
            f"received {encoder.length}"
        )
    ngrams = [layer.ngrams for layer in spelling]
    rows = [
        layer.input_dim
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding) and not any(layer is table for table in ngrams)
    ]
    if rows and max(rows) < encoder.rows:
        raise ValueError(
            f"the model must have an embedding of {encoder.rows:,} rows, as the encoder gives ids below that, received one of "
            f"{max(rows):,}"
        )
    classes = getattr(model, "output_shape", None)
    if isinstance(classes, tuple) and len(classes) == 2 and classes[1] is not None:
        _check_classes(labels, max(classes[1], 1 if multi_label else 2))


def _check_ngrams(layers, encoder):
    """That the n-grams which the encoder writes are those that the layers read."""
    if not layers:
        if encoder.ngrams_per_text:
            raise ValueError(
                "the model must have an OpenVocabularyEmbedding, as the encoder gives n-grams, received one without"
            )
        return
    for layer in layers:
        for name in ("keys_sha256", "ngrams_per_text"):
            own, other = getattr(layer, name), getattr(encoder, name)
            if own != other:
                raise ValueError(
                    f"{name} of the encoder must be that of the layer {layer.name!r}, {own!r}, received {other!r}. Give both "
                    "the same subwords and ngrams_per_text."
                )


def _check_classes(labels, classes):
    if labels is not None and len(labels) != classes:
        raise ValueError(
            f"labels must be as many as the model has classes, {classes}, received {len(labels)}: {quoted(labels)}"
        )


@contextmanager
def _without_tables(model: keras.Model, vectors: Table | None) -> Iterator[None]:
    """While this lasts, files of the model lack the tables that are those of `vectors`."""
    if vectors is None:
        yield
        return
    changed = []
    for layer in pretrained_layers(model):
        table = read_table(vectors, layer.variable_dtype, pad_rows_to=layer.pad_rows_to)
        own = keras.ops.convert_to_numpy(layer._embeddings)
        if table.shape == own.shape:
            digest = table_sha256(table, layer.variable_dtype)
            if digest == table_sha256(own, layer.variable_dtype):
                changed.append((layer, digest, layer.save_table, layer.vectors_sha256))
    if not changed:
        raise ValueError(
            "leave_out must be the vectors of a PretrainedEmbedding of the model, which no training has changed, received "
            f"others: {type(vectors).__name__}"
        )
    try:
        for layer, digest, *_ in changed:
            layer.save_table, layer.vectors_sha256 = False, digest
        yield
    finally:
        for layer, _, save_table, before in changed:
            layer.save_table, layer.vectors_sha256 = save_table, before
