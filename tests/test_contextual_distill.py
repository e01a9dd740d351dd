"""A static table out of an encoder, against what model2vec does, word by word; `benchmarks/static_models.py` asks model2vec."""

import logging

import numpy as np
import pytest

from tests.conftest import same_bits
from w2v_embed import build_matrix
from w2v_embed.contextual import ContextualEncoder

pytestmark = pytest.mark.keras

WORDS = ["king", "queen", "bank", "river", "money", "the", "kings bank", "zzz"]


@pytest.fixture(scope="module")
def bert():
    return ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")


@pytest.fixture(scope="module")
def xlnet():
    return ContextualEncoder.from_pretrained("tests/data/reference/xlnet_hf")


def alone(encoder, ids):
    """The mean of the last states of ids between their special tokens."""
    tokenizer = encoder.tokenizer
    framed = [*tokenizer.head, *ids, *tokenizer.tail]
    types = [0] * (len(framed) - len(tokenizer.tail)) + tokenizer.tail_types
    return encoder.hidden_states([framed], token_type_ids=[types])[-1, 0].mean(axis=0)


def sif(n):
    share = [1 / (k + 2) for k in range(n)]
    return np.array([1e-4 / (1e-4 + one / sum(share)) for one in share])


def components(rows, dim):
    """By singular values, where the implementation takes eigenvalues."""
    rows = rows - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    scores = rows @ axes[:dim].T
    return scores * np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(dim)])


@pytest.mark.parametrize("which", ["bert", "xlnet"])
def test_words_against_a_naive_distillation(which, request):
    encoder = request.getfixturevalue(which)
    pieces = [encoder.tokenizer.pieces([word])[0] for word in WORDS]
    known = [k for k, ids in enumerate(pieces) if ids and encoder.tokenizer.unknown_id not in ids]
    assert 3 < len(known) < len(WORDS) or which == "xlnet"
    rows = np.array([alone(encoder, pieces[k]) for k in known], np.float64)
    em = encoder.distill(WORDS, pca=None, weighting=None)
    np.testing.assert_allclose(em.matrix[known], rows, rtol=1e-5, atol=5e-6)
    assert em.coverage.found == [WORDS[k] for k in known]
    assert set(em.provenance[known]) == {f"{which}_hf"}
    assert em.steps == ({"step": "distill", "pca": None, "weighting": None},)
    em = encoder.distill(WORDS, pca=3)
    expected = components(rows, 3) * sif(len(WORDS))[known, None]  # ranks are those of the words that were given
    np.testing.assert_allclose(em.matrix[known], expected, atol=2e-5)
    assert em.matrix.dtype == np.float32
    zipf = encoder.distill(WORDS, pca=None, weighting="zipf").matrix
    np.testing.assert_allclose(
        zipf[known], rows * np.log(np.arange(2, len(WORDS) + 2))[known, None], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("which", ["bert", "xlnet"])
def test_its_own_vocabulary(which, request):
    encoder = request.getfixturevalue(which)
    tokenizer, vocabulary = encoder.tokenizer, encoder.tokenizer.vocabulary()
    em = encoder.distill(pca=4)
    assert em.word_index.items() <= vocabulary.items()
    assert len(em.matrix) == tokenizer.size
    left_out = {piece for piece, id_ in vocabulary.items() if id_ in tokenizer.special_ids}
    left_out -= {piece for piece, id_ in vocabulary.items() if id_ in (tokenizer.unknown_id, tokenizer.pad_id)}
    assert vocabulary.keys() - em.word_index.keys() == left_out
    ids = list(em.word_index.values())
    assert ids == sorted(ids)
    rows = np.array([alone(encoder, [id_]) for id_ in ids], np.float64)
    expected = components(rows, 4) * sif(len(ids))[:, None]
    if tokenizer.pad_id == 0:
        assert em.padding_row == 0
        assert not em.matrix[0].any()
        expected[0] = 0
    np.testing.assert_allclose(em.matrix[ids], expected, atol=5e-5)
    assert not em.matrix[sorted(set(range(tokenizer.size)) - set(ids))].any()


def test_placeholders_are_left_out(tmp_path, bert):
    import json
    import shutil

    folder = shutil.copytree("tests/data/reference/bert_hf", tmp_path / "bert")
    lines = (folder / "vocab.txt").read_text("utf-8").split("\n")
    before = lines[7]
    lines[7] = "[unused7]"
    (folder / "vocab.txt").write_text("\n".join(lines), "utf-8")
    encoder = ContextualEncoder.from_pretrained(folder)
    em = encoder.distill(pca=None)
    assert 7 not in em.word_index.values()
    assert em.provenance[7] == "unused"
    assert before in bert.distill(pca=None).word_index
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == len(em.matrix)


def test_rows_do_not_depend_on_batches_and_are_a_source(bert):
    em = bert.distill(WORDS, pca=3)
    told = []
    again = bert.distill(WORDS, pca=3, batch_size=2, progress=lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(again.matrix, em.matrix, atol=1e-5)
    assert told[-1] == (7, 7)
    assert same_bits(build_matrix(em, {"": 0, "river": 1}).matrix[1], em.matrix[3])
    indexed = bert.distill({"": 0, "king": 2, "queen": 5}, pca=None, weighting=None)
    assert indexed.padding_row == 0
    assert indexed.provenance.tolist() == ["padding", "unused", "bert_hf", "unused", "unused", "bert_hf"]


def test_pca_that_is_too_wide(bert, caplog):
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        assert bert.distill(WORDS).shape == (8, 32)
    assert "pca=256 is left out: there are 7 rows" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        assert bert.distill(pca=33).shape[1] == 32
    assert "pca=33 makes rows no shorter: the encoder's have 32 numbers" in caplog.text


def test_wrong_arguments(bert):
    with pytest.raises(ValueError, match="pca must be None or a whole number from 1 on, received 0"):
        bert.distill(WORDS, pca=0)
    with pytest.raises(ValueError, match='weighting must be "sif", "zipf" or None, received \'idf\''):
        bert.distill(WORDS, weighting="idf")
    with pytest.raises(ValueError, match="batch_size must be a whole number from 1 on, received 0"):
        bert.distill(WORDS, batch_size=0)
    with pytest.raises(ValueError, match="distill needs words that the encoder knows, received none"):
        bert.distill(["zzz"])
    with pytest.raises(TypeError):
        bert.distill(3)


def test_a_distilled_vocabulary_is_exported_with_its_tokenizer(bert, tmp_path):
    """The pieces of any text are then looked up, as by the encoder itself."""
    pipeline = bert.tokenizer._tokenizer
    pipeline.save(str(tmp_path / "tokenizer.json"))
    em = bert.distill(pca=5)
    em.export_static(tmp_path / "out", tokenizer=tmp_path / "tokenizer.json")
    made = build_matrix(tmp_path / "out", ["the king", "Money!", "qqq"])
    for k, text in enumerate(["the king", "Money!"]):
        ids = bert.tokenizer.pieces([text])[0]
        if bert.tokenizer.unknown_id in ids:
            assert made.provenance[k] == "oov"
        else:
            np.testing.assert_allclose(made.matrix[k], em.matrix[ids].mean(axis=0), rtol=1e-5, atol=5e-6)
    assert made.provenance[0] == "out"
