"""Refining: every step against a loop over words, and what a step never does."""

import math
import pickle
import tracemalloc

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, embedding_layer
from w2v_embed.cli import main
from w2v_embed.matrix import refining
from w2v_embed.postprocess import (
    all_but_the_top,
    center,
    frequency_weight,
    normalize,
    pca,
    step_named,
    steps_of,
    whiten,
)

COUNTS = {"w3": 50, "w1": 7, "w0": 7, "elsewhere": 36, "w5": 0}


def rows_like(n, dim, seed=0):
    """Rows of unequal variances, in no order, off the origin."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, dim)) * np.geomspace(3, 0.3, dim) @ np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    return mixed + rng.normal(size=dim)


@pytest.fixture
def em():
    """30 found words, one that fallbacks lent a row, unknown ones with and without a row, a hole, padding; in no order."""
    rng = np.random.default_rng(1)
    words = [f"w{k}" for k in range(30)]
    ids = dict(zip([*words, "lent", "zero", "drawn"], (rng.permutation(33) + 1).tolist()))
    matrix = np.zeros((36, 6), np.float32)
    matrix[[ids[word] for word in [*words, "lent", "drawn"]]] = rows_like(32, 6)
    origins = np.zeros(36, np.int32)
    origins[0], origins[[ids[word] for word in words]] = 1, 3
    origins[ids["lent"]], origins[ids["zero"]], origins[ids["drawn"]], origins[35] = 4, 2, 2, 2
    matrix[35] = 1  # a further unknown id, which no word has
    sources = ["glove", ("glove", "lower")]
    return EmbeddingMatrix(matrix, ids, origins=origins, sources=sources, padding_row=0, steps=[{"step": "align"}])


# ── the slow twins: word by word ──


def mean_of(found):
    return [math.fsum(row[k] for row in found.values()) / len(found) for k in range(len(next(iter(found.values()))))]


def axes_of(found):
    """(variances, axes), by singular values of the rows and not by their covariance."""
    mean = mean_of(found)
    _, singular, axes = np.linalg.svd(np.array([[x - m for x, m in zip(row, mean)] for row in found.values()]))
    for axis in axes:
        axis *= np.sign(axis[np.argmax(np.abs(axis))])
    return singular**2 / len(found), axes


def naive_center(word, row, found):
    return [x - m for x, m in zip(row, mean_of(found))]


def naive_normalize(word, row, found):
    norm = math.sqrt(math.fsum(x * x for x in row))
    return [x / norm for x in row]


def naive_top(word, row, found):
    row = np.array(naive_center(word, row, found))
    for axis in axes_of(found)[1][:2]:
        row = row - sum(x * y for x, y in zip(row, axis)) * axis
    return row


def naive_pca(word, row, found):
    row = naive_center(word, row, found)
    return [math.fsum(x * y for x, y in zip(row, axis)) for axis in axes_of(found)[1][:3]]


def naive_whiten(word, row, found):
    variances, axes = axes_of(found)
    row = naive_center(word, row, found)
    return [math.fsum(x * y for x, y in zip(row, axis)) / math.sqrt(v) for v, axis in zip(variances, axes)]


def naive_sif(word, row, found):
    return [x * 0.01 / (0.01 + COUNTS.get(word, 0) / 100) for x in row]


def naive_zipf(word, row, found):
    counts = sorted(COUNTS.values(), reverse=True)
    ranks = [k for k, count in enumerate(counts, 1) if count == COUNTS.get(word, -1)]
    rank = sum(ranks) / len(ranks) if ranks else len(counts) + 1
    return [x * math.log(1 + rank) for x in row]


STEPS = [
    (center, naive_center, {"step": "center", "rows": 31}),
    (normalize, naive_normalize, {"step": "normalize"}),
    (all_but_the_top(2), naive_top, {"step": "all_but_the_top", "n": 2, "rows": 31}),
    (pca(3), naive_pca, {"step": "pca", "dim": 3, "of": 6, "rows": 31}),
    (whiten(), naive_whiten, {"step": "whiten", "dim": 6, "of": 6, "rows": 31, "kept": 1.0}),
    (frequency_weight(COUNTS, a=0.01), naive_sif, {"step": "frequency_weight", "weighting": "sif", "a": 0.01}),
    (frequency_weight(COUNTS, "zipf"), naive_zipf, {"step": "frequency_weight", "weighting": "zipf", "counted": 5}),
]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("step", "naive", "told"), STEPS)
def test_a_step_against_a_loop_over_words(em, step, naive, told, dtype):
    em = em.with_matrix(em.matrix.astype(dtype))
    before = em.matrix.copy()
    done = step(em)
    found = {w: em.matrix[k].astype(float).tolist() for w, k in em.word_index.items() if w not in ("zero", "drawn")}
    words = dict(zip(em.word_index.values(), em.word_index))
    expected = np.zeros(done.shape)
    for k, row in enumerate(em.matrix.astype(float).tolist()):
        if any(row):
            expected[k] = naive(words.get(k), row, found)
    np.testing.assert_allclose(done.matrix, expected, rtol=0, atol={"float16": 1e-2, "float32": 3e-6}.get(dtype, 1e-12))
    assert done.matrix.dtype == dtype
    zeros = [0, em.word_index["zero"], *np.flatnonzero(em.origins == 0)]
    assert len(zeros) == 3
    assert not done.matrix[zeros].any()
    assert told.items() <= done.steps[-1].items()
    assert done.steps[:-1] == em.steps == ({"step": "align"},)
    # nothing else changes, neither in the one nor in the other
    assert same_bits(em.matrix, before)
    assert not np.shares_memory(done.matrix, em.matrix)
    assert done.provenance.tolist() == em.provenance.tolist()
    assert (done.word_index, done.padding_row, done.coverage) == (em.word_index, 0, em.coverage)
    assert done.oov_rows.tolist() == em.oov_rows.tolist()


@pytest.mark.parametrize("step", [step for step, _, _ in STEPS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ids_change_no_bit(step, dtype, monkeypatch):
    """Rows belong to words; and the blocks, whose size is fixed, change nothing that can be seen."""
    rows, rng = rows_like(999, 17).astype(dtype), np.random.default_rng(3)
    words = [f"w{k}" for k in range(999)]
    first = step(EmbeddingMatrix(rows, {word: k for k, word in enumerate(words)}))
    order = rng.permutation(999)
    matrix = np.zeros((1200, 17), dtype)
    ids = rng.choice(1200, 999, replace=False)
    matrix[ids] = rows[order]
    second = step(EmbeddingMatrix(matrix, {words[k]: int(ids[n]) for n, k in enumerate(order.tolist())}))
    assert same_bits(second.matrix[[second.word_index[word] for word in words]], first.matrix)
    assert first.steps == second.steps
    monkeypatch.setattr(refining, "_BLOCK", 64)
    third = step(EmbeddingMatrix(rows, {word: k for k, word in enumerate(words)}))
    np.testing.assert_allclose(third.matrix, first.matrix, rtol=0, atol=1e-12 if dtype == "float64" else 1e-6)


def test_extreme_rows_are_as_long_as_others():
    matrix = np.array([[3e200, 4e200], [3e-200, 4e-200], [5e-324, 0]])
    unit = normalize(EmbeddingMatrix(matrix, {"a": 0, "b": 1, "c": 2})).matrix
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0.6, 0.8], [1, 0]], rtol=1e-15)


# ── what cannot be ──


def few(n, dim=4):
    return EmbeddingMatrix(rows_like(n, dim), {f"w{k}": k for k in range(n)})


@pytest.mark.parametrize(
    ("step", "em", "told"),
    [
        (
            pca(5),
            few(30),
            r"pca needs a dim of 4 at most, received 5: the 30 found rows differ in so many directions only",
        ),
        (
            pca(3),
            few(3),
            r"pca needs a dim of 2 at most, received 3: the 3 found rows differ in so many directions only",
        ),
        (whiten(4), few(4), "whiten needs a dim of 3 at most, received 4"),
        (whiten(), few(1), "whiten needs a dim of 0 at most, received 1"),
        (all_but_the_top(4), few(30), "all_but_the_top needs an n below the 4 numbers of a row, received 4"),
        (
            center,
            EmbeddingMatrix(np.zeros((0, 3)), {}),
            "center needs rows that a source gave; received a matrix of 0 rows",
        ),
        (
            normalize,
            EmbeddingMatrix(np.ones((2, 3)), {"a": 1, "b": 0}, origins=[2, 2]),
            "normalize needs rows that a source gave; received a matrix of 2 rows and 2 words without any",
        ),
        (
            pca(1),
            EmbeddingMatrix([[1e200, 2], [3, 5]], {"a": 1, "b": 0}),
            "pca needs smaller numbers: the squares of some",
        ),
        (pca(1), EmbeddingMatrix([[1, 2], [3, 5]], {"a": 1, "b": 0}), "pca needs rows of floats, received int64"),
        (
            center,
            EmbeddingMatrix([[1.0, np.nan], [1, 1]], {"a": 0, "b": 1}),
            "center needs finite numbers; the row 0 of the word 'a' has others",
        ),
        (
            pca(1),
            EmbeddingMatrix(
                [[1.0, 1], [2, 1], [np.inf, 0]], {"a": 0, "b": 1, "c": 2}, origins=[3, 3, 2], sources=["x"]
            ),
            "pca needs finite numbers; the row 2 of the word 'c' has others",
        ),
        (
            center,
            EmbeddingMatrix(np.array([[60000.0], [-60000]], "f2"), {"a": 0, "b": 1}, origins=[3, 2], sources=["x"]),
            "center makes numbers that float16 cannot hold; use a wider dtype",
        ),
    ],
)
def test_what_a_step_refuses(step, em, told):
    with pytest.raises(ValueError, match=told):
        step(em)


def test_fewer_rows_than_columns():
    """What there is to take off is taken off, and what there is to keep kept."""
    for n in (1, 2, 3):
        done = all_but_the_top(2)(few(n))
        assert np.abs(done.matrix).max() < 1e-12  # n - 1 directions are all that there are
    assert pca(2)(few(3)).shape == whiten()(few(3)).shape == (3, 2)
    removed = all_but_the_top(1)(EmbeddingMatrix(rows_like(99, 4).astype("f2"), {f"w{k}": k for k in range(99)}))
    with pytest.raises(ValueError, match="whiten needs a dim of 3 at most, received 4"):
        whiten(4)(removed)  # in float16 what is left of the fourth is rounding
    alike = EmbeddingMatrix(np.ones((5, 3)), {f"w{k}": k for k in range(5)})
    assert not all_but_the_top(1)(alike).matrix.any()


@pytest.mark.parametrize("one", [0, -1, 1.5, True, "2", None, 10**30])
def test_numbers_that_are_none(one):
    with pytest.raises(ValueError, match="n must be a whole number from 1 on, received|n below the 4 numbers"):
        all_but_the_top(one)(few(9))
    with pytest.raises(ValueError, match="dim must be a whole number from 1 on, received|a dim of 4 at most"):
        pca(one)(few(9))
    if one is not None:
        with pytest.raises(ValueError, match="dim must be None or a whole number from 1 on|a dim of 4 at most"):
            whiten(one)(few(9))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (({"a": -1},), "counts must be finite numbers from 0 on, received -1 for the word 'a'"),
        (({"a": math.nan},), "counts must be finite numbers from 0 on"),
        (({"a": 0},), "counts must count something, received 1 words, none of which occurs"),
        (({},), "counts must count something"),
        (([1, 2],), "counts must map words to numbers"),
        (({"a": 1}, "log"), 'weighting must be "sif" or "zipf", received \'log\''),
    ],
)
def test_counts_that_are_none(arguments, told):
    with pytest.raises((ValueError, TypeError), match=told):
        frequency_weight(*arguments)
    for a in (0, -1, math.inf, math.nan, "1"):
        with pytest.raises(ValueError, match="a must be a finite number above 0, received"):
            frequency_weight({"a": 1}, a=a)


# ── in build_matrix ──


@pytest.fixture
def path(tmp_path):
    rows = rows_like(60, 5).astype(np.float32)
    return write_text(tmp_path / "v.txt", {f"w{k}": row.tolist() for k, row in enumerate(rows)})


INDEX = {word: k for k, word in enumerate(["<pad>", *(f"w{k}" for k in range(50)), "W55", "nobody", "noone"])}


@pytest.mark.parametrize("oov", ["zeros", "mean", "normal", lambda shape, rng: rng.normal(size=shape)])
def test_unknown_words_get_their_rows_where_the_refined_ones_lie(path, oov):
    options = {"fallbacks": ["lower"], "seed": 5}
    em = build_matrix(path, INDEX, oov=oov, postprocess=["all_but_the_top:1", pca(3), normalize], **options)
    plain = normalize(pca(3)(all_but_the_top(1)(build_matrix(path, INDEX, **options))))
    assert em.coverage == plain.coverage
    assert em.coverage.missing == ["nobody", "noone"]
    known = [INDEX[word] for word in em.coverage.found]
    assert same_bits(em.matrix[known], plain.matrix[known])
    assert em.steps == plain.steps
    assert [step["step"] for step in em.steps] == ["all_but_the_top", "pca", "normalize"]
    assert not em.matrix[0].any()
    np.testing.assert_allclose(np.linalg.norm(em.matrix[INDEX["W55"]]), 1, atol=1e-6)  # lent, and refined
    unknown = em.matrix[-2:]
    mean = plain.matrix[known].astype(float).mean(axis=0)
    if oov == "zeros":
        assert not unknown.any()
    elif oov == "mean":
        np.testing.assert_allclose(unknown, [mean, mean], atol=1e-6)
    elif oov == "normal":
        from w2v_embed.matrix.oov import draw

        std = plain.matrix[known].astype(float).std(axis=0)
        np.testing.assert_allclose(unknown, mean + std * draw(["nobody", "noone"], 3, 5), atol=1e-6)
    else:
        assert same_bits(unknown, np.random.default_rng(5).normal(size=(2, 3)).astype(np.float32))
    assert same_bits(embedding_layer(em).get_weights()[0], em.matrix)


def test_names_and_objects_are_one(path, tmp_path):
    named = build_matrix(
        path, INDEX, postprocess=["center", "normalize", "all_but_the_top:2", "pca:3", "whiten:2", "whiten"]
    )
    given = build_matrix(path, INDEX, postprocess=(center, normalize, all_but_the_top(2), pca(3), whiten(2), whiten()))
    assert same_bits(named.matrix, given.matrix)
    assert named.steps == given.steps
    named.save(tmp_path / "m.npz")
    assert EmbeddingMatrix.load(tmp_path / "m.npz").steps == named.steps
    assert build_matrix(path, INDEX, postprocess=iter(["center"])).steps == ({"step": "center", "rows": 50},)
    assert build_matrix(path, INDEX).steps == ()


@pytest.mark.parametrize(
    "one",
    [
        "",
        "centre",
        "center:",
        "center:2",
        "pca",
        "pca:",
        "pca:-1",
        "pca:0",
        "pca:1.5",
        "pca:１",
        "pca:x",
        "whiten:",
        ":2",
    ],
)
def test_names_that_are_none(path, one):
    with pytest.raises(
        ValueError, match="each of postprocess must be center, normalize, .* received|dim must be a whole"
    ):
        build_matrix(path, INDEX, postprocess=[one])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("center", r"postprocess must be a list of names or callables, received 'center' alone; write \['center'\]"),
        (center, "postprocess must be a list .* alone; write"),
        (None, "postprocess must be a list of names or callables, received None"),
        ([3], "postprocess must be names .* or callables, received 3"),
        ([pca], "postprocess has pca itself; call it with what it needs"),
        ([frequency_weight], "postprocess has frequency_weight itself"),
        (["frequency_weight:sif"], r'Weights need counts: pass frequency_weight\(counts, "sif"\)|each of postprocess'),
    ],
)
def test_what_is_no_postprocess(path, given, told):
    with pytest.raises((TypeError, ValueError), match=told):
        build_matrix(path, INDEX, postprocess=given)


def test_callables_of_the_user(path):
    plain = build_matrix(path, INDEX)
    shared = np.full((len(INDEX), 2), 7.0)

    def constant(em):
        return shared

    em = build_matrix(path, INDEX, oov="mean", postprocess=[constant])
    assert em.matrix.dtype == np.float32
    assert em.steps == ({"step": "constant"},)
    assert not em.matrix[0].any()
    assert (em.matrix[1:] == 7).all()
    assert (shared == 7).all()  # it is the user's: zeros and unknown words are written into a copy

    def double(em):
        em.matrix *= 2
        return em

    em = build_matrix(
        path, INDEX, postprocess=[double, lambda em: em.with_matrix(em.matrix + 1, {"step": "more", "by": 1})]
    )
    assert em.steps == ({"step": "double"}, {"step": "more", "by": 1})
    assert same_bits(em.matrix[1:51], plain.matrix[1:51] * 2 + 1)
    assert not em.matrix[51:].any()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda em: None, "must return an EmbeddingMatrix or an array of 54 rows of numbers, received object"),
        (lambda em: em.matrix[:3], r"array of 54 rows of numbers, received float32 of shape \(3, 5\)"),
        (lambda em: em.matrix[:, :0], r"received float32 of shape \(54, 0\)"),
        (lambda em: em.matrix.astype(str), "received <U"),
        (lambda em: np.full((54, 2), np.nan), "must return numbers that are finite in float32"),
        (lambda em: np.full((54, 2), 1e60), "must return numbers that are finite in float32"),
        (lambda em: EmbeddingMatrix(em.matrix, {"w1": 1}), "must leave the words and their rows where they are"),
        (lambda em: EmbeddingMatrix(em.matrix, em.word_index), "must leave the words and their rows where they are"),
    ],
)
def test_what_callables_must_not(path, answer, told):
    with pytest.raises(ValueError, match=told):
        build_matrix(path, INDEX, postprocess=[answer])


def test_nothing_found_is_nothing_to_fit_to(path):
    with pytest.raises(ValueError, match="pca needs rows that a source gave; received a matrix of 2 rows and 1 words"):
        build_matrix(path, {"nobody": 1}, postprocess=["pca:2"])


def test_the_cache_knows_the_steps(path, tmp_path, monkeypatch):
    from w2v_embed.matrix import build

    calls, real = [], build._build
    monkeypatch.setattr(build, "_build", lambda *args, **options: calls.append(1) or real(*args, **options))
    series = [
        [], ["center"], ["normalize"], ["center", "normalize"], ["normalize", "center"], ["pca:2"], ["pca:3"], ["whiten:2"],
        [frequency_weight({"w1": 3})], [frequency_weight({"w1": 4})], [frequency_weight({"w1": 3}, a=0.1)],
        [frequency_weight({"w1": 3}, "zipf")],
    ]  # fmt: skip
    first = [build_matrix(path, INDEX, postprocess=steps, oov="normal", cache_dir=tmp_path / "c") for steps in series]
    assert len(calls) == len(series)
    again = [[step_named(s) if isinstance(s, str) else s for s in steps] for steps in series]
    second = [build_matrix(path, INDEX, postprocess=steps, oov="normal", cache_dir=tmp_path / "c") for steps in again]
    assert len(calls) == len(series)
    for one, other in zip(first, second):
        assert same_bits(one.matrix, other.matrix)
        assert one.steps == other.steps
    with pytest.raises(TypeError, match=r"whether a callable \(oov, fallbacks, postprocess\) has changed"):
        build_matrix(path, INDEX, postprocess=[lambda em: em], cache_dir=tmp_path / "c")


def test_beside_a_refined_matrix_there_is_one_other():
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(40_000)]
    kv = KeyedVectors(100)
    kv.add_vectors(words, rng.normal(size=(40_000, 100)).astype(np.float32))
    index = {word: k for k, word in enumerate(words, 1)}

    def peak_of(**options):
        tracemalloc.start()
        em = build_matrix(kv, index, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak, em.matrix.nbytes

    plain, table = peak_of()
    series = ["center", "all_but_the_top:2", "normalize", "pca:98", "whiten:90"]
    refined, _ = peak_of(postprocess=series)
    words_and_blocks = 48 << 20  # as many for a table of any width
    assert refined < plain + table + words_and_blocks
    assert 2 * table < refined + (1 << 20)  # the other one is there: the measurement sees tables


# ── the command ──


def test_the_command(path, tmp_path, capsys):
    index = tmp_path / "index.txt"
    index.write_text("\n".join(INDEX))
    counts = tmp_path / "counts.json"
    counts.write_text('{"w1": 5, "w2": 1}')
    out = tmp_path / "m.safetensors"
    steps = ["--post", "all_but_the_top:2", "--post", "frequency_weight:sif", "--post", "pca:3"]
    assert main(["build", str(path), str(index), "-o", str(out), *steps, "--counts", str(counts)]) == 0
    expected = build_matrix(path, INDEX, postprocess=[all_but_the_top(2), frequency_weight({"w1": 5, "w2": 1}), pca(3)])
    em = EmbeddingMatrix.load(out)
    assert same_bits(em.matrix, expected.matrix)
    assert em.steps == expected.steps
    told = capsys.readouterr().out
    assert "steps: all_but_the_top (n 2, rows 50, removed 0." in told
    assert "frequency_weight (weighting sif, a 0.001, counted 2), pca (dim 3, of 5, rows 50, kept " in told
    assert main(["build", str(path), str(index), "-o", str(out), "--post", "frequency_weight:zipf"]) == 2
    assert "--post frequency_weight:zipf needs --counts" in capsys.readouterr().err
    for wrong in ("pca", "middle", "pca:0"):
        with pytest.raises(SystemExit) as stopped:
            main(["build", str(path), str(index), "-o", str(out), "--post", wrong])
        assert stopped.value.code == 2
        assert f"invalid choice: '{wrong}' (choose from center, normalize" in capsys.readouterr().err


def test_steps_say_what_they_are():
    assert list(map(repr, steps_of(["center", "pca:3", whiten()]))) == ["center()", "pca(dim=3)", "whiten(dim=None)"]
    assert repr(steps_of([len])[0]) == "len()"
    again = pickle.loads(pickle.dumps(steps_of(["center", "pca:2", frequency_weight(COUNTS)])))
    assert [one.key for one in again] == [one.key for one in steps_of(["center", "pca:2", frequency_weight(COUNTS)])]
    assert same_bits(again[1](few(9)).matrix, pca(2)(few(9)).matrix)
