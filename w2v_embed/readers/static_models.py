"""Static sentence models on disk: a table with a row for each piece of a tokenizer, and the tokenizer.

model2vec              config.json, tokenizer.json, model.safetensors with `embeddings` (rows, dim), and maybe `weights`
                       (pieces,), by which rows are multiplied, and `mapping` (pieces,): the row of each piece
sentence-transformers  modules.json, which names the folder of a StaticEmbedding: tokenizer.json, model.safetensors with
                       `embedding.weight`, or what model2vec has
WordLlama              NAME_DIM.safetensors with `embedding.weight`; NAME_tokenizer_config.json, a tokenizer.json by another
                       name, beside it or in ../tokenizers

Nothing of config.json is looked at: whether its model normalises the vectors of texts says nothing about those of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..safetensors import DTYPES, Place, head_in
from ..shown import quoted
from ..splitting import without_panic
from ..texts import parse_json, read_text

if TYPE_CHECKING:
    from io import FileIO

    import numpy.typing as npt

    from .._types import Bools, Floats, Ids

_KINDS = ("F64", "F32", "F16", "BF16", "I8")  # of tables
_TABLES = ("embeddings", "embedding.weight")
_WEIGHTS, _TOKENIZER, _MODULES = "model.safetensors", "tokenizer.json", "modules.json"
_LONGEST_HEAD = 1 << 24  # bytes; a house's own matrix may have a longer one, and is no static model
_MOST_TENSORS = 1000
_LONGEST_TOKENIZER = 1 << 26  # bytes; that of Gemma has 34 MB
_AT_ONCE = 1024  # words that are cut into pieces together
_BLOCK = 1 << 20  # bytes of the table


class _Files(NamedTuple):
    """Where the two files of a model lie, either of which may be missing."""

    weights: Path
    tokenizer: Path


def is_static_model(path: Path) -> bool:
    """Whether a path is a static sentence model: a folder of one, or its weights. Reads no more than a header."""
    if not path.is_dir():
        return path.suffix == ".safetensors" and _has_table(path, False)
    if (path / _MODULES).is_file():
        return "StaticEmbedding" in bounded_text(path / _MODULES)
    files = _in(path)
    return _has_table(files.weights, files.tokenizer.is_file())


def files_of(path: Path) -> tuple[Path, Path]:
    """The weights and the tokenizer of a static model.

    Raises:
        FileNotFoundError, ValueError: one of them is not there, or modules.json asks for what is not computed.
    """
    files = _in(path) if path.is_dir() else _beside(path)
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{path} is a static model without {file}. Download it as a whole.")
    return files


def _in(folder: Path) -> _Files:
    home = folder
    if (folder / _MODULES).is_file():
        home = folder / _module(folder / _MODULES)
    if not (home / _WEIGHTS).is_file():  # WordLlama's, whose package keeps them in folders of their own
        for place in (folder, folder / "weights"):
            found = sorted(place.glob("*.safetensors")) if place.is_dir() else []
            if len(found) == 1:
                return _beside(found[0])
    return _Files(home / _WEIGHTS, home / _TOKENIZER)


def _module(path: Path) -> str:
    """The folder of the StaticEmbedding that a modules.json begins with."""
    modules = parse_json(bounded_text(path), str(path), "value", "key")
    try:
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        home = modules[0]["path"]
        inside = type(home) is str and "\0" not in home and Path(home).name == home.removeprefix("./").removesuffix(".")
    except (TypeError, KeyError, IndexError, AttributeError):
        raise ValueError(f"{path} must be a list of modules with path and type, received {quoted(modules)}") from None
    if kinds[0] != "StaticEmbedding" or set(kinds[1:]) - {"Normalize"}:
        raise ValueError(
            f"{path} must have a StaticEmbedding, and behind it at most Normalize, received {quoted(kinds)}. "
            "A transformer is loaded by w2v_embed.contextual.ContextualEncoder.from_pretrained"
        )
    if not inside:
        raise ValueError(f"{path} must name a folder inside its own, received {quoted(home)}")
    return home


def _beside(weights: Path) -> _Files:
    """The tokenizer of weights: WordLlama calls it by the name of the weights, without their width."""
    name = re.sub(r"_\d+$", "", weights.stem) + "_tokenizer_config.json"
    places = [weights.parent / _TOKENIZER, weights.parent / name, weights.parent.parent / "tokenizers" / name]
    return _Files(
        weights, next((place for place in places if place.is_file()), places[0 if weights.name == _WEIGHTS else 1])
    )


def _has_table(path: Path, damaged: bool) -> bool:
    """Whether a file has the table of a static model; `damaged` is said of one that is none, or no whole one."""
    if not path.is_file():  # a pipe might never open
        return False
    with open(path, "rb", buffering=0) as file:
        try:
            return not {*_TABLES}.isdisjoint(_head(file))
        except ValueError:
            return damaged


def bounded_text(path: Path) -> str:
    """The text of a tokenizer.json or a modules.json; one that is too large for that is refused."""
    if path.is_file() and path.stat().st_size > _LONGEST_TOKENIZER:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes; expected at most {_LONGEST_TOKENIZER:,}. Is it what its name says?"
        )
    return read_text(path)


def _head(file: FileIO) -> dict[str, Place]:
    return head_in(file, longest=_LONGEST_HEAD, most=_MOST_TENSORS)[1]


class StaticModel:
    """A static model, opened: it cuts words into pieces, and reads the rows of these.

    Args:
        path: a folder, or WordLlama's weights.

    Attributes:
        dim: numbers a row.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or is not what it is to be.
        ImportError: the package `tokenizers` is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._tokenizer_path = files_of(path)
        self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 (closed by close)
        try:
            self._open_table()
            self._open_tokenizer()
        except BaseException:
            self._file.close()
            raise

    def _open_table(self):
        try:
            places = _head(self._file)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}. Download it again.") from error
        self._table = next((places[name] for name in _TABLES if name in places), None)
        if self._table is None or len(self._table.shape) != 2 or not all(self._table.shape):
            told = None if self._table is None else self._table.shape
            raise ValueError(f"{self._path} must have a tensor {' or '.join(_TABLES)} of two axes, received {told}")
        if self._table.dtype not in _KINDS:
            raise ValueError(f"{self._path} must have a table of floats or int8, received {self._table.dtype}")
        rows, dim = self._table.shape
        self.dim: int = dim
        self._weights = self._vector(places, "weights", "F")
        self._mapping = self._vector(places, "mapping", "IU")
        if self._weights is not None and not np.isfinite(self._weights).all():
            raise ValueError(f"{self._path} must have finite weights, received others")
        mapping = self._mapping
        if mapping is not None and len(mapping) and not 0 <= mapping.min() <= mapping.max() < rows:
            raise ValueError(
                f"{self._path} must have a mapping to rows from 0 to {rows - 1}, received {mapping.min()} to {mapping.max()}"
            )
        told = {len(some) for some in (self._weights, self._mapping) if some is not None}
        if len(told) > 1 or (mapping is None and told - {rows}):
            raise ValueError(
                f"{self._path} must have a weight for each piece, received {sorted(told)} weights or places, for {rows} rows"
            )
        self._pieces = next(iter(told), rows)

    def _vector(self, places: dict[str, Place], name: str, kinds: str) -> npt.NDArray[Any] | None:
        place = places.get(name)
        if place is None:
            return None
        if len(place.shape) != 1 or place.dtype[0] not in kinds:
            raise ValueError(f"{self._path}: {name} must be of one axis, received {place.dtype} of shape {place.shape}")
        values = self._read(place, place.begin, place.end)
        return values.astype(np.int64) if name == "mapping" else values.astype(np.float64)

    def _open_tokenizer(self):
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ImportError("a static model needs tokenizers: pip install 'w2v-embed[contextual]'") from error
        text = bounded_text(self._tokenizer_path)
        settings = parse_json(text, str(self._tokenizer_path), "value", "key")
        self._tokenizer = self._said(Tokenizer.from_str, text)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._cut = settings.get("truncation") or {}
        unknown = settings["model"].get("unk_id")  # Unigram
        if unknown is None and settings["model"].get("unk_token") is not None:
            unknown = self._tokenizer.token_to_id(settings["model"]["unk_token"])
        self._unknown = -1 if unknown is None else int(unknown)

    def _said(self, call: Any, *args: Any) -> Any:
        """What a call into `tokenizers` returns; its errors are those of the file."""
        try:
            return without_panic(call, *args)
        except Exception as error:
            raise ValueError(
                f"{self._tokenizer_path} is no tokenizer that can be used ({quoted(str(error))}). Download it again."
            ) from error

    def pieces(self, words: Sequence[str]) -> tuple[Bools, Ids, Ids]:
        """Cut words into pieces.

        Returns:
            (bool `(len(words),)`: which have pieces, all of them known; int64: how many each of these has, and the ids of the
            pieces, those of one word behind those of another)
        """
        found = np.zeros(len(words), np.bool_)
        counts, parts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for begin in range(0, len(words), _AT_ONCE):
            places, some = [], []
            for place, word in enumerate(words[begin : begin + _AT_ONCE], begin):
                if is_text(word):
                    places.append(place)
                    some.append(word)
            encode = partial(self._tokenizer.encode_batch_fast, add_special_tokens=False)
            ids = [each.ids for each in self._said(encode, some)]
            good = [k for k, each in enumerate(ids) if each and self._unknown not in each]
            found[[places[k] for k in good]] = True
            counts.append(np.array([len(ids[k]) for k in good], np.int64))
            parts.append(np.fromiter((id_ for k in good for id_ in ids[k]), np.int64))
            self._check(int(parts[-1].max(initial=0)))
        return found, np.concatenate(counts), np.concatenate(parts)

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of texts, unknown pieces among them, as far as tokenizer.json lets them be; none of what is no text."""
        encode = partial(self._tokenizer.encode_batch_fast, add_special_tokens=False)
        made = [each.ids for each in self._said(encode, [text if is_text(text) else "" for text in texts])]
        most = self._cut.get("max_length")
        if isinstance(most, int) and most > 0:
            made = [ids[-most:] if self._cut.get("direction") == "Left" else ids[:most] for ids in made]
        self._check(max(map(max, filter(None, made)), default=0))
        return made

    def _check(self, largest: int) -> None:
        if largest >= self._pieces:
            raise ValueError(
                f"{self._tokenizer_path} has the piece {largest}, {self._path} knows {self._pieces:,}: they are of "
                "different models"
            )

    def rows(self, ids: Ids) -> Floats:
        """The rows of pieces, each times its weight: float32 `(len(ids), dim)`. The table is read in passing."""
        places = ids if self._mapping is None else self._mapping[ids]
        order = np.argsort(places, kind="stable")
        made = np.empty((len(ids), self.dim), np.float32)
        for first, block in self._blocks(places[order]):
            some = order[np.searchsorted(places[order], first) : np.searchsorted(places[order], first + len(block))]
            made[some] = block[places[some] - first]
        if self._weights is not None:
            made *= self._weights[ids].astype(np.float32)[:, None]
        return made

    def _blocks(self, places: Ids) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The blocks of the table that hold some ascending places: (the number of its first row, its rows)."""
        table = self._table
        size = self.dim * int(DTYPES[table.dtype][2:])
        step = max(_BLOCK // size, 1)
        for number in np.unique(places // step).tolist():
            begin = table.begin + number * step * size
            rows = self._read(table, begin, min(begin + step * size, table.end))
            yield number * step, rows.reshape(-1, self.dim)

    def _read(self, place: Place, begin: int, end: int) -> npt.NDArray[Any]:
        data = bytearray(end - begin)
        self._file.seek(begin)
        view = memoryview(data)
        while len(view):
            got = self._file.readinto(view)
            if not got:
                raise ValueError(f"{self._path} has become shorter while it was read")
            view = view[got:]
        values = np.frombuffer(data, DTYPES[place.dtype])
        return (values.astype(np.uint32) << 16).view(np.float32) if place.dtype == "BF16" else values

    def close(self) -> None:
        """Close its file."""
        self._file.close()


def is_text(word: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair has no pieces."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
