"""`ContextualEncoder`: a trained encoder, BERT or RoBERTa say, that turns ids, texts and words into vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from ..checks import one_of, whole
from ..figures import idf
from ..progress import text_reporter
from ..shown import quoted
from .inputs import chunks, iterable_of_texts
from .pooling import POOLINGS, SIMILARITIES, Ending, LayerMerge, Pooler, checked_idf, likeness
from .sentences import prepared
from .stream import gathered
from .tokens import TokenVectors, tokens_of
from .words import WordEncoder

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import (
        MergeName,
        PoolingName,
        SimilarityName,
        StrPath,
        TextProgress,
    )

    Vectors: TypeAlias = npt.NDArray[np.float32]
    Texts: TypeAlias = list[str] | tuple[str, ...]


class ContextualEncoder(WordEncoder):
    """A trained encoder. Made by `ContextualEncoder.from_pretrained`; it computes, and `to_keras` makes a model that trains.

    Layers are numbered as in `hidden_states`: 0 is the output of the embeddings, 1 that of the first layer, -1 that of
    the last, -2 that of the last but one.

    Attributes:
        config: an `EncoderConfig` with the sizes of the model.
        vector_size: the width of a hidden state.
    """

    def encode(
        self,
        texts: Iterable[str | tuple[str, str]],
        *,
        layers: int | Iterable[int] | None = None,
        merge: MergeName | Sequence[float] | None = None,
        pooling: PoolingName | None = None,
        batch_size: int = 32,
        max_length: int | None = None,
        progress: TextProgress = None,
        special_tokens: bool | None = None,
        stride: int | None = None,
        idf: npt.ArrayLike | None = None,
        output: StrPath | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool = False,
    ) -> Vectors:
        """Turn texts into one vector each.

        A folder of sentence-transformers says in `modules.json` how: then, and if `layers`, `merge`, `pooling`,
        `special_tokens` and `idf` are all None, the vectors are those of `SentenceTransformer(folder).encode(texts)`.

        Args:
            texts: an iterable of strings, or of pairs of strings (tuples) that the model sees together, special tokens between
                them; it is read once, so it may be a file or a generator.
            layers: a layer or a list of layers; None = -2. (`keras_bert_layers` translates keras-bert's numbers.)
            merge: how several layers become one: "sum" (None), "mean", "concat" (as many times wider), "last" (of the list),
                "first_last" (the mean of the first and the last of the list), or a list of weights, one a layer, that
                were learned elsewhere.
            pooling: how the tokens of a text become one: "mean" (None), "max", "mean_max" (both, side by side), "cls" (the
                class token), "idf" (the mean weighted by `idf`).
            batch_size: texts that are computed together, of like length.
            max_length: in tokens, special ones among them; None = max_position_embeddings, XLNet: no bound. Longer
                texts are cut and keep their special tokens.
            progress: True shows a bar; or a callable (done, total) of texts, the total None where it is unknown.
            special_tokens: whether [CLS], [SEP] and their like count in the pooling; None: they do.
            stride: do not cut longer texts but encode them in windows of `max_length` that begin `stride` tokens
                after each other. Each token counts once, from the window in which it is farther from an edge.
            idf: a weight for each id of the vocabulary, for pooling "idf"; `encoder.idf(texts)` makes it.
            output: path of an .npy file to which the vectors are written as they come. A run that was killed goes on
                where it was if it is called again with the same texts.
            prompt_name: the name of a prompt of the folder that is put before each text; None = its default, if it has one.
            prompt: what is put before each text instead.
            truncate_dim: how many numbers of a vector are kept, the first ones; None = all.
            normalize: whether vectors are made one long, after all else.

        Returns:
            float32 `(texts, dim)`, in the order of the texts; with `output`, the file as a memory map.

        Raises:
            FileNotFoundError: if the folder of the model has no vocabulary.
            ValueError, TypeError: if an argument is not one of the above.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> encoder.encode(["river bank", "money bank"], layers=[-1, -2], merge="concat").shape
        (2, 64)
        """
        choices = (layers, merge, pooling, special_tokens, idf)
        sentences = self._sentences if all(choice is None for choice in choices) else None
        texts = self._prepared(iterable_of_texts(texts), prompt_name, prompt)
        default = -1 if sentences else -2
        merged = LayerMerge.checked(
            default if layers is None else layers, "sum" if merge is None else merge, self.config.num_layers
        )
        poolings = sentences.poolings if sentences else (one_of("pooling", pooling or "mean", POOLINGS),)
        weights = checked_idf(idf, poolings[0], self.config.vocab_size)
        if sentences and max_length is None:
            max_length = sentences.max_length and min(
                sentences.max_length, self._family.longest(self.config) or 1 << 24
            )
        room, batch_size = self._room(max_length, stride), whole("batch_size", batch_size)
        width, special = self.vector_size * merged.parts, special_tokens is None or bool(special_tokens)

        def vectors_of(chunk: list[str | tuple[str, str]]) -> Vectors:
            poolers = [
                Pooler(len(chunk), width, each, self.tokenizer, special_tokens=special, idf=weights)
                for each in poolings
            ]
            for batch, x in self._forward(self._pieces(chunk), merged, room, stride, batch_size):
                for pooler in poolers:
                    pooler.add(batch, x)
            pooled = np.concatenate([pooler.vectors() for pooler in poolers], axis=1)
            return last(sentences.finished(pooled) if sentences else pooled)

        last = Ending(truncate_dim, normalize)
        settings = {
            "model": self._checksum,
            "config": asdict(self.config),
            "tokenizer": self.tokenizer.fingerprint,
            "layers": merged.indices,
            "merge": merged.merge,
            "pooling": poolings[0] if len(poolings) == 1 else poolings,
            "special_tokens": special,
            "max_length": max_length,
            "stride": stride,
            "idf": None if weights is None else hashlib.blake2b(weights.tobytes(), digest_size=16).hexdigest(),
            **({"sentences": sentences.fingerprint} if sentences else {}),
            **({} if self.compute_dtype == "float32" else {"compute_dtype": self.compute_dtype}),
            **last.settings,
        }
        return gathered(texts, vectors_of, output, settings, batch_size, progress)

    def _prepared(self, texts: Iterable[Any], name: str | None, prompt: str | None) -> Iterable[Any]:
        """Texts behind their prompt."""
        if self._sentences is None:
            if name is not None:
                raise ValueError(
                    f"prompt_name must be None, since the model's folder has no prompts, received {quoted(name)}."
                )
            return prepared(texts, prompt or "", False)
        return prepared(texts, self._sentences.prompt_of(name) if prompt is None else prompt, self._sentences.lower)

    def encode_tokens(
        self,
        texts: Iterable[str],
        *,
        layers: int | Iterable[int] = -2,
        merge: MergeName | Sequence[float] = "sum",
        batch_size: int = 32,
        max_length: int | None = None,
        progress: TextProgress = None,
        special_tokens: bool = True,
        stride: int | None = None,
    ) -> list[TokenVectors]:
        """Turn texts into one vector a token.

        Args:
            texts: an iterable of strings.
            special_tokens: whether [CLS], [SEP] and their like have vectors, too.
            layers, merge, batch_size, max_length, progress, stride: as in `encode`.

        Returns:
            a list of `TokenVectors`: arrays `(tokens, dim)`, which know the pieces and where these stand in the text.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> tokens, = encoder.encode_tokens(["Kings of the river"], special_tokens=False)
        >>> tokens.shape, tokens.pieces, tokens.offsets.tolist()
        ((4, 32), ['kings', 'of', 'the', 'river'], [[0, 5], [6, 8], [9, 12], [13, 18]])
        """
        texts = iterable_of_texts(texts)
        merged = LayerMerge.checked(layers, merge, self.config.num_layers)
        room, batch_size = self._room(max_length, stride), whole("batch_size", batch_size)
        report, result = text_reporter(progress, texts), []
        for chunk in chunks(texts, batch_size):
            result += tokens_of(self, chunk, merged, room, stride, batch_size, special_tokens)
            report(len(chunk))
        return result

    @overload
    def similarity(
        self,
        a: str,
        b: str,
        *,
        whitening: Callable[[Vectors], Vectors] | None = None,
        function: SimilarityName | None = None,
        **options: Any,
    ) -> float: ...

    @overload
    def similarity(
        self,
        a: str,
        b: Texts,
        *,
        whitening: Callable[[Vectors], Vectors] | None = None,
        function: SimilarityName | None = None,
        **options: Any,
    ) -> Vectors: ...

    @overload
    def similarity(
        self,
        a: Texts,
        b: str | Texts,
        *,
        whitening: Callable[[Vectors], Vectors] | None = None,
        function: SimilarityName | None = None,
        **options: Any,
    ) -> Vectors: ...

    def similarity(
        self,
        a: str | Texts,
        b: str | Texts,
        *,
        whitening: Callable[[Vectors], Vectors] | None = None,
        function: SimilarityName | None = None,
        **options: Any,
    ) -> float | Vectors:
        """Return how alike two texts are, or the texts of two lists; a word is a short text.

        Args:
            a, b: a string or a list of strings.
            whitening: a function of vectors `(n, dim)`, made by `fit_whitening`. Without it all cosines of most models
                are high, and only their order has a meaning.
            function: "cosine", "dot" (product), or a distance with its sign turned, so that more is more alike: "euclidean",
                "manhattan"; None = what the folder of a sentence encoder says (`similarity_fn_name`), else "cosine".
            options: of `encode` (layers, merge, pooling, …).

        Returns:
            a float for two strings, else float32 `(len(a), len(b))`; a cosine is 0 where a vector is zero.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> round(encoder.similarity("the bank of the river", "the bank of the river"), 5)
        1.0
        """
        told = None if self._sentences is None else self._sentences.similarity
        name = one_of("function", function or told or SIMILARITIES[0], SIMILARITIES)
        both = [[texts] if isinstance(texts, str) else list(texts) for texts in (a, b)]
        vectors = self.encode(both[0] + both[1], **options)
        if whitening is not None:
            vectors = whitening(vectors)
        made = likeness(name, vectors[: len(both[0])], vectors[len(both[0]) :])
        return float(made[0, 0]) if isinstance(a, str) and isinstance(b, str) else made

    def idf(self, texts: Iterable[str]) -> Vectors:
        """Return a weight for each id, float32 `(vocab_size,)`: the rarer in the texts, the more. See `encode`.

        The weight is ln((1 + texts) / (1 + texts with the id)) + 1, so that no weight is zero.
        """
        count, holding = 0, np.zeros(self.config.vocab_size)
        special = {*self.tokenizer.head, *self.tokenizer.tail}
        for chunk in chunks(iterable_of_texts(texts), 32):
            for ids in self.tokenizer.pieces(chunk):
                holding[list({*ids, *special})] += 1
            count += len(chunk)
        return idf(holding, count).astype(np.float32)
