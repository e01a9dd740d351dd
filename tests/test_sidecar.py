"""The index beside a vector file: what is built by it is what is built without; never out of another state of the file."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import same_bits, use_hot, write_binary, write_fasttext, write_text
from tests.fuzz import index as fuzzed
from w2v_embed import build_matrix, load_vectors, stamps
from w2v_embed.cli import main
from w2v_embed.readers import index_file, opened, sidecar
from w2v_embed.readers.scan import plain
from w2v_embed.readers.scan.plain import LENGTH_BITS
from w2v_embed.readers.sidecar import index_path, make_index


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    words = [*(f"w{k}" for k in range(300)), *"中国经济", "THE", "cat", "x y", "é", "\u2028", "a\tb"]
    return {word: rng.normal(size=7).astype(np.float32) for word in words}


WORDS = ["w7", "w0", "w299", "zz", "中国", "the", "x y", "é", "\u2028", "Cat", "w100"]


@pytest.fixture(autouse=True)
def nothing_is_young(monkeypatch):
    """Files are as old as they look: the tests that are about young ones say so."""
    monkeypatch.setattr(stamps, "_YOUNG", -1e9)


@pytest.fixture
def scanned(monkeypatch):
    """Counts the runs that search a file."""
    runs = []
    original = sidecar.Opened.run
    monkeypatch.setattr(sidecar.Opened, "run", lambda self, *a, **k: (runs.append(self), original(self, *a, **k))[1])
    return runs


def both(path, words=WORDS, **options):
    """What is built with the index and without: the same, or the same error."""
    told = []
    for index in (None, False):
        try:
            em = build_matrix(path, words, index=index, **options)
            told.append(
                (em.matrix.tobytes(), em.coverage, em.provenance.tolist(), em.damage[0].counts, em.damage[0].examples)
            )
        except ValueError as error:
            told.append(str(error))
    assert told[0] == told[1]
    return told[0]


def both_loads(path, words, **options):
    """As `both`, of `load_vectors`."""
    told = []
    for index in (None, False):
        try:
            kv = load_vectors(path, words=words, index=index, **options)
            counts = kv.expandos["count"].tolist()
            told.append((kv.vectors.tobytes(), kv.index_to_key, counts, kv.damage.counts, kv.damage.examples))
        except ValueError as error:
            told.append(str(error))
    assert told[0] == told[1]
    return told[0]


@pytest.mark.parametrize("write", [write_text, write_binary, lambda p, r: write_text(p, r, header=False, end=" \r\n")])
def test_the_rows_are_the_same(tmp_path, rows, write, hot, scanned):
    if write is write_binary:
        rows = {word: row for word, row in rows.items() if " " not in word}
    path = write(tmp_path / "v", rows)
    target, count = make_index(path)
    assert (target, count) == (tmp_path / "v.w2v-index", len(rows))
    scanned.clear()
    em = build_matrix(path, WORDS)
    assert not scanned
    whole = build_matrix(path, WORDS, index=False)
    assert scanned
    assert same_bits(em.matrix, whole.matrix)
    for options in ({}, {"fallbacks": ["lower", "upper", "characters", "parts"], "suggest": True}, {"oov": "normal"}):
        both(path, **options)
    both(path, list(rows))


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_vectors_are_loaded_by_it(tmp_path, rows, write, hot, scanned):
    """In the order of the file, whatever the order of the words; also where a limit comes first."""
    rows = {word: row for word, row in rows.items() if " " not in word}
    path = write(tmp_path / "v", rows)
    make_index(path)
    scanned.clear()
    kv = load_vectors(path, words=["w299", "zz", "w3", "qq"])
    assert not scanned
    assert kv.index_to_key == ["w3", "w299"]
    assert same_bits(kv.vectors, np.array([rows["w3"], rows["w299"]]))
    for words in (WORDS, list(rows), ["w7"], ["zz"], list(rows)[::-3]):
        for limit in (None, 1, 3, 1000):
            both_loads(path, words, limit=limit)


def test_when_vectors_are_loaded_by_it(tmp_path, rows, scanned, caplog):
    path = write_text(tmp_path / "v.txt", rows)
    words = ["w299", "w3"]
    expected = load_vectors(path, words=words)
    load_vectors(path, index=True)
    assert os.listdir(tmp_path) == ["v.txt"]  # all of it is read, and there is nothing to look up
    assert same_bits(load_vectors(path, words=words, index=True).vectors, expected.vectors)
    assert sorted(os.listdir(tmp_path)) == ["v.txt", "v.txt.w2v-index"]
    scanned.clear()
    assert same_bits(load_vectors(path, words=words).vectors, expected.vectors)
    assert not scanned
    load_vectors(path, words=words, index=False)
    load_vectors(path)
    assert len(scanned) == 2
    change(path, "a number")
    both_loads(path, ["w7", "w3"])
    assert len(scanned) == 4
    assert f"the index {path}.w2v-index is not used: it is of another state of the file" in caplog.text
    with pytest.raises(TypeError, match="index must be None, True, False or a folder for the indexes, received 3"):
        load_vectors(path, index=3)
    folder = tmp_path / "kept"
    load_vectors(path, words=words, index=folder)
    assert len(os.listdir(folder)) == 1


def test_several_sources_and_words_that_are_compared(tmp_path, rows):
    one = write_text(tmp_path / "one.txt", rows)
    other = write_text(tmp_path / "other.txt", {**{w: 2 * r for w, r in list(rows.items())[50:]}, "zz": [1.0] * 7})
    for path in (one, other):
        make_index(path)
    for options in ({}, {"combine": "concat"}, {"combine": "average"}, {"align": True}):
        told = [build_matrix([one, other], WORDS, index=index, **options) for index in (None, False)]
        assert same_bits(told[0].matrix, told[1].matrix)
        assert told[0].steps == told[1].steps


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_damage_is_told_as_without(tmp_path, rows, on_error):
    """A word that stands there twice, before and behind the last one that is found; rows that are not finite."""
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()]
    lines[60:60] = [lines[7], lines[200]]
    lines[150] = "w100 1 2 nan 4 5 6 7\n"
    lines.append(lines[0])
    path = tmp_path / "v.txt"
    path.write_text("".join(lines), encoding="utf-8")
    make_index(path)
    for words in (WORDS, ["w7", "w8"], ["w7", "w250"], ["w100", "w0"], ["w0"], ["w200", "w5"], ["zz"], ["zz", "w0"]):
        both(path, words, on_error=on_error)
        both_loads(path, words, on_error=on_error)


def test_words_of_one_key_cost_a_look(tmp_path, rows, monkeypatch, scanned):
    monkeypatch.setattr(plain, "keys_of", lambda buf, begins, ends: (np.asarray(ends) - begins) % 3)
    use_hot("plain", monkeypatch)
    path = write_text(tmp_path / "v.txt", rows)
    make_index(path)
    scanned.clear()
    both(path)
    both(path, ["w7", "zz"])
    both(path, ["w7"])
    assert len(scanned) == 3  # those without


def change(path, how):
    data = bytearray(path.read_bytes())
    times = os.stat(path)
    if how == "a number":
        data[data.index(b"w7 ") + 7] ^= 1  # another digit
    elif how == "a word":
        data[data.index(b"w7 ") + 1] = ord("8")
    elif how == "cut":
        del data[-40:]
    elif how == "appended":
        data += b"zz 1 2 3 4 5 6 7\n"
    elif how == "two words swapped":
        data = data.replace(b"w10 ", b"w?? ").replace(b"w11 ", b"w10 ").replace(b"w?? ", b"w11 ")
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("how", ["a number", "a word", "cut", "appended", "two words swapped"])
@pytest.mark.parametrize("young", [False, True])
def test_another_state_of_the_file_is_not_served(tmp_path, rows, how, young, scanned, caplog, monkeypatch):
    """Also where its times were set back, and where it was written to just before."""
    if young:
        monkeypatch.setattr(stamps, "_YOUNG", 2.0)
    path = write_text(tmp_path / "v.txt", {w: [*r[:6], 0.25] for w, r in rows.items()}, header=False)
    make_index(path)
    change(path, how)
    scanned.clear()
    em = build_matrix(path, WORDS, on_error="skip")
    assert scanned
    assert "the index " in caplog.text
    assert f"Make it anew: w2v-embed index {path}" in caplog.text
    assert same_bits(em.matrix, build_matrix(path, WORDS, index=False, on_error="skip").matrix)
    if how == "cut":
        return
    scanned.clear()
    em = build_matrix(path, WORDS, index=True)
    assert len(scanned) == 1  # which made it
    scanned.clear()
    assert same_bits(build_matrix(path, WORDS).matrix, em.matrix)
    assert not scanned


def test_a_file_that_took_its_place(tmp_path, rows, scanned):
    """And its own index, when it is back."""
    path, other = write_text(tmp_path / "v.txt", rows), tmp_path / "other.txt"
    write_text(other, {word: -row for word, row in rows.items()})
    os.truncate(other, other.stat().st_size)
    make_index(path)
    os.rename(path, tmp_path / "away")
    os.rename(other, path)
    both(path)
    os.rename(tmp_path / "away", path)
    scanned.clear()
    build_matrix(path, WORDS)
    assert not scanned


def test_a_copy_keeps_its_index(tmp_path, rows, scanned, monkeypatch):
    """Its content is held against the SHA-256 once; from then on its times tell all."""
    path = write_text(tmp_path / "v.txt", rows)
    make_index(path)
    (tmp_path / "copy").mkdir()
    for file in (path, index_path(path)):
        shutil.copy(file, tmp_path / "copy")
    hashed = []
    original = sidecar._sha256
    monkeypatch.setattr(sidecar, "_sha256", lambda opened: (hashed.append(1), original(opened))[1])
    scanned.clear()
    for _ in range(2):
        build_matrix(tmp_path / "copy" / "v.txt", WORDS)
    assert (len(hashed), scanned) == (1, [])


def test_a_file_that_is_changed_while_it_is_read(tmp_path, rows, monkeypatch):
    path = write_text(tmp_path / "v.txt", rows)
    make_index(path)
    original = opened.Opened.go_back

    def late(*arguments):
        change(path, "a number")
        original(*arguments)

    monkeypatch.setattr(opened.Opened, "go_back", late)
    with pytest.raises(ValueError, match=r"v.txt has changed while it was read by its index. Wait until it is written"):
        build_matrix(path, WORDS)
    monkeypatch.setattr(opened.Opened, "go_back", lambda *_: (change(path, "cut"), original(*_)))
    make_index(path)
    with pytest.raises(ValueError, match=r"v.txt has (changed|become shorter) while it was read"):
        build_matrix(path, list(rows))
    monkeypatch.setattr(sidecar, "_identity", lambda opened: time.perf_counter_ns())
    with pytest.raises(ValueError, match=r"v.txt has changed while it was read. Wait"):
        make_index(write_text(path, rows))


def test_a_change_that_no_time_tells_of(tmp_path, rows, monkeypatch):
    """As through a memory map: a word that is looked for in its place, and is not there, is no word that is missing."""
    path = write_text(tmp_path / "v.txt", rows)
    make_index(path)
    monkeypatch.setattr(sidecar, "_identity", lambda opened: [1])
    make_index(path)
    change(path, "a word")
    with pytest.raises(ValueError, match="has changed while it was read by its index"):
        build_matrix(path, WORDS)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "the file looks cut off"),
        (lambda data: data[:5], "the file looks cut off"),
        (lambda data: b"", "the file looks cut off"),
        (lambda data: data + b"\0" * 8, "it holds more than it says"),
        (lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], "its checksum is wrong"),
        (
            lambda data: data.replace(b"index 1", b"index 9"),
            "expected the format 'w2v_embed index 1', got 'w2v_embed index 9'",
        ),
        (lambda data: data.replace(b"sha256", b"sha257"), "its checksum is wrong"),
    ],
)
def test_a_damaged_index_is_told_and_not_used(tmp_path, rows, damage, words, caplog, scanned):
    path = write_text(tmp_path / "v.txt", rows)
    target, _ = make_index(path)
    target.write_bytes(damage(target.read_bytes()))
    scanned.clear()
    both(path)
    assert len(scanned) == 2
    assert words in caplog.text
    scanned.clear()
    build_matrix(path, WORDS, index=True)
    build_matrix(path, WORDS)
    assert len(scanned) == 1


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lambda i: i._replace(spans=i.spans[::-1].copy()), "its words do not stand in the order of the file"),
        (lambda i: i._replace(keys=i.keys[:-1]), "its words do not stand in the order of the file"),
        (lambda i: i._replace(spans=i.spans + (1 << 50)), "it names places that are not in the file"),
        (lambda i: i._replace(spans=i.spans - i.spans[0]), "it names places that are not in the file"),
        (lambda i: i._replace(blocks=i.blocks - 1), "its blocks do not stand in the order of the file"),
        (lambda i: i._replace(blocks=i.blocks[:0]), "its words do not stand in the order of the file"),
    ],
)
def test_an_index_that_lies(tmp_path, rows, lie, words, caplog):
    """Of the right file, with the right checksum."""
    path = write_text(tmp_path / "v.txt", rows)
    target, _ = make_index(path)
    metadata, index = index_file.read_index(target)
    identity, about = json.loads(metadata["identity"]), json.loads(metadata["layout"])
    index_file.write_index(target, lie(index), about, metadata["sha256"], identity)
    both(path)
    assert words in caplog.text


def test_an_index_of_shifted_places_gives_no_row(tmp_path, rows):
    path = write_text(tmp_path / "v.txt", rows)
    target, _ = make_index(path)
    metadata, index = index_file.read_index(target)
    identity, about = json.loads(metadata["identity"]), json.loads(metadata["layout"])
    index_file.write_index(
        target, index._replace(spans=index.spans + (4 << LENGTH_BITS) - 4), about, metadata["sha256"], identity
    )
    with pytest.raises(ValueError, match="v.txt, line 2 .*: expected 7 numbers after the word, got 6"):
        build_matrix(path, WORDS)
    with pytest.raises(ValueError, match="v.txt has changed while it was read by its index"):
        build_matrix(path, WORDS, on_error="skip")


def test_what_has_no_index(tmp_path, rows, caplog, data):
    rows = {word: row for word, row in rows.items() if " " not in word}
    gbk = tmp_path / "gbk.txt"
    gbk.write_bytes(
        write_text(tmp_path / "u.txt", {w: r for w, r in rows.items() if w not in "é\u2028"})
        .read_bytes()
        .decode()
        .encode("gb18030")
    )
    with pytest.raises(
        ValueError, match="can have no index, for it is packed with bzip2: rows can be fetched only where"
    ):
        make_index(data / "vectors.txt.bz2")
    fasttext = write_fasttext(tmp_path / "f.bin", ["a", "b"], np.ones((2, 3)), np.ones((5, 3)))
    with pytest.raises(
        ValueError, match="f.bin can have no index, for it is fasttext, whose rows are found by its own list"
    ):
        make_index(fasttext)
    em = build_matrix(gbk, ["w7", "中"], encoding="gb18030", index=True)
    assert em.coverage.found == ["w7", "中"]
    assert "gbk.txt has no index, for it is text in another encoding than UTF-8. Convert it" in caplog.text
    broken = tmp_path / "broken.txt"
    broken.write_text("a 1 2 3\nb 1 2\nc 1 2 3\n")
    with pytest.raises(ValueError, match="broken.txt, line 2 "):
        make_index(broken)
    assert build_matrix(broken, ["a", "c"], index=True, on_error="skip").coverage.found == ["a", "c"]
    assert "no index of " in caplog.text
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(sidecar.SUFFIX)] == []


def test_where_no_index_can_be_written(tmp_path, rows, monkeypatch, caplog):
    path = write_text(tmp_path / "v.txt", rows)
    monkeypatch.setattr(
        sidecar, "check_writable", lambda path: (_ for _ in ()).throw(PermissionError(f"cannot write {path}"))
    )
    assert build_matrix(path, WORDS, index=True).coverage.found
    assert f"no index of {path} could be made: cannot write {path}.w2v-index" in caplog.text


def test_the_command(tmp_path, rows, capsys, scanned):
    path = write_text(tmp_path / "v.txt", rows)
    (tmp_path / "words.txt").write_text("\n".join(["", "w7", "zz"]))
    assert main(["index", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}.w2v-index: {len(rows)} words, 0.0 MB, made in ")
    scanned.clear()
    assert main(["build", str(path), str(tmp_path / "words.txt"), "-o", str(tmp_path / "m.npz"), "-q"]) == 0
    assert not scanned
    os.remove(index_path(path))
    assert main(["build", str(path), str(tmp_path / "words.txt"), "-o", str(tmp_path / "m.npz"), "-q", "--index"]) == 0
    assert index_path(path).exists()
    assert main(["index", str(tmp_path / "words.txt")]) == 1
    assert "holds no word vectors" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["index", str(path), "--format", "npz"])
    assert "invalid choice: 'npz' (choose from text, binary)" in capsys.readouterr().err


_LINES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "中", "x y", "A", "", " a", "zz"]),
        st.sampled_from(["1 2", "3 -4", "nan 1", "1", "1 2 3", "1e9 .5"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(_LINES, st.booleans(), st.integers(0, 255), st.integers(0, 40), st.integers(0, 255))
def test_any_file_and_any_change(tmp_path_factory, lines, header, switches, at, value):
    """The fuzz target, on files that look like some."""
    folder = tmp_path_factory.mktemp("any")
    text = "".join(f"{word} {numbers}\n" for word, numbers in lines)
    data = f"{len(lines)} 2\n{text}" if header else text
    try:
        fuzzed.check(bytes([switches, at, value]) + data.encode(), str(folder / "v"))
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "case", sorted((Path(__file__).parent / "fuzz" / "corpus_index").glob("*")), ids=lambda path: path.name
)
def test_what_the_fuzzer_tries(case, tmp_path):
    fuzzed.check(case.read_bytes(), str(tmp_path / "v"))
