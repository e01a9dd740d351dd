"""The pool of rows that sources lend, over sources that have no more than they must."""

import numpy as np
import pytest

from tests.conftest import same_bits
from w2v_embed.matrix.fallbacks import Fallbacks
from w2v_embed.matrix.lending import RowPool, resolve
from w2v_embed.readers.scan.keys import keys_of


class Toy:
    """A source that says no more than it is asked; `parts` is how many rows it lends at a time."""

    def __init__(self, rows, parts=2, dtype=np.float32):
        self.rows, self.parts, self.dtype, self.asked = rows, parts, dtype, []

    def has(self, words):
        self.asked.append(list(words))
        return np.array([word in self.rows for word in words], bool)

    def lend(self, words):
        known = np.array([k for k, word in enumerate(words) if word in self.rows], np.int64)
        for first in range(0, len(known), self.parts):
            some = known[first : first + self.parts]
            yield some, np.array([self.rows[words[k]] for k in some.tolist()], self.dtype)


class Noting(Toy):
    """One that knows the keys of its words."""

    def has(self, words):
        raise AssertionError("its words' keys are known")

    def word_keys(self):
        return [keys_of(list(self.rows)), keys_of(["a word that is not there, but shares its key with one that is"])]


INDEX = {"dog": 1, "THE": 2, "Cat": 3, "New-York": 4, "is": 5, "DOG": 6, "zz": 7}


def pool_of(sources, candidates):
    """A matrix with the row of "dog" out of source 0, and "is" out of the last one."""
    matrix = np.zeros((8, 2), np.float32)
    matrix[1], matrix[5] = [1, 2], [3, 4]
    owners = np.full(8, -1)
    owners[1], owners[5] = 0, len(sources) - 1
    return matrix, RowPool(matrix, INDEX, sources, owners, candidates)


@pytest.mark.parametrize("kinds", [(Toy, Toy), (Noting, Toy), (Toy, Noting), (Noting, Noting)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_words_are_lent_by_whoever_has_them(kinds, dtype):
    """Whether a source says which words it has, or is asked; rows come in parts, and in any floating type."""
    tables = (
        {"dog": [1, 2], "the": [5, 6], "new": [0.5, 1], "cat": [7, 8]},
        {"the": [9, 9], "york": [1.5, 3], "is": [3, 4]},
    )
    sources = [kind(rows, parts, dtype) for kind, rows, parts in zip(kinds, tables, (1, 5))]
    plan, called = Fallbacks(["lower", "parts"]), []
    missing = ["THE", "Cat", "New-York", "DOG", "zz"]

    def candidates():
        called.append(None)
        return sorted(plan.candidates(missing))

    matrix, pool = pool_of(sources, candidates)
    resolution, numbers, would = resolve(plan, ["upper"], missing, pool)
    assert {word: derived.words for word, derived in resolution.derived().items()} == {
        "THE": ("the",),
        "Cat": ("cat",),
        "New-York": ("new", "york"),
        "DOG": ("dog",),
    }
    assert list(would) == ["upper"]
    assert resolution.missing() == would["upper"].missing() == ["zz"]
    lent = dict(zip(resolution.lenders(), pool.owners(numbers).tolist()))
    assert lent == {"the": 0, "cat": 0, "new": 0, "york": 1, "dog": 0}
    borrowers = [k for loans in resolution.loans for k in loans.borrowers]
    counts = [count for loans in resolution.loans for count in loans.counts]
    pool.lend(numbers, counts, np.array([INDEX[missing[k]] for k in borrowers]))
    assert same_bits(matrix, np.array([[0, 0], [1, 2], [5, 6], [7, 8], [1, 2], [3, 4], [1, 2], [0, 0]], np.float32))
    assert len(called) == (Toy in kinds)
    for source, kind in zip(sources, kinds):
        assert len(source.asked) == (kind is Toy)
        assert all("dog" not in words and "the" in words for words in source.asked)


def test_a_source_that_takes_its_word_back():
    """What it does not lend after all is not there; another fallback may find something."""

    class Forgetful(Toy):
        def lend(self, words):
            return ((got, rows) for got, rows in super().lend([word if word != "the" else "" for word in words]))

    source = Forgetful({"the": [1, 1], "The": [2, 2], "dog": [1, 2], "is": [3, 4]})
    plan = Fallbacks(["lower", "title"])
    _, pool = pool_of([source], lambda: sorted(plan.candidates(["THE"])))
    resolution, _, _ = resolve(plan, [], ["THE"], pool)
    assert resolution.derived()["THE"].words == ("The",)


def test_nobody_is_asked_where_all_know_their_keys():
    _, pool = pool_of([Noting({"the": [1, 1]})], lambda: pytest.fail("the candidates are not needed"))
    assert pool.words().has(["the", "dog"]).tolist() == [True, False]
