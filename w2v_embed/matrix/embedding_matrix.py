"""A matrix with the vocabulary that it belongs to, and where each row came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..parts import OOV, ORIGINS, check_told, checked, checked_steps, exact_words
from ..readers.damage import DamageReport
from ..shown import plain_errors
from .coverage import Coverage, coverage_of
from .fallbacks import Derivation

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from flax import nnx

    from .._types import BagMode, Bools, Counts, Floats, StrPath
    from ..parts import Codes, Label, Step


class EmbeddingMatrix:
    """An embedding matrix with the vocabulary that it belongs to, and where each row came from.

    `build_matrix` makes it; `np.asarray(em)` is the matrix. It is a source for `build_matrix`, too: of the words that have a
    vector of their own, not of those whose rows were lent by others, made of n-grams, or made up.

    Args:
        matrix: array `(rows, dim)`.
        word_index: dict word → id, each id from 0 on and another one.
        origins: for each row 0 (unused), 1 (padding), 2 (oov), or 3 and on: the first source and on. None: every word has its
            row from the one source, except where it is padding.
        sources: names, or pairs (name, fallback or None); none given and no origins: the source is called "unnamed".
        derived: dict word → `Derivation`, or a callable that makes it.
        suggestions: dict fallback → list of words.
        padding_row: 0, or None.
        damage: list of `DamageReport`.
        steps: what was done to the rows since they were read: dicts of JSON values with a name under "step".

    Attributes:
        matrix: array `(rows, dim)`; row i is the vector of the word with id i.
        word_index: dict word → id.
        origins: int32 array `(rows,)`: 0 (unused), 1 (padding), 2 (oov), or 3 and on: the first of `sources` and on.
        sources: tuple of pairs: the name of a source, and the fallback that found rows in it, or None.
        suggestions: dict fallback that was not used → list of the missing words that it would find.
        padding_row: 0 where row 0 is padding (all zeros), None where id 0 is a word.
        provenance: array `(rows,)` of str: the source of each row ("glove.txt", or "glove.txt (lower)" where a fallback found
            it), or "padding", "oov", or "unused" where no word has the id.
        derived: dict word → `Derivation`: by which fallback, and from the rows of which words, the word got its row.
        oov_rows: array of the ids of words without a vector.
        coverage: the `Coverage`.
        damage: `DamageReport`s of the files that were read, or an empty list.
        steps: what was done to the rows since they were read, in this order: tuple of dicts, each with its name under "step"
            and with its parameters.

    Raises:
        ValueError: the parts do not fit together.
    """

    def __init__(
        self,
        matrix: npt.ArrayLike,
        word_index: Mapping[str, int],
        *,
        origins: npt.ArrayLike | None = None,
        sources: Iterable[str | Sequence[str | None]] = (),
        derived: Mapping[str, Derivation] | Callable[[], dict[str, Derivation]] | None = None,
        suggestions: Mapping[str, list[str]] | None = None,
        padding_row: int | None = None,
        damage: Iterable[DamageReport] = (),
        steps: Iterable[Mapping[str, object]] = (),
    ) -> None:
        self.matrix: Floats = np.asarray(matrix)
        if self.matrix.ndim != 2:
            raise ValueError(f"expected a matrix (rows, dim), received an array of shape {self.matrix.shape}")
        self.word_index: dict[str, int]
        self.origins: Codes
        self.sources: tuple[Label, ...]
        self.padding_row: int | None
        self.word_index, self.origins, self.sources, self.padding_row = checked(
            len(self.matrix), word_index, origins, sources, padding_row
        )
        self.damage: list[DamageReport] = list(damage)
        self.suggestions: dict[str, list[str]] = dict(suggestions or {})
        self.steps: tuple[Step, ...] = checked_steps(steps)
        self._derived = derived if callable(derived) else partial(dict, derived or {})
        told = {} if callable(derived) else self._derived()
        check_told(self.word_index, self.origins, told, self.suggestions)
        for name, values, kind in (("derived", told.values(), Derivation), ("damage", self.damage, DamageReport)):
            if wrong := [value for value in values if not isinstance(value, kind)]:
                raise ValueError(f"{name} must hold {kind.__name__}s, received {wrong[0]!r}")

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is None:  # NumPy 1 knows no None there
            return np.asarray(self.matrix, dtype=dtype)
        return np.array(self.matrix, dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dim)"""
        rows, dim = self.matrix.shape
        return rows, dim

    @property
    def vector_size(self) -> int:
        """Numbers a word."""
        return self.matrix.shape[1]

    @cached_property
    def _exact(self) -> dict[str, int]:
        return exact_words(self.word_index, self.origins, self.sources)

    def vectors_for(self, words: Sequence[str]) -> tuple[Floats, Bools]:
        """The rows of words that have a vector of their own: (array `(len(words), dim)`, bool array `(len(words),)`)."""
        numbers = np.fromiter((self._exact.get(word, -1) for word in words), np.int64, len(words))
        found = numbers >= 0
        rows = np.zeros((len(words), self.vector_size), self.matrix.dtype)
        rows[found] = self.matrix[numbers[found]]
        return rows, found

    def with_matrix(self, matrix: npt.ArrayLike, *steps: Mapping[str, object]) -> EmbeddingMatrix:
        """The same words with the rows of `matrix`, which may be of another width; `steps` say what was done to them."""
        return EmbeddingMatrix(
            matrix,
            self.word_index,
            origins=self.origins,
            sources=self.sources,
            derived=self._derived,
            suggestions=self.suggestions,
            padding_row=self.padding_row,
            damage=self.damage,
            steps=[*self.steps, *steps],
        )

    @property
    def provenance(self) -> npt.NDArray[np.object_]:
        return np.array([*ORIGINS, *map(_label, self.sources)], object)[self.origins]

    @property
    def oov_rows(self) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self.origins == OOV)

    @cached_property
    def derived(self) -> dict[str, Derivation]:
        return self._derived()

    @cached_property
    def coverage(self) -> Coverage:
        return coverage_of(self, [*ORIGINS, *map(_label, self.sources)])

    @plain_errors
    def save(self, path: StrPath) -> None:
        """Write to `path`: .safetensors or .npz with everything, .npy the bare matrix. Always the old file or the new.

        A name that ends in .safetensors.index.json: parts of up to 5 GB beside it, in Hugging Face's layout.
        """
        from ..shards import is_index, save_shards
        from ..store import save

        if is_index(path):
            save_shards(self, path)
        else:
            save(self, path)

    @classmethod
    @plain_errors
    def load(cls, path: StrPath, mmap: bool = False) -> EmbeddingMatrix:
        """Read what `save` wrote. A .npy has no words: its `word_index` is empty.

        Args:
            path: the file.
            mmap: map the matrix of a .safetensors or .npy, to be read only, instead of reading it: memory is that of the words,
                and rows come from the disk as they are asked for. Their checksums are not looked at. A file that `save`
                or `build_matrix` puts in its place changes nothing for who has the old one mapped; who changes a mapped file
                where it lies changes the matrix, and who cuts it kills its readers. See docs/scale.md.

        Raises:
            FileNotFoundError, ValueError: there is no such file, it is not whole, or it cannot be mapped.
        """
        from ..shards import is_index, load_shards
        from ..store import load

        if not is_index(path):
            return load(path, cls._from_stored, mmap=mmap)
        if mmap:
            raise ValueError(
                f"mmap=True maps one file, and {path} names several. Map the part whose rows are wanted, or load all without "
                "mmap"
            )
        return load_shards(path, cls._from_stored)

    @plain_errors
    def push_to_hub(
        self,
        repo: str,
        *,
        license: str | Mapping[str, str] | None = None,
        language: str | Sequence[str] | None = None,
        counts: Counts | None = None,
        card: bool = True,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str = "Upload an embedding matrix",
        create_pr: bool = False,
        token: str | bool | None = None,
    ) -> str:
        """Put the matrix into a repository of the Hugging Face Hub, in one commit; returns the address of what came about.

        Args:
            repo: "owner/name"; made if it is not there.
            license: the licence of the vectors, as the Hub writes them ("cc-by-sa-4.0"), or a dict source → licence.
            language: a code ("zh"), or several.
            counts: how often each word occurs, as for `Coverage.weighted_rate`: the card tells the share of the tokens.
            card: whether README.md is written anew: sizes, coverage, sources and their licences.
            private: whether a repository that is made shows to its owner only; None: as the owner has it set.
            revision: the branch, if not the main one.
            commit_message, create_pr: what the commit says, and whether it is only proposed, as a pull request.
            token: of the Hub; None: that of `hf auth login`.

        Raises:
            ImportError, ValueError: huggingface_hub is not installed; the matrix cannot be saved; an argument is wrong.
            OSError: the Hub does not take it. (PermissionError, FileNotFoundError and ConnectionError are that, too.)
        """
        from ..hub import push

        return push(
            self, repo, license=license, language=language, counts=counts, card=card, private=private,
            revision=revision, commit_message=commit_message, create_pr=create_pr, token=token,
        )  # fmt: skip

    @classmethod
    @plain_errors
    def from_pretrained(
        cls,
        repo: StrPath,
        *,
        revision: str | None = None,
        cache_dir: StrPath | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        mmap: bool = False,
    ) -> EmbeddingMatrix:
        """Read what `push_to_hub` put into a repository, out of huggingface_hub's cache where it is there already.

        Args:
            repo: "owner/name", or a folder with the same files; a folder of that name comes first.
            revision: a branch, a tag or a commit.
            cache_dir: where files are kept; None: where huggingface_hub keeps them.
            local_files_only: ask nobody, take what the cache has; as with HF_HUB_OFFLINE=1.
            token, mmap: see `push_to_hub` and `load`.

        Raises:
            ImportError, ValueError: huggingface_hub is not installed; what is there is no matrix of this package, or not whole.
            OSError: the Hub does not give it, as above.
        """
        from .. import hub

        return hub.load(
            repo, lambda path: cls.load(path, mmap=mmap),
            revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token,
        )  # fmt: skip

    @classmethod
    def _from_stored(cls, matrix: npt.ArrayLike, fields: dict[str, Any]) -> EmbeddingMatrix:
        if not fields:
            matrix = np.asarray(matrix)
            return cls(matrix, {}, padding_row=0 if len(matrix) and not matrix[0].any() else None)
        told = fields.pop("derived")

        def derivations() -> dict[str, Derivation]:
            pairs = told() if callable(told) else told
            return {word: Derivation(how, tuple(words)) for word, (how, words) in pairs.items()}

        derived = derivations if callable(told) else derivations()
        damage = [DamageReport(**{**report, "counts": Counter(report["counts"])}) for report in fields.pop("damage")]
        return cls(matrix, fields.pop("word_index"), derived=derived, damage=damage, **fields)

    @plain_errors
    def write_report(self, path: StrPath, *, counts: Counts | None = None, title: str | None = None) -> None:
        """Write the coverage as one self-contained HTML page with pictures.

        Args:
            path: .html file to write.
            counts: how often each word occurs, as for `Coverage.weighted_rate`.
            title: heading of the page.

        Raises:
            ImportError: the libraries that draw are not installed.
        """
        from ..reports.report import write_report

        write_report(self, path, counts=counts, title=title)

    @plain_errors
    def export_projector(self, folder: StrPath, *, counts: Counts | None = None, limit: int | None = 10_000) -> None:
        """Write `tensors.tsv`, `metadata.tsv` and `projector_config.pbtxt`, for TensorBoard's embedding projector.

        Args:
            folder: where to; made if it is not there.
            counts: how often each word occurs: the most frequent come first, and the labels tell it.
            limit: how many words, in the order of counts or ids; None for all.
        """
        from ..reports.projector import export

        export(self, folder, counts=counts, limit=limit)

    @plain_errors
    def export_static(self, folder: StrPath, *, tokenizer: StrPath | None = None) -> None:
        """Write a static sentence model that model2vec and sentence-transformers load, and that has the same vectors.

        A text's vector is the mean of the rows of its words, as `StaticModel.from_pretrained(folder)` and
        `SentenceTransformer(folder)` compute it; that of a word is its row. Ids are those of this matrix, and words are looked
        for as they are, capitals and all. Words end at spaces and punctuation, but for those of the vocabulary that have some
        inside ("New York", "C++"); Chinese texts must have spaces between their words. See docs/static_models.md.

        Args:
            folder: where to; made anew, or replaced if it holds an earlier export and nothing else.
            tokenizer: a tokenizer.json to use instead, whose pieces are the words of this matrix, with their ids: that of the
                encoder of whose vocabulary `distill` made it.

        Raises:
            ValueError: the matrix has no words, rows that are not finite, or other words than the tokenizer.
        """
        from ..readers.static_export import export

        export(self, folder, tokenizer)

    @plain_errors
    def as_torch(self, freeze: bool = True) -> torch.nn.Embedding:
        """The matrix as a `torch.nn.Embedding`, with the same numbers in the same dtype, without Keras.

        The module has a copy; it is on the CPU. Where row 0 is padding, that is its `padding_idx`: no gradient reaches the row.
        An id outside `0 … rows - 1` is an IndexError on a CPU, as always in torch.

        Args:
            freeze: whether its weight takes no gradient.

        Raises:
            ImportError: torch is not installed.
            ValueError: the matrix holds something else than finite floats, or its padding row is not zero.
        """
        from .modules import torch_embedding

        return torch_embedding(self, freeze)

    @plain_errors
    def as_torch_bag(self, mode: BagMode = "mean", freeze: bool = True) -> torch.nn.EmbeddingBag:
        """As `as_torch`, a `torch.nn.EmbeddingBag`: one vector a text, padding left out, zeros for a text of nothing else.

        Args:
            mode: "mean", "sum" or "max". "sum" takes a weight for each id, too: `bag(ids, per_sample_weights=weights[ids])`.
            freeze: whether its weight takes no gradient.

        Raises:
            ImportError, ValueError: as for `as_torch`; the mode is unknown.
        """
        from .modules import torch_bag

        return torch_bag(self, mode, freeze)

    @plain_errors
    def as_nnx(self, freeze: bool = True) -> nnx.Embed:
        """The matrix as a `flax.nnx.Embed`, with the same numbers in the same dtype, without Keras.

        The module has a copy. As always in flax, an id from `rows` on gives NaN, one from `-rows` to -1 counts from the end,
        and a matrix of a single row has that for every id.

        Args:
            freeze: whether its `embedding` is a plain `nnx.Variable`, which gradients and optimizers of `nnx.Param` leave as it
                is. Else it is an `nnx.Param`, and where row 0 is padding, id 0 gives zeros and no gradient reaches the row.

        Raises:
            ImportError: flax is not installed.
            ValueError: as for `as_torch`; or float64, while JAX makes float32 of it.
        """
        from .modules import nnx_embed

        return nnx_embed(self, freeze)

    def _repr_html_(self) -> str:
        rows, dim = self.matrix.shape
        padding = "row 0 is padding" if self.padding_row == 0 else "no padding row"
        head = f"<b>EmbeddingMatrix</b> {rows:,} × {dim}, {self.matrix.dtype}, {padding}"
        return f"<div>{head}{self.coverage._repr_html_()}</div>"

    def __repr__(self) -> str:
        rows, dim = self.matrix.shape
        return (
            f"EmbeddingMatrix({rows} × {dim}, {self.matrix.dtype}, padding_row={self.padding_row}, {self.coverage!r})"
        )


def _label(source: Label) -> str:
    name, fallback = source
    return f"{name} ({fallback})" if fallback else name
