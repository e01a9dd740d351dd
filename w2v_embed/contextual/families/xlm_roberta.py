"""XLM-R: a RoBERTa of a hundred languages, with pieces of SentencePiece. https://arxiv.org/abs/1911.02116."""

from __future__ import annotations

from .roberta import Roberta


class XLMRoberta(Roberta):
    """XLM-R, whose tokenizer is another one than RoBERTa's."""

    name = "xlm-roberta"
    title = "XLM-R"
