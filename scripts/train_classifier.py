"""A text classifier on pretrained word vectors: train, compare ways to treat the vectors, classify new lines.

    python scripts/train_classifier.py train data/titles.tsv data/vectors.txt.bz2 -o out
    python scripts/train_classifier.py train data/titles.tsv data/vectors.txt.bz2 --compare --examples 500 2000
    python scripts/train_classifier.py predict out/classifier.keras new_lines.txt

Texts are lines `label<TAB>text`. The folder OUT gets classifier.keras, curves.png and confusion.png. The .keras file
carries its vocabulary and labels (a JSON member that Keras does not read), so `predict` needs nothing else.
"""

import argparse
import json
import os
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import get_args

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from w2v_embed import build_matrix, load_vectors
from w2v_embed._types import ClassifierName, TrainingName
from w2v_embed.cli.console import complain, say
from w2v_embed.comparison import read_labelled, split_rows
from w2v_embed.comparison.classifiers import encode, fit, guess, make_model
from w2v_embed.shown import shown

VOCABULARY = "vocabulary.json"  # the member of the .keras file
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
EMBEDDINGS = get_args(TrainingName)
MODELS = get_args(ClassifierName)


# -- texts → ids ---------------------------------------------------------------------------------------------------


def split_words(text):
    """Chinese by jieba, other scripts at what is no letter or digit, in lower case."""
    if not CJK.search(text):
        return re.findall(r"\w+", text.lower())
    import jieba

    jieba.setLogLevel("WARNING")
    return [word for word in jieba.lcut(text) if word.strip()]


def make_word_index(texts, more_words):
    """The words of the texts by frequency, then others that have a vector: new texts may use them. 0 is padding."""
    counts = Counter(word for words in texts for word in words)
    words = dict.fromkeys([*(word for word, _ in counts.most_common()), *more_words])
    return {word: index for index, word in enumerate(words, 1)}


# -- what comes out ------------------------------------------------------------------------------------------------


def save(model, path, **vocabulary):
    model.save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(VOCABULARY, json.dumps(vocabulary, ensure_ascii=False))


def confusion(truth, guesses, classes):
    table = np.zeros((classes, classes), int)
    np.add.at(table, (truth, guesses), 1)
    return table


def draw(history, table, names, out):
    try:
        import matplotlib
    except ImportError:
        print("No pictures: matplotlib is not installed (pip install matplotlib).", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import font_manager, pyplot

    known = {font.name for font in font_manager.fontManager.ttflist}
    pyplot.rcParams["font.sans-serif"] = [
        *(name for name in ("Noto Sans CJK SC", "SimHei", "PingFang SC") if name in known),
        *pyplot.rcParams["font.sans-serif"],
    ]
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("loss", "accuracy")):
        axis.plot(history[name], label="training")
        axis.plot(history[f"val_{name}"], label="validation")
        axis.set(xlabel="epoch", title=name)
        axis.legend()
    figure.savefig(out / "curves.png", dpi=120)

    size = 2 + 0.5 * len(names)
    figure, axis = pyplot.subplots(figsize=(size, size), layout="constrained")
    axis.imshow(table, cmap="Blues")
    for (row, column), count in np.ndenumerate(table):
        axis.text(column, row, count, ha="center", va="center", color="white" if count > table.max() / 2 else "black")
    axis.set(xlabel="guessed", ylabel="true", xticks=range(len(names)), yticks=range(len(names)), yticklabels=names)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right")
    figure.savefig(out / "confusion.png", dpi=120)


# -- commands ------------------------------------------------------------------------------------------------------


def prepare(args):
    """The labels' names, the words, their matrix, the texts as (ids, numbers of labels), and the rows of three parts: of the
    held-out texts one half stops the training, and the other half, never looked at, gives the figure."""
    labels, texts = read_labelled(args.texts)
    texts = [split_words(text) for text in texts]
    names = sorted(set(labels))
    more = load_vectors(args.vectors, limit=args.vector_words).index_to_key if args.vector_words else []
    word_index = make_word_index(texts, more)
    matrix = build_matrix(args.vectors, word_index)
    print(matrix.coverage.summary())
    examples = encode(texts, word_index, args.length), np.array([names.index(label) for label in labels])
    parts = split_rows(labels, list(map(tuple, texts)), args.seed, args.held_out / 2, args.held_out / 2)
    return names, word_index, matrix, examples, parts


def chosen(rows, examples, seed):
    """So many of the rows for training."""
    return rows[np.random.default_rng(seed).permutation(len(rows))[:examples]]


def training(args):
    return {"epochs": args.epochs, "patience": args.patience, "rate": args.rate, "verbose": args.verbose}


def train(args):
    names, word_index, matrix, (x, y), (validation, test, rest) = prepare(args)
    if args.compare:
        compare(args, matrix, (x, y), (validation, test, rest))
        return
    keras.utils.set_random_seed(args.seed)
    rows = chosen(rest, args.examples[0], args.seed)
    model = make_model(args.model, matrix, args.embedding, args.length, len(names), args.rate, args.seed)
    history = fit(model, args.embedding, (x[rows], y[rows]), (x[validation], y[validation]), **training(args))
    guesses = model.predict(x[test], verbose=0).argmax(axis=1)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "classifier.keras"
    save(model, path, word_index=word_index, labels=names, length=args.length)
    draw(history, confusion(y[test], guesses, len(names)), names, args.out)
    print(f"accuracy on {len(test):,} texts never looked at: {(guesses == y[test]).mean():.3f}")
    print(f"saved: {path}")


def compare(args, matrix, texts, parts):
    validation, test, rest = parts
    print(f"\n{args.model}, {keras.backend.backend()}, accuracy on {len(test):,} texts, {args.seeds} seeds\n")
    print("| embedding |" + "".join(f" {min(n or len(rest), len(rest)):,} examples |" for n in args.examples))
    print("| --- |" + " --- |" * len(args.examples))
    for embedding in EMBEDDINGS:
        cells = []
        for examples in args.examples:
            scores = []
            for seed in range(args.seeds):
                rows = chosen(rest, examples, seed), validation, test
                guesses = guess(args.model, embedding, matrix, *texts, *rows, seed, **training(args))
                scores.append((guesses == texts[1][test]).mean())
            cells.append(f"{np.mean(scores):.3f} ± {np.std(scores):.3f}")
        print(f"| {embedding} | " + " | ".join(cells) + " |", flush=True)


def predict(args):
    model = keras.saving.load_model(args.classifier)
    with zipfile.ZipFile(args.classifier) as archive:
        if VOCABULARY not in archive.namelist():
            raise ValueError(f"{args.classifier} was not saved by this script: it holds no {VOCABULARY}")
        vocabulary = json.loads(archive.read(VOCABULARY))
    lines = (args.lines.read_text(encoding="utf-8") if args.lines else sys.stdin.read()).splitlines()
    if not lines:
        return
    x = encode([split_words(line) for line in lines], vocabulary["word_index"], vocabulary["length"])
    for line, scores in zip(lines, model.predict(x, verbose=0)):
        say(f"{shown(vocabulary['labels'][scores.argmax()])}\t{scores.max():.3f}\t{shown(line)}")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train", help="train a classifier, or --compare the embeddings")
    command.add_argument("texts", type=Path, help="lines label<TAB>text")
    command.add_argument("vectors", help="a file that load_vectors() reads")
    command.add_argument("-o", "--out", type=Path, default=Path("classifier_out"))
    command.add_argument("--model", choices=MODELS, default="mean")
    command.add_argument("--embedding", choices=EMBEDDINGS, default="gradual")
    command.add_argument("--compare", action="store_true", help="run all embeddings side by side and print a table")
    command.add_argument("--examples", type=int, nargs="+", default=[None], help="train on so many texts only")
    command.add_argument("--seeds", type=int, default=3, help="runs of each cell of --compare")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--epochs", type=int, default=24)
    command.add_argument("--patience", type=int, default=4, help="epochs without a better validation before stopping")
    command.add_argument("--rate", type=float, default=5e-3, help="learning rate")
    command.add_argument("--length", type=int, default=32, help="words of a text; longer ones are cut")
    command.add_argument("--held-out", type=float, default=0.4, help="share for validation and test, half each")
    command.add_argument("--vector-words", type=int, default=20_000, help="first words of the vectors to know as well")
    command.add_argument("--verbose", type=int, default=0)
    command.set_defaults(run=train)
    command = commands.add_parser("predict", help="classify lines with a saved classifier")
    command.add_argument("classifier", type=Path)
    command.add_argument("lines", type=Path, nargs="?", help="a file; without it, standard input")
    command.set_defaults(run=predict)
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        complain(f"error: {shown(error)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
