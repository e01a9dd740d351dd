"""Built matrices on disk, found again by all that they were built from.

The key is a hash of the version of this package, the identity of each file, the vocabulary, and every option. A file's
identity is its place, size, inode and times. Whoever writes to a file moves the time of change of its inode, and no call sets
that back; but file systems' clocks tick slowly. So an entry that was built out of a file that was just written also says what
that held, and serves only while it still does. (Through a memory map a file can be changed without any time moving at once.)

An entry says in itself which key it is for, and its checksum covers all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..contents import bytes_of, words_to_bytes
from ..readers.remote import Place
from ..readers.static_models import files_of, is_static_model
from ..shown import logger
from ..stamps import is_young, stamp_of
from ..store import load, save
from .shared import warn_of
from .sources import path_of

if TYPE_CHECKING:
    from .._types import StrPath
    from ..vocabulary import Vocabulary
    from .embedding_matrix import EmbeddingMatrix
    from .fallbacks import Fallbacks


def cached(
    folder: StrPath,
    build: Callable[[], EmbeddingMatrix],
    make: Callable[[Any, dict[str, Any]], EmbeddingMatrix],
    given: Sequence[Any],
    vocabulary: Vocabulary,
    plan: Fallbacks,
    options: dict[str, Any],
) -> EmbeddingMatrix:
    """What `build()` returns, from `folder` where an equal call has left it there; `make` is that of `store.load`.

    An entry that cannot be read or is not whole is built again, and what cannot be kept is not; the log tells.

    Raises:
        TypeError: something has no identity that could be compared: vectors in memory, a callable.
    """
    files: list[Path | Place] = []
    for one in given:
        path = path_of(one)
        if path is None:
            raise TypeError(f"cache_dir works for vector files, received a {type(one).__name__}; leave cache_dir out")
        if isinstance(path, Place):
            files.append(path)
            continue
        files += files_of(path) if is_static_model(path) else [path]
        files += _beside(path) if options["trust"] else ()
    if callable(options["oov"]) or not plan.cacheable or None in options["postprocess"]:
        raise TypeError(
            "cache_dir cannot tell whether a callable (oov, fallbacks, postprocess) has changed; leave cache_dir out, or pass "
            "names"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    words = digest_of_words(vocabulary.word_index)
    key = _key(files, words, vocabulary, plan, options)
    entry = folder / f"{key}.safetensors"
    em = _take(entry, key, make, files)
    if em is not None:
        for report in em.damage:
            report.log()
        warn_of(em.steps)
        return em
    contents = [_digest(file) if _is_young(file) else None for file in files]
    em = build()
    # Else a file was changed while it was read.
    if _key(files, words, vocabulary, plan, options) == key and _hold(files, contents):
        _keep(em, entry, key, contents)
    return em


def _beside(path):
    """The files that gensim writes beside its own, with the large arrays."""
    return sorted(path.parent.glob(f"{escape(path.name)}.*"))


def _take(path, key, make, files):
    """The entry for `key` at `path`; None where there is none, or none that is good."""
    if not path.exists():
        return None
    contents = []

    def accept(metadata):
        if metadata.get("key") != key:
            raise ValueError(f"it is the entry for {metadata.get('key')!r}")
        if "checksum" not in metadata:
            raise ValueError("it has no checksum")
        contents.extend(json.loads(metadata["contents"]))
        if len(contents) != len(files):
            raise ValueError(f"it knows {len(contents)} files, the call has {len(files)}")

    try:
        em = load(path, make, accept)
    except (ValueError, OSError) as error:
        logger.warning("the cached matrix is damaged and is built again: %s", error)
        return None
    if not _hold(files, contents):
        return None
    if any(contents) and not any(map(_is_young, files)):
        _keep(em, path, key, [None] * len(files))  # from now on the times tell all
    return em


def _keep(em, path, key, contents):
    try:
        save(em, path, {"key": key, "contents": json.dumps(contents)})
    except (OSError, ValueError) as error:  # ValueError: in its place is a pipe
        logger.warning("the matrix could not be kept in the cache: %s", error)


def _hold(files, contents):
    """Whether the files still hold what was noted of some."""
    return all(digest in (None, digest and _digest(file)) for file, digest in zip(files, contents))


def _key(files, words, vocabulary, plan, options):
    parts = {
        "version": [
            __version__,
            unicodedata.unidata_version,
            _version("OpenCC"),
            _version("opencc-python-reimplemented"),
        ],
        "files": [_identity(file) for file in files],
        "words": words,
        "rows": [vocabulary.rows, vocabulary.padding_row, vocabulary.unknown_rows],
        "fallbacks": plan.names,
        "options": options,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def digest_of_words(word_index: Mapping[str, int]) -> list[Any]:
    """How many words, and a hash of them and their ids, in their order."""
    digest = hashlib.sha256(words_to_bytes(word_index))
    digest.update(bytes_of(np.fromiter(word_index.values(), "<i8", len(word_index))))
    return [len(word_index), digest.hexdigest()]


def _identity(path):
    if isinstance(path, Place):
        if (found := path.identity()) is None:
            raise TypeError(
                f"cache_dir cannot tell whether {path} has changed: no times or sums are told. Leave cache_dir out, or save it"
            )
        return found
    return [str(path.resolve()), *stamp_of(os.stat(path))]


def _is_young(path):
    return not isinstance(path, Place) and is_young(os.stat(path))  # (others' clocks are not known)


def _digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
