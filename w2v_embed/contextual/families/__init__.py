"""The encoders that can be read, one family a module, and the one table of them: all else goes by it."""

from __future__ import annotations

from typing import Final

from .albert import Albert
from .bert import Bert
from .distilbert import DistilBert
from .electra import Electra
from .family import EncoderConfig, Family, Weight
from .mpnet import MPNet
from .nezha import Nezha
from .roberta import Roberta
from .xlm_roberta import XLMRoberta
from .xlnet import XLNet

__all__ = ["FAMILIES", "UNNAMED", "EncoderConfig", "Family", "Weight", "register"]

# Google's first configurations say nothing of what they are.
UNNAMED: Final = Bert()
_ALL = (UNNAMED, Nezha(), XLNet(), Roberta(), XLMRoberta(), DistilBert(), Electra(), Albert(), MPNet())
FAMILIES: Final[dict[str, Family]] = {family.name: family for family in _ALL}


def register(family: Family) -> Family:
    """Put a family into the table: from now on `ContextualEncoder.from_pretrained` reads its models.

    Args:
        family: an instance of your subclass of `Family`. (`del FAMILIES[family.name]` takes it out again.)

    Raises:
        ValueError: if there is one of its name.
    """
    if family.name in FAMILIES:
        raise ValueError(
            f"the family's name must be a new one, received {family.name!r}; there are {', '.join(FAMILIES)}."
        )
    FAMILIES[family.name] = family
    return family
