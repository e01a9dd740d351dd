"""What rows out of spelling bring a classifier that meets words it has not seen: OpenVocabularyEmbedding beside zeros.

    python benchmarks/open_vocabulary.py [--seeds 5] [--examples 500 2000] [--train]

The shipped titles, split by jieba, and the shipped vectors. For each seed half of the words that have a vector are hidden
before training: neither the vocabulary nor the vectors, nor the n-grams that are fitted to these, know them. Titles are parted
anew, too: some to train on, 1,000 that end the training, 1,000 to judge by. All rows of the table have the same texts and the
same hidden words, and the same model: the layer, frozen, the mean over the words, and a logistic regression; or, with --train,
dropout and a softmax that Keras trains, which takes some times as long.

"met at prediction only": the hidden words are taken out of the texts that the model is trained on, so that what the model
learns is the same whatever becomes of them, and only what it is asked holds them. Otherwise they stand in both.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from gensim.models import KeyedVectors  # noqa: E402

from w2v_embed import build_matrix, load_vectors  # noqa: E402
from w2v_embed.comparison import read_labelled, split_rows  # noqa: E402
from w2v_embed.comparison.probe import probe  # noqa: E402
from w2v_embed.layers import MaskedMeanPooling, OpenVocabularyEmbedding, PretrainedEmbedding  # noqa: E402
from w2v_embed.splitting import splitter  # noqa: E402
from w2v_embed.subwords import fit_subwords  # noqa: E402
from w2v_embed.text import TextEncoder  # noqa: E402
from w2v_embed.training.classifiers import Settings, fit  # noqa: E402

LENGTH = 32
SPECIAL = ["<pad>", "<unk>"]


def without(texts, words):
    return [" ".join(word for word in text.split() if word not in words) for text in texts]


def filled(kv, words, row=None):
    """The matrix of the words and their encoder; `row` is that of unknown ones, zeros without it."""
    encoder = TextEncoder([*SPECIAL, *words], length=LENGTH)
    em = build_matrix(kv, encoder.word_index)
    table = em.matrix.copy()
    table[1] = 0 if row is None else row
    return table, encoder


def ways(kv, words, hidden):
    """Name → (encoder, layer)"""
    known = [word for word in words if word not in hidden]
    seen = KeyedVectors(kv.vector_size)
    seen.add_vectors(known, kv.vectors[[kv.key_to_index[word] for word in known]])
    start = time.process_time()
    model = fit_subwords(seen, limit=None)
    print(f"<!-- {model!r}, fitted in {time.process_time() - start:.0f} s of CPU -->", file=sys.stderr)
    options = {"padding_row": 0, "mask_zero": True}
    made = {}
    for name, row in (("zeros", None), ("the mean of all vectors", model.mean)):
        table, encoder = filled(seen, known, row)
        made[name] = encoder, PretrainedEmbedding(table, **options)
    table, encoder = filled(seen, known)
    made["left out"] = (
        TextEncoder([*SPECIAL, *known], length=LENGTH, unknown=False),
        PretrainedEmbedding(table, **options),
    )
    encoder = TextEncoder([*SPECIAL, *known], length=LENGTH, subwords=model)
    layer = OpenVocabularyEmbedding(PretrainedEmbedding(table, **options), model)
    print(f"<!-- {layer.summary()} -->", file=sys.stderr)
    made["OpenVocabularyEmbedding"] = encoder, layer
    table, encoder = filled(kv, words)
    made["nothing hidden"] = encoder, PretrainedEmbedding(table, **options)
    return made


def by_keras(encoder, layer, texts, y, rows, seed):
    """The guesses for the last of the rows."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((LENGTH + encoder.ngrams_per_text,), dtype="int32")
    x = MaskedMeanPooling()(keras.layers.Dropout(0.2)(layer(inputs)))
    outputs = keras.layers.Dense(int(y.max()) + 1, activation="softmax")(keras.layers.Dropout(0.3)(x))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    train, validation, test = ((encoder([texts[k] for k in some]), y[some]) for some in rows)
    fit(Settings(embedding="frozen", epochs=30), model, train, validation)
    guesses = model.predict(test[0], verbose=0).argmax(axis=1)
    keras.backend.clear_session()
    return guesses


def pooled(encoder, layer, texts):
    """What the layer gives for texts, the mean over their words."""
    inputs = keras.Input((LENGTH + encoder.ngrams_per_text,), dtype="int32")
    model = keras.Model(inputs, MaskedMeanPooling()(layer(inputs)))
    return model.predict(encoder(texts), batch_size=500, verbose=0)


def judged(args, texts, labels, kv, seed):
    """(name, met at prediction only?, examples) → accuracy"""
    names = sorted(set(labels))
    y = np.array([names.index(label) for label in labels])
    words = sorted({word for text in texts for word in text.split()} & set(kv.key_to_index))
    hidden = set(np.random.default_rng(seed).permutation(words)[: len(words) // 2].tolist())
    validation, test, rest = split_rows(labels, texts, seed, 0.2, 0.2)
    bare, found = without(texts, hidden), {}
    for row in test:
        bare[row] = texts[row]
    for name, (encoder, layer) in ways(kv, words, hidden).items():
        for later in (False, True)[: 1 if name == "nothing hidden" else 2]:
            given = bare if later else texts
            vectors = None if args.train else pooled(encoder, layer, given)
            for examples in args.examples:
                rows = rest[:examples], validation, test
                if args.train:
                    guesses = by_keras(encoder, layer, given, y, rows, seed)
                else:
                    guesses = probe(vectors, y, rows[0], test)
                found[name, later, examples] = float((guesses == y[test]).mean())
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--examples", type=int, nargs="+", default=[500, 2000], help="titles to train on")
    arguments.add_argument("--train", action="store_true", help="Keras trains the classifier")
    args = arguments.parse_args()
    labels, titles = read_labelled(ROOT / "data" / "titles.tsv")
    split = splitter("jieba")
    texts = [" ".join(split(title)) for title in titles]
    kv = load_vectors(ROOT / "data" / "vectors.bin")
    runs = []
    for seed in range(args.seeds):
        runs.append(judged(args, texts, labels, kv, seed))
        print(f"<!-- seed {seed}: {runs[-1]} -->", file=sys.stderr, flush=True)
    print(f"\n{keras.backend.backend()}, {args.seeds} seeds, accuracy: mean ± standard deviation\n")
    columns = [(later, examples) for later in (False, True) for examples in args.examples]
    told = [f"{n:,} examples{', met at prediction only' if later else ''}" for later, n in columns]
    print(f"| hidden words are | {' | '.join(told)} |\n| --- |{' ---: |' * len(columns)}")
    for name in dict.fromkeys(name for name, _, _ in runs[0]):
        cells = [[run[(name, *column)] for run in runs] for column in columns if (name, *column) in runs[0]]
        shown = [f"{np.mean(cell):.3f} ± {np.std(cell):.3f}" for cell in cells]
        print(f"| {name} | {' | '.join(shown + [''] * (len(columns) - len(shown)))} |")


if __name__ == "__main__":
    main()
