"""What people write with the public names. `mypy --strict` has nothing to say to it; it is never run (tests/test_typing.py)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    warm_start,
)
from w2v_embed.comparison import Candidate, Comparison, compare, read_labelled, split_rows
from w2v_embed.contextual import (
    ContextualEncoder,
    LayerwiseAdamW,
    Projection,
    TokenVectors,
    add_tokens,
    cosine,
    fit_pca,
    fit_whitening,
    query_states,
    transplant,
    trim_vocabulary,
)
from w2v_embed.evaluation import Analogies, Similarity, analogies, word_similarity
from w2v_embed.layers import (
    AttentionPooling,
    EmbeddingSimilarity,
    MaskedMaxPooling,
    MaskedMeanPooling,
    OpenVocabularyEmbedding,
    PositionEmbedding,
    PretrainedEmbedding,
    RelativePositionEmbedding,
    RelativeSelfAttention,
    RowSparseAdam,
    SinusoidalPositionEmbedding,
    TokenEmbedding,
    UnfreezeEmbedding,
    WeightedMeanPooling,
    bert_embedding,
    reload_vectors,
)
from w2v_embed.matrix import build_matrix as same_build
from w2v_embed.postprocess import all_but_the_top, center, frequency_weight, normalize, pca, whiten
from w2v_embed.readers import load_vectors as same_load
from w2v_embed.scale import EncodeBatches, ProcessPool, RayExecutor, encode_shards, merge_counts
from w2v_embed.subwords import SubwordModel, fit_subwords
from w2v_embed.text import TextCoverage, TextEncoder, TextModel, export_model, load_model, save_model
from w2v_embed.training import Trained, compare_embeddings, fit_encoder, label_sets, train
from w2v_embed.vectorizer import TextVectorizer
from w2v_embed.weights import idf_weights, sif_weights

version: str = w2v_embed.__version__


def combined(paths: list[str]) -> EmbeddingMatrix:
    side_by_side = build_matrix(paths, {"a": 1}, combine="concat", balance=False)
    build_matrix([*paths, side_by_side], {"a": 1}, combine="average", align=None)
    build_matrix(paths, {"a": 1}, align="procrustes")
    return build_matrix(paths, {"a": 1}, combine="first", align=True)


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


def refining(em: EmbeddingMatrix) -> None:
    em = center(normalize(pca(3)(all_but_the_top(2)(em))))
    em = frequency_weight(Counter("aab"), "zipf")(whiten(2)(whiten()(em)))
    em = build_matrix("v", ["a"], postprocess=["pca:3", center, pca(2), lambda em: em.matrix * 2])
    em = EmbeddingMatrix(em.matrix, em.word_index, steps=em.steps).with_matrix(em.matrix, {"step": "mine"})
    print(em.steps[0]["step"])


def judging(em: EmbeddingMatrix) -> None:
    similar: Similarity = word_similarity(em, "pairs.tsv", restrict_vocab=None, case_insensitive=False)
    answers: Analogies = analogies(Path("v.bin"), "questions.txt", dummy4unknown=True, on_error="skip")
    print(similar.spearman, similar.covered, answers.accuracy, answers.by_category["family"].accuracy_mul)


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
    with ThreadPoolExecutor() as threads, ProcessPool(2) as processes:
        counts += count_words(["a.txt", "s3://bucket/b.txt"], executor=threads)
        counts += merge_counts(["a.json"], parts=4, executor=processes)
        made: dict[str, Any] = encode_shards(
            "bert", ["a.txt"], "out", 1024, executor=RayExecutor(num_cpus=1), dtype="float16"
        )
        encode_shards(
            "bert",
            "a.txt",
            "out",
            format="parquet",
            pooling="cls",
            layers=[-1, -2],
            progress=lambda done, total: print(made),
        )
    columns: dict[str, Any] = EncodeBatches("bert", column="title", dtype="float16", max_length=64)({"title": ["a"]})
    print(columns)
    with open("v.txt", "rb") as file:
        load_vectors(file)
    build_matrix(["https://host/v.zip#v.txt", io.BytesIO()], ["the"])
    inspect("-")
    convert("hf://owner/repo/v.txt@main", "v.bin")
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
    model: SubwordModel = fit_subwords(em, limit=None, ngrams=1000, min_n=2, max_n=4, seed=1)
    model.save("s.safetensors", dtype="float32")
    em = build_matrix(["v.txt", model, SubwordModel.load(Path("s.safetensors"))], ["the"])
    print(model.vectors_for(["the"])[0].shape, model.cosine, fit_subwords(Path("v.txt")).vector_size)
    em.save("m.npz")
    em.write_report("r.html", counts=Counter(["the"]), title="Words")
    em.export_projector(Path("folder"), counts=index, limit=None)
    em.export_static(Path("folder"), tokenizer="tokenizer.json")
    load_vectors("v.txt", words=["a"], index=Path("folder"))
    build_matrix("v.txt", {"a": 1}, index=True, out=Path("m.safetensors"), rows=(0, 2))
    build_matrix("https://host/v.txt", {"a": 1}, index=Path("folder"))
    build_matrix("v.txt", {"a": 1}, index=None, out="m.safetensors.index.json", rows=None)
    EmbeddingMatrix.load("m.npy", mmap=True)
    url: str = em.push_to_hub(
        "me/v", license={"v.txt": "mit"}, language=["zh"], counts={"a": 1}, private=True, token=True
    )
    em.push_to_hub("me/v", license="mit", card=False, revision="v2", commit_message=url, create_pr=True)
    EmbeddingMatrix.from_pretrained(Path("folder"), mmap=True)
    EmbeddingMatrix.from_pretrained("me/v", revision="v2", cache_dir="c", local_files_only=True, token="t")
    return EmbeddingMatrix.load(Path("m.safetensors"))


def elsewhere(em: EmbeddingMatrix) -> None:
    print(
        em.as_torch(), em.as_torch(freeze=False).weight, em.as_torch_bag("sum", freeze=False), em.as_nnx(freeze=False)
    )


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
    spelling = OpenVocabularyEmbedding(em, fit_subwords(em), trainable=True, ngrams_per_text=64, dtype="float16")
    print(spelling.summary(), OpenVocabularyEmbedding(table, Path("s.safetensors")).words.trainable)
    reload_vectors(model, em)
    PositionEmbedding(10, 4, mode="concat")
    SinusoidalPositionEmbedding(mode="add")
    RelativePositionEmbedding(5, 4)
    RelativeSelfAttention(num_heads=2, key_dim=4, max_distance=8)
    TokenEmbedding(10, 4)
    EmbeddingSimilarity()
    MaskedMeanPooling()
    MaskedMaxPooling(dtype="float16")
    AttentionPooling(query_initializer="uniform", query_regularizer="l2")
    WeightedMeanPooling()
    WeightedMeanPooling(sif_weights(Counter(["the"]), em, a=1e-4), trainable=True)
    WeightedMeanPooling(idf_weights({"the": 3}, {"the": 1}, texts=9))
    RowSparseAdam(1e-3)
    UnfreezeEmbedding(2, "oov", learning_rate=0.1)
    outputs = bert_embedding([1, 2], 10, 5, 4, dropout_rate=0.1, vectors=em)
    print(outputs)


def from_texts(em: EmbeddingMatrix, model: Any, texts: Iterable[str]) -> None:
    encoder = TextEncoder(em, split="jieba", length=32, truncate="begin", lower=True, num_words=9, unknown="<unk>")
    encoder = TextEncoder({"the": 1}, split=str.split, unknown=False, subwords=fit_subwords(em), ngrams_per_text=64)
    encoder = TextEncoder.fit(["the"], subwords="s.safetensors", ngrams_per_text=64)
    print(encoder.ngrams_per_text + 1, encoder.keys_sha256)
    encoder = TextEncoder.fit(Path("t.txt"), num_words=9, min_count=2, special_tokens=["<pad>"], split="characters")
    ids: npt.NDArray[np.int32] = TextEncoder.from_json(encoder.to_json())(texts, processes=2)
    told: TextCoverage = TextEncoder.from_config(encoder.get_config()).coverage(["the"])
    print(
        ids,
        told.rate,
        told.summary(3),
        told.unknown.most_common(),
        told.spelt,
        encoder.unknown["a"],
        encoder.unknown_id,
    )
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
    save_model(model, "m.keras", encoder=encoder, multi_label=True)
    best: list[list[tuple[str | int, float]]] = served.ranked(["a"], top=3, threshold=0.5)
    export_model(served, Path("saved"), texts=True)
    export_model(served, "m.onnx", format="onnx")
    print(best, served.multi_label)


def trained(em: EmbeddingMatrix) -> None:
    labels, texts = read_labelled("l.tsv", unlabelled=True)
    encoder = fit_encoder(texts, more_words=["zebra"], min_count=2, split="jieba", lower=True, length=None)
    found: Trained = train(labels, texts, em, encoder=encoder, classifier="cnn", embedding="oov", progress=note_texts)
    train(label_sets(labels, ","), texts, em, encoder=encoder, class_weight={"a": 2}, examples=9, rate=1e-3)
    found.save("m.keras", metrics=Path("m.json"))
    table: str = compare_embeddings(labels, texts, em, encoder=encoder, embeddings=("oov",), examples=(9, None)).table()
    print(table, found.model.predict(texts), found.metrics["accuracy"])


def in_context(texts: Iterable[str]) -> None:
    encoder = ContextualEncoder.from_pretrained(Path("folder"), engine="onnx")
    ContextualEncoder.from_pretrained("folder", compute_dtype="bfloat16")
    vectors: npt.NDArray[np.float32] = encoder.encode(texts, layers=[-1, -2], merge="concat", pooling="cls")
    encoder.encode(["a"], layers=-2, merge=[0.5, 0.5], batch_size=8, max_length=None, stride=3, progress=note_texts)
    encoder.encode(iter(["a"]), special_tokens=False, output="v.npy", progress=True)
    words = encoder.encode_words([["a", "b"]], merge="mean", progress=None)
    states = encoder.hidden_states([[1, 2]], attention_mask=np.ones((1, 2)))
    rows, found = encoder.vectors_for(["a"])
    em = build_matrix([encoder, encoder.as_source(mode="table", pca=3)], {"a": 1})
    static: EmbeddingMatrix = encoder.distill(["a"], pca=None, weighting="zipf", progress=True)
    print(static.shape, encoder.distill(weighting=None).shape)
    whiten: Projection = fit_whitening(vectors, 16)
    print(words[0].shape, states.shape, rows.sum(), found.any(), em.shape, encoder.vector_size)
    print(cosine(whiten(vectors), fit_pca(vectors, 16)(vectors)), encoder.similarity("a", "b", whitening=whiten))
    encoder.encode([("a", "b"), "c"], prompt_name="query", prompt="query: ", truncate_dim=8, normalize=True)
    alike: float = encoder.similarity("a", "b", function="dot", truncate_dim=8)
    tokens: list[TokenVectors] = encoder.encode_tokens(texts, special_tokens=False, stride=4)
    model = encoder.to_keras(layers=[-1], dropout=0.1, head="masked_lm", outputs="all", dtype="mixed_bfloat16", seed=1)
    print(LayerwiseAdamW(3e-5, {"layer_1": 0.1}, weight_decay=0.01).factors, LayerwiseAdamW(rates=0.9).rates)
    tuned: ContextualEncoder = encoder.from_keras(model)
    tuned.save_pretrained(Path("folder"), model)
    more: ContextualEncoder = add_tokens(encoder, {"a": "b"}, init="description", vectors="v.vec", seed=3)
    more = add_tokens(more, ["a"], lambda shape, rng: rng.normal(size=shape))
    more = trim_vocabulary(
        transplant(more, "folder", np.ones((3, 2)), method="focus", atoms=4), iter(["a"]), keep=["b"]
    )
    print(
        alike, tokens[0].offsets, tokens[0].pieces, more.steps, warm_start(vectors, ["a"], {"b": 1}, oov="mean").shape
    )
    print(query_states(encoder, [[5]], perm_mask=np.zeros((1, 1, 1)), target_mapping=None).query.shape)


def judged(em: EmbeddingMatrix) -> None:
    labels, texts = read_labelled(Path("l.tsv"), encoding="gb18030")
    test, train = split_rows(labels, texts, 0, 0.2)
    candidates = [Candidate(["a.vec"]), Candidate([em, Path("b.vec")], {"fallbacks": ["lower"]}, "both")]
    found: Comparison = compare(
        labels, texts, candidates, split=str.split, pooling="sif", examples=None, classifier="cnn"
    )
    found.write_report("p.html", command=None, title="t")
    p: float | None = found.results[-1].p
    print(found.table(), found.to_json(), found.winner.accuracy, found.winner.candidate.name, p, test[train])
    vectorizer = TextVectorizer(["a.vec", em], pooling="idf", split="jieba", vocabulary={"a": 1}, build={"seed": 1})
    rows: npt.NDArray[np.floating[Any]] = vectorizer.fit(texts).transform(iter(texts))
    print(
        rows, vectorizer.get_feature_names_out().tolist(), vectorizer.get_params()["pooling"], vectorizer.coverage_.rate
    )
