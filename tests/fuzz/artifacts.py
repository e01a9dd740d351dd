"""What must hold for any file that looks like an artifact: loaded whole, in each way the same rows, or refused by its name.

A case is one byte of switches and some bytes. Either these are the file, or they are the parts of one, header and numbers
parted by a zero byte, which are put together with the right lengths and checksums, so that the fuzzer gets behind these.
"""

import io
import zipfile

import numpy as np

from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors

_SUFFIXES = (".safetensors", ".npz", ".npy")


class BrokenError(AssertionError):
    """Something that must hold does not."""


def check(case, path):
    """Try one case; `path` is extended by the suffix."""
    switches, data = case[0] if case else 0, case[1:]
    suffix = _SUFFIXES[(switches & 3) % 3]
    if switches >> 2 & 1:
        data = _assembled(data, suffix)
    name = f"{path}{suffix}"
    with open(name, "wb") as file:
        file.write(data)
    em = _declared(name, EmbeddingMatrix.load, name)
    if em is not None:
        _check_matrix(em)
        if switches >> 4 & 1 and em.matrix.size:
            _check_saved_again(em, f"{path}-again{suffix}", suffix)
    if switches >> 5 & 1 or em is None:
        on_error = ("raise", "skip")[switches >> 3 & 1]
        kv = _declared(name, load_vectors, name, on_error=on_error)
        if kv is not None and suffix != ".npy":
            _check_vectors(name, kv, em, on_error)


def _declared(name, call, *args, **kwargs):
    """What the call returns; None where it raises what it may raise."""
    try:
        return call(*args, **kwargs)
    except ValueError as error:
        if type(error) is not ValueError or name not in str(error):
            raise BrokenError(f"{type(error).__name__}: {error}") from error
    return None


def _check_matrix(em):
    rows, dim = em.matrix.shape
    ids = list(em.word_index.values())
    if not all(type(index) is int and 0 <= index < rows for index in ids) or len(set(ids)) < len(ids):
        raise BrokenError(f"{em.word_index} for {rows} rows")
    if em.padding_row not in (None, 0) or isinstance(em.padding_row, (bool, float)):
        raise BrokenError(f"padding_row={em.padding_row!r}")
    if str(em.matrix.dtype) not in ("float16", "float32", "float64"):
        raise BrokenError(f"a matrix of {em.matrix.dtype}")
    if len(em.provenance) != rows or np.asarray(em).shape != (rows, dim):
        raise BrokenError(f"{len(em.provenance)} origins of {rows} rows")
    coverage = em.coverage
    if not {*coverage.found, *coverage.missing} <= set(em.word_index) or set(coverage.found) & set(coverage.missing):
        raise BrokenError(f"{coverage.found} and {coverage.missing} of {em.word_index}")
    if em.word_index:
        coverage.summary()
    for report in em.damage:
        report.summary()
    if not set(em.derived) <= set(em.word_index):
        raise BrokenError(f"derived: {em.derived}")
    repr(em)
    em.oov_rows  # noqa: B018 (must not raise)


def _check_saved_again(em, name, suffix):
    em.save(name)
    again = EmbeddingMatrix.load(name)
    same = again.matrix.dtype == em.matrix.dtype and again.matrix.tobytes() == em.matrix.tobytes()
    if suffix != ".npy":
        same = same and again.word_index == em.word_index and list(again.provenance) == list(em.provenance)
        same = same and again.padding_row == em.padding_row and again.derived == em.derived
    if not same:
        raise BrokenError(f"{em} was saved, {again} was loaded")


def _check_vectors(name, kv, em, on_error):
    words = list(kv.key_to_index)
    if len(words) != len(kv.vectors) or kv.vectors.dtype != np.float32 or not np.isfinite(kv.vectors).all():
        raise BrokenError(f"{words} with {kv.vectors}")
    if em is not None:
        if not set(words) <= set(em.coverage.found):
            raise BrokenError(f"{words} are read, {em.coverage.found} were found")
        with np.errstate(over="ignore"):
            expected = np.array([em.matrix[em.word_index[word]] for word in words], em.matrix.dtype).astype(np.float32)
        if expected.reshape(kv.vectors.shape).tobytes() != kv.vectors.tobytes():
            raise BrokenError(f"{kv.vectors} is read, the matrix has {expected}")
    wanted = [word for word in words if word][:3]
    if not wanted:
        return
    built = build_matrix(name, {word: k for k, word in enumerate(wanted, 1)}, on_error=on_error)
    if built.coverage.found != wanted or built.matrix[1:].tobytes() != kv[wanted].astype(np.float32).tobytes():
        raise BrokenError(f"{built.matrix} is built, {kv[wanted]} was read")


def _assembled(data, suffix):
    head, _, body = data.partition(b"\0")
    if suffix == ".safetensors":
        return len(head).to_bytes(8, "little") + head + body
    array = b"\x93NUMPY\1\0" + (len(body.partition(b"\n")[0]) + 1 & 0xFFFF).to_bytes(2, "little") + body
    if suffix == ".npy":
        return array
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("matrix.npy", array)
        packed = io.BytesIO()
        np.save(packed, np.frombuffer(head, np.uint8))
        archive.writestr("metadata.npy", packed.getvalue())
    return file.getvalue()
