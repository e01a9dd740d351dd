"""EmbeddingMatrix ⇄ file: nothing lost, no half file."""

import json
import os
import resource
import signal
import socket
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, contents, inspect, load_vectors, output, store
from w2v_embed.matrix.fallbacks import Derivation
from w2v_embed.readers.conversion import convert

EARLIER = Path(__file__).parent / "data" / "artifacts"


@pytest.fixture
def em(data):
    index = {"中国": 1, "经济": 2, "qwxyz": 3, "\u2028": 4, 'a"b\\': 6}
    return build_matrix(data / "vectors.bin", index, oov="normal")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_round_trip(em, tmp_path, suffix, dtype):
    em.matrix = em.matrix.astype(dtype)
    em.save(tmp_path / f"m{suffix}")
    back = EmbeddingMatrix.load(tmp_path / f"m{suffix}")
    assert same_bits(back.matrix, em.matrix)
    assert back.word_index == em.word_index
    assert back.padding_row == em.padding_row == 0
    assert back.provenance.tolist() == em.provenance.tolist()
    assert back.coverage == em.coverage
    assert os.listdir(tmp_path) == [f"m{suffix}"]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_steps_come_back(em, tmp_path, suffix):
    """What was done to the rows; a file of rows to which nothing was done says nothing of it."""
    path = tmp_path / f"m{suffix}"
    steps = [{"step": "pca", "dim": np.float64(2), "kept": (1, 0.5)}, {"step": "\ud800 中", "of": {"a": None}}]
    done = EmbeddingMatrix(em.matrix, em.word_index, origins=em.origins, sources=em.sources, padding_row=0, steps=steps)
    steps[1]["of"]["a"] = 1  # they are the matrix's own
    told = ({"step": "pca", "dim": 2.0, "kept": [1, 0.5]}, {"step": "\ud800 中", "of": {"a": None}})
    assert (em.steps, done.steps) == ((), told)
    done.save(path)
    assert EmbeddingMatrix.load(path).steps == told
    assert inspect(path)["steps"] == list(told)
    em.save(path)
    assert EmbeddingMatrix.load(path).steps == ()
    assert (b"steps" in path.read_bytes(), inspect(path)["steps"]) == (False, [])


@pytest.mark.parametrize(
    "step", ["center", {}, {"step": 3}, {"step": "x", "of": {1, 2}}, {"step": "x", "of": np.nan}, [1]]
)
def test_steps_that_are_none(step):
    with pytest.raises(ValueError, match='steps must be dicts of JSON values with a name under "step", received '):
        EmbeddingMatrix(np.eye(2), {"a": 0, "b": 1}, steps=[step])


def test_npy_is_the_bare_matrix(em, tmp_path):
    em.save(tmp_path / "m.npy")
    assert same_bits(np.load(tmp_path / "m.npy"), em.matrix)
    back = EmbeddingMatrix.load(tmp_path / "m.npy")
    assert (back.word_index, back.padding_row) == ({}, 0)


def test_other_programs_can_read_the_files(em, tmp_path):
    em.save(str(tmp_path / "m.safetensors"))
    with safe_open(str(tmp_path / "m.safetensors"), "numpy") as file:
        assert same_bits(file.get_tensor("matrix"), em.matrix)
        words = bytes(file.get_tensor("words")).split(b"\xff")[:-1]
        assert dict(zip((word.decode() for word in words), file.get_tensor("ids").tolist())) == em.word_index
        assert same_bits(file.get_tensor("origins"), em.origins)
    em.save(tmp_path / "m.npz")
    assert same_bits(np.load(tmp_path / "m.npz")["matrix"], em.matrix)


def alternate(folder, suffix, rows=3):
    """Two artifacts of the same words in opposite order: (path of the first, of the second, what the first's words hold)."""
    words = [f"w{k}" for k in range(rows)]
    matrix = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) + 1
    for name, order in ((f"a{suffix}", 1), (f"b{suffix}", -1)):
        index = {word: k for k, word in enumerate(words[::order])}
        EmbeddingMatrix(matrix * order, index, origins=[3] * rows, sources=[("x", None)]).save(folder / name)
    return folder / f"a{suffix}", folder / f"b{suffix}", dict(zip(words, matrix.tolist()))


def renaming(monkeypatch, other, path):
    """From now on the last part of the metadata that is read is followed by another file taking the place of this one."""

    def loads(text):
        value = json.loads(text)
        if value == [] and other.exists():  # the damage
            other.replace(path)
        return value

    monkeypatch.setattr(contents, "json", SimpleNamespace(loads=loads, dumps=json.dumps))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("way", ["load", "load_vectors", "build_matrix", "inspect", "convert"])
def test_what_is_read_is_of_one_file(tmp_path, monkeypatch, suffix, way):
    """Though another takes its place between its header and its rows."""
    path, other, expected = alternate(tmp_path, suffix)
    renaming(monkeypatch, other, path)
    if way == "load":
        em = EmbeddingMatrix.load(path)
        got = {word: em.matrix[index].tolist() for word, index in em.word_index.items()}
    elif way == "load_vectors":
        kv = load_vectors(path)
        got = {word: kv[word].tolist() for word in kv.index_to_key}
    elif way == "build_matrix":
        em = build_matrix(path, list(expected))
        got = {word: em.matrix[index].tolist() for word, index in em.word_index.items()}
    elif way == "inspect":
        facts = inspect(path)
        assert facts["first_words"] == list(expected)
        return
    else:
        convert(path, tmp_path / "out.txt")
        kv = load_vectors(tmp_path / "out.txt")
        got = {word: kv[word].tolist() for word in kv.index_to_key}
    assert got == expected
    assert not other.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_many_rows_are_of_one_file(tmp_path, suffix):
    """Though another takes its place when some of them were read."""
    path, other, expected = alternate(tmp_path, suffix, rows=12_000)
    done = []
    kv = load_vectors(path, progress=lambda *told: done.append(done or other.replace(path)))
    assert {word: kv[word].tolist() for word in kv.index_to_key} == expected
    assert len(done) > 1


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_no_flipped_bit_is_read(em, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    em.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for bit in rng.integers(0, 8 * len(whole), 400).tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        for read in (EmbeddingMatrix.load, load_vectors):
            try:
                back = read(path)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error)  # noqa: PT017 (some flips hit what is not read)
            else:
                if read is load_vectors:
                    assert all(same_bits(back[word], em.matrix[em.word_index[word]]) for word in back.index_to_key)
                else:
                    assert same_bits(back.matrix, em.matrix)
                    assert (back.word_index, back.coverage) == (em.word_index, em.coverage)
    assert refused > 600


def as_earlier(em, **more):
    """The metadata of 0.1.0, in which all is text."""
    parts = {
        "word_index": em.word_index,
        "padding_row": em.padding_row,
        "sources": em.sources,
        "origins": em.origins.tolist(),
        "derived": {},
        "suggestions": {},
        "damage": [],
    }
    return {"format": "w2v_embed 1", **{name: json.dumps(part) for name, part in {**parts, **more}.items()}}


def test_the_first_files_have_no_checksum(em, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(store.safetensors_head(em.shape, em.matrix.dtype, as_earlier(em)) + em.matrix.tobytes())
    back = EmbeddingMatrix.load(path)
    assert same_bits(back.matrix, em.matrix)
    assert (back.word_index, back.coverage) == (em.word_index, em.coverage)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_files_of_0_1_0_hold_what_they_held(suffix, tmp_path):
    """Written by 0.1.0, with a fallback, suggestions, damage, a line break and half a surrogate pair in words."""
    path, facts = EARLIER / f"earlier{suffix}", json.loads((EARLIER / "earlier.json").read_text())
    em = EmbeddingMatrix.load(path)
    for _ in range(2):  # as it is, then saved anew
        assert same_bits(em.matrix, np.array(facts["matrix"], np.float32))
        assert list(em.word_index.items()) == list(facts["word_index"].items())
        assert (em.origins.tolist(), em.padding_row) == (facts["origins"], facts["padding_row"])
        assert [list(source) for source in em.sources] == facts["sources"]
        assert {word: [how, list(words)] for word, (how, words) in em.derived.items()} == facts["derived"]
        assert em.suggestions == facts["suggestions"]
        assert [vars(report) for report in em.damage] == facts["damage"]
        assert em.coverage.unused == facts["unused"]
        assert load_vectors(path).index_to_key == ["the", "中国"]
        path = tmp_path / f"again{suffix}"
        em.save(path)
        em = EmbeddingMatrix.load(path)
    whole = (EARLIER / f"earlier{suffix}").read_bytes()
    at = whole.index(b"york")
    path.write_bytes(whole[:at] + b"Y" + whole[at + 1 :])
    with pytest.raises(ValueError, match=r"again.* is not a whole .*(its checksum says|Bad CRC-32)"):
        EmbeddingMatrix.load(path)


# ── tensors beside the matrix ──


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize(
    "words",
    [
        [],
        [""],
        ["", "a"],
        ["a\nb", "\n", "\n\n", ""],
        ["\ud800", "\udc00", "\ud83d\ude00", "\U0001f600"],
        ["\0", "\xff", "中", " ", "\u2028"],
        [chr(number) for number in range(256)],
        [f"w{k}" for k in range(13)],
    ],
    ids=repr,
)
def test_any_words_come_back(words, suffix, tmp_path):
    """In their order, with ids in any order and holes between them, some lent by others, some suggested."""
    ids = [2 * k for k in reversed(range(len(words)))]
    derived = {word: Derivation("lower", tuple(words[:k])) for k, word in enumerate(words[::2])}
    suggestions = {"upper": words[1::2], "title": words[:1], "parts": []}
    rows = 2 * len(words) + 1
    em = EmbeddingMatrix(
        np.ones((rows, 3), np.float32),
        dict(zip(words, ids)),
        origins=[3] * rows,
        sources=["x"],
        derived=derived,
        suggestions=suggestions,
    )
    path = tmp_path / f"m{suffix}"
    em.save(path)
    back = EmbeddingMatrix.load(path)
    assert list(back.word_index.items()) == list(zip(words, ids))
    assert list(back.derived.items()) == list(derived.items())
    assert list(back.suggestions.items()) == list(suggestions.items())
    if suffix == ".safetensors":
        assert path.stat().st_size % 8 == rows * 12 % 8  # where the matrix begins, 8 divides


def parts_of(**changes):
    """The metadata and the tensors of a small artifact, some of them changed, and its matrix of 5 × 2."""
    index = {"a": 1, "b": 2, "c": 4}
    derived, suggestions = {"b": ("lower", ("x", "yz")), "c": ("upper", ())}, {"title": ["a"], "parts": ["a", "b"]}
    told = contents.pack(index, [0, 3, 4, 0, 5], [("v", None)] * 3, None, derived=derived, suggestions=suggestions)
    metadata, tensors = told
    for name, value in changes.items():
        if name in tensors or isinstance(value, np.ndarray):
            tensors[name] = value
        elif value is None:
            metadata.pop(name, None)
            tensors.pop(name, None)
        else:
            metadata[name] = value if isinstance(value, str) else json.dumps(value)
    return metadata, tensors, np.arange(10, dtype=np.float32).reshape(5, 2)


def write_parts(path, metadata, tensors, matrix):
    """An artifact with the right checksum, whatever it says."""
    tensors = {name: np.asarray(tensor) for name, tensor in tensors.items() if tensor is not None}
    crc = contents.crc32(matrix)
    metadata["checksum"] = contents.checksum_of(metadata, matrix.shape, matrix.dtype, crc, tensors)
    if path.suffix == ".npz":
        np.savez(path, matrix=matrix, metadata=np.frombuffer(json.dumps(metadata).encode(), np.uint8), **tensors)
    else:
        path.write_bytes(store.safetensors_head(matrix.shape, matrix.dtype, metadata, tensors) + matrix.tobytes())


def octets(data):
    return np.frombuffer(data, np.uint8)


LIES = [
    ({"ids": np.array([1, 2], "<i8")}, "its tensor words has more behind its 2 words"),
    ({"ids": np.array([1, 2, 5], "<i8")}, "its 3 ids and 5 origins are not those of 5 rows"),
    ({"ids": np.array([1, 2, -1], "<i8")}, "its 3 ids and 5 origins are not those of 5 rows"),
    ({"ids": np.array([1, 2, 2], "<i8")}, "its derived rows are not rows of words|both have the id 2"),
    ({"ids": np.array([1, 2, 1 << 62], "<i8")}, "its 3 ids and 5 origins are not those of 5 rows"),
    ({"ids": np.arange(6, dtype="<i8")}, "its 6 ids and 5 origins are not those of 5 rows"),
    ({"ids": np.array([1, 2, 4], "<i4")}, r"its tensor ids is int32 of shape \(3,\)"),
    ({"ids": np.array([[1, 2, 4]], "<i8")}, r"its tensor ids is int64 of shape \(1, 3\)"),
    ({"ids": np.array(3, "<i8")}, r"its tensor ids is int64 of shape \(\)"),
    ({"origins": np.array([0, 3, 4, 0], "<i4")}, "its 3 ids and 4 origins are not those of 5 rows"),
    ({"origins": np.array([0, 3, 4, 0, 9], "<i4")}, "origins must be from 0 to 5, with 3 sources, received 9 at 4"),
    ({"origins": np.array([0, 0, 4, 0, 5], "<i4")}, "the row 1 of the word 'a' is marked as unused"),
    ({"origins": np.array([0, 3, 2, 0, 5], "<i4")}, "its derived rows are not rows of words from a source"),
    ({"words": octets(b"a\xffb\xff")}, "its tensor words has 2 words; expected 3"),
    ({"words": octets(b"")}, "its tensor words has 0 words; expected 3"),
    ({"words": octets(b"\xff" * 1000)}, "its tensor words has 1,000 words; expected 3"),
    ({"words": octets(b"a\xffb\xffc\xffd")}, "its tensor words has more behind its 3 words"),
    ({"words": octets(b"a\xffb\xffc\xffd\xff")}, "its tensor words has more behind its 3 words"),
    ({"words": octets(b"a\xffb\xffa\xff")}, "1 of its 3 words stand there twice"),
    ({"words": octets(b"a\xff\xc3\xffc\xff")}, "its tensor words is no UTF-8 .invalid continuation byte at byte 2"),
    ({"words": octets(b"a\n\xff\xc3\xffc\xff")}, "its tensor words is no UTF-8"),
    ({"words": octets(b"a\xff\xc0\x80\xffc\xff")}, "its tensor words is no UTF-8"),
    ({"words": np.zeros(6, "i1")}, "its tensor words is int8"),
    ({"derived": np.zeros((0, 2), "<i8")}, r"its tensor derived has the shape \(0, 2\)"),
    ({"derived": np.zeros(3, "<i8")}, "its tensor derived is int64"),
    (
        {"derived": np.array([[2, 0, 2], [2, 1, 0]], "<i8")},
        "its derived rows are not rows of words from a source, each",
    ),
    (
        {"derived": np.array([[2, 0, 2], [3, 1, 0]], "<i8")},
        "its derived rows are not rows of words from a source, each",
    ),
    (
        {"derived": np.array([[2, 0, 2], [-1, 1, 0]], "<i8")},
        "its derived rows are not rows of words from a source, each",
    ),
    ({"derived": np.array([[2, 0, 2], [4, 2, 0]], "<i8")}, "it names something else than a fallback"),
    ({"derived": np.array([[2, 0, 2], [4, -1, 0]], "<i8")}, "it names something else than a fallback"),
    ({"derived": np.array([[2, 0, 3], [4, 1, -1]], "<i8")}, "its counts of lenders go from -1 to 3"),
    ({"derived": np.array([[2, 0, 1 << 62], [4, 1, 1 << 62]], "<i8")}, "its counts of lenders go from"),
    ({"derived": np.array([[2, 0, 1], [4, 1, 0]], "<i8")}, "its tensor lenders has more behind its 1 words"),
    ({"derived": np.array([[2, 0, 30], [4, 1, 0]], "<i8")}, r"its tensor lenders has \d words; expected 30"),
    ({"lenders": octets(b"x\xff\xed\xa0\xff")}, "its tensor lenders is no UTF-8"),
    ({"suggested": np.array([1, 1, 3], "<i8")}, "its suggestions are not rows of its words"),
    ({"suggested": np.array([1, 1, -1], "<i8")}, "its suggestions are not rows of its words"),
    ({"suggested": np.array([1, 1], "<i8")}, "its suggestions are not rows of its words"),
    ({"suggestions": {"title": 1, "parts": -1}}, "its counts of suggestions go from -1 to 1"),
    ({"suggestions": {"title": 1.5, "parts": 1.5}}, "its counts of suggestions are no whole numbers"),
    ({"suggestions": {"title": True, "parts": 2}}, "its counts of suggestions are no whole numbers"),
    ({"suggestions": {"title": 10**30, "parts": 2}}, "not a whole"),
    ({"suggestions": {"x": 1, "parts": 2}}, "suggestions must be out of .* received 'x'"),
    ({"suggestions": [1, 2]}, "not a whole"),
    ({"fallbacks": ["lower"]}, "it names something else than a fallback"),
    ({"fallbacks": ["lower", 3]}, "it names something else than a fallback"),
    ({"fallbacks": 3}, "it names something else than a fallback"),
    ({"fallbacks": None}, "it has no 'fallbacks'"),
    ({"steps": [{}]}, "steps must be dicts of JSON values"),
    ({"steps": '[{"step": "x", "of": NaN}]'}, "steps must be dicts of JSON values"),
    ({"steps": "[" * 10_000}, "not a whole"),
    ({"steps": 3}, "not a whole"),
    ({"suggested": None}, "its tensors are matrix, .*, and its format is 'w2v_embed 2'"),
    ({"format": "w2v_embed 1"}, "its tensors are matrix, .*, and its format is 'w2v_embed 1'"),
    ({"format": "w2v_embed 3"}, "expected the format 'w2v_embed 2', got 'w2v_embed 3'"),
]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"words": octets(b"a\xffb\xffa\xff")}, "1 of its 3 words stand there twice"),
        ({"ids": np.array([1, 2, 2], "<i8")}, "the words 'b' and 'c' both have the id 2"),
    ],
)
def test_words_that_no_dict_is_made_of(changes, told, suffix, tmp_path):
    """A source of which few words are wanted: neither words nor ids may stand there twice for that."""
    nothing = {"derived": np.zeros((0, 3), "<i8"), "lenders": octets(b""), "suggested": np.zeros(0, "<i8")}
    nothing |= {"origins": np.array([0, 3, 4, 0, 5], "<i4"), "suggestions": {}, "fallbacks": []}
    path = tmp_path / f"m{suffix}"
    write_parts(path, *parts_of(**nothing))
    assert build_matrix(path, ["<pad>", "c", "d"]).matrix[1].tolist() == [8, 9]
    write_parts(path, *parts_of(**nothing, **changes))
    with pytest.raises(ValueError, match=told):
        build_matrix(path, ["<pad>", "c", "d"])


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_two_words_of_one_row(suffix, tmp_path):
    """Beside words that were lent rows, and suggestions, for which a dict of all words is made."""
    lies = {"ids": np.array([2, 2, 4], "<i8"), "suggested": np.array([2, 2, 2], "<i8")}
    path = tmp_path / f"m{suffix}"
    write_parts(path, *parts_of(**lies, origins=np.array([0, 0, 4, 0, 5], "<i4")))
    for read in (EmbeddingMatrix.load, load_vectors):
        with pytest.raises(ValueError, match="the words 'a' and 'b' both have the id 2"):
            read(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_few_of_many_odd_words(suffix, tmp_path, hot):
    """Those that are asked for, found by their keys, are those that a dict finds; with line breaks and halves of pairs."""
    rng = np.random.default_rng(0)
    parts = ["", "a", "b", "\n", "中", "\ud800", "\udc00", "\0", "\xff", " "]
    words = list(dict.fromkeys("".join(rng.choice(parts, rng.integers(5))) for _ in range(3000)))
    words.remove("")
    em = EmbeddingMatrix(rng.normal(size=(len(words), 3)).astype(np.float32), {w: k for k, w in enumerate(words)})
    em.save(tmp_path / f"m{suffix}")
    wanted = ["<pad>", *words[::7], "not there", *(word + "x" for word in words[::11])]
    got, expected = (build_matrix(source, wanted) for source in (tmp_path / f"m{suffix}", em))
    assert same_bits(got.matrix, expected.matrix)
    assert got.coverage.found == expected.coverage.found == words[::7]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize(("changes", "told"), LIES, ids=[f"{name}{k}" for k, ((name,), _) in enumerate(LIES)])
def test_tensors_that_lie_are_refused(changes, told, suffix, tmp_path):
    """Though their checksum is right: as another program could write them."""
    path = tmp_path / f"m{suffix}"
    write_parts(path, *parts_of())
    assert EmbeddingMatrix.load(path).derived == {"b": ("lower", ("x", "yz")), "c": ("upper", ())}
    write_parts(path, *parts_of(**changes))
    for read in (EmbeddingMatrix.load, load_vectors):
        with pytest.raises(ValueError, match=told) as caught:
            read(path)
        assert f"{path} is not a whole" in str(caught.value)


def test_tensors_lie_one_behind_the_other(tmp_path):
    """With a hole, in another order of offsets, or over one another, what covers them would not be what is read."""
    path = tmp_path / "m.safetensors"
    metadata, tensors, matrix = parts_of()
    write_parts(path, metadata, tensors, matrix)
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    begin, end = header["words"]["data_offsets"]
    for offsets, told in [
        ([begin + 1, end + 1], "lie on the same bytes"),
        ([begin - 8, end - 8], "lie on the same bytes"),
        ([end, end + end - begin], "lie on the same bytes|ends at byte"),
        ([begin, end + 1], "spans bytes"),
        ([begin, 1 << 40], "spans bytes"),
    ]:
        header["words"]["data_offsets"] = offsets
        packed = json.dumps(header).encode()
        path.write_bytes(len(packed).to_bytes(8, "little") + packed + raw[8 + size :])
        with pytest.raises(ValueError, match=told):
            EmbeddingMatrix.load(path)
    header["words"]["data_offsets"] = [begin, end]
    for tensor in header.values():
        if "data_offsets" in tensor and tensor["data_offsets"][0] >= end:
            tensor["data_offsets"] = [place + 8 for place in tensor["data_offsets"]]  # a hole behind the words
    packed = json.dumps(header).encode()
    body = raw[8 + size :]
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + body[:end] + bytes(8) + body[end:])
    with pytest.raises(ValueError, match=r"its tensor lenders begins at the byte \d+, expected \d+"):
        EmbeddingMatrix.load(path)


def test_a_tensor_of_gigabytes_is_not_read(tmp_path):
    """A sparse file takes no room on the disk, whatever its size."""
    path, most = tmp_path / "m.safetensors", contents.MOST_BYTES
    metadata, tensors, _ = parts_of(words=np.broadcast_to(np.uint8(255), (most + 8,)))
    del tensors["lenders"]  # behind it
    with pytest.raises(ValueError, match=r"its tensor words has 1,073,741,832 bytes; expected at most 1,073,741,824"):
        contents.check_size("words", tensors["words"].nbytes)
    header = {"__metadata__": metadata, "words": {"dtype": "U8", "shape": [most + 8], "data_offsets": [0, most + 8]}}
    header["matrix"] = {"dtype": "F32", "shape": [5, 2], "data_offsets": [most + 8, most + 48]}
    packed = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(packed).to_bytes(8, "little") + packed)
        file.truncate(8 + len(packed) + most + 48)
    with pytest.raises(ValueError, match=r"its tensor words has 1,073,741,832 bytes; expected at most"):
        EmbeddingMatrix.load(path)


def test_words_of_nobody_are_not_saved(tmp_path):
    em = EmbeddingMatrix(np.ones((2, 2), np.float32), {"a": 1})
    em.suggestions = {"lower": ["b"]}
    with pytest.raises(ValueError, match=r"cannot write .*m.npz: derived or suggestions have the word 'b'"):
        em.save(tmp_path / "m.npz")
    em.save(tmp_path / "m.npy")  # which keeps none


def test_a_bare_matrix_needs_no_json(em, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "json", None)
    monkeypatch.setattr(store, "json", None)
    monkeypatch.setattr(store, "pack", None)
    em.save(tmp_path / "m.npy")
    assert same_bits(EmbeddingMatrix.load(tmp_path / "m.npy").matrix, em.matrix)


@pytest.mark.parametrize(
    ("offsets", "more", "told"),
    [
        ([4, 20], 0, r"it has \d+ bytes and tensor 'matrix' ends at byte \d+"),
        (
            [4, 20],
            4,
            r"its header says 2 × 2 numbers in the bytes \d+ to \d+, the file has room for them in those from",
        ),
        (
            [0, 16],
            4,
            r"its header says 2 × 2 numbers in the bytes \d+ to \d+, the file has room for them in those from",
        ),
        ([-16, 0], 0, r"tensor 'matrix' of shape \(2, 2\) and dtype F32 spans bytes -16 to 0"),
        ([0, 8], 0, r"tensor 'matrix' of shape \(2, 2\) and dtype F32 spans bytes 0 to 8"),
        (None, 0, "tensor 'matrix' must have dtype, shape and two data_offsets"),
    ],
)
def test_a_matrix_lies_behind_the_header_and_nowhere_else(offsets, more, told, tmp_path):
    path = tmp_path / "m.safetensors"
    em = EmbeddingMatrix(np.ones((2, 2), np.float32), {"a": 1})
    path.write_bytes(store.safetensors_head(em.shape, np.float32, as_earlier(em)) + em.matrix.tobytes())
    size, content = path.read_bytes()[:8], path.read_bytes()[8:]
    header = json.loads(content[: int.from_bytes(size, "little")])
    header["matrix"]["data_offsets"] = offsets
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + content[-16:] + bytes(more))
    for read in (EmbeddingMatrix.load, load_vectors):
        with pytest.raises(ValueError, match=told):
            read(path)


def test_a_header_is_not_longer_than_it_can_be(tmp_path):
    """A sparse file takes no room on the disk, whatever its size."""
    path = tmp_path / "m.safetensors"
    with open(path, "wb") as file:
        file.write((3 << 30).to_bytes(8, "little") + b'{"matrix"')
        file.truncate((3 << 30) + 8)
    with pytest.raises(
        ValueError, match="its header says that it has 3,221,225,472 bytes; expected at most 1,073,741,824"
    ):
        EmbeddingMatrix.load(path)


class Cut:
    """In the place of another file."""

    done = False

    def exists(self):
        return not self.done

    def replace(self, path):
        self.done = True
        os.truncate(path, path.stat().st_size - 3)


def test_a_file_that_is_cut_while_it_is_read(tmp_path, monkeypatch):
    path, _, _ = alternate(tmp_path, ".safetensors")
    renaming(monkeypatch, Cut(), path)
    with pytest.raises(ValueError, match="not a whole .safetensors file .*it ends 3 bytes too early"):
        EmbeddingMatrix.load(path)


# ── writing ──


def outputs(em):
    """Each kind of output: (name, what writes it to a path)."""
    return {
        "m.safetensors": em.save,
        "m.npz": em.save,
        "m.npy": em.save,
        "v.txt": lambda path: convert(path.with_name("in.txt"), path),
        "v.bin.gz": lambda path: convert(path.with_name("in.txt"), path),
        "v.bin.zst": lambda path: convert(path.with_name("in.txt"), path),
        "v.txt.zip": lambda path: convert(path.with_name("in.txt"), path),
        "index.json": lambda path: store.write_json(path, em.word_index),
        "report.html": em.write_report,
    }


# The last takes a second to draw, and is left out where it would be drawn often.
OUTPUTS = list(outputs(SimpleNamespace(save=None, write_report=None)))


@pytest.fixture
def target(request, em, tmp_path):
    """The path of an output of some kind, and what writes it."""
    write_text(tmp_path / "in.txt", {f"w{k}": [k] * 300 for k in range(100)})
    return tmp_path / request.param, outputs(em)[request.param]


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("target", OUTPUTS[:-1], indirect=True)
def test_permissions(target):
    """A new file gets the usual ones, one that was there keeps its own."""
    path, write = target
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            write(path)
        finally:
            os.umask(before)
        assert mode_of(path) == 0o666 & ~mask
        path.unlink()
    for mode in (0o600, 0o640, 0o664, 0o444):
        path.write_bytes(b"old")
        path.chmod(mode)
        write(path)
        assert mode_of(path) == mode
        assert path.read_bytes() != b"old"


def test_the_umask_is_not_touched(em, tmp_path, monkeypatch):
    """It belongs to all threads."""
    monkeypatch.setattr(os, "umask", None)
    em.save(tmp_path / "m.npy")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_an_output_keeps_its_owner(em, tmp_path):
    path = tmp_path / "m.npy"
    path.touch()
    os.chown(path, 65534, 65533)
    em.save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


@pytest.mark.parametrize("target", OUTPUTS, indirect=True)
def test_a_symlink_is_followed(target):
    """Also one to a file that is not there yet."""
    path, write = target
    real = path.parent / "deep" / f"real{path.suffix}"
    real.parent.mkdir()
    path.symlink_to(real)
    for _ in range(2):
        write(path)
        assert path.is_symlink()
        assert real.is_file()
    assert os.listdir(real.parent) == [real.name]


@pytest.mark.parametrize("target", OUTPUTS, indirect=True)
def test_devices_pipes_and_folders_are_refused(target, tmp_path):
    path, write = target
    os.mkfifo(path)
    with pytest.raises(
        ValueError, match=rf"cannot write .*{path.name}: it is a pipe or a device; expected the name of a file"
    ):
        write(path)
    assert stat.S_ISFIFO(os.stat(path).st_mode)
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(ValueError, match="it is a pipe or a device"):
        write(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(str(path))
        with pytest.raises(ValueError, match="it is a pipe or a device"):
            write(path)
    path.unlink()
    path.symlink_to(tmp_path / "no" / "file")
    with pytest.raises(FileNotFoundError, match="cannot write .*: there is no folder .*no"):
        write(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="cannot write .*: it is a folder"):
        write(path)


def test_what_cannot_be_written_is_said_before_anything_is_read(tmp_path):
    """The vectors are not even there."""
    from w2v_embed.cli import main

    os.mkfifo(tmp_path / "m.npz")
    os.mkfifo(tmp_path / "v.txt")
    for command in (["build", "none.txt", "none.json", "-o", "m.npz"], ["convert", "none.txt", "v.txt"]):
        command[-1] = str(tmp_path / command[-1])
        assert main(command) == 1
        with pytest.raises(ValueError, match="it is a pipe or a device"):
            (store.check_output if command[0] == "build" else lambda path: convert("none.txt", path))(command[-1])


def test_a_folder_that_takes_no_files(em, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root may write everywhere
    with pytest.raises(PermissionError, match=f"cannot write .*m.npy: no file can be made in the folder {tmp_path}"):
        em.save(tmp_path / "m.npy")


def test_long_names(em, tmp_path):
    """As long as the file system takes them."""
    path = tmp_path / ("\u4e2d" * 80 + "x" * 11 + ".npy")
    em.save(path)
    em.save(path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("target", OUTPUTS[:-1], indirect=True)
def test_a_full_disk(em, target, tmp_path):
    """The error names the output, the old file stays, and nothing else does; wherever the room ends."""
    path, write = target
    write(path)
    size = path.stat().st_size
    em.save(tmp_path / "em.safetensors")
    there = sorted(os.listdir(tmp_path))
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for room in (0, 1, size // 2, size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            try:
                with pytest.raises(OSError, match=f"File too large: '{path}'") as caught:
                    write(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert caught.value.filename == str(path)
            assert path.read_bytes() == b"old"
            assert sorted(os.listdir(tmp_path)) == there
    finally:
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_failed_save_leaves_the_old_file(em, tmp_path, monkeypatch, call):
    path = tmp_path / "m.safetensors"
    em.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device", "some.tmp")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        em.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_what_killed_writers_left_is_removed_but_not_what_is_written_now(em, tmp_path):
    left = tmp_path / ".other.npy.0123456789abcdef.w2v.tmp"
    left.write_bytes(b"half")
    mine = tmp_path / ".m.npy.swp"
    mine.write_bytes(b"an editor's")
    inside, go_on = threading.Event(), threading.Event()

    def slowly(file):
        file.write(b"whole")
        inside.set()
        go_on.wait()

    other = threading.Thread(target=output.write_atomically, args=(tmp_path / "slow", slowly))
    other.start()
    inside.wait()
    em.save(tmp_path / "m.npy")
    go_on.set()
    other.join()
    assert sorted(os.listdir(tmp_path)) == [".m.npy.swp", "m.npy", "slow"]
    assert (tmp_path / "slow").read_bytes() == b"whole"


def test_a_temporary_file_that_was_swept_up_before_it_was_locked(tmp_path, monkeypatch):
    flock, locked = output.fcntl.flock, []

    def late(number, how):
        if not locked:
            for left in tmp_path.iterdir():
                left.unlink()
        locked.append(how)
        flock(number, how)

    monkeypatch.setattr(output.fcntl, "flock", late)
    output.write_atomically(tmp_path / "file", lambda file: file.write(b"whole"))
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert len(locked) == 2


def test_without_locks(em, tmp_path, monkeypatch):
    """As on Windows, where what somebody holds open cannot be removed, and on file systems that know no locks."""
    monkeypatch.setattr(output, "fcntl", None)
    (tmp_path / ".x.npy.0123456789abcdef.w2v.tmp").touch()
    em.save(tmp_path / "m.npy")
    assert os.listdir(tmp_path) == ["m.npy"]
    monkeypatch.undo()

    def unknown(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(output.fcntl, "flock", unknown)
    (tmp_path / ".x.npy.0123456789abcdef.w2v.tmp").touch()
    em.save(tmp_path / "m.npy")
    assert sorted(os.listdir(tmp_path)) == [".x.npy.0123456789abcdef.w2v.tmp", "m.npy"]


def test_what_cannot_be_is_said(em, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors, \.npz, \.npy; received .*m\.pkl"):
        em.save(tmp_path / "m.pkl")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        em.save(tmp_path / "no" / "m.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        EmbeddingMatrix.load(tmp_path / "none.npz")
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        em.save(tmp_path / "d.npy")
    for suffix in (".safetensors", ".npz", ".npy"):
        path = tmp_path / f"cut{suffix}"
        em.save(path)
        whole = path.read_bytes()
        for part in (b"", whole[: len(whole) // 2], b"junk" * 100):
            path.write_bytes(part)
            with pytest.raises(ValueError, match=r"cut.* is not a whole"):
                EmbeddingMatrix.load(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("matrix", [np.ones((2, 2), int), np.ones((2, 2), ">f4"), np.ones((2, 0))], ids=str)
def test_a_matrix_that_could_not_be_loaded_is_not_saved(matrix, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    with pytest.raises(ValueError, match=rf"cannot write .*m{suffix}: expected a matrix of float16.* Convert it first"):
        EmbeddingMatrix(matrix, {"a": 1}).save(path)
    assert not path.exists()


def test_foreign_archives_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", matrix=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="not a whole .npz file written by EmbeddingMatrix.save"):
        EmbeddingMatrix.load(tmp_path / "other.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a whole .npy"):
        EmbeddingMatrix.load(tmp_path / "objects.npy")


@pytest.mark.parametrize("length", [0x380, 0x480, 0x580, 0x680])
def test_a_header_whose_length_begins_like_a_pickle(tmp_path, length):
    """Python's pickles begin with the bytes 80 02 to 80 05; so do such lengths."""
    path = tmp_path / "m.safetensors"

    def length_with(word, name):
        EmbeddingMatrix(np.ones((2, 3), np.float32), {word: 1}, sources=[name], padding_row=0).save(path)
        return int.from_bytes(path.read_bytes()[:8], "little")

    words = ["w" * n for n in range(1, 65, 8)]  # the matrix begins at a multiple of 64 bytes, whatever lies before it
    word = next(word for word in words if (length_with(word, "n") - length) % 64 == 0)
    name = "n" * (1 + length - length_with(word, "n"))
    assert length_with(word, name) == length
    assert load_vectors(path).index_to_key == [word]
    assert inspect(path)["format"] == "safetensors"
