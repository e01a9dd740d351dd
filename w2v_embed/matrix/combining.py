"""How several sources make one matrix: an earlier one wins, side by side, or averaged; as they are, or in one space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from .._types import AlignName, CombineName
from ..checks import one_of
from .shared import SharedWords
from .sources.combined import Average, Concat
from .sources.watched import Aligned, Compared, Watched

if TYPE_CHECKING:
    from .sources.base import BaseSource


class Combining(NamedTuple):
    """What `build_matrix` was told about several sources.

    Args:
        combine, align, balance: as for `build_matrix`, checked.
    """

    combine: str
    align: Any
    balance: bool

    @classmethod
    def checked(cls, combine: object, align: object, balance: object) -> Combining:
        """The same, of arguments that a user gave.

        Raises:
            ValueError: one is none of the modes.
        """
        one_of("combine", combine, get_args(CombineName))
        if align is not None and not isinstance(align, bool):
            one_of("align", align, get_args(AlignName), or_else="True, False or None")
        return cls(str(combine), "ridge" if align is True else align, bool(balance))

    @property
    def mixes(self) -> bool:
        """Whether rows of several sources come beside each other as they are."""
        return self.combine != "concat" and not self.align

    def working(self, dtype: str, sources: int) -> str:
        """The dtype of the rows while they are made: what is computed is computed in no less than float32."""
        plain = sources == 1 or (self.combine == "first" and not self.align)
        return dtype if plain else str(np.promote_types(dtype, np.float32))

    def combined(self, sources: Sequence[BaseSource], words: Iterable[str], seed: int) -> list[BaseSource]:
        """The sources as they are to be asked one after another, each for the words that those before it lack.

        Args:
            sources: list of the sources.
            words: those of the vocabulary.
            seed: of what is drawn.
        """
        if len(sources) == 1:
            return list(sources)
        made = list(sources)
        if self.align:
            shared = SharedWords(list(words), sources, seed)
            first = Watched(sources[0], shared.words, shared.given)
            made = [first, *(Aligned(source, first, shared, self.align) for source in sources[1:])]
        elif self.combine == "first" and self.align is None:
            compared: list[Compared] = []
            for source in sources:
                compared.append(Compared(source, tuple(compared), seed))
            made = list(compared)
        if self.combine == "concat":
            return [Concat(made, self.balance)]
        if self.combine == "average":
            return [Average(made, seed if self.align is None else None)]
        return made
