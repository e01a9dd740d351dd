"""All readers against the slow one of `tests.fuzz.naive`, over made-up files: `make differential FILES=100000`.

A file is made from a seed: text with or without a header, GloVe, phrases, odd numbers, odd line ends, damaged lines; word2vec
binary; or an artifact of ours. It is packed in one way or another and read by the compiled loops and by their plain twins, in
blocks of several sizes, by one thread and by more, whole, for some words, up to a limit, into matrices, with fallbacks and a
second source; in other encodings, and cut off. Rows must be equal to the bit; so must the words and their order, what is
damaged and where, and where each row came from.
"""

import argparse
import bz2
import gzip
import io
import logging
import lzma
import os
import re
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from tests.fuzz.naive import read, records_of
from tests.test_fallbacks import naive as derive
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.matrix import lending
from w2v_embed.readers import blocks, opened
from w2v_embed.readers.scan import kernels, keys, plain

_FALLBACKS = ("nfkc", "lower", "title", "upper", "digits", "markers", "parts", "characters")
_ALPHABET = "abAB19é中国人Ａ１#_-.ß"
_LIKE_A_NUMBER = re.compile(r"^[-+.\d]*\d[-+.\d]*$|^[-.]+$")
_PLACE = re.compile(r"(?:line|record|row) (\d+)(?: \(byte ([\d ]+)\))?")
_KINDS = (
    (r"expected \d+ numbers after the word", None),
    (r"expected a number, got", "unreadable number"),
    (r"zero bytes", "zero byte"),
    (r"expected finite numbers", "not finite"),
    (r"stands here again", "duplicate word"),
    (r"expected a word before|expected a word, got ''", "empty word"),
    (r"expected a word in ", "encoding"),
    (r"the header says", "header"),
    (r"zero bytes\.", "zero byte"),
    (r"is cut or damaged|expected a word and \d+ bytes", "truncated"),
)


class BrokenError(AssertionError):
    """A reader and the slow one do not agree."""


# ── files ──


@dataclass
class Made:
    """A file as it was made: its bytes, and what they are."""

    data: bytes
    kind: str
    dim: int
    header: tuple | None

    @cached_property
    def records(self):
        return records_of(self.data, self.kind, self.dim, self.header)

    def least_head(self):
        """Bytes that show what this is: some records, most of them good."""
        records, good = self.records[0], 0
        for number, record in enumerate(records):
            if number > 2 and good > number // 2 + 1:
                return record.byte + 1
            good += record.wrong is None and record.plain
        return 1 << 18

    def read(self, **kwargs):
        """What shall come of it, see `naive.read`."""
        return read(*self.records, self.dim, self.header, **kwargs)


def _word(rng):
    return "".join(rng.choice(list(_ALPHABET), rng.integers(1, 5)).tolist())


def _words(rng, n):
    words = [_word(rng) for _ in range(n)]
    if rng.random() < 0.3:
        words += ["\u00a0", "\u3000x", "\u2028", "\u0085y", "\x1fz", "\ufeffa", "<pad>", "𠀀"][: rng.integers(1, 9)]
    words = [word for word in dict.fromkeys(words) if not _LIKE_A_NUMBER.search(word)]
    return words or ["word"]


def _number(rng):
    """A number as a text may have it."""
    value = float(rng.choice([rng.normal(), rng.normal() * 10.0 ** rng.integers(-44, 38), rng.integers(-9, 9)]))
    if not abs(value) < 3e38:
        value = 1.5
    form = rng.integers(0, 12)
    if form < 5:
        return repr(float(np.float32(value)))
    if form < 7:
        return f"{value:.6f}"
    if form == 7:
        return f"{value:.9e}"
    if form == 8:  # near the middle of two float32
        here = np.float32(value)
        middle = (float(here) + float(np.nextafter(here, np.float32(1)))) / 2
        return f"{middle:.{rng.integers(7, 40)}e}"
    if form == 9:
        return rng.choice(["+", "-", ""]) + "".join(rng.choice(list("0123456789"), 25).tolist()) + "."
    if form == 10:
        return rng.choice(
            ["0", "-0", "+1", "5.", ".5", "-.5", "1E5", "1e-45", "7e-46", "1.17549435e-38", "16777217", "00.1e+02"]
        )
    return repr(value)


def _damaged(rng, word, numbers):
    """A damaged line, without its end."""
    dim = len(numbers)
    kind = rng.integers(0, 10)
    changed = list(numbers)
    place = rng.integers(0, dim)
    if kind == 0:
        return word + " " + " ".join(numbers[: rng.integers(0, dim)]) if dim > 1 else word
    if kind == 1:
        return " ".join([word, *numbers, *[_number(rng) for _ in range(rng.integers(1, 4))]])
    if kind == 2:
        changed[place] = rng.choice(["x", "0,5", "1_0", "0x1p3", "1e", "--1", "1.2.3", "٣", "1d5", ".", "e5", "+"])
    elif kind == 3:
        changed[place] = rng.choice(["nan", "NaN", "-nan", "inf", "-Infinity", "1e39", "3.5e38", "9" * 60])
    elif kind == 4:
        return " " + " ".join(numbers)
    elif kind == 5:
        return "b" + word + "\udcff " + " ".join(numbers)  # a byte that is no UTF-8
    elif kind == 6:
        return word
    elif kind == 9:
        line = " ".join([word, *numbers])
        at = rng.choice([len(word), len(line), rng.integers(0, len(line))])
        return line[:at] + "\0" + line[at + rng.integers(0, 2) :]
    elif kind == 7:
        return word + "\x07" + " ".join(numbers)
    else:
        return word + "\x0b"
    return " ".join([word, *changed])


def make_text(rng):
    dim = int(rng.choice([1, 2, 3, 5, 8, 40, 60], p=[0.05, 0.25, 0.25, 0.2, 0.15, 0.05, 0.05]))
    words = _words(rng, rng.integers(4, 20))
    with_header = bool(rng.random() < 0.6)
    phrases = dim > 1 and rng.random() < 0.3
    damage = rng.choice([0, 0, 0.1, 0.3])
    lines = []
    for word in words:
        if phrases and rng.random() < 0.4:
            word = rng.choice(["New", ". .", "at", "a", "中"]) + rng.choice([" ", "  "]) + word
        gap = rng.choice([" ", " ", " ", "\t", "  "])
        numbers = [_number(rng) for _ in range(dim)]
        lines.append(gap.join([word, *numbers]))
        if rng.random() < damage:
            lines.append(
                _damaged(rng, rng.choice([word.rsplit(" ")[-1], _word(rng)]), [_number(rng) for _ in range(dim)])
            )
        if rng.random() < 0.05:
            lines.append(gap.join([rng.choice(words), *numbers]))
        if rng.random() < 0.03:
            lines += [rng.choice(["", " ", "\t"])] * rng.integers(1, 3)
    for k in [k for k, line in enumerate(lines) if "\udcff" in line][1:]:  # one at most, as in `make_binary`
        lines[k] = lines[k].replace("\udcff", "ÿ")
    usual = sum(len(line.split()) == dim + 1 for line in lines)
    lines += [f"plain{k} " + " ".join(["0.25"] * dim) for k in range(max(0, len(lines) + 3 - 2 * usual))]
    first = lines[0].split()
    if not with_header and len(first) == 2 and all(map(str.isdigit, first)):
        lines[0] = "w" + lines[0]
    end = rng.choice(["\n", "\n", "\n", "\r\n", " \n", "\t\r\n"])
    held = sum(bool(line.strip(" \t\n\r\v\f")) for line in lines)
    header = None
    if with_header:
        header = (held, dim)
        if rng.random() < 0.1:
            header = (int(held + rng.integers(-2, 3)) if held > 2 else held, dim)
    text = end.join(lines) + (end if rng.random() < 0.8 else "")
    if header:
        text = f"{header[0]} {header[1]}" + rng.choice(["\n", end]) + text
    data = text.encode("utf-8", "surrogateescape")
    if rng.random() < 0.1:
        data = b"\xef\xbb\xbf" + data
    return Made(data, "text", dim, header)


def make_binary(rng):
    dim = int(rng.choice([1, 2, 3, 5, 8, 60]))
    words = _words(rng, rng.integers(3, 20))
    rows = rng.normal(size=(len(words), dim)).astype("<f4")
    rows[0, 0] = 0.5  # bytes that no text has
    end = rng.choice(["\n", ""]).encode()
    records = []
    for word, row in zip(words, rows):
        encoded = word.encode()
        chance = rng.random()
        if chance < 0.03:
            row[rng.integers(0, dim)] = rng.choice([np.nan, np.inf, -np.inf])
        elif chance < 0.05:
            encoded = b""
        elif chance < 0.07 and not any(b"\xff" in record.split(b" ")[0] for record in records):
            encoded = b"b\xff" + encoded  # one of them: more, and the whole file is taken for one in another encoding
        elif chance < 0.1:
            encoded = words[0].encode()
        records.append(encoded + b" " + row.tobytes() + end)
    count = len(records)
    if rng.random() < 0.05:
        count += int(rng.integers(-1, 3))
    data = f"{count} {dim}\n".encode() + b"".join(records)
    if rng.random() < 0.08:
        data = data[: -rng.integers(1, 4 * dim)]
    return Made(data, "binary", dim, (count, dim))


def make(rng):
    """A file of one kind or the other."""
    return make_binary(rng) if rng.random() < 0.3 else make_text(rng)


def _zst(data):
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(data)


def _zip(data):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.txt", data)
    return packed.getvalue()


def _streams(pack, data):
    return [pack(data[k : k + 150]) for k in range(0, len(data), 150)]


def _in_streams(pack):
    return lambda data: b"".join(_streams(pack, data))


PACKERS = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, 1),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": _zst,
    "zip": _zip,
    "gz streams": _in_streams(lambda data: gzip.compress(data, 1)),
    "bz2 streams": _in_streams(lambda data: bz2.compress(data, 1)),
    "xz streams": _in_streams(lambda data: lzma.compress(data, preset=0)),
    "zst streams": _in_streams(_zst),
}


# ── readers ──


@contextmanager
def loops(hot, threads, head, block, least):
    """Readers with these loops, threads, bytes looked at beforehand, bytes a block, and least numbers a word from which on
    they go back for lenders."""
    old = opened.hot_loops, keys.hot_loops, lending.hot_loops, opened.HEAD, blocks._BLOCK, opened._LEAST_NUMBERS
    opened.hot_loops = keys.hot_loops = lending.hot_loops = lambda size: (hot, threads)
    opened.HEAD = head
    blocks._BLOCK, opened._LEAST_NUMBERS = block, least
    try:
        yield
    finally:
        opened.hot_loops, keys.hot_loops, lending.hot_loops, opened.HEAD, blocks._BLOCK, opened._LEAST_NUMBERS = old


def _places(report):
    """The damage in a report, as that of a `Reading`, in no order; and the counts."""
    found = []
    for kind, examples in report.examples.items():
        for example in examples:
            number, byte = _PLACE.match(example).groups()
            found.append((kind, int(number), int(byte.replace(" ", "")) if byte else None))
    return Counter(found), Counter(report.counts)


def _of_message(message, path):
    """What an error says was wrong, and where."""
    if not message.startswith(f"{path}, "):
        raise BrokenError(f"the message does not name {path}: {message}")
    number, byte = _PLACE.match(message[len(f"{path}, ") :]).groups()
    for pattern, kind in _KINDS:
        if re.search(pattern, message):
            if kind is None:
                expected, got = map(
                    int, re.search(r"expected (\d+) numbers after the word, got (\d+)", message).groups()
                )
                kind = "too few numbers" if got < expected else "too many numbers"
            return kind, int(number), int(byte.replace(" ", "")) if byte else None
    raise BrokenError(f"a message of no known kind: {message}")


def _equal(what, got, expected):
    if got != expected:
        raise BrokenError(f"{what}: got {got!r}\nexpected {expected!r}")


def _compare_reading(what, reading, words, rows, report):
    _equal(f"{what}, words", words, reading.words)
    _equal(f"{what}, rows", [row.tobytes() for row in rows], [row.tobytes() for row in reading.rows])
    _compare_damage(what, reading, report)


def _compare_damage(what, reading, report):
    places, counts = _places(report)
    _equal(f"{what}, counts of damage", counts, Counter(kind for kind, *_ in reading.damage))
    told, each = Counter(), Counter()
    for one in reading.damage:  # ten examples of each kind are kept
        each[one[0]] += 1
        if each[one[0]] <= 10:
            told[one] += 1
    _equal(f"{what}, places of damage", places, told)


def _attempt(what, path, reading, call):
    """What `call()` returns, where nothing is wrong; else the first thing that is wrong must be raised."""
    try:
        result = call()
    except ValueError as error:
        _equal(f"{what}, error ({error})", _of_message(str(error), path), reading.first())
        return None
    _equal(f"{what}, no error", None, reading.first())
    return result


def _refused(what, path, call):
    """`call()` must raise a plain ValueError that names the file."""
    try:
        result = call()
    except ValueError as error:
        if type(error) is not ValueError or str(path) not in str(error):
            raise BrokenError(f"{what}: {type(error).__name__}: {error}") from error
        return
    raise BrokenError(f"{what} gave {result}; expected an error")


def try_load(made, path, rng):
    """`load_vectors`: whole, for some words, up to a limit; strict and not."""
    everything = made.read()
    there = everything.words
    some = [word for word in there if rng.random() < 0.4]
    if not some or rng.random() < 0.6:  # else reading ends with the last of them
        some += ["absent", "ＡＢ"]
    options = [{}]
    options.append({"words": some} if rng.random() < 0.6 else {"limit": int(rng.integers(1, len(there) + 2))})
    if rng.random() < 0.2:
        options.append({"words": some, "limit": int(rng.integers(1, len(some) + 1))})
    for option in options:
        reading = made.read(**option)
        if not reading.words:  # a result without a row is an error, whatever the policy
            _refused(f"load {option}", path, lambda option=option: load_vectors(path, on_error="skip", **option))
            _refused(f"load {option} strict", path, lambda option=option: load_vectors(path, **option))
            continue
        kv = load_vectors(path, on_error="skip", **option)
        words = sorted(kv.key_to_index, key=kv.key_to_index.get)
        _compare_reading(f"load {option}", reading, words, kv.vectors, kv.damage)
        _equal("index_to_key", kv.index_to_key, words)
        _attempt(f"load {option} strict", path, reading, lambda option=option: load_vectors(path, **option))


def _index(rng, made, more=()):
    there = made.read().words
    wanted = [word for word in there if rng.random() < 0.4]
    if more or rng.random() < 0.6:
        wanted += [_word(rng) for _ in range(3)]
        wanted += [
            change(word) for word in there[:6] for change in (str.lower, str.upper, str.title) if rng.random() < 0.3
        ]
        wanted += [a + b for a, b in pairwise(there) if rng.random() < 0.2]
    wanted = [word for word in dict.fromkeys([*wanted, *more]) if word.lower() not in ("", "<pad>", "[pad]")] or ["中"]
    ids = rng.permutation(len(wanted)) + 1
    return dict(zip(wanted, ids.tolist()))


def try_build(made, path, rng):
    """`build_matrix` from one source, without fallbacks."""
    index = _index(rng, made)
    in_order = sorted(index, key=index.get)
    reading = made.read(words=in_order)
    em = build_matrix(path, index, on_error="skip")
    found = dict(zip(reading.words, reading.rows))
    _compare_rows("build", em, index, {word: (row, Path(path).name) for word, row in found.items()})
    _compare_damage("build", reading, em.damage[0])
    _attempt("build strict", path, reading, lambda: build_matrix(path, index))
    return em


def _compare_rows(what, em, index, expected):
    """`expected`: dict word → (row, provenance)"""
    provenance = em.provenance.tolist()
    _equal(f"{what}, padding", (em.padding_row, provenance[0], em.matrix[0].any()), (0, "padding", False))
    for word, k in index.items():
        if word in expected:
            row, origin = expected[word]
            _equal(f"{what}, row of {word!r}", em.matrix[k].tobytes(), np.asarray(row, np.float32).tobytes())
            _equal(f"{what}, provenance of {word!r}", provenance[k], origin)
        else:
            _equal(f"{what}, {word!r}", (provenance[k], em.matrix[k].any()), ("oov", False))
    _equal(f"{what}, found", set(em.coverage.found), set(expected))
    _equal(f"{what}, missing", set(em.coverage.missing), set(index) - set(expected))


def try_fallbacks(sources, rng):
    """`build_matrix` from several sources (made, path), with fallbacks: against one word at a time."""
    index = _index(rng, sources[0][0], sources[-1][0].read().words[:2])
    names = rng.permutation(_FALLBACKS)[: rng.integers(1, 4)].tolist()
    em = build_matrix([path for _, path in sources], index, fallbacks=names, on_error="skip")
    tables = [
        (dict(zip(reading.words, reading.rows)), Path(path).name)
        for reading, path in ((made.read(), path) for made, path in sources)
    ]
    known = {}
    for table, name in tables:
        for word, row in table.items():
            known.setdefault(word, (row, name))
    expected, derived = {}, {}
    for word in index:
        if word in known:
            expected[word] = known[word]
        elif how := derive(word, names, set(known)):
            label, lenders = how
            rows = [known[lender][0] for lender in lenders]
            # (-0.0 to begin with: it takes no sign away)
            mean = (sum((row.astype(np.float64) for row in rows), -0.0) / len(rows)).astype(np.float32)
            owners = dict.fromkeys(known[lender][1] for lender in lenders)
            expected[word] = mean, f"{' + '.join(owners)} ({label})"
            derived[word] = how
    _compare_rows(f"fallbacks {names}", em, index, expected)
    _equal("derived", {word: (d.fallback, d.words) for word, d in em.derived.items()}, derived)
    return index, names, em


def try_artifact(em, folder, rng):
    """Save, load, and read as vectors."""
    path = folder / f"em.{rng.choice(['safetensors', 'npz'])}"
    em.save(path)
    again = EmbeddingMatrix.load(path)
    _equal("saved, rows", again.matrix.tobytes(), em.matrix.tobytes())
    _equal("saved, words", again.word_index, em.word_index)
    _equal("saved, provenance", again.provenance.tolist(), em.provenance.tolist())
    words = [
        word for word in em.coverage.found if em.coverage.how(word) == "exact"
    ]  # rows that were lent are not handed on
    words.sort(key=em.word_index.get)
    if not words:
        return
    kv = load_vectors(path)
    _equal("saved, words read", kv.index_to_key, words)
    _equal("saved, rows read", kv.vectors.tobytes(), em.matrix[[em.word_index[word] for word in words]].tobytes())
    some = {word: k for k, word in enumerate([*words[::2], "absent"], 1)}
    built = build_matrix(path, some)
    _compare_rows(
        "saved, built", built, some, {word: (em.matrix[em.word_index[word]], path.name) for word in words[::2]}
    )


def try_one(seed, folder):
    """Make the file of a seed and read it in every way; raises `BrokenError`."""
    rng = np.random.default_rng(seed)
    made = make(rng)
    if not made.read().words:
        return
    other = make_other(rng, made)
    second = str(folder / "other.txt")
    Path(second).write_bytes(other.data)
    least_head = max(made.least_head(), other.least_head())
    packings = ["plain", *rng.choice(list(PACKERS), 1 + (seed % 3 == 0), replace=False).tolist()]
    for number, packing in enumerate(dict.fromkeys(packings)):
        path = str(folder / f"v{number}.txt")
        Path(path).write_bytes(PACKERS[packing](made.data))
        hot = (kernels, plain)[(seed + number) % 2]
        threads = int(rng.choice([1, 1, 2, 3])) if hot is kernels else 1
        head = int(rng.choice([1 << 18, least_head, least_head]))
        block, least = int(rng.choice([16, 64, 300, 1 << 21])), int(rng.choice([1, 50]))
        with loops(hot, threads, head, block, least):
            try:
                try_load(made, path, rng)
                em = try_build(made, path, rng)
                if number == 0:
                    index, names, two = try_fallbacks([(made, path), (other, second)][: 1 + seed % 2], rng)
                    if seed % 10 == 0:
                        try_artifact(two if seed % 20 else em, folder, rng)
                    if seed % 50 == 0:
                        try_cache(path, index, names, folder)
                    if seed % 4 == 1:
                        try_cut(made, str(folder / "cut"), rng)
                    if seed % 8 == 3 and made.kind == "text":
                        try_encoding(made, str(folder / "encoded.txt"), rng)
            except Exception as error:
                how = f"{hot.__name__}, {threads} threads, {head} bytes first, blocks of {block}, {packing}"
                raise BrokenError(f"seed {seed} ({how}): {type(error).__name__}: {error}\n{made}") from error


def try_cut(made, path, rng):
    """A packed file that is cut off: what comes is what stands before the cut, and the cut is told."""
    packing = str(rng.choice(["gz", "bz2", "xz", "zst"]))
    streams = _streams(PACKERS[packing], made.data) if rng.random() < 0.5 else [PACKERS[packing](made.data)]
    packed = b"".join(streams)
    cut = int(rng.integers(len(packed) // 2, len(packed)))
    if cut in np.cumsum([len(stream) for stream in streams]):  # which nobody can see
        return
    Path(path).write_bytes(packed[:cut])
    packing = f"{packing}, {len(streams)} streams"
    whole = made.read()
    try:
        kv = load_vectors(path, on_error="skip")
    except ValueError as error:
        if str(path) not in str(error):
            raise BrokenError(f"cut {packing}: {error}") from error
    else:
        if kv.vector_size != made.dim and made.header is None and len(kv) < 3:
            return  # so few lines do not tell what is a word and what a number
        got = [(word, row.tobytes()) for word, row in zip(kv.index_to_key, kv.vectors)]
        _equal(f"cut {packing}", got, [(word, row.tobytes()) for word, row in zip(whole.words, whole.rows)][: len(got)])
        if not kv.damage.counts["truncated"] and len(got) < len(whole.words):
            raise BrokenError(f"cut {packing}: {len(got)} of {len(whole.words)} rows, and nothing is said: {kv.damage}")
    try:
        kv = load_vectors(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise BrokenError(f"cut {packing}: {error}") from error
    else:
        _equal(f"cut {packing}, strict", kv.index_to_key, whole.words)


def try_encoding(made, path, rng):
    """The same in another encoding: words, rows, and the lines of what is damaged."""
    encoding = str(rng.choice(["utf-16", "gb18030", "utf-32"]))
    try:
        Path(path).write_bytes(made.data.decode("utf-8-sig").encode(encoding))
    except UnicodeError:
        return
    reading = made.read()
    kv = load_vectors(path, encoding=encoding, on_error="skip")
    _equal(f"{encoding}, words", kv.index_to_key, reading.words)
    _equal(f"{encoding}, rows", kv.vectors.tobytes(), np.array(reading.rows, np.float32).tobytes())
    lines = Counter((kind, number) for kind, number, _ in reading.damage)
    _equal(
        f"{encoding}, damage", Counter((kind, number) for kind, number, _ in _places(kv.damage)[0].elements()), lines
    )


def make_other(rng, made):
    """A second source of the same width, which has some words of the first, with other rows."""
    shared = [word for word in made.read().words if rng.random() < 0.5 and not re.search(r"\s", word, re.ASCII)]
    words = dict.fromkeys([*_words(rng, 4), *shared])
    numbers = rng.normal(size=(len(words), made.dim)).astype(np.float32).tolist()
    lines = [f"{word} {' '.join(map(repr, row))}\n" for word, row in zip(words, numbers)]
    return Made("".join(lines).encode(), "text", made.dim, None)


def try_cache(path, index, names, folder):
    """Built, answered from the cache, and built again: the same."""

    def build(**kwargs):
        em = build_matrix(path, index, fallbacks=names, on_error="skip", **kwargs)
        return em.matrix.tobytes(), em.provenance.tolist(), em.word_index, em.derived, [vars(one) for one in em.damage]

    expected = build()
    for _ in range(2):
        _equal("cached", build(cache_dir=folder / "cache"), expected)


def run(first, files, folder, tell=None):
    """Try `files` seeds from `first` on; returns the failures, as text."""
    failures = []
    logging.disable(logging.ERROR)
    try:
        for seed in range(first, first + files):
            try:
                try_one(seed, folder)
            except BrokenError as error:
                failures.append(str(error))
                if tell:
                    tell(str(error))
    finally:
        logging.disable(logging.NOTSET)
    return failures


def main(arguments=None):
    parser = argparse.ArgumentParser(description="hold all readers against the slow one")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args(arguments)
    begun = time.process_time()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        failures = run(options.first, options.files, Path(folder), tell=lambda text: print(text, flush=True))
    spent = time.process_time() - begun
    each = 1000 * spent / options.files
    print(f"{options.files} files from seed {options.first} on, {len(failures)} failures, {each:.1f} ms of CPU a file")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
