"""The types that modules share: the legal modes, the arrays, and the protocols of what users may bring along.

It is the ground floor: it imports nothing of the package, and what only type checkers ask for is there for them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    SupportsIndex,
    TypeAlias,
    TypedDict,
    TypeVar,
    runtime_checkable,
)

# ── modes: checks and the command line take their names from here (`typing.get_args`) ──

OnError: TypeAlias = Literal["raise", "skip"]
FormatName: TypeAlias = Literal["text", "binary", "fasttext", "gensim", "npz", "safetensors"]
DtypeName: TypeAlias = Literal["float16", "float32", "float64"]
StoredDtype: TypeAlias = Literal["float16", "float32"]  # of the rows of a subword model
OovName: TypeAlias = Literal["zeros", "normal", "mean"]
FallbackName: TypeAlias = Literal[
    "nfkc",
    "lower",
    "title",
    "upper",
    "simplified",
    "traditional",
    "digits",
    "markers",
    "parts",
    "characters",
    "subwords",
]
WeightingName: TypeAlias = Literal["sif", "zipf"]  # how rows are weighted by the frequency of their words
CombineName: TypeAlias = Literal["first", "concat", "average"]  # what becomes of the rows of several sources
AlignName: TypeAlias = Literal["ridge", "procrustes"]  # the map from one source's space into another's
SplitName: TypeAlias = Literal["whitespace", "jieba", "characters"]  # how a text is split
TruncateName: TypeAlias = Literal["end", "begin"]  # where a long one loses words
EngineName: TypeAlias = Literal["processes", "ray", "dask"]  # who does work on many workers
ShardFormat: TypeAlias = Literal["safetensors", "parquet"]

# The layers: which rows are trained, how rows get into a layer, what is done with positions.
TrainRows: TypeAlias = Literal["all", "oov"]
Via: TypeAlias = Literal["weights", "constant"]
PositionMode: TypeAlias = Literal["expand", "add", "concat"]
RelativeTable: TypeAlias = Literal["sinusoid", "learned"]

# torch's EmbeddingBag: what it makes of the rows of a bag.
BagMode: TypeAlias = Literal["mean", "sum", "max"]

# The encoders.
MergeName: TypeAlias = Literal["sum", "mean", "concat", "last", "first_last"]
PoolingName: TypeAlias = Literal["mean", "max", "mean_max", "cls", "idf"]
EncoderEngine: TypeAlias = Literal["keras", "onnx"]  # who computes
EncoderDtype: TypeAlias = Literal["float32", "bfloat16", "float16"]  # in what
SimilarityName: TypeAlias = Literal["cosine", "dot", "euclidean", "manhattan"]
EncoderMode: TypeAlias = Literal["forward", "table"]
HiddenAct: TypeAlias = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh"]
NewWordInit: TypeAlias = Literal["mean", "normal", "pieces", "description"]
TransplantName: TypeAlias = Literal["focus", "omp", "pieces"]
HeadName: TypeAlias = Literal["masked_lm"]
EncoderOutputs: TypeAlias = Literal["last", "all"]
AttentionType: TypeAlias = Literal["bi", "uni"]


class LoadOptions(TypedDict, total=False):
    """What `ContextualEncoder.from_pretrained` takes beside the folder."""

    attention_type: AttentionType | None
    hidden_act: HiddenAct | None
    max_relative_position: int | None
    do_lower_case: bool | None
    engine: EncoderEngine
    compute_dtype: EncoderDtype


class EncodeOptions(LoadOptions, total=False):
    """That, and what `ContextualEncoder.encode` takes beside the texts, for workers."""

    layers: int | list[int]
    merge: MergeName | list[float]
    pooling: Literal["mean", "max", "mean_max", "cls"]
    batch_size: int
    max_length: int | None
    special_tokens: bool
    stride: int | None
    prompt_name: str | None
    prompt: str | None
    truncate_dim: int | None
    normalize: bool


# Texts → vectors → labels.
TextPoolingName: TypeAlias = Literal["mean", "idf", "sif"]
ClassifierName: TypeAlias = Literal["mean", "cnn", "bilstm"]  # what comes after the embedding
TrainingName: TypeAlias = Literal["random", "frozen", "oov", "trainable", "gradual"]  # what is done with the embedding
ExportName: TypeAlias = Literal["tf_saved_model", "onnx", "litert"]  # what other runtimes read
ClassWeightName: TypeAlias = Literal["balanced"]  # how much a text counts, by its label

if TYPE_CHECKING:
    import os

    import numpy as np
    import numpy.typing as npt

    from .readers.remote.places import Place

    Floats: TypeAlias = npt.NDArray[np.floating[Any]]  # rows (n, dim), float16, float32 or float64
    Ids: TypeAlias = npt.NDArray[np.integer[Any]]
    Bools: TypeAlias = npt.NDArray[np.bool_]
    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Dtype: TypeAlias = "DtypeName | np.dtype[np.floating[Any]] | type[np.floating[Any]]"
    StrPath: TypeAlias = "str | os.PathLike[str]"

    class BinaryFile(Protocol):
        """An open file that gives bytes."""

        def read(self, n: int, /) -> bytes: ...

    # A path; or a URL, "-" for standard input, "archive.zip#member"; or an open binary file.
    AnyFile: TypeAlias = "StrPath | BinaryFile | Place"

    Align: TypeAlias = "AlignName | bool | None"

    class _JiebaTokenizer(Protocol):
        FREQ: dict[str, int]

        def cut(self, sentence: str, /) -> Iterable[str]: ...

    class _HuggingFaceTokenizer(Protocol):  # tokenizers.Tokenizer
        def encode_batch(self, input: Any, /, *, add_special_tokens: bool) -> Any: ...

        def to_str(self) -> str: ...

    Split: TypeAlias = "SplitName | Callable[[str], Iterable[str]] | _JiebaTokenizer | _HuggingFaceTokenizer"
    Oov: TypeAlias = "OovName | Callable[[tuple[int, int], np.random.Generator], npt.ArrayLike]"
    Fallback: TypeAlias = "FallbackName | Callable[[str], str | Sequence[str] | None]"

    # None or False: silence. True: a bar on stderr. A callable is told (done, total): bytes of a file; texts, whose total may
    # be unknown, of an encoder.
    Progress: TypeAlias = "bool | Callable[[int, int], object] | None"
    TextProgress: TypeAlias = "bool | Callable[[int, int | None], object] | None"

    _Result_co = TypeVar("_Result_co", covariant=True)

    class Pending(Protocol[_Result_co]):
        """A result that will be there."""

        def result(self) -> _Result_co: ...

    class Executor(Protocol):
        """Who runs functions elsewhere: an executor of concurrent.futures, a Dask client, `w2v_embed.scale.RayExecutor`."""

        def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Pending[Any]: ...

    class Tallies(Protocol):
        """Counts that turn into a dict, as a pandas Series."""

        def to_dict(self) -> Mapping[Any, Any]: ...

    ClassWeight: TypeAlias = "ClassWeightName | Mapping[str, float] | None"

    # How often each word occurs: word → count, or a file of counts or of text.
    Counts: TypeAlias = "Mapping[str, float] | Tallies | StrPath"

    class SupportsArray(Protocol):
        """Whatever NumPy makes an array of: an `EmbeddingMatrix`, and every kind of array."""

        def __array__(self) -> npt.NDArray[Any]: ...

    # Rows (rows, dim); Keras' own layers take a list of one array.
    Table: TypeAlias = "SupportsArray | Sequence[SupportsArray | Sequence[float]]"

    class Report(Protocol):
        """What a reader tells of itself: bytes done, rows (or words) found so far, and whether this was the last time."""

        def __call__(self, done: int, found: int, last: bool = False) -> object: ...

    class _HasWordIndex(Protocol):  # Keras' legacy Tokenizer
        @property
        def word_index(self) -> Mapping[str, SupportsIndex]: ...

    class _HasGetVocabulary(Protocol):  # TextVectorization, StringLookup
        def get_vocabulary(self) -> Sequence[str]: ...

    class _HasGetVocab(Protocol):  # tokenizers, transformers
        def get_vocab(self) -> Mapping[str, int]: ...

    class _HasVocabulary(Protocol):  # scikit-learn's vectorizers
        @property
        def vocabulary_(self) -> Mapping[str, SupportsIndex]: ...

    class _HasToken2id(Protocol):  # gensim's Dictionary
        @property
        def token2id(self) -> Mapping[str, int]: ...

    class _HasKeyToIndex(Protocol):  # gensim's KeyedVectors
        @property
        def key_to_index(self) -> Mapping[str, int]: ...

    class _HasWv(Protocol):  # gensim's models
        @property
        def wv(self) -> _HasKeyToIndex: ...

    class _HasVectorsFor(Protocol):  # an encoder, an EmbeddingMatrix, and whatever users have
        @property
        def vector_size(self) -> int: ...

        def vectors_for(self, words: Sequence[str], /) -> tuple[npt.ArrayLike, npt.ArrayLike]: ...

    # What has word vectors: a file, a `Source`, gensim's KeyedVectors, an encoder …; or several, of which an earlier one wins.
    OneSource: TypeAlias = "AnyFile | Source | _HasVectorsFor | _HasKeyToIndex"
    Vectors: TypeAlias = "OneSource | Sequence[OneSource]"

    # What has a vocabulary: word → id, words whose places are their ids, a tokenizer, a vectorizer, word vectors, or a file.
    WordIndex: TypeAlias = (
        Mapping[str, SupportsIndex]
        | Sequence[str]
        | npt.NDArray[Any]
        | StrPath
        | _HasWordIndex
        | _HasGetVocabulary
        | _HasGetVocab
        | _HasVocabulary
        | _HasToken2id
        | _HasKeyToIndex
        | _HasWv
    )


@runtime_checkable
class Source(Protocol):
    """Where rows of word vectors come from. Whatever has these five is a source for `build_matrix`.

    It is asked once to `fill` the rows of the words that are wanted; then, for words that it does not have, fallbacks ask which
    other words it has (`has`), and for the rows of some of these (`lend`). Making a source reads no whole file.

    What it says is checked. It may have `close()`, `report`, `ngrams()` and `word_keys()`, too: see docs/coverage.md.

    Attributes:
        name: as coverage and provenance call it.
        dim: numbers a word.

    Example:
        >>> import numpy as np
        >>> from w2v_embed import build_matrix
        >>> class OneHot:
        ...     name, dim, words = "one hot", 2, {"yes": 0, "no": 1}
        ...     def has(self, words):
        ...         return np.array([word in self.words for word in words], bool)
        ...     def lend(self, words):
        ...         known = np.flatnonzero(self.has(words))
        ...         yield known, np.eye(self.dim)[[self.words[words[k]] for k in known]]
        ...     def fill(self, words, matrix, places, candidates=None):
        ...         for known, rows in self.lend(words):
        ...             matrix[places[known]] = rows
        ...         return self.has(words)
        >>> em = build_matrix(OneHot(), {"yes": 1, "No": 2}, fallbacks=["lower"])
        >>> em.matrix.tolist(), em.provenance.tolist()
        ([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], ['padding', 'one hot', 'one hot (lower)'])
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def fill(
        self,
        words: Sequence[str],
        matrix: Floats,
        places: Ids,
        candidates: Callable[[Sequence[str]], Collection[str]] | None = None,
    ) -> Bools:
        """Write the rows of those of `words` that it has into `matrix`.

        Args:
            words: without repetition.
            matrix: `(rows, dim)`.
            places: for each word its row of the matrix.
            candidates: words that were not found → the other words that `has` and `lend` may be asked for. Who can read a word
                only once, in passing, keeps these; others need not look at it. None: nothing will be asked.

        Returns:
            bool `(len(words),)`: which words were found.
        """
        ...

    def has(self, words: Sequence[str]) -> Bools:
        """Which of `words` it can lend: bool `(len(words),)`."""
        ...

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        """The rows of those of `words` that it has, in parts: (numbers of some of the words, their rows)."""
        ...
