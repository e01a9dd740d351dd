"""EmbeddingMatrix ⇄ file.

.safetensors  one tensor `matrix`; metadata, all JSON: `format`, `word_index`, `padding_row`, `origins` (a code for each row),
              `sources` (what codes from 3 on mean), `derived`, `suggestions`, `damage`
.npz          `matrix`, `metadata` (the same JSON as bytes)
.npy          the matrix alone
"""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from .fallbacks import Derivation
from .readers.damage import DamageReport

_FORMAT = "w2v_embed 1"
_FIELDS = ("word_index", "padding_row", "sources", "origins", "derived", "suggestions", "damage")
_SUFFIXES = (".safetensors", ".npz", ".npy")


def save(em, path):
    """Write `em` to `path`, in the format that its name ends in."""
    check_output(path)
    path = Path(path)
    suffix = _suffix(path)
    metadata = {
        "format": _FORMAT,
        "word_index": json.dumps(em.word_index, ensure_ascii=False),
        "padding_row": json.dumps(em.padding_row),
        "sources": json.dumps(em._sources, ensure_ascii=False),
        "origins": json.dumps(em._origins.tolist(), separators=(",", ":")),
        "derived": json.dumps({word: [d.fallback, d.words] for word, d in em.derived.items()}, ensure_ascii=False),
        "suggestions": json.dumps(em._suggestions, ensure_ascii=False),
        "damage": json.dumps([vars(report) for report in em.damage], ensure_ascii=False),
    }
    matrix = np.ascontiguousarray(em.matrix)

    def write(file):
        if suffix == ".npy":
            np.save(file, matrix, allow_pickle=False)
        elif suffix == ".npz":
            packed = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            np.savez(file, matrix=matrix, metadata=packed)
        else:
            write_safetensors(file, matrix, metadata)

    write_atomically(path, write)


def write_safetensors(file, matrix, metadata):
    """The safetensors layout: header length (u64), JSON header, bytes. Its library would make a second copy of the matrix."""
    dtype = {"float16": "F16", "float32": "F32", "float64": "F64"}[str(matrix.dtype)]
    header = {
        "__metadata__": metadata,
        "matrix": {"dtype": dtype, "shape": list(matrix.shape), "data_offsets": [0, matrix.nbytes]},
    }
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write(len(encoded).to_bytes(8, "little"))
    file.write(encoded)
    file.write(memoryview(matrix).cast("B") if matrix.size else b"")


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


def load(cls, path):
    """Read an artifact of `save`."""
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        if suffix == ".npy":
            matrix = np.load(path, allow_pickle=False)
            return cls(matrix, {}, padding_row=0 if len(matrix) and not matrix[0].any() else None)
        matrix, metadata = _load_npz(path) if suffix == ".npz" else _load_safetensors(path)
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"expected the format {_FORMAT!r}, got {metadata.get('format')!r}")
        fields = {key: json.loads(metadata[key]) for key in _FIELDS}
        fields["derived"] = {word: Derivation(how, tuple(words)) for word, (how, words) in fields["derived"].items()}
        fields["damage"] = [
            DamageReport(**{**report, "counts": Counter(report["counts"])}) for report in fields["damage"]
        ]
    except Exception as error:  # the libraries' own errors do not name the file
        raise ValueError(
            f"{path} is not a whole {suffix} file written by EmbeddingMatrix.save ({error}). Build it again."
        ) from error
    return cls(matrix, fields.pop("word_index"), **fields)


def _load_npz(path):
    with np.load(path, allow_pickle=False) as archive:
        return archive["matrix"], json.loads(archive["metadata"].tobytes())


def _load_safetensors(path):
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        return file.get_tensor("matrix"), file.metadata() or {}


def _suffix(path):
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"the name of a matrix must end in {', '.join(_SUFFIXES)}; received {str(path)!r}")
    return path.suffix
