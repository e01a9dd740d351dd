"""Matrices that are built outside of memory, in their place in a file; and such of which only some rows are wanted.

A row that depends on its word alone is the same, whatever other words there are: then only the words of the wanted rows are
looked for. One that depends on others (drawn like the found rows, balanced by them, out of an encoder that was asked for all of
them) is cut out of the whole matrix, which lies in a file without a name meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..checks import whole
from ..mapped import scratch
from ..output import check_writable
from ..placed import save_placed
from ..shards import is_index, part_of, save_part, save_shards, shard_path, tensor_of, write_index
from ..store import MATRIX
from .cache import digest_of_words
from .embedding_matrix import EmbeddingMatrix
from .sources import path_of

if TYPE_CHECKING:
    from ..vocabulary import Vocabulary
    from .combining import Combining
    from .fallbacks import Fallbacks


class Placing(NamedTuple):
    """Where the rows go, and which.

    Args:
        out: of `build_matrix`.
        rows: (begin, end), or None for all.
        of: how many there are in all.
        combining: as for `build_matrix`, checked.
    """

    out: Path | None
    rows: tuple[int, int] | None
    of: int
    combining: Combining

    @classmethod
    def checked(
        cls,
        out: object,
        rows: object,
        of: int,
        combining: Combining,
        steps: Sequence[object],
        cache_dir: object,
    ) -> Placing:
        """The same, of arguments that a user gave.

        Raises:
            TypeError, ValueError: they do not go together, or `out` cannot be written.
        """
        name = "out" if out is not None else "rows"
        against = {
            'combine="average"': combining.combine == "average",
            "align=": bool(combining.align),
            "postprocess=": bool(steps),
            "cache_dir=": cache_dir is not None,
        }
        for told, there in against.items():
            if there:
                raise ValueError(
                    f"{name}= must come without {told}, which needs all rows in memory. Leave one of them out; what is built "
                    "can be refined, averaged or kept afterwards"
                )
        path = None
        if out is not None:
            path = Path(out)  # type: ignore[arg-type]
            if path.suffix != ".safetensors" and not is_index(path):
                raise ValueError(f"out must end in .safetensors or .safetensors.index.json, received {str(path)!r}")
            check_writable(path)
        return cls(path, None if rows is None else checked_stretch(rows, of), of, combining)

    def build(
        self,
        build: Callable[..., EmbeddingMatrix],
        given: Sequence[Any],
        vocabulary: Vocabulary,
        plan: Fallbacks,
        options: Mapping[str, Any],
    ) -> EmbeddingMatrix:
        """The matrix that `build(vocabulary=…, room=…)` makes; `options` are those that its rows depend on."""
        if self.rows is None:
            make = partial(build, vocabulary=vocabulary)
            if self.out is None or not is_index(self.out):
                return self._in_place(make, vocabulary, plan)
            save_shards(make(room=self._scratch), self.out)
            return EmbeddingMatrix.load(self.out)
        begin, end = self.rows
        told = {"step": "rows", "begin": begin, "end": end, "of": self.of}
        key = _key(given, vocabulary, plan, options)
        if self._alone(given, options["oov"]):
            part = vocabulary.part(begin, end)

            def make_part(**room: Any) -> EmbeddingMatrix:
                em = build(vocabulary=part, **room)
                return em.with_matrix(em.matrix, told)

            return self._in_place(make_part, part, plan, key)
        em = part_of(build(vocabulary=vocabulary, room=self._scratch), begin, end)
        if self.out is None:
            return em.with_matrix(em.matrix.copy())
        path, tensor = self._part()
        save_part(em, path, tensor, key)
        return self._written(path, key)

    def _alone(self, given, oov):
        """Whether each row depends on its word alone."""
        plain = self.combining.combine == "first" and not self.combining.align
        return oov == "zeros" and (len(given) == 1 or plain) and all(map(_by_word, given))

    def _in_place(self, make, vocabulary, plan, key=""):
        if self.out is None:
            return make()
        path, tensor = self._part()
        extra = {"build": key} if key else {}
        save_placed(path, vocabulary.word_index, make, extra=extra, lent=bool(plan.names), tensor=tensor)
        return self._written(path, key)

    def _part(self):
        """The file that is written, and the name of the tensor in it."""
        if self.rows is None or not is_index(self.out):
            return self.out, MATRIX
        return shard_path(self.out, *self.rows, self.of), tensor_of(*self.rows)

    def _written(self, path, key):
        if path != self.out:
            write_index(self.out, self.of, key)
        return EmbeddingMatrix.load(path, mmap=True)

    def _scratch(self, shape, dtype):
        return scratch(shape, dtype, self.out.parent if self.out else None)


def _key(given, vocabulary, plan, options):
    """What hosts that build parts of one matrix have in common. Files need not lie in one place, nor be of one day."""
    names = [one if (path := path_of(one)) is None else [path.name, path.stat().st_size] for one in given]
    told = [[name if isinstance(name, list) else type(name).__name__ for name in names], plan.names, vocabulary.rows]
    told += [
        digest_of_words(vocabulary.word_index),
        {name: getattr(option, "__qualname__", str(option)) for name, option in options.items()},
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:40]


def checked_stretch(rows: object, of: int) -> tuple[int, int]:
    """`rows`, if they are (begin, end) of a matrix of `of` rows.

    Raises:
        TypeError, ValueError: they are not.
    """
    if not isinstance(rows, (tuple, list)) or len(rows) != 2:
        raise TypeError(f"rows must be a pair (begin, end), received {rows!r}")
    begin, end = whole("rows[0]", rows[0], 0, of - 1), whole("rows[1]", rows[1], 1, of)
    if begin >= end:
        raise ValueError(f"rows must be (begin, end) with begin < end, received {(begin, end)}")
    return begin, end


def _by_word(given):
    """Whether a source gives a word the same row, whatever other words it is asked for."""
    return path_of(given) is not None or isinstance(given, EmbeddingMatrix) or hasattr(given, "key_to_index")
