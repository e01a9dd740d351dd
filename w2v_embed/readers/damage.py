"""What is wrong with a file: raised at once, or counted and told at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import get_args

from .. import checks
from .._types import OnError
from ..shown import logger, shown

_EXAMPLES = 10  # of each kind that a report keeps
_KEPT = 100  # of each kind in a block that are described: a file of nothing but damage must not fill the memory

# kind of damage → how to go on
_ADVICE = {
    "too few numbers": "The file looks cut off: download it again",
    "too many numbers": "Two lines may have run together: download the file again",
    "unreadable number": "Mend the line or download the file again",
    "not finite": "Such a row would turn a model's loss into NaN: mend the line",
    "duplicate word": "The first one would count: remove the others",
    "empty word": "Mend the line",
    "encoding": "Pass the right encoding=, or download the file again",
    "header": "Mend the header or download the file again",
    "truncated": "Download the file again",
    "zero byte": "The download was not finished, or this is no text: download the file again",
    "unwritable word": "Choose another format",
}


@dataclass(frozen=True)
class Damage:
    """One thing wrong: its kind, what was expected and what came, and where (bytes and records count within a block)."""

    kind: str
    message: str
    record: int = 0
    byte: int = 0


def zero_tail(number: int | str, byte: int) -> Damage:
    """A file that ends in zero bytes, as a download does that was not finished: its room is taken at the start."""
    return Damage("truncated", f"the file ends in {number} zero bytes, as an unfinished download does", 0, byte)


def again(word: str, record: int = 0, byte: int = 0) -> Damage:
    """A word that came before."""
    return Damage("duplicate word", f"the word {word!r} stands here again", record, byte)


class Damages:
    """What is wrong in one block: of each kind the first things one by one (`each`), the others counted (`more`).

    Attributes:
        records: how many are about a record, not about how the file ends.
    """

    def __init__(self) -> None:
        self.each: list[Damage] = []
        self.more: dict[str, int] = {}
        self.records: int = 0
        self._kept: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.each)

    def add(self, wrong: Damage) -> None:
        """Take one more `Damage`."""
        self.records += wrong.kind != "truncated"
        kept = self._kept.get(wrong.kind, 0)
        if kept < _KEPT:
            self.each.append(wrong)
            self._kept[wrong.kind] = kept + 1
        else:
            self.more[wrong.kind] = self.more.get(wrong.kind, 0) + 1


@dataclass
class DamageReport:
    """What was skipped while reading with `on_error="skip"`: `counts` by kind, `examples` with their places, `total`.

    >>> report = DamageReport("a.txt", "raise")
    >>> report.add("too few numbers", "expected 300 numbers after the word, got 112", "line 40837 (byte 116 331 002)")
    Traceback (most recent call last):
    ...
    ValueError: a.txt, line 40837 (byte 116 331 002): expected 300 numbers after the word, got 112. The file looks cut off: \
download it again, or pass on_error="skip".
    """

    path: str
    on_error: OnError = "skip"
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.one_of("on_error", self.on_error, get_args(OnError))

    @property
    def total(self) -> int:
        """How many things were wrong."""
        return sum(self.counts.values())

    def add(self, kind: str, message: str, place: str) -> None:
        """Take one thing that is wrong: an error, or one more in the report."""
        if self.on_error == "raise":
            raise ValueError(f'{self.path}, {place}: {message}. {_ADVICE[kind]}, or pass on_error="skip".')
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(f"{place}: {message}")

    def log(self) -> None:
        """Tell the log, once, what was skipped."""
        if self.total:
            logger.warning("%s", self.summary())

    def summary(self) -> str:
        """The report as text.

        >>> report = DamageReport("a.txt")
        >>> report.add("empty word", "no word before the numbers", "line 7 (byte 90)")
        >>> print(report.summary())
        a.txt: 1 thing wrong was skipped: 1 × empty word (line 7 (byte 90): no word before the numbers)
        """
        kinds = "; ".join(f"{n} × {kind} ({'; '.join(self.examples[kind][:3])})" for kind, n in self.counts.items())
        things = "1 thing wrong was" if self.total == 1 else f"{self.total} things wrong were"
        path = shown(self.path)
        return f"{path}: {things} skipped: {kinds}" if self.total else f"{path}: nothing was skipped"


def place(unit: str, number: int, byte: int | None = None) -> str:
    """Where in a file, for people.

    >>> place("line", 40837, 116331002)
    'line 40837 (byte 116 331 002)'
    """
    if byte is None:
        return f"{unit} {number}"
    return f"{unit} {number} (byte {byte:,})".replace(",", " ")
