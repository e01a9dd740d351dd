"""One matrix in several files, in Hugging Face's layout: an index in JSON, and .safetensors of some rows each.

    m.safetensors.index.json            {"metadata": {…}, "weight_map": {"matrix[0:500]": "m-0000-0500-of-1000.safetensors", …}}
    m-0000-0500-of-1000.safetensors     as any artifact of `store`, but for the tensor's name, which says which rows they are

Each part has the words of its rows, and is read alone, too. Hosts that build their parts need not speak with each other:
whoever finds all of them there writes the index. All parts say which build they are of, and of two builds none is made one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .output import check_writable, write_atomically
from .parts import FIRST_SOURCE, PADDING, checked
from .shown import quoted
from .store import MATRIX, load, map_rows, open_safetensors, save
from .texts import read_json

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._types import StrPath
    from .matrix.embedding_matrix import EmbeddingMatrix

_Made = TypeVar("_Made")
_SUFFIX = ".safetensors.index.json"
MOST = 5_000_000_000  # bytes of the rows of a part, as Hugging Face's libraries have it
_NAME = re.compile(r"(?P<stem>.*)-(?P<begin>\d{1,18})-(?P<end>\d{1,18})-of-(?P<of>\d{1,18})\.safetensors", re.DOTALL)
_TENSOR = re.compile(rf"{MATRIX}\[(\d{{1,18}}):(\d{{1,18}})\]")
_DTYPES = ("float16", "float32", "float64")


class Part(NamedTuple):
    """One of the files.

    Attributes:
        begin, end: which rows it has.
        path: the file.
    """

    begin: int
    end: int
    path: Path


# ── names ──


def is_index(path: StrPath) -> bool:
    """Whether it is the name of an index.

    >>> is_index("m.safetensors.index.json"), is_index("m.json")
    (True, False)
    """
    return os.fspath(path).endswith(_SUFFIX)


def shard_path(index: Path, begin: int, end: int, of: int) -> Path:
    """The file of the rows from `begin` up to `end` of `of`.

    >>> shard_path(Path("m.safetensors.index.json"), 5, 10, 1000).name
    'm-0005-0010-of-1000.safetensors'
    """
    digits = len(str(of))
    stem = index.name.removesuffix(_SUFFIX)
    return index.with_name(f"{stem}-{begin:0{digits}}-{end:0{digits}}-of-{of}.safetensors")


def tensor_of(begin: int, end: int) -> str:
    """What the tensor is called that has these rows.

    >>> tensor_of(5, 10)
    'matrix[5:10]'
    """
    return f"{MATRIX}[{begin}:{end}]"


# ── out ──


def part_of(em: EmbeddingMatrix, begin: int, end: int) -> EmbeddingMatrix:
    """The rows from `begin` up to `end`, a view; ids count from `begin` on, and `steps` say which rows they are."""
    index = {word: number - begin for word, number in em.word_index.items() if begin <= number < end}
    suggestions = {name: [word for word in words if word in index] for name, words in em.suggestions.items()}
    return type(em)(
        em.matrix[begin:end],
        index,
        origins=em.origins[begin:end],
        sources=em.sources,
        derived={word: how for word, how in em.derived.items() if word in index},
        suggestions={name: words for name, words in suggestions.items() if words},
        padding_row=None if begin else em.padding_row,
        damage=em.damage,
        steps=[*em.steps, {"step": "rows", "begin": begin, "end": end, "of": len(em.matrix)}],
    )


def save_shards(em: EmbeddingMatrix, index: StrPath, *, most: int = MOST, build: str | None = None) -> None:
    """Write `em` as parts of at most `most` bytes of rows, and their index.

    Args:
        build: what tells this build from others; None: something that nobody else has.
    """
    index, rows = Path(index), len(em.matrix)
    check_writable(index)
    if not em.matrix.size:
        raise ValueError(f"cannot write {index}: expected a matrix with rows, received one of shape {em.matrix.shape}")
    build = build or os.urandom(12).hex()
    step = max(most // (em.matrix.itemsize * em.matrix.shape[1]), 1)
    for begin in range(0, rows, step):
        end = min(begin + step, rows)
        save_part(part_of(em, begin, end), shard_path(index, begin, end, rows), tensor_of(begin, end), build)
    write_index(index, rows, build)


def save_part(em: EmbeddingMatrix, path: Path, tensor: str, build: str | None = None) -> None:
    """Write one part, which is `em`."""
    save(em, path, {"build": build} if build else {}, tensor=tensor)


def write_index(index: Path, of: int, build: str) -> bool:
    """Write the index of a matrix of `of` rows, if all its parts are there; returns whether they are."""
    stem = index.name.removesuffix(_SUFFIX)
    named = [(_NAME.fullmatch(entry.name), entry) for entry in sorted(index.parent.iterdir())]
    there = [
        Part(int(found["begin"]), int(found["end"]), entry)
        for found, entry in named
        if found and found["stem"] == stem and int(found["of"]) == of
    ]
    if not _chain(there, of):  # before any of them is opened
        return False
    heads = {part: _head_of(part.path) for part in there}
    chain = _chain((part for part, (told, _) in heads.items() if told == build), of)
    if not chain:
        return False
    dim, dtype = heads[chain[0]][1]
    content = {
        "metadata": {
            "total_size": of * dim * np.dtype(dtype).itemsize,
            "format": "w2v_embed 2",
            "build": build,
            "rows": of,
            "dim": dim,
            "dtype": dtype,
        },
        "weight_map": {tensor_of(part.begin, part.end): part.path.name for part in chain},
    }
    write_atomically(index, lambda file: file.write(json.dumps(content, indent=2).encode()))
    return True


def _head_of(path):
    """(the build that a part says it is of, its (dim, dtype)); the build is None where it is no part."""
    try:
        with open(path, "rb", buffering=0) as file:
            matrix, metadata, dtype, _ = open_safetensors(file)
    except (ValueError, OSError, KeyError, TypeError, AttributeError):
        return None, None
    return metadata.get("build"), (matrix.shape[1], str(dtype))


def _chain(parts: Iterable[Part], of: int) -> list[Part]:
    """Parts that follow one another from row 0 to the last; an empty list where some are missing."""
    at: dict[int, Part] = {}
    for part in parts:
        if part.end > part.begin and part.end > at.get(part.begin, part).end - 1:
            at[part.begin] = part
    chain, end = list[Part](), 0
    while end < of and end in at:
        chain.append(at[end])
        end = chain[-1].end
    return chain if end == of else []


# ── in ──


class Index(NamedTuple):
    """What an index says.

    Attributes:
        path: of the index.
        shape, dtype: of the whole matrix.
        build: what all parts say that they are of.
        parts: in the order of their rows.
    """

    path: Path
    shape: tuple[int, int]
    dtype: str
    build: str
    parts: tuple[Part, ...]


def told_index(path: StrPath) -> Index:
    """What the index at `path` says, held against itself; nobody looks for the parts.

    Raises:
        ValueError: it is none.
    """
    path = Path(path)
    try:
        content = read_json(path)
        told, names = content["metadata"], content["weight_map"]
        shape, dtype, build = (told["rows"], told["dim"]), told["dtype"], told["build"]
        if not all(type(size) is int and 0 < size < 1 << 40 for size in shape) or dtype not in _DTYPES:
            raise ValueError(f"it says {quoted(shape)} numbers of {quoted(dtype)}")
        parts = []
        for tensor, name in names.items():
            named = _TENSOR.fullmatch(tensor)
            if not named or not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise ValueError(
                    f"expected rows and the name of a file beside it, got {quoted(tensor)}: {quoted(name)}"
                )
            parts.append(Part(int(named[1]), int(named[2]), path.with_name(name)))
        parts.sort()
        bounds = [0, *(part.end for part in parts)]
        if (
            [part.begin for part in parts] != bounds[:-1]
            or bounds[-1] != shape[0]
            or any(a >= b for a, b in pairwise(bounds))
        ):
            raise ValueError(
                f"its parts {', '.join(f'{a}:{b}' for a, b, _ in parts[:9])} are not those of {shape[0]} rows"
            )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is no index of a matrix of this package ({what}). Build it again.") from error
    return Index(path, shape, dtype, str(build), tuple(parts))


def read_index(path: StrPath) -> Index:
    """As `told_index`, held against the sizes of the parts, too.

    Raises:
        FileNotFoundError, ValueError: it is none, or a part is missing.
    """
    index = told_index(path)
    width = index.shape[1] * np.dtype(index.dtype).itemsize
    for part in index.parts:
        if not part.path.is_file():
            raise FileNotFoundError(f"{path} names {part.path.name}, which is not there. Build that part again.")
        if part.path.stat().st_size < (part.end - part.begin) * width:
            raise ValueError(f"{part.path} looks cut off: it must hold {part.end - part.begin:,} rows. Build it again.")
    return index


def load_shards(path: StrPath, make: Callable[[Any, dict[str, Any]], _Made]) -> _Made:
    """As `store.load`, of an index."""
    index = read_index(path)
    matrix, fields = np.empty(index.shape, index.dtype), []
    for part in index.parts:
        fields.append(
            load(part.path, partial(_fill, matrix[part.begin : part.end], index, part), partial(_accept, index))
        )
    try:
        return make(matrix, _joined(fields, [part.begin for part in index.parts]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the parts of {path} do not fit together ({error}). Build them again.") from error


def mapped_part(index: Index, part: Part) -> tuple[npt.NDArray[Any], Callable[[int, int], None]]:
    """The rows of a part, mapped, and what looks at some of them: see `store.map_rows`."""
    matrix, check = map_rows(part.path, partial(_accept, index))
    try:
        return _checked(matrix, index, part), check
    except ValueError as error:
        raise ValueError(f"{part.path} is no part of {index.path.name} ({error}). Build it again.") from error


def _accept(index, metadata):
    if metadata.get("build") != index.build:
        raise ValueError(f"it is of another build than the index {index.path.name}")


def _checked(matrix, index, part):
    shape = part.end - part.begin, index.shape[1]
    if matrix.shape != shape or str(matrix.dtype) != index.dtype:
        raise ValueError(f"expected {index.dtype} of shape {shape}, got {matrix.dtype} of shape {matrix.shape}")
    return matrix


def _fill(view, index, part, matrix, fields):
    view[...] = _checked(matrix, index, part)
    names = ("word_index", "origins", "sources", "padding_row")
    return {**fields, **dict(zip(names, checked(len(matrix), *map(fields.get, names))))}


def _joined(fields: Sequence[Mapping[str, Any]], begins: Sequence[int]) -> dict[str, Any]:
    """The parts' fields as those of the whole."""
    labels: dict[tuple[str, str | None], int] = {}
    word_index: dict[str, int] = {}
    suggestions: dict[str, list[str]] = {}
    origins, damage, steps = [], list[Any](), list[Any]()
    for begin, told in zip(begins, fields):
        own = [labels.setdefault(tuple(source), FIRST_SOURCE + len(labels)) for source in told["sources"]]
        origins.append(np.array([*range(FIRST_SOURCE), *own], np.int32)[told["origins"]])
        if begin and (origins[-1] == PADDING).any():
            raise ValueError(f"the rows from {begin} on have one of padding")
        before = len(word_index)
        word_index.update((word, number + begin) for word, number in told["word_index"].items())
        if len(word_index) < before + len(told["word_index"]):
            raise ValueError("a word stands in two of them")
        for name, words in told["suggestions"].items():
            suggestions.setdefault(name, []).extend(words)
        damage += [report for report in told["damage"] if report not in damage]
        steps += [step for step in told["steps"] if step not in steps and step["step"] != "rows"]
    derived = [told["derived"] for told in fields]

    def derivations() -> dict[str, Any]:
        return {word: how for some in derived for word, how in (some() if callable(some) else some).items()}

    return {
        "word_index": word_index,
        "origins": np.concatenate(origins),
        "sources": list(labels),
        "padding_row": fields[0]["padding_row"],
        "damage": damage,
        "steps": steps,
        "suggestions": suggestions,
        "derived": derivations if any(map(callable, derived)) else derivations(),
    }
