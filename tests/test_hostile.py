"""Files that are damaged, mislabelled, made by an attacker, or no vectors at all: each is read rightly or explained."""

import bz2
import gzip
import io
import json
import logging
import lzma
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import ft_ngram_hashes, load_facebook_vectors
from gensim.test.utils import datapath

from tests.conftest import same_bits, use_hot, write_fasttext
from tests.fuzz.harness import check
from tests.test_readers import PACKERS, zstd_compress
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.readers.bzip2 import Bzip2File
from w2v_embed.readers.inspection import inspect

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


def tar(format, old=False):
    """An archive of one file without a header, in one of the ways to write it."""
    packed, data = io.BytesIO(), b"the 1 2\nb 3 4\n" * 9
    info = tarfile.TarInfo("vectors/词.txt" if format == tarfile.PAX_FORMAT else "vectors.txt")
    info.size = len(data)
    with tarfile.open(fileobj=packed, mode="w", format=format) as archive:
        archive.addfile(info, io.BytesIO(data))
    if not old:
        return packed.getvalue()
    header = bytearray(packed.getvalue()[:512])
    header[257:265] = bytes(8)  # before POSIX there was no magic number
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + packed.getvalue()[512:]


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
    Case("a word like a magic number", b"PK 1 2\n{ 3 4\n[ 5 6\n<html> 7 8\n", kept=["PK", "{", "[", "<html>"]),
    Case("words that are numbers", b"5 2\n6 3\n7 4\n", kept=["5", "6", "7"]),
    Case("a word of a control character", b"1 1\n\x1f 0.5\n", kept=["\x1f"]),
    Case("a word of 100 000 bytes", b"2 2\n" + b"w" * 100_000 + b" 1 2\na 3 4\n", kept=["w" * 100_000, "a"]),
    Case("numbers of any form", b"a +1 .5\nb 1. 1E2\nc 1e-45 -0\n", kept=["a", "b", "c"]),
    Case("a number of 10 000 digits", b"a 0." + b"1" * 10_000 + b" 2\nb 3 4\n", kept=["a", "b"]),
    Case(
        "phrases behind a header",
        b"3 2\nNew York 1 2\nSan Jose 3 4\nNew Delhi City 5 6\n",
        kept=["New York", "San Jose", "New Delhi City"],
    ),
    Case("a phrase with a number in it", b"2 2\nRoute 66 West 1 2\na 3 4\n", kept=["Route 66 West", "a"]),
    Case("binary whose floats are letters", b"2 2\na 12 =ABC>ab >>>??>>?", kept=["a", "ab"]),
    Case(
        "binary whose floats are letters, in lines", b"3 2\na 12 =B>>>\nb 0.5=4>>>\nc >>>>1 .>\n", kept=["a", "b", "c"]
    ),
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
        "too many numbers, all whole",
        b"3 4\na 1 2 3 4\nlong 1 2 3 4 5 6\nb 1 2 3 4\n",
        r"line 3 \(byte 14\): expected 4 numbers after the word, got 6",
        ["a", "b"],
        {"too many numbers": 1},
    ),
    Case(
        "one number too many, no header",
        b"a 1 2\nb 3 4 5\nc 5 6\n",
        r"line 2 \(byte 6\): expected 2 numbers after the word, got 3",
        ["a", "c"],
        {"too many numbers": 1},
    ),
    Case(
        "a header of one number",
        b"2\na 1 2\nb 3 4\n",
        r"line 1 \(byte 0\): expected two numbers, of the words and of the numbers a word, or no such line, got 2 alone. Mend",
        ["a", "b"],
        {"header": 1},
    ),
    Case(
        "zero byte in a word",
        b"2 2\na 1 2\nb\0c 3 4\n",
        LINE3 + "expected a word and 2 numbers, got a line with 1 zero bytes. The download",
        ["a"],
        {"zero byte": 1},
    ),
    Case("zero byte before a word", b"2 2\na 1 2\n\0b 3 4\n", LINE3 + ".*1 zero bytes", ["a"], {"zero byte": 1}),
    Case("zero byte behind a word", b"2 2\na 1 2\nb\0 3 4\n", LINE3 + ".*1 zero bytes", ["a"], {"zero byte": 1}),
    Case("zero byte for a space", b"2 2\na 1 2\nb\0003 4\n", LINE3 + ".*1 zero bytes", ["a"], {"zero byte": 1}),
    Case("zero byte in a number", b"2 2\na 1 2\nb 3\0 4\n", LINE3 + ".*1 zero bytes", ["a"], {"zero byte": 1}),
    Case("zero byte in the first number", b"2 2\na 1\0 2\nb 3 4\n", "line 2 .*1 zero bytes", ["b"], {"zero byte": 1}),
    Case("zero bytes at a line's end", b"2 2\na 1 2\nb 3 4\0\0\n", LINE3 + ".*2 zero bytes", ["a"], {"zero byte": 1}),
    Case("a line of zero bytes", b"a 1 2\n\0\0\nb 3 4\n", "line 2 .*2 zero bytes", ["a", "b"], {"zero byte": 1}),
    Case(
        "a tail of zero bytes, the header being right",
        TEXT + bytes(3000),
        r"line 4 \(byte 16\): the file ends in 3000 zero bytes, as an unfinished download does. Download",
        ["a", "b"],
        {"truncated": 1},
    ),
    Case(
        "a tail of zero bytes, no header",
        TEXT[4:] + bytes(100_000),
        "line 3 .*ends in 100000 zero",
        ["a", "b"],
        {"truncated": 1},
    ),
    Case(
        "zero bytes from within a line",
        b"a 1 2\nb 3 4.12" + bytes(100_000),
        "line 2 .*100000 zero",
        ["a"],
        {"zero byte": 1},
    ),
    Case("zero bytes from within the only line, many", b"2 2\nb 3 4.12" + bytes(300_000), "line 2 .*300000 zero bytes"),
    Case("zero bytes from within the only line", b"2 2\nb 3 4.12" + bytes(3000), "line 2 .*3000 zero bytes"),
    Case(
        "more zero bytes than a record has",
        TEXT + bytes(9 << 20),
        r"line 4 .*the file ends in more than \d+ zero bytes",
        ["a", "b"],
        {"truncated": 1},
    ),
    Case(
        "binary and a tail of zero bytes",
        BINARY + bytes(3000),
        r"record 3 \(byte 25\): the file ends in 3000 zero bytes",
        ["a", "b"],
        {"truncated": 1},
    ),
    Case(
        "binary with zero bytes from within a vector",
        BINARY[:-6] + bytes(3000),
        "record 3 .*the file ends in 2995 zero bytes",
        ["a"],
        {"truncated": 1},
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
        "header with dimension 0, and a line without numbers",
        b"3 0\na 1 2\nb 3 4\nlost\n",
        "the header says 0 numbers a word, the lines hold 2",
        ["a", "b"],
        {"header": 1, "too few numbers": 1},
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
    Case("tar of old", tar(tarfile.USTAR_FORMAT, old=True), "a tar archive. Unpack it"),
    Case("tar of POSIX", tar(tarfile.USTAR_FORMAT), "a tar archive. Unpack it"),
    Case("tar of GNU", tar(tarfile.GNU_FORMAT), "a tar archive. Unpack it"),
    Case("tar of pax", tar(tarfile.PAX_FORMAT), "a tar archive. Unpack it"),
    Case("lines of carriage returns", b"a 1 2\rb 3 4\rc 5 6\r", "carriage returns alone, as on old Macs.*tr "),
    Case("lines of carriage returns, a header", b"2 2\ra 1 2\rb 3 4\r\n", "carriage returns alone"),
    Case("lines of carriage returns, words that are numbers", b"1 2 3\r4 5 6\r7 8 9\r", "carriage returns alone"),
    Case("floret", b"2 1 2 3 2 2166136261 < >\n0 1 2 3\n1 4 5 6\n", "floret's, whose rows.*floret print-word-vectors"),
    Case("only damage", b"1 2\na x 1\n", "line 2 .*got 'x'"),
    Case("only damage of many kinds", b"3 2\na x 1\n\0\nb 1\n", "line 2 .*got 'x'"),
    Case("binary with nothing but NaN", b"1 2\na " + floats(np.nan, 1), "got nan", build=True),
    Case(
        "long sparse lines",
        b"2 20\n" + 2 * (b"a " + b" ".join(b"%d:0.5" % k for k in range(50)) + b"\n"),
        "sparse, index:value",
    ),
    Case(
        "prose behind a header",
        b"2 2\nthis is prose, as it goes\nand on and on\n",
        "expected lines of a word and numbers",
    ),
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
    for switches in range(0, 128, 5):
        check(bytes([switches]) + path.read_bytes()[1:], tmp_path / "file")


@pytest.mark.parametrize("compression", PACKERS)
def test_a_file_without_a_row_that_can_be_read_is_an_error_whatever_the_policy(hot, compression, tmp_path):
    """In `build_matrix`, too; that no word was found in a good file is only a warning there."""
    path = tmp_path / "file"
    path.write_bytes(PACKERS[compression](b"2 2\na x 1\nb 3 nan\n"))
    for read in (
        load_vectors,
        inspect,
        lambda path, **how: load_vectors(path, words=["a", "b"], **how),
        lambda path, **how: load_vectors(path, limit=1, **how),
        lambda path, **how: build_matrix(path, {"a": 1, "b": 2, "c": 3}, **how),
    ):
        with pytest.raises(
            ValueError, match=r"file holds no row that can be read\. .*2 things wrong were skipped: .*got 'x'"
        ):
            read(path, on_error="skip")
    path.write_bytes(PACKERS[compression](TEXT))
    assert build_matrix(path, {"c": 1}, on_error="skip").coverage.found == []
    with pytest.raises(ValueError, match="file holds none of the 1 words that were asked for, as 'c'"):
        load_vectors(path, words=["c"])
    path.write_bytes(PACKERS[compression](TEXT.replace(b"a 1", b"a x")))
    with pytest.raises(ValueError, match=r"holds none of the 1 words .*as 'a'\. .*1 thing wrong was skipped"):
        load_vectors(path, words=["a"], on_error="skip")


# ── encodings ──


@pytest.mark.parametrize(
    "encoding", ["gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "UTF8"]
)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_each_encoding_is_read_when_named(encoding, compression, tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(PACKERS[compression]("2 2\n中国 1 2\n北京 3 4\n".encode(encoding)))
    kv = load_vectors(path, encoding=encoding)
    assert kv.index_to_key == ["中国", "北京"]
    em = build_matrix(path, {"北京": 1}, encoding=encoding)
    assert em.matrix[1].tolist() == [3, 4]
    assert inspect(path, encoding=encoding)["damage"] == {}


def test_bad_bytes_in_another_encoding_follow_on_error(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes("中国 1 2\n坏".encode("gbk") + b"\xff 3 4\n" + "北京 5 6\n".encode("gbk"))
    with pytest.raises(ValueError, match=r"line 2 .*: expected a word in gb18030, got "):
        load_vectors(path, encoding="gb18030")
    kv = load_vectors(path, encoding="gb18030", on_error="skip")
    assert (kv.index_to_key, dict(kv.damage.counts)) == (["中国", "北京"], {"encoding": 1})


def test_utf8_read_as_something_else_is_refused(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes("中国 1 2\n北京 3 4\n上海 5 6\n".encode())
    for encoding in ("gb18030", "latin-1", "utf-16"):
        with pytest.raises(ValueError, match=f"is text in UTF-8, not in {encoding}: leave encoding='{encoding}' out"):
            load_vectors(path, encoding=encoding)
    path.write_bytes("中国 1 2\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"is not in utf-16 \(.*BOM.*\)\. Pass the right encoding"):
        load_vectors(path, encoding="utf-16")
    for encoding in ("klingon", "hex"):
        with pytest.raises(ValueError, match=f"knows no encoding '{encoding}'"):
            load_vectors(path, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_binary_has_no_words_of_two_bytes_a_character(encoding, tmp_path):
    path = tmp_path / "v.bin"
    path.write_bytes(BINARY)
    for read in (load_vectors, lambda path, **how: build_matrix(path, ["<pad>", "a"], **how)):
        with pytest.raises(
            ValueError, match=rf"v.bin is in word2vec's binary format.*; {encoding} has none.*write the vectors anew"
        ):
            read(path, encoding=encoding)


def test_gbk_in_binary_is_read_when_named(tmp_path):
    path = tmp_path / "v.bin"
    path.write_bytes(b"1 1\n" + "中国".encode("gbk") + b" " + floats(1.5))
    assert load_vectors(path, encoding="gbk").index_to_key == ["中国"]
    assert build_matrix(path, {"中国": 0}, encoding="gbk").matrix.tolist() == [[1.5]]


# ── what is no stream: fastText, gensim, artifacts, folders ──


def fasttext_bin(
    words=("the", "cat"), dim=2, bucket=10, *, sizes=None, quantized=False, model=2, maxn=6, pruned=-1, cut=None
):
    """A fastText .bin whose vectors are 0, 1, 2 …"""
    told_words, told_dim, told_bucket = sizes or (len(words), dim, bucket)
    data = struct.pack("<14id", 793712314, 12, told_dim, 5, 1, 1, 1, 1, 1, model, told_bucket, 3, maxn, 100, 0.0)
    data += struct.pack("<3i2q", told_words, told_words, 0, 100, pruned)
    data += b"".join(word.encode() + b"\0" + struct.pack("<qb", 10, 0) for word in words)
    rows = np.arange((len(words) + bucket) * dim, dtype="<f4")
    data += struct.pack("<?2q", quantized, len(words) + bucket, dim) + rows.tobytes()
    data += struct.pack("<?2q", False, 0, dim)
    return data[:cut]


def test_fasttext_gives_no_vectors_to_unknown_words_unless_asked(tmp_path):
    path = tmp_path / "cc.bin"
    path.write_bytes(fasttext_bin())
    kv = load_vectors(path)
    assert type(kv).__name__ == "FastTextKeyedVectors"
    assert kv.index_to_key == ["the", "cat"]
    em = build_matrix(path, {"cat": 1, "catty": 2, "the": 3})
    assert em.coverage.missing == ["catty"]
    assert em.provenance.tolist() == ["padding", "cc.bin", "oov", "cc.bin"]
    assert not em.matrix[2].any()
    for word in em.coverage.found:
        assert em.matrix[em.word_index[word]].tobytes() == kv.get_vector(word).tobytes()
    assert load_vectors(path, words=["catty", "cat"]).index_to_key == ["cat"]
    assert load_vectors(path, limit=1).index_to_key == ["the"]
    facts = inspect(path)
    assert (facts["format"], facts["words"], facts["dim"], facts["damage"]) == ("fasttext", 2, 2, {})


BROKEN_FASTTEXT = {
    "cut in the header": (fasttext_bin(cut=50), "expected a header of 92 bytes, got 50"),
    "cut in a word": (fasttext_bin(["a" * 300], cut=150), r"it ends in word 1 of 1|the whole file has 150 bytes"),
    "cut before the vectors": (
        fasttext_bin(["a" * 300], bucket=0, cut=400),
        r"it ends in word 1 of 1|before the vectors",
    ),
    "cut in the vectors": (
        fasttext_bin(["a" * 300], bucket=1, cut=-30),
        r"\(byte 419\): expected 16 bytes of vectors, got",
    ),
    "too many words": (
        fasttext_bin(sizes=(10**9, 2, 10)),
        "the header says 1000000000 words .* but the whole file has",
    ),
    "too many numbers": (
        fasttext_bin(sizes=(2, 10**9, 10)),
        r"\(byte 0\): .* of 1000000000 numbers, .* the whole file has",
    ),
    "negative": (fasttext_bin(sizes=(2, 2, -1)), "-1 buckets"),
    "negative words": (fasttext_bin(sizes=(-2, 2, 10)), "the header says -2 words"),
    "no numbers": (fasttext_bin(sizes=(2, 0, 10)), "0 numbers a word"),
    "no words": (fasttext_bin([]), "the header says 0 words; expected one at least"),
    "another number of buckets": (fasttext_bin(sizes=(2, 2, 9)), "expected 11 rows of 2 numbers, got 12 rows of 2"),
    "n-grams of 2^31 - 1 characters": (
        fasttext_bin(["a" * 3000], maxn=2**31 - 1),
        "says n-grams of 2147483647 characters; expected at most 256",
    ),
    "n-grams of -1 characters": (fasttext_bin(maxn=-1), "n-grams of 3 to -1 characters"),
    "n-grams without end": (
        fasttext_bin(["a" * 60_000], maxn=256),
        r"n-grams of 3 to 256 characters, .* with \d+ characters in all and \d+ in the longest word; expected at most",
    ),
    "a word without end": (fasttext_bin(["a" * 70_000]), "has 70000 bytes; expected at most 65536"),
    "a word of megabytes": (fasttext_bin(["a" * 3_000_000]), "has more than 65536 bytes"),
    "pruned n-grams": (fasttext_bin(pruned=1 << 60), "1152921504606846976 pruned, but the whole file has"),
    "fewer than none pruned": (fasttext_bin(pruned=-2), "-2 pruned"),
    "another dimension": (fasttext_bin(sizes=(2, 1, 10)), "expected 12 rows of 1 numbers, got 12 rows of 2"),
    "quantized": (fasttext_bin(quantized=True), "quantized fastText model .*take the .bin"),
    "classifier": (fasttext_bin(model=3), "is a fastText classifier; expected word vectors"),
}


@pytest.mark.parametrize("name", BROKEN_FASTTEXT)
def test_broken_fasttext_is_explained(name, tmp_path):
    """gensim itself hangs where a file ends in a word, and believes every size."""
    data, message = BROKEN_FASTTEXT[name]
    path = tmp_path / "cc.bin"
    path.write_bytes(data)
    tracemalloc.start()
    words = {"a" * 60_000: 1} if name == "n-grams without end" else WORDS
    for read in (load_vectors, inspect, lambda path: build_matrix(path, words)):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 2 * len(data) + (1 << 26)
    tracemalloc.stop()
    path.write_bytes(gzip.compress(data))  # then nobody knows the size beforehand
    with pytest.raises(ValueError, match="cc.bin is a (quantized )?fastText"):
        load_vectors(path)


def test_packed_fasttext_does_not_fill_the_memory(tmp_path):
    """100 MB of zeros out of 100 kB, as rows and as words."""
    path = tmp_path / "cc.bin"
    head = gzip.compress(fasttext_bin(sizes=(2, 2, 12_500_000), cut=92), 1)
    path.write_bytes(head + gzip.compress(bytes(1 << 20), 1))
    with pytest.raises(
        ValueError, match=r"2 words and 12500000 buckets of 2 numbers, .* the whole file has \d{4} bytes"
    ):
        load_vectors(path)
    word = b"\0" + struct.pack("<qb", 1, 0)
    head = gzip.compress(fasttext_bin(sizes=(1 << 20, 2, 0), cut=92), 1)
    path.write_bytes(head + b"".join(gzip.compress((b"%06d" % k + b"a" * 60_000 + word) * 16) for k in range(80)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"it unpacks to more than \d+ bytes, out of \d{5}; expected less"):
        load_vectors(path, on_error="skip")
    assert tracemalloc.get_traced_memory()[1] < 1 << 27
    tracemalloc.stop()


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def test_no_pickle_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "ran"))
    path = tmp_path / "v.kv"
    path.write_bytes(pickle.dumps(Bomb()))
    for read in (load_vectors, inspect, lambda path: build_matrix(path, WORDS)):
        with pytest.raises(ValueError, match=r"pickle.*trust=True"):
            read(path)
    for protocol in range(6):
        path.write_bytes(pickle.dumps(Bomb(), protocol))
        with pytest.raises(ValueError, match="pickle|no word vectors"):
            load_vectors(path)
    np.save(tmp_path / "v.npy", np.array([Bomb()]), allow_pickle=True)
    np.savez(tmp_path / "v.npz", matrix=np.array([Bomb()]), metadata=np.array([Bomb()]))
    for name in ("v.npy", "v.npz"):
        for read in (load_vectors, EmbeddingMatrix.load):
            with pytest.raises(ValueError, match=name):
                read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_trusted_files_that_are_something_else(tmp_path):
    path = tmp_path / "v.kv"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="(holds a dict|no whole file of gensim's)"):
        load_vectors(path, trust=True)
    path.write_bytes(pickle.dumps({"a": 1})[:-3])
    with pytest.raises(ValueError, match="no whole file of gensim's"):
        load_vectors(path, trust=True)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_artifacts_are_sources_of_the_words_they_found(suffix, tmp_path, monkeypatch):
    source = tmp_path / "v.txt"
    source.write_bytes(TEXT)
    path = tmp_path / f"m{suffix}"
    build_matrix(source, {"b": 1, "unknown": 2, "a": 3}, oov="normal").save(path)
    kv = load_vectors(path)
    assert kv.index_to_key == ["b", "a"]
    assert kv.vectors.tolist() == [[3, 4], [1, 2]]
    em = build_matrix(path, {"unknown": 1, "a": 2})
    assert em.coverage.missing == ["unknown"]
    assert em.matrix[2].tolist() == [1, 2]
    assert inspect(path)["words"] == 2


def test_broken_artifacts_are_explained(tmp_path):
    source = tmp_path / "v.txt"
    source.write_bytes(TEXT)
    em = build_matrix(source, {"a": 1, "b": 2})
    path = tmp_path / "m.safetensors"
    em.save(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])

    def with_header(**changes):
        packed = json.dumps({**header, **changes}).encode()
        return len(packed).to_bytes(8, "little") + packed + whole[8 + length :]

    metadata = header["__metadata__"]
    tensor = header["matrix"]
    for broken in (
        whole[:-1],
        whole[:20],
        whole + b"x",
        (1 << 31).to_bytes(8, "little") + whole[8:],
        whole[:8] + b"{" * length + whole[8 + length :],
        with_header(matrix={**tensor, "shape": [1 << 60, 2]}),
        with_header(matrix={**tensor, "shape": [-3, -2]}),
        with_header(matrix={**tensor, "dtype": "I8"}),
        with_header(matrix={**tensor, "data_offsets": [0, 8]}),
        with_header(__metadata__={**metadata, "sources": '[["v.txt"]]'}),
        with_header(__metadata__={**metadata, "suggestions": '{"lower": 1}'}),
        with_header(__metadata__={**metadata, "damage": "[" * 100_000}),
        with_header(words={**header["words"], "data_offsets": [0, 4]}),
        with_header(ids={**header["ids"], "dtype": "F64"}),
        with_header(__metadata__={}),
    ):
        path.write_bytes(broken)
        for read in (load_vectors, EmbeddingMatrix.load):
            with pytest.raises(
                ValueError, match=r"m\.safetensors is not a whole .*safetensors file written by EmbeddingMatrix"
            ):
                read(path)
    em.save(tmp_path / "m.npz")
    whole = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged zip archive"):
        load_vectors(tmp_path / "m.npz")
    np.savez_compressed(tmp_path / "m.npz", **np.load(io.BytesIO(whole)))
    with pytest.raises(ValueError, match=r"m\.npz is not a whole .*its arrays are packed"):
        load_vectors(tmp_path / "m.npz")


def test_archives_that_are_no_vectors_are_named(tmp_path):
    path = tmp_path / "v.zip"

    def zipped(method=zipfile.ZIP_DEFLATED, **members):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    for members, message in (
        ({"a.npy": b"1", "b.npy": b"2"}, r"NumPy arrays \(\.npz\), which have no words.*add_vectors"),
        ({"m/data.pkl": b"1", "m/data/0": b"2"}, "is a PyTorch file"),
        ({"a.txt": TEXT, "b.txt": TEXT}, r"a zip archive of 2 files; .*: a\.txt, b\.txt"),
        ({}, "a zip archive of 0 files"),
    ):
        with pytest.raises(ValueError, match=message):
            load_vectors(zipped(**members))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(ValueError, match="packed in a rare way"):
            load_vectors(zipped(method, **{"a.txt": TEXT}))
    raw = bytearray(zipped(**{"a.txt": TEXT}).read_bytes())
    raw[6] |= 1  # encrypted
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.txt cannot be unpacked \(.*password"):
        load_vectors(path)


def test_folders_pipes_and_devices_are_named(tmp_path):
    for names, message in (
        (["vectors", "key2row", "strings.json"], "a folder with spaCy vectors. Export them"),
        (["config.json", "model.safetensors"], "a folder with a model, not word vectors.*ContextualEncoder"),
        (["sgns.txt"], r"is a folder; expected a file of word vectors\. It holds sgns\.txt\. Name the file inside"),
        ([], "It is empty"),
    ):
        folder = tmp_path / f"folder{len(names)}"
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        for read in (load_vectors, inspect, lambda path: build_matrix(path, WORDS)):
            with pytest.raises(IsADirectoryError, match=message):
                read(folder)
    (tmp_path / "model" / "vocab").mkdir(parents=True)
    (tmp_path / "model" / "vocab" / "vectors").touch()
    with pytest.raises(IsADirectoryError, match="with spaCy vectors"):
        load_vectors(tmp_path / "model")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="is a pipe or a device; expected a file"):
            load_vectors(path)


# ── memory ──


def bomb(pack_stream, start, filler, repeats):
    with pack_stream as stream:
        stream.write(start)
        for _ in range(repeats):
            stream.write(filler)


BOMB_MEMORY = """
import sys
from w2v_embed import build_matrix, load_vectors
for path in sys.argv[1:]:
    for read in (load_vectors, lambda p, on_error: build_matrix(p, {"w": 1, "x": 2}, on_error=on_error)):
        try:
            read(path, on_error="skip")
        except ValueError as error:
            assert path in str(error), error
# not ru_maxrss: a process inherits its parent's
print(next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst", "zip"])
def test_what_unpacks_to_a_lot_takes_little_memory(packing, tmp_path):
    """32 MB of blank lines, and of one line without an end, out of some kB."""
    from backports import zstd

    paths = []
    for filler in (b"\n" * (1 << 20), b"a" * (1 << 20)):
        path = tmp_path / f"bomb{len(paths)}.{packing}"
        paths.append(path)
        if packing == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                bomb(archive.open("v.txt", "w"), b"w 1 2\n", filler, 32)
        else:
            pack = {"gz": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile, "zst": zstd.ZstdFile}[packing]
            bomb(pack(path, "wb"), b"w 1 2\n", filler, 32)
    done = subprocess.run([sys.executable, "-c", BOMB_MEMORY, *paths], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 600, done


def test_of_a_file_of_nothing_but_damage_a_few_examples_are_kept(tmp_path):
    path = tmp_path / "bad.gz"
    bomb(gzip.GzipFile(path, "wb", 1), b"a 1 2\n" * 40, b"b\n" * (1 << 18), 1)
    kv = load_vectors(path, on_error="skip")
    assert kv.damage.counts == {"too few numbers": 1 << 18, "duplicate word": 39}
    assert len(kv.damage.examples["too few numbers"]) == 10


def test_xz_that_wants_gigabytes_is_refused(tmp_path):
    path = tmp_path / "v.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    path.write_bytes(lzma.compress(TEXT, filters=filters))
    with pytest.raises(ValueError, match=r"v\.xz: the xz stream is cut or damaged \(Memory usage limit exceeded\)"):
        load_vectors(path)


# ── packed streams ──

PIECES = [b"".join(b"w%d %.2f 1\n" % (k, k / 7) for k in range(first, first + 500)) for first in (0, 500, 1000)]


def streams(compression):
    """Three packed streams, of 500 lines each."""
    return [PACKERS[compression](piece) for piece in PIECES]


def spoilt(stream, what):
    half = len(stream) // 2
    return {
        "its first byte": b"X" + stream[1:],
        "its middle": stream[:half] + bytes(byte ^ 255 for byte in stream[half : half + 4]) + stream[half + 4 :],
        "its end": stream[:-4] + bytes(4),
        "cut": stream[:half],
        "cut at its first bytes": stream[:2],
    }[what]


def read_both(path):
    """What `load_vectors` and `build_matrix` keep with "skip", and the damage; with "raise" both name file and place."""
    words = [f"w{k}" for k in range(1500)]
    for read in (load_vectors, lambda path: build_matrix(path, [*words, "not there"])):
        with pytest.raises(ValueError, match=r"packed, line \d+ \(byte [\d ]+\): the \w+ stream is cut or damaged"):
            read(path)
    kv = load_vectors(path, on_error="skip")
    em = build_matrix(path, [*words, "not there"], on_error="skip")
    assert em.coverage.found == kv.index_to_key
    assert dict(kv.damage.counts) == dict(em.damage[0].counts)
    return kv.index_to_key, dict(kv.damage.counts)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("what", ["its first byte", "its middle", "its end", "cut", "cut at its first bytes"])
def test_a_later_stream_that_is_damaged_is_told(hot, compression, what, tmp_path, capfd):
    """pbzip2, pigz, `xz --threads` and pzstd write files of many streams; what came before the damage counts."""
    if (compression, what) == ("zstd", "its middle"):
        pytest.skip("its streams hold no checksum here")
    first, second, third = streams(compression)
    path = tmp_path / "packed"
    path.write_bytes(first + spoilt(second, what) + (b"" if "cut" in what else third))
    words, damage = read_both(path)
    assert words == [f"w{k}" for k in range(len(words))]
    assert 500 <= len(words) <= 1000
    assert damage.pop("truncated") == 1
    assert sum(damage.values()) <= 1  # the line that was cut
    out = capfd.readouterr()
    assert "garbage" not in out.err + out.out  # what a library says of its own


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_what_may_follow_the_last_stream(hot, compression, tmp_path):
    """Zeros, as tapes have them; anything else is told, and costs no row."""
    whole = b"".join(streams(compression))
    path = tmp_path / "packed"
    for zeros in (b"", bytes(4), bytes(100_000)):
        path.write_bytes(whole + zeros)
        assert len(load_vectors(path)) == 1500
    for rest in (b"X", b"garbage", bytes(8) + b"garbage"):
        path.write_bytes(whole + rest)
        words, damage = read_both(path)
        assert (len(words), damage) == (1500, {"truncated": 1})


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd", "zip"])
def test_rows_before_the_cut_of_a_small_file_are_had(hot, compression, tmp_path):
    """Of bzip2 and zstd only whole blocks can be unpacked, so their file has several."""
    count = 80_000 if compression in ("bzip2", "zstd") else 400
    numbers = np.random.default_rng(0).integers(0, 10**6, (count, 2))
    lines = b"".join(b"w%d 0.%06d 0.%06d\n" % (k, a, b) for k, (a, b) in enumerate(numbers.tolist()))
    packed = PACKERS[compression](lines)
    path = tmp_path / "packed"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(
        ValueError, match=rf"packed, line \d+ \(byte [\d ]+\): the {compression} stream is cut or damaged"
    ):
        load_vectors(path)
    kv = load_vectors(path, on_error="skip")
    assert len(kv) > count // 3
    assert kv.index_to_key == [f"w{k}" for k in range(len(kv))]
    assert kv.damage.counts["truncated"] == 1
    em = build_matrix(path, ["w0", "w100", f"w{count - 1}"], on_error="skip")
    assert em.coverage.missing == [f"w{count - 1}"]


def test_damage_in_a_small_stream_costs_half_of_it_at_most(hot, tmp_path):
    lines = b"".join(b"w%d %.2f 1\n" % (k, k / 7) for k in range(2000))
    packed = gzip.compress(lines)
    path = tmp_path / "packed"
    path.write_bytes(packed[:-8] + bytes(8))
    kv = load_vectors(path, on_error="skip")
    assert kv.damage.counts == {"truncated": 1}
    assert len(kv) > 900


def test_a_checksum_in_zstd_is_held_against_the_data(hot, tmp_path):
    """No flip of a bit changes a row."""
    path = tmp_path / "packed"
    packed = zstd_compress(b"".join(b"w%d %d.5 1\n" % (k, k * k) for k in range(12)), checksum=True)
    path.write_bytes(packed)
    whole = load_vectors(path)
    told = set()
    for bit in range(8 * len(packed)):
        flipped = bytearray(packed)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        path.write_bytes(flipped)
        try:
            kv = load_vectors(path)
        except ValueError as error:
            told.add("match checksum" in str(error))
        else:
            assert kv.index_to_key == whole.index_to_key
            assert kv.vectors.tobytes() == whole.vectors.tobytes()
    assert told == {True, False}


def test_blocks_of_bzip2(tmp_path):
    """Each level, many blocks that begin at any bit, several threads: as `bz2` unpacks them."""
    rng = np.random.default_rng(0)
    for level in (1, 9):
        pieces = [rng.integers(32, 48, size, np.uint8).tobytes() for size in (350_000, 0, 1, 250_001)]
        path = tmp_path / "packed"
        path.write_bytes(b"".join(bz2.compress(piece, level) for piece in pieces))
        for threads in (1, 3):
            with open(path, "rb", buffering=0) as file, Bzip2File(file, threads) as unpacked:
                assert unpacked.read() == b"".join(pieces)
                assert unpacked.position == path.stat().st_size


def test_bzip2_cut_at_any_byte_is_told(tmp_path):
    """Also where only zeros are cut off, of the checksum that ends a stream."""
    first, last = (
        next(packed for k in range(9999) if (packed := bz2.compress(b"%d" % k)).endswith(end)) for end in (b"", b"\0")
    )
    path = tmp_path / "packed"
    for cut in range(len(first) + 1, len(first + last)):
        path.write_bytes((first + last)[:cut])
        with (
            open(path, "rb", buffering=0) as file,
            Bzip2File(file, 1) as unpacked,
            pytest.raises((EOFError, ValueError)),
        ):
            unpacked.read()


def test_data_that_look_like_a_mark_of_bzip2(monkeypatch, tmp_path):
    """A block that does not end at the next mark ends at one of those behind it."""
    data = np.random.default_rng(0).integers(0, 256, 250_000, np.uint8).tobytes()
    path = tmp_path / "packed"
    path.write_bytes(bz2.compress(data, 1))
    find = Bzip2File._find_marks

    def find_more(self):
        for bit, mark in find(self):
            yield bit, mark
            yield bit + 1000, mark
            yield bit + 5001, mark

    monkeypatch.setattr(Bzip2File, "_find_marks", find_more)
    for threads in (1, 3):
        with open(path, "rb", buffering=0) as file, Bzip2File(file, threads) as unpacked:
            assert unpacked.read() == data


def test_the_first_block_of_bzip2_is_unpacked_alone(tmp_path):
    """Who needs no more of the file waits for no other block."""
    data = np.random.default_rng(0).integers(0, 256, 950_000, np.uint8).tobytes()
    path = tmp_path / "packed"
    path.write_bytes(bz2.compress(data, 1))
    with open(path, "rb", buffering=0) as file, Bzip2File(file, 3) as unpacked:
        assert unpacked.read(1) == data[:1]
        assert not unpacked._ahead
        rest = unpacked.read(150_000) + unpacked.read(1)
        assert unpacked._ahead
        assert rest + unpacked.read() == data[1:]


def test_bzip2_goes_on_where_no_thread_can_be_started(monkeypatch, tmp_path):
    data = np.random.default_rng(0).integers(0, 256, 450_000, np.uint8).tobytes()
    path = tmp_path / "packed"
    path.write_bytes(bz2.compress(data, 1))

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with open(path, "rb", buffering=0) as file, Bzip2File(file, 3) as unpacked:
        assert unpacked.read() == data


def test_lzma_and_what_pzstd_writes_are_read(hot, tmp_path):
    path = tmp_path / "packed"
    path.write_bytes(lzma.compress(TEXT, lzma.FORMAT_ALONE))
    assert load_vectors(path).index_to_key == ["a", "b"]
    assert inspect(path)["compression"] == "lzma"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="the lzma stream is cut or damaged"):
        load_vectors(path)
    frame = PACKERS["zstd"](TEXT)
    path.write_bytes(b"\x50\x2a\x4d\x18\4\0\0\0" + len(frame).to_bytes(4, "little") + frame)
    assert load_vectors(path).index_to_key == ["a", "b"]


def test_a_name_that_is_no_utf8(hot, tmp_path):
    for compression, pack in PACKERS.items():
        path = os.fsencode(tmp_path) + b"/v\xff." + str(compression).encode()
        with open(path, "wb") as file:
            file.write(pack(TEXT))
        assert load_vectors(os.fsdecode(path)).index_to_key == ["a", "b"]
        assert build_matrix(os.fsdecode(path), ["<pad>", "b"]).matrix.tolist() == [[0, 0], [3, 4]]


# ── writers ──

WRITER = """
import sys
import numpy as np
from w2v_embed import EmbeddingMatrix
size = int(sys.argv[2])
while True:
    for fill in (1, 2):
        matrix = np.full((size, 8), fill, np.float32)
        EmbeddingMatrix(matrix, {str(k): k for k in range(size)}).save(sys.argv[1])
        print("saved", flush=True)
"""


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".npy"])
def test_a_killed_save_leaves_the_old_file_or_the_new(suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    rng = np.random.default_rng(0)
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path, "20000"], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert_whole(path, 20000)


def test_two_processes_that_write_one_file_leave_one_of_the_two(tmp_path):
    path = tmp_path / "m.safetensors"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, "3000"], stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        writer.stdout.readline()
    for _ in range(30):
        assert_whole(path, 3000)
    for writer in writers:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert_whole(path, 3000)


def assert_whole(path, size):
    em = EmbeddingMatrix.load(path)
    assert em.matrix.shape == (size, 8)
    assert em.matrix.min() == em.matrix.max()
    assert len(em.word_index) in (size, 0)


# ── tables: what is skipped, what is forced, what lies in an artifact ──


@pytest.mark.parametrize("kind", ["fasttext", "old fasttext", "packed fasttext", "kv", "fasttext kv", "float64 kv"])
def test_what_is_skipped_is_not_in_what_comes_back(kind, tmp_path, caplog):
    words = ["the", "cat", "", "sat", "mat"]
    own = np.random.default_rng(0).normal(size=(5, 4)).astype("f4")
    own[1, 2], ngrams = np.nan, np.random.default_rng(1).normal(size=(50, 4)).astype("f4")
    path = tmp_path / "v.bin"
    pack = gzip.compress if kind == "packed fasttext" else bytes
    write_fasttext(path, words, own, ngrams, old=kind == "old fasttext", pack=pack)
    whole = load_facebook_vectors(str(path)) if "packed" not in kind else None
    if kind.endswith("kv"):
        if kind == "fasttext kv":
            kv = whole
        else:
            kv = KeyedVectors(4, dtype=np.float64 if kind == "float64 kv" else np.float32)
            kv.add_vectors(words, own)
            kv.set_vecattr("mat", "count", 7)
            whole = kv
        kv.save(str(path))
    with pytest.raises(ValueError, match=r"v\.bin, row 2: expected finite numbers in the vector of 'cat', got nan"):
        load_vectors(path, trust=True)
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        back = load_vectors(path, trust=True, on_error="skip")
    assert back.damage.counts == {"not finite": 1, "empty word": 1}
    assert "skipped" in caplog.text
    assert back.index_to_key == ["the", "sat", "mat"]
    assert back.key_to_index == {"the": 0, "sat": 1, "mat": 2}
    assert len(back) == len(back.vectors) == 3
    assert all(len(values) == 3 for values in back.expandos.values())
    for word in back.index_to_key:
        if whole is not None:
            assert same_bits(back[word], whole[word])
            assert back.get_vecattr(word, "count") == whole.get_vecattr(word, "count")
    assert np.isfinite(back.vectors).all()
    back.add_vector("new", np.ones(4))
    assert back["new"].tolist() == [1] * 4
    if "fasttext" in kind:
        back = load_vectors(path, trust=True, on_error="skip")
        assert len(back.vectors_vocab) == len(back.buckets_word) == 3
        if whole is not None:
            assert same_bits(back.get_vector("matter"), whole.get_vector("matter"))
            assert [b.tolist() for b in back.buckets_word] == [whole.buckets_word[k].tolist() for k in (0, 3, 4)]
        vectors = back.vectors.copy()
        back.adjust_vectors()  # made anew of what was kept
        assert same_bits(back.vectors, vectors)
        back.save(str(tmp_path / "again.kv"))
        assert same_bits(load_vectors(tmp_path / "again.kv", trust=True).vectors, vectors)


def test_an_empty_word_of_gensims_own_data():
    path = datapath("toy-model-pretrained.bin")
    with pytest.raises(ValueError, match="row 23: expected a word, got ''"):
        load_vectors(path)
    kv = load_vectors(path, on_error="skip")
    assert "" not in kv.key_to_index
    assert len(kv) == len(kv.vectors) == len(kv.vectors_vocab) == len(kv.buckets_word) == 23
    gensims = load_facebook_vectors(path)
    for word in kv.index_to_key:
        assert same_bits(kv[word], gensims[word])


def test_rows_of_ngrams_that_are_not_finite(tmp_path):
    """They are told, words in the file that have such an n-gram are left out, and no vector made of n-grams is NaN."""
    own, ngrams = np.ones((2, 3), "f4"), np.ones((7, 3), "f4")
    spoiled = set(ft_ngram_hashes("the", 3, 6, 7))
    clean = next(word for word in map("w{}".format, range(99)) if not spoiled & set(ft_ngram_hashes(word, 3, 6, 7)))
    ngrams[sorted(spoiled)[0]] = np.inf
    path = write_fasttext(tmp_path / "v.bin", [clean, "the"], own, ngrams)
    with pytest.raises(ValueError, match="v.bin, row 2: expected finite numbers in the vector of 'the'"):
        load_vectors(path)
    kv = load_vectors(path, on_error="skip")
    assert kv.index_to_key == [clean]
    assert kv.damage.counts == {"not finite": 2}
    assert kv.damage.examples["not finite"][1].startswith(
        f"n-gram row {sorted(spoiled)[0] + 1}: expected finite numbers"
    )
    assert np.isfinite(kv.get_vector("then")).all()
    em = build_matrix(path, ["<pad>", clean, "the", "then"], on_error="skip", fallbacks=["subwords"])
    assert np.isfinite(em.matrix).all()
    assert same_bits(em.matrix[3], kv.get_vector("then"))
    assert em.coverage.by_fallback == {"exact": 1, "subwords": 2}
    assert em.damage[0].counts == {"not finite": 2}
    raw = load_facebook_vectors(str(path))
    with pytest.raises(ValueError, match="FastTextKeyedVectors, word 'then': expected finite .* its n-grams make"):
        build_matrix(raw, ["then"], fallbacks=["subwords"])
    em = build_matrix(raw, ["<pad>", clean, "then"], on_error="skip", fallbacks=["subwords"])
    assert em.coverage.missing == ["then"]


@pytest.mark.parametrize("old", [False, True])
def test_fasttext_of_odd_words(tmp_path, old):
    own, ngrams = np.arange(10, dtype="f4").reshape(5, 2), np.ones((9, 2))
    path = write_fasttext(tmp_path / "v.bin", ["a", b"b\xff", "c", "a", "d"], own, ngrams, old=old)
    with pytest.raises(ValueError, match=r"v\.bin, row 2: expected a word in utf-8, got b'b\\xff'"):
        load_vectors(path)
    kv = load_vectors(path, on_error="skip")
    assert kv.index_to_key == ["a", "c", "d"]
    assert kv.damage.counts == {"encoding": 1, "duplicate word": 1}
    assert kv.damage.examples["duplicate word"] == ["row 4: the word 'a' stands here again"]
    alone = write_fasttext(tmp_path / "w.bin", ["a", "c", "d"], own[[0, 2, 4]], ngrams, old=old)
    assert same_bits(kv.vectors, load_vectors(alone).vectors)
    assert load_vectors(path, limit=1).index_to_key == ["a"]  # and what comes later is not looked at
    assert build_matrix(path, {"c": 1, "x": 2}).coverage.found == ["c"]
    assert inspect(path)["damage"] == {"encoding": 1, "duplicate word": 1}
    wrong = write_fasttext(tmp_path / "x.bin", ["čtyři", "šest", "ok"], own[:3], ngrams, encoding="cp852", old=old)
    with pytest.raises(ValueError, match=r"x\.bin, row 1: .*2 of the words beyond ASCII, 2 in all, are not in utf-8"):
        build_matrix(wrong, {"ok": 1, "čtyři": 2})
    assert load_vectors(wrong, encoding="cp852").index_to_key == ["čtyři", "šest", "ok"]


def test_tables_without_a_good_row_are_an_error(tmp_path):
    rows = np.full((1, 2), np.nan)
    path = write_fasttext(tmp_path / "v.bin", ["a"], rows, np.ones((3, 2)))
    kv = KeyedVectors(2)
    kv.add_vectors(["a"], rows)
    kv.save(str(tmp_path / "v.kv"))
    KeyedVectors(2).save(str(tmp_path / "none.kv"))
    EmbeddingMatrix(rows, {"a": 0}).save(tmp_path / "v.npz")
    EmbeddingMatrix(np.zeros((2, 2)), {"a": 1}, origins=[0, 2]).save(tmp_path / "none.safetensors")
    for name, message in [
        ("v.bin", "holds no row that can be read.*1 × not finite"),
        ("v.kv", "holds no row that can be read.*1 × not finite"),
        ("v.npz", "holds no row that can be read.*1 × not finite"),
        ("none.kv", "holds KeyedVectors without a word"),
        ("none.safetensors", "holds no words with vectors of their own"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            load_vectors(tmp_path / name, on_error="skip", trust=True)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(ValueError, match="row 1: expected finite"):
        build_matrix(path, ["a"])


@pytest.mark.parametrize("format", ["fasttext", "gensim"])
def test_a_forced_format_names_the_file(format, tmp_path):
    path = tmp_path / "empty.bin"
    for content in (b"", b"2 2\na 1 2\n"):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"empty\.bin (is a fastText .bin that is cut|is no whole file of gensim's)"
        ):
            load_vectors(path, format=format, trust=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_to_index": {"a": 5}},
        {"key_to_index": {"a": -1}},
        {"key_to_index": {"a": "0"}},
        {"key_to_index": {"a": True}},
        {"key_to_index": {7: 0}},
        {"vectors": np.zeros(4, "f4")},
        {"vectors": np.zeros((2, 2), int)},
        {"vectors": None},
    ],
    ids=str,
)
def test_keyed_vectors_that_lie(wrong, tmp_path):
    kv = KeyedVectors(2)
    kv.add_vectors(["a", "b"], np.ones((2, 2), "f4"))
    for name, value in wrong.items():
        setattr(kv, name, value)
    kv.save(str(tmp_path / "v.kv"))
    with pytest.raises(ValueError, match=r"v\.kv is no whole file of gensim's .*expected (words and rows|vectors)"):
        load_vectors(tmp_path / "v.kv", trust=True)
