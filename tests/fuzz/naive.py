"""A slow reader of vector files, written from docs/files.md alone: one line, one field, one number at a time.

It is told what a file is (text or binary, numbers a word, header or none), so that it also judges whether that was found out.
"""

import re
from dataclasses import dataclass, field

import numpy as np

BLANKS = b" \t\n\r\v\f"  # only ASCII white space parts fields
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(rb"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass
class Record:
    """One line or binary record: the word and its row, or what is wrong with it. `plain`: at first sight it is a word and `dim`
    fields: what is wrong with such a one is nobody's business who does not want its word."""

    number: int
    byte: int
    word: bytes = b""
    row: np.ndarray | None = None
    wrong: str | None = None
    plain: bool = True


@dataclass
class Reading:
    """What comes of a file: words and rows in its order, and what is wrong, as (kind, number of the line, byte) in order."""

    words: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    damage: list = field(default_factory=list)

    def first(self):
        return self.damage[0] if self.damage else None


def number_of(text):
    """The float32 that a field means, or what is wrong with it."""
    if _NOT_FINITE.fullmatch(text):
        return None, "not finite"
    if not _NUMBER.fullmatch(text):
        return None, "unreadable number"
    # As gensim does it: the nearest double, then the nearest float32 of that.
    with np.errstate(over="ignore"):
        value = np.float32(float(text))
    return (value, None) if np.isfinite(value) else (None, "not finite")


def text_records(data, dim, header):
    """(records of a text, how many lines hold something)"""
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    records, byte, held = [], start, 0
    lines = data[start:].split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and not (header and number == 1):
            held += 1
            records.append(_text_record(line, fields, dim, number, byte))
        byte += len(line) + 1
    return records, held


def _is_plain(line, dim):
    """Whether this is, at first sight, a word and `dim` fields: that many blanks or control characters, none of them first, and
    no zero bytes at its end."""
    inside = line.rstrip(bytes(range(33)))
    return b"\0" not in line[len(inside) :] and inside[:1] > b" " and sum(byte <= 32 for byte in inside) == dim


def _text_record(line, fields, dim, number, byte):
    record = Record(number, byte, plain=_is_plain(line, dim))
    if record.plain:
        record.word = re.split(rb"[\0- ]", line, maxsplit=1)[0]  # at first sight
    starts_blank = line[0] in BLANKS
    if b"\0" in line:
        record.wrong = "zero byte"
    elif len(fields) == dim and starts_blank and all(number_of(one)[1] != "unreadable number" for one in fields):
        record.wrong = "empty word"
    elif len(fields) < dim + 1:
        record.wrong = "too few numbers"
    elif len(fields) > dim + 1 and all(number_of(one)[1] is None for one in fields[1:]):
        record.wrong = "too many numbers"
    else:
        # The last `dim` fields are the vector; all before them, as it stands there, is the word.
        rest = line.strip()
        row = []
        for _ in range(dim):
            cut = max(rest.rfind(bytes([blank])) for blank in BLANKS)
            row.insert(0, rest[cut + 1 :])
            rest = rest[:cut].rstrip()
        record.word = rest
        values = [number_of(one) for one in row]
        record.wrong = next((wrong for _, wrong in values if wrong), None)
        record.row = None if record.wrong else np.array([value for value, _ in values], np.float32)
    return record


def binary_records(data, dim):
    """As `text_records`, of word2vec's binary format."""
    byte, number, records = data.index(b"\n") + 1, 0, []
    while data[byte:].strip(b"\n"):
        number += 1
        begin = byte
        while data[begin : begin + 1] == b"\n":  # some writers put one behind each vector
            begin += 1
        space = data.find(b" ", begin)
        stop = space + 1 + 4 * dim
        if space < 0 or stop > len(data):
            records.append(Record(number, byte, wrong="truncated", plain=False))
            return records, number - 1
        row = np.frombuffer(data[space + 1 : stop], "<f4")
        record = Record(number, begin, data[begin:space], row)
        if not record.word:
            record.wrong = "empty word"
        elif not np.isfinite(row).all():
            record.wrong = "not finite"
        records.append(record)
        byte = stop
    return records, number


def records_of(data, kind, dim, header):
    """The records of unpacked bytes, in UTF-8.

    Args:
        data: bytes.
        kind: "text" or "binary".
        dim: numbers a word.
        header: (words, numbers a word) that the first line claims, or None.
    """
    return binary_records(data, dim) if kind == "binary" else text_records(data, dim, header)


def read(records, held, dim, header, *, words=None, limit=None):
    """What `load_vectors` shall make of a file (`words=`, `limit=`), with everything that is wrong in the order of the file.

    Args:
        records, held: of `records_of`, as dim and header.
        words: the words that are looked for, as str; None for all.
        limit: how many rows at most.

    Returns:
        A `Reading`.
    """
    reading, seen = Reading(), set()
    wanted = None if words is None else {word.encode("utf-8", "surrogatepass") for word in words}
    most = min(limit or len(records) + 1, len(records) + 1 if wanted is None else len(wanted))
    if header and header[1] != dim:
        reading.damage.append(("header", 1, 0))
    ended = not (wanted is not None and not wanted)
    for record in records if ended else ():
        asked = wanted is None or record.word in wanted
        if record.plain and not asked:
            continue  # its numbers, and the bytes of its word, are nobody's business
        if record.wrong:
            reading.damage.append((record.wrong, record.number, record.byte))
            continue
        if not asked:
            continue
        try:
            word = record.word.decode()
        except UnicodeDecodeError:
            reading.damage.append(("encoding", record.number, record.byte))
            continue
        if word in seen:
            reading.damage.append(("duplicate word", record.number, record.byte))
            continue
        seen.add(word)
        reading.words.append(word)
        reading.rows.append(record.row)
        if len(seen) == most:
            ended = False
            break
    if ended and header and held != header[0]:
        reading.damage.append(("header", 1, 0))
    return reading
