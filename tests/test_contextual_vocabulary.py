"""Encoders with new words, with another vocabulary, and with less of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from w2v_embed.contextual import ContextualEncoder, add_tokens, transplant, trim_vocabulary
from w2v_embed.contextual.transplanting import sparsemax

pytestmark = pytest.mark.keras

REFERENCE = Path(__file__).parent / "data" / "reference"
TEXTS = ["The bank of the river.", "kings put money in a bank", "", "北京银行 zzz"]


@pytest.fixture(scope="module")
def bert():
    return ContextualEncoder.from_pretrained(REFERENCE / "bert_hf")


@pytest.fixture
def with_head(tmp_path):
    """A BERT with a head: a copy of the table, and biases."""
    folder = tmp_path / "with_head"
    ContextualEncoder.from_pretrained(REFERENCE / "bert_hf").save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors = {f"bert.{name}": values for name, values in tensors.items() if not name.startswith(("cls", "bert."))}
    table, rng = tensors["bert.embeddings.word_embeddings.weight"], np.random.default_rng(0)
    tensors["cls.predictions.decoder.weight"] = table.copy()
    tensors["cls.predictions.bias"] = rng.normal(size=len(table)).astype("float32")
    save_file(tensors, folder / "model.safetensors")
    return folder


def table_of(encoder):
    return encoder._checkpoint.words()


def heads_of(encoder):
    held = encoder._checkpoint
    return {name: held.tensors[name].load() for name in held.of_heads()}


@pytest.mark.parametrize("init", ["mean", "normal", "pieces", "description", lambda shape, rng: rng.normal(size=shape)])
def test_new_words(with_head, init, tmp_path):
    encoder = ContextualEncoder.from_pretrained(with_head)
    words = {"muddying": "the bank of the river", "New York": "a city", "新冠": "bank"}
    more = add_tokens(encoder, words, init=init, seed=3)
    old, new = table_of(encoder), table_of(more)
    assert new.shape == (len(old) + 3, 32)
    np.testing.assert_array_equal(new[: len(old)], old)
    pieces = encoder.tokenizer.pieces(["muddying", "the bank of the river"])
    bias = heads_of(encoder)["cls.predictions.bias"].astype(float)
    tied, biases = heads_of(more)["cls.predictions.decoder.weight"], heads_of(more)["cls.predictions.bias"]
    np.testing.assert_array_equal(tied, new)
    np.testing.assert_array_equal(biases[: len(old)], bias.astype("float32"))
    if init in ("pieces", "description"):
        expected = [piece for piece in pieces[init == "description"] if piece != encoder.tokenizer.unknown_id]
        np.testing.assert_allclose(new[-3], old[expected].mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(biases[-3], bias[expected].mean(), atol=1e-6)
    elif init == "mean":
        np.testing.assert_allclose(new[-3:], [old.mean(axis=0)] * 3, atol=1e-6)
        np.testing.assert_allclose(biases[-3:], [bias.mean()] * 3, atol=1e-6)
    elif init == "normal":
        alone = add_tokens(encoder, ["新冠"], init="normal", seed=3)
        np.testing.assert_array_equal(table_of(alone)[-1], new[-1])  # another word more changes no draw
    # the tokenizer finds them, and nothing else has changed
    first = encoder.config.vocab_size
    assert more.tokenizer.pieces(["x Muddying, new york 用新冠了"])[0][1] == first
    assert {first, first + 1, first + 2} <= set(more.tokenizer.pieces(["x Muddying, new york 用新冠了"])[0])
    assert more.tokenizer.pieces(["muddyings"]) == encoder.tokenizer.pieces(["muddyings"])
    assert more.tokenizer.special_ids == encoder.tokenizer.special_ids
    np.testing.assert_array_equal(more.encode(TEXTS), encoder.encode(TEXTS))
    assert more.steps[-1]["words"] == 3
    more.save_pretrained(tmp_path / "more")
    again = ContextualEncoder.from_pretrained(tmp_path / "more")
    texts = [*TEXTS, "x Muddying, new york 用新冠了", "muddyings [SEP]"]
    assert again.tokenizer.pieces(texts) == more.tokenizer.pieces(texts)
    np.testing.assert_array_equal(again.encode(texts), more.encode(texts))
    assert more.from_keras(more.to_keras(head="masked_lm")).config == more.config


def test_the_normal_is_that_of_the_table(bert):
    words = [f"word{n}x" for n in range(1000)]
    drawn, old = table_of(add_tokens(bert, words, init="normal"))[51:].astype(float), table_of(bert).astype(float)
    spread = np.sqrt(np.diag(np.cov(old.T)))
    assert (np.abs(drawn.mean(axis=0) - old.mean(axis=0)) < 5 * spread / 1000**0.5).all()
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(old.T), atol=0.2 * np.cov(old.T).max())


def test_a_donor_gives_rows_in_the_encoders_space(bert):
    """A donor whose space is the encoder's, turned and shifted: what it says of a new word must come back."""
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(32, 32)))
    words = [piece for piece in bert.tokenizer.vocabulary() if not piece.startswith(("[", "##"))]
    wanted = rng.normal(size=(32,))
    rows = np.stack([*(table_of(bert)[bert.tokenizer.vocabulary()[word]] for word in words), wanted])

    class Donor:
        vector_size = 32

        def vectors_for(self, asked):
            index = {word: n for n, word in enumerate([*words, "muddying"])}
            found = np.array([word in index for word in asked])
            places = [index.get(word, 0) for word in asked]
            return (rows[places] @ turn + 3).astype("float32"), found

    more = add_tokens(bert, ["muddying", "unheard"], vectors=Donor())
    assert more.steps[-1]["from_vectors"] == 1
    new = table_of(more)[-2]
    assert np.corrcoef(new, wanted)[0, 1] > 0.8  # 40 words, 32 directions: the map is learned, not given
    np.testing.assert_allclose(table_of(more)[-1], table_of(bert).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("words", "options", "error", "told"),
    [
        (["x1"], {"init": "zeros"}, ValueError, 'init must be "mean", "normal", "pieces", "description" or a callable'),
        ("word", {}, TypeError, "words must be a list of words, received the string 'word'"),
        (["bank"], {}, ValueError, "words must be new ones, received 1, all of which are tokens already"),
        (["x1", "x1"], {}, ValueError, "words must be there once each, 'x1' is there twice"),
        ([" x1"], {}, ValueError, "word 0 must be a string without spaces at its ends, received ' x1'"),
        (["x\n1"], {}, ValueError, r"word 0 must be printable, received 'x\\n1'"),
        (["x1"], {"init": "description"}, TypeError, "words must be a mapping of word to text"),
        ({"x1": 3}, {"init": "description"}, TypeError, "words must be a mapping of word to text, received one whose"),
        (
            ["x1"],
            {"init": lambda shape, rng: np.zeros(3)},
            ValueError,
            r"finite rows of shape \(1, 32\), received float64",
        ),
        (["x1"], {"vectors": {"a": 1}}, Exception, ""),
    ],
)
def test_wrong_new_words(bert, words, options, error, told):
    with pytest.raises(error, match=told):
        add_tokens(bert, words, **options)


# Trimming


def test_a_trimmed_encoder_says_the_same_of_the_corpus(with_head, tmp_path):
    encoder = ContextualEncoder.from_pretrained(with_head)
    small = trim_vocabulary(encoder, TEXTS, keep=["queen"])
    size = small.config.vocab_size
    assert size < encoder.config.vocab_size
    assert small.steps[-1] == {
        "step": "trim_vocabulary", "words_before": 51, "words_after": size, "bytes_before": 51 * 128, "bytes_after": size * 128,
    }  # fmt: skip
    np.testing.assert_array_equal(small.encode(TEXTS), encoder.encode(TEXTS))
    np.testing.assert_array_equal(
        small.encode(["queen", ("the bank", "of")]), encoder.encode(["queen", ("the bank", "of")])
    )
    names = {id_: piece for piece, id_ in encoder.tokenizer.vocabulary().items()}
    for piece, id_ in small.tokenizer.vocabulary().items():
        old = encoder.tokenizer.vocabulary()[piece]
        assert names[old] == piece
        for name, values in heads_of(small).items():
            np.testing.assert_array_equal(values[id_], heads_of(encoder)[name][old])
    small.save_pretrained(tmp_path / "small")
    again = ContextualEncoder.from_pretrained(tmp_path / "small")
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    more = add_tokens(small, ["muddying"], init="pieces")
    assert more.tokenizer.pieces(["muddying"]) == [[size]]


def byte_level(tmp_path, texts):
    """A folder of the BERT's weights with a byte-level BPE of its own, as another vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tokenizer


CORPUS = [
    "the bank of the river is muddy",
    "kings and queens put money into a bank",
    "naïve café 北京银行 😀",
    "aaaa aaa bababa",
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(CORPUS), min_size=1, max_size=4))
def test_trimmed_tokenizers_find_the_same_pieces(bert, tmp_path_factory, texts):
    """Of WordPiece, and of byte-level BPE, whose merges must stay."""
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    folder = tmp_path_factory.mktemp("bpe")
    byte_level(folder, CORPUS)
    for encoder in (bert, transplant(bert, folder / "tokenizer.json")):
        tokenizer = encoder.tokenizer
        ids = tokenizer.pieces(texts)
        kept = sorted(tokenizer.needed({id_ for row in ids for id_ in row}))
        small = tokenizer.kept(kept)
        assert [[kept[id_] for id_ in row] for row in small.pieces(texts)] == ids
        assert small.size == len(kept)


def test_what_cannot_be_trimmed(bert):
    with pytest.raises(ValueError, match="corpus must have texts, received none"):
        trim_vocabulary(bert, [])
    with pytest.raises(TypeError, match="texts must be an iterable of strings, received 'text'"):
        trim_vocabulary(bert, "text")
    xlnet = ContextualEncoder.from_pretrained(REFERENCE / "xlnet_hf")
    with pytest.raises(ValueError, match=r"spiece\.model: a model of sentencepiece cannot be trimmed"):
        trim_vocabulary(xlnet, ["bank"])


# Transplants


@pytest.mark.parametrize("method", ["pieces", "focus", "omp"])
def test_another_vocabulary(bert, tmp_path, method):
    new = byte_level(tmp_path, CORPUS)
    size, rng = new.get_vocab_size(), np.random.default_rng(0)
    space = rng.normal(size=(size, 8))
    vocabulary = new.get_vocab()
    # in this space "river" and "bank" make up a word that only the new vocabulary has
    space[vocabulary["Ġqueens"]] = 2 * space[vocabulary["Ġbank"]] if method == "focus" else (
        2 * space[vocabulary["Ġbank"]] - space[vocabulary["Ġriver"]]
    )  # fmt: skip
    planted = transplant(bert, tmp_path / "tokenizer.json", None if method == "pieces" else space, method, **(
        {"atoms": 2} if method == "omp" else {}
    ))  # fmt: skip
    old, rows, of = table_of(bert), table_of(planted), bert.tokenizer.vocabulary()
    assert planted.config.vocab_size == len(rows) == size
    for word in ("bank", "river", "the"):
        np.testing.assert_array_equal(rows[vocabulary[f"Ġ{word}"]], old[of[word]])
    for one, other in (
        ("<pad>", "[PAD]"),
        ("<s>", "[CLS]"),
        ("</s>", "[SEP]"),
        ("<unk>", "[UNK]"),
        ("<mask>", "[MASK]"),
    ):
        np.testing.assert_array_equal(rows[vocabulary[one]], old[of[other]])
    row = rows[vocabulary["Ġqueens"]]
    if method == "pieces":
        expected = old[bert.tokenizer.pieces(["queens"])[0]].mean(axis=0)
    elif method == "omp":
        expected = 2 * old[of["bank"]] - old[of["river"]]
    else:
        shared = [word for word in of if f"Ġ{word}" in vocabulary and word.isalpha()]
        shared += [word for word in of if word.startswith("##") and word[2:] in vocabulary]
        keys = [vocabulary[f"Ġ{word}" if word.isalpha() else word[2:]] for word in shared]
        keys, shared = zip(*[(key, word) for key, word in zip(keys, shared)])
        units = space / np.linalg.norm(space, axis=1, keepdims=True)
        weights = sparsemax((units[list(keys)] @ units[vocabulary["Ġbank"]]).astype("float32").astype(float))
        expected = weights @ old[[of[word] for word in shared]]
        assert weights.max() > 0.3
    np.testing.assert_allclose(row, expected, atol=1e-4)
    ids = planted.tokenizer.pieces(["the bank 😀"])[0]
    assert ids == new.encode("the bank 😀", add_special_tokens=False).ids
    planted.save_pretrained(tmp_path / "planted")
    again = ContextualEncoder.from_pretrained(tmp_path / "planted")
    np.testing.assert_array_equal(again.encode(TEXTS), planted.encode(TEXTS))
    assert [(v.pieces, v.offsets.tolist()) for v in again.encode_tokens(["the bank"])] == [
        (["<s>", "Ġthe", "Ġbank", "</s>"], [[0, 0], [0, 3], [4, 8], [0, 0]])
    ]
    assert planted.steps[-1]["method"] == method


def test_omp_finds_what_a_slow_loop_finds():
    from w2v_embed.contextual.transplanting import _omp

    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 12))
    known, wanted = np.arange(40), np.arange(40, 60)
    for id_, places, weights in _omp(rows, known, wanted, 4):
        left, chosen = rows[id_], []
        for _ in range(4):
            scores = [-1 if n in chosen else abs(left @ rows[n]) / np.linalg.norm(rows[n]) for n in known]
            chosen.append(int(np.argmax(scores)))
            best = np.linalg.lstsq(rows[chosen].T, rows[id_], rcond=None)[0]
            left = rows[id_] - best @ rows[chosen]
        assert places.tolist() == chosen
        np.testing.assert_allclose(weights, best, rtol=1e-4, atol=1e-5)


def test_tokenizers_of_all_kinds(bert, tmp_path):
    new = byte_level(tmp_path, CORPUS)

    class Fast:
        backend_tokenizer = new

    one, *others = (transplant(bert, each) for each in (tmp_path, tmp_path / "tokenizer.json", new, Fast()))
    for other in [*others, transplant(bert, one)]:
        assert other.tokenizer.pieces(CORPUS) == one.tokenizer.pieces(CORPUS)
        np.testing.assert_array_equal(table_of(other), table_of(one))
    by_encoder = transplant(bert, one, one)  # the space is the table of the encoder that has the tokenizer
    assert by_encoder.steps[-1]["method"] == "focus"
    # (a product of matrices may differ by where its arrays lie)
    np.testing.assert_allclose(table_of(by_encoder), table_of(transplant(bert, one, table_of(one))), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"method": "wechsel"}, ValueError, 'method must be "focus", "omp", "pieces" or None, received .wechsel.'),
        ({"method": "omp"}, ValueError, "vectors must be given for this method, received method 'omp' and None"),
        ({"vectors": np.ones((3, 2))}, ValueError, r"a row for each of 51 words, received shape \(3, 2\)"),
        ({"vectors": np.ones((60, 2)), "atoms": 0}, ValueError, "atoms must be a whole number from 1 on, received 0"),
    ],
)
def test_wrong_arguments_of_transplant(bert, tmp_path, options, error, told):
    new = byte_level(tmp_path, CORPUS) if "vectors" in options else REFERENCE / "bert_hf_bin"
    with pytest.raises(error, match=told.replace("51", str(new.get_vocab_size())) if "vectors" in options else told):
        transplant(bert, new, **options)
    with pytest.raises(TypeError, match="tokenizer must be a folder, a tokenizer.json, .*received 7"):
        transplant(bert, 7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=9))
def test_sparsemax_is_the_nearest_point_of_the_simplex(values):
    values = np.array(values)
    found = sparsemax(values)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    rng = np.random.default_rng(0)
    others = rng.dirichlet(np.ones(len(values)), 50)
    assert ((others - values) ** 2).sum(axis=1).min() >= ((found - values) ** 2).sum() - 1e-9


def test_settings_go_along(bert, tmp_path):
    more = add_tokens(bert, ["muddying"])
    more.save_pretrained(tmp_path / "more")
    told = json.loads((tmp_path / "more" / "config.json").read_text())
    assert told["vocab_size"] == 52
    assert told["model_type"] == "bert"
