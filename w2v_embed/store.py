"""EmbeddingMatrix ⇄ file.

.safetensors  one tensor `matrix`; metadata, all text: `format`, `checksum` (of all else, see `checksum_of`), and as JSON
              `word_index`, `padding_row`, `origins` (a code for each row), `sources` (what codes from 3 on mean), `derived`,
              `suggestions`, `damage`; an entry of the cache has more
.npz          `matrix`, `metadata` (the same as JSON, in bytes)
.npy          the matrix alone

A file is opened once for all that is read of it: should another take its place meanwhile, all is still of the first.
"""

from __future__ import annotations

import json
import operator
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .output import check_writable, write_atomically
from .parts import check_told, checked, exact_words
from .shown import json_text

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from ._types import Floats, StrPath
    from .matrix.embedding_matrix import EmbeddingMatrix
    from .readers.tables import Rows

_Made = TypeVar("_Made")

_FORMAT = "w2v_embed 1"
_FIELDS = ("word_index", "padding_row", "sources", "origins", "derived", "suggestions", "damage")
_SUFFIXES = (".safetensors", ".npz", ".npy")
_SAFETENSORS_NAMES = {"float16": "F16", "float32": "F32", "float64": "F64"}
_LONGEST_HEADER = 1 << 30  # bytes; a word takes some 30


def save(em: EmbeddingMatrix, path: StrPath, extra: Mapping[str, str] | None = None) -> None:
    """Write `em` to `path`, in the format that its name ends in; `extra`, text by name, goes with the metadata."""
    check_output(path)
    path = Path(path)
    suffix = _suffix(path)
    matrix = np.ascontiguousarray(em.matrix)
    if suffix != ".npy" and (str(matrix.dtype) not in _SAFETENSORS_NAMES or not matrix.shape[1]):
        raise ValueError(
            f"cannot write {path}: expected a matrix of {', '.join(_SAFETENSORS_NAMES)} with numbers in its rows, received "
            f"{matrix.dtype} of shape {matrix.shape}. Convert it first: matrix.astype('float32')"
        )
    metadata = metadata_of(
        em.word_index,
        em.origins.tolist(),
        em.sources,
        em.padding_row,
        derived={word: [d.fallback, d.words] for word, d in em.derived.items()},
        suggestions=em.suggestions,
        damage=[vars(report) for report in em.damage],
    )
    metadata.update(extra or {})
    values = matrix.data.cast("B") if matrix.size else b""
    if suffix != ".npy":
        metadata["checksum"] = checksum_of(metadata, matrix.shape, matrix.dtype, crc32(values))

    def write(file):
        if suffix == ".npz":
            packed = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            np.savez(file, matrix=matrix, metadata=packed)
            return
        if suffix == ".npy":  # not np.save, which goes to the file past `file`
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(matrix))
        else:
            file.write(safetensors_header(matrix.shape, matrix.dtype, metadata))
        file.write(values)

    write_atomically(path, write)


def metadata_of(
    word_index: Mapping[str, int],
    origins: Sequence[int],
    sources: Iterable[tuple[str, str | None]],
    padding_row: int | None,
    *,
    derived: Mapping[str, Sequence[object]] | None = None,
    suggestions: Mapping[str, Sequence[str]] | None = None,
    damage: Iterable[Mapping[str, object]] = (),
) -> dict[str, str]:
    """The metadata of an artifact but for its checksum: every value a string."""
    values = (word_index, padding_row, sources, origins, derived or {}, suggestions or {}, damage)
    texts = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    return {"format": _FORMAT, **dict(zip(_FIELDS, texts))}


def crc32(data: bytes | memoryview | npt.NDArray[np.uint8], before: int = 0) -> int:
    """The CRC-32 of `data`, or of more that comes behind what has the CRC-32 `before`. Faster than memory can be read."""
    from isal import isal_zlib

    return isal_zlib.crc32(data, before)


def checksum_of(metadata: Mapping[str, str], shape: Sequence[int], dtype: npt.DTypeLike, values: int) -> str:
    """What an artifact says of its whole content, as text.

    Args:
        metadata: dict of text; a checksum in it does not count.
        shape, dtype: of the matrix.
        values: the CRC-32 of its values.
    """
    parts = sorted(item for item in metadata.items() if item[0] != "checksum")
    about = repr((list(map(int, shape)), str(np.dtype(dtype)), values)) + "".join(f"\n{k}\n{v}" for k, v in parts)
    return f"{crc32(about.encode('utf-8', 'surrogatepass')):08x}"


def safetensors_header(shape: Sequence[int], dtype: npt.DTypeLike, metadata: Mapping[str, str]) -> bytes:
    """What stands before the matrix in the safetensors layout: header length (u64), JSON header.

    Written by hand, because the library would make a second copy of the matrix.
    """
    dtype = np.dtype(dtype)
    end = shape[0] * shape[1] * dtype.itemsize
    tensor = {"dtype": _SAFETENSORS_NAMES[str(dtype)], "shape": list(shape), "data_offsets": [0, end]}
    header = {"__metadata__": metadata, "matrix": tensor}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded


def check_output(path: StrPath) -> None:
    """Raise now what `save` to `path` would raise when the work is done."""
    _suffix(Path(path))
    check_writable(path)


def check_json(path: StrPath) -> None:
    """Raise now what `write_json` to `path` would raise when the work is done."""
    if Path(path).suffix.lower() != ".json":
        raise ValueError(f"the name of a word index must end in .json; received {str(path)!r}")
    check_writable(path)


def write_json(path: StrPath, content: object) -> None:
    """Write `content` to the .json file `path`."""
    check_json(path)
    write_atomically(path, lambda file: file.write(json_text(content, indent=0).encode()))


def load(
    path: StrPath,
    make: Callable[[Floats, dict[str, Any]], _Made],
    accept: Callable[[dict[str, str]], object] | None = None,
) -> _Made:
    """Read an artifact of `save`; returns `make(matrix, fields)`, fields being what the metadata says, {} for a .npy.

    `accept(metadata)` raises where it is not the one that is looked for.
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb", buffering=0) as file:
        try:
            if suffix == ".npy":
                return make(np.load(file, allow_pickle=False), {})
            rows, fields = _read(file, suffix[1:], accept)
            return make(rows[:], fields)
        except Exception as error:
            raise _broken(path, suffix, error) from error


def read_vectors(path: Path, kind: str, file: io.FileIO) -> tuple[list[str], list[int], Rows]:
    """The words of an artifact that have vectors of their own (see `parts.exact_words`).

    Args:
        path: of the artifact, for messages.
        kind: one of `_READERS`.
        file: the artifact, opened; it must stay open as long as rows are read.

    Returns:
        (list of words, list of their rows, ascending, and what gives rows `(rows, dim)` when it is sliced)

    Raises:
        ValueError: it is no whole artifact of `EmbeddingMatrix.save`.
    """
    try:
        rows, fields = _read(file, kind)
        told = (fields[name] for name in ("word_index", "origins", "sources", "padding_row"))
        word_index, codes, sources, _ = checked(rows.shape[0], *told)
        check_told(word_index, codes, fields["derived"], fields["suggestions"])
        pairs = sorted((index, word) for word, index in exact_words(word_index, codes, sources).items())
    except Exception as error:
        raise _broken(path, kind, error) from error
    return [word for _, word in pairs], [index for index, _ in pairs], _NamedRows(rows, partial(_broken, path, kind))


def _read(file, kind, accept=None):
    """What gives the rows, and the fields of the metadata, checked as far as others rely on them."""
    matrix, metadata, dtype = _READERS[kind](file)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"expected the format {_FORMAT!r}, got {metadata.get('format')!r}")
    if accept:
        accept(metadata)

    def check(values):
        told, counted = metadata.get("checksum"), checksum_of(metadata, matrix.shape, dtype, values)
        if told not in (None, counted):  # earlier versions wrote none
            raise ValueError(f"its checksum says {told}, its content gives {counted}: a part of it was changed")

    if isinstance(matrix, np.ndarray):
        check(crc32(np.ascontiguousarray(matrix).view(np.uint8).reshape(-1)))
    else:  # when the last row was read
        matrix.check = check
    fields = {key: json.loads(metadata[key]) for key in _FIELDS}
    _check_fields(fields, *matrix.shape)
    return matrix, fields


def _check_fields(fields, rows, dim):
    """Raise where the metadata is not what it is to be; `parts` holds its parts against each other."""
    if dim < 1 or fields["origins"] is None:
        raise ValueError(f"expected a matrix with numbers, and the origins of its rows, got {rows} × {dim}")
    if not all(isinstance(source, list) for source in fields["sources"]):
        raise ValueError("its sources are not pairs of a name and a fallback")
    lenders = [words for how, words in fields["derived"].values() if isinstance(how, str)]
    if len(lenders) != len(fields["derived"]):
        raise ValueError("it names something else than a fallback for a derived row")
    if not all(_are_words(words) for words in (*lenders, *fields["suggestions"].values())):
        raise ValueError("it names something else than words as lenders or suggestions")
    for report in fields["damage"]:
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


def _broken(path, suffix, error):
    """The libraries' own errors do not name the file."""
    told = f"it has no {error}" if isinstance(error, KeyError) else error
    return ValueError(f"{path} is not a whole {suffix} file written by EmbeddingMatrix.save ({told}). Build it again.")


def _load_npz(file):
    """The matrix, the metadata, and the dtype of the matrix."""
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its arrays are packed")  # which could make them any size; `save` does not
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        matrix, metadata = archive["matrix"], json.loads(archive["metadata"].tobytes())
    if str(matrix.dtype) not in _SAFETENSORS_NAMES or matrix.ndim != 2:
        raise ValueError(f"expected a matrix of floats, got {matrix.dtype} of shape {matrix.shape}")
    return matrix, metadata, matrix.dtype


def _open_safetensors(file):
    """As `_load_npz`, but the rows are read when they are asked for."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    length = int.from_bytes(_read_bytes(file, 8), "little")
    if length > min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"its header says that it is {length} bytes long, the whole file has {size}")
    header = json.loads(bytes(_read_bytes(file, length)))
    tensor = header["matrix"]
    dtype = np.dtype({name: dtype for dtype, name in _SAFETENSORS_NAMES.items()}[tensor["dtype"]])
    rows = _FileRows(file, 8 + length, tuple(map(operator.index, tensor["shape"])), dtype)
    if min(rows.shape) < 0 or 8 + length + rows.nbytes != size or tensor["data_offsets"] != [0, rows.nbytes]:
        raise ValueError(
            f"its header says {rows.shape[0]} × {rows.shape[1]} numbers at {tensor['data_offsets']}, the file has "
            f"{size - 8 - length} bytes for them"
        )
    return rows, header.get("__metadata__", {}), dtype


# name of a format → how it is read
_READERS = {"npz": _load_npz, "safetensors": _open_safetensors}


def _read_bytes(file, size):
    data = bytearray(size)
    _fill(file, memoryview(data))
    return data


def _fill(file, view):
    while len(view):
        got = file.readinto(view)
        if not got:
            raise ValueError(f"it ends {len(view)} bytes too early")
        view = view[got:]


class _FileRows:
    """A matrix in a file; a slice of it is read when it is asked for. (Not mapped: cutting a mapped file kills its readers.)

    `check` is called with the CRC-32 of all values when the last of them was read, if all were, one slice after the other.
    """

    def __init__(self, file, begin, shape, dtype):
        rows, dim = shape
        self.shape, self.nbytes = shape, rows * dim * dtype.itemsize
        self._file, self._begin, self._dtype = file, begin, dtype
        self._next = self._crc = 0

    def __getitem__(self, rows):
        first, last, _ = rows.indices(self.shape[0])
        array = np.empty((max(last - first, 0), self.shape[1]), self._dtype)
        values = memoryview(array).cast("B") if array.size else memoryview(b"")
        self._file.seek(self._begin + first * self.shape[1] * self._dtype.itemsize)
        _fill(self._file, values)
        if first == self._next:
            self._crc, self._next = crc32(values, self._crc), last
            if last == self.shape[0]:
                self.check(self._crc)
        return array


class _NamedRows:
    """Rows, of which a slice that cannot be read is an error of `broken`."""

    def __init__(self, rows, broken):
        self.shape, self._rows, self._broken = rows.shape, rows, broken

    def __getitem__(self, rows):
        try:
            return self._rows[rows]
        except ValueError as error:
            raise self._broken(error) from error


def _suffix(path):
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"the name of a matrix must end in {', '.join(_SUFFIXES)}; received {str(path)!r}")
    return path.suffix
