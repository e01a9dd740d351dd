"""Formats, compression, order, early stop, and what is said of a file that is wrong."""

import bz2
import gzip
import io
import logging
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import load_facebook_vectors
from gensim.test.utils import datapath

from tests.conftest import same_bits, write_binary, write_text
from w2v_embed import build_matrix, load_vectors
from w2v_embed.readers import opened
from w2v_embed.readers.compression import Source
from w2v_embed.readers.formats.fasttext import is_old

ROWS = {f"word{k}": np.random.default_rng(k).normal(size=5).astype(np.float32).tolist() for k in range(200)}


def zstd_compress(raw, checksum=False):
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    return zstd.compress(raw, options={zstd.CompressionParameter.checksum_flag: int(checksum)})


def zip_compress(raw):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.txt", raw)
    return packed.getvalue()


PACKERS = {
    None: bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd_compress,
    "zip": zip_compress,
}


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("kind", ["header", "no header", "trailing spaces", "binary", "binary without newlines"])
def test_every_format_in_every_compression_under_any_name(hot, tmp_path, compression, kind):
    plain = tmp_path / "plain"
    if kind.startswith("binary"):
        write_binary(plain, ROWS, newline=kind == "binary")
    else:
        write_text(plain, ROWS, header=kind != "no header", end=" \n" if kind == "trailing spaces" else "\n")
    path = tmp_path / "vectors.jpeg"
    path.write_bytes(PACKERS[compression](plain.read_bytes()))
    expected = KeyedVectors.load_word2vec_format(str(plain), binary="binary" in kind, no_header=kind == "no header")

    kv = load_vectors(path)

    assert kv.index_to_key == expected.index_to_key
    assert same_bits(kv.vectors, expected.vectors)
    assert [kv.get_vecattr(w, "count") for w in kv.index_to_key] == [
        expected.get_vecattr(w, "count") for w in expected.index_to_key
    ]
    with Source(path) as source:
        assert source.compression == compression


def test_two_members_of_gzip_and_bzip2_are_one_file(hot, tmp_path):
    raw = write_text(tmp_path / "plain", ROWS).read_bytes()
    for pack in (gzip.compress, bz2.compress, lzma.compress, zstd_compress):
        path = tmp_path / "packed"
        path.write_bytes(pack(raw[:1000]) + pack(raw[1000:]))
        assert load_vectors(path).index_to_key == list(ROWS)


def test_the_shipped_text_and_binary_are_the_same_vectors(data):
    text, binary = load_vectors(data / "vectors.txt.bz2"), load_vectors(data / "vectors.bin")
    gensims = KeyedVectors.load_word2vec_format(str(data / "vectors.bin"), binary=True)
    assert text.index_to_key == binary.index_to_key == gensims.index_to_key
    assert same_bits(text.vectors, gensims.vectors)
    assert same_bits(binary.vectors, gensims.vectors)
    assert text.most_similar("经济")[0][0] == gensims.most_similar("经济")[0][0]


def test_words_and_limit(hot, tmp_path):
    path = write_text(tmp_path / "v.txt", ROWS)
    assert load_vectors(path, limit=7).index_to_key == list(ROWS)[:7]
    some = load_vectors(path, words=["word150", "nobody", "word3", "word3"])
    assert some.index_to_key == ["word3", "word150"]  # in the order of the file
    assert same_bits(some["word150"], np.float32(ROWS["word150"]))
    assert load_vectors(path, words=["word150", "word3"], limit=1).index_to_key == ["word3"]
    with pytest.raises(ValueError, match=r"v\.txt holds none of the 2 words that were asked for, as 'nobody'"):
        load_vectors(path, words=["nobody", "none"])
    with pytest.raises(ValueError, match="words is empty"):
        load_vectors(path, words=[])
    for wrong in (0, True, 1.5, "ten"):
        with pytest.raises(ValueError, match=rf"limit must be None or a whole number from 1 on, received .?{wrong}"):
            load_vectors(path, limit=wrong)
    assert len(load_vectors(path, limit=np.int64(2))) == 2
    with pytest.raises(TypeError, match="received the single str 'word3'"):
        load_vectors(path, words="word3")


def test_the_result_is_a_usable_keyed_vectors(tmp_path):
    kv = load_vectors(write_text(tmp_path / "v.txt", ROWS))
    assert kv.most_similar("word1", topn=1)[0][0] != "word1"
    kv.add_vector("new", np.ones(5))
    assert kv["new"].tolist() == [1] * 5
    kv.save_word2vec_format(str(tmp_path / "again.txt"))
    again = load_vectors(tmp_path / "again.txt")
    assert same_bits(again.vectors, kv.vectors)
    assert again.key_to_index == kv.key_to_index


def test_reading_stops_when_all_words_are_found(hot, tmp_path):
    path = write_text(tmp_path / "v.txt", ROWS)
    with open(path, "ab") as file:
        file.write(b"damaged 1 2\n" * 3)  # never reached
    done = []
    em = build_matrix(path, {"word1": 1, "word5": 2}, progress=lambda *report: done.append(report))
    assert em.coverage.rate == 1
    assert done[-1][1] == path.stat().st_size
    with pytest.raises(ValueError, match=r"line 202 "):
        build_matrix(path, {"word1": 1, "nobody": 2})


def test_rows_do_not_depend_on_blocks_or_threads(tmp_path, monkeypatch):
    """Four threads and blocks of a few lines give what one thread and one block give, damage included."""
    from w2v_embed.readers import blocks
    from w2v_embed.readers.scan import kernels

    lines = (
        write_text(tmp_path / "v.txt", {f"w{k}": [k, -k, 0.5] for k in range(3000)})
        .read_bytes()
        .splitlines(keepends=True)
    )
    lines[100] = lines[5]
    lines[2000] = b"w1999 1 2\n"
    lines[2500] = b"New York 1 2 3\n"
    path = tmp_path / "bad.txt"
    path.write_bytes(b"".join(lines))
    results = []
    for threads, block in ((1, 1 << 20), (4, 128), (3, 1000)):
        monkeypatch.setattr(opened, "hot_loops", lambda size, threads=threads: (kernels, threads))
        monkeypatch.setattr(opened, "HEAD", 300)
        monkeypatch.setattr(blocks, "_BLOCK", block)
        kv = load_vectors(path, on_error="skip")
        results.append((kv.index_to_key, kv.vectors.tobytes(), kv.damage.counts, kv.damage.examples))
    assert results[0] == results[1] == results[2]
    assert results[0][2] == {"too few numbers": 1, "duplicate word": 1}
    assert "New York" in results[0][0]


def test_line_longer_than_a_block(hot, tmp_path):
    rows = {f"w{k}": np.random.default_rng(k).normal(size=900).astype(np.float32).tolist() for k in range(20)}
    kv = load_vectors(write_text(tmp_path / "v.txt", rows))
    assert same_bits(kv.vectors, np.array(list(rows.values()), np.float32))


def test_words_with_spaces_and_odd_blanks(hot, tmp_path):
    lines = ["New York 1 2 3", ". . . 4 5 6", "a\t7 8\t9", "two  1  2  3", "\u3000 1 1 1", "2008 2 2 2", "\x1fx 3 3 3"]
    path = tmp_path / "v.txt"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    kv = load_vectors(path)
    assert kv.index_to_key == ["New York", ". . .", "a", "two", "\u3000", "2008", "\x1fx"]
    assert kv["a"].tolist() == [7, 8, 9]
    em = build_matrix(path, ["New York", "2008", "York"])
    assert em.coverage.missing == ["York"]
    assert em.matrix[0].tolist() == [1, 2, 3]


def test_byte_order_mark_and_blank_lines_are_nothing(hot, tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(b"\xef\xbb\xbf2 2\na 1 2\n\n  \nb 3 4\n\n")
    assert load_vectors(path).index_to_key == ["a", "b"]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "big5"])
def test_other_encodings(hot, tmp_path, encoding):
    path = tmp_path / "v.txt"
    path.write_bytes("2 2\n中文 1 2\n經濟 3 4\n".encode(encoding))
    kv = load_vectors(path, encoding=encoding)
    assert kv.index_to_key == ["中文", "經濟"]
    assert build_matrix(path, {"經濟": 1}, encoding=encoding).matrix[1].tolist() == [3, 4]


def test_binary_in_another_encoding(hot, tmp_path):
    path = tmp_path / "v.bin"
    path.write_bytes(b"1 2\n" + "中国".encode("gb18030") + b" " + np.array([1, 2], "<f4").tobytes())
    assert load_vectors(path, encoding="gb18030").index_to_key == ["中国"]
    assert build_matrix(path, {"中国": 1}, encoding="gb18030").coverage.rate == 1


# name of the case → (bytes, what the message must say, what is left with on_error="skip")
DAMAGED = {
    "few": (
        b"3 3\na 1 2 3\nb 1 2\nc 1 2 3\n",
        r"line 3 \(byte 12\): expected 3 numbers after the word, got 2\. .*cut off",
        "ac",
    ),
    "many": (b"3 3\na 1 2 3\nb 0.5 1 2 3\nc 1 2 3\n", r"line 3 .*expected 3 numbers after the word, got 4", "ac"),
    "number": (b"2 2\na 1 x\nb 1 2\n", r"line 2 .*expected a number, got 'x' \(number 2 of 2\)", "b"),
    "underscore": (b"2 2\na 1 1_0\nb 1 2\n", r"line 2 .*got '1_0'", "b"),
    "nan": (b"2 2\na 1 nan\nb 1 2\n", r"line 2 .*expected finite numbers, got 'nan' \(number 2 of 2\)", "b"),
    "overflow": (b"2 2\na 1 1e39\nb 1 2\n", r"line 2 .*expected finite numbers, got '1e39'", "b"),
    "duplicate": (b"3 2\na 1 2\nb 1 2\na 3 4\n", r"line 4 .*the word 'a' stands here again", "ab"),
    "empty word": (b"2 2\n 1 2\nb 1 2\n", r"line 2 .*expected a word before the numbers, got none", "b"),
    "header count": (b"5 2\na 1 2\nb 1 2\n", r"line 1 .*the header says 5 words, the file holds 2", "ab"),
    "header short": (b"1 2\na 1 2\nb 1 2\n", r"line 1 .*the header says 1 words, the file holds 2", "ab"),
    "header dim": (b"2 5\na 1 2\nb 1 2\n", r"line 1 .*the header says 5 numbers a word, the lines hold 2", "ab"),
    "bad utf-8": (b"2 2\na\xff 1 2\nb 1 2\n", r"line 2 .*expected a word in utf-8, got b'a\\xff'", "b"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_raised_with_its_place_or_skipped_and_reported(hot, tmp_path, caplog, case):
    content, message, left = DAMAGED[case]
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"v\.txt, " + message) as caught:
        load_vectors(path)
    assert 'or pass on_error="skip".' in str(caught.value)

    with caplog.at_level(logging.WARNING, "w2v_embed"):
        kv = load_vectors(path, on_error="skip")
    assert "".join(kv.index_to_key) == left
    assert kv.damage.total == 1
    assert "skipped" in caplog.text


def test_damage_of_binary(hot, tmp_path):
    good = write_binary(tmp_path / "v.bin", {"a": [1, 2], "b": [3, 4]}).read_bytes()
    path = tmp_path / "cut.bin"
    path.write_bytes(good[:-6])
    with pytest.raises(ValueError, match=r"record 2 \(byte 14\): expected a word and 8 bytes, got 6 bytes and the end"):
        load_vectors(path)
    assert load_vectors(path, on_error="skip").index_to_key == ["a"]
    write_binary(path, {"a": [1, float("nan")], "b": [3, 4]})
    with pytest.raises(ValueError, match=r"record 1 .*expected finite numbers, got nan \(number 2 of 2\)"):
        build_matrix(path, {"a": 1})
    assert build_matrix(path, {"a": 1, "b": 2}, on_error="skip").coverage.found == ["b"]


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd", "zip"])
def test_cut_streams_are_told(hot, tmp_path, compression):
    raw = write_text(
        tmp_path / "plain", {f"w{k}": np.random.default_rng(k).random(50) for k in range(400)}
    ).read_bytes()
    packed = PACKERS[compression](raw)
    path = tmp_path / "cut"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(ValueError, match=r"cut(: the|, line \d+ .*: the| is a damaged zip)"):
        load_vectors(path)


STRANGERS = {
    b"": "is empty",
    b"\n\n": "is empty",
    b"<!DOCTYPE html><html>": "a web page. The download failed",
    b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
    b"\x80\x04\x95abc": "trust=True",
    b"\x93NUMPY\x01\x00": "a NumPy array without words",
    b"\xff\xfea\x00": 'encoding="utf-16"',
    b"hello world\nthis is prose\n": "expected lines of a word and numbers",
    b"100 300\n": "only the line 100 300",
}


@pytest.mark.parametrize("content", STRANGERS)
def test_what_holds_no_vectors_is_named(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=STRANGERS[content]) as caught:
        load_vectors(path)
    assert "file" in str(caught.value)


def test_paths_and_arguments_that_cannot_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_vectors(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file"):
        load_vectors(tmp_path)
    path = write_text(tmp_path / "v.txt", ROWS)
    with pytest.raises(ValueError, match=r'format must be "text", .* or None, received .xml'):
        load_vectors(path, format="xml")
    with pytest.raises(ValueError, match='on_error must be "raise" or "skip", received \'ignore\''):
        load_vectors(path, on_error="ignore")
    with pytest.raises(ValueError, match="no encoding 'klingon'"):
        load_vectors(path, encoding="klingon")
    with pytest.raises(TypeError, match=r"progress must be None, True or a callable \(done, total\), received 7"):
        load_vectors(path, progress=7)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", "x")
        archive.writestr("b", "x")
    with pytest.raises(ValueError, match="zip archive of 2 files"):
        load_vectors(tmp_path / "two.zip")


def test_gensims_own_files_need_trust(tmp_path):
    kv = load_vectors(write_text(tmp_path / "v.txt", ROWS))
    kv.save(str(tmp_path / "v.kv"))
    with pytest.raises(ValueError, match="pickle"):
        load_vectors(tmp_path / "v.kv")
    assert load_vectors(tmp_path / "v.kv", trust=True, words=["word3"]).index_to_key == ["word3"]
    with pytest.raises(ValueError, match="cannot be streamed"):
        build_matrix(tmp_path / "v.kv", {"word3": 1})


def test_progress_reports_rise_to_the_end(hot, tmp_path):
    path = write_text(tmp_path / "v.txt", ROWS)
    seen = []
    load_vectors(path, progress=lambda *report: seen.append(report))
    assert seen == sorted(seen)
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("lee_fasttext.bin", "utf-8"),
        ("non_ascii_fasttext.bin", "utf-8"),
        ("cp852_fasttext.bin", "cp852"),
        ("lee_fasttext_new.bin", "utf-8"),
        ("toy-model.bin", "utf-8"),
        ("crime-and-punishment.bin", "utf-8"),
    ],
)
@pytest.mark.parametrize("packed", [None, "gzip", "xz"])
def test_fasttext_as_gensim_reads_it(tmp_path, name, encoding, packed):
    """The first three are of before 2017, without a magic number."""
    path = Path(datapath(name))
    if packed:
        path = tmp_path / name
        path.write_bytes(PACKERS[packed](Path(datapath(name)).read_bytes()))
    ours, gensims = load_vectors(path, encoding=encoding), load_facebook_vectors(datapath(name), encoding=encoding)
    assert ours.index_to_key == gensims.index_to_key
    assert ours.key_to_index == gensims.key_to_index
    assert same_bits(ours.expandos["count"], gensims.expandos["count"])
    for part in ("vectors", "vectors_vocab", "vectors_ngrams"):
        assert same_bits(getattr(ours, part), getattr(gensims, part))
    for word in ("qwxyz", "žluťoučký", "the"):
        assert same_bits(ours.get_vector(word), gensims.get_vector(word))
    some = ours.index_to_key[5:50:7]
    assert same_bits(load_vectors(path, encoding=encoding, words=some).vectors, gensims[some])
    em = build_matrix(path, ["<pad>", *some, "qwxyz"], encoding=encoding, fallbacks=["subwords"])
    assert same_bits(em.matrix[1:], np.array([gensims.get_vector(word) for word in [*some, "qwxyz"]]))
    assert em.coverage.by_fallback == {"exact": len(some), "subwords": 1}


def test_no_text_or_binary_is_taken_for_old_fasttext(tmp_path):
    for head in (b"2 300\na 1 2\n" * 9, b"1 2\na " + bytes(100), "a 1 2\n".encode("utf-32-le") * 9, bytes(200)):
        assert not is_old(head)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("New York 1 2\n", ["New York"]),
        ("New York 1 2\nLos Angeles 3 4\n", ["New York", "Los Angeles"]),
        ("a 1 2\nb c 3 4\nd e 1 2\n2000 1 2\n", ["a", "b c", "d e", "2000"]),
    ],
)
def test_more_phrases_than_words_without_a_header(tmp_path, text, words):
    (tmp_path / "v.txt").write_text(text)
    kv = load_vectors(tmp_path / "v.txt")
    assert (kv.index_to_key, kv.vector_size) == (words, 2)


def test_a_header_counts_where_as_many_lines_say_what_it_says_as_say_anything_else(tmp_path):
    """What is left of a packed file that was cut: two lines of two numbers, and two that lack one."""
    lines = ["12 2", "a 人 2.0 0.72", "人-2.02 +1", "New  #_ -9.0 -8.0", " -8.0 5.7e-20"]
    (tmp_path / "v.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kv = load_vectors(tmp_path / "v.txt", on_error="skip")
    assert (kv.vector_size, kv.index_to_key) == (2, ["a 人", "New  #_"])


@pytest.mark.parametrize("text", ["4 300\nab 1", "4 2\nab", "\ufeff4 2\nab 1"])
def test_one_line_that_does_not_end_behind_a_header_is_a_cut(tmp_path, text):
    (tmp_path / "v.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"v.txt, line 2 .*: expected (2|300) numbers .* The file looks cut off"):
        load_vectors(tmp_path / "v.txt")


def test_odd_words_do_not_make_text_of_a_binary_file(tmp_path):
    records = [("\x1fz", 2.5), ("a", 1.5), ("b", -0.5), ("c", np.frombuffer(b"2\t\xca\xbd", np.float32)[0])]
    packed = b"".join(word.encode() + b" " + np.float32(number).tobytes() + b"\n" for word, number in records)
    (tmp_path / "v.bin").write_bytes(b"4 1\n" + packed)
    assert load_vectors(tmp_path / "v.bin").index_to_key == ["\x1fz", "a", "b", "c"]
