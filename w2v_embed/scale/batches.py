"""`EncodeBatches`: a column of texts → a column of vectors, for Ray Data, `datasets`, and whatever else maps batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from .._types import StoredDtype
from ..checks import one_of
from ..shown import quoted
from .models import checked_model, loaded, parted
from .rounding import rounded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._types import EncodeOptions, StrPath


class EncodeBatches:
    """Adds the vectors of texts to batches. It is small and can be sent anywhere: each worker loads the model when it first has
    a batch, and keeps it.

    Args:
        model: path of a model as for `ContextualEncoder.from_pretrained`, at which each worker finds it.
        column: of the texts.
        output: the column that is added.
        dtype: "float32" or "float16", of the vectors.
        options: of `ContextualEncoder.encode` (layers, merge, pooling, batch_size, max_length, special_tokens, stride) and
            `from_pretrained` (attention_type, hidden_act, max_relative_position, do_lower_case).

    Raises:
        TypeError, ValueError: an argument is none of these, or `batch` has no texts in `column`.

    Example:
        >>> encode = EncodeBatches("tests/data/reference/bert_hf", pooling="cls")
        >>> batch = encode({"id": [7, 8], "text": ["river bank", "money bank"]})
        >>> batch["id"], batch["vector"].shape
        ([7, 8], (2, 32))

        ray.data.read_text(path).map_batches(EncodeBatches, fn_constructor_args=[model], concurrency=2)
        datasets.load_dataset(…).map(EncodeBatches(model), batched=True, num_proc=2)
    """

    def __init__(
        self,
        model: StrPath,
        *,
        column: str = "text",
        output: str = "vector",
        dtype: StoredDtype = "float32",
        **options: Unpack[EncodeOptions],
    ) -> None:
        self.model: str = checked_model(model)
        self.column: str = column
        self.output: str = output
        self.dtype: str = one_of("dtype", dtype, get_args(StoredDtype))
        self._loading, self._encoding = parted(options)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`batch`, name of a column → its values, with the vectors `(rows, dim)`."""
        try:
            columns = {str(name): batch[name] for name in batch}
            texts = list(columns[self.column])
        except (TypeError, KeyError, IndexError):
            raise ValueError(
                f"a batch must map names of columns to their values, and have texts in {quoted(self.column)}, received "
                f"{quoted(list(batch)) if isinstance(batch, Mapping) else type(batch).__name__}. Pass column=, and in Ray Data "
                'batch_format="numpy" or "pandas"'
            ) from None
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"the column {quoted(self.column)} must hold texts, received {quoted(text)} ({type(text).__name__}) in row "
                    f"{row} of a batch"
                )
        _, encoder = loaded(self.model, self._loading)
        vectors = encoder.encode(texts, **self._encoding)
        return {**columns, self.output: rounded(vectors, self.dtype, texts)}

    def __repr__(self) -> str:
        options = {"column": self.column, "output": self.output, "dtype": self.dtype, **self._loading, **self._encoding}
        return f"EncodeBatches({self.model!r}, {', '.join(f'{name}={value!r}' for name, value in options.items())})"
