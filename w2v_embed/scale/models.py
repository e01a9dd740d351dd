"""A model in whatever process works with it: loaded there, once, and known to be the one that was meant."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._types import EncodeOptions, LoadOptions
from ..shown import quoted

if TYPE_CHECKING:
    from .._types import StrPath
    from ..contextual import ContextualEncoder

_READ_AT_ONCE = 1 << 20
_MODULES, _PART = "modules.json", re.compile(r"\d+_\w+$")
# The last model of this process, by all that it was made of. A child of a fork has another number, and loads its own.
_last: dict[tuple[Any, ...], tuple[str, ContextualEncoder]] = {}


def checked_model(model: StrPath) -> str:
    """The absolute path of a model, which every worker will look for."""
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(
            "model must be the path of a model, which each worker loads by itself, received "
            f"{quoted(model)} ({type(model).__name__})"
        )
    return os.path.abspath(model)


def parted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of `ContextualEncoder.from_pretrained`, and those of its `encode`."""
    legal, loading = EncodeOptions.__annotations__, LoadOptions.__annotations__
    for name in options:
        if name not in legal:
            raise TypeError(f"unexpected option {name!r}; those of the encoder are {', '.join(legal)}")
    return (
        {name: value for name, value in options.items() if name in loading},
        {name: value for name, value in options.items() if name not in loading},
    )


def files_of(model: str) -> list[Path]:
    """The files of a model: those in its folder, or in that of its prefix."""
    folder = Path(model)
    home = folder if folder.is_dir() else folder.parent
    files = sorted(file for file in home.iterdir() if file.is_file()) if home.is_dir() else []
    if home != folder and not any(file.name.startswith(f"{folder.name}.") for file in files):
        raise FileNotFoundError(f"{model}: no such model. Each worker must find it at this path")
    if (home / _MODULES).is_file():  # of sentence-transformers, whose other parts have folders of their own
        files += sorted(
            file for part in home.iterdir() if _PART.match(part.name) for file in part.glob("*") if file.is_file()
        )
    return [file for file in files if not file.name.startswith(".")]


def digest_of(model: str) -> str:
    """A hash of what a model's files hold."""
    whole = hashlib.sha256()
    for file in files_of(model):
        digest = hashlib.sha256()
        with file.open("rb") as content:
            while data := content.read(_READ_AT_ONCE):
                digest.update(data)
        whole.update(f"{file.name}\0{digest.hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def loaded(model: str, options: Mapping[str, Any]) -> tuple[str, ContextualEncoder]:
    """The digest of a model's files, and its encoder; the one of the last call, if nothing has changed."""
    stamps = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files_of(model))
    key = os.getpid(), model, repr(sorted(options.items())), stamps
    if key not in _last:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from ..contextual import ContextualEncoder

        _last.clear()  # two models may be more than there is memory for
        _last[key] = digest_of(model), ContextualEncoder.from_pretrained(model, **options)
    return _last[key]
