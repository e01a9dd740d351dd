"""Small files of a model, read whole, up to a limit, and with errors that name the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..shown import quoted
from ..texts import json_object

if TYPE_CHECKING:
    from .._types import StrPath

_T = TypeVar("_T")

# Bytes of what describes a model: a configuration, the header, index or pickle of a checkpoint. The largest ones in use have
# 10 MB; a file that says it has more would only cost memory, since what is read from it takes up to 25 times as much.
LIMIT: Final = 1 << 24
# And of a vocabulary: XLM-R's tokenizer.json has 17 MB, Gemma's 34.
VOCABULARY_LIMIT: Final = 1 << 26


def read_small(path: StrPath, limit: int = LIMIT) -> bytes:
    """Return the bytes of a file.

    Raises:
        ValueError: if it has more than `limit`.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size) if size <= limit else b""
    if size > limit:
        raise ValueError(
            f"{path} has {size:,} bytes: expected at most {limit:,}, which no such file of a model needs. "
            "Is it what its name says?"
        )
    return data


def read_text(path: StrPath, limit: int = LIMIT) -> str:
    """Return the text of a small file in UTF-8."""
    data = read_small(path, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line} (byte {error.start}): expected UTF-8, got {error.reason} ({data[error.start]:#04x})."
        ) from error


def read_json(path: StrPath, limit: int = LIMIT) -> dict[str, Any]:
    """Return the object in a small JSON file; in no object may a key stand twice."""
    return json_object(read_text(path, limit), str(path))


def checked(origin: StrPath, key: str, value: Any, kind: type[_T]) -> _T:
    """Return `value` if it is a `kind` (a type; True is no int), else say what `origin` holds at `key`."""
    if type(value) is not kind:
        raise ValueError(f"{origin}: {key} must be of type {kind.__name__}, received {quoted(value)}.")
    return value
