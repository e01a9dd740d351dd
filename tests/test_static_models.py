"""Static sentence models as sources, and a matrix exported as one. Everything is made here; `benchmarks/static_models.py` holds
the same against model2vec, sentence-transformers and WordLlama."""

import json
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import same_bits
from w2v_embed import EmbeddingMatrix, build_matrix
from w2v_embed.matrix.sources import source_of

tokenizers = pytest.importorskip("tokenizers")

RNG = np.random.default_rng(3)
PIECES = ["[UNK]", "the", "cat", "##s", "new", "york", "中", "国", "##国", "-", "a"]
CODES = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "|i1": "I8", "<u2": "BF16", "<i8": "I64", "<i4": "I32"}
TABLE = RNG.normal(size=(len(PIECES), 6)).astype(np.float32)


def write_safetensors(path, tensors, **changes):
    head, end = {}, 0
    for name, tensor in tensors.items():
        head[name] = {
            "dtype": CODES[tensor.dtype.str],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.nbytes],
        }
        end += tensor.nbytes
    head.update(changes)
    encoded = json.dumps(head).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(t.tobytes() for t in tensors.values()))
    return path


def tokenizer(**changes):
    """A WordPiece tokenizer, as the package saves it."""
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {piece: k for k, piece in enumerate(PIECES)},
    }
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 5},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[UNK]",
        },
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {**model, **changes},
    }


def write_model(folder, tensors, settings=None, name="tokenizer.json"):
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / name).write_text(json.dumps(settings or tokenizer()), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"normalize": True, "hidden_dim": 7}))  # lies, and is not asked
    return folder


# word → its pieces; None: one of them is unknown
SPLITS = {
    "the": ["the"],
    "Cats": ["cat", "##s"],
    "new york": ["new", "york"],
    "New-York": ["new", "-", "york"],
    "中国": ["中", "##国"],
    "cat cat a": ["cat", "cat", "a"],
    "dog": None,
    "the dog": None,
    "": None,
    " ": None,
    "\ud800": None,
}


def naive(table, weights=None, mapping=None):
    """The rows of SPLITS, word by word and piece by piece."""
    rows = {}
    for word, pieces in SPLITS.items():
        if pieces:
            total = np.zeros(table.shape[1])
            for piece in pieces:
                k = PIECES.index(piece)
                row = table[k if mapping is None else mapping[k]].astype(np.float32)
                total += row if weights is None else row * np.float32(weights[k])
            rows[word] = total / len(pieces)
    return rows


WEIGHTS, MAPPING = RNG.uniform(0.1, 2, len(PIECES)), np.array([0, 3, 2, 1, 1, 0, 2, 3, 3, 0, 1])
INT8 = RNG.integers(-127, 128, (len(PIECES), 6)).astype(np.int8)
BITS = (TABLE.view(np.uint32) >> 16).astype("<u2")
LAYOUTS = {
    "model2vec": ({"embeddings": TABLE}, naive(TABLE)),
    "half": ({"embeddings": TABLE.astype(np.float16)}, naive(TABLE.astype(np.float16))),
    "double": ({"embeddings": TABLE.astype(np.float64)}, naive(TABLE)),
    "int8": ({"embeddings": INT8}, naive(INT8)),
    "bfloat16": ({"embeddings": BITS}, naive((BITS.astype(np.uint32) << 16).view(np.float32))),
    "weights": ({"embeddings": TABLE, "weights": WEIGHTS}, naive(TABLE, WEIGHTS)),
    "mapping": ({"embeddings": TABLE[:4], "mapping": MAPPING}, naive(TABLE[:4], None, MAPPING)),
    "both": (
        {"embeddings": TABLE[:4], "weights": WEIGHTS.astype(np.float32), "mapping": MAPPING.astype(np.int32)},
        naive(TABLE[:4], WEIGHTS, MAPPING),
    ),
    "sentence-transformers": ({"embedding.weight": TABLE}, naive(TABLE)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_word_is_the_mean_of_its_pieces(tmp_path, layout):
    tensors, expected = LAYOUTS[layout]
    folder = write_model(tmp_path / "m", tensors)
    index = {"<pad>": 0, **{word: k for k, word in enumerate(SPLITS, 1)}}
    em = build_matrix(folder, index)
    assert set(em.coverage.found) == set(expected)
    for word, row in expected.items():
        np.testing.assert_allclose(em.matrix[index[word]], row, rtol=1e-6, atol=1e-7)
    assert not em.matrix[[index[word] for word in em.coverage.missing]].any()
    assert set(em.provenance) == {"padding", "m", "oov"}
    assert em.coverage.by_fallback == {"exact": len(expected)}


def test_rows_depend_on_no_other_word(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "m", LAYOUTS["both"][0])
    em = build_matrix(folder, list(SPLITS))
    back = build_matrix(folder, list(SPLITS)[::-1])
    assert same_bits(back.matrix[::-1], em.matrix)
    monkeypatch.setattr("w2v_embed.readers.static_models._AT_ONCE", 2)
    monkeypatch.setattr("w2v_embed.readers.static_models._BLOCK", 30)
    monkeypatch.setattr("w2v_embed.matrix.blocks._BLOCK", 12)
    assert same_bits(build_matrix(folder, list(SPLITS)).matrix, em.matrix)
    for k, word in enumerate(SPLITS):
        assert not word or same_bits(build_matrix(folder, [word]).matrix, em.matrix[k : k + 1])
    half = build_matrix(folder, list(SPLITS), dtype="float16")
    assert same_bits(half.matrix, em.matrix.astype(np.float16))


def test_the_folders_of_all_three(tmp_path):
    expected = build_matrix(write_model(tmp_path / "m", {"embeddings": TABLE}), list(SPLITS)).matrix
    modules = [
        {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"},
        {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    nested = tmp_path / "st"
    write_model(nested / "0_StaticEmbedding", {"embedding.weight": TABLE})
    (nested / "modules.json").write_text(json.dumps(modules))
    em = build_matrix(str(nested), list(SPLITS))
    assert same_bits(em.matrix, expected)
    assert "st" in em.provenance
    for path in (".", "", "./"):
        flat = write_model(tmp_path / "flat", {"embedding.weight": TABLE})
        (flat / "modules.json").write_text(json.dumps([{**modules[0], "path": path}]))
        assert same_bits(build_matrix(flat, list(SPLITS)).matrix, expected)
    llama = tmp_path / "llama"
    write_model(llama / "tokenizers", {"x": TABLE}, name="l2_cat_tokenizer_config.json")
    (llama / "weights").mkdir()
    weights = write_safetensors(llama / "weights" / "l2_cat_6.safetensors", {"embedding.weight": TABLE})
    for path in (llama, llama / "weights", weights):
        em = build_matrix(path, list(SPLITS))
        assert same_bits(em.matrix, expected)
        assert em.provenance[0] == path.name
    beside = write_model(tmp_path / "beside", {"x": TABLE}, name="l2_cat_tokenizer_config.json")
    (beside / "model.safetensors").unlink()
    write_safetensors(beside / "l2_cat_6.safetensors", {"embedding.weight": TABLE})
    assert same_bits(build_matrix(beside, list(SPLITS)).matrix, expected)
    assert same_bits(build_matrix(tmp_path / "m" / "model.safetensors", list(SPLITS)).matrix, expected)


def test_it_is_a_source_beside_others(tmp_path):
    folder = write_model(tmp_path / "m", {"embeddings": TABLE})
    toy = EmbeddingMatrix(np.ones((1, 6), np.float32), {"the": 0})
    em = build_matrix([toy, folder], ["the", "cat", "cat_dog"], fallbacks=["parts"])
    assert em.provenance.tolist() == ["EmbeddingMatrix", "m", "oov"]
    em = build_matrix([toy, folder], ["cat_the", "the"], fallbacks=["parts"])  # "_" is no piece
    assert em.provenance[0] == "EmbeddingMatrix + m (parts)" or em.provenance[0] == "m + EmbeddingMatrix (parts)"
    np.testing.assert_allclose(em.matrix[0], (TABLE[2] + 1) / 2, rtol=1e-6)
    source = source_of(folder)
    assert source.has(["the", "dog", "new york"]).tolist() == [True, False, True]
    (numbers, rows), *_ = source.lend(["dog", "the"])
    assert numbers.tolist() == [1]
    assert same_bits(rows, TABLE[1:2])
    assert list(source.lend([])) == []
    source.close()


def test_rows_that_are_not_finite_are_told(tmp_path):
    table = TABLE.copy()
    table[2, 1] = np.nan
    folder = write_model(tmp_path / "m", {"embeddings": table})
    with pytest.raises(ValueError, match=r"m, word 'Cats': expected finite numbers"):
        build_matrix(folder, list(SPLITS))
    em = build_matrix(folder, list(SPLITS), on_error="skip")
    assert {"Cats", "cat cat a"} <= set(em.coverage.missing)
    assert em.damage[0].total == 2


def test_the_cache_knows_the_files_of_a_folder(tmp_path):
    folder = write_model(tmp_path / "m", {"embeddings": TABLE})
    cache = tmp_path / "cache"
    first = build_matrix(folder, ["the", "cat"], cache_dir=cache)
    assert same_bits(build_matrix(folder, ["the", "cat"], cache_dir=cache).matrix, first.matrix)
    assert len(list(cache.iterdir())) == 1
    write_safetensors(folder / "model.safetensors", {"embeddings": 2 * TABLE})
    assert same_bits(build_matrix(folder, ["the", "cat"], cache_dir=cache).matrix, 2 * first.matrix)
    swapped = {**{piece: k for k, piece in enumerate(PIECES)}, "the": 2, "cat": 1}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(vocab=swapped)))
    assert same_bits(build_matrix(folder, ["cat", "the"], cache_dir=cache).matrix, 2 * first.matrix)


def test_other_folders_are_refused_as_ever(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file of word vectors. It is empty"):
        build_matrix(tmp_path, ["a"])
    with pytest.raises(IsADirectoryError, match="with a model, not word vectors. .*ContextualEncoder"):
        build_matrix("tests/data/reference/bert_hf", ["a"])
    (tmp_path / "modules.json").write_text(
        json.dumps([{"path": "", "type": "sentence_transformers.models.Transformer"}])
    )
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(IsADirectoryError, match="with a model, not word vectors. .*ContextualEncoder"):
        build_matrix(tmp_path, ["a"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_are_not_waited_for(tmp_path):
    folder = write_model(tmp_path / "m", {"embeddings": TABLE})
    os.mkfifo(tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        build_matrix(tmp_path / "v.safetensors", ["a"])
    for name, kind in (("tokenizer.json", FileNotFoundError), ("model.safetensors", IsADirectoryError)):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(kind):
            build_matrix(folder, ["a"])


def test_tokenizers_are_asked_for(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "m", {"embeddings": TABLE})
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"a static model needs tokenizers: pip install 'w2v-embed\[contextual\]'"):
        build_matrix(folder, ["a"])


# ── hostile folders ──


def set_file(name, content):
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def set_tensors(*dropped, **tensors):
    def change(folder):
        write_safetensors(folder / "model.safetensors", {"embeddings": TABLE, **tensors})

    return change


def set_head(**entries):
    return lambda folder: write_safetensors(folder / "model.safetensors", {"embeddings": TABLE}, **entries)


def set_modules(value):
    return set_file("modules.json", json.dumps(value))


STATIC = "sentence_transformers.models.StaticEmbedding"
HOSTILE = {
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        FileNotFoundError,
        "without .*tokenizer.json",
    ),
    "tokenizer is a folder": (
        lambda folder: [(folder / "tokenizer.json").unlink(), (folder / "tokenizer.json").mkdir()],
        FileNotFoundError,
        "without .*tokenizer.json",
    ),
    "tokenizer is no JSON": (set_file("tokenizer.json", "{"), ValueError, "tokenizer.json, line 1: not JSON"),
    "tokenizer is bytes": (set_file("tokenizer.json", b"\xff\xfe\xfd"), ValueError, "tokenizer.json"),
    "tokenizer is a list": (set_file("tokenizer.json", "[]"), ValueError, "tokenizer.json"),
    "tokenizer is deep": (
        set_file("tokenizer.json", "[" * 100_000),
        ValueError,
        "tokenizer.json: lists or objects nested",
    ),
    "tokenizer without a model": (set_file("tokenizer.json", "{}"), ValueError, "tokenizer.json"),
    "tokenizer of no kind": (
        set_file("tokenizer.json", json.dumps(tokenizer(type="Magic"))),
        ValueError,
        "tokenizer.json is no tokenizer that can be used",
    ),
    "a huge tokenizer": (
        lambda folder: os.truncate(folder / "tokenizer.json", 1 << 40),
        ValueError,
        "tokenizer.json has 1,099,511,627,776 bytes; expected at most 67,108,864",
    ),
    "ids of another model": (
        set_file("tokenizer.json", json.dumps(tokenizer(vocab={"[UNK]": 0, "the": 11}))),
        ValueError,
        "has the piece 11, .* knows 11: they are of different models",
    ),
    "ids beyond all": (
        set_file("tokenizer.json", json.dumps(tokenizer(vocab={"[UNK]": 0, "the": 4294967295}))),
        ValueError,
        "has the piece 4294967295, .* knows 11",
    ),
    "no unknown piece": (
        set_file("tokenizer.json", json.dumps(tokenizer(vocab={"the": 1}))),
        ValueError,
        "is no tokenizer that can be used",
    ),
    "one axis": (set_tensors(embeddings=TABLE[0]), ValueError, r"of two axes, received \(6,\)"),
    "no rows": (set_tensors(embeddings=TABLE[:0]), ValueError, r"of two axes, received \(0, 6\)"),
    "numbers of another kind": (
        set_tensors(embeddings=MAPPING[:, None]),
        ValueError,
        "of floats or int8, received I64",
    ),
    "too few weights": (set_tensors(weights=WEIGHTS[:5]), ValueError, r"a weight for each piece, received \[5\]"),
    "weights of two axes": (set_tensors(weights=TABLE), ValueError, "weights must be of one axis"),
    "weights that are none": (set_tensors(weights=WEIGHTS * np.nan), ValueError, "finite weights"),
    "weights and mapping": (
        set_tensors(weights=WEIGHTS[:5], mapping=MAPPING),
        ValueError,
        r"received \[5, 11\] weights or places",
    ),
    "a mapping beyond": (set_tensors(mapping=MAPPING + 8), ValueError, "rows from 0 to 10, received 8 to 11"),
    "a mapping below": (set_tensors(mapping=MAPPING - 1), ValueError, "rows from 0 to 10, received -1 to 2"),
    "a mapping of floats": (set_tensors(mapping=WEIGHTS), ValueError, "mapping must be of one axis, received F64"),
    "a short mapping": (set_tensors(mapping=MAPPING[:2]), ValueError, "has the piece .* knows 2"),
    "a head that lies": (
        set_head(embeddings={"dtype": "F32", "shape": [1 << 40, 6], "data_offsets": [0, 24 << 40]}),
        ValueError,
        "model.safetensors",
    ),
    "cut": (lambda folder: os.truncate(folder / "model.safetensors", 100), ValueError, "model.safetensors"),
    "a path that leads away": (
        set_modules([{"path": "../m", "type": STATIC}]),
        ValueError,
        r"a folder inside its own, received '\.\./m'",
    ),
    "a path from the root": (
        set_modules([{"path": "/etc", "type": STATIC}]),
        ValueError,
        "inside its own, received '/etc'",
    ),
    "a path of dots": (set_modules([{"path": "..", "type": STATIC}]), ValueError, r"inside its own, received '\.\.'"),
    "a path with a zero": (set_modules([{"path": "a\0", "type": STATIC}]), ValueError, "inside its own"),
    "more modules": (
        set_modules([{"path": ".", "type": STATIC}, {"path": "", "type": "x.Dense"}]),
        ValueError,
        r"at most Normalize, received \['StaticEmbedding', 'Dense'\]",
    ),
    "modules of nothing": (set_file("modules.json", '{"StaticEmbedding": 1}'), ValueError, "must be a list of modules"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_folder_that_lies_is_named(tmp_path, case):
    change, kind, message = HOSTILE[case]
    folder = write_model(tmp_path / "m", {"embeddings": TABLE})
    change(folder)
    with pytest.raises(kind, match=message):
        build_matrix(folder, ["the", "cats"])


# ── export ──

STRANGE = [
    "the", "The", "new york", "New-York", "don't", "C++", "U.S.", "u.s.", "...", "3.14", "1,000", "中国", "经济", "中国 人",
    "café", "cafe\u0301", "'s", "a", "foo_bar", "ﬁ", "😀", "👩‍👩‍👧", "½", "²", "#tag", "@me", "http://x.com/a?b=1", "हिन्दी",
    "เชียงใหม่", "x" * 300, "a\u00a0b", "[PAD]", "-", "--", "word.Word", "𠮷野家", "Ⅷ", "ª", "a\tb", "[unused7]", "中-国", "🇩🇪",
]  # fmt: skip


def said(folder, texts):
    """What model2vec computes: the mean of the rows of the known pieces."""
    rows = np.frombuffer((folder / "model.safetensors").read_bytes()[8 + head_size(folder) :], "<f4")
    pipeline = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = rows.reshape(pipeline.get_vocab_size(), -1)  # as many as pieces, which model2vec wants
    unknown = pipeline.token_to_id(pipeline.model.unk_token)
    ids = [encoding.ids for encoding in pipeline.encode_batch(texts, add_special_tokens=False)]
    return [rows[[k for k in some if k != unknown]].mean(axis=0) for some in ids], ids


def head_size(folder):
    return int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")


def test_an_export_says_what_the_matrix_says(tmp_path):
    words = ["", *STRANGE]
    matrix = RNG.normal(size=(len(words), 5)).astype(np.float32)
    matrix[0] = 0
    em = EmbeddingMatrix(matrix, {word: k for k, word in enumerate(words)}, padding_row=0)
    em.export_static(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json", "model.safetensors", "modules.json", "tokenizer.json",
    ]  # fmt: skip
    rows, ids = said(tmp_path / "out", STRANGE)
    assert ids == [[k] for k in range(1, len(words))]
    assert same_bits(np.array(rows), matrix[1:])
    back = build_matrix(tmp_path / "out", words)
    assert same_bits(back.matrix, matrix)
    texts = {
        "The café, don't!": ["The", "café", "don't"],
        "中国 经济": ["中国", "经济"],
        "C++ (the)": ["C++", "the"],
        "in new york, U.S.": ["new york", "U.S."],
        "new yorker 3.14": ["3.14"],
    }
    rows, _ = said(tmp_path / "out", list(texts))
    for row, words in zip(rows, texts.values()):
        np.testing.assert_allclose(row, np.mean([matrix[em.word_index[word]] for word in words], axis=0), rtol=1e-6)


def test_ids_stay_and_holes_are_pieces_of_their_own(tmp_path, caplog):
    matrix = RNG.normal(size=(6, 3)).astype(np.float32)
    em = EmbeddingMatrix(matrix, {"[UNK]": 1, "b": 3, "\ud800": 4, " ": 5})
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        em.export_static(tmp_path / "out")
    assert "2 words can stand in no text" in caplog.text
    settings = json.loads((tmp_path / "out" / "tokenizer.json").read_text("utf-8"))
    assert settings["model"]["vocab"] == {
        "[unused0]": 0, "[UNK]": 1, "[unused2]": 2, "b": 3, "[unused4]": 4, "[unused5]": 5,
    }  # fmt: skip
    assert settings["model"]["unk_token"] == "[UNK]"
    half = EmbeddingMatrix(matrix.astype(np.float16), {"a": 0, "[unused2]": 5, "[UNK]": 1, "<unk>": 3})
    half.export_static(tmp_path / "half")
    vocab = json.loads((tmp_path / "half" / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert vocab["[[unused2]]"] == 2
    assert same_bits(build_matrix(tmp_path / "half", ["a"]).matrix, matrix[:1].astype(np.float16).astype(np.float32))


def test_an_export_with_the_encoders_own_tokenizer(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tokenizer()), encoding="utf-8")
    em = EmbeddingMatrix(TABLE, {piece: k for k, piece in enumerate(PIECES)})
    for given in (file, tmp_path):
        em.export_static(tmp_path / "out", tokenizer=given)
        back = build_matrix(tmp_path / "out", list(SPLITS))
        assert same_bits(
            back.matrix, build_matrix(write_model(tmp_path / "m", {"embeddings": TABLE}), list(SPLITS)).matrix
        )
    for wrong in (EmbeddingMatrix(TABLE, {"the": 2}), EmbeddingMatrix(TABLE[:5], {"the": 1})):
        with pytest.raises(ValueError, match=r"tokenizer.json must have a piece for each of the \d+ rows"):
            wrong.export_static(tmp_path / "other", tokenizer=file)
    file.write_text('{"model": 3}')
    with pytest.raises(ValueError, match=r"tokenizer.json must have a model with its vocab"):
        em.export_static(tmp_path / "other", tokenizer=file)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="needs the words of the matrix"):
        EmbeddingMatrix(TABLE, {}).export_static(tmp_path / "out")
    with pytest.raises(ValueError, match="finite numbers, received others in row 1, of 'b'"):
        EmbeddingMatrix([[1.0], [np.inf]], {"a": 0, "b": 1}).export_static(tmp_path / "out")
    em = EmbeddingMatrix(TABLE, {"a": 0})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        em.export_static(tmp_path / "no" / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="it is a file; expected the name of a folder"):
        em.export_static(tmp_path / "file")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"this folder holds thesis\.tex, which would be lost"):
        em.export_static(mine)
    (mine / "thesis.tex").unlink()
    (mine / "config.json").mkdir()
    with pytest.raises(ValueError, match=r"this folder holds config\.json, which would be lost"):
        em.export_static(mine)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


@pytest.mark.parametrize("exchange", [True, False])
def test_an_export_replaces_an_earlier_one_as_a_whole(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr("w2v_embed.output._exchange", lambda one, other: False)
    out = tmp_path / "out"
    out.mkdir()  # an empty one is taken, too
    for table in (TABLE, 2 * TABLE, 3 * TABLE):
        EmbeddingMatrix(table, {"a": 0}).export_static(out)
        assert same_bits(build_matrix(out, ["a"]).matrix, table[:1])
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
    link = tmp_path / "link"
    link.symlink_to(out)
    EmbeddingMatrix(TABLE, {"a": 0}).export_static(link)
    assert link.is_symlink()
    assert same_bits(build_matrix(out, ["a"]).matrix, TABLE[:1])
    monkeypatch.setattr("w2v_embed.readers.static_export.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        EmbeddingMatrix(2 * TABLE, {"a": 0}).export_static(out)
    assert same_bits(build_matrix(out, ["a"]).matrix, TABLE[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_killed_export_leaves_the_old_folder_and_the_next_sweeps_up(tmp_path):
    code = (
        "import os, signal, sys, numpy as np\n"
        "from w2v_embed import EmbeddingMatrix, output\n"
        "put = output._put\n"
        "output._put = lambda *args: os.kill(os.getpid(), signal.SIGKILL)\n"
        "EmbeddingMatrix(np.ones((2, 6), np.float32), {'a': 0}).export_static(sys.argv[1])\n"
    )
    out = tmp_path / "out"
    EmbeddingMatrix(TABLE, {"a": 0}).export_static(out)
    killed = subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert same_bits(build_matrix(out, ["a"]).matrix, TABLE[:1])
    assert len(list(tmp_path.iterdir())) == 2
    EmbeddingMatrix(2 * TABLE, {"a": 0}).export_static(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert same_bits(build_matrix(out, ["a"]).matrix, 2 * TABLE[:1])
