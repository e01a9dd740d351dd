"""Labelled texts + a matrix → a classifier that answers raw texts: `train`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ..checks import whole
from ..output import check_writable
from ..progress import text_reporter
from ..shown import logger, plain_errors, quoted
from ..splitting import kind_of
from ..store import check_json, write_json
from ..text.encoder import TextEncoder
from ..text.saved import TextModel, save_model
from ..texts import read_json
from .arrays import check_matrix, make_arrays
from .classifiers import Settings, learn
from .measures import baseline, guessed, measures

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from .._types import ClassifierName, ClassWeight, StrPath, TextProgress, TrainingName
    from ..matrix.embedding_matrix import EmbeddingMatrix
    from .labelled import Labels

_LOW = 0.5  # share of the words with a vector below which something is wrong


@dataclass(frozen=True)
class Trained:
    """A classifier, and how good it is.

    Attributes:
        model: a `TextModel`, which takes raw texts.
        metrics: what `save` writes as JSON; docs/text.md says what is in it.
    """

    model: TextModel
    metrics: dict[str, Any]

    @plain_errors
    def save(self, path: StrPath, *, metrics: StrPath | None = None) -> None:
        """Write the model with its encoder and its labels, as `save_model` does, and its metrics.

        Args:
            path: its name ends in .keras.
            metrics: its name ends in .json; None: metrics.json in the same folder.

        Raises:
            ValueError, OSError: a name is none, metrics.json there is that of another model, or nothing can be written.
        """
        told = check_outputs(path, metrics)
        model = self.model
        save_model(model.model, path, encoder=model.encoder, labels=model.labels, multi_label=model.multi_label)
        write_json(
            told, {"format": "w2v_embed.metrics", "version": 1, "model": Path(path).name, **self.metrics}, indent=1
        )


@plain_errors
def train(
    labels: Labels,
    texts: Sequence[str],
    matrix: EmbeddingMatrix,
    *,
    encoder: TextEncoder,
    classifier: ClassifierName = "mean",
    embedding: TrainingName = "gradual",
    class_weight: ClassWeight = None,
    held_out: float = 0.4,
    examples: int | None = None,
    epochs: int = 24,
    patience: int = 4,
    rate: float = 5e-3,
    batch_size: int = 64,
    seed: int = 0,
    progress: TextProgress = None,
) -> Trained:
    """Train a text classifier on pretrained vectors, and measure it on texts that nobody looked at before.

    Args:
        labels: of each text one, a str; or where texts have any number of them, a list of str for each (see `label_sets`).
        texts: the raw texts.
        matrix: of the words of the encoder: `build_matrix(vectors, encoder.word_index)`.
        encoder: of the texts, as `fit_encoder` makes one; id 0 is padding.
        classifier: what follows the embedding: "mean" of the words, "cnn" or "bilstm".
        embedding: "frozen", "oov" (only rows without a vector are trained), "trainable", "gradual" (frozen, then the rows
            without a vector, then all), or "random" (a table of the same size, drawn: what the vectors bring, others lack).
        class_weight: how much texts of a label count in training: a dict, where others count 1; "balanced": the more, the
            rarer it is. A text of several labels counts as the mean of them.
        held_out: share of the texts that are not trained on: half of them say when to stop, half are for the metrics.
        examples: train on so many texts only.
        epochs, patience: most epochs, and how many may be no better before training stops. The best weights stay.
        rate: of learning.
        batch_size: texts a step.
        seed: of everything that is drawn. It becomes that of the process, as `keras.utils.set_random_seed` has it.
        progress: None, True for a bar on stderr, or a callable (epochs done, epochs at most).

    Returns:
        a `Trained`.

    Raises:
        ValueError, TypeError: an argument is none, or there is too little to learn from; the message says what.

    Example:
        >>> from w2v_embed import build_matrix
        >>> from w2v_embed.training import fit_encoder, read_labelled, train
        >>> labels, texts = read_labelled("data/titles.tsv")
        >>> encoder = fit_encoder(texts[:400], split="jieba")
        >>> em = build_matrix("data/vectors.bin", encoder.word_index)
        >>> trained = train(labels[:400], texts[:400], em, encoder=encoder, embedding="frozen", epochs=9)
        >>> trained.metrics["accuracy"] > 2 * trained.metrics["baseline"]
        True
    """
    settings = Settings(classifier, embedding, epochs, patience, rate, batch_size)
    whole("seed", seed, 0, (1 << 32) - 1)
    whole("examples", 2 if examples is None else examples, 2, or_none=True)
    if not isinstance(encoder, TextEncoder):
        raise TypeError(f"encoder must be a TextEncoder, received {quoted(encoder)}")
    check_matrix(matrix, encoder)
    arrays = make_arrays(labels, texts, encoder, class_weight, held_out, seed)
    known = share_with_vector(matrix, arrays.ids)
    settings = replace(settings, several=arrays.several)
    rows = arrays.chosen(examples, seed)
    start = time.perf_counter()
    model, history = learn(
        settings,
        matrix,
        arrays.part(rows),
        arrays.part(arrays.validation),
        length=encoder.length,
        classes=len(arrays.names),
        seed=seed,
        callbacks=[_Tell(text_reporter(progress, range(epochs), "epochs"))],
    )
    seconds = time.perf_counter() - start
    scores = np.asarray(model.predict(arrays.ids[arrays.test], verbose=0))
    if not np.isfinite(scores).all():
        raise ValueError(f"rate must be lower: the training ran away, its numbers are NaN; received {rate}")
    truth = arrays.truth[arrays.test]
    found = measures(truth, guessed(scores, arrays.several), arrays.names, arrays.several)
    parts = {"train": len(rows), "validation": len(arrays.validation), "test": len(arrays.test)}
    options = {**asdict(settings), "seed": seed, "held_out": held_out, "class_weight": class_weight}
    return Trained(
        TextModel(model, encoder, list(arrays.names), multi_label=arrays.several),
        {
            **found,
            "baseline": baseline(arrays.truth, rows, arrays.test),
            "texts": parts,
            "words": {"known": len(encoder.word_index), "with_vector": known},
            "history": {name: [float(value) for value in values] for name, values in history.items()},
            "options": {**options, "split": kind_of(encoder.split), "length": encoder.length},
            "backend": keras.backend.backend(),
            "seconds": seconds,
        },
    )


@plain_errors
def check_outputs(path: StrPath, metrics: StrPath | None = None) -> Path:
    """Raise now what `Trained.save` would raise when the training is done; returns where the metrics go."""
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path must end in .keras, received {str(path)!r}")
    check_writable(path)
    told = path.with_name("metrics.json") if metrics is None else Path(metrics)
    check_json(told)
    check_writable(told)
    if metrics is None and told.exists():
        other = _model_of(told)
        if other != path.name and (other is None or path.with_name(other).exists()):
            whose = "no metrics of a model" if other is None else f"that of {other}"
            raise ValueError(f'{told} is {whose}, which would be lost; pass metrics="{path.stem}.metrics.json", say')
    return told


def _model_of(path):
    """The name of the model whose metrics lie there, None if these are none."""
    try:
        told = read_json(path)
    except (ValueError, OSError):
        return None
    known = isinstance(told, dict) and told.get("format") == "w2v_embed.metrics" and isinstance(told.get("model"), str)
    return Path(told["model"]).name if known else None


def share_with_vector(matrix: EmbeddingMatrix, ids: npt.NDArray[np.int32]) -> float:
    """Of the words that the model sees, the share that have a vector."""
    has = np.ones(len(matrix.matrix), bool)
    has[[0, *matrix.oov_rows]] = False
    share = float(has[ids[ids != 0]].mean())
    if share < _LOW:
        logger.warning(
            "only %.1f %% of the words in the texts have a vector; are texts and vectors of one language, and split alike? "
            'Chinese needs split="jieba"',
            100 * share,
        )
    return share


class _Tell(keras.callbacks.Callback):
    """Tells of each epoch. (Of each batch costs JAX a third of its speed.)"""

    def __init__(self, tell: Callable[[int], object]) -> None:
        super().__init__()
        self._tell = tell

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._tell(1)
