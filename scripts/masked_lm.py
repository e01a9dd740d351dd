"""A small masked language model with tied weights, from word2vec rows and from random rows.

    python scripts/masked_lm.py [--vectors FILE] [--titles FILE] [--out FOLDER] [--epochs N] [--runs N]

Two words of each title are hidden behind [MASK], and the model has to name them. Its token table is also its output
layer: `bert_embedding` hands the table out, `EmbeddingSimilarity` scores the words by it. Both models are alike, and so
is the scale of their first rows; only where the rows come from differs. Prints the losses on held-out titles and draws
the learning curves (`masked_lm.png`, by matplotlib).
"""

import argparse
import os
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jieba
import keras
import numpy as np
from keras import ops

from w2v_embed import build_matrix
from w2v_embed.layers import EmbeddingSimilarity, RelativeSelfAttention, bert_embedding

ROOT = Path(__file__).parent.parent
PAD, UNKNOWN, MASK = range(3)
LENGTH = 20  # words of a title, longer ones are cut
HIDDEN = 2  # words hidden in each title
HELD_OUT = 1_000
SCALE = 0.1  # standard deviation of the first rows, of both models
COLOURS = {"word2vec": "tab:blue", "random": "tab:orange"}


def read_titles(path):
    """Lists of words, of the titles in a file of `label<TAB>title` lines."""
    jieba.setLogLevel("WARNING")
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [[word for word in jieba.lcut(line.split("\t")[1]) if word.strip()][:LENGTH] for line in lines]


def make_word_index(titles):
    """Words that two titles have: one that is met once cannot be learned and tested."""
    counts = Counter(word for words in titles for word in set(words))
    words = [word for word, count in counts.most_common() if count > 1]
    return {"[PAD]": PAD, "[UNK]": UNKNOWN, "[MASK]": MASK} | {word: i for i, word in enumerate(words, MASK + 1)}


def encode(titles, word_index):
    """Ids `(titles, LENGTH)`; only titles with enough known words to hide some and keep most."""
    rows = [[word_index.get(word, UNKNOWN) for word in words] for words in titles]
    rows = [row for row in rows if sum(i > MASK for i in row) >= 3 * HIDDEN]
    return np.array([row + [PAD] * (LENGTH - len(row)) for row in rows], "int32")


def hide(ids, rng):
    """Hide words of each title: `({tokens (N, T), places (N, HIDDEN)}, the hidden ids (N, HIDDEN))`."""
    order = np.where(ids > MASK, rng.random(ids.shape), -1)
    places = np.argsort(-order, axis=1)[:, :HIDDEN].astype("int32")
    hidden = np.take_along_axis(ids, places, axis=1)
    tokens = ids.copy()
    np.put_along_axis(tokens, places, MASK, axis=1)
    return {"tokens": tokens, "places": places}, hidden


def masked_lm(rows):
    """One block of a Transformer between the embedding and the head that is tied to it."""
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    places = keras.Input((HIDDEN,), dtype="int32", name="places")
    width = rows.shape[1]
    x, table = bert_embedding(
        [tokens, ops.zeros_like(tokens)], len(rows), LENGTH, width, dropout_rate=0.2, layer_norm=True, vectors=rows
    )
    attention = RelativeSelfAttention(num_heads=4, key_dim=24, max_distance=8, dropout=0.1)(x)
    x = keras.layers.LayerNormalization()(keras.layers.add([x, attention]))
    # Only the hidden places are scored against all words.
    x = ops.take_along_axis(x, ops.expand_dims(places, -1), axis=1)
    x = keras.layers.Dense(4 * width, "gelu")(x)
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.LayerNormalization()(keras.layers.Dense(width)(x))
    logits = EmbeddingSimilarity(activation=None)([x, table])
    model = keras.Model({"tokens": tokens, "places": places}, logits)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def learn(rows, train, held_out, epochs, seed):
    """The losses on held-out titles, before training and after each epoch."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = masked_lm(rows)
    losses = [model.evaluate(*held_out, batch_size=250, verbose=0)]
    for _ in range(epochs):
        model.fit(*hide(train, rng), batch_size=64, verbose=0)
        losses.append(model.evaluate(*held_out, batch_size=250, verbose=0))
    return losses


def frequency_loss(train, hidden, size):
    """What a model that knows only how frequent words are would lose."""
    counts = np.bincount(train[train > MASK], minlength=size) + 1.0
    counts[: MASK + 1] = 0
    return float(-np.log(counts[hidden] / counts.sum()).mean())


def draw(curves, floor, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, runs in curves.items():
        for number, losses in enumerate(runs):
            label = f"table starts from {name} rows" if number == 0 else None
            axes.plot(losses, color=COLOURS[name], alpha=0.9, label=label)
    axes.axhline(floor, color="grey", linestyle="--", linewidth=1, label="word frequencies alone")
    axes.set(
        xlabel="epoch", ylabel="cross-entropy of a hidden word (nats)", title="Masked language model, held-out titles"
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, default=ROOT / "data/vectors.txt.bz2", help="pretrained word vectors")
    parser.add_argument("--titles", type=Path, default=ROOT / "data/titles.tsv", help="label<TAB>title lines")
    parser.add_argument("--out", type=Path, default=ROOT / "demo_out", help="folder for the picture")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--runs", type=int, default=2, help="runs of each model, from different seeds")
    arguments = parser.parse_args()
    import matplotlib  # noqa: F401 (that it is missing is told before minutes of training)

    titles = read_titles(arguments.titles)
    word_index = make_word_index(titles[HELD_OUT:])
    train, test = encode(titles[HELD_OUT:], word_index), encode(titles[:HELD_OUT], word_index)
    matrix = build_matrix(arguments.vectors, word_index, oov="normal")
    print(f"{len(train):,} titles to learn from, {len(test):,} held out; {matrix.coverage.summary()}")

    held_out = hide(test, np.random.default_rng(0))
    # Rows that score words must start small, or the first guesses are confident and wrong.
    pretrained = matrix.matrix * (SCALE / matrix.matrix.std())
    starts = {"word2vec": pretrained, "random": np.random.default_rng(0).normal(0, SCALE, matrix.shape)}
    curves = {name: [] for name in starts}
    for seed in range(arguments.runs):
        for name, rows in starts.items():
            curves[name].append(learn(rows, train, held_out, arguments.epochs, seed))
            print(f"run {seed + 1}, {name:>8} rows: best held-out loss {min(curves[name][-1]):.3f}", flush=True)
    floor = frequency_loss(train, held_out[1], len(word_index))
    best = {name: np.mean([min(losses) for losses in runs]) for name, runs in curves.items()}
    print(
        f"\nheld-out loss, mean of {arguments.runs}: word2vec {best['word2vec']:.3f}, random {best['random']:.3f}, "
        f"word frequencies alone {floor:.3f}"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw(curves, floor, arguments.out / "masked_lm.png")
    print(f"learning curves: {arguments.out / 'masked_lm.png'}")


if __name__ == "__main__":
    main()
