"""Small files of text and JSON: read whole, in the encoding that they are in, and nothing in them twice."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .shown import quoted

if TYPE_CHECKING:
    from ._types import StrPath

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"([ \t\n\r]*:)?|[{}]')  # a text, whether it is a key; an object's ends


def checked_encoding(encoding: str) -> str:
    """`encoding`, if Python can read text in it.

    >>> checked_encoding("utf-9")
    Traceback (most recent call last):
    ...
    ValueError: Python knows no encoding 'utf-9'; try utf-8, gb18030, utf-16 or latin-1
    """
    try:
        "".encode(encoding)  # codecs.lookup alone takes hex and zip for encodings, too
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError, TypeError):
        raise ValueError(
            f"Python knows no encoding {quoted(encoding)}; try utf-8, gb18030, utf-16 or latin-1"
        ) from None
    return encoding


def mark_of(head: bytes) -> str | None:
    """The encoding whose byte order mark `head` begins with, or None."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)


def read_text(path: StrPath, encoding: str = "utf-8") -> str:
    """The text of a file: what its byte order mark says, else UTF-8, else `encoding`.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: no such file, or no text in these encodings.
    """
    path, encoding = Path(path), checked_encoding(encoding)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file")
    if path.exists() and not path.is_file():  # it might have no end, or nobody who writes to it
        raise ValueError(f"{path} is a pipe or a device; expected a file. Write one.")
    raw = path.read_bytes()
    mark = mark_of(raw)
    tried = [mark] if mark else list(dict.fromkeys(["utf-8", encoding]))
    wrong = None
    for name in tried:
        try:
            text = raw.decode(name)
        except UnicodeError as error:
            wrong = error.start if wrong is None and isinstance(error, UnicodeDecodeError) else wrong
        else:
            if "\0" not in text:  # Latin words in UTF-16 without a mark are UTF-8, too, with these between
                text = text.removeprefix(
                    "" if mark in ("utf-16", "utf-32") else "\ufeff"
                )  # these take it off themselves
                return text.replace("\r\n", "\n").replace("\r", "\n")
    at = wrong if wrong is not None else max(raw.find(0), 0)
    expected = " or ".join(["UTF-8" if name == "utf-8" else name for name in tried])
    raise ValueError(
        f"{path}, line {raw.count(10, 0, at) + 1} (byte {at}): expected {expected}, got {raw[at : at + 20]!r}. "
        "Save it as UTF-8, or pass the right encoding="
    )


def read_json(path: StrPath, *, encoding: str = "utf-8", label: str = "id") -> Any:
    """What a .json file holds. `label`: what the values of its objects are called where one has two."""
    return parse_json(read_text(path, encoding), str(path), label)


def json_object(text: str, origin: str) -> dict[str, Any]:
    """The object that a JSON text is, a dict: what describes a model, or a file. `origin` is its name in messages."""
    content = parse_json(text, origin, "value", "key")
    if not isinstance(content, dict):
        raise ValueError(f"{origin}: expected a JSON object, got a {type(content).__name__}")
    return content


def parse_json(text: str, origin: str, label: str = "id", key: str = "word") -> Any:
    """What a JSON text holds, no key in an object twice.

    Args:
        origin: how messages call the text.
        label, key: how they call the values of its objects, and what these belong to.
    """

    repeated: list[tuple[str, tuple[object, object]]] = []

    def once_each(pairs):
        content = dict(pairs)
        if len(content) < len(pairs) and not repeated:
            seen = {}
            for name, value in pairs:
                if name in seen:
                    repeated.append((name, (seen[name], value)))
                    break
                seen[name] = value
        return content

    try:
        content = json.loads(text)
        if not _has_each_once(text, content):
            content = json.loads(text, object_pairs_hook=once_each)
    except json.JSONDecodeError as error:
        raise ValueError(f"{origin}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    except RecursionError:
        raise ValueError(f"{origin}: lists or objects nested too deeply; expected a {label} for each {key}") from None
    except ValueError as error:  # a number that Python refuses to read
        raise ValueError(f"{origin}: not JSON that can be read ({error})") from error
    for name, values in repeated:
        refuse_repeated(origin, name, values, _lines_of(text, name), label, key)
    return content


def refuse_repeated(
    origin: str,
    word: str,
    values: Sequence[object],
    lines: Sequence[int] | None = None,
    label: str = "id",
    key: str = "word",
) -> NoReturn:
    """Raise that a word (a key) stands in a file twice."""
    if lines:
        told = ", ".join(f"line {line} with the {label} {quoted(value)}" for line, value in zip(lines, values))
    else:
        told = f"with the {label}s {' and '.join(map(quoted, values))}"
    raise ValueError(
        f"{origin}: the {key} {quoted(word)} stands there twice: {told}. Remove one of them: a {key} has one {label}."
    )


def _has_each_once(text, content):
    """Whether no object in this JSON text can have a key twice, as its quotation marks tell: a pair for each key of a flat one.

    Looking at a million pairs one by one takes as long as reading them.
    """
    if "{" not in text:
        return True
    if not isinstance(content, dict) or {str, list, dict} & set(map(type, content.values())):
        return False
    bare = text.replace("\\\\", "")  # what is left before a quotation mark makes it part of a word
    return bare.count('"') - bare.count('\\"') == 2 * len(content)


def _lines_of(text, key):
    """The lines in which `key` stands in the first object that has it twice."""
    objects = []  # of each open object where the key was met, or None
    for found in _TOKEN.finditer(text):
        token, is_key = found.groups()
        if is_key is None:
            if found[0] == "{":
                objects.append(None)
            elif found[0] == "}":
                objects.pop()
        elif key == (token if "\\" not in token else json.loads(f'"{token}"', strict=False)):
            if objects[-1] is not None:
                return [text.count("\n", 0, place) + 1 for place in (objects[-1], found.start())]
            objects[-1] = found.start()
    return None
