"""Folders of sentence-transformers: what encode gives without options is what they give (tests/data/sentences/make.py)."""

import json
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from w2v_embed import build_matrix
from w2v_embed.contextual import ContextualEncoder, pooling
from w2v_embed.contextual.pooling import likeness
from w2v_embed.contextual.sentences import read_sentences

pytestmark = pytest.mark.keras

DATA = Path(__file__).parent / "data" / "sentences"
TEXTS = json.loads((DATA / "texts.json").read_text("utf-8"))
VECTORS = np.load(DATA / "vectors.npz")


@pytest.fixture(scope="module")
def encoder():
    return ContextualEncoder.from_pretrained(DATA / "model")


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(DATA / "model", tmp_path / "model"))


def test_vectors_are_those_of_sentence_transformers(encoder, tmp_path):
    np.testing.assert_allclose(encoder.encode(TEXTS), VECTORS["plain"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS, prompt_name="query"), VECTORS["query"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(iter(TEXTS), prompt="the king "), VECTORS["query"], atol=1e-5)
    stored = encoder.encode(TEXTS, output=tmp_path / "v.npy")
    np.testing.assert_array_equal(stored, encoder.encode(TEXTS))
    assert encoder.encode([]).shape == (0, 12)


def test_any_choice_is_that_of_a_plain_model(encoder):
    plain = ContextualEncoder.from_pretrained(DATA.parent / "reference" / "albert_hf")
    np.testing.assert_array_equal(encoder.encode(TEXTS, layers=-2), plain.encode(TEXTS))
    assert encoder.encode(TEXTS, pooling="mean_max").shape == (len(TEXTS), 64)


def test_lower_case_and_older_words_for_poolings(folder, encoder):
    told = json.loads((folder / "sentence_bert_config.json").read_text())
    (folder / "sentence_bert_config.json").write_text(json.dumps({**told, "do_lower_case": True, "max_seq_length": 20}))
    modes = {f"pooling_mode_{mode}": True for mode in ("cls_token", "max_tokens", "mean_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    older = ContextualEncoder.from_pretrained(folder)
    lowered = [text.lower() for text in TEXTS]
    np.testing.assert_allclose(older.encode(TEXTS), encoder.encode(lowered), atol=1e-6)


def test_a_default_prompt(folder):
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "default_prompt_name": "query"}))
    prompted = ContextualEncoder.from_pretrained(folder)
    np.testing.assert_allclose(prompted.encode(TEXTS), VECTORS["query"], atol=1e-5)
    np.testing.assert_allclose(prompted.encode(TEXTS, prompt=""), VECTORS["plain"], atol=1e-5)


_open = Path.open
MODULES = json.loads((DATA / "model" / "modules.json").read_text())


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("modules.json", {}, r"modules\.json: expected a list of objects with a type, got \{\}"),
        ("modules.json", [], "the first module must be a Transformer or a StaticEmbedding, received 'none'"),
        ("modules.json", [*MODULES, {"type": "a.CNN", "path": ""}], "module 4 is a CNN, which is not computed here"),
        ("modules.json", [{"type": 3}], r"expected a list of objects with a type, got .*Download the folder again"),
        ("modules.json", MODULES * 12, "expected at most 32 modules, got 48"),
        (
            "1_Pooling/config.json",
            {"pooling_mode": "lasttoken"},
            "one or several of cls, max, mean, received .*lasttoken",
        ),
        ("1_Pooling/config.json", {}, "one or several of cls, max, mean, received"),
        (
            "2_Dense/config.json",
            {"activation_function": "torch.nn.GELU"},
            "activation_function must be one of Tanh, .*GELU",
        ),
        ("config_sentence_transformers.json", {"prompts": 3}, "prompts must be of type dict, received 3"),
        (
            "config_sentence_transformers.json",
            {"similarity_fn_name": "angle"},
            r'similarity_fn_name \(.*json\) must be "cosine", "dot", .*received .angle',
        ),
    ],
)
def test_what_is_not_computed_is_refused(folder, file, content, told):
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=told):
        ContextualEncoder.from_pretrained(folder)


def test_dense_layers_that_do_not_fit(folder):
    save_file({"linear.bias": np.zeros(12, "float32")}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ValueError, match="has no matrix 'linear.weight', which a Dense needs"):
        ContextualEncoder.from_pretrained(folder)
    tensors = {"linear.weight": np.zeros((12, 96), "float32"), "linear.bias": np.zeros(11, "float32")}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ValueError, match=r"'linear.bias' must have shape \(12,\), received \(11,\)"):
        ContextualEncoder.from_pretrained(folder)


def test_prompts_that_are_not_there(encoder):
    with pytest.raises(ValueError, match="prompt_name must be one of .*query, received 'passage'"):
        encoder.encode(TEXTS, prompt_name="passage")
    plain = ContextualEncoder.from_pretrained(DATA.parent / "reference" / "albert_hf")
    with pytest.raises(
        ValueError, match="prompt_name must be None, since the model's folder has no prompts, received 'query'"
    ):
        plain.encode(TEXTS, prompt_name="query")


STATIC = np.load(DATA / "static.npz")
WORDS = ["the king of a river", "money", "", "muddy bank"]


@pytest.fixture(scope="module")
def static():
    return ContextualEncoder.from_pretrained(DATA / "static")


def test_a_table_without_a_net(static, tmp_path):
    """What tests/data/sentences/make_static.py made; one text is longer than its tokenizer lets be."""
    options = {
        "query": {"prompt_name": "query"},
        "short": {"truncate_dim": 5},
        "unit": {"truncate_dim": 5, "normalize": True},
    }
    for name, option in {"plain": {}, **options}.items():
        np.testing.assert_allclose(static.encode(TEXTS, **option), STATIC[name], atol=1e-5)
    np.testing.assert_allclose(static.encode(iter(TEXTS), prompt="the king ", batch_size=2), STATIC["query"], atol=1e-5)
    stored = static.encode(TEXTS, output=tmp_path / "v.npy")
    np.testing.assert_array_equal(stored, static.encode(TEXTS))
    assert static.encode([]).shape == (0, 8)
    assert not static.encode(["", "\ud800"]).any()
    assert static.vector_size == 8


def test_similarities_are_those_of_sentence_transformers(static):
    np.testing.assert_allclose(static.similarity(TEXTS, WORDS), STATIC["euclidean"], atol=1e-5)  # as its folder says
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        np.testing.assert_allclose(static.similarity(TEXTS, WORDS, function=name), STATIC[name], atol=1e-5)
        np.testing.assert_allclose(likeness(name, STATIC["plain"], static.encode(WORDS)), STATIC[name], atol=1e-5)
    assert static.similarity("money", "money") == 0
    with pytest.raises(
        ValueError, match='function must be "cosine", "dot", "euclidean" or "manhattan", received .angle'
    ):
        static.similarity("a", "b", function="angle")


def test_likeness_of_many_rows_at_once(monkeypatch):
    monkeypatch.setattr(pooling, "_AT_ONCE", 20)
    a, b = np.random.default_rng(0).normal(size=(7, 3)), np.random.default_rng(1).normal(size=(4, 3))
    expected = [[-(sum((x - y) ** 2 for x, y in zip(one, other)) ** 0.5) for other in b] for one in a]
    np.testing.assert_allclose(likeness("euclidean", a, b), expected, rtol=1e-5)


def test_words_of_a_table(static):
    rows, found = static.vectors_for(["bank", "", "king"])
    assert found.tolist() == [True, False, True]
    cosines = np.sum(static.encode(["bank", "king"]) * rows[found], axis=1) / np.linalg.norm(rows[found], axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    assert build_matrix(DATA / "static", {"bank": 1}).matrix[1].tolist() == rows[0].tolist()


def test_what_a_table_has_not_is_refused(static):
    with pytest.raises(ValueError, match="static is a static table: it has no layers, .*build_matrix"):
        static.hidden_states([[1]])
    with pytest.raises(ValueError, match="is a static table"):
        static.to_keras()
    with pytest.raises(ValueError, match="layers must be None for .*static, which is a static table, received -1"):
        static.encode(TEXTS, layers=-1)
    with pytest.raises(TypeError, match="texts must be strings, of which a static table sees no pairs, received"):
        static.encode([("a", "b")])
    with pytest.raises(ValueError, match="truncate_dim must be .*8, received 9"):
        static.encode(TEXTS, truncate_dim=9)


def test_a_table_in_a_folder_of_its_own_and_a_dense_layer(static, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(DATA / "static", folder / "0_StaticEmbedding", ignore=shutil.ignore_patterns("1_*", "modules.json"))
    shutil.copytree(DATA / "model" / "2_Dense", folder / "1_Dense")
    kernel = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    save_file({"linear.weight": kernel}, folder / "1_Dense" / "model.safetensors")
    modules = [{"type": "x.StaticEmbedding", "path": "0_StaticEmbedding"}, {"type": "x.Dense", "path": "1_Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    deeper = ContextualEncoder.from_pretrained(folder)
    assert deeper.vector_size == 3
    plain = static.vectors_for(["bank"])[0]
    np.testing.assert_allclose(deeper.encode(["bank"]), np.tanh(plain @ kernel.T), atol=1e-5)


def test_truncated_and_normalized_vectors_of_a_net(encoder, tmp_path):
    made = encoder.encode(TEXTS, truncate_dim=5, normalize=True)
    expected = VECTORS["plain"][:, :5] / np.linalg.norm(VECTORS["plain"][:, :5], axis=1, keepdims=True)
    np.testing.assert_allclose(made, expected, atol=1e-5)
    stored = encoder.encode(TEXTS, truncate_dim=5, normalize=True, output=tmp_path / "v.npy")
    np.testing.assert_array_equal(stored, made)


OUTSIDE = [
    "../..",
    "..",
    "1_Pooling/../../x",
    "/",
    "/etc",
    "..\\x",
    "C:",
    "C:x",
    "C:\\x",
    "\\\\host\\x",
    "a\0b",
    3,
    None,
    ["1_Pooling"],
    {},
]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_modules_lie_in_the_folder(folder, name, place):
    modules = [{**each, "path": name} if number == place else each for number, each in enumerate(MODULES)]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="expected the name of a folder in it, got .*Where does this model come from"):
        read_sentences(folder)


def test_damaged_files_say_what_is_wrong(folder):
    text = (folder / "modules.json").read_bytes()
    for data, told in [
        (text[:40], r"modules\.json, line .: not JSON .*Download the folder again, or delete this file"),
        (b"", r"modules\.json, line 1: not JSON"),
        (b"\xff" + text, r"modules\.json, line 1 \(byte 0\): expected UTF-8, got .*0xff"),
        (b"[" * 30_000, r"modules\.json: lists or objects nested too deeply"),
        (text + b" " * (1 << 16), r"modules\.json has 66,\d+ bytes: expected at most 65,536"),
        (b'[{"type": "a", "type": "b"}]', r"modules\.json.*'type'"),
    ]:
        (folder / "modules.json").write_bytes(data)
        with pytest.raises(ValueError, match=told):
            read_sentences(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "path", "idx", "x"]), inner),
    max_leaves=9,
)
KINDS = st.sampled_from(["Transformer", "x.StaticEmbedding", "Pooling", "Dense", "Normalize", "Dropout", "CNN", ""])
PLACES = st.sampled_from(["", "1_Pooling", "2_Dense", "nowhere", "../outside", "1_Pooling/..", "modules.json"]) | JSON
MADE = st.lists(st.fixed_dictionaries({"type": KINDS | JSON, "path": PLACES}), max_size=5)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Path(shutil.copytree(DATA / "model", tmp_path_factory.mktemp("fuzz") / "model"))


@settings(max_examples=60, deadline=None)
@given(content=st.one_of(JSON, MADE).map(json.dumps).map(str.encode) | st.binary(max_size=99))
def test_whatever_modules_json_says_nothing_outside_is_read(home, content):
    (home / "modules.json").write_bytes(content)
    seen, told = [], ""

    def opened(path, *args, **options):
        seen.append(path)
        return _open(path, *args, **options)

    with mock.patch.object(Path, "open", opened):
        try:
            assert read_sentences(home)
        except (ValueError, OSError) as error:
            told = str(error)
    assert not told or str(home) in told
    assert seen
    assert all(path.resolve().is_relative_to(home.resolve()) for path in seen)
