"""What no checker may let pass: each marked line is refused for that reason, and no other line. Never run."""

from __future__ import annotations

import numpy as np

import w2v_embed
from w2v_embed import (
    EmbeddingMatrix,
    build_matrix,
    convert,
    count_words,
    embedding_layer,
    inspect,
    load_vectors,
    make_word_index,
    warm_start,
)
from w2v_embed.comparison import Candidate, compare, read_labelled
from w2v_embed.contextual import (
    ContextualEncoder,
    LayerwiseAdamW,
    add_tokens,
    fit_pca,
    query_states,
    transplant,
    trim_vocabulary,
)
from w2v_embed.evaluation import analogies, word_similarity
from w2v_embed.layers import (
    OpenVocabularyEmbedding,
    PositionEmbedding,
    PretrainedEmbedding,
    UnfreezeEmbedding,
    WeightedMeanPooling,
)
from w2v_embed.postprocess import center, frequency_weight, pca
from w2v_embed.scale import EncodeBatches, ProcessPool, encode_shards, merge_counts
from w2v_embed.subwords import fit_subwords
from w2v_embed.text import TextEncoder, export_model, load_model, save_model
from w2v_embed.training import fit_encoder, train
from w2v_embed.vectorizer import TextVectorizer
from w2v_embed.weights import idf_weights, sif_weights


class Unfinished:
    """A source without a width: `lend` and `has` alone make none."""

    name = "unfinished"

    def has(self, words: list[str]) -> list[bool]:
        return [False for _ in words]


def wrong(em: EmbeddingMatrix, encoder: ContextualEncoder) -> None:
    w2v_embed.load_vector("v")  # error: attr-defined
    load_vectors("v", limit="ten")  # error: arg-type
    load_vectors("v", limits=10)  # error: call-arg
    load_vectors(3.5)  # error: arg-type
    load_vectors("v", {"the"})  # error: call-arg
    load_vectors("v", format="txt")  # error: arg-type
    load_vectors("v", on_error="ignore")  # error: arg-type
    load_vectors("v", progress=3)  # error: arg-type
    load_vectors("v", progress=lambda done, total, found: None)  # error: arg-type, misc
    load_vectors("v", words=7)  # error: arg-type
    load_vectors("v", words=["a"], index=3)  # error: arg-type
    load_vectors("v", trust="yes")  # error: arg-type
    inspect("v", on_error=None)  # error: arg-type
    convert("v")  # error: call-arg
    convert("v", 7)  # error: arg-type
    count_words("t", split="spaces")  # error: arg-type
    count_words("t", executor="ray")  # error: arg-type
    merge_counts(["a.json"], parts="four")  # error: arg-type
    encode_shards("bert", "a.txt", "out", dtype="float64")  # error: arg-type
    encode_shards("bert", "a.txt", "out", format="npy")  # error: arg-type
    encode_shards("bert", "a.txt", "out", rows="many")  # error: arg-type
    encode_shards("bert", "a.txt", "out", pooling="idf")  # error: arg-type
    encode_shards("bert", "a.txt", "out", poling="cls")  # error: call-arg
    EncodeBatches("bert", dtype="int8")  # error: arg-type
    EncodeBatches(3)  # error: arg-type
    ProcessPool("two")  # error: arg-type
    make_word_index(["a", "b"])  # error: arg-type
    make_word_index({"a": 1}, num_words="ten")  # error: arg-type
    build_matrix(3.5, {"a": 1})  # error: arg-type
    build_matrix("v", 7)  # error: arg-type
    build_matrix("v", {"a": "b"})  # error: dict-item
    build_matrix("v", {"a": 1}, oov=12)  # error: arg-type
    build_matrix(["v", "u"], {"a": 1}, combine="sum")  # error: arg-type
    build_matrix(["v", "u"], {"a": 1}, align="rigde")  # error: arg-type
    build_matrix(["v", "u"], {"a": 1}, balance="no")  # error: arg-type
    build_matrix("v", {"a": 1}, oov="zero")  # error: arg-type
    build_matrix("v", {"a": 1}, index=3)  # error: arg-type
    build_matrix("v", {"a": 1}, out=True)  # error: arg-type
    build_matrix("v", {"a": 1}, rows=7)  # error: arg-type
    EmbeddingMatrix.load("m", mmap="r")  # error: arg-type
    build_matrix("v", {"a": 1}, dtype="float8")  # error: arg-type
    build_matrix("v", {"a": 1}, fallbacks=["lowre"])  # error: list-item
    build_matrix("v", {"a": 1}, seed="three")  # error: arg-type
    build_matrix("v", {"a": 1}, num_words=2.5)  # error: arg-type
    build_matrix("v", {"a": 1}, format="txt")  # error: arg-type
    build_matrix("v", {"a": 1}, progress=3)  # error: arg-type
    build_matrix("v", {"a": 1}, postprocess=[3])  # error: list-item
    pca("ten")  # error: arg-type
    frequency_weight({"a": 1}, "log")  # error: arg-type
    word_similarity("v", 3)  # error: arg-type
    analogies("v", "q.txt", restrict_vocab="all")  # error: arg-type
    EmbeddingMatrix([[1.0]], {"a": 0}, steps=[3])  # error: list-item
    center("v")  # error: arg-type
    build_matrix(Unfinished(), {"a": 1})  # error: arg-type
    build_matrix(["v", 3], {"a": 1})  # error: list-item
    em.save(3)  # error: arg-type
    print(em.rows)  # error: attr-defined
    em.coverage.rate()  # error: operator
    em.coverage.weighted_rate(3)  # error: arg-type
    em.export_projector("folder", limit="all")  # error: arg-type
    em.export_static(7)  # error: arg-type
    em.push_to_hub("me/v", license=["mit"])  # error: arg-type
    em.push_to_hub("me/v", private="yes")  # error: arg-type
    EmbeddingMatrix.from_pretrained("me/v", local_files_only="yes")  # error: arg-type
    EmbeddingMatrix.from_pretrained("me/v", "v2")  # error: call-arg
    fit_subwords(7)  # error: arg-type
    fit_subwords("v", limit="all")  # error: arg-type
    fit_subwords("v").save("s", dtype="int8")  # error: arg-type
    em.as_torch(freeze="yes")  # error: arg-type
    em.as_torch_bag("cls")  # error: arg-type
    em.as_nnx("float32")  # error: arg-type
    sif_weights(["the"], em)  # error: arg-type
    idf_weights({"the": 1}, em)  # error: call-arg
    embedding_layer(em, via="x")  # error: arg-type
    embedding_layer(em, trainable="yes")  # error: arg-type
    embedding_layer("matrix.npz")  # error: arg-type
    PretrainedEmbedding(em, train_rows="some")  # error: arg-type
    OpenVocabularyEmbedding(em, 7)  # error: arg-type
    OpenVocabularyEmbedding(em, "s", ngrams_per_text="all")  # error: arg-type
    PositionEmbedding(10, 4, mode="sum")  # error: arg-type
    WeightedMeanPooling(input_dim="ten")  # error: arg-type
    UnfreezeEmbedding("two")  # error: arg-type
    encoder.encode(["a"], pooling="sum")  # error: arg-type
    encoder.encode(["a"], merge="max")  # error: arg-type
    encoder.encode(["a"], batch_size="all")  # error: arg-type
    encoder.encode(7)  # error: arg-type
    encoder.encode(["a"], truncate_dim="all")  # error: arg-type
    encoder.encode(["a"], normalize="l2")  # error: arg-type
    encoder.similarity("a", ["b"], function="angle")  # error: call-overload
    encoder.as_source(mode="fast")  # error: arg-type
    encoder.encode_tokens(7)  # error: arg-type
    encoder.to_keras(head="lm")  # error: arg-type
    ContextualEncoder.from_pretrained("folder", engine="tensorflow")  # error: arg-type
    ContextualEncoder.from_pretrained("folder", compute_dtype="float64")  # error: arg-type
    encoder.to_keras(outputs="first")  # error: arg-type
    encoder.to_keras(trainable="all")  # error: arg-type
    add_tokens(encoder, ["a"], init="zeros")  # error: arg-type
    transplant(encoder, "folder", method="wechsel")  # error: arg-type
    LayerwiseAdamW(3e-5, "slow")  # error: arg-type
    query_states("xlnet", [[5]])  # error: arg-type
    trim_vocabulary(encoder, 7)  # error: arg-type
    warm_start([[1.0]], ["a"], ["a"], oov="some")  # error: arg-type
    encoder.distill(weighting="idf")  # error: arg-type
    fit_pca(np.zeros((3, 2)), "two")  # error: arg-type
    compare(["a"], ["t"], ["a.vec"])  # error: list-item
    compare(["a"], ["t"], [Candidate(["a.vec"])], pooling="max")  # error: arg-type
    compare(["a"], ["t"], [Candidate(["a.vec"])], classifier="svm")  # error: arg-type
    compare(["a"], ["t"], [], seeds="three")  # error: arg-type
    Candidate("a.vec", {3: 4})  # error: dict-item
    read_labelled(7)  # error: arg-type
    TextVectorizer("v", pooling="max")  # error: arg-type
    TextVectorizer("v", split="spaces")  # error: arg-type
    TextVectorizer("v", "mean")  # error: call-arg


def wrong_texts(text_encoder: TextEncoder) -> None:
    TextEncoder({"the": 1}, split="spaces")  # error: arg-type
    TextEncoder({"the": 1}, truncate="middle")  # error: arg-type
    TextEncoder({"the": 1}, length="all")  # error: arg-type
    TextEncoder({"the": 1}, unknown=True)  # error: arg-type
    TextEncoder({"the": 1}, subwords=7)  # error: arg-type
    TextEncoder({"the": 1}, ngrams_per_text="all")  # error: arg-type
    TextEncoder.fit(7)  # error: arg-type
    text_encoder(7)  # error: arg-type
    save_model(None, "m.keras", encoder={"the": 1})  # error: arg-type
    save_model(None, "m.keras")  # error: call-arg
    load_model("m.keras").predict(7)  # error: arg-type
    load_model("m.keras").ranked(["a"], top="all")  # error: arg-type
    export_model(load_model("m.keras"), "m", format="pickle")  # error: arg-type
    export_model("m.keras", "m")  # error: arg-type
    fit_encoder(["a"], split="spaces")  # error: arg-type


def wrong_training(em: EmbeddingMatrix, text_encoder: TextEncoder) -> None:
    train(["a"], ["t"], em)  # error: call-arg
    train(["a"], ["t"], "v.txt", encoder=text_encoder)  # error: arg-type
    train(["a"], ["t"], em, encoder=text_encoder, classifier="transformer")  # error: arg-type
    train(["a"], ["t"], em, encoder=text_encoder, embedding="thawed")  # error: arg-type
    train(["a"], ["t"], em, encoder=text_encoder, class_weight="even")  # error: arg-type
    train([1], ["t"], em, encoder=text_encoder)  # error: list-item
