"""EmbeddingMatrix ⇄ file.

.safetensors  the tensors that `contents` describes, in its order, `sums` (see `summed`; earlier files have none), and behind
              them the tensor `matrix`; metadata, all text
.npz          the same arrays, and `metadata` (JSON, in bytes)
.npy          the matrix alone

What 0.1.0 wrote has no tensors but the matrix, and is read as well. A file is opened once for all that is read of it: should
another take its place meanwhile, all is still of the first.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .contents import MOST_BYTES, TENSORS, PackedWords, bytes_of, check_size, checksum_of, crc32, pack, unpack
from .mapped import mapped
from .output import check_writable, write_atomically
from .parts import check_told, checked_ids, checked_rows, own_codes
from .safetensors import DTYPES, head_of, read_head
from .shown import json_text
from .summed import SUMS, FileRows, NamedRows, count_of, fill, sums_of, whole_of

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from ._types import Floats, Ids, StrPath
    from .contents import Tensors
    from .matrix.embedding_matrix import EmbeddingMatrix
    from .parts import Step
    from .readers.remote import Place
    from .readers.tables import Rows
    from .summed import Stretches

_Made = TypeVar("_Made")

_SUFFIXES = (".safetensors", ".npz", ".npy")
MATRIX = "matrix"  # the tensor
SHARD: re.Pattern[str] = re.compile(r"matrix\[(\d{1,18}):(\d{1,18})\]")  # the same, of some rows of a larger one
ALIGNED = 64  # bytes, of which the place of the matrix is a multiple; JAX takes such memory as it is
_FLOATS = ("float16", "float32", "float64")
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items() if name != "BF16"}


def save(em: EmbeddingMatrix, path: StrPath, extra: Mapping[str, str] | None = None, *, tensor: str = MATRIX) -> None:
    """Write `em` to `path`, in the format that its name ends in; `extra`, text by name, goes with the metadata.

    Args:
        tensor: what the matrix is called in a .safetensors, see `SHARD`.
    """
    check_output(path)
    path = Path(path)
    suffix = _suffix(path)
    matrix = np.ascontiguousarray(em.matrix)
    values = bytes_of(matrix)
    if suffix == ".npy":
        write_atomically(path, partial(_write_npy, matrix, values))
        return
    metadata, tensors = beside(em, path, extra)

    def write(file):
        if suffix == ".npz":
            packed = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            np.savez(file, matrix=matrix, metadata=packed, **tensors)
            return
        file.write(safetensors_head(matrix.shape, matrix.dtype, metadata, tensors, tensor=tensor))
        file.write(values)

    write_atomically(path, write)


def beside(
    em: EmbeddingMatrix, path: Path, extra: Mapping[str, str] | None = None
) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    """(the metadata, the tensors) that are written beside the matrix of `em`; `extra` goes with the metadata.

    Raises:
        ValueError: it cannot be written to `path`.
    """
    matrix = em.matrix
    if str(matrix.dtype) not in _FLOATS or not matrix.shape[1]:
        raise ValueError(
            f"cannot write {path}: expected a matrix of {', '.join(_FLOATS)} with numbers in its rows, received "
            f"{matrix.dtype} of shape {matrix.shape}. Convert it first: matrix.astype('float32')"
        )
    try:
        metadata, tensors = pack(
            em.word_index,
            em.origins,
            em.sources,
            em.padding_row,
            derived=em.derived,
            suggestions=em.suggestions,
            damage=[vars(report) for report in em.damage],
            steps=em.steps,
        )
    except ValueError as error:
        raise ValueError(f"cannot write {path}: {error}") from error
    metadata.update(extra or {})
    if path.suffix == ".npz":  # which is read as a whole
        crc = crc32(bytes_of(matrix))
    else:
        tensors[SUMS] = sums_of(matrix)
        crc = whole_of(tensors[SUMS], matrix.shape, matrix.dtype)
    metadata["checksum"] = checksum_of(metadata, matrix.shape, matrix.dtype, crc, tensors)
    return metadata, tensors


def _write_npy(matrix, values, file):
    # not np.save, which goes to the file past `file`
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(matrix))
    file.write(values)


def safetensors_head(
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    metadata: Mapping[str, str],
    tensors: Tensors | None = None,
    *,
    tensor: str = MATRIX,
    begin: int = 0,
) -> bytes:
    """What stands before the values of the matrix in the safetensors layout: the head, and the other tensors.

    Args:
        tensor: name of the matrix.
        begin: bytes that it takes at least. It is always a multiple of 64, so that a map of the file can be used as it is.
    """
    beside = tensors or {}
    size = sum(array.nbytes for array in beside.values())
    told = {name: (_NAMES[array.dtype], array.shape) for name, array in beside.items()}
    head = head_of(
        {**told, tensor: (_NAMES[np.dtype(dtype)], shape)},
        metadata,
        lambda head: max(head + size + -(head + size) % ALIGNED, begin) - size,
    )
    return b"".join([head, *map(bytes_of, beside.values())])


def check_output(path: StrPath) -> None:
    """Raise now what `save` to `path` would raise when the work is done."""
    _suffix(Path(path))
    check_writable(path)


def check_json(path: StrPath) -> None:
    """Raise now what `write_json` to `path` would raise when the work is done."""
    if Path(path).suffix.lower() != ".json":
        raise ValueError(f"the name of a file of JSON must end in .json; received {str(path)!r}")
    check_writable(path)


def write_json(path: StrPath, content: object, indent: int = 0) -> None:
    """Write `content` to the .json file `path`."""
    check_json(path)
    write_atomically(path, lambda file: file.write(json_text(content, indent=indent).encode()))


def load(
    path: StrPath,
    make: Callable[[Floats, dict[str, Any]], _Made],
    accept: Callable[[dict[str, str]], object] | None = None,
    mmap: bool = False,
) -> _Made:
    """Read an artifact of `save`; returns `make(matrix, fields)`, fields being what the metadata says, {} for a .npy.

    `accept(metadata)` raises where it is not the one that is looked for. With `mmap` the matrix is mapped, to be read only, and
    not looked at; all else is, where the file has the sums of its blocks.
    """
    path = Path(path)
    suffix = _suffix(path)
    if mmap and suffix == ".npz":
        raise ValueError(f"mmap=True maps .safetensors and .npy; received {path}. Save the matrix as .safetensors")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb", buffering=0) as file:
        try:
            if suffix == ".npy":
                return make(_map_npy(file) if mmap else np.load(file, allow_pickle=False), {})
            rows, fields = _read(file, suffix[1:], accept)
            fields["word_index"] = _index(fields.pop("words"), fields.pop("ids"))
            return make(rows.mapped() if mmap else rows[:], fields)
        except Exception as error:
            raise _broken(path, suffix, error) from error


def map_rows(
    path: Path, accept: Callable[[dict[str, str]], object]
) -> tuple[npt.NDArray[Any], Callable[[int, int], None]]:
    """The matrix of a .safetensors, mapped, and what looks at its rows from one up to another.

    It raises a ValueError where they are not what was written, and looks at nothing in a file of an earlier version.
    """
    with open(path, "rb", buffering=0) as file:
        try:
            rows, _ = _read(file, "safetensors", accept)
            matrix = rows.mapped()
        except Exception as error:
            raise _broken(path, ".safetensors", error) from error

    def check(begin, end):
        try:
            rows.check_mapped(matrix, begin, end)
        except ValueError as error:
            raise _broken(path, ".safetensors", error) from error

    return matrix, check


def _map_npy(file):
    """The array of a .npy, mapped."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, by_columns, dtype = read[version](file)
    if dtype.hasobject or by_columns:
        raise ValueError(f"expected numbers, row after row, got {dtype}{' by columns' if by_columns else ''}")
    return mapped(file.fileno(), file.tell(), shape, dtype)


def read_vectors(
    path: Path | Place, kind: str, file: io.FileIO, distinct: Callable[[PackedWords], bool], stretches: Stretches
) -> tuple[PackedWords, Ids, Rows, tuple[Step, ...]]:
    """The words of an artifact that have vectors of their own (see `parts.exact_words`). No dict of all words is made.

    Args:
        path: of the artifact, for messages.
        kind: one of `_READERS`.
        file: the artifact, opened; it must stay open as long as rows are read.
        distinct: whether words surely differ from each other; those of which it is not sure are compared.
        stretches: as of `FileRows`.

    Returns:
        (the words, int64 array of their rows, ascending, what gives rows `(rows, dim)` when it is sliced or asked for `some`,
        and the steps)

    Raises:
        ValueError: it is no whole artifact of `EmbeddingMatrix.save`.
    """
    try:
        rows, fields = _read(file, kind)
        if isinstance(rows, FileRows):
            rows.stretches = stretches
        words, ids, derived = (fields[name] for name in ("words", "ids", "derived"))
        told = (fields[name] for name in ("origins", "sources", "padding_row"))
        codes, sources, _ = checked_rows(rows.shape[0], words, ids, *told)
        named = () if callable(derived) else derived
        if named or fields["suggestions"] or not distinct(words) or _twice(ids, rows.shape[0]):
            word_index, _ = checked_ids(_index(words, ids), rows.shape[0])
            check_told(word_index, codes, named, fields["suggestions"])
        exact = np.flatnonzero(np.isin(codes[ids], list(own_codes(sources))))
        exact = exact[np.argsort(ids[exact], kind="stable")]
        words, ids = words.take(exact), ids[exact]
    except Exception as error:
        raise _broken(path, kind, error) from error
    return words, ids, NamedRows(rows, partial(_broken, path, kind)), fields["steps"]


def _twice(ids, rows):
    """Whether one of these numbers of rows stands there twice. (NumPy's `unique` takes a hundred times as long.)"""
    there = np.zeros(rows, bool)
    there[ids] = True
    return len(ids) > np.count_nonzero(there)


def _index(words, ids):
    """dict word → id."""
    index = dict(zip(words, ids.tolist()))
    if len(index) < len(words):
        raise ValueError(f"{len(words) - len(index):,} of its {len(words):,} words stand there twice")
    return index


def _read(file, kind, accept=None):
    """What gives the rows, and the parts beside them, checked as far as others rely on them."""
    matrix, metadata, dtype, tensors = _READERS[kind](file)
    if accept:
        accept(metadata)

    def check(values):
        told, counted = metadata.get("checksum"), checksum_of(metadata, matrix.shape, dtype, values, tensors)
        if told != counted and (told is not None or SUMS in tensors):  # earlier versions wrote none
            raise ValueError(f"its checksum says {told}, its content gives {counted}: a part of it was changed")

    if isinstance(matrix, np.ndarray):
        check(crc32(matrix))
    elif matrix.crc is not None:
        check(matrix.crc)
    else:  # when the last row was read
        matrix.check = check
    beside = {name: tensor for name, tensor in tensors.items() if name != SUMS}
    return matrix, unpack(metadata, beside, *matrix.shape)


def _broken(path, suffix, error):
    """The libraries' own errors do not name the file."""
    told = f"it has no {error}" if isinstance(error, KeyError) else error
    return ValueError(f"{path} is not a whole {suffix} file written by EmbeddingMatrix.save ({told}). Build it again.")


def _load_npz(file):
    """The matrix, the metadata, the dtype of the matrix, and the tensors beside it."""
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its arrays are packed")  # which could make them any size; `save` does not
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        matrix, metadata = archive["matrix"], json.loads(archive["metadata"].tobytes())
        tensors = {name: archive[name] for name in TENSORS if name in archive}
    if str(matrix.dtype) not in _FLOATS or matrix.ndim != 2:
        raise ValueError(f"expected a matrix of floats, got {matrix.dtype} of shape {matrix.shape}")
    return matrix, metadata, matrix.dtype, tensors


def open_safetensors(file: io.FileIO) -> tuple[Any, dict[str, str], np.dtype[Any], dict[str, npt.NDArray[Any]]]:
    """As `_load_npz`, but the rows are read when they are asked for."""

    def read(offset, length):
        data = bytearray(length)
        fill(file, offset, memoryview(data))
        return data

    size = os.fstat(file.fileno()).st_size
    start, places, metadata = read_head(read, size, longest=MOST_BYTES, most=2 + len(TENSORS))
    name = next(filter(SHARD.fullmatch, places), MATRIX)
    if name not in places and metadata.get("format", "").startswith("w2v_embed subwords"):
        raise ValueError("it is a SubwordModel, which SubwordModel.load reads and build_matrix takes as a source")
    place, tensors = places.pop(name), {}
    if place.dtype not in map(_NAMES.get, map(np.dtype, _FLOATS)) or len(place.shape) != 2:
        raise ValueError(f"expected a matrix of floats, got {place.dtype} of shape {place.shape}")
    dtype = np.dtype(DTYPES[place.dtype])
    if SUMS in places and places[SUMS][:2] != ("I64", (count_of(place.shape, dtype),)):
        kind, shape, *_ = places[SUMS]
        raise ValueError(
            f"its tensor {SUMS} is {kind} of shape {shape}; expected I64 of shape ({count_of(place.shape, dtype)},)"
        )
    for name, (kind, shape, begin, end) in sorted(places.items(), key=lambda item: item[1].begin):
        if begin != start:
            raise ValueError(f"its tensor {name} begins at the byte {begin}, expected {start}")
        check_size(name, end - begin)
        tensors[name] = np.frombuffer(read(begin, end - begin), DTYPES[kind]).reshape(shape)
        start = end
    if (place.begin, place.end) != (start, size):
        raise ValueError(
            f"its header says {' × '.join(map(str, place.shape))} numbers in the bytes {place.begin} to {place.end}, the "
            f"file has room for them in those from {start} to {size}"
        )
    return FileRows(file, place.begin, place.shape, dtype, tensors.get(SUMS)), metadata, dtype, tensors


# name of a format → how it is read
_READERS = {"npz": _load_npz, "safetensors": open_safetensors}


def _suffix(path):
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"the name of a matrix must end in {', '.join(_SUFFIXES)}; received {str(path)!r}")
    return path.suffix
