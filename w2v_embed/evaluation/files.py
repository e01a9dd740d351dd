"""Files of word pairs and of analogies.

pairs      two words and how alike people find them, a pair a line, between tabs, else commas, else white space: WordSim-353
           (.tsv, .csv), SimLex-999 as it is published (its header names the column) or cut to three, the Chinese wordsim-240 …
           Lines that begin with # and empty ones count for nothing; the first line may be a header; columns behind the
           figure are left out.
analogies  `: category`, and below it four words a line between white space, of which the last is asked for: word2vec's
           questions-words.txt, CA8's morphological.txt and semantic.txt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

from ..shown import quoted
from ..texts import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._types import StrPath

    Pairs = list[tuple[str, str, float]]
    Questions = dict[str, list[tuple[str, str, str, str]]]

_FIGURES = ("SimLex999",)  # columns that hold the figure, where it is not the third one


def read_pairs(path: StrPath, encoding: str = "utf-8") -> Pairs:
    """list of (word, word, how alike they are).

    Raises:
        FileNotFoundError, ValueError: says which line is wrong, and why.
    """
    lines = [(number, line) for number, line in _lines(path, encoding) if not line.startswith("#")]
    mark = next((mark for mark in ("\t", ",") if lines and mark in lines[0][1]), None)
    pairs: Pairs = []
    place, width = 2, None
    for k, (number, line) in enumerate(lines):
        fields = [field.strip() for field in line.split(mark)]
        if len(fields) < 3 or (width is not None and len(fields) != width):
            expected = "two words and a number" if width is None else f"{width} fields, as in the lines above"
            _wrong(path, number, f"{expected}, between {_MARKS[mark]}", line)
        figure = _number(fields[place])
        if figure is None and k == 0:  # a header
            place = next((fields.index(name) for name in _FIGURES if name in fields), 2)
        elif figure is None or not fields[0] or not fields[1]:
            _wrong(path, number, f"two words, and a finite number in the field {place + 1}", line)
        else:
            pairs.append((fields[0], fields[1], figure))
        width = len(fields)
    if not pairs:
        raise ValueError(f"{path} holds no pair of words; expected lines of two words and a number")
    return pairs


def read_analogies(path: StrPath, encoding: str = "utf-8") -> Questions:
    """dict category → list of questions of four words.

    Raises:
        FileNotFoundError, ValueError: says which line is wrong, and why.
    """
    categories: Questions = {}
    questions: list[tuple[str, str, str, str]] | None = None
    for number, line in _lines(path, encoding):
        words = line.split()
        if line.startswith(":") and (words[0] == ":" or len(words) != 4):
            questions = categories.setdefault(line[1:].strip(), [])
        elif questions is None:
            _wrong(path, number, "a category, as in ': family', before the first question", line)
        elif len(words) != 4:
            _wrong(path, number, "four words between spaces, or ': category'", line)
        else:
            questions.append((words[0], words[1], words[2], words[3]))
    if not any(categories.values()):
        raise ValueError(f"{path} holds no analogy; expected ': category' and lines of four words")
    return categories


_MARKS = {"\t": "tabs", ",": "commas", None: "spaces"}


def _lines(path: StrPath, encoding: str) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that hold something."""
    for number, line in enumerate(read_text(path, encoding).split("\n"), 1):
        if line.strip():
            yield number, line


def _number(text):
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _wrong(path: StrPath, number: int, expected: str, line: str) -> NoReturn:
    raise ValueError(f"{path}, line {number}: expected {expected}, got {quoted(line)}")
