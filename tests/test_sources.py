"""Sources are peers: what is held in a file, in an object, in a matrix or by a class of the user's gives the same matrix."""

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import same_bits, write_fasttext, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.matrix import Source
from w2v_embed.matrix.sources import source_of
from w2v_embed.readers.scan.keys import keys_of

RNG = np.random.default_rng(7)
ROWS = {word: RNG.normal(size=4).astype(np.float32) for word in ["the", "cat", "new", "york", "中", "国", "<pad>"]}
INDEX = {"the": 1, "Cat": 2, "new-york": 3, "nobody": 4, "中国": 5, "york": 6}
FALLBACKS = ["lower", "parts", "characters"]


class Toy:
    """The whole of a user's source."""

    def __init__(self, rows, name="toy"):
        self.rows, self.name = rows, name
        self.dim = len(next(iter(rows.values())))

    def has(self, words):
        return np.array([word in self.rows for word in words], bool)

    def lend(self, words):
        for k, word in enumerate(words):
            if word in self.rows:
                yield np.array([k]), self.rows[word][None]

    def fill(self, words, matrix, places, candidates=None):
        for numbers, rows in self.lend(words):
            matrix[places[numbers]] = rows
        return self.has(words)


def facts(em, name):
    """All that is told of a matrix, its source called "it"."""
    coverage = {**vars(em.coverage), "sources": {w: s.replace(name, "it") for w, s in em.coverage.sources.items()}}
    return [label.replace(name, "it") for label in em.provenance.tolist()], coverage, em.padding_row


@pytest.fixture
def path(tmp_path):
    return write_text(tmp_path / "v.txt", {word: row.tolist() for word, row in ROWS.items()})


class Asked:
    vector_size = 4

    def vectors_for(self, words):
        return [ROWS.get(word, np.full(4, 9)) for word in words], np.array([word in ROWS for word in words])


@pytest.fixture(params=["path", "str", "object", "trusted", "matrix", "artifact", "asked", "toy"])
def source(request, path, tmp_path):
    """(a source of ROWS, its name)"""
    kind = request.param
    if kind in ("path", "str"):
        return path if kind == "path" else str(path), "v.txt"
    if kind == "asked":
        return Asked(), "Asked"
    if kind == "toy":
        return Toy(ROWS), "toy"
    kv = load_vectors(path)
    if kind == "object":
        return kv, "KeyedVectors"
    if kind == "trusted":
        kv.save(str(tmp_path / "v.kv"))
        return tmp_path / "v.kv", "v.kv"
    em = EmbeddingMatrix(kv.vectors, kv.key_to_index)
    em.save(tmp_path / "m.safetensors")
    return (em, "EmbeddingMatrix") if kind == "matrix" else (tmp_path / "m.safetensors", "m.safetensors")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("suggest", [False, True])
def test_all_sources_of_the_same_vectors_are_one(source, path, suggest, dtype):
    options = {"fallbacks": FALLBACKS[: 1 if suggest else 3], "suggest": suggest, "oov": "normal", "dtype": dtype}
    value, name = source
    expected = build_matrix(path, INDEX, **options)
    em = build_matrix(value, INDEX, trust=True, **options)
    assert same_bits(em.matrix, expected.matrix)
    assert facts(em, name) == facts(expected, "v.txt")
    assert em.coverage.suggestions == ({"parts": ["new-york"], "characters": ["中国"]} if suggest else {})
    assert em.damage[0].total == 0


def test_a_source_of_the_users_own_beside_a_file(path, tmp_path):
    other = write_text(tmp_path / "o.txt", {"the": [1] * 4, "dog": [2] * 4, "old": [3] * 4})
    toy = Toy(ROWS)
    index = ["<pad>", "the", "DOG", "cat", "old-york", "zzz"]
    em = build_matrix([toy, other], index, fallbacks=["lower", "parts"])
    assert em.provenance.tolist() == ["padding", "toy", "o.txt (lower)", "toy", "o.txt + toy (parts)", "oov"]
    mean = np.mean([np.full(4, 3, np.float32), ROWS["york"]], axis=0, dtype=np.float64).astype(np.float32)
    assert same_bits(em.matrix[4], mean)
    em = build_matrix([other, toy], index, fallbacks=["lower", "parts"])
    assert em.provenance.tolist() == ["padding", "o.txt", "o.txt (lower)", "toy", "o.txt + toy (parts)", "oov"]
    assert em.matrix[1].tolist() == [1] * 4
    assert em.sources[:2] == (("o.txt", None), ("toy", None))
    assert isinstance(toy, Source)


def test_what_a_source_may_have_beside_the_protocol(path):
    closed, asked = [], []

    class More(Toy):
        def has(self, words):
            asked.append(words)
            return super().has(words)

        def fill(self, words, matrix, places, candidates=None):
            asked.append(sorted(candidates(["THE", "CAT"])))
            assert super().has(words).sum() == 2
            return super().fill(words, matrix, places)

        def word_keys(self):
            return [keys_of(list(self.rows))]

        def close(self):
            closed.append(self.name)

    em = build_matrix(More(ROWS, "more"), INDEX, fallbacks=["lower"])
    assert em.provenance.tolist()[2] == "more (lower)"
    assert asked[0] == ["cat"]  # "the" is of the vocabulary
    assert asked[1:] == [list(INDEX)]  # by its own fill, and not again: its keys tell
    assert closed == ["more"]

    class Made:
        def serves(self, word):
            return len(word) > 3

        def row(self, word):
            return np.full(4, len(word), np.float32)

    class WithNGrams(Toy):
        def ngrams(self):
            return Made()

    em = build_matrix([path, WithNGrams(ROWS)], ["the", "nobody", "abc"], fallbacks=["subwords"])
    assert em.provenance.tolist() == ["v.txt", "toy (subwords)", "oov"]
    assert em.matrix[1].tolist() == [6] * 4


# ── sources that are not what they should be ──


def spoiled(spoil):
    """A `fill` that does as the toy's, and then `spoil(matrix, places, found)`, which says what it returns."""

    def fill(self, words, matrix, places, candidates=None):
        return spoil(matrix, places, Toy.fill(self, words, matrix, places))

    return fill


def writes(rows_of, value=5.0):
    def spoil(matrix, places, found):
        matrix[rows_of(places, found)] = value
        return found

    return {"fill": spoiled(spoil)}


def lends(*parts):
    return {"lend": lambda self, words: iter(parts), "fill": lambda self, words, *_: np.zeros(len(words), bool)}


PAIRS = r"toy\.lend must give pairs of numbers from 0 to 0, \(k,\), and rows \(k, 4\), received "
ONE, ROW = np.array([0]), np.ones((1, 4))
HOSTILE = {
    "no name": ({"name": property(lambda self: "", lambda *_: None)}, "Hostile.name must be a text .* received ''"),
    "a name of 3": ({"name": property(lambda self: 3, lambda *_: None)}, "Hostile.name must be a text .* received 3"),
    "half a number": (
        {"dim": property(lambda self: 2.5, lambda *_: None)},
        "Hostile.dim must be a whole .* received 2.5",
    ),
    "no numbers": ({"dim": property(lambda self: 0, lambda *_: None)}, "Hostile.dim must be .* from 1 on, received 0"),
    "says nothing": (
        {"fill": spoiled(lambda *_: None)},
        r"toy.fill must return bools of shape \(3,\), received object",
    ),
    "says too little": ({"fill": spoiled(lambda m, p, f: f[1:])}, r"toy.fill must .* received bool of shape \(2,\)"),
    "says numbers": ({"fill": spoiled(lambda m, p, f: f + 0)}, r"toy.fill must return bools .* received int64"),
    "fills what it has not": (
        writes(lambda places, found: places[~found]),
        "toy.fill must write the rows of the words alone that it says it found, received numbers for 'THE'",
    ),
    "fills what it has not with NaN": (
        writes(lambda places, found: places[~found], np.nan),
        "received numbers for 'THE'",
    ),
    "fills the padding": (
        writes(lambda *_: 0),
        r"toy.fill must write rows at places\[k\] alone, received changes of others",
    ),
    "fills another's row": (writes(lambda *_: 1), r"toy.fill must write rows at places\[k\] alone, received changes"),
    "fills NaN": (
        writes(lambda places, found: places[found], np.nan),
        "toy, word 'cat': expected finite numbers in its vector.* on_error=\"skip\"",
    ),
    "has numbers": (
        {"has": lambda self, words: np.arange(len(words)), **lends()},
        "toy.has must return bools of shape",
    ),
    "has too much": (
        {"has": lambda self, words: [True] * 99, **lends()},
        r"toy.has must .* received bool of shape \(99,\)",
    ),
    "lends rows alone": (lends(ROW[0]), PAIRS),
    "lends None": (lends(None), PAIRS + "None"),
    "lends nothing at all": ({**lends(), "lend": lambda self, words: None}, PAIRS + "None"),
    "lends flat rows": (lends((ONE, ROW[0])), PAIRS),
    "lends wide rows": (lends((ONE, np.ones((1, 5)))), PAIRS),
    "lends text": (lends((ONE, np.full((1, 4), "a"))), PAIRS),
    "lends to number 1": (lends((ONE + 1, ROW)), PAIRS),
    "lends to number -1": (lends((ONE - 1, ROW)), PAIRS),
    "lends to half a number": (lends((ONE + 0.5, ROW)), PAIRS),
    "lends twice": (lends((ONE, ROW), (ONE, ROW)), "toy.lend must give the row of each word once"),
    "lends NaN": (lends((ONE, ROW * np.nan)), "toy, word 'old': expected finite numbers in its vector"),
}


@pytest.mark.parametrize("lie", HOSTILE)
def test_a_source_that_lies_is_named(lie, tmp_path):
    lies, message = HOSTILE[lie]
    source = type("Hostile", (Toy,), lies)(ROWS)
    first = write_text(tmp_path / "o.txt", {"old": [1] * 4})
    with pytest.raises(ValueError, match=message):
        build_matrix([first, source], ["<pad>", "old", "THE", "cat", "zzz"], fallbacks=["lower"])


def test_what_is_not_finite_is_not_there(path):
    """Neither its row nor that of a word that it would have lent."""
    toy = Toy({**ROWS, "cat": np.full(4, np.inf), "new": np.full(4, np.nan)})
    em = build_matrix([toy, path], ["<pad>", "cat", "the", "NEW"], fallbacks=["lower"], on_error="skip")
    assert em.provenance.tolist() == ["padding", "v.txt", "toy", "v.txt (lower)"]
    assert same_bits(em.matrix[1], ROWS["cat"])
    assert em.damage[0].counts == {"not finite": 2}
    alone = build_matrix(toy, ["<pad>", "cat", "the", "NEW"], fallbacks=["lower"], on_error="skip")
    assert alone.coverage.missing == ["cat", "NEW"]
    assert not alone.matrix[[0, 1, 3]].any()


def test_a_source_that_has_what_it_does_not_lend(path):
    class Liar(Toy):
        def has(self, words):
            return np.ones(len(words), bool)

        def fill(self, *asked):
            super().fill(*asked)
            return Toy.has(self, asked[0])

    em = build_matrix(Liar(ROWS), ["<pad>", "THE", "DOG", "cat"], fallbacks=["lower"])
    assert em.provenance.tolist() == ["padding", "toy (lower)", "oov", "toy"]


def test_errors_of_a_source_are_its_own(path):
    class Broken(Toy):
        def fill(self, *_):
            raise ConnectionError("the server is gone")

        def close(self):
            closed.append(1)

    closed = []
    with pytest.raises(ConnectionError, match="the server is gone"):
        build_matrix([path, Broken(ROWS)], INDEX)
    assert closed == [1]


def test_what_is_no_source(path):
    for wrong, told in ((3.5, "float"), (Toy, "type"), (None, "NoneType"), ({"a": [1]}, "dict")):
        with pytest.raises(TypeError, match=f"vectors must be a path, .* a Source .*; received {told}$"):
            build_matrix(wrong, {"a": 1})


def test_a_file_is_not_read_before_it_is_asked_to_fill(tmp_path):
    """What is wrong behind its first lines is not seen, and a second file of another width is refused before."""
    rows = {f"w{k}": [k, 1] for k in range(60_000)}
    path = write_text(tmp_path / "v.txt", rows)
    with open(path, "a") as file:
        file.write("cut 1\n")
    source = source_of(path)
    assert (source.name, source.dim) == ("v.txt", 2)
    with pytest.raises(ValueError, match="line 60002"):
        source.fill(["cut"], np.zeros((1, 2), np.float32), np.array([0]))
    source.close()
    wide = write_text(tmp_path / "wide.txt", {"a": [1, 2, 3]})
    with pytest.raises(ValueError, match="wide.txt has vectors of 3 numbers, v.txt of 2; they must be alike"):
        build_matrix([path, wide], ["cut"])


# ── format= and trust= ──


def test_a_gensim_file_is_a_source_where_it_is_trusted(path, tmp_path):
    kv = load_vectors(path)
    kv.save(str(tmp_path / "v.kv"))
    with pytest.raises(ValueError, match="is a Python pickle, .* trust=True"):
        build_matrix(tmp_path / "v.kv", INDEX)
    em = build_matrix(tmp_path / "v.kv", INDEX, trust=True, fallbacks=FALLBACKS)
    assert same_bits(em.matrix, build_matrix(path, INDEX, fallbacks=FALLBACKS).matrix)
    ngrams = np.random.default_rng(0).normal(size=(20, 4))
    binary = write_fasttext(tmp_path / "v.bin", list(ROWS), list(ROWS.values()), ngrams)
    load_vectors(binary).save(str(tmp_path / "ft.kv"))
    made = build_matrix(tmp_path / "ft.kv", INDEX, trust=True, fallbacks=["subwords"])
    assert same_bits(made.matrix, build_matrix(binary, INDEX, fallbacks=["subwords"]).matrix)
    assert "ft.kv (subwords)" in made.provenance


def test_a_format_is_obeyed(tmp_path):
    path = write_text(tmp_path / "v.txt", {"a": [1, 2], "b": [3, 4]})
    assert build_matrix(path, ["a"], format="text").matrix.tolist() == [[1, 2]]
    with pytest.raises(ValueError):
        build_matrix(path, ["a"], format="fasttext")
    with pytest.raises(ValueError, match="format must be .* received 'tekst'"):
        build_matrix(path, ["a"], format="tekst")
    kv = load_vectors(path)
    assert same_bits(
        build_matrix(kv, ["a"], format="binary").matrix, build_matrix(path, ["a"]).matrix
    )  # of paths alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": None}, 'dtype must be "float16", "float32" or "float64", received None'),
        ({"dtype": "float"}, None),
        ({"dtype": "floats"}, "dtype must be .* received 'floats'"),
        ({"dtype": 7}, "dtype must be .* received 7"),
        ({"seed": -1}, "seed must be a whole number from 0 on, received -1"),
        ({"seed": None}, "seed must be a whole number from 0 on, received None"),
        ({"seed": True}, "seed must be a whole number from 0 on, received True"),
        ({"seed": np.int64(3)}, None),
        ({"num_words": True}, "num_words must be .* received True"),
        ({"oov": 12}, 'oov must be "zeros", "normal", "mean" or a callable .*, received 12'),
        ({"on_error": "warn"}, 'on_error must be "raise" or "skip", received \'warn\''),
    ],
)
def test_wrong_arguments_are_named(path, options, message):
    for source in (path, KeyedVectors.load_word2vec_format(str(path))):
        if message is None:
            build_matrix(source, INDEX, **options)
        else:
            with pytest.raises(ValueError, match=message):
                build_matrix(source, INDEX, **options)


# ── draws for unknown words ──


def test_a_draw_is_of_its_seed_and_word(path):
    def drawn(index, seed=0, **options):
        em = build_matrix(path, index, oov="normal", seed=seed, **options)
        return {word: em.matrix[k].tobytes() for word, k in em.word_index.items()}

    few = drawn({"cat": 1, "the": 2, "x": 3, "y": 4})
    assert drawn({"cat": 1, "the": 2, "a": 3, "y": 4, "x": 5, "zz": 9}).items() >= few.items()
    assert drawn({"x": 1, "the": 5, "cat": 2})["x"] == few["x"]
    assert drawn({"cat": 1, "the": 2, "x": 3}, seed=1)["x"] != few["x"]
    assert len(set(drawn(["cat", "the", "1", "01", "\ud800", "id 3"]).values())) == 6


def test_rows_of_unknown_ids_are_keyed_by_their_ids(path):
    pytest.importorskip("keras")
    pytest.importorskip("tensorflow")  # whatever the backend, this layer needs it
    from keras.layers import StringLookup

    lookup = StringLookup(vocabulary=["cat", "the"], num_oov_indices=3, mask_token="")
    em = build_matrix(path, lookup, oov="normal", seed=2)
    assert len({row.tobytes() for row in em.matrix}) == em.shape[0]
    more = build_matrix(
        path, StringLookup(vocabulary=["cat", "the", "x"], num_oov_indices=3, mask_token=""), oov="normal", seed=2
    )
    assert same_bits(more.matrix[: em.shape[0]], em.matrix)


def test_draws_are_normal_and_apart():
    from w2v_embed.matrix.oov import draw

    words = [f"w{k}" for k in range(20_000)]
    rows = draw(words, 32, seed=5)
    assert abs(rows.mean()) < 0.005
    assert abs(rows.var() - 1) < 0.01
    assert np.abs(np.corrcoef(rows.T) - np.eye(32)).max() < 0.05
    assert np.abs(np.corrcoef(rows[:200]) - np.eye(200)).max() < 0.9
    assert same_bits(draw(words[7:9], 32, seed=5), rows[7:9])
    assert same_bits(draw(["w7"], 10, seed=5)[0], rows[7, :10])
    # NumPy 2.4's, of keys that are blake2b's: where this changes, matrices are no more what they were
    golden = [[0.8621873207275177, -0.12422421643446081, -1.3210961692391816]]
    golden += [[0.262139238057064, 0.23375383824297166, -1.0265274576532872]]
    np.testing.assert_allclose(draw(["cat", 7], 3, seed=0), golden, rtol=1e-12)
