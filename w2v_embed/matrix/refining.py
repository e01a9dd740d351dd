"""What a step of refining is: fitted to the found rows of a matrix, done to them, and told in the new matrix's `steps`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import principal_axes
from ..parts import FIRST_SOURCE, OOV
from .blocks import blocks_of

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    from .._types import Bools, Floats, Ids
    from .embedding_matrix import EmbeddingMatrix

    Wide: TypeAlias = npt.NDArray[np.float64]
    Change: TypeAlias = Callable[[Wide, slice], Wide]  # rows, and which of the places they are → what becomes of them
    Fit: TypeAlias = Callable[
        ["FoundRows"], tuple[int, Change, dict[str, Any]]
    ]  # → new dim, what is done, what is told

# Numbers that are worked at at a time. Always as many: in blocks of other sizes sums and products would be rounded otherwise.
_BLOCK = 1 << 20


class NothingFoundError(ValueError):
    """There is no row that a step could be fitted to."""


class Step:
    """Something that is done to the rows of a matrix: called with an `EmbeddingMatrix`, it returns another.

    Attributes:
        name: as `EmbeddingMatrix.steps` has it.
        key: what tells it from all others, JSON values.
    """

    def __init__(
        self,
        name: str,
        fit: Callable[[FoundRows], tuple[int, Change, dict[str, Any]]],
        *,
        digest: str = "",
        **facts: Any,
    ) -> None:
        self.name: str = name
        self.key: list[Any] | None = [name, facts, digest]
        self._fit, self._facts = fit, facts

    def __call__(self, em: EmbeddingMatrix) -> EmbeddingMatrix:
        found = FoundRows(em, self.name)
        dim, change, more = self._fit(found)
        return em.with_matrix(found.changed(dim, change), {"step": self.name, **self._facts, **more})

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self._facts.items())})"


class FoundRows:
    """The rows of a matrix that steps are fitted to: those that a source gave or lent, in the order of their words.

    Args:
        em: the `EmbeddingMatrix`.
        name: of the step, for messages.

    Attributes:
        count: how many they are.
        words: their words, then the unknown ones whose rows hold something; None where a row has no word.
    """

    def __init__(self, em: EmbeddingMatrix, name: str) -> None:
        self._matrix, self._name = em.matrix, name
        if em.matrix.dtype.kind != "f":
            raise ValueError(
                f"{name} needs rows of floats, received {em.matrix.dtype}. Make them so: "
                "em.with_matrix(em.matrix.astype('float32'))"
            )
        names = sorted(em.word_index)
        ids = np.fromiter(map(em.word_index.__getitem__, names), np.int64, len(names))
        bare = np.ones(len(em.matrix), np.bool_)
        bare[ids] = False

        def of(rows: Bools) -> tuple[Ids, list[str | None]]:
            named, rest = rows[ids], np.flatnonzero(rows & bare)
            return np.append(ids[named], rest), [*compress(names, named.tolist()), *[None] * len(rest)]

        found, words = of(em.origins >= FIRST_SOURCE)
        self.count: int = len(found)
        if not self.count:
            raise NothingFoundError(
                f"{name} needs rows that a source gave; received a matrix of {len(em.matrix)} rows and {len(names)} words "
                "without any"
            )
        made = np.flatnonzero(em.origins == OOV)
        holds = np.zeros(len(em.matrix), np.bool_)  # zeros are no vectors
        for some in blocks_of(len(made), em.shape[1]):
            holds[made[some]] = em.matrix[made[some]].any(axis=1)
        more, others = of(holds)
        self._places: Ids = np.append(found, more)
        self.words: list[str | None] = words + others

    @property
    def dim(self) -> int:
        """Numbers a row."""
        return self._matrix.shape[1]

    def blocks(self) -> Iterator[Wide]:
        """The found rows, in float64, some at a time."""
        for some in blocks_of(self.count, self.dim, _BLOCK):
            yield self._rows(some)

    def _rows(self, some):
        rows = self._matrix[self._places[some]].astype(np.float64)
        if not np.isfinite(rows).all():
            k = some.start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise ValueError(
                f"{self._name} needs finite numbers; the row {self._places[k]} of the word {self.words[k]!r} has others"
            )
        return rows

    def mean(self) -> Wide:
        """Of the found rows, `(dim,)`."""
        total = np.zeros(self.dim)
        for rows in self.blocks():
            total += rows.sum(axis=0)
        return total / self.count

    def axes(self, mean: Wide) -> tuple[Wide, Wide]:
        """The principal axes of the found rows: (variances, axes), see `principal_axes`."""
        total = np.zeros((self.dim, self.dim))
        for rows in self.blocks():
            rows -= mean
            with np.errstate(over="ignore", invalid="ignore"):
                total += rows.T @ rows
        if not np.isfinite(total).all():
            raise ValueError(f"{self._name} needs smaller numbers: the squares of some are beyond float64")
        rounding = float(np.finfo(self._matrix.dtype).eps) ** 2
        return principal_axes(total / self.count, max(rounding, 1e-12))

    def changed(self, dim: int, change: Change) -> Floats:
        """The matrix, of `dim` columns, in which `change` was done to its rows."""
        matrix = np.zeros((len(self._matrix), dim), self._matrix.dtype)
        for some in blocks_of(len(self._places), self.dim, _BLOCK):
            with np.errstate(over="ignore"):
                rows = change(self._rows(some), some).astype(matrix.dtype)
            if not np.isfinite(rows).all():
                raise ValueError(f"{self._name} makes numbers that {matrix.dtype} cannot hold; use a wider dtype")
            matrix[self._places[some]] = rows
        return matrix


class Own:
    """A callable of the user's, held to what steps promise."""

    def __init__(self, function: Callable[[EmbeddingMatrix], Any]) -> None:
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self.key: list[Any] | None = None
        self._function = function

    def __repr__(self) -> str:
        return f"{self.name}()"

    def __call__(self, em: EmbeddingMatrix) -> EmbeddingMatrix:
        made: Any = self._function(em)
        steps: tuple[Mapping[str, object], ...] = ()
        if isinstance(made, type(em)):
            if made.word_index != em.word_index or not np.array_equal(made.origins, em.origins):
                raise ValueError(f"postprocess: {self.name} must leave the words and their rows where they are")
            made, steps = made.matrix, made.steps[len(em.steps) :]
        matrix = np.asarray(made)
        if matrix.ndim != 2 or len(matrix) != len(em.matrix) or not matrix.shape[1] or matrix.dtype.kind not in "fiu":
            raise ValueError(
                f"postprocess: {self.name} must return an EmbeddingMatrix or an array of {len(em.matrix)} rows of numbers, "
                f"received {matrix.dtype} of shape {matrix.shape}"
            )
        with np.errstate(over="ignore"):
            matrix = matrix.astype(em.matrix.dtype)  # always a copy: others write into it
        matrix[em.origins < FIRST_SOURCE] = 0
        if not all(np.isfinite(matrix[some]).all() for some in blocks_of(*matrix.shape)):
            raise ValueError(f"postprocess: {self.name} must return numbers that are finite in {matrix.dtype}")
        return em.with_matrix(matrix, *(steps or [{"step": self.name}]))
