"""Small files of a model, read whole, up to a limit, and with errors that name the file."""

import json
import os
import reprlib
from pathlib import Path

# Bytes of what describes a model: a configuration, the header, index or pickle of a checkpoint. The largest ones in use have
# 10 MB; a file that says it has more would only cost memory, since what is read from it takes up to 25 times as much.
LIMIT = 1 << 24
# And of a vocabulary: XLM-R's tokenizer.json has 17 MB, Gemma's 34.
VOCABULARY_LIMIT = 1 << 26


class _Short(reprlib.Repr):
    def repr_int(self, value, level):
        return repr(value) if value.bit_length() <= 128 else f"<a number of {value.bit_length()} bits>"

    def repr_bytes(self, value, level):
        return repr(value[:100])

    def repr_instance(self, value, level):
        simple = value is None or type(value) in (bool, float)
        return repr(value) if simple else f"<{type(value).__name__}>"


_short = _Short()
_short.maxlevel, _short.maxstring = 2, 200


def shown(value):
    """`repr` of what a file says, for a message: short, whatever it is."""
    return _short.repr(value)


def read_small(path, limit=LIMIT):
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


def read_text(path, limit=LIMIT):
    """Return the text of a small file in UTF-8."""
    data = read_small(path, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line} (byte {error.start}): expected UTF-8, got {error.reason} ({data[error.start]:#04x})."
        ) from error


def read_json(path, limit=LIMIT):
    """Return the object in a small JSON file, a dict."""
    return json_object(read_text(path, limit), path)


def json_object(text, origin):
    """Return the object that a text in JSON is; in no object may a key stand twice.

    Args:
        origin: how messages call the text.
    """
    try:
        values = json.loads(text, object_pairs_hook=_without_repeats)
    except _RepeatedError as error:
        raise ValueError(f"{origin}: the key {error} stands twice in one object: one of them is wrong.") from None
    except RecursionError:
        raise ValueError(f"{origin}: expected JSON, got objects within objects without an end.") from None
    except ValueError as error:
        raise ValueError(f"{origin}: expected JSON, got {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{origin}: expected a JSON object, got a {type(values).__name__}.")
    return values


def checked(origin, key, value, kind):
    """Return `value` if it is a `kind` (a type; True is no int), else say what `origin` holds at `key`."""
    if type(value) is not kind:
        raise ValueError(f"{origin}: {key} should be of type {kind.__name__}, got {shown(value)}.")
    return value


class _RepeatedError(Exception):
    """A key stands twice."""


def _without_repeats(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        seen = set()
        raise _RepeatedError(shown(next(key for key, _ in pairs if key in seen or seen.add(key))))
    return values
