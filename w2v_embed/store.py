"""EmbeddingMatrix ⇄ file.

.safetensors  one tensor `matrix`; metadata, all JSON: `format`, `word_index`, `padding_row`, `origins` (a code for each row),
              `sources` (what codes from 3 on mean), `derived`, `suggestions`, `damage`
.npz          `matrix`, `metadata` (the same JSON as bytes)
.npy          the matrix alone
"""

import json
import operator
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from .parts import checked, exact_words

_FORMAT = "w2v_embed 1"
_FIELDS = ("word_index", "padding_row", "sources", "origins", "derived", "suggestions", "damage")
_SUFFIXES = (".safetensors", ".npz", ".npy")
_SAFETENSORS_NAMES = {"float16": "F16", "float32": "F32", "float64": "F64"}


def save(em, path):
    """Write `em` to `path`, in the format that its name ends in."""
    check_output(path)
    path = Path(path)
    suffix = _suffix(path)
    metadata = metadata_of(
        em.word_index,
        em._origins.tolist(),
        em._sources,
        em.padding_row,
        derived={word: [d.fallback, d.words] for word, d in em.derived.items()},
        suggestions=em._suggestions,
        damage=[vars(report) for report in em.damage],
    )
    matrix = np.ascontiguousarray(em.matrix)

    def write(file):
        if suffix == ".npy":
            np.save(file, matrix, allow_pickle=False)
        elif suffix == ".npz":
            packed = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            np.savez(file, matrix=matrix, metadata=packed)
        else:
            file.write(safetensors_header(matrix.shape, matrix.dtype, metadata))
            file.write(memoryview(matrix).cast("B") if matrix.size else b"")

    write_atomically(path, write)


def metadata_of(word_index, origins, sources, padding_row, *, derived=None, suggestions=None, damage=()):
    """The metadata of an artifact: every value a string."""
    values = (word_index, padding_row, sources, origins, derived or {}, suggestions or {}, damage)
    texts = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    return {"format": _FORMAT, **dict(zip(_FIELDS, texts))}


def safetensors_header(shape, dtype, metadata):
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


def check_output(path):
    """Raise now what `save` to `path` would raise when the work is done."""
    path = Path(path)
    _suffix(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")


def write_json(path, content):
    """Write `content` to the .json file `path`."""
    if Path(path).suffix.lower() != ".json":
        raise ValueError(f"the name of a word index must end in .json; received {str(path)!r}")
    write_atomically(path, lambda file: file.write(json.dumps(content, ensure_ascii=False, indent=0).encode()))


def write_atomically(path, write):
    """Call `write(file)` on a temporary file beside `path`, then put it in its place: always the old file or the new."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path, make):
    """Read an artifact of `save`; returns `make(matrix, fields)`, fields being what the metadata says, {} for a .npy."""
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        if suffix == ".npy":
            return make(np.load(path, allow_pickle=False), {})
        rows, fields = _read(path, suffix[1:])
        return make(rows[:], fields)
    except Exception as error:
        raise _broken(path, suffix, error) from error


def read_vectors(path, kind):
    """The words of an artifact that have vectors of their own (see `parts.exact_words`).

    Args:
        path: the artifact.
        kind: "safetensors" or "npz".

    Returns:
        (list of words, list of their rows, ascending, and what gives rows `(rows, dim)` when it is sliced)

    Raises:
        ValueError: it is no whole artifact of `EmbeddingMatrix.save`.
    """
    path = Path(path)
    try:
        rows, fields = _read(path, kind)
        parts = (fields[name] for name in ("word_index", "origins", "sources", "padding_row"))
        pairs = sorted((index, word) for word, index in exact_words(*checked(rows.shape[0], *parts)[:3]).items())
    except Exception as error:
        raise _broken(path, kind, error) from error
    return [word for _, word in pairs], [index for index, _ in pairs], rows


def _read(path, kind):
    """What gives the rows, and the fields of the metadata, which `parts.checked` is to check."""
    if kind == "npz":
        matrix, metadata = _load_npz(path)
    else:
        matrix, metadata = _open_safetensors(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"expected the format {_FORMAT!r}, got {metadata.get('format')!r}")
    fields = {key: json.loads(metadata[key]) for key in _FIELDS}
    if len(matrix.shape) != 2 or matrix.shape[1] < 1 or fields["origins"] is None:
        raise ValueError(f"expected a matrix (rows, dim) and the origins of its rows, got {matrix.shape}")
    return matrix, fields


def _broken(path, suffix, error):
    """The libraries' own errors do not name the file."""
    return ValueError(f"{path} is not a whole {suffix} file written by EmbeddingMatrix.save ({error}). Build it again.")


def _load_npz(path):
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its arrays are packed")  # which could make them any size; `save` does not
    with np.load(path, allow_pickle=False) as archive:
        return archive["matrix"], json.loads(archive["metadata"].tobytes())


def _open_safetensors(path):
    """As `_load_npz`, but the rows are read when they are asked for."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ValueError(f"its header says that it is {length} bytes long, the whole file has {size}")
        header = json.loads(file.read(length))
    tensor = header["matrix"]
    dtype = {name: dtype for dtype, name in _SAFETENSORS_NAMES.items()}[tensor["dtype"]]
    rows = _FileRows(path, 8 + length, tuple(map(operator.index, tensor["shape"])), np.dtype(dtype))
    if min(rows.shape) < 0 or 8 + length + rows.nbytes != size or tensor["data_offsets"] != [0, rows.nbytes]:
        raise ValueError(
            f"its header says {rows.shape[0]} × {rows.shape[1]} numbers, the file has {size - 8 - length} bytes for them"
        )
    return rows, header.get("__metadata__", {})


class _FileRows:
    """A matrix in a file; a slice of it is read when it is asked for. (Not mapped: cutting a mapped file kills its readers.)"""

    def __init__(self, path, begin, shape, dtype):
        rows, dim = shape
        self.shape, self.nbytes = shape, rows * dim * dtype.itemsize
        self._path, self._begin, self._dtype = path, begin, dtype

    def __getitem__(self, rows):
        dim = self.shape[1]
        first, last, _ = rows.indices(self.shape[0])
        count = max(last - first, 0) * dim
        offset = self._begin + first * dim * self._dtype.itemsize
        return np.fromfile(self._path, self._dtype, count, offset=offset).reshape(-1, dim)


def _suffix(path):
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"the name of a matrix must end in {', '.join(_SUFFIXES)}; received {str(path)!r}")
    return path.suffix
