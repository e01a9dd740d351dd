"""A text → its words. `count_words` and `TextEncoder` split here: the words that were counted are the words that are met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ._types import SplitName
from .checks import one_of
from .shown import quoted

if TYPE_CHECKING:
    from ._types import Split

_LONGEST_LINE = 1 << 24  # characters; a longer line is counted in pieces, and so is a longer word
_LONGEST_RUN = 1 << 16  # characters that jieba gets at once where nothing parts them
_LONGEST_WORD = 64  # characters of Chinese


def real_words(words: Iterable[str]) -> list[str]:
    """Those of `words` that are words: jieba gives white space, too.

    >>> real_words(["the", " ", "", "cat"])
    ['the', 'cat']
    """
    return [word for word in words if word and not word.isspace()]


def kind_of(split: Split) -> str:
    """How `split` splits: "whitespace", "jieba", "characters", "tokenizer" (of Hugging Face) or "callable"."""
    library = type(split).__module__.partition(".")[0]
    if library == "jieba" and hasattr(split, "FREQ"):
        return "jieba"
    if library == "tokenizers" and hasattr(split, "encode_batch"):
        return "tokenizer"
    if hasattr(split, "get_vocab"):
        raise ValueError(
            f"split must be a tokenizers.Tokenizer where it is a tokenizer, received {type(split).__name__}. "
            "One of transformers has it as backend_tokenizer."
        )
    if callable(split):
        return "callable"
    other = "a callable line -> words, a jieba.Tokenizer or a tokenizers.Tokenizer"
    return one_of("split", split, get_args(SplitName), or_else=other)


def jieba_module() -> Any:
    """jieba, which says nothing while it loads its dictionary."""
    try:
        import jieba
    except ImportError as error:
        raise ImportError('splitting Chinese needs jieba: pip install "w2v-embed[chinese]"') from error
    jieba.setLogLevel("WARNING")
    return jieba


def without_panic(call: Callable[..., Any], *args: Any) -> Any:
    """What a call into `tokenizers` returns. What Rust panics with is no Exception: here it is a RuntimeError."""
    try:
        return call(*args)
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError(str(error)) from error
        raise


def batches(split: Split) -> Callable[[Sequence[str]], list[Sequence[str]]]:
    """What splits whole texts: list of texts → the words of each. White space may be among them."""
    kind = kind_of(split)
    if kind == "tokenizer":
        return lambda texts: [encoding.tokens for encoding in _encoded(split, texts)]
    if kind == "callable":
        return lambda texts: [_checked_words(split(text)) for text in texts]  # type: ignore[operator]
    if kind == "jieba":
        cut = _cut(split)
        return lambda texts: [_at_words(cut, text, False)[0] for text in texts]
    return lambda texts: list(map(str.split if kind == "whitespace" else list, texts))


def splitter(split: Split) -> Callable[[str], list[str]]:
    """The same for one text, without white space: a callable text → list of words.

    >>> splitter("whitespace")(" to be  or ")
    ['to', 'be', 'or']
    """
    split_all = batches(split)
    return lambda text: real_words(split_all([text])[0])


def stretches(split: Split) -> Callable[[str, bool], tuple[Sequence[str], str]]:
    """What splits texts of any length: `(text, more) -> (words, rest)`. Where `more` says that the text goes on, the rest
    belongs before what comes."""
    kind = kind_of(split)
    if kind == "whitespace":
        return lambda text, more: _at_space(str.split, text, more, 0)
    if kind == "jieba":
        cut = _cut(split)
        return lambda text, more: _at_words(cut, text, more)
    if kind == "characters":
        # The last one waits, so that a mark at the beginning of what comes is seen not to begin the line.
        return lambda text, more: (list(text[:-1]), text[-1:]) if more else (list(text), "")
    if kind == "tokenizer":
        return lambda text, more: _at_space(lambda line: _encoded(split, [line])[0].tokens, text, more, _LONGEST_LINE)
    return lambda text, more: _at_space(split, text, more, _LONGEST_LINE)


def _cut(split):
    return jieba_module().cut if isinstance(split, str) else split.cut


def _encoded(tokenizer, texts):
    # It holds UTF-8, which knows no halves of characters.
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    return tokenizer.encode_batch(whole, add_special_tokens=False)


def _checked_words(words):
    words = list(words)
    wrong = next((word for word in words if not isinstance(word, str)), None)
    if wrong is not None:
        raise TypeError(f"split must give words, each a str, received {quoted(wrong)} ({type(wrong).__name__})")
    return words


def _at_space(split, text, more, least):
    """Splits what lies before the last white space, once there are more than `least` characters."""
    if not more:
        return split(text), ""
    if len(text) <= least:
        return (), text
    end = 0 if text[-1:].isspace() else len(text.rsplit(None, 1)[-1])
    if end == len(text):  # all is one word
        return ((), text) if end <= _LONGEST_LINE else (split(text), "")
    return split(text[: len(text) - end]), text[len(text) - end :]


def _at_words(cut, text, more):
    """Splits Chinese, some at a time: between stretches that jieba splits apart from one another, else between two words that
    it finds, some way before the end of what is known."""
    words, begin = [], 0
    while begin < len(text):
        piece = text[begin : begin + _LONGEST_RUN]
        whole = begin + len(piece) == len(text)
        if whole and not more:
            words += cut(piece)
            break
        end = next((place + 1 for place in reversed(range(len(piece))) if not _in_a_run(piece[place])), 0)
        if end:
            words += cut(piece[:end])
        elif whole and len(piece) < _LONGEST_RUN:
            break
        else:
            for word in cut(piece):
                if end and end + len(word) > len(piece) - _LONGEST_WORD:
                    break
                words.append(word)
                end += len(word)
        begin += end
    return words, text[begin:]


def _in_a_run(character):
    """Whether jieba looks at this character together with those beside it."""
    return "\u4e00" <= character <= "\u9fd5" or (
        character.isascii() and (character.isalnum() or character in "+#&._%-")
    )
