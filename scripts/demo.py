"""The main job on real data: titles → word_index → matrix → coverage → a classifier, and what the vectors bring it.

    python scripts/demo.py [output folder]

Splits the shipped titles with jieba, builds the matrix on the command line, and trains the same small model three times: with
the pretrained rows frozen, with random rows frozen, and with the pretrained rows trainable.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jieba
import keras
import numpy as np

from w2v_embed import EmbeddingMatrix, embedding_layer

ROOT = Path(__file__).parent.parent
LENGTH = 24  # words of a title, longer ones are cut
HELD_OUT = 1_000
EPOCHS = 12


def read_titles(path):
    """[(label, words)] of `label<TAB>title` lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        (label, [w for w in jieba.lcut(title) if w.strip()]) for label, title in (line.split("\t") for line in lines)
    ]


def make_word_index(texts):
    """Words by falling frequency, ids from 1 on; 0 is padding."""
    counts = Counter(word for words in texts for word in words)
    return {word: index for index, (word, _) in enumerate(counts.most_common(), 1)}, counts


def encode(texts, word_index):
    """Texts as ids `(texts, LENGTH)`, padded with 0; words that are not in the index are left out."""
    ids = np.zeros((len(texts), LENGTH), np.int32)
    for row, words in zip(ids, texts):
        known = [word_index[word] for word in words if word in word_index][:LENGTH]
        row[: len(known)] = known
    return ids


def classifier(layer, classes):
    """Mean of the word vectors, one dense layer."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = layer(inputs)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(0.3)(x)
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(out):
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    jieba.setLogLevel("WARNING")

    print("1. titles → word_index")
    labels, texts = zip(*read_titles(ROOT / "data/titles.tsv"))
    names = sorted(set(labels))
    # The words of all titles get a row: pretrained vectors also know words that no label taught.
    word_index, counts = make_word_index(texts)
    word_index_file = out / "word_index.json"
    word_index_file.write_text(json.dumps(word_index, ensure_ascii=False), encoding="utf-8")
    print(f"   {len(texts):,} titles, {len(word_index):,} words, {len(names)} classes; {word_index_file}\n")

    print("2. vectors + word_index → matrix")
    matrix_file = out / "matrix.safetensors"
    command = [
        "-m",
        "w2v_embed.cli",
        "build",
        str(ROOT / "data/vectors.txt.bz2"),
        str(word_index_file),
        "-o",
        str(matrix_file),
    ]
    print(f"   $ w2v-embed {' '.join(command[2:])}")
    subprocess.run([sys.executable, *command], check=True)
    matrix = EmbeddingMatrix.load(matrix_file)
    print(f"   of the running words {matrix.coverage.weighted_rate(counts):.1%} have a vector")
    report_file = out / "report.html"
    matrix.write_report(report_file, counts=counts)
    print(f"   {report_file}: a page about what is found and what is not, for a browser\n")

    print(
        f"3. matrix → Keras layer → classifier ({keras.backend.backend()}, {len(texts) - HELD_OUT:,} titles, {EPOCHS} epochs)"
    )
    x = encode(texts, word_index)
    y = np.array([names.index(label) for label in labels])
    kept = (x > 0).any(axis=1)  # a title without a known word has nothing to average
    x, y = x[kept], y[kept]
    found = matrix.matrix[[word_index[word] for word in matrix.coverage.found]]
    random = np.random.default_rng(0).normal(found.mean(), found.std(), matrix.shape).astype("float32")
    random[0] = 0
    layers = {
        "pretrained, frozen": lambda: embedding_layer(matrix, trainable=False),
        "random, frozen": lambda: embedding_layer(random, trainable=False, mask_zero=True),
        "pretrained, trainable": lambda: embedding_layer(matrix, trainable=True),
    }
    rows = []
    for name, layer in layers.items():
        keras.utils.set_random_seed(0)
        model = classifier(layer(), len(names))
        before = time.perf_counter()
        model.fit(x[HELD_OUT:], y[HELD_OUT:], batch_size=64, epochs=EPOCHS, verbose=0)
        accuracy = model.evaluate(x[:HELD_OUT], y[:HELD_OUT], verbose=0)[1]
        rows.append((name, accuracy, time.perf_counter() - before))
        if name == "pretrained, frozen":
            model.save(out / "classifier.keras")
    column = f"accuracy on {HELD_OUT:,} held-out titles"
    print(f"\n   | embedding layer       | {column} | seconds |\n   | {'-' * 21} | {'-' * len(column)} | ------- |")
    for name, accuracy, seconds in rows:
        print(f"   | {name:<21} | {accuracy:>{len(column)}.3f} | {seconds:>7.1f} |")
    size = (out / "classifier.keras").stat().st_size / 1e6
    print(f"\n   saved: {out / 'classifier.keras'} ({size:.1f} MB; loads without w2v_embed)")
    print(f"   in all {time.perf_counter() - start:.0f} s\n")
    print(
        "Next: open the report; try your own vectors (.venv/bin/w2v-embed build VECTORS WORD_INDEX -o matrix.safetensors);"
    )
    print("and see which of several serve your texts best (.venv/bin/w2v-embed compare --help).")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo_out")
