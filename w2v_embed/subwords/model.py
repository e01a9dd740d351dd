"""n-grams and their rows: what `fit_subwords` makes, what a word gets out of them, and the file that they are kept in.

A word's row is the mean of all vectors plus the sum of the rows of its n-grams, divided by the root of their number.

keys  int64 (n,): the hashes of the n-grams, ascending as numbers without a sign
rows  float16 or float32 (n, dim)
mean  float32 (dim,)

They lie in this order in a .safetensors file, whose metadata have `format`, and as JSON `told`: min_n, max_n, words, cosine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from .._types import StoredDtype
from ..checks import one_of, whole
from ..output import write_atomically
from ..safetensors import DTYPES, CutError, head_of, read_head
from ..shown import plain_errors, quoted
from ..texts import json_object
from .ngrams import LONGEST, known_ngrams

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools, Floats, StrPath
    from .ngrams import Keys

_AT_ONCE = 4096  # words
_FORMAT = "w2v_embed subwords 1"
_LONGEST_HEAD, _TENSORS = 1 << 16, ("keys", "rows", "mean")


class SubwordModel:
    """n-grams that make a row for a word out of its spelling. `fit_subwords` makes it; it is a source for `build_matrix`.

    Put it last: it has a row for nearly any word. Such rows are marked "subwords" in provenance and coverage, fallbacks come
    before them, and they are never handed on as exact.

    Args:
        keys: uint64 array `(n,)`, the hashes of the n-grams, ascending.
        rows: array `(n, dim)`, float16 or float32.
        mean: array `(dim,)`, what a word without any n-gram would get.
        min_n, max_n: characters of an n-gram.
        words: how many words it was fitted to.
        cosine: the mean cosine of rows that it makes with the true ones, of words held out from the fit; None = not known.

    Attributes:
        vector_size: numbers a word.
        keys, rows, mean, min_n, max_n, words, cosine: as given.

    Raises:
        ValueError: the parts do not fit together.
    """

    def __init__(
        self,
        keys: Keys,
        rows: Floats,
        mean: Floats,
        *,
        min_n: int = 3,
        max_n: int = 6,
        words: int = 0,
        cosine: float | None = None,
    ) -> None:
        self.min_n: int = whole("min_n", min_n, 1, LONGEST)
        self.max_n: int = whole("max_n", max_n, self.min_n, LONGEST)
        self.keys: Keys = np.asarray(keys, np.uint64)
        self.rows: Floats = np.asarray(rows)
        self.mean: Floats = np.asarray(mean, np.float32)
        self.words: int = whole("words", words, 0)
        self.cosine: float | None = None if cosine is None else float(cosine)
        if self.rows.ndim != 2 or not self.rows.shape[1] or self.keys.shape != self.rows.shape[:1]:
            raise ValueError(f"rows must be (n, dim) for n keys, received {self.rows.shape} for {self.keys.shape}")
        if self.mean.shape != self.rows.shape[1:]:
            raise ValueError(f"mean must be ({self.rows.shape[1]},), as rows are wide, received {self.mean.shape}")
        if not (self.keys[:-1] < self.keys[1:]).all():
            raise ValueError("keys must ascend, each once, received others")
        if not (np.isfinite(self.rows).all() and np.isfinite(self.mean).all()):
            raise ValueError("rows and mean must be finite, received others")

    @property
    def vector_size(self) -> int:
        """Numbers a word."""
        return self.rows.shape[1]

    def vectors_for(self, words: Sequence[str]) -> tuple[npt.NDArray[np.float32], Bools]:
        """The rows that it makes: (float32 `(len(words), dim)`, zeros where not found; bool `(len(words),)`: which have an
        n-gram that is known)."""
        made = np.zeros((len(words), self.vector_size), np.float32)
        found = np.zeros(len(words), np.bool_)
        for begin in range(0, len(words), _AT_ONCE):
            numbers, places = known_ngrams(words[begin : begin + _AT_ONCE], self.keys, self.min_n, self.max_n)
            some, first, counts = np.unique(numbers, return_index=True, return_counts=True)
            found[begin + some] = True
            for k, start, count in zip(some.tolist(), first.tolist(), counts.tolist()):
                total = self.rows[places[start : start + count]].sum(axis=0, dtype=np.float64)
                made[begin + k] = self.mean + total / np.sqrt(count)
        return made, found

    def serves(self, word: str) -> bool:
        """Whether it makes a row for `word`."""
        return bool(self.vectors_for([word])[1][0])

    def row(self, word: str) -> npt.NDArray[np.float32] | None:
        """The row that it makes for `word` `(dim,)`, or None where no n-gram is known."""
        rows, found = self.vectors_for([word])
        return rows[0] if found[0] else None

    @plain_errors
    def save(self, path: StrPath, *, dtype: StoredDtype = "float16") -> None:
        """Write to a .safetensors file: always the old file or the new. `dtype`: of the rows, "float16" or "float32"."""
        one_of("dtype", dtype, get_args(StoredDtype))
        if Path(path).suffix != ".safetensors":
            raise ValueError(f"the name of a subword model must end in .safetensors; received {str(path)!r}")
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(self.rows, "<f2" if dtype == "float16" else "<f4")
        if not np.isfinite(rows).all():
            raise ValueError(f'cannot write {path}: its numbers are too large for float16. Pass dtype="float32"')
        tensors = dict(zip(_TENSORS, (self.keys.view("<i8"), rows, np.ascontiguousarray(self.mean, "<f4"))))
        told = {"min_n": self.min_n, "max_n": self.max_n, "words": self.words, "cosine": self.cosine}
        kinds = ("I64", "F16" if dtype == "float16" else "F32", "F32")
        places = {name: (kind, tensor.shape) for (name, tensor), kind in zip(tensors.items(), kinds)}
        head = head_of(places, {"format": _FORMAT, "told": json.dumps(told)})

        def write(file):
            file.write(head)
            for tensor in tensors.values():
                file.write(tensor.tobytes() if not tensor.size else tensor.data.cast("B"))

        write_atomically(path, write)

    @classmethod
    @plain_errors
    def load(cls, path: StrPath) -> SubwordModel:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError, ValueError: there is no such file, or something else is in it.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        with open(path, "rb") as file:
            try:
                tensors, told = _read(file)
                return cls(tensors["keys"].view(np.uint64), tensors["rows"], tensors["mean"], **told)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{path} is not a whole file written by SubwordModel.save ({error}). Fit it again."
                ) from error

    def __repr__(self) -> str:
        cosine = "unknown" if self.cosine is None else f"{self.cosine:.3f}"
        return f"SubwordModel({len(self.keys):,} n-grams × {self.vector_size}, {self.words:,} words, held-out cosine {cosine})"


def subword_model(subwords: object) -> SubwordModel:
    """A `SubwordModel`, given as such or as the path of its file."""
    if isinstance(subwords, (str, os.PathLike)):
        return SubwordModel.load(subwords)
    if not isinstance(subwords, SubwordModel):
        raise TypeError(f"subwords must be a SubwordModel, or the path of one, received {quoted(subwords)}")
    return subwords


def keys_sha256(keys: Keys) -> str:
    """SHA-256 of the hashes of n-grams, by which those who number them know that they number the same."""
    return hashlib.sha256(np.ascontiguousarray(keys, "<u8").tobytes()).hexdigest()


def is_subword_model(path: Path) -> bool:
    """Whether a file is what `SubwordModel.save` wrote, as far as its first bytes tell."""
    if path.suffix != ".safetensors" or not path.is_file():  # a pipe might never open
        return False
    with open(path, "rb") as file:
        return _FORMAT.encode() in file.read(4096)


def _read(file):
    """(the tensors by name, what else `SubwordModel` takes)."""

    def read(offset, length):
        file.seek(offset)
        data = file.read(length)
        if len(data) < length:
            raise CutError("it ends too early")
        return data

    _, places, metadata = read_head(read, os.fstat(file.fileno()).st_size, longest=_LONGEST_HEAD, most=len(_TENSORS))
    if metadata.get("format") != _FORMAT or places.keys() != set(_TENSORS):
        raise ValueError(
            f"expected the format {_FORMAT!r} with {', '.join(_TENSORS)}, got {quoted(metadata.get('format'))}"
        )
    told = json_object(metadata["told"], "told")
    if told.keys() != {"min_n", "max_n", "words", "cosine"}:
        raise ValueError(f"expected min_n, max_n, words and cosine, got {quoted(told)}")
    kinds = tuple(places[name].dtype for name in _TENSORS)
    if kinds[0] != "I64" or kinds[1] not in ("F16", "F32") or kinds[2] != "F32":
        raise ValueError(f"its tensors {', '.join(_TENSORS)} are {', '.join(kinds)}")
    return {
        name: np.frombuffer(read(place.begin, place.end - place.begin), DTYPES[place.dtype]).reshape(place.shape)
        for name, place in places.items()
    }, told
