"""A TextEncoder as a graph of TensorFlow, for a SavedModel that takes raw strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..shown import quoted
from ..splitting import kind_of, real_words

if TYPE_CHECKING:
    from .encoder import TextEncoder

# What str.split() parts at, as a class of RE2.
_SPACE = r"[\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
_MARK = r"^\x{feff}"


def graph_of(encoder: TextEncoder) -> tuple[Any, Any]:
    """What does in a graph what `encoder` does.

    Returns:
        (a callable: strings `(n,)` in UTF-8 → int32 `(n, length)`, 1 column at least; the table of words that it looks into)

    Raises:
        ValueError: the encoder splits by jieba, a tokenizer or a callable, or lower-cases, or writes n-grams.
    """
    if encoder.ngrams_per_text:
        raise ValueError(
            "the encoder must be without subwords for a graph that takes texts, received one that writes n-grams. Export the "
            "model on ids, and encode before it."
        )
    kind = kind_of(encoder.split)
    if kind not in ("whitespace", "characters") or encoder.lower:
        told = "lower=True" if encoder.lower else quoted(encoder.split)
        raise ValueError(
            f'split must be "whitespace" or "characters", and lower False, for a graph that takes texts, received {told}. '
            "Export the model on ids, and encode before it."
        )
    import tensorflow as tf

    special = (encoder.padding_id, encoder.unknown_id)
    ids = {word: index for word, index in encoder.word_index.items() if index not in special and _is_text(word)}
    words = list(dict.fromkeys(real_words(ids)))
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(words, tf.string), tf.constant([ids[word] for word in words], tf.int32)
        ),
        -1,
    )

    def encode(texts: Any) -> Any:
        texts = tf.strings.regex_replace(texts, _MARK, "", replace_global=False)
        if kind == "whitespace":
            parts = tf.strings.split(tf.strings.regex_replace(texts, _SPACE, " "))
        else:
            parts = tf.strings.unicode_split(tf.strings.regex_replace(texts, _SPACE, ""), "UTF-8")
        found = parts.with_values(table.lookup(parts.values))
        if encoder.unknown_id is None:
            found = tf.ragged.boolean_mask(found, found >= 0)
        else:
            found = found.with_values(tf.where(found.values < 0, encoder.unknown_id, found.values))
        length = encoder.length
        if length is None:
            rows = found.to_tensor(encoder.padding_id)
            width = tf.maximum(1 - tf.shape(rows)[1], 0)
            return tf.pad(rows, [[0, 0], [0, width]], constant_values=encoder.padding_id)
        kept = found[:, :length] if encoder.truncate == "end" else found[:, -length:]
        return kept.to_tensor(encoder.padding_id, shape=(None, length))

    return encode, table


def _is_text(word):
    """Whether it can stand in UTF-8: halves of characters cannot."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
