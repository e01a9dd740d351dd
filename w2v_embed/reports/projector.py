"""EmbeddingMatrix → TensorBoard's embedding projector.

tensors.tsv            one vector a line, numbers parted by tabs
metadata.tsv           a heading, then for each vector: word, source, how [, count]
projector_config.pbtxt which belongs to which, for `tensorboard --logdir FOLDER`

projector.tensorflow.org reads the first two by hand.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks import whole
from ..matrix.coverage import checked_counts, ways_of
from ..output import write_atomically

if TYPE_CHECKING:
    from .._types import Counts, StrPath
    from ..matrix.embedding_matrix import EmbeddingMatrix

_FORMULA = tuple('=+-@"＝＋－＠')  # the full-width ones count in East Asian editions

_CONFIG = """embeddings {
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
}
"""


def export(em: EmbeddingMatrix, folder: StrPath, counts: Counts | None = None, limit: int | None = 10_000) -> None:
    """See `EmbeddingMatrix.export_projector`."""
    folder = Path(folder)
    if limit is not None:
        whole("limit", limit, or_none=True)
    if not em.word_index:
        raise ValueError(
            "the matrix has no words to label its rows with; a .npy keeps none, save it as .safetensors or .npz"
        )
    coverage = em.coverage
    if counts is None:
        words = list(islice(_in_order(em), limit))
    else:
        top = checked_counts(counts, coverage.found + coverage.missing).ranked(most=limit)
        words = [word for word, _ in top]
    heading = ["word", "source", "how"]
    columns = [[_safe(word) for word in words]]
    columns.append([_safe(coverage.sources.get(word, "oov")) for word in words])
    columns.append([_safe(how or "oov") for how in ways_of(coverage, words)])
    if counts is not None:
        heading.append("count")
        columns.append([str(count) for _, count in top])
    number = "\t".join(["%.8g"] * em.shape[1])
    folder.mkdir(parents=True, exist_ok=True)

    def write_tensors(file):
        for word in words:
            file.write((number % tuple(em.matrix[em.word_index[word]].tolist()) + "\n").encode())

    def write_labels(file):
        for line in ["\t".join(heading), *map("\t".join, zip(*columns))]:
            file.write(f"{line}\n".encode())

    write_atomically(folder / "tensors.tsv", write_tensors)
    write_atomically(folder / "metadata.tsv", write_labels)
    write_atomically(folder / "projector_config.pbtxt", lambda file: file.write(_CONFIG.encode()))


def _in_order(em):
    """The words that `coverage` counts, by id."""
    counted = {*em.coverage.found, *em.coverage.missing}
    return (word for word in em.word_index if word in counted)


def _safe(label):
    r"""A label that is one field of one line, and stays one when the projector trims lines and leaves out empty ones.

    Spreadsheets open such files, too, and run what looks like a formula; an apostrophe before it is how they mark text. (The
    projector shows it. An escape for "=" would be as safe, but nobody could read it or look for it.) One more stands before
    words that have some of their own, so that no two labels are alike. A quotation mark in front would hide what follows.

    >>> _safe("a\tb"), _safe(" "), _safe(""), _safe("New York"), _safe("=1+1"), _safe("'=1+1"), _safe("'s")
    ('a\\tb', '\\x20', '(empty)', 'New York', "'=1+1", "''=1+1", "'s")
    """
    if label.lstrip("'")[:1] in _FORMULA:
        label = f"'{label}"
    out = []
    for position, character in enumerate(label):
        inner = character == " " and 0 < position < len(label) - 1
        if (character.isprintable() and not character.isspace()) or inner:
            out.append(character)
        else:
            out.append("\\x20" if character == " " else character.encode("unicode_escape").decode())
    return "".join(out) or "(empty)"
