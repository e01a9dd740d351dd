"""Built matrices on disk, found again by all that they were built from.

The key is a hash of the version of this package, the identity of each file, the vocabulary, and every option. A file's
identity is its place, size, inode and times (also the time of change of the inode, which no program can set back); while the
file is so young that one more write need not move the clock, its content too.
"""

import hashlib
import json
import logging
import os
import time
import unicodedata
from importlib import metadata
from pathlib import Path

from . import __version__

logger = logging.getLogger("w2v_embed")

_YOUNG = 2.0  # seconds; file systems' clocks tick in up to two


def cached(folder, build, load, sources, vocabulary, plan, options):
    """What `build()` returns, from `folder` where an equal call has left it there; `load(path)` reads it.

    Raises:
        TypeError: something has no identity that could be compared: vectors in memory, a callable.
    """
    for source in sources:
        if not isinstance(source, (str, Path)):
            raise TypeError(
                f"cache_dir works for vector files, received a {type(source).__name__}; leave cache_dir out"
            )
    if callable(options["oov"]) or not plan.cacheable:
        raise TypeError(
            "cache_dir cannot tell whether a callable (oov, fallbacks) has changed; leave cache_dir out, or pass names"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(sources, vocabulary, plan, options)
    path = folder / f"{key}.safetensors"
    if path.is_file():
        try:
            em = load(path)
        except ValueError as error:
            logger.warning("the cached matrix is damaged and is built again: %s", error)
        else:
            for report in em.damage:
                report.log()
            return em
    em = build()
    if _key(sources, vocabulary, plan, options) == key:  # else a file was changed while it was read
        em.save(path)
    return em


def _key(sources, vocabulary, plan, options):
    parts = {
        "version": [
            __version__,
            unicodedata.unidata_version,
            _version("OpenCC"),
            _version("opencc-python-reimplemented"),
        ],
        "files": [_identity(Path(source)) for source in sources],
        "words": list(vocabulary.word_index.items()),
        "rows": [vocabulary.rows, vocabulary.padding_row, vocabulary.unknown_rows],
        "fallbacks": plan.names,
        "options": options,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def _identity(path):
    status = os.stat(path)
    identity = [
        str(path.resolve()),
        status.st_size,
        status.st_ino,
        status.st_dev,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]
    if time.time() - max(status.st_mtime, status.st_ctime) < _YOUNG:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        identity.append(digest.hexdigest())
    return identity


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
