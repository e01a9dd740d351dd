"""What people write with the public names. `mypy --strict` has nothing to say to it; it is never run (tests/test_typing.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import w2v_embed
from w2v_embed import (
    Coverage,
    EmbeddingMatrix,
    Source,
    build_matrix,
    convert,
    count_words,
    embedding_layer,
    inspect,
    load_vectors,
    make_word_index,
)
from w2v_embed.contextual import ContextualEncoder, Projection, cosine, fit_pca, fit_whitening
from w2v_embed.layers import (
    EmbeddingSimilarity,
    MaskedMeanPooling,
    PositionEmbedding,
    PretrainedEmbedding,
    RelativePositionEmbedding,
    RelativeSelfAttention,
    RowSparseAdam,
    SinusoidalPositionEmbedding,
    TokenEmbedding,
    UnfreezeEmbedding,
    bert_embedding,
    reload_vectors,
)
from w2v_embed.matrix import build_matrix as same_build
from w2v_embed.readers import load_vectors as same_load
from w2v_embed.text import TextCoverage, TextEncoder, TextModel, load_model, save_model

version: str = w2v_embed.__version__


def note(done: int, total: int) -> None:
    print(done / total)


def note_texts(done: int, total: int | None) -> None:
    print(done, total)


class OneHot:
    """A source of the user's own."""

    name = "one hot"
    dim = 2

    def has(self, words: Sequence[str]) -> npt.NDArray[np.bool_]:
        return np.array([word in ("yes", "no") for word in words])

    def lend(self, words: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        known = np.flatnonzero(self.has(words))
        yield known, np.eye(2)[[int(word == "yes") for word in words if word in ("yes", "no")]]

    def fill(
        self,
        words: Sequence[str],
        matrix: npt.NDArray[np.floating[Any]],
        places: npt.NDArray[np.integer[Any]],
        candidates: Callable[[Sequence[str]], Iterable[str]] | None = None,
    ) -> npt.NDArray[np.bool_]:
        for known, rows in self.lend(words):
            matrix[places[known]] = rows
        return self.has(words)


class Plain:
    """Anything with `vectors_for`."""

    vector_size = 2

    def vectors_for(self, words: Sequence[str]) -> tuple[npt.NDArray[np.float32], list[bool]]:
        return np.zeros((len(words), 2), np.float32), [False] * len(words)


class Layer:
    """As TextVectorization."""

    def get_vocabulary(self) -> list[str]:
        return ["", "[UNK]", "the"]


class Tokenizer:
    """As Keras' legacy one."""

    def __init__(self) -> None:
        self.word_index = {"the": 1}


def reading() -> None:
    kv = load_vectors("v.bin")
    kv = load_vectors(Path("v.txt"), words={"the", "cat"}, limit=10, format="text", encoding="gb18030", on_error="skip")
    kv = same_load("v.kv", trust=True, progress=note)
    kv = load_vectors("v.txt", words=["the"], progress=True)
    print(kv.most_similar("the"))
    facts = inspect("v.bin", on_error="raise", progress=None)
    print(facts["words"])
    rows, dim, report = convert("v.bin", Path("v.txt.gz"), trust=False, encoding="utf-8")
    print(rows + dim, report)


def counting() -> dict[str, int]:
    counts: Counter[str] = count_words(["a.txt", Path("b.gz")], split="jieba", encoding="utf-8", progress=note)
    counts += count_words("a.txt", split=str.split)
    return make_word_index(counts, min_count=2, num_words=1000, special_tokens=["<pad>"])


def building(index: dict[str, int]) -> EmbeddingMatrix:
    source: Source = OneHot()
    em = build_matrix(
        "v.txt", index, num_words=10, oov="normal", seed=3, dtype="float16", on_error="skip", progress=True
    )
    em = build_matrix(
        ["a.txt", Path("b.bin"), em, source, Plain()], ["<pad>", "the"], oov=lambda shape, rng: rng.random(shape)
    )
    em = same_build(source, {"yes": np.int64(1)}, fallbacks=["lower", "parts", lambda word: [word[:-1], word[1:]]])
    em = build_matrix(
        em, Path("words.txt"), cache_dir="cache", suggest=True, format="binary", trust=True, encoding="big5"
    )
    em = build_matrix(load_vectors("v.bin"), Layer(), fallbacks=("nfkc",), oov="mean", dtype="float32")
    em = build_matrix(Plain(), Tokenizer(), progress=note)
    em.save("m.npz")
    em.write_report("r.html", counts=Counter(["the"]), title="Words")
    em.export_projector(Path("folder"), counts=index, limit=None)
    return EmbeddingMatrix.load(Path("m.safetensors"))


def looking(em: EmbeddingMatrix) -> None:
    rows: int = em.shape[0] + em.vector_size
    first: float = float(em.matrix[1].sum()) + float(np.asarray(em).sum())
    vectors, found = em.vectors_for(["the"])
    padding: int | None = em.padding_row
    words: list[str] = [*em.word_index]
    coverage: Coverage = em.coverage
    share: float = coverage.rate + coverage.weighted_rate({"the": 3})
    names: list[str] = coverage.found + coverage.missing + list(coverage.by_source) + list(coverage.by_fallback)
    print(rows, first, vectors.shape, found.all(), padding, words, share, names, em.provenance[0], em.oov_rows.tolist())
    print(coverage.summary(examples=3), coverage.to_json(), coverage.to_dict()["words"], coverage.how("the"))
    print(coverage.to_frame(), coverage.top_missing(n=3)[0][0], coverage.suggested()[0], em.derived, em.damage)


def in_keras(em: EmbeddingMatrix, model: Any) -> None:
    layer = embedding_layer(em, trainable=True, via="constant", mask_zero=None, name="words", dtype="float32")
    layer = embedding_layer(np.zeros((3, 2)))
    table = PretrainedEmbedding(em, trainable=True, train_rows="oov", mask_zero=True, padding_row=0)
    print(layer.get_config(), table.oov_rows, table.train_rows)
    reload_vectors(model, em)
    PositionEmbedding(10, 4, mode="concat")
    SinusoidalPositionEmbedding(mode="add")
    RelativePositionEmbedding(5, 4)
    RelativeSelfAttention(num_heads=2, key_dim=4, max_distance=8)
    TokenEmbedding(10, 4)
    EmbeddingSimilarity()
    MaskedMeanPooling()
    RowSparseAdam(1e-3)
    UnfreezeEmbedding(2, "oov", learning_rate=0.1)
    outputs = bert_embedding([1, 2], 10, 5, 4, dropout_rate=0.1, vectors=em)
    print(outputs)


def from_texts(em: EmbeddingMatrix, model: Any, texts: Iterable[str]) -> None:
    encoder = TextEncoder(em, split="jieba", length=32, truncate="begin", lower=True, num_words=9, unknown="<unk>")
    encoder = TextEncoder({"the": 1}, split=str.split, unknown=False)
    encoder = TextEncoder.fit(Path("t.txt"), num_words=9, min_count=2, special_tokens=["<pad>"], split="characters")
    ids: npt.NDArray[np.int32] = TextEncoder.from_json(encoder.to_json())(texts, processes=2)
    told: TextCoverage = TextEncoder.from_config(encoder.get_config()).coverage(["the"])
    print(ids, told.rate, told.summary(3), told.unknown.most_common(), encoder.unknown["a"], encoder.unknown_id)
    save_model(model, Path("m.keras"), encoder=encoder, labels=["no", "yes"], leave_out=em)
    served: TextModel = load_model("m.keras", vectors=em)
    label, probability = served.predict(texts, batch_size=9)[0]
    print(
        label,
        round(probability, 3),
        served.probabilities(["a"]).sum(),
        served.encode(["a"]),
        served.model,
        served.labels,
    )


def in_context(texts: Iterable[str]) -> None:
    encoder = ContextualEncoder.from_pretrained(Path("folder"))
    vectors: npt.NDArray[np.float32] = encoder.encode(texts, layers=[-1, -2], merge="concat", pooling="cls")
    encoder.encode(["a"], layers=-2, merge=[0.5, 0.5], batch_size=8, max_length=None, stride=3, progress=note_texts)
    encoder.encode(iter(["a"]), special_tokens=False, output="v.npy", progress=True)
    words = encoder.encode_words([["a", "b"]], merge="mean", progress=None)
    states = encoder.hidden_states([[1, 2]], attention_mask=np.ones((1, 2)))
    rows, found = encoder.vectors_for(["a"])
    em = build_matrix([encoder, encoder.as_source(mode="table", pca=3)], {"a": 1})
    whiten: Projection = fit_whitening(vectors, 16)
    print(words[0].shape, states.shape, rows.sum(), found.any(), em.shape, encoder.vector_size)
    print(cosine(whiten(vectors), fit_pca(vectors, 16)(vectors)), encoder.similarity("a", "b", whitening=whiten))
