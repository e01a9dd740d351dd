"""What comes out of files, as people may see it: no word and no name steers a terminal or passes for another."""

from __future__ import annotations

import functools
import json
import logging
import re
import reprlib
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, ParamSpec, TypeVar

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")

# Control characters (terminals obey them), marks that turn the direction of text, invisible ones, and halves of characters.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONGEST = 80  # characters of a word
_MOST_BITS = 256  # of a number
_MOST_FACTS = 12  # of a step


class _Short(reprlib.Repr):
    """`repr` of what may have parts: two levels of them, the first few of each, and no more work than that."""

    def repr_int(self, x, level):
        return f"{x!r}" if x.bit_length() <= _MOST_BITS else f"<int of {x.bit_length()} bits>"

    def repr_str(self, x, level):
        return repr(x) if len(x) <= _LONGEST else f"{x[:_LONGEST]!r}… ({len(x):,} characters)"

    def repr_bytes(self, x, level):
        return repr(x[:_LONGEST])

    def repr_instance(self, x, level):
        if isinstance(x, int):  # True, an enumeration
            return self.repr_int(x, level)
        if isinstance(x, (tuple, list, dict, set)):  # a class of its own, whose parts nobody has counted
            return f"<{type(x).__name__}>"
        try:
            return repr(x)
        except ValueError:  # a number that Python refuses to print
            return f"<{type(x).__name__}>"


_short = _Short()
_short.maxlevel, _short.maxlist, _short.maxtuple, _short.maxdict = 2, 8, 8, 8


def shown(text: object, keep: str = "") -> str:
    r"""`text` with unsafe characters as escapes, but for those in `keep`.

    >>> shown("red \x1b[31m\u202e!"), shown("中国 naïve 👩‍👩‍👧")
    ('red \\x1b[31m\\u202e!', '中国 naïve 👩‍👩‍👧')
    """
    return _UNSAFE.sub(lambda at: at[0] if at[0] in keep else at[0].encode("unicode_escape").decode(), str(text))


def shown_word(word: str) -> str:
    """A word out of a file: on one line, and not endless.

    >>> shown_word("x" * 1000)[-20:]
    '… (1,000 characters)'
    """
    return shown(word) if len(word) <= _LONGEST else f"{shown(word[:_LONGEST])}… ({len(word):,} characters)"


def step_text(step: Mapping[str, Any]) -> str:
    """One of `EmbeddingMatrix.steps`: on one line, and not endless.

    >>> step_text({"step": "align", "source": "wiki.vec", "words": 20000, "median_cosine": 0.61})
    'align (source wiki.vec, words 20000, median_cosine 0.61)'
    """
    facts = islice(((name, value) for name, value in step.items() if name != "step"), _MOST_FACTS)
    texts = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in facts]
    told = ", ".join(f"{shown_word(name)} {shown_word(text)}" for name, text in texts)
    return shown_word(step["step"]) + (f" ({told})" if told else "")


def quoted(value: object) -> str:
    """`repr` for messages: bounded, and with a way to show numbers that Python refuses to print.

    >>> quoted("a\x1b"), quoted(7), quoted(10**5000)
    ("'a\\\\x1b'", '7', '<int of 16610 bits>')
    """
    text = _short.repr(value)
    return shown(text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}…")


def json_text(value: object, **options: Any) -> str:
    r"""As `json.dumps` with Unicode as it is, but for what is unsafe: the value is the same, and it can always be written.

    >>> json_text(["中国", "\x9b\ud800"])
    '["中国", "\\u009b\\ud800"]'
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return _UNSAFE.sub(lambda at: at[0] if at[0] == "\n" else json.dumps(at[0])[1:-1], text)


def plain_errors(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """`function`, whose errors show names and words as people may see them."""

    @functools.wraps(function)
    def call(*args: _Args.args, **options: _Args.kwargs) -> _Result:
        try:
            return function(*args, **options)
        except Exception as error:
            if error.args and isinstance(error.args[0], str):
                error.args = (shown(error.args[0], keep="\n\t"), *error.args[1:])
            raise

    return call


class _Plain(logging.Filter):
    """The same for the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shown(record.getMessage()), None
        return True


logger: logging.Logger = logging.getLogger("w2v_embed")
logger.addFilter(_Plain())
