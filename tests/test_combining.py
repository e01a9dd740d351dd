"""Several sources in one matrix: side by side, averaged, or mapped into one space. Loops over words are the oracles."""

import bz2
import itertools
import logging
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from tests.conftest import same_bits, use_hot, write_binary, write_fasttext, write_text
from tests.test_sources import Toy
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.cli import main
from w2v_embed.matrix import alignment, shared
from w2v_embed.matrix.alignment import LinearMap, judge, learn
from w2v_embed.matrix.shared import SharedWords, drawn
from w2v_embed.matrix.sources import source_of, watched

RNG = np.random.default_rng(3)
WORDS = [f"w{k}" for k in range(260)] + ["cat", "new", "york", "<pad>"]
TRUE = RNG.normal(size=(len(WORDS), 6))
A = {word: row.astype(np.float32) for word, row in zip(WORDS[:200], TRUE)}
A |= {word: TRUE[WORDS.index(word)].astype(np.float32) for word in ("new",)}
TURN = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
B = {
    word: (3 * TRUE[k] @ TURN + 0.5).astype(np.float32) for k, word in enumerate(WORDS) if k >= 40
}  # A's space, turned
WIDE = RNG.normal(size=(6, 9))
C = {
    word: (TRUE[k] @ WIDE + 0.1 * RNG.normal(size=9)).astype(np.float32) for k, word in enumerate(WORDS) if k % 3
}  # and wider
INDEX = {word: k for k, word in enumerate(["<pad>", "w3", "w50", "w230", "CAT", "new-york", "w41", "NEW", "nobody"])}
FALLBACKS = ["lower", "parts"]
OTHER = {word: RNG.normal(size=6).astype(np.float32) for word in B}  # has nothing to do with A's space


@pytest.fixture
def paths(tmp_path):
    names = {"a.txt": A, "b.txt": B, "c.txt": C, "other.txt": OTHER}
    return {
        name[:-4]: write_text(tmp_path / name, {w: r.tolist() for w, r in rows.items()}) for name, rows in names.items()
    }


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class Asked:
    def __init__(self, rows):
        self.rows, self.vector_size, self.asked = rows, len(next(iter(rows.values()))), []

    def vectors_for(self, words):
        self.asked += words
        nothing = np.zeros(self.vector_size, np.float32)
        return [self.rows.get(word, nothing) for word in words], np.array([word in self.rows for word in words])


# ── oracles ──


def mean_row(words, of):
    return np.mean([of[word] for word in words], axis=0, dtype=np.float64).astype(np.float32)


def concat(word, tables, scales):
    """The row of a word, a loop over the sources; None where none has it."""
    if not any(word in table for table in tables):
        return None
    blocks = []
    for table, scale in zip(tables, scales):
        row = table.get(word)
        dim = len(next(iter(table.values())))
        blocks.append(np.zeros(dim, np.float32) if row is None else row * np.float32(scale))
    return np.concatenate(blocks)


def average(word, tables, scales):
    rows = [table[word] for table in tables if word in table]
    if not rows:
        return None
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return total / np.float32(len(rows))


LENDERS = {"CAT": ("cat",), "new-york": ("new", "york"), "NEW": ("new",)}


def expected(how, tables, names, scales=None):
    """(rows, provenance) of INDEX."""
    rows, told = [], []
    for word in INDEX:
        lenders = [word]
        row = how(word, tables, scales)
        if word == "<pad>":
            row, provenance = None, "padding"
        elif row is not None:
            provenance = ""
        elif word in LENDERS and all(how(one, tables, scales) is not None for one in LENDERS[word]):
            lenders = LENDERS[word]
            row = mean_row(lenders, {one: how(one, tables, scales) for one in lenders})
            provenance = f" ({'lower' if len(lenders) == 1 else 'parts'})"
        else:
            provenance = "oov"
        if row is not None:
            provenance = (
                " + ".join(n for n, table in zip(names, tables) if any(one in table for one in lenders)) + provenance
            )
        rows.append(row)
        told.append(provenance)
    dim = next(len(row) for row in rows if row is not None)
    return np.array([np.zeros(dim, np.float32) if row is None else row for row in rows]), told


def scales_of(tables):
    """How the blocks of a concat are scaled, over the words of INDEX that each source has itself."""
    means = [
        np.mean([np.linalg.norm(table[w].astype(np.float64)) for w in INDEX if w in table and w != "<pad>"])
        for table in tables
    ]
    return [means[0] / mean for mean in means]


@pytest.mark.parametrize("balance", [True, False])
def test_rows_side_by_side(paths, balance):
    em = build_matrix([paths["a"], paths["c"]], INDEX, combine="concat", balance=balance, fallbacks=FALLBACKS)
    scales = scales_of([A, C]) if balance else [1, 1]
    rows, told = expected(concat, [A, C], ["a.txt", "c.txt"], scales)
    assert em.shape == (len(INDEX), 15)
    assert em.provenance.tolist() == told
    assert {"a.txt + c.txt", "a.txt", "c.txt", "c.txt (lower)", "a.txt + c.txt (parts)", "oov"} <= set(told)
    if balance:  # the last bit of a scale is that of its sums
        assert np.allclose(em.matrix, rows, rtol=1e-6, atol=0)
    else:
        assert same_bits(em.matrix, rows)
    assert same_bits(em.matrix[:, :6], rows[:, :6])
    (step,) = em.steps
    assert [block["source"] for block in step["blocks"]] == ["a.txt", "c.txt"]
    assert np.allclose([block["scale"] for block in step["blocks"]], scales, atol=1e-6)
    lengths = np.linalg.norm(em.matrix[[INDEX[w] for w in INDEX if w in C and w != "<pad>"], 6:], axis=1).mean()
    own = np.linalg.norm(em.matrix[[INDEX[w] for w in INDEX if w in A and w != "<pad>"], :6], axis=1).mean()
    assert not balance or lengths == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("tables", [[A, B], [B, A], [A, B, OTHER], [A, A]])
def test_means_of_rows(tmp_path, tables):
    names = [f"{k}.txt" for k in range(len(tables))]
    sources = [write_text(tmp_path / n, {w: r.tolist() for w, r in table.items()}) for n, table in zip(names, tables)]
    em = build_matrix(sources, INDEX, combine="average", align=False, fallbacks=FALLBACKS)
    rows, told = expected(average, tables, names)
    assert em.provenance.tolist() == told
    assert same_bits(em.matrix, rows)
    assert em.steps == ({"step": "average", "sources": names},)


def test_a_row_of_one_source_keeps_its_bits(tmp_path):
    first, second = {"a": [1.0, 2.0]}, {"b": [-0.0, 1e-45], "c": [3.4e38, -3.4e38]}
    sources = [write_text(tmp_path / f"{k}.txt", rows) for k, rows in enumerate((first, second))]
    em = build_matrix(sources, ["<pad>", "a", "b", "c"], combine="average", align=False)
    assert same_bits(em.matrix[2:], np.array([[-0.0, 1e-45], [3.4e38, -3.4e38]], np.float32))
    em = build_matrix(sources, ["<pad>", "a", "b", "c"], combine="concat", balance=False)
    assert same_bits(em.matrix[2:, 2:], np.array([[-0.0, 1e-45], [3.4e38, -3.4e38]], np.float32))


# ── every kind of source, with everything ──

KINDS = ["text", "binary", "bz2", "fasttext", "artifact", "npz", "trusted", "object", "matrix", "asked", "toy"]
WAYS = list(itertools.product(["first", "concat", "average"], [None, True, "procrustes", False]))


def held_by(kind, rows, path):
    """A source of `rows`."""
    numbers = {word: row.tolist() for word, row in rows.items()}
    if kind == "text":
        return write_text(path, numbers)
    if kind == "binary":
        return write_binary(path, numbers)
    if kind == "fasttext":
        return write_fasttext(path, list(rows), np.array(list(rows.values())), np.zeros((0, 6)))
    if kind == "bz2":
        write_text(path, numbers)
        path.write_bytes(bz2.compress(path.read_bytes()))
        return path
    if kind == "toy":
        return Toy(rows)
    if kind == "asked":
        return Asked(rows)
    kv = load_vectors(write_text(path, numbers))
    em = EmbeddingMatrix(kv.vectors, kv.key_to_index)
    if kind in ("object", "matrix"):
        return kv if kind == "object" else em
    path = path.with_suffix({"trusted": ".kv", "artifact": ".safetensors", "npz": ".npz"}[kind])
    (kv if kind == "trusted" else em).save(str(path))
    return path


def facts(em):
    """All that is told of it, its sources called by their place."""
    return em.matrix.dtype, [len(label.split(" + ")) for label in em.provenance.tolist()], em.coverage.derived


# A quarter of all pairs, in which each kind and each way comes three times or so; the others with `-m slow`.
PAIRS = [
    pytest.param(kind, combine, align, marks=[pytest.mark.slow] * ((k + n) % 4 > 0))
    for k, kind in enumerate(KINDS)
    for n, (combine, align) in enumerate(WAYS)
]


@pytest.mark.parametrize(("kind", "combine", "align"), PAIRS)
def test_all_kinds_of_sources_are_peers(kind, combine, align, tmp_path):
    options = {"combine": combine, "align": align, "fallbacks": FALLBACKS, "suggest": True, "trust": True}
    paths = [held_by("text", rows, tmp_path / f"{k}.txt") for k, rows in enumerate((A, B))]
    one = build_matrix(paths, INDEX, **options)
    for place in (0, 1):
        given = list(paths)
        given[place] = held_by(kind, [A, B][place], tmp_path / f"{kind}{place}")
        em = build_matrix(given, INDEX, **options)
        # an object that is asked has no list of its words: the map is learned on the words that the other lists first
        same = np.allclose(em.matrix, one.matrix, atol=0.02) if kind in ("asked", "toy") and align else None
        assert same or same_bits(em.matrix, one.matrix)
        assert facts(em) == facts(one)
        assert em.coverage.missing == ["nobody"]


@pytest.mark.parametrize(("combine", "align"), WAYS)
def test_other_types_of_numbers_are_rounded_at_the_end(paths, combine, align):
    options = {"combine": combine, "align": align, "fallbacks": ["lower"]}
    em, half, double = (
        build_matrix([paths["a"], paths["b"]], INDEX, dtype=dtype, **options)
        for dtype in ("float32", "float16", "float64")
    )
    assert same_bits(half.matrix, em.matrix.astype(np.float16))
    assert np.allclose(double.matrix, em.matrix, atol=1e-5)
    assert double.matrix.dtype == np.float64


@pytest.mark.parametrize(("combine", "align"), WAYS)
def test_neither_order_nor_blocks_change_a_row(paths, combine, align, monkeypatch):
    vocabulary = [*WORDS[:100:7], *WORDS[200::3], "CAT", "new-york"]
    rows = {}
    for hot in (None, "kernels", "plain"):
        if hot:
            use_hot(hot, monkeypatch)
            monkeypatch.setattr("w2v_embed.matrix.blocks._BLOCK", 16)
        for order in (vocabulary, vocabulary[::-1], sorted(vocabulary)):
            index = {word: k for k, word in enumerate(order, 1)}
            em = build_matrix(
                [paths["a"], paths["b"]], index, combine=combine, align=align, fallbacks=FALLBACKS, oov="normal"
            )
            for word in order:
                assert same_bits(em.matrix[index[word]], rows.setdefault(word, em.matrix[index[word]])), (hot, word)


@pytest.mark.parametrize("pack", [bytes, bz2.compress])
@pytest.mark.parametrize("align", [None, True])
def test_what_is_told_does_not_depend_on_blocks_either(paths, align, pack, monkeypatch):
    """The other file has all that is looked for in its first block; words of later ones are compared, too."""
    monkeypatch.setattr(
        "w2v_embed.matrix.sources.file._SIDE_BYTES", 1
    )  # the room for side rows runs out again and again
    other = paths["b" if align else "other"]
    other.write_bytes(pack(other.read_bytes()))
    told = []
    for hot in (None, "kernels", "plain"):
        if hot:
            use_hot(hot, monkeypatch)
        for words in (WORDS[:42], WORDS[41::-1]):
            index = [*words, *WORDS[150:199], "CAT"]
            em = build_matrix([paths["a"], other], [*index, "w201"], align=align, fallbacks=["lower"])
            told.append(em.steps)
            assert em.provenance[index.index("CAT")] == f"{other.name} (lower)"
    assert told[1:] == told[:-1]
    assert told[0][0]["words"] == (161 if align else 51)


@pytest.mark.parametrize(("size", "other"), [(1e25, 1e-25), (1e-20, 1.0), (1.0, 1e30)])
def test_large_and_small_numbers(size, other):
    a = {w: r * np.float32(size) for w, r in A.items()}
    b = {w: r * np.float32(other) for w, r in B.items()}
    em = build_matrix([Toy(a, "a"), Toy(b, "b")], [*A, "w230"], align=True)
    assert np.allclose(em.matrix[-1] / size, TRUE[230], atol=1e-3)


def test_the_same_seed_gives_the_same_matrix(paths):
    both = [paths["a"], paths["c"]]
    one, again, other = (build_matrix(both, INDEX, align=True, seed=seed) for seed in (5, 5, 6))
    assert same_bits(one.matrix, again.matrix)
    assert one.steps == again.steps != other.steps  # other words are held out


# ── mapped rows ──


@pytest.mark.parametrize("align", [True, "ridge", "procrustes"])
def test_a_turned_space_is_turned_back(paths, align):
    em = build_matrix([paths["a"], paths["b"]], INDEX, align=align, fallbacks=FALLBACKS)
    for word, row in {"w230": TRUE[230], "CAT": TRUE[WORDS.index("cat")]}.items():
        assert np.allclose(em.matrix[INDEX[word]], row, atol=1e-3)
    assert same_bits(em.matrix[INDEX["w50"]], A["w50"])  # the first one's rows stay as they are
    assert em.provenance.tolist()[:6] == [
        "padding",
        "a.txt",
        "a.txt",
        "b.txt",
        "b.txt (lower)",
        "a.txt + b.txt (parts)",
    ]
    (step,) = em.steps
    assert (step["step"], step["source"], step["to"]) == ("align", "b.txt", "a.txt")
    assert step["map"] == ("procrustes" if align == "procrustes" else "ridge")
    assert step["words"] == 161
    assert step["held_out"] == 80
    assert step["median_cosine"] > 0.999
    assert step["neighbours_kept"] > 9.8
    assert abs(step["median_cosine_of_others"]) < 0.1
    assert step["neighbours_by_chance"] == pytest.approx(100 / 79, abs=0.01)


@pytest.mark.parametrize("align", ["ridge", "procrustes"])
@pytest.mark.parametrize("order", ["ac", "ca"])
def test_a_space_of_another_width(paths, order, align):
    tables = {"a": A, "c": C}
    em = build_matrix([paths[name] for name in order], WORDS, align=align)
    (step,), first = em.steps, tables[order[0]]
    assert em.shape == (len(WORDS), len(next(iter(first.values()))))
    assert step["median_cosine"] > (0.95 if align == "ridge" else 0.5)
    for k, word in enumerate(WORDS):
        assert word not in first or word == "<pad>" or same_bits(em.matrix[k], first[word])


def test_the_map_is_that_of_a_naive_ridge_regression():
    """Penalty by penalty, with the hat matrix of all rows; the one of the least error is taken."""
    n, x = 60, RNG.normal(size=(60, 7)) * [9, 5, 3, 1, 0.5, 0.1, 0.01] + 4
    y = x @ RNG.normal(size=(7, 3)) + RNG.normal(size=(60, 3)) * 2 - 1
    order = RNG.permutation(n)
    learned = learn(x, y, "ridge", order)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    mean = np.trace(a.T @ a) / 7
    errors = {}
    for penalty in alignment._PENALTIES:
        hat = a @ np.linalg.inv(a.T @ a + penalty * mean * np.eye(7)) @ a.T + 1 / n
        errors[penalty] = np.square(y - hat @ y).sum() / (n - np.trace(hat)) ** 2
    best = min(errors, key=errors.get)
    assert learned.penalty == best
    weights = np.linalg.solve(a.T @ a + best * mean * np.eye(7), a.T @ b)
    assert np.allclose(learned.map(x), a @ weights + y.mean(axis=0), atol=1e-4)
    # it was judged on half of the words, by a map that never saw them
    held, part = order[:30], order[30:]
    again = learn(x[part], y[part], "ridge", np.arange(30))
    a, b = x[part] - x[part].mean(axis=0), y[part] - y[part].mean(axis=0)
    near = {
        penalty: (x[held] - x[part].mean(axis=0))
        @ np.linalg.solve(a.T @ a + penalty * np.trace(a.T @ a) / 7 * np.eye(7), a.T @ b)
        + y[part].mean(axis=0)
        for penalty in alignment._PENALTIES
    }
    assert any(judge(rows, y[held]).kept == learned.judgement.kept for rows in near.values())
    assert again.held == 15


def test_the_orthogonal_map_is_that_of_all_rotations():
    x = RNG.normal(size=(50, 4))
    y = 2.5 * x @ np.linalg.qr(RNG.normal(size=(4, 4)))[0] + RNG.normal(size=(50, 4)) * 0.3 + 7
    learned = learn(x, y, "procrustes", RNG.permutation(50))
    origin, ends = learned.map(np.full((1, 4), 1e-12)), learned.map(np.eye(4))
    weights = ends - origin
    gram = weights @ weights.T
    assert np.allclose(gram, gram[0, 0] * np.eye(4), atol=1e-5)
    left = np.square(learned.map(x) - y).sum()
    for _ in range(50):  # no other one is better
        turned = weights @ np.linalg.qr(np.eye(4) + 0.1 * RNG.normal(size=(4, 4)))[0]
        for sign in (turned, -turned):
            assert np.square((x - x.mean(axis=0)) @ sign + y.mean(axis=0) - y).sum() > left


def test_sums_are_exact_and_no_row_depends_on_others():
    for dim, out in ((1, 1), (5, 3), (300, 40), (700, 2)):
        weights, shift = RNG.normal(size=(dim, out)), RNG.normal(size=out)
        mapping = LinearMap(weights, shift)
        rows = (RNG.normal(size=(40, dim)) * 10.0 ** RNG.integers(-30, 30, (40, 1))).astype(np.float32)
        together = mapping(rows)
        assert all(same_bits(mapping(row[None])[0], whole) for row, whole in zip(rows, together))
        assert same_bits(mapping(rows[::-1]), together[::-1])
        assert np.allclose(
            together, rows.astype(np.float64) @ weights + shift, rtol=1e-4, atol=1e-5 * np.abs(rows).max()
        )
    row = rows[0].astype(np.float64)  # an exact sum, as fractions have it
    grid = Fraction(2) ** (23 - int(np.frexp(np.abs(row).max())[1]))
    total = sum(round(Fraction(v) * grid) * Fraction(w) for v, w in zip(row.tolist(), mapping._weights[:, 0].tolist()))
    assert together[0, 0] == float(total / grid) + shift[0]


def test_rows_of_zeros_stay_zeros(tmp_path):
    b = {**B, "w230": np.zeros(6, np.float32), "w60": np.zeros(6, np.float32)}
    sources = [write_text(tmp_path / f"{k}.txt", {w: r.tolist() for w, r in t.items()}) for k, t in enumerate((A, b))]
    em = build_matrix(sources, INDEX, align=True)
    assert not em.matrix[INDEX["w230"]].any()
    assert em.provenance[INDEX["w230"]] == "1.txt"
    assert em.steps[0]["words"] == 160  # w60 has no direction


def test_the_same_file_twice_and_other_rows_of_its_space(paths, tmp_path, caplog):
    rest = write_text(tmp_path / "rest.txt", {w: TRUE[k].round(3).tolist() for k, w in enumerate(WORDS)})
    for align in (None, True, "procrustes"):
        em = build_matrix([paths["a"], paths["a"]], INDEX, align=align)
        assert same_bits(em.matrix, build_matrix(paths["a"], INDEX).matrix)
        em = build_matrix([paths["a"], rest], INDEX, align=align)
        assert same_bits(em.matrix[INDEX["w230"]], TRUE[230].round(3).astype(np.float32))  # as they are
        assert [step["map"] for step in em.steps] == ([] if align is None else ["identity"])
        em = build_matrix([paths["a"], paths["a"]], INDEX, align=align, combine="average")
        assert same_bits(em.matrix, build_matrix(paths["a"], INDEX).matrix)
        assert em.provenance[INDEX["w3"]] == "a.txt + a.txt"
    assert not warnings(caplog)


def test_ngrams_of_a_later_source_are_mapped(paths, tmp_path):
    own = np.array(list(B.values()))
    model = write_fasttext(tmp_path / "b.bin", list(B), own, RNG.normal(size=(20, 6)))
    plain = build_matrix(model, ["<pad>", "nobody"], fallbacks=["subwords"]).matrix[1]
    index = ["<pad>", "w50", "nobody"]
    em = build_matrix([paths["a"], model], index, align="procrustes", fallbacks=["subwords"])
    assert em.provenance.tolist() == ["padding", "a.txt", "b.bin (subwords)"]
    assert not np.allclose(em.matrix[2], plain, atol=0.1)
    em = build_matrix([paths["a"], model], index, combine="concat", balance=False, fallbacks=["subwords"])
    assert em.provenance.tolist() == ["padding", "a.txt + b.bin", "b.bin (subwords)"]
    assert not em.matrix[2, :6].any()
    assert same_bits(em.matrix[2, 6:], plain)
    em = build_matrix([model, model], index, combine="average", fallbacks=["subwords"])
    assert same_bits(em.matrix[2], plain)
    assert em.provenance[2] == "b.bin + b.bin (subwords)"


# ── what is refused, and what is warned of ──


def test_a_map_no_better_than_chance_is_refused(paths):
    message = (
        r"other.txt must go into the space of a.txt by a map that is better than chance, received, on 80 words held out of 161 "
        r"that both have, a median cosine of -?0\.\d\d \(with other words -?0\.\d\d\) and [012]\.\d of 10 neighbours kept \(by "
        r"chance 1\.3\)\. Leave it out, .*combine=\"concat\".*align=False"
    )
    for align in (True, "procrustes"):
        for combine in ("first", "concat", "average"):
            with pytest.raises(ValueError, match=message):
                build_matrix([paths["a"], paths["other"]], INDEX, align=align, combine=combine)


@pytest.mark.parametrize(
    "row", [np.full(6, 2.0), np.zeros(6), np.eye(6)[0], np.full(6, 3e38)], ids=["constant", "zeros", "one", "huge"]
)
def test_a_source_whose_rows_are_all_one_is_refused(paths, row):
    for align in (True, "procrustes"):
        with pytest.raises(ValueError, match="received, on 80 words|received 0 shared words"):
            build_matrix([paths["a"], Toy(dict.fromkeys(B, row.astype(np.float32)))], INDEX, align=align)
        with pytest.raises(ValueError, match="a.txt must .*received(, on 80 words| 0 shared words)"):
            build_matrix([Toy(dict.fromkeys(B, row.astype(np.float32))), paths["a"]], [*A, "CAT"], align=align)


@pytest.mark.parametrize("shared_words", [0, 1, 19])
def test_too_few_shared_words_are_refused(paths, tmp_path, shared_words):
    rows = {f"x{k}": RNG.normal(size=6).tolist() for k in range(50)} | {w: A[w].tolist() for w in WORDS[:shared_words]}
    other = write_text(tmp_path / "few.txt", rows)
    message = f"few.txt must share at least 20 words with a.txt, .* received {shared_words} shared word"
    with pytest.raises(ValueError, match=message):
        build_matrix([paths["a"], other], [*INDEX, "x3"], align=True)


@pytest.mark.parametrize(("dim", "words"), [(40, 30), (200, 60), (300, 20)])
def test_fewer_shared_words_than_dimensions(dim, words):
    """What they can tell is taken: rows near each other in the one space are so in the other."""
    few = RNG.normal(size=(words + 20, 2)) @ RNG.normal(size=(2, dim))
    turn = np.linalg.qr(RNG.normal(size=(dim, dim)))[0]
    names = [f"v{k}" for k in range(len(few))]
    a = dict(zip(names[:words], few.astype(np.float32)))
    b = dict(zip(names, (few @ turn).astype(np.float32)))
    for align in ("ridge", "procrustes"):
        em = build_matrix([Toy(a, "a"), Toy(b, "b")], names, align=align)
        assert np.isfinite(em.matrix).all()
        cosines = alignment.median_cosine(em.matrix[words:], few[words:])
        assert cosines > 0.9, align


def test_spaces_with_fewer_directions_than_numbers():
    flat = {w: np.append(r[:3], np.zeros(3, np.float32)) for w, r in A.items()}
    for align in ("ridge", "procrustes"):
        for first, second in ((A, flat), (flat, B)):
            em = build_matrix([Toy(first, "x"), Toy(second, "y")], WORDS, align=align)
            assert np.isfinite(em.matrix).all()
            assert em.steps[0]["median_cosine"] > 0.5


def test_vectors_that_are_too_wide_for_a_map(paths, monkeypatch):
    monkeypatch.setattr(watched, "WIDEST", 8)
    with pytest.raises(ValueError, match="must have at most 8 numbers, received 9 of c.txt"):
        build_matrix([paths["a"], paths["c"]], INDEX, align=True)
    with pytest.raises(ValueError, match="must be at most 62 sources to be combined, received 63"):
        build_matrix([paths["a"]] * 63, INDEX, combine="concat")


def test_what_is_damaged_is_left_out_or_refused(paths, tmp_path):
    rows = {w: r.tolist() for w, r in B.items()} | {"w230": [np.nan] * 6, "w60": ["1e99"] * 6}
    bad = write_text(tmp_path / "bad.txt", rows)
    with pytest.raises(ValueError, match="bad.txt, line .*expected finite"):
        build_matrix([paths["a"], bad], INDEX, align=True)
    for combine, align in WAYS:
        em = build_matrix([paths["a"], bad], INDEX, combine=combine, align=align, on_error="skip")
        assert em.coverage.missing == ["w230", "CAT", "new-york", "NEW", "nobody"]
        assert np.isfinite(em.matrix).all()
    assert build_matrix([paths["a"], bad], INDEX, align=True, on_error="skip").steps[0]["words"] == 160


def test_rows_that_the_map_makes_too_great_are_damage(paths, tmp_path):
    b = {**B, "w230": np.full(6, 3.4e38, np.float32)}
    a = {w: r * 100 for w, r in A.items()}
    with pytest.raises(ValueError, match="toy, word 'w230': expected finite numbers in its vector"):
        build_matrix([Toy(a, "a"), Toy(b)], [*A, "w230"], align=True)
    em = build_matrix([Toy(a, "a"), Toy(b)], [*A, "w230"], align=True, on_error="skip")
    assert em.coverage.missing == ["w230"]
    assert not em.matrix[-1].any()


def test_rows_of_other_spaces_are_warned_of(paths, caplog):
    seen = r"not of one space: the median cosine is -?0.\d\d over 2 words that both have. Map .* \(align=\"ridge\"\)"
    for combine in ("first", "average"):
        caplog.clear()
        em = build_matrix([paths["a"], paths["other"]], INDEX, combine=combine)
        (told,) = warnings(caplog)
        assert told.startswith("rows of other.txt are mixed with rows of a.txt, and they are ")
        assert re.search(seen, told)
        step = em.steps[0]
        assert (step["step"], step["source"], step["with"], step["words"]) == ("mix", "other.txt", "a.txt", 2)
        assert abs(step["median_cosine"]) < 0.5
    caplog.clear()
    for options in ({"align": False}, {"align": False, "combine": "average"}, {"combine": "concat"}):
        build_matrix([paths["a"], paths["other"]], INDEX, **options)
    build_matrix([paths["a"], paths["other"]], ["<pad>", "w3", "w41"])  # nothing is missing: the other is not asked
    build_matrix([paths["a"], paths["other"]], ["<pad>", "w3", "w41", "nobody"])  # and gives nothing
    assert not warnings(caplog)
    build_matrix([paths["a"], paths["other"]], ["<pad>", *WORDS[40:60], "CAT"], fallbacks=["lower"])  # which lends
    assert len(warnings(caplog)) == 1


def test_sources_that_share_no_word_are_warned_of(tmp_path, caplog):
    names = [write_text(tmp_path / f"{w}.txt", {w: [1, 2], w * 2: [3, 4]}) for w in "xyz"]
    em = build_matrix(names, ["<pad>", "x", "y", "z"])
    told = [w for w in warnings(caplog) if "is in both" in w]
    assert len(told) == 2
    assert "rows of z.txt are mixed with rows of x.txt and y.txt, and none of 2 words" in told[1]
    assert [step["median_cosine"] for step in em.steps] == [None, None]


def test_widths_that_differ_have_a_way_out(paths):
    for combine in ("first", "average"):
        message = r'c.txt has vectors of 9 numbers, a.txt of 6; .*align="ridge".*combine="concat"'
        with pytest.raises(ValueError, match=message):
            build_matrix([paths["a"], paths["c"]], INDEX, combine=combine)


def test_arguments_that_are_none(paths):
    with pytest.raises(ValueError, match='combine must be "first", "concat" or "average", received \'sum\''):
        build_matrix(paths["a"], INDEX, combine="sum")
    for align in ("rigde", 1, 0, ["ridge"]):
        with pytest.raises(ValueError, match='align must be "ridge", "procrustes" or True, False or None, received'):
            build_matrix(paths["a"], INDEX, align=align)


@pytest.mark.parametrize(("combine", "align"), WAYS)
def test_one_source_is_as_it_ever_was(paths, combine, align):
    em = build_matrix([paths["a"]], INDEX, combine=combine, align=align, fallbacks=FALLBACKS, dtype="float16")
    assert same_bits(em.matrix, build_matrix(paths["a"], INDEX, fallbacks=FALLBACKS, dtype="float16").matrix)
    assert em.steps == ()


# ── the words that are compared ──


def test_the_judgement_is_that_of_loops():
    rows, targets = RNG.normal(size=(26, 5)), RNG.normal(size=(26, 5))
    targets += 0.7 * rows

    def cosine(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    judged = judge(rows, targets)
    cosines = [[cosine(a, b) for b in targets] for a in rows]
    assert judged.cosine == pytest.approx(np.median([cosines[k][k] for k in range(26)]))
    assert judged.other == pytest.approx(
        np.median([c for k, row in enumerate(cosines) for j, c in enumerate(row) if j != k])
    )
    kept = 0
    for k in range(26):
        near = [
            set(sorted((j for j in range(26) if j != k), key=lambda j: -cosine(of[k], of[j]))[:10])
            for of in (rows, targets)
        ]
        kept += len(near[0] & near[1])
    assert judged.kept == pytest.approx(kept / 26)
    assert (judged.neighbours, judged.by_chance) == (10, 4)
    few = judge(rows[:6], targets[:6])  # deviations against all shufflings
    sums = [sum(cosines[k][p] for k, p in enumerate(order)) for order in itertools.permutations(range(6))]
    assert few.deviations == pytest.approx((sum(cosines[k][k] for k in range(6)) - np.mean(sums)) / np.std(sums))


def test_chance_is_refused_and_little_is_enough():
    """Of 300 pairs of spaces that have nothing in common hardly one passes, and a weak likeness does."""
    passed = 0
    for _ in range(300):
        passed += not judge(RNG.normal(size=(50, 5)) + 3, RNG.normal(size=(50, 5)) + 3).by_luck
    assert passed <= 4
    rows = RNG.normal(size=(400, 20))
    assert not judge(rows, 0.3 * rows + RNG.normal(size=(400, 20))).by_luck


def test_words_are_those_of_the_vocabulary_and_frequent_ones(paths, monkeypatch):
    monkeypatch.setattr(shared, "_MOST", 8)
    sources = [source_of(paths["c"]), source_of(paths["a"])]
    words = SharedWords([f"q{k}" for k in range(5)], sources, 0).words
    assert sorted(words[::2]) == sorted(words[:10:2]) == [f"q{k}" for k in range(5)] or set(words) == {
        *(f"q{k}" for k in range(5)),
        *list(C)[:7],
    }
    many = SharedWords([f"q{k}" for k in range(50)], sources, 0)
    assert len(many.words) == 12
    assert all(word[0] == "q" for word in many.words)
    assert many.words == SharedWords([f"q{k}" for k in range(50)][::-1], sources, 0).words
    assert many.words != SharedWords([f"q{k}" for k in range(50)], sources, 1).words
    for source in sources:
        source.close()


def test_what_is_drawn_is_keyed_by_seed_and_word():
    words = [f"w{k}" for k in range(500)]
    order = [words[k] for k in drawn(words, 7).tolist()]
    assert [words[::-1][k] for k in drawn(words[::-1], 7).tolist()] == order
    assert sorted(order) == sorted(words)
    assert order != words
    assert drawn(words, 7).tolist() != drawn(words, 7, 1).tolist() != drawn(words, 10**30).tolist()
    assert drawn([], 7).tolist() == []
    part = [word for word in order if word in words[:100]]
    assert [words[k] for k in drawn(words[:100], 7).tolist()] == part  # whatever others there are


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_words_of_each_kind_of_source(kind, tmp_path):
    source = source_of(held_by(kind, A, tmp_path / "v"), trust=True)
    words, rows = source.frequent(10)
    assert words == ([] if kind in ("asked", "toy") else list(A)[:10])
    assert rows is None or same_bits(rows, np.array([A[word] for word in words]))
    assert (rows is None) == (kind in ("fasttext", "artifact", "npz", "trusted", "asked", "toy"))
    source.close()


def test_of_a_file_only_the_beginning_is_read_for_its_first_words(tmp_path, monkeypatch):
    use_hot("plain", monkeypatch)
    path = write_text(tmp_path / "v.txt", {w: r.tolist() for w, r in A.items()})
    damaged = path.read_bytes().split(b"\n")
    damaged[2] = b"w1 1 2 nan 4 5 6"
    damaged[100:] = [b"nothing"] * 10
    path.write_bytes(b"\n".join(damaged))
    source = source_of(path)
    assert source.frequent(3)[0] == ["w0", "w2", "w3"]
    assert source.report.total == 0
    source.close()


def test_a_source_that_is_costly_is_asked_for_few_words(paths, monkeypatch):
    monkeypatch.setattr(shared, "_COSTLY_SAMPLE", 3)
    asked = Asked(B)
    build_matrix([paths["a"], asked], [*A, "w230"])
    assert asked.asked[0] == "w230"
    assert len(asked.asked) == 4
    monkeypatch.setattr(shared, "_MOST", 25)
    asked = Asked(B)
    build_matrix([paths["a"], asked], [*WORDS[40:200], "w230"], align=True)
    assert asked.asked[0] == "w230"
    assert len(asked.asked) == 26


# ── around it ──


def test_a_cached_matrix_warns_again(paths, tmp_path, caplog):
    both = [paths["a"], paths["other"]]
    built = [build_matrix(both, INDEX, cache_dir=tmp_path / "cache") for _ in range(2)]
    assert len(warnings(caplog)) == 2
    assert same_bits(built[0].matrix, built[1].matrix)
    assert built[0].steps == built[1].steps
    options = [dict(zip(("combine", "align"), way)) for way in WAYS] + [{"combine": "concat", "balance": False}]
    for given in options:
        if given.get("align") in (None, False):
            em, plain = (build_matrix(both, INDEX, **given, **more) for more in ({"cache_dir": tmp_path / "cache"}, {}))
            assert same_bits(em.matrix, plain.matrix), given


def test_a_matrix_keeps_its_steps_and_sources(paths, tmp_path):
    em = build_matrix([paths["a"], paths["b"]], INDEX, align=True, combine="average", fallbacks=FALLBACKS)
    for name in ("m.safetensors", "m.npz"):
        em.save(tmp_path / name)
        again = EmbeddingMatrix.load(tmp_path / name)
        assert again.steps == em.steps
        assert again.provenance.tolist() == em.provenance.tolist()
    handed_on = build_matrix(em, INDEX)
    assert handed_on.coverage.found == ["w3", "w50", "w230", "w41"]


def test_rows_of_unknown_words_are_drawn_in_the_new_space(paths):
    em = build_matrix([paths["a"], paths["c"]], INDEX, combine="concat", oov="mean")
    rows = em.matrix[[INDEX[word] for word in em.coverage.found]].astype(np.float64)
    assert np.allclose(em.matrix[INDEX["nobody"]], rows.mean(axis=0), atol=1e-6)


def test_the_command_line(paths, tmp_path, capsys):
    index = tmp_path / "index.txt"
    index.write_text("\n".join(INDEX))
    out = str(tmp_path / "m.safetensors")
    command = ["build", str(paths["a"]), str(paths["c"]), str(index), "-o", out]
    assert main([*command, "--combine", "concat", "--no-balance"]) == 0
    expected = build_matrix([paths["a"], paths["c"]], INDEX, combine="concat", balance=False)
    assert same_bits(EmbeddingMatrix.load(out).matrix, expected.matrix)
    for align in ("ridge", "procrustes", "True"):
        assert main([*command, "--align", align]) == 0
        assert EmbeddingMatrix.load(out).steps[0]["map"] == ("ridge" if align == "True" else align)
    assert "align (source c.txt" in capsys.readouterr().out
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "--align ridge" in told
    assert "--combine concat" in told
    command[2] = str(paths["other"])
    assert main(command) == 0
    assert main([*command, "--align", "False", "-q"]) == 0
    done = subprocess.run([sys.executable, "-m", "w2v_embed.cli", *command], capture_output=True, text=True, check=True)
    assert (
        "(--align ridge), put them side by side (--combine concat), or say that it is meant (--align False)."
        in done.stderr
    )
    with pytest.raises(SystemExit):
        main([*command, "--align", "rigde"])
