"""Files that are damaged, mislabelled, made by an attacker, or no vectors at all: each is read rightly or explained."""

import bz2
import gzip
import io
import json
import logging
import lzma
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import use_hot
from tests.fuzz.harness import check
from tests.test_readers import PACKERS, zstd_compress
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.inspection import inspect

CORPUS = Path(__file__).parent / "fuzz" / "corpus"


def floats(*numbers):
    return np.array(numbers, "<f4").tobytes()


@dataclass
class Case:
    """A file; `error`: what is said of it (None: nothing); `kept`, `damage`: the words and the damage of on_error="skip", where
    `kept` is None when that is refused as well; `build`: whether selecting rows says so, too."""

    name: str
    data: bytes
    error: str | None = None
    kept: list | None = None
    damage: dict = field(default_factory=dict)
    build: bool = True


TEXT = b"2 2\na 1 2\nb 3 4\n"
BINARY = b"2 2\na " + floats(1, 2) + b"\nb " + floats(3, 4) + b"\n"
BIG5 = "3 2\n台灣 1 2\n學校 3 4\n電腦 5 6\n".encode("big5")
GBK = "3 2\n中国 1 2\n北京 3 4\n上海 5 6\n".encode("gbk")
LINE3 = r", line 3 \(byte 10\): "

CASES = [
    # ── read rightly, however odd ──
    Case("clean text", TEXT, kept=["a", "b"]),
    Case("no newline at the end", TEXT[:-1], kept=["a", "b"]),
    Case("carriage returns", TEXT.replace(b"\n", b"\r\n"), kept=["a", "b"]),
    Case("trailing spaces", TEXT.replace(b"\n", b" \n"), kept=["a", "b"]),
    Case("tabs", b"2 2\na\t1\t2\nb\t3\t4\n", kept=["a", "b"]),
    Case("two spaces", b"2 2\na  1  2\nb 3 4\n", kept=["a", "b"]),
    Case("blank lines", b"2 2\n\na 1 2\n\n\nb 3 4\n\n", kept=["a", "b"]),
    Case("byte order mark", b"\xef\xbb\xbf" + TEXT, kept=["a", "b"]),
    Case("byte order mark, no header", b"\xef\xbb\xbfa 1 2\nb 3 4\n", kept=["a", "b"]),
    Case("words with spaces", b". . . 1.5 2.5\nat name 3.5 4.5\na 1 2\n", kept=[". . .", "at name", "a"]),
    Case(
        "words of odd white space",
        "4 2\n\u00a0 1 2\n\u3000x 3 4\n\u2028 5 6\n\u0085 7 8\n".encode(),
        kept=["\u00a0", "\u3000x", "\u2028", "\u0085"],
    ),
    Case("words that are numbers", b"5 2\n6 3\n7 4\n", kept=["5", "6", "7"]),
    Case("a word of a control character", b"1 1\n\x1f 0.5\n", kept=["\x1f"]),
    Case("a word of 100 000 bytes", b"2 2\n" + b"w" * 100_000 + b" 1 2\na 3 4\n", kept=["w" * 100_000, "a"]),
    Case("numbers of any form", b"a +1 .5\nb 1. 1E2\nc 1e-45 -0\n", kept=["a", "b", "c"]),
    Case("a number of 10 000 digits", b"a 0." + b"1" * 10_000 + b" 2\nb 3 4\n", kept=["a", "b"]),
    Case("clean binary", BINARY, kept=["a", "b"]),
    Case("binary without newlines", BINARY.replace(b"\nb", b"b")[:-1], kept=["a", "b"]),
    Case("binary that looks like text", b"1 1\na \x80!\x96G", kept=["a"]),
    # ── damaged ──
    Case(
        "too few numbers",
        b"2 2\na 1\nb 3 4\n",
        "line 2 .*: expected 2 numbers after the word, got 1",
        ["b"],
        {"too few numbers": 1},
    ),
    Case(
        "a word alone",
        b"2 2\na 1 2\nword\n",
        LINE3 + "expected 2 numbers after the word, got 0",
        ["a"],
        {"too few numbers": 1},
    ),
    Case(
        "too many numbers",
        b"2 2\na 1 2\nb 3.0 4.0 5.0\n",
        LINE3 + ".*2 numbers .* got 3",
        ["a"],
        {"too many numbers": 1},
    ),
    Case(
        "two lines run together",
        b"2 2\na 1 2\nb .1 .2c .3 .4\nd 5 6\n",
        LINE3 + ".* got 4",
        ["a", "d"],
        {"too many numbers": 1, "header": 1},
    ),
    Case(
        "unreadable number",
        b"2 2\na 1 2\nb 3 4x\n",
        LINE3 + r"expected a number, got '4x' \(number 2 of 2\)",
        ["a"],
        {"unreadable number": 1},
    ),
    Case(
        "decimal comma",
        b"2 2\na 1 2\nb 0,5 4\n",
        LINE3 + "expected a number, got '0,5'",
        ["a"],
        {"unreadable number": 1},
    ),
    Case(
        "underscore number",
        b"2 2\na 1 2\nb 1_0 4\n",
        LINE3 + "expected a number, got '1_0'",
        ["a"],
        {"unreadable number": 1},
    ),
    Case(
        "hexadecimal number",
        b"2 2\na 1 2\nb 0x1p3 4\n",
        LINE3 + "expected a number, got '0x1p3'",
        ["a"],
        {"unreadable number": 1},
    ),
    Case(
        "control character for a space",
        b"3 2\na 1 2\nb 3\x074\nc 5 6\n",
        LINE3 + ".*got 1",
        ["a", "c"],
        {"too few numbers": 1},
    ),
    Case(
        "NaN",
        b"2 2\na 1 2\nb nan 4\n",
        LINE3 + r"expected finite numbers, got 'nan' \(number 1 of 2\)",
        ["a"],
        {"not finite": 1},
    ),
    Case(
        "infinity",
        b"2 2\na 1 2\nb 3 -Infinity\n",
        LINE3 + "expected finite numbers, got '-Infinity'",
        ["a"],
        {"not finite": 1},
    ),
    Case(
        "too great for float32",
        b"2 2\na 1 2\nb 1e39 4\n",
        LINE3 + "expected finite numbers, got '1e39'",
        ["a"],
        {"not finite": 1},
    ),
    Case(
        "duplicate word",
        b"3 2\na 1 2\nb 3 4\na 5 6\n",
        "line 4 .*: the word 'a' stands here again. The first",
        ["a", "b"],
        {"duplicate word": 1},
    ),
    Case(
        "empty word",
        b"2 2\na 1 2\n 3 4\n",
        LINE3 + "expected a word before the numbers, got none",
        ["a"],
        {"empty word": 1},
    ),
    Case(
        "bad bytes in a word",
        b"2 2\na 1 2\nb\xff\xfe 3 4\n",
        LINE3 + r"expected a word in utf-8, got b'b\\xff\\xfe'",
        ["a"],
        {"encoding": 1},
        build=False,
    ),
    Case(
        "header with too many words",
        b"3 2\na 1 2\nb 3 4\n",
        r"line 1 \(byte 0\): the header says 3 words, the file holds 2",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "header with too few words",
        b"1 2\na 1 2\nb 3 4\n",
        "line 1 .*: the header says 1 words, the file holds 2",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "header with 10^18 words",
        b"999999999999999999 2\na 1 2\nb 3 4\n",
        "the header says 999999999999999999 words",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "header with another dimension",
        b"2 3\na 1 2\nb 3 4\n",
        "the header says 3 numbers a word, the lines hold 2",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "header with dimension 0",
        b"2 0\na 1 2\nb 3 4\n",
        "the header says 0 numbers a word, the lines hold 2",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "text cut in a line",
        b"2 2\na 1 2\nb 3",
        LINE3 + "expected 2 numbers after the word, got 1. The file looks cut off",
        ["a"],
        {"too few numbers": 1},
    ),
    Case(
        "binary cut in a vector",
        BINARY[:-4],
        r"record 2 \(byte 14\): expected a word and 8 bytes, got 8 bytes",
        ["a"],
        {"truncated": 1, "header": 1},
    ),
    Case(
        "binary cut in a word",
        BINARY[:16],
        "record 2 .*: expected a word and 8 bytes, got 2 bytes",
        ["a"],
        {"truncated": 1, "header": 1},
    ),
    Case(
        "binary with NaN",
        BINARY[:17] + floats(3, np.nan) + b"\n",
        r"record 2 .*: expected finite numbers, got nan \(number 2 of 2\)",
        ["a"],
        {"not finite": 1},
    ),
    Case(
        "binary with infinity",
        BINARY[:17] + floats(-np.inf, 1) + b"\n",
        "record 2 .*: expected finite numbers, got -inf",
        ["a"],
        {"not finite": 1},
    ),
    Case(
        "binary with a duplicate",
        BINARY.replace(b"b ", b"a "),
        "record 2 .*: the word 'a' stands here again",
        ["a"],
        {"duplicate word": 1},
    ),
    Case(
        "binary with an empty word",
        BINARY.replace(b"b ", b" "),
        "record 2 .*: expected a word before the space, got none",
        ["a"],
        {"empty word": 1},
        build=False,
    ),
    Case(
        "binary with bad bytes in a word",
        BINARY.replace(b"b ", b"b\xff "),
        r"record 2 .*: expected a word in utf-8, got b'b\\xff'",
        ["a"],
        {"encoding": 1},
        build=False,
    ),
    Case(
        "binary with too many words",
        BINARY + b"c " + floats(5, 6),
        "the header says 2 words, the file holds 3",
        ["a", "b", "c"],
        {"header": 1},
    ),
    Case(
        "binary header with 10^18 words",
        b"999999999999999999" + BINARY[1:],
        "the header says 999999999999999999 words",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "GBK in one word",
        b"2 2\na 1 2\n" + "中".encode("gbk") + b" 3 4\n",
        LINE3 + ".*in gb18030 it would be '中'",
        ["a"],
        {"encoding": 1},
        build=False,
    ),
    # ── refused ──
    Case("empty", b"", "is empty"),
    Case("white space only", b" \n\n\t\n", "is empty"),
    Case("zero bytes only", bytes(1000), "nothing but zero bytes"),
    Case("byte order mark only", b"\xef\xbb\xbf", "is empty"),
    Case("header only", b"2 2\n", "holds no vectors, only the line 2 2"),
    Case("prose", b"hello world\nthis is prose\n", "expected lines of a word and numbers, got b'hello world'"),
    Case(
        "web page",
        b"\n <!DOCTYPE html><html>404 Not Found</html>",
        "it is a web page. The download failed: fetch the file itself",
    ),
    Case("XML", b"<?xml version='1.0'?><Error>AccessDenied</Error>", "it is an XML document. The download failed"),
    Case(
        "Git LFS pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "a Git LFS pointer.*git lfs pull",
    ),
    Case("pickle", pickle.dumps({"a": 1}), "is a Python pickle.*trust=True"),
    Case("NumPy array", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}\n", "a NumPy array without words.*add_vectors"),
    Case("finalfusion", b"FiFu\x00\x00\x00\x00\x02", "it is finalfusion's format. Convert it: finalfusion convert"),
    Case("HDF5", b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file"),
    Case("SQLite", b"SQLite format 3\x00\x10\x00", "an SQLite database"),
    Case("PDF", b"%PDF-1.4\n%\xe2\xe3\n", "a PDF document"),
    Case("7z", b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive. Unpack it"),
    Case("tar", b"vectors.txt".ljust(257, b"\0") + b"ustar\00000" + bytes(300), "a tar archive. Unpack it"),
    Case("JSON", b'{"a": [1, 2]}\n', "it is JSON"),
    Case("CSV", b"word,x,y\na,1,2\nb,3,4\n", "parted by commas"),
    Case("sparse vectors", b"2 100\na 1:0.5 7:0.25\nb 3:1.5\n", "sparse, index:value .PPMI"),
    Case("sparse vectors, no header", b"a 1:0.5 7:0.25\nb 3:1.5\n", "sparse, index:value .PPMI"),
    Case("UTF-16", "2 2\na 1 2\n中 3 4\n".encode("utf-16"), 'text in UTF-16. Pass encoding="utf-16"'),
    Case("UTF-16 without byte order mark", "2 2\na 1 2\n中 3 4\n".encode("utf-16-le"), 'encoding="utf-16-le"'),
    Case("UTF-16, the other order", "2 2\na 1 2\n中 3 4\n".encode("utf-16-be"), 'encoding="utf-16-be"'),
    Case("UTF-32", "2 2\na 1 2\n".encode("utf-32"), 'encoding="utf-32"'),
    Case("GBK", GBK, r'3 of its first 3 words are not in utf-8.*GB18030 \(GBK\): pass encoding="gb18030"'),
    Case("Big5", BIG5, 'It looks like Big5: pass encoding="big5"'),
    Case(
        "GBK in binary",
        b"2 1\n" + "中国".encode("gbk") + b" " + floats(1) + "北京".encode("gbk") + b" " + floats(2),
        "GB18030",
    ),
    Case("packed twice", gzip.compress(TEXT), "packed twice, inside with gzip"),
    Case("binary header with dimension 0", b"2 0\na \x01\x02\x00\x03\n", "says 0 numbers a word; expected 1 to 65536"),
    Case(
        "binary header with dimension 10^18",
        b"2 999999999999999999\na \x00\x01\x02\xff",
        "999999999999999999 numbers a word",
    ),
    Case("one line without end", b"a" * 300_000, "its first line goes on for 262144 bytes"),
    Case("one line of numbers without end", b"a" + b" 1" * 200_000, "its first line goes on for 262144 bytes"),
    Case(
        "fastText, only the magic number",
        struct.pack("<i", 793712314),
        "(fastText .bin that is cut off|fasttext file packed)",
    ),
    Case(
        "safetensors of somebody else",
        struct.pack("<Q", 2) + b"{}",
        "(not a whole safetensors file|safetensors file packed)",
    ),
]
WORDS = {"a": 1, "b": 2, "c": 3, "d": 4}


def test_there_are_many_cases():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("hot_name", ["kernels", "plain"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_is_read_rightly_or_explained(case, hot_name, compression, tmp_path, monkeypatch, caplog):
    if case.name == "packed twice" and compression is None:
        pytest.skip("is packed once, then")
    use_hot(hot_name, monkeypatch)
    path = tmp_path / "file.txt"
    path.write_bytes(PACKERS[compression](case.data))

    def said(read):
        with pytest.raises(ValueError, match=case.error) as caught:
            read()
        assert type(caught.value) is ValueError
        assert str(path) in str(caught.value)

    if case.error:
        said(lambda: load_vectors(path))
        if case.build:
            said(lambda: build_matrix(path, WORDS))
    if case.kept is None:
        said(lambda: load_vectors(path, on_error="skip"))
        said(lambda: build_matrix(path, WORDS, on_error="skip"))
        said(lambda: inspect(path))
        return
    kv = load_vectors(path, on_error="skip")
    assert kv.index_to_key == case.kept
    assert dict(kv.damage.counts) == case.damage
    assert np.isfinite(kv.vectors).all()
    em = build_matrix(path, WORDS, on_error="skip")
    assert em.coverage.found == [word for word in WORDS if word in case.kept]
    for word in em.coverage.found:
        assert em.matrix[WORDS[word]].tobytes() == kv[word].tobytes()
    facts = inspect(path)
    assert facts["words"] == len(case.kept)
    assert facts["damage"] == case.damage
    json.dumps(facts)
    assert bool(case.damage) == any("skipped" in record.message for record in caplog.records)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_the_fuzzer_knows(path, tmp_path):
    check(path.read_bytes(), tmp_path / "file")
    for switches in range(0, 64, 5):
        check(bytes([switches]) + path.read_bytes()[1:], tmp_path / "file")
