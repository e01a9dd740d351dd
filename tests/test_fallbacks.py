"""Fallbacks: every derived row is what a naive reading of the rules gives, and says truly where it came from."""

import gzip
import itertools
import pickle
import re
import unicodedata
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import FastTextKeyedVectors, load_facebook_vectors
from gensim.test.utils import datapath
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import same_bits, use_hot, write_binary, write_fasttext, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed._types import FallbackName
from w2v_embed.matrix.fallbacks import FINDS, NAMES, Derivation, Fallbacks
from w2v_embed.matrix.sources import file as select
from w2v_embed.readers import excerpt, opened
from w2v_embed.readers.scan.keys import WordSet


@pytest.fixture(autouse=True)
def _go_back(monkeypatch):
    """Read lenders after the run in narrow files too, such as the tests write; packed files show the other way."""
    monkeypatch.setattr(opened, "_LEAST_NUMBERS", 1)


_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HAN = re.compile(f"[{_HAN}]+")
RNG = np.random.default_rng(0)


def rows_of(words, dim=3):
    return {word: RNG.normal(size=dim).astype(np.float32).tolist() for word in words}


# ── the naive oracle: one word at a time ──

SPELLINGS = {
    "nfkc": lambda word: [unicodedata.normalize("NFKC", word)],
    "lower": lambda word: [word.lower()],
    "title": lambda word: [word.title()],
    "upper": lambda word: [word.upper()],
    "digits": lambda word: [re.sub("[0-9]", "#", word), re.sub("[0-9]", "0", word)],
    "markers": lambda word: [re.sub("^(##|[▁Ġ]+)", "", word)],
}


def cuts(run):
    """All ways to cut a word into parts of up to six characters."""
    if not run:
        yield ()
    for end in range(1, min(len(run), 6) + 1):
        for rest in cuts(run[end:]):
            yield (run[:end], *rest)


def parts_of(word, known):
    runs = re.findall(f"[{_HAN}]+|[^\\W_{_HAN}]+", word)
    options = []
    for run in runs:
        if run in known and run != word:
            options.append([(run,)])
        elif HAN.match(run):
            good = [cut for cut in cuts(run) if all(part in known for part in cut) and len(cut) > 1]
            options.append(sorted(good, key=lambda cut: (len(cut), [-len(part) for part in cut]))[:1])
        else:
            return None
    for choice in itertools.product(*options):
        parts = tuple(itertools.chain(*choice))
        if len(parts) > 1 and max(map(len, parts)) > 1:
            return parts
    return None


def naive(word, fallbacks, known):
    """(label, words whose mean is the row), or None."""
    forms = [("", word)]
    for name in fallbacks:
        if name in SPELLINGS:
            fresh = []
            for change in range(2):
                for label, form in forms:
                    spelled = SPELLINGS[name](form)[change:][:1]
                    if spelled and spelled[0] and spelled[0] not in [form for _, form in forms + fresh]:
                        fresh.append((f"{label}+{name}".lstrip("+"), spelled[0]))
            # all changes of the word itself come before those of its other spellings
            own = [SPELLINGS[name](word)[change:][:1] for change in range(2)]
            fresh.sort(key=lambda item: [item[1]] not in own)
            forms += fresh
            options = [(label, (form,)) for label, form in fresh if form in known]
        else:
            options = []
            for label, form in forms:
                if name == "parts":
                    words = parts_of(form, known)
                else:
                    words = tuple(form) if len(form) > 1 and HAN.fullmatch(form) and set(form) <= known else None
                if words:
                    options.append((f"{label}+{name}".lstrip("+"), words))
        if options:
            return options[0]
    return None


# ── the contract ──

LETTERS = st.sampled_from(list("aAbB1２Ａ中国人行-_▁Ġ#é"))
WORDS = st.text(LETTERS, min_size=1, max_size=6).filter(lambda word: not word.isspace())


@settings(max_examples=60, deadline=None)
@given(
    in_file=st.lists(WORDS, min_size=1, max_size=25, unique=True),
    wanted=st.lists(WORDS, min_size=1, max_size=15, unique=True),
    fallbacks=st.permutations([*SPELLINGS, "parts", "characters"]).flatmap(
        lambda names: st.integers(1, len(names)).map(lambda n: names[:n])
    ),
    block=st.sampled_from([64, 200, 1 << 20]),
    head=st.sampled_from([200, 1 << 18]),  # of the file, read beforehand: more than one line
    room=st.sampled_from([1, 1 << 20]),
    hot=st.sampled_from(["kernels", "plain"]),
    kind=st.sampled_from(["text", "binary", "packed"]),
    seed=st.integers(0, 9),
)
def test_each_row_is_what_its_provenance_says(
    tmp_path_factory, in_file, wanted, fallbacks, block, head, room, hot, kind, seed
):
    rows = rows_of(in_file)
    path = tmp_path_factory.mktemp("v") / "v.txt"
    (write_binary if kind == "binary" else write_text)(path, rows)
    if kind == "packed":
        path.write_bytes(gzip.compress(path.read_bytes()))
    ids = np.random.default_rng(seed).permutation(len(wanted)) + 1
    index = dict(zip(wanted, ids.tolist()))
    with pytest.MonkeyPatch.context() as patch:
        use_hot(hot, patch)
        patch.setattr("w2v_embed.readers.blocks._BLOCK", block)
        patch.setattr(opened, "HEAD", head)
        patch.setattr(select, "_SIDE_BYTES", room)
        em = build_matrix(path, index, fallbacks=fallbacks, oov="normal", seed=seed)
        in_order = build_matrix(path, ["<pad>", *wanted], fallbacks=fallbacks, oov="normal", seed=seed)
    for word, k in index.items():
        expected = naive(word, fallbacks, set(in_file))
        if word in rows:
            assert em.provenance[k] == "v.txt"
            assert same_bits(em.matrix[k], np.array(rows[word], np.float32))
            assert em.coverage.how(word) == "exact"
        elif expected is None:
            assert em.provenance[k] == "oov"
            assert word in em.coverage.missing
        else:
            label, words = expected
            assert em.derived[word] == Derivation(label, words)
            assert em.provenance[k] == f"v.txt ({label})"
            mean = np.mean([rows[one] for one in words], axis=0, dtype=np.float64).astype(np.float32)
            assert same_bits(em.matrix[k], mean)
    for word, k in index.items():
        assert same_bits(em.matrix[k], in_order.matrix[wanted.index(word) + 1])
    assert em.oov_rows.tolist() == sorted(index[word] for word in em.coverage.missing)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "subwords"])
def test_candidates_hold_all_that_resolve_may_want(name):
    if name in ("simplified", "traditional"):
        pytest.importorskip("opencc")
    plan = Fallbacks(["lower", name])
    words = ["中國人民", "ＡＢc", "New-York 3", "##ing", "Ġthe", "2024", "中a国", "a\nB", "", " "]

    asked = set()

    class Noting(WordSet):
        def has_stretches(self, buf, begins, ends):
            asked.update(bytes(buf[begin:end]).decode() for begin, end in zip(begins, ends))
            return super().has_stretches(buf, begins, ends)

    known = Noting.of([])
    assert plan.resolve(words, known).loans == []
    assert asked
    assert asked - set(words) <= plan.candidates(words) | {""}


@pytest.mark.parametrize("kind", ["text", "packed"])
def test_a_word_that_only_shares_its_key_is_no_lender(tmp_path, monkeypatch, hot, kind):
    """Where the set of keys says yes to every word, what a file has is found out word by word."""
    monkeypatch.setattr(hot, "are_in", lambda keys, some: np.ones(len(keys), np.bool_))
    path = write_text(tmp_path / "v.txt", rows := rows_of(["the", "new", "york", "ABC"]))
    if kind == "packed":
        path.write_bytes(gzip.compress(path.read_bytes()))
    index = ["<pad>", "The", "New-York", "abc", "qq-rr", "QQ", "new", "ZZ", "zz"]
    em = build_matrix(path, index, fallbacks=["lower", "parts"], suggest=True)
    assert em.derived == {"The": Derivation("lower", ("the",)), "New-York": Derivation("lower+parts", ("new", "york"))}
    assert em.coverage.missing == ["abc", "qq-rr", "QQ", "ZZ", "zz"]
    assert em.coverage.suggestions == {"upper": ["abc"]}
    assert same_bits(em.matrix[1], np.array(rows["the"], np.float32))


def test_order_is_the_users(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["the", "THE", "iphone"]))
    index = {"The": 1, "ＩＰＨＯＮＥ": 2}
    assert build_matrix(path, index, fallbacks=["lower", "upper"]).derived["The"].words == ("the",)
    assert build_matrix(path, index, fallbacks=["upper", "lower"]).derived["The"].words == ("THE",)
    assert build_matrix(path, index, fallbacks=["nfkc", "lower"]).provenance[2] == "v.txt (nfkc+lower)"
    # nfkc comes after lower, which had nothing to do with full-width capitals but ｉｐｈｏｎｅ
    assert build_matrix(path, index, fallbacks=["lower", "nfkc"]).derived["ＩＰＨＯＮＥ"] == Derivation(
        "lower+nfkc", ("iphone",)
    )


def test_a_step_builds_on_all_before_it(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["iphone"]))
    em = build_matrix(path, ["<pad>", "ＩＰＨＯＮＥ"], fallbacks=["nfkc", "digits", "lower"])
    assert em.derived["ＩＰＨＯＮＥ"] == Derivation("nfkc+lower", ("iphone",))


def test_of_equally_few_parts_the_longer_comes_first():
    def parts(word, known):
        derived = Fallbacks(["parts"]).resolve([word], WordSet.of(known)).derived()
        return derived[word].words if derived else None

    assert parts("中国人", ["中", "国人", "中国", "人"]) == ("中国", "人")
    assert parts("中国人民", ["中", "国人民", "中国", "人", "民"]) == ("中", "国人民")
    assert parts("中国人民", ["中国", "人民", "中", "国人", "民"]) == ("中国", "人民")
    assert parts("中国人", ["中国人", "中国", "人"]) == ("中国", "人")
    assert parts("中国人", ["中", "国", "人"]) is None


@pytest.mark.parametrize("noted", [False, True], ids=["collected in passing", "noted and read again"])
def test_two_chinese_characters_beside_another_script(tmp_path, monkeypatch, noted):
    """Each may lend alone there: another part has two characters."""
    monkeypatch.setattr(opened, "_LEAST_NUMBERS", 1 if noted else 1 << 20)
    path = write_text(tmp_path / "v.txt", rows_of(["éA", "国", "人", "a"]))
    em = build_matrix(path, ["<pad>", "éA国人a-", "国人"], fallbacks=["parts"])
    assert em.derived == {"éA国人a-": Derivation("parts", ("éA", "国", "人", "a"))}


def test_chinese(tmp_path):
    pytest.importorskip("opencc")
    path = write_text(tmp_path / "v.txt", rows_of(["中国", "人民", "银行", "魑", "魅", "繁體", "人", "民"]))
    index = {word: k for k, word in enumerate(["中國", "中国人民银行", "魑魅", "繁体", "人民人", "国民", "恤t"], 1)}
    em = build_matrix(path, index, fallbacks=["simplified", "traditional", "parts", "characters"])
    assert em.derived == {
        "中國": Derivation("simplified", ("中国",)),
        "中国人民银行": Derivation("parts", ("中国", "人民", "银行")),
        "魑魅": Derivation("characters", ("魑", "魅")),
        "繁体": Derivation("traditional", ("繁體",)),
        "人民人": Derivation("parts", ("人民", "人")),
    }
    assert em.coverage.missing == ["国民", "恤t"]
    assert em.coverage.by_fallback == {"simplified": 1, "parts": 2, "characters": 1, "traditional": 1}


def test_letters_are_cut_at_punctuation_only(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["car", "pet", "new", "york", "state", "of", "the", "art"]))
    em = build_matrix(path, ["<pad>", "carpet", "New_York", "state-of-the-art"], fallbacks=["lower", "parts"])
    assert em.coverage.missing == ["carpet"]
    assert em.derived["New_York"] == Derivation("lower+parts", ("new", "york"))
    assert em.derived["state-of-the-art"].words == ("state", "of", "the", "art")


def test_callables(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["run", "sit"]))

    def stem(word):
        return [word.removesuffix("ning"), word.removesuffix("ting")]

    em = build_matrix(path, ["<pad>", "running", "sitting", "flying"], fallbacks=[stem, lambda word: None])
    assert em.provenance.tolist() == ["padding", "v.txt (stem)", "v.txt (stem)", "oov"]
    with pytest.raises(
        TypeError, match="the fallback <lambda> must return a word, a list of words or None, received 7 for"
    ):
        build_matrix(path, ["running"], fallbacks=[lambda word: 7])


def test_subwords(tmp_path):
    """On the small English fastText model that gensim carries: through its path, and in memory."""
    path = Path(datapath("lee_fasttext_new.bin"))
    kv, index = load_facebook_vectors(str(path)), ["<pad>", "night", "nightzzq", "Zz9", "NIGHT", ""]
    for source, name in ((path, path.name), (kv, "FastTextKeyedVectors"), (load_vectors(path), "FastTextKeyedVectors")):
        em = build_matrix(source, index, suggest=True)
        assert em.coverage.found == ["night"]
        assert em.provenance.tolist() == ["padding", name, *["oov"] * 4]
        assert not em.matrix[2:].any()
        assert em.coverage.suggestions["subwords"] == ["nightzzq", "Zz9", "NIGHT"]
        assert "3 missing words: the vectors' n-grams make a row for them (fallback subwords)" in em.coverage.summary()
        em = build_matrix(source, index, fallbacks=["lower", "subwords"], suggest=True)
        assert em.provenance.tolist()[1:] == [name, *[f"{name} (subwords)"] * 2, f"{name} (lower)", "oov"]
        for word in ("nightzzq", "Zz9"):
            assert same_bits(em.matrix[em.word_index[word]], kv.get_vector(word))
        assert em.derived["nightzzq"] == Derivation("subwords", ())
        assert em.coverage.by_fallback == {"exact": 1, "subwords": 2, "lower": 1}
        assert em.coverage.missing == [""]  # too short for an n-gram: fastText has zeros for it
        assert "subwords" not in em.coverage.suggestions
        em.save(tmp_path / "m.npz")
        assert EmbeddingMatrix.load(tmp_path / "m.npz").coverage == em.coverage
    assert load_vectors(path, words=index).index_to_key == ["night"]


def test_subwords_need_ngrams(tmp_path):
    plain = KeyedVectors(2)
    plain.add_vectors(["a"], np.ones((1, 2)))
    text = write_text(tmp_path / "v.txt", {"a": [1, 2]})
    bare = write_fasttext(tmp_path / "bare.bin", ["a"], [[1, 2]], np.zeros((0, 2)))
    off = write_fasttext(tmp_path / "off.bin", ["a"], [[1, 2]], np.zeros((5, 2)), minn=3, maxn=0)
    empty = FastTextKeyedVectors(2, 3, 6, 10)
    for source in (plain, text, bare, off, load_vectors(bare), load_vectors(off), empty, [plain, text]):
        with pytest.raises(
            ValueError, match='"subwords" needs fastText vectors .* received (KeyedVectors|.*v.txt|.*bin|Fa)'
        ):
            build_matrix(source, ["a", "b"], fallbacks=["subwords"])
    good = write_fasttext(tmp_path / "good.bin", ["a"], [[1, 2]], np.ones((5, 2)))
    for source in ([text, good], [load_vectors(bare), load_vectors(good)]):
        em = build_matrix(source, ["a", "bcd", "e\ud800f"], fallbacks=["subwords"])
        assert em.coverage.by_fallback == {"exact": 1, "subwords": 1}
        assert em.coverage.missing == ["e\ud800f"]


def test_every_kind_of_source_lends(tmp_path, hot):
    rows = rows_of(["the", "new", "york", "cat"])
    path = write_text(tmp_path / "v.txt", rows)
    index = {"The": 1, "new-york": 2, "cat": 3, "CAT": 4, "nobody": 5}
    expected = build_matrix(path, index, fallbacks=["lower", "parts"])

    class Encoder:
        vector_size = 3

        def vectors_for(self, words):
            return np.array([rows.get(word, [9] * 3) for word in words]), np.array([word in rows for word in words])

    for source in (load_vectors(path), Encoder()):
        em = build_matrix(source, index, fallbacks=["lower", "parts"])
        assert same_bits(em.matrix, expected.matrix)
        assert em.derived == expected.derived
    assert same_bits(expected.matrix[4], expected.matrix[3])


def test_a_word_of_a_later_source_goes_before_a_fallback(tmp_path):
    first, second = rows_of(["the", "new"]), rows_of(["The", "york", "cat"])
    paths = [write_text(tmp_path / "a.txt", first), write_text(tmp_path / "b.txt", second)]
    em = build_matrix(paths, ["<pad>", "The", "new-york", "CAT"], fallbacks=["lower", "parts"])
    assert em.provenance.tolist() == ["padding", "b.txt", "a.txt + b.txt (parts)", "b.txt (lower)"]
    mean = np.mean([first["new"], second["york"]], axis=0, dtype=np.float64)
    assert same_bits(em.matrix[2], mean.astype(np.float32))


@pytest.mark.parametrize("first", ["text", "packed", "object"])
@pytest.mark.parametrize("second", ["text", "packed", "object"])
def test_an_earlier_source_lends(tmp_path, hot, first, second):
    """Also where a later one has the same lender, and the word was looked for in both."""
    sources = []
    for kind, rows in ((first, {"the": [1, 2], "dog": [3, 4]}), (second, {"the": [5, 6], "cat": [7, 8]})):
        path = write_text(tmp_path / f"{len(sources)}.txt", rows)
        sources.append(load_vectors(path) if kind == "object" else path)
        if kind == "packed":
            path.write_bytes(gzip.compress(path.read_bytes()))
    em = build_matrix(sources, ["<pad>", "THE", "CAT", "the-cat", "dog"], fallbacks=["lower", "parts"])
    assert em.matrix.tolist() == [[0, 0], [1, 2], [7, 8], [4, 5], [3, 4]]
    names = [source.name if isinstance(source, Path) else "KeyedVectors" for source in sources]
    derived = [f"{names[0]} (lower)", f"{names[1]} (lower)", f"{' + '.join(names)} (parts)"]
    assert em.provenance.tolist() == ["padding", *derived, names[0]]


KINDS = ("text", "binary", "packed", "object", "encoder", "matrix", "artifact", "fasttext", "fasttext object")


def source_of(kind, path, rows):
    """(a source of that kind, what it is called, its rows)"""
    values = np.array(list(rows.values()), np.float32)
    if kind in ("matrix", "artifact"):
        em = EmbeddingMatrix(values, {word: k for k, word in enumerate(rows)})
        em.save(path.with_suffix(".npz"))
        return (
            (em, "EmbeddingMatrix", rows) if kind == "matrix" else (path.with_suffix(".npz"), path.stem + ".npz", rows)
        )
    if kind.startswith("fasttext"):
        write_fasttext(path, list(rows), values, np.random.default_rng(len(rows)).normal(size=(30, 3)), minn=2, maxn=3)
        kv = load_facebook_vectors(str(path))
        rows = {word: kv[word].tolist() for word in rows}
        return (path, path.name, rows) if kind == "fasttext" else (kv, "FastTextKeyedVectors", rows)
    (write_binary if kind == "binary" else write_text)(path, rows)
    if kind == "packed":
        path.write_bytes(gzip.compress(path.read_bytes()))
    if kind == "object":
        return load_vectors(path), "KeyedVectors", rows
    if kind == "encoder":
        return Encoder(rows), "Encoder", rows
    return path, path.name, rows


class Encoder:
    vector_size = 3

    def __init__(self, rows):
        self.rows = rows

    def vectors_for(self, words):
        found = np.array([word in self.rows for word in words], np.bool_)
        return np.array([self.rows.get(word, [9] * 3) for word in words], np.float32).reshape(-1, 3), found


@settings(max_examples=150, deadline=None)
@given(
    in_files=st.lists(st.lists(WORDS, min_size=1, max_size=12, unique=True), min_size=2, max_size=4),
    kinds=st.lists(st.sampled_from(KINDS), min_size=4, max_size=4),
    wanted=st.lists(WORDS, min_size=1, max_size=15, unique=True),
    fallbacks=st.permutations([*SPELLINGS, "parts", "characters"]).flatmap(
        lambda names: st.integers(1, len(names)).map(lambda n: names[:n])
    ),
    subwords=st.booleans(),
    hot=st.sampled_from(["kernels", "plain"]),
    seed=st.integers(0, 9),
)
def test_of_several_sources_an_earlier_one_wins(
    tmp_path_factory, in_files, kinds, wanted, fallbacks, subwords, hot, seed
):
    """Words before fallbacks, fallbacks in their order, and of each lender the first source that has it."""
    folder = tmp_path_factory.mktemp("v")
    shared = in_files[0]
    sources, names, tables = [], [], []
    for k, (words, kind) in enumerate(zip(in_files, kinds)):
        words = list(dict.fromkeys([*words, *shared[: len(shared) // 2]]))  # most lenders are there twice
        source, name, rows = source_of(kind, folder / f"{k}.v", rows_of(words))
        sources.append(source)
        names.append(name)
        tables.append(rows)
    makers = [k for k, kind in enumerate(kinds[: len(sources)]) if kind.startswith("fasttext")]
    if subwords and makers:
        fallbacks = [*fallbacks, "subwords"]
    owner = {word: k for k in range(len(tables))[::-1] for word in tables[k]}
    ids = np.random.default_rng(seed).permutation(len(wanted)) + 1
    index = dict(zip(wanted, ids.tolist()))
    with pytest.MonkeyPatch.context() as patch:
        use_hot(hot, patch)
        em = build_matrix(sources, index, fallbacks=fallbacks)
    for word, k in index.items():
        expected = naive(word, [name for name in fallbacks if name != "subwords"], set(owner))
        if word in owner:
            assert em.provenance[k] == names[owner[word]]
            assert em.coverage.how(word) == "exact"
            words = (word,)
        elif expected is not None:
            label, words = expected
            lenders = " + ".join(names[number] for number in dict.fromkeys(owner[one] for one in words))
            assert em.provenance[k] == f"{lenders} ({label})"
            assert em.derived[word] == Derivation(label, words)
        elif "subwords" in fallbacks:
            source = sources[makers[0]]
            kv = load_facebook_vectors(str(source)) if isinstance(source, Path) else source
            assert em.provenance[k] == f"{names[makers[0]]} (subwords)"
            assert same_bits(em.matrix[k], kv.get_vector(word))
            continue
        else:
            assert em.provenance[k] == "oov"
            assert not em.matrix[k].any()
            continue
        mean = np.mean([tables[owner[one]][one] for one in words], axis=0, dtype=np.float64).astype(np.float32)
        assert same_bits(em.matrix[k], mean)


def test_the_file_is_read_once(tmp_path, monkeypatch):
    path = write_text(tmp_path / "v.txt", rows_of(["the", "cat"]))
    seen = []

    class Counting(select.IndexedFile):
        def __init__(self, *args, **kwargs):
            seen.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(select, "IndexedFile", Counting)
    build_matrix(
        path, ["<pad>", "The", "CAT"], fallbacks=["lower", "upper", "parts", "characters", "digits"], suggest=True
    )
    assert len(seen) == 1


def test_only_rows_that_lend_are_read_again(tmp_path, monkeypatch, hot):
    """Of a file that can be read at any place: the records of words that a missing word may use, and no other byte."""
    read = []

    class Noting(excerpt.Excerpt):
        def __init__(self, source, begins, sizes, hot):
            super().__init__(source, begins, sizes, hot)
            data = source.path.read_bytes()
            read.extend(data[begin : begin + size] for begin, size in zip(begins, sizes))

    monkeypatch.setattr(opened, "Excerpt", Noting)
    for write, odd in ((write_text, "New York"), (write_binary, "New")):
        read.clear()
        rows = rows_of(["the", "cat", "dog", odd, "is"])
        index = ["<pad>", "THE", "dog", "IS", odd.upper()]
        em = build_matrix(write(tmp_path / "v", rows), index, fallbacks=[str.lower, str.title])
        assert [data.split(b" ")[0] for data in read] == [b"the", b"New", b"is"]
        assert same_bits(em.matrix[1:], np.array([rows[w] for w in ("the", "dog", "is", odd)], np.float32))


@pytest.mark.parametrize(("packed", "write"), [(False, write_text), (True, write_text), (False, write_binary)])
def test_what_is_wrong_with_a_lender_is_said_with_its_place(tmp_path, monkeypatch, hot, packed, write):
    monkeypatch.setattr(opened, "HEAD", 256)  # with less read beforehand, there are many blocks
    rows = {**{f"word{k}": [1, 2] for k in range(100)}, "the": [1, "nan"], **rows_of(["cat"], 2)}
    path = write(tmp_path / "v", {word: list(map(float, row)) for word, row in rows.items()})
    byte = path.read_bytes().index(b"the")
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    unit, number = ("record", 101) if write is write_binary else ("line", 102)
    with pytest.raises(
        ValueError, match=rf"v, {unit} {number} \(byte {byte // 1000} {byte % 1000:03}\): expected finite"
    ):
        build_matrix(path, ["<pad>", "THE", "CAT"], fallbacks=["lower"])
    em = build_matrix(path, ["<pad>", "THE", "CAT"], fallbacks=["lower"], on_error="skip")
    assert em.coverage.missing == ["THE"]
    assert em.damage[0].counts == {"not finite": 1}


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_lenders_that_stand_there_again_and_again(tmp_path, monkeypatch, hot, write):
    """The first one counts, the damage is what it would be, were the words wanted themselves, and memory is bounded."""
    sizes = []

    def noting(sink, block, add=select._Lent.add):
        sizes.append(block.records)
        return add(sink, block)

    monkeypatch.setattr(select._Lent, "add", noting)
    words = ["the", "cat", *["the"] * 50, "dog", *["the"] * 5, "is", *["the", "is"] * 9]
    lines = [(word, RNG.normal(size=3).astype(np.float32).tolist()) for word in words]
    lines[0][1][1] = np.nan
    alone = [write(tmp_path / "one", dict([line])).read_bytes().split(b"\n", 1)[1] for line in lines]
    path = tmp_path / "v"
    path.write_bytes(b"%d 3\n" % len(lines) + b"".join(alone))
    em = build_matrix(path, ["<pad>", "THE", "dog", "IS"], fallbacks=["lower"], on_error="skip")
    direct = build_matrix(path, ["<pad>", "the", "dog", "is"], on_error="skip")
    assert same_bits(em.matrix, direct.matrix)
    assert same_bits(em.matrix[1], np.array(lines[2][1], np.float32))
    assert max(sizes) < 20 < 50 < sum(sizes) < len(words) - 10  # what stands behind the last one found is not read
    assert em.damage[0].counts == {"not finite": 1, "duplicate word": 54}
    assert em.damage[0].examples == direct.damage[0].examples


def test_of_narrow_files_the_places_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "_LEAST_NUMBERS", 4)
    monkeypatch.setattr(opened.Opened, "go_back", None)
    path = write_text(tmp_path / "v.txt", rows_of(["the", "cat"]))
    assert build_matrix(path, ["<pad>", "CAT"], fallbacks=["lower"]).derived["CAT"].words == ("cat",)


def test_a_file_that_shrinks_while_it_is_read_is_explained(tmp_path, monkeypatch):
    path = write_text(tmp_path / "v.txt", rows_of(["the", "cat"]))
    go_back = opened.Opened.go_back

    def shrink(self, words, sink):
        path.write_bytes(path.read_bytes()[:20])
        return go_back(self, words, sink)

    monkeypatch.setattr(opened.Opened, "go_back", shrink)
    with pytest.raises(ValueError, match="v.txt has become shorter while it was read. Wait until it is written"):
        build_matrix(path, ["<pad>", "CAT"], fallbacks=["lower"])


def test_side_rows_that_nothing_needs_are_dropped(tmp_path, monkeypatch):
    """Words of a packed file come some blocks after their candidates: the rows of those of words found by then must go."""
    words = [f"word{k}" for k in range(12_000)]
    spellings = []
    for start in range(0, len(words), 1500):
        some = words[start : start + 1500]
        spellings += [*(word.upper() for word in some), *some]
    rows = rows_of([*spellings, "X"])
    monkeypatch.setattr(select, "_SIDE_BYTES", 1)
    use_hot("plain", monkeypatch)
    sinks = []
    side_rows = select._Rows.side_rows
    monkeypatch.setattr(select._Rows, "side_rows", lambda self: sinks.append(self) or side_rows(self))
    path = write_text(tmp_path / "v.txt", rows)
    path.write_bytes(gzip.compress(path.read_bytes()))
    em = build_matrix(path, ["<pad>", *words, "x", "zz"], fallbacks=["upper"])
    assert em.derived == {"x": Derivation("upper", ("X",))}
    assert len(sinks[0].rows) < 7000


def test_reading_stops_when_all_words_are_found(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("2 2\nthe 1 2\ncat 1\n")
    assert build_matrix(path, ["the"], fallbacks=["upper"]).coverage.rate == 1
    with pytest.raises(ValueError, match="line 3"):
        build_matrix(path, ["the", "dog"], fallbacks=["upper"])


def test_half_precision_lends_what_it_holds(tmp_path):
    rows = rows_of(["new", "york"])
    path = write_text(tmp_path / "v.txt", rows)
    alone = build_matrix(path, ["<pad>", "new-york"], fallbacks=["parts"], dtype="float16")
    beside = build_matrix(path, ["<pad>", "new-york", "new"], fallbacks=["parts"], dtype="float16")
    assert same_bits(alone.matrix[1], beside.matrix[1])


def test_suggestions(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["the", "new", "york", "OK"]))
    em = build_matrix(path, ["<pad>", "The", "new-york", "ok", "qqq"], fallbacks=["lower"], suggest=True)
    assert em.coverage.suggestions == {"upper": ["ok"], "parts": ["new-york"]}
    assert "1 missing word: found in UPPER CASE (fallback upper)" in em.coverage.summary()
    assert build_matrix(path, ["The"]).coverage.suggestions == {}
    assert tuple(FINDS) == NAMES == get_args(FallbackName)  # one row of the table for each name


def test_a_matrix_can_be_pickled(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["the", "new"]))
    em = build_matrix(path, ["<pad>", "The", "NEW"], fallbacks=["lower"], suggest=True)
    back = pickle.loads(pickle.dumps(em))
    assert back.derived == em.derived == {"The": Derivation("lower", ("the",)), "NEW": Derivation("lower", ("new",))}
    assert same_bits(back.matrix, em.matrix)


def test_saved_with_everything(tmp_path):
    path = write_text(tmp_path / "v.txt", rows_of(["the", "new", "york"]))
    em = build_matrix(path, ["<pad>", "The", "new-york", "NEW"], fallbacks=["lower"], suggest=True)
    for name in ("m.npz", "m.safetensors"):
        em.save(tmp_path / name)
        back = EmbeddingMatrix.load(tmp_path / name)
        assert back.derived == em.derived
        assert back.coverage == em.coverage
        assert back.provenance.tolist() == em.provenance.tolist()


@pytest.mark.parametrize(
    ("fallbacks", "error", "message"),
    [
        (["lowercase"], ValueError, 'each of fallbacks must be "nfkc", "lower", .* or a callable, received .lowercase'),
        ([3], TypeError, "fallbacks must be names .* or callables, received 3"),
        ("lower", TypeError, r"received 'lower' alone; write \['lower'\]"),
        (str.lower, TypeError, "must be a list of names or callables"),
        (None, TypeError, "must be a list of names or callables, received None$"),
    ],
)
def test_what_is_no_fallback(fallbacks, error, message, data):
    with pytest.raises(error, match=message):
        build_matrix(data / "vectors.bin", ["a"], fallbacks=fallbacks)


def test_opencc_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opencc", None)
    with pytest.raises(ImportError, match=r'need OpenCC: pip install "w2v-embed\[chinese\]"'):
        Fallbacks(["simplified"])


@pytest.mark.parametrize("suggest", [False, True])
def test_half_a_character_is_no_error(suggest):
    """A lone surrogate, as files that were decoded with "surrogateescape" have."""
    words = ["\ud800x", "中國", "國\udfff", "\udc80中國"]
    em = build_matrix("data/vectors.txt.bz2", words, fallbacks=[] if suggest else ["simplified"], suggest=suggest)
    found = em.coverage.suggestions["simplified"] if suggest else list(em.derived)
    assert found == ["中國"]
