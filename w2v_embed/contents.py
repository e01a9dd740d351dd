"""What an artifact says beside its matrix ⇄ the parts of an `EmbeddingMatrix`: metadata, all text, and tensors.

metadata   `format`; as JSON `padding_row`, `sources` (what origins from 3 on mean), `damage`, `fallbacks` (names),
           `suggestions` (name → how many words), `steps` where there were any; `checksum` (of all else, see
           `checksum_of`); an entry of the cache has more
ids        int64: the row of each word
derived    int64 (n, 3): a row, its fallback (a place in `fallbacks`), how many words lent it theirs
suggested  int64: the rows of the words that `suggestions` counts, one list after the other
origins    int32: a code for each row
words      uint8: in the order of `ids`, as UTF-8 (halves of surrogate pairs, too), each ended by a byte FF, which no UTF-8 has
lenders    uint8: the words that `derived` counts, likewise; up to seven more bytes FF let the matrix begin where 8 divides

The first version, "w2v_embed 1", had no tensors but the matrix: all was JSON in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from .parts import FIRST_SOURCE, checked_ids, checked_steps

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._types import Bytes, Ids

    Tensors: TypeAlias = Mapping[str, npt.NDArray[Any]]
    Derived: TypeAlias = Mapping[str, tuple[str, Sequence[str]]]

TENSORS: dict[str, str] = {
    "ids": "<i8", "derived": "<i8", "suggested": "<i8", "origins": "<i4", "words": "|u1", "lenders": "|u1",
}  # fmt: skip
MOST_BYTES = 1 << 30  # of what is beside the matrix: a header, or one tensor; a word takes some 20
_FORMAT, _EARLIER = "w2v_embed 2", "w2v_embed 1"
_TEXTS = ("padding_row", "sources", "damage", "fallbacks", "suggestions")
_EARLIER_TEXTS = ("word_index", "padding_row", "sources", "origins", "derived", "suggestions", "damage")
_END = b"\xff"
_ALIGNED = 8


def pack(
    word_index: Mapping[str, int],
    origins: npt.ArrayLike,
    sources: Iterable[tuple[str, str | None]],
    padding_row: int | None,
    *,
    derived: Derived | None = None,
    suggestions: Mapping[str, Sequence[str]] | None = None,
    damage: Iterable[Mapping[str, object]] = (),
    steps: Sequence[Mapping[str, object]] = (),
) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    """(the metadata but for its checksum, the tensors) of these parts; `derived` is a dict word → (fallback, lenders).

    Raises:
        ValueError: there is too much of it, or `derived` or `suggestions` have words that `word_index` has not.
    """
    derived, suggestions = derived or {}, suggestions or {}
    fallbacks = {name: k for k, name in enumerate(dict.fromkeys(how for how, _ in derived.values()))}
    columns = np.empty((len(derived), 3), TENSORS["derived"])
    columns[:, 0] = _rows_of(derived, word_index)
    columns[:, 1] = [fallbacks[how] for how, _ in derived.values()]
    columns[:, 2] = [len(words) for _, words in derived.values()]
    told = (padding_row, sources, damage, list(fallbacks), {name: len(words) for name, words in suggestions.items()})
    texts = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in told)
    words = words_to_bytes(word_index)
    lenders = words_to_bytes(chain.from_iterable(words for _, words in derived.values()))
    codes = np.asarray(origins, TENSORS["origins"])
    lenders += _END * (-(4 * len(codes) + len(words) + len(lenders)) % _ALIGNED)
    tensors = {
        "ids": np.fromiter(word_index.values(), TENSORS["ids"], len(word_index)),
        "derived": columns,
        "suggested": np.array(_rows_of(chain(*suggestions.values()), word_index), TENSORS["suggested"]),
        "origins": codes,
        "words": np.frombuffer(words, np.uint8),
        "lenders": np.frombuffer(lenders, np.uint8),
    }
    for name, tensor in tensors.items():
        check_size(name, tensor.nbytes)
    metadata = {"format": _FORMAT, **dict(zip(_TEXTS, texts))}
    if steps:  # else the file is as it was before there were any
        metadata["steps"] = json.dumps(steps, ensure_ascii=False, separators=(",", ":"))
    return metadata, tensors


def check_size(name: str, size: int) -> None:
    """Raise where a tensor beside the matrix is larger than any should be."""
    if size > MOST_BYTES:
        raise ValueError(f"its tensor {name} has {size:,} bytes; expected at most {MOST_BYTES:,}")


def unpack(metadata: Mapping[str, str], tensors: Tensors, rows: int, dim: int) -> dict[str, Any]:
    """What is beside a matrix of `rows` × `dim` → dict of the parts, checked as far as others rely on them.

    Instead of the word index it has `words`, `PackedWords`, and `ids`, an int64 array. Its `derived` is a dict as `pack` takes
    it, or a callable that makes it.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is not what it is to be. (`parts` holds parts against each other.)
    """
    kind = metadata.get("format")
    if kind not in (_FORMAT, _EARLIER):
        raise ValueError(f"expected the format {_FORMAT!r}, got {kind!r}")
    if tensors.keys() != (TENSORS.keys() if kind == _FORMAT else set()):
        raise ValueError(f"its tensors are {', '.join(['matrix', *tensors])}, and its format is {kind!r}")
    if kind == _EARLIER:
        fields = {key: json.loads(metadata[key]) for key in _EARLIER_TEXTS}
        _check_lists(fields)
        index, fields["ids"] = checked_ids(dict(fields.pop("word_index")), rows)
        fields["words"] = PackedWords(words_to_bytes(index), len(index))
    else:
        fields = _fields({key: json.loads(metadata[key]) for key in _TEXTS}, tensors, rows)
    if dim < 1 or fields["origins"] is None:
        raise ValueError(f"expected a matrix with numbers, and the origins of its rows, got {rows} × {dim}")
    if not all(isinstance(source, list) for source in fields["sources"]):
        raise ValueError("its sources are not pairs of a name and a fallback")
    _check_damage(fields["damage"])
    fields["steps"] = checked_steps(json.loads(metadata.get("steps", "[]")))
    return fields


def checksum_of(
    metadata: Mapping[str, str], shape: Sequence[int], dtype: npt.DTypeLike, values: int, tensors: Tensors | None = None
) -> str:
    """What an artifact says of its whole content, as text.

    Args:
        metadata: dict of text; a checksum in it does not count.
        shape, dtype: of the matrix.
        values: the CRC-32 of its values.
        tensors: what there is beside the matrix.
    """
    parts = sorted(item for item in metadata.items() if item[0] != "checksum")
    parts += [(name, _summed(t.shape, t.dtype, crc32(t))) for name, t in sorted((tensors or {}).items())]
    about = _summed(shape, dtype, values) + "".join(f"\n{k}\n{v}" for k, v in parts)
    return f"{crc32(about.encode('utf-8', 'surrogatepass')):08x}"


def _summed(shape, dtype, values):
    return repr((list(map(int, shape)), str(np.dtype(dtype)), values))


def crc32(data: bytes | memoryview | npt.NDArray[Any], before: int = 0) -> int:
    """The CRC-32 of `data`, or of more that comes behind what has the CRC-32 `before`. Faster than memory can be read."""
    from isal import isal_zlib

    return isal_zlib.crc32(bytes_of(data) if isinstance(data, np.ndarray) else data, before)


def bytes_of(array: npt.NDArray[Any]) -> memoryview | bytes:
    """The values of an array as they lie in memory, row after row."""
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""


# ── words ──


def words_to_bytes(words: Iterable[str]) -> bytes:
    r"""Words as UTF-8, each ended by a byte FF.

    >>> words_to_bytes(["a", "", "中"])
    b'a\xff\xff\xe4\xb8\xad\xff'
    """
    words = list(words)
    text = "\n".join([*words, ""])
    if text.count("\n") == len(words):  # all in one piece, for no word has a line break in it
        return text.encode("utf-8", "surrogatepass").replace(b"\n", _END)
    return b"".join(word.encode("utf-8", "surrogatepass") + _END for word in words)


class PackedWords(Sequence[str]):
    """Words as they lie in a file (`words_to_bytes`), each of which is made a str when it is asked for.

    Args:
        data: at least the words; what is behind them does not count.
        count: how many there are.

    Attributes:
        buf: uint8 array; begins, ends: int64 arrays: word k is `buf[begins[k]:ends[k]]`.

    >>> words = PackedWords(words_to_bytes(["a", "", "中"]), 3)
    >>> words[2], list(words), list(words.take(np.array([2, 0])))
    ('中', ['a', '', '中'], ['中', 'a'])
    """

    def __init__(self, data: bytes, count: int) -> None:
        self.buf: Bytes = np.frombuffer(data, np.uint8)
        self.ends: Ids = np.flatnonzero(self.buf == _END[0])[:count]
        self.begins: Ids = np.concatenate([np.zeros(1, np.int64), self.ends + 1])[: len(self.ends)]
        self._whole: bool = True

    def take(self, numbers: Ids) -> PackedWords:
        """Those of these numbers."""
        taken = PackedWords.__new__(PackedWords)
        taken.buf, taken.begins, taken.ends = self.buf, self.begins[numbers], self.ends[numbers]
        taken._whole = False
        return taken

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(self.take(np.arange(len(self))[index]))
        return self.buf[self.begins[index] : self.ends[index]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        data = self.buf.tobytes()
        if self._whole and b"\n" not in data:  # all in one piece
            return islice(data.replace(_END, b"\n").decode("utf-8", "surrogatepass").split("\n"), len(self))
        places = zip(self.begins.tolist(), self.ends.tolist())
        return (data[begin:end].decode("utf-8", "surrogatepass") for begin, end in places)


def words_of_bytes(data: bytes, count: int, name: str) -> PackedWords:
    """The `count` words that `words_to_bytes` made `data` of; `name` is that of the tensor."""
    ends = data.count(_END)
    if not count <= ends < count + _ALIGNED:  # before anything is made of them
        raise ValueError(f"its tensor {name} has {ends:,} words; expected {count:,}")
    words = PackedWords(data, count)
    if data[words.ends[-1] + 1 if count else 0 :].strip(_END):
        raise ValueError(f"its tensor {name} has more behind its {count:,} words")
    try:
        data.replace(_END, b"\n").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ValueError(f"its tensor {name} is no UTF-8 ({error.reason} at byte {error.start})") from error
    return words


def _rows_of(words, word_index):
    try:
        return [word_index[word] for word in words]
    except KeyError as error:
        raise ValueError(f"derived or suggestions have the word {error}, which is not in the word index") from error


# ── checks ──


def _fields(told, tensors, rows):
    """The parts that the tensors hold, and what was told beside them."""
    for name, tensor in tensors.items():
        if tensor.dtype.str != TENSORS[name] or tensor.ndim != 1 + (name == "derived"):
            raise ValueError(f"its tensor {name} is {tensor.dtype} of shape {tensor.shape}")
    ids, derived, suggested = (tensors[name].astype(np.int64, copy=False) for name in ("ids", "derived", "suggested"))
    if len(ids) > rows or len(tensors["origins"]) != rows or (len(ids) and not 0 <= ids.min() <= ids.max() < rows):
        raise ValueError(f"its {len(ids):,} ids and {len(tensors['origins']):,} origins are not those of {rows:,} rows")
    words = words_of_bytes(tensors["words"].tobytes(), len(ids), "words")
    has_word = np.zeros(rows, bool)
    has_word[ids] = True
    _check_derived(derived, tensors["origins"], has_word, told["fallbacks"])
    lenders = words_of_bytes(tensors["lenders"].tobytes(), _sum(derived[:, 2], "lenders"), "lenders")
    if not all(type(count) is int for count in told["suggestions"].values()):
        raise ValueError("its counts of suggestions are no whole numbers")
    counts = np.array(list(told["suggestions"].values()), np.int64)
    if _sum(counts, "suggestions") != len(suggested) or not _are_rows(suggested, has_word):
        raise ValueError("its suggestions are not rows of its words")
    word_at = np.empty(rows if len(suggested) else 0, object)
    word_at[ids if len(suggested) else []] = list(words) if len(suggested) else []
    parts = np.split(suggested, np.cumsum(counts)[:-1]) if len(counts) else []
    return {
        "words": words,
        "ids": ids,
        "origins": tensors["origins"],
        "sources": told["sources"],
        "padding_row": told["padding_row"],
        "damage": told["damage"],
        "derived": _later(derived, lenders, told["fallbacks"], ids, words) if len(derived) else {},
        "suggestions": {name: word_at[part].tolist() for name, part in zip(told["suggestions"], parts)},
    }


def _later(derived, lenders, fallbacks, ids, words) -> Callable[[], dict[str, tuple[str, tuple[str, ...]]]]:
    """What makes the dict of derived words: half a million small objects, which few ask for."""

    def made():
        word_at, lent = dict(zip(ids.tolist(), words)), list(lenders)
        rows, codes, counts = derived.T.tolist()
        found, end = {}, 0
        for row, code, count in zip(rows, codes, counts):
            found[word_at[row]] = fallbacks[code], tuple(lent[end : end + count])
            end += count
        return found

    return made


def _check_derived(derived, origins, has_word, fallbacks):
    if not _are_words(fallbacks):
        raise ValueError("it names something else than a fallback for a derived row")
    if derived.shape[1] != 3:
        raise ValueError(f"its tensor derived has the shape {derived.shape}; expected (n, 3)")
    rows, codes = derived[:, 0], derived[:, 1]
    if not _are_rows(rows, has_word) or len(np.unique(rows)) < len(rows) or (origins[rows] < FIRST_SOURCE).any():
        raise ValueError("its derived rows are not rows of words from a source, each once")
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(fallbacks):
        raise ValueError("it names something else than a fallback for a derived row")


def _are_rows(rows, has_word):
    return bool(not len(rows) or (0 <= rows.min() <= rows.max() < len(has_word) and has_word[rows].all()))


def _sum(counts, what):
    """The sum of counts, none of them negative or so large that it would not be one."""
    if len(counts) and not 0 <= counts.min() <= counts.max() <= MOST_BYTES:
        raise ValueError(f"its counts of {what} go from {counts.min()} to {counts.max()}")
    return int(counts.sum())


def _check_lists(fields):
    lenders = [words for how, words in fields["derived"].values() if isinstance(how, str)]
    if len(lenders) != len(fields["derived"]):
        raise ValueError("it names something else than a fallback for a derived row")
    if not all(_are_words(words) for words in (*lenders, *fields["suggestions"].values())):
        raise ValueError("it names something else than words as lenders or suggestions")


def _check_damage(damage):
    for report in damage:
        counts, examples = report["counts"], report["examples"]
        if (
            report.keys() != {"path", "on_error", "counts", "examples"}
            or not isinstance(report["path"], str)
            or counts.keys() != examples.keys()
            or not all(type(count) is int and count > 0 for count in counts.values())
            or not all(map(_are_words, examples.values()))
        ):
            raise ValueError(f"its report of damage is none: {str(report)[:200]}")


def _are_words(words):
    return isinstance(words, list) and all(isinstance(word, str) for word in words)
