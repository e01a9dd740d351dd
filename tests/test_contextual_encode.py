"""Texts, words and sources: what `ContextualEncoder` makes of hidden states."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from w2v_embed import build_matrix, embedding_layer
from w2v_embed.contextual import ContextualEncoder, cosine, fit_pca, fit_whitening, keras_bert_layers, stream
from w2v_embed.contextual.batching import windows

pytestmark = pytest.mark.keras

REFERENCE = Path(__file__).parent / "data" / "reference"
TEXTS = json.loads((REFERENCE / "bert_hf" / "texts.json").read_text())["texts"]
LONG = "the bank of the river he put money in a queen king kings bed sat on mud " * 6


@pytest.fixture(scope="module")
def bert():
    return ContextualEncoder.from_pretrained(REFERENCE / "bert_hf")


@pytest.fixture(scope="module")
def xlnet():
    return ContextualEncoder.from_pretrained(REFERENCE / "xlnet_hf")


@pytest.fixture(scope="module")
def nezha():
    return ContextualEncoder.from_pretrained(REFERENCE / "nezha_hf")


@pytest.fixture(params=["bert", "nezha", "xlnet"])
def encoder(request):
    return request.getfixturevalue(request.param)


def tokens(encoder, text):
    """The ids, segments and states `(layers + 1, T, H)` of one text, computed alone."""
    ids = encoder.tokenizer.pieces([text])[0]
    row = [*encoder.tokenizer.head, *ids, *encoder.tokenizer.tail]
    types = [0] * (len(row) - len(encoder.tokenizer.tail)) + encoder.tokenizer.tail_types
    return np.array(row), encoder.hidden_states([row], None, [types])[:, 0]


# Texts


@pytest.mark.parametrize("name", ["bert_hf", "bert_hf_bin", "xlnet_hf"])
def test_texts_equal_hugging_face(name):
    encoder = ContextualEncoder.from_pretrained(REFERENCE / name)
    texts = json.loads((REFERENCE / name / "texts.json").read_text())["texts"]
    expected = np.load(REFERENCE / name / "texts.npz")
    np.testing.assert_allclose(encoder.encode(texts, layers=-1), expected["mean_last"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts), expected["mean_last_but_one"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts, batch_size=2), expected["mean_last_but_one"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[3:4]), expected["mean_last_but_one"][3:4], atol=1e-5)


def test_poolings_equal_a_loop(encoder):
    texts = ["the bank of the river", "king", ""]
    idf = np.linspace(0.5, 2, encoder.config.vocab_size).astype(np.float32)
    for pooling in ("mean", "max", "mean_max", "cls", "idf"):
        got = encoder.encode(texts, pooling=pooling, layers=-1, idf=idf if pooling == "idf" else None)
        for vector, text in zip(got, texts):
            ids, states = tokens(encoder, text)
            x = states[-1]
            expected = {
                "mean": x.mean(axis=0),
                "max": x.max(axis=0),
                "mean_max": np.concatenate([x.mean(axis=0), x.max(axis=0)]),
                "cls": x[-1] if encoder.config.model_type == "xlnet" else x[0],
                "idf": (x * idf[ids][:, None]).sum(axis=0) / idf[ids].sum(),
            }[pooling]
            np.testing.assert_allclose(vector, expected, atol=1e-5, err_msg=f"{pooling} of {text!r}")


def test_special_tokens_left_out(encoder):
    text = "the bank of the river"
    _, states = tokens(encoder, text)
    inner = states[-2][len(encoder.tokenizer.head) : -len(encoder.tokenizer.tail)]
    for pooling, expected in (("mean", inner.mean(axis=0)), ("max", inner.max(axis=0))):
        got = encoder.encode([text, ""], pooling=pooling, special_tokens=False)
        np.testing.assert_allclose(got[0], expected, atol=1e-5)
        np.testing.assert_array_equal(got[1], np.zeros(32))


def test_merges_equal_a_loop(bert):
    text = "he put money in a bank"
    means = tokens(bert, text)[1].mean(axis=1)  # of each layer
    for layers, merge, expected in (
        ([1, -1], "sum", means[1] + means[3]),
        ([1, -1], "mean", (means[1] + means[3]) / 2),
        ([-1, 0], "concat", np.concatenate([means[3], means[0]])),
        ([0, 2], "last", means[2]),
        ([0, 1, 3], "first_last", (means[0] + means[3]) / 2),
        ([0, 1, 3], [0.5, 0.0, -2.0], means[0] / 2 - 2 * means[3]),
        (range(4), "mean", means.mean(axis=0)),
        (3, "concat", means[3]),
        (-4, "sum", means[0]),
    ):
        got = bert.encode([text], layers=layers, merge=merge)[0]
        np.testing.assert_allclose(got, expected, atol=1e-5, err_msg=f"{layers} {merge}")


def test_numbering_of_keras_bert(bert):
    texts = TEXTS[:2]
    for number, index in ((1, 0), (4, 3), (3, -2)):
        np.testing.assert_array_equal(
            bert.encode(texts, layers=keras_bert_layers(number)), bert.encode(texts, layers=index), err_msg=str(number)
        )
    np.testing.assert_array_equal(
        bert.encode(texts, layers=keras_bert_layers([4, 1]), merge="concat"),
        bert.encode(texts, layers=[3, 0], merge="concat"),
    )
    assert keras_bert_layers(np.arange(1, 4)) == [0, 1, 2]
    for number in (0, -1, True, 1.0, "1"):
        with pytest.raises(ValueError, match=f"numbers must be a whole number from 1 on, received {number!r}"):
            keras_bert_layers([number])
    with pytest.raises(ValueError, match="numbers must be a number or a list of numbers, received an empty list"):
        keras_bert_layers([])
    with pytest.raises(ValueError, match="layers must be a whole number from -4 to 3, received 4"):
        bert.encode(texts, layers=keras_bert_layers([5]))


def test_order_and_batches_do_not_matter(encoder):
    texts = [LONG[: 7 * n] for n in (9, 1, 4, 0, 12, 2, 2, 6)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    for batch_size in (1, 3, 32):
        np.testing.assert_allclose(encoder.encode(texts, batch_size=batch_size), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(text for text in texts), alone, atol=1e-5)


def test_no_texts(bert):
    assert bert.encode([]).shape == (0, 32)
    assert bert.encode([], layers=[0, 1], merge="concat", pooling="mean_max").shape == (0, 128)
    assert bert.encode([]).dtype == np.float32


def test_long_texts_are_cut_and_keep_their_special_tokens(encoder):
    ids, _ = tokens(encoder, LONG[:40])
    ids = list(ids)
    head, tail = len(encoder.tokenizer.head), len(encoder.tokenizer.tail)
    row = ids[: 8 - tail] + ids[len(ids) - tail :]
    types = [0] * (8 - tail) + encoder.tokenizer.tail_types
    expected = encoder.hidden_states([row], None, [types])[-2].mean(axis=1)
    assert len(ids) > 8 > head + tail
    np.testing.assert_allclose(encoder.encode([LONG[:40]], max_length=8), expected, atol=1e-5)


def test_the_model_sets_the_greatest_length(bert):
    np.testing.assert_allclose(bert.encode([LONG]), bert.encode([LONG], max_length=40), rtol=1e-5, atol=5e-6)


def test_windows_cover_each_token_once():
    for length in range(0, 40):
        for room in (1, 2, 5, 8):
            for stride in range(1, room + 1):
                rows = windows(7, length, room, stride)
                kept = [n for row in rows for n in range(row.keep_from, row.keep_to)]
                assert kept == list(range(length))
                assert all(row.start <= row.keep_from <= row.keep_to <= row.stop <= length for row in rows)
                assert all(row.stop - row.start <= room for row in rows)
                assert [row.first for row in rows] == [i == 0 for i in range(len(rows))]
                assert [row.last for row in rows] == [i == len(rows) - 1 for i in range(len(rows))]


def test_windows_equal_a_loop(bert):
    ids = bert.tokenizer.pieces([LONG])[0][:30]
    text = " ".join(LONG.split()[:30])
    assert bert.tokenizer.pieces([text])[0] == ids
    # 10 ids a window, beginning at 0, 6, 12, 18, 20; neighbours share 4 (8 at last) and meet in the middle
    states = [bert.hidden_states([[2, *ids[s : s + 10], 3]])[-2, 0] for s in (0, 6, 12, 18, 20)]
    kept = [states[0][:1], states[0][1:9], states[1][3:9], states[2][3:9], states[3][3:7], states[4][5:], states[4][:0]]
    kept = np.concatenate(kept)
    assert len(kept) == 32
    got = bert.encode([text, "king"], max_length=12, stride=6)
    np.testing.assert_allclose(got[0], kept.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(
        bert.encode([text], max_length=12, stride=6, pooling="max")[0], kept.max(axis=0), atol=1e-5
    )
    np.testing.assert_allclose(bert.encode([text], max_length=12, stride=6, pooling="cls")[0], kept[0], atol=1e-5)
    np.testing.assert_allclose(got[1:], bert.encode(["king"]), atol=1e-5)


def test_progress_is_told(bert):
    told = []
    bert.encode(TEXTS, batch_size=1, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (7, 7)
    bert.encode((text for text in TEXTS), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (7, None)


def test_a_progress_bar(bert, capsys):
    bert.encode(TEXTS, progress=True)
    assert "7/7" in capsys.readouterr().err


def test_texts_need_a_vocabulary(tmp_path, bert):
    folder = Path(shutil.copytree(REFERENCE / "bert_hf", tmp_path / "bert"))
    (folder / "vocab.txt").unlink()
    encoder = ContextualEncoder.from_pretrained(folder)
    np.testing.assert_array_equal(encoder.hidden_states([[2, 5, 3]]), bert.hidden_states([[2, 5, 3]]))
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt is missing: hidden_states works without it"):
        encoder.encode(["king"])
    with pytest.raises(FileNotFoundError, match=r"spiece\.model is missing: hidden_states works without it"):
        ContextualEncoder.from_pretrained(REFERENCE / "xlnet_google").encode(["king"])


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"layers": 4}, "layers must be a whole number from -4 to 3, received 4"),
        ({"layers": [-5]}, "layers must be a whole number from -4 to 3, received -5"),
        ({"layers": [1.0]}, r"layers must be a whole number from -4 to 3, received 1\.0"),
        ({"layers": True}, "layers must be a whole number from -4 to 3, received True"),
        ({"layers": []}, "layers must be a number or a list of numbers, received an empty list"),
        (
            {"merge": "add"},
            'merge must be "sum", "mean", "concat", "last", "first_last" or a weight for each layer, received .add.',
        ),
        ({"merge": [1.0, 2.0]}, r"one finite weight for each of 1 layers, received \[1\.0, 2\.0\]"),
        ({"pooling": "average"}, 'pooling must be "mean", "max", "mean_max", "cls" or "idf", received .average.'),
        ({"pooling": "idf"}, 'idf must be an array with pooling "idf", received None'),
        ({"pooling": "idf", "idf": [1.0]}, r"idf must have 51 finite weights, .* received shape \(1,\)"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 on, received 0"),
        ({"max_length": 2}, "max_length must be None or a whole number from 3 to 40, received 2"),
        ({"max_length": 41}, "max_length must be None or a whole number from 3 to 40, received 41"),
        ({"stride": 39}, "stride must be None or a whole number from 1 to 38, received 39"),
    ],
)
def test_wrong_arguments_are_named(bert, keywords, words):
    with pytest.raises(ValueError, match=words):
        bert.encode(["king"], **keywords)


def test_wrong_texts_are_named(bert, xlnet):
    with pytest.raises(
        TypeError, match="texts must be an iterable of strings, received 'king'. Put a single text into a list"
    ):
        bert.encode("king")
    with pytest.raises(TypeError, match=r"progress must be None, True or a callable .*received 3"):
        bert.encode(["king"], progress=3)
    for encoder in (bert, xlnet):
        with pytest.raises(TypeError, match="text 1 must be a string, received None"):
            encoder.encode(["king", None])
        with pytest.raises(ValueError, match="text 1 cannot be written as UTF-8"):
            encoder.encode(["king", "\ud800"])
    with pytest.raises(ValueError, match="stride must be None without max_length, received 5"):
        xlnet.encode(["king"], stride=5)


# A corpus


def test_output_goes_to_a_file(bert, tmp_path):
    expected = bert.encode(TEXTS)
    stored = bert.encode((text for text in TEXTS), output=tmp_path / "v.npy")
    assert isinstance(stored, np.memmap)
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]
    assert bert.encode([], output=tmp_path / "none.npy").shape == (0, 32)


def test_a_broken_run_goes_on(bert, tmp_path, monkeypatch):
    monkeypatch.setattr("w2v_embed.contextual.inputs._BATCHES_AT_ONCE", 1)
    texts = TEXTS * 3
    file = tmp_path / "v.npy"

    def broken():
        yield from texts[:9]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bert.encode(broken(), output=file, batch_size=4)
    assert not file.exists()
    with (tmp_path / "v.npy.part").open("ab") as part:
        part.write(b"half a row")  # what a kill leaves behind the last whole chunk
    with pytest.raises(ValueError, match=r"v\.npy\.part was begun with other texts: its first 8 are not these"):
        bert.encode(texts[::-1], output=file, batch_size=4)
    with pytest.raises(ValueError, match=r"v\.npy\.part was begun with other settings \(pooling\)"):
        bert.encode(texts, output=file, batch_size=4, pooling="max")
    told = []
    resumed = bert.encode(texts, output=file, batch_size=4, progress=lambda done, total: told.append(done))
    assert told[0] == 8
    np.testing.assert_allclose(resumed, bert.encode(texts), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


@pytest.mark.parametrize("change", ["case", "configuration", "idf"])
def test_a_run_with_another_tokenizer_is_refused(tmp_path, monkeypatch, change):
    monkeypatch.setattr("w2v_embed.contextual.inputs._BATCHES_AT_ONCE", 1)
    folder = Path(shutil.copytree(REFERENCE / "bert_hf", tmp_path / "bert"))
    options = {"output": tmp_path / "v.npy", "batch_size": 2}
    idf = np.ones(51)
    if change == "idf":
        options |= {"pooling": "idf", "idf": idf}

    def broken():
        yield from TEXTS[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ContextualEncoder.from_pretrained(folder).encode(broken(), **options)
    keywords = {"do_lower_case": False} if change == "case" else {}
    if change == "configuration":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.01}))
    if change == "idf":
        idf[3:5] = 0.5, 1.5  # of the same sum
    told = {"case": "tokenizer", "configuration": "config", "idf": "idf"}[change]
    with pytest.raises(ValueError, match=rf"v\.npy\.part was begun with other settings \({told}\)"):
        ContextualEncoder.from_pretrained(folder, **keywords).encode(TEXTS, **options)


def test_a_part_that_lost_rows_is_refused(bert, tmp_path, monkeypatch):
    monkeypatch.setattr("w2v_embed.contextual.inputs._BATCHES_AT_ONCE", 1)

    def broken():
        yield from TEXTS[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bert.encode(broken(), output=tmp_path / "v.npy", batch_size=2)
    os.truncate(tmp_path / "v.npy.part", 200)
    with pytest.raises(ValueError, match=r"v\.npy\.part is shorter than v\.npy\.part\.json says"):
        bert.encode(TEXTS, output=tmp_path / "v.npy")


KILLED = """
import os, signal, sys
from w2v_embed.contextual import stream
writer = stream.NpyWriter(sys.argv[1], 2, {"layers": (1, 2)})
writer.write(["a", "b"], [[1, 2], [3, 4]])
writer.write(["c"], [[5, 6]])
writer._file.write(b"half a row")
writer._file.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_it_wrote(tmp_path):
    file = tmp_path / "v.npy"
    died = subprocess.run([sys.executable, "-c", KILLED, str(file)], timeout=60)
    assert died.returncode == -signal.SIGKILL
    with stream.NpyWriter(file, 2, {"layers": (1, 2)}) as writer:
        assert writer.rows == 3
        writer.skip(["a", "b", "c"])
        writer.write(["d"], [[7, 8]])
        writer.finish()
    np.testing.assert_array_equal(np.load(file), [[1, 2], [3, 4], [5, 6], [7, 8]])


# Words


def test_words_equal_a_loop(encoder):
    lists = [["kings", "sat", "in", "the", "muddy", "bank"], [], ["", "queen", "unbelievable"], ["bank"]]
    got = encoder.encode_words(lists)
    assert [len(rows) for rows in got] == [6, 0, 3, 1]
    for words, rows in zip(lists, got):
        assert rows.shape == (len(words), 32)
        assert rows.dtype == np.float32
        pieces = [encoder.tokenizer.pieces([word])[0] for word in words]
        row = [*encoder.tokenizer.head, *(id_ for ids in pieces for id_ in ids), *encoder.tokenizer.tail]
        types = [0] * (len(row) - len(encoder.tokenizer.tail)) + encoder.tokenizer.tail_types
        states = encoder.hidden_states([row], None, [types])[-2, 0]
        place = len(encoder.tokenizer.head)
        for vector, ids in zip(rows, pieces):
            expected = states[place : place + len(ids)].mean(axis=0) if ids else np.zeros(32)
            np.testing.assert_allclose(vector, expected, atol=1e-5)
            place += len(ids)


def test_words_of_a_long_list_are_not_cut(bert):
    words = LONG.split()[:60]
    (rows,) = bert.encode_words([words], max_length=20, stride=10, layers=-1)
    assert np.abs(rows).sum(axis=1).min() > 0
    first = bert.hidden_states([[2, *bert.tokenizer.pieces([" ".join(words[:18])])[0], 3]])[-1, 0]
    np.testing.assert_allclose(rows[:14], first[1:15], atol=1e-5)
    (rows,) = bert.encode_words([words])  # longer than the model: in windows by itself
    assert np.abs(rows).sum(axis=1).min() > 0


def test_words_of_chinese(bert):
    jieba = pytest.importorskip("jieba")
    words = list(jieba.cut("北京银行"))
    (rows,) = bert.encode_words([words])
    assert len(rows) == len(words)


def test_words_wrongly_given_are_named(bert):
    with pytest.raises(
        TypeError, match="lists must be an iterable of lists of words, received the string 'king queen'"
    ):
        bert.encode_words("king queen")
    with pytest.raises(TypeError, match="words must be a list of words, received the string 'king queen'"):
        bert.encode_words(["king queen"])
    with pytest.raises(TypeError, match="words must be a list of words, received the string 'king'"):
        bert.vectors_for("king")


def test_vectors_for_equal_each_word_alone(encoder):
    words = ["king", "zzz☃", "unbelievable", "", "muddy", "king"]
    rows, found = encoder.vectors_for(words)
    assert rows.shape == (6, encoder.vector_size)
    assert found.tolist() == [True, False, True, False, True, True]
    for word, row, known in zip(words, rows, found):
        (expected,) = encoder.encode_words([[word]])
        np.testing.assert_allclose(row, expected[0] if known else np.zeros(32), atol=1e-5)
        np.testing.assert_allclose(encoder.vectors_for([word])[0][0], row, atol=1e-5)
    rows, found = encoder.vectors_for([])
    assert rows.shape == (0, 32)
    assert found.shape == (0,)


def test_table_vectors_equal_a_loop(encoder):
    table = encoder._model.embedding["words"]
    rows, found = encoder.as_source(mode="table").vectors_for(["unbelievable", "zzz☃"])
    ids = encoder.tokenizer.pieces(["unbelievable"])[0]
    expected = np.mean([np.asarray(table[id_]) for id_ in ids], axis=0)
    np.testing.assert_allclose(rows, [expected, np.zeros(32)], rtol=1e-5, atol=5e-6)
    assert found.tolist() == [True, False]


def test_a_source_with_choices(bert):
    words = ["king", "queen", "zzz", "bank", "river", "money", "bed", "mud"]
    source = bert.as_source(layers=[-1, 1], merge="concat")
    assert source.vector_size == 64
    rows, found = source.vectors_for(words)
    np.testing.assert_array_equal(rows, bert.vectors_for(words, layers=[-1, 1], merge="concat")[0])

    small = bert.as_source(pca=4)
    assert small.vector_size == 4
    projected, known = small.vectors_for(words)
    np.testing.assert_array_equal(known, found)
    np.testing.assert_array_equal(projected[2], np.zeros(4))
    full = bert.vectors_for(words)[0][found].astype(np.float64)
    centred = full - full.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:4]
    np.testing.assert_allclose(np.abs(projected[found]), np.abs(centred @ directions.T), atol=1e-4)
    np.testing.assert_allclose(small.vectors_for(["king"])[0][0], projected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"mode": "static"}, 'mode must be "forward" or "table", received .static.'),
        ({"mode": "table", "layers": -1}, 'mode "table" reads the input table: it has no layers'),
        ({"pca": 0}, "pca must be None or a whole number from 1 to 32, received 0"),
        ({"pca": 33}, "pca must be None or a whole number from 1 to 32, received 33"),
    ],
)
def test_wrong_choices_of_a_source_are_named(bert, keywords, words):
    with pytest.raises(ValueError, match=words):
        bert.as_source(**keywords)


# Likeness


def test_similarity(bert):
    assert bert.similarity("king", "king") == pytest.approx(1, abs=1e-6)
    matrix = bert.similarity(["king", "queen"], TEXTS[:3], layers=-1)
    a, b = bert.encode(["king", "queen"], layers=-1), bert.encode(TEXTS[:3], layers=-1)
    for i in range(2):
        for j in range(3):
            expected = a[i] @ b[j] / np.sqrt((a[i] @ a[i]) * (b[j] @ b[j]))
            assert matrix[i, j] == pytest.approx(expected, abs=1e-5)
    assert bert.similarity("king", TEXTS[:3]).shape == (1, 3)
    assert bert.similarity("", "king", special_tokens=False) == 0


def test_whitening_spreads_the_cosines(bert):
    texts = [" ".join(LONG.split()[n : n + 1 + n % 5]) for n in range(80)]
    vectors = bert.encode(texts)
    plain = bert.similarity(texts[0], texts[1:])
    white = bert.similarity(texts[0], texts[1:], whitening=fit_whitening(vectors, 8))
    assert plain.mean() > 0.3 > abs(white.mean())
    mapped = fit_whitening(vectors, 8)(vectors)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(np.cov(mapped.T, bias=True), np.eye(8), atol=1e-4)


def test_wrong_vectors_for_a_fit_are_named():
    rows = np.random.default_rng(0).normal(size=(5, 8))
    for fit in (fit_pca, fit_whitening):
        with pytest.raises(ValueError, match="vectors must be more than 5, as many as columns .*, received 5"):
            fit(rows, 5)
        with pytest.raises(ValueError, match=r"dim must be a whole number from 1 to 8, received 9"):
            fit(rows, 9)
        with pytest.raises(ValueError, match=r"vectors must have shape \(n, width\), received \(8,\)"):
            fit(rows[0], 1)
        with pytest.raises(
            ValueError, match="dim must be 1 at most, received 2: the vectors vary in so many directions only"
        ):
            fit(np.outer(np.arange(9.0), np.ones(3)), 2)
    np.testing.assert_array_equal(cosine(np.zeros((1, 3)), np.ones((2, 3))), np.zeros((1, 2)))


def test_idf_equals_a_loop(bert):
    texts = ["king king queen", "king", "bank"]
    idf = bert.idf(iter(texts))
    for word, holding in (("king", 2), ("queen", 1), ("river", 0), ("[SEP]", 3)):
        (id_,) = bert.tokenizer.pieces([word])[0]
        assert idf[id_] == pytest.approx(np.log(4 / (1 + holding)) + 1)


# From an encoder to a Keras layer


@pytest.mark.parametrize("choices", [None, {"mode": "table"}, {"pca": 3}])
def test_an_encoder_feeds_an_embedding_layer(bert, choices):
    word_index = {"king": 1, "queen": 2, "river": 3, "money": 4, "muddy": 5, "zzz": 6}
    source = bert if choices is None else bert.as_source(**choices)
    built = build_matrix(source, word_index)
    assert built.matrix.shape == (7, source.vector_size)
    assert built.coverage.missing == ["zzz"]
    expected, _ = source.vectors_for(list(word_index))
    layer = embedding_layer(built)
    for word, row in zip(word_index, expected):
        np.testing.assert_allclose(
            ops.convert_to_numpy(layer(np.array([word_index[word]])))[0], row, rtol=1e-5, atol=5e-6
        )
    np.testing.assert_array_equal(built.matrix[0], 0)


def test_the_documentation_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parent.parent / "docs" / "contextual.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 12
    monkeypatch.chdir(tmp_path)
    Path("model").symlink_to(REFERENCE / "bert_hf")
    Path("xlnet").symlink_to(REFERENCE / "xlnet_hf")
    Path("corpus.txt").write_text("".join(text + "\n" for text in TEXTS), "utf-8")
    exec("\n".join(blocks), {})
    assert np.load("vectors.npy").shape == (7, 32)
