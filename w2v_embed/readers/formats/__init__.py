"""The formats of word vectors, one a module: how it is recognised, read and written.

`TABLE` has them in the order in which they are asked whether a file is theirs. Detection, `load_vectors`, `build_matrix`,
`inspect`, `convert` and the documentation go by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import checks
from .artifact import Npz, Safetensors
from .base import Beginning, Format, Layout
from .binary import Binary
from .fasttext import FastText
from .gensim import Gensim
from .strangers import refuse_archive
from .text import Text

if TYPE_CHECKING:
    from pathlib import Path

    from ..remote import Place

__all__ = ["TABLE", "Beginning", "Format", "Layout", "detect", "register"]

# Artifacts before pickles: of 2,000 headers one has a length whose bytes are the first of a pickle.
TABLE: list[Format] = [FastText(), Safetensors(), Gensim(), Npz(), Binary(), Text()]


def register(format: Format) -> None:
    """Put a further format into the table, before text, which takes whatever no other recognises.

    Example:
        >>> import numpy as np
        >>> from w2v_embed.readers import formats
        >>> from w2v_embed.readers.tables import table_of
        >>> class Csv(formats.Format):
        ...     name = "csv"
        ...     def recognises(self, head):
        ...         return head.startswith(b"word,")
        ...     def open(self, file):
        ...         lines = [line.split(",") for line in file.whole().decode().splitlines()[1:]]
        ...         return table_of([line[0] for line in lines], np.array([line[1:] for line in lines], np.float32))
        >>> csv = Csv()
        >>> formats.register(csv)
        >>> formats.detect(b"word,x,y", "file.csv").name
        'csv'
        >>> formats.TABLE.remove(csv)
    """
    if format.name in (other.name for other in TABLE):
        raise ValueError(f"format must have a name of its own, received {format.name!r}, which is there already")
    TABLE.insert(-1, format)


def detect(head: bytes, path: Path | Place, name: str | None = None) -> Format:
    """The format of a file that begins with `head`, unpacked.

    Args:
        path: for messages.
        name: of the format, where the user says which.
    """
    refuse_archive(head, path)
    if name is None:
        return next(one for one in TABLE if one.recognises(head))
    named = {one.name: one for one in reversed(TABLE)}
    return named[checks.one_of("format", name, named, or_else="None")]
