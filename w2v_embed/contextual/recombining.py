"""An encoder with another vocabulary: each row of its tables is an old one, a sum of old ones, or made elsewhere.

What is done to the table of words is done to all that has a row or a number for each word: a head's matrix, whether it is
tied to the table or not, and its biases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .states import PretrainedModel
    from .tokenizers import Tokenizer

    Ids = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.float64]

_Encoder = TypeVar("_Encoder", bound="PretrainedModel")


@dataclass
class Recombination:
    """Where the rows of a new vocabulary come from.

    Args:
        kept: for each new id the old one whose row it has; any, where it has none.
        sums: new id → (old ids, their weights).
        rows: new id → its row of the table of words. Other tables have the sum for it.
        drawn: new ids; table → rows for them, out of that table.
    """

    kept: Ids
    sums: dict[int, tuple[Ids, Rows]] = field(default_factory=dict)
    rows: dict[int, Rows] = field(default_factory=dict)
    drawn: tuple[Ids, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] | None = None

    def __call__(self, values: npt.NDArray[np.float32], *, words: bool) -> npt.NDArray[np.float32]:
        """The new table for an old one, or for an old array of biases.

        Args:
            words: whether it is the table of words, or a copy of it.
        """
        result = values[self.kept].astype(np.float32)
        for id_, (ids, weights) in self.sums.items():
            result[id_] = weights @ values[ids].astype(np.float64)
        if self.drawn is not None:
            ids, draw = self.drawn
            result[ids] = draw(values)
        if words:
            for id_, row in self.rows.items():
                result[id_] = row
        return result


def recombined(encoder: _Encoder, tokenizer: Tokenizer, change: Recombination, step: Mapping[str, Any]) -> _Encoder:
    """The encoder with another vocabulary.

    Raises:
        ValueError: if its positions depend on the id of padding, and the tokenizer has another one.
    """
    checkpoint = encoder._checkpoint.in_huggingface_names()
    padding = getattr(checkpoint.config, "padding_id", None)
    if padding is not None and padding != tokenizer.pad_id:
        raise ValueError(
            f"the tokenizer must have the padding token's id {padding}, from which {checkpoint.family.title} counts positions, "
            f"received {tokenizer.pad_id}."
        )
    table = checkpoint.words()
    changed = change(table, words=True)
    if not np.isfinite(changed).all():
        raise ValueError(
            f"rows of new words must be finite, that of id {int(np.argwhere(~np.isfinite(changed))[0][0])} is not."
        )
    tensors = {checkpoint.words_name: changed}
    for name in checkpoint.of_heads():
        values = np.asarray(checkpoint.tensors[name].load(), np.float32)
        tied = values.shape == table.shape and bool((values == table).all())
        tensors[name] = changed if tied else change(values, words=False)
    config = replace(checkpoint.config, vocab_size=len(changed))
    told = checkpoint.changed(config, tensors)
    if "pad_token_id" in told.settings:
        told = replace(told, settings={**told.settings, "pad_token_id": tokenizer.pad_id})
    return encoder._with(told, tokenizer, step)
