"""Make docs/contextual.png and print the table of neighbours in docs/contextual.md, both from the real MiniLM.

python benchmarks/contextual_picture.py      (needs matplotlib)
"""

from pathlib import Path

import matplotlib
import numpy as np
from contextual import minilm

from w2v_embed.contextual import ContextualEncoder, cosine, fit_pca, fit_whitening

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
QUERIES = ("king", "river", "bank", "music", "quickly", "berlin")
SENSES = {
    "river": [
        "they walked along the bank of the river",
        "the river broke its bank after the rain",
        "fish were jumping near the muddy bank",
        "trees grew on the left bank of the stream",
        "the boat was tied to the bank",
    ],
    "money": [
        "she put her money in the bank",
        "the bank raised its interest rates",
        "he asked the bank for a loan",
        "the bank closed my account",
        "a robber held up the bank in the city",
    ],
}


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def neighbours(words, vectors):
    """Return the three nearest words of each query."""
    vectors = unit(vectors)
    nearest = (np.argsort(-(vectors @ vectors[words.index(query)]))[1:4] for query in QUERIES)
    return [", ".join(words[place] for place in places) for places in nearest]


def pairs(vectors, count=5000):
    """Return the cosines of random pairs."""
    a, b = np.random.default_rng(0).integers(len(vectors), size=(2, count))
    vectors = unit(vectors)
    return (vectors[a] * vectors[b]).sum(axis=1)[a != b]


def main():
    encoder = ContextualEncoder.from_pretrained(minilm())
    vocabulary = (minilm() / "vocab.txt").read_text("utf-8").split("\n")[1996:]
    words = [word for word in vocabulary if word.isalpha() and word.isascii() and len(word) > 2][:6000]
    first, last_but_one, last = np.split(encoder.vectors_for(words, layers=[1, -2, -1], merge="concat")[0], 3, axis=1)
    views = {
        "input table": encoder.as_source(mode="table").vectors_for(words)[0],
        "layer 1": first,
        "layer -2": last_but_one,
        "layer -1": last,
        "layer -1, PCA 128": fit_pca(last, 128)(last),
        "layer -1, whitened 128": fit_whitening(last, 128)(last),
    }
    print("| vectors | mean cosine | " + " | ".join(QUERIES) + " |")
    print("| --- | --- |" + " --- |" * len(QUERIES))
    for name, vectors in views.items():
        print(f"| {name} | {pairs(vectors).mean():.2f} | " + " | ".join(neighbours(words, vectors)) + " |")

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, vectors in views.items():
        left.hist(pairs(vectors), bins=np.linspace(-0.4, 1, 90), histtype="step", density=True, label=name)
    left.set(title="Random pairs of 6000 words", xlabel="cosine", ylabel="density")
    left.legend(fontsize=8)

    texts = [text.split() for group in SENSES.values() for text in group]
    rows = encoder.encode_words(texts, layers=-2)
    banks = np.stack([row[text.index("bank")] for text, row in zip(texts, rows)])
    points = fit_pca(banks, 2)(banks)
    for place, (sense, marker) in enumerate(zip(SENSES, "os")):
        chosen = points[place * 5 : place * 5 + 5]
        right.scatter(*chosen.T, marker=marker, label=f"of {sense}")
        for text, point in zip(SENSES[sense], chosen):
            right.annotate(text, point, fontsize=6, xytext=(0, 5), textcoords="offset points", ha="center")
    right.set(title="“bank” in ten sentences, layer -2", xlabel="first axis of PCA", ylabel="second axis")
    right.margins(x=0.3, y=0.1)
    right.legend(fontsize=8)
    figure.savefig(DOCS / "contextual.png", dpi=80)

    cosines = cosine(banks, banks)
    same = np.kron(np.eye(2), np.ones((5, 5))).astype(bool)
    alike, across = cosines[same & ~np.eye(10, dtype=bool)].mean(), cosines[~same].mean()
    print(f"\ncosine of bank with bank: {alike:.2f} in the same sense, {across:.2f} across the senses")


if __name__ == "__main__":
    main()
