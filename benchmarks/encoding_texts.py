"""What encoding titles costs beside splitting them: python benchmarks/encoding_texts.py [--texts 100000] [--rounds 5]

Chinese: TextEncoder(split="jieba") against jieba's own lcut, both in one process, or --processes. White space: against Keras'
TextVectorization, and against plain Python. The titles are the shipped ones, again and again until there are enough; those of
white space are the same, split by jieba before. All run in turn in one process, with the dictionary loaded; ratios are of the
least times of all rounds, in wall and in processor seconds.
"""

import argparse
import itertools
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
from page import Column, Table, versions

from w2v_embed.text import TextEncoder

DATA = Path(__file__).parent.parent / "data"


def titles(number):
    lines = (DATA / "titles.tsv").read_text(encoding="utf-8").splitlines()
    return list(itertools.islice(itertools.cycle(line.split("\t")[1] for line in lines), number))


def plain(texts, word_index, length):
    """What one would write oneself."""
    ids = np.zeros((len(texts), length), "int32")
    for row, text in zip(ids, texts):
        known = [word_index[word] for word in text.split() if word in word_index][:length]
        row[: len(known)] = known
    return ids


def measured(runs, rounds):
    """dict name → (wall seconds, processor seconds), each the least, median and most of the rounds, which take turns."""
    taken = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs) if number % 2 else reversed(list(runs)):
            wall, cpu = time.perf_counter(), time.process_time()
            runs[name]()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: [(min(kind), statistics.median(kind), max(kind)) for kind in zip(*rows)] for name, rows in taken.items()
    }


def table(title, setting, results, against):
    columns = [Column("wall, s"), Column("processor, s"), Column(f"wall × {against}"), Column(f"processor × {against}")]
    told = versions("jieba", "keras", "tensorflow-cpu", "tensorflow")
    with Table(title, setting, columns, ["wall, s", "processor, s"], told) as page:
        base = [least for least, _, _ in results[against]]
        for name, kinds in results.items():
            ratios = (least / unit for (least, _, _), unit in zip(kinds, base))
            page.add(
                name, *((middle, least, most) for least, middle, most in kinds), *ratios, ours="TextEncoder" in name
            )


def chinese(texts, args):
    import jieba

    jieba.setLogLevel("WARNING")
    encoder = TextEncoder.fit(texts[:20_000], split="jieba", length=32)
    runs = {"jieba": lambda: [jieba.lcut(text) for text in texts], "TextEncoder": lambda: encoder(texts)}
    if args.processes > 1:
        runs[f"TextEncoder, {args.processes} processes"] = lambda: encoder(texts, processes=args.processes)
    table("Chinese titles to ids", f"{args.texts:,} titles", measured(runs, args.rounds), "jieba")


def white_space(texts, args):
    import jieba
    import keras

    distinct = {text: " ".join(jieba.lcut(text)) for text in dict.fromkeys(texts)}
    texts = [distinct[text] for text in texts]
    encoder = TextEncoder.fit(texts, special_tokens=["", "[UNK]"], length=32)
    words = list(encoder.word_index)[2:]
    layer = keras.layers.TextVectorization(standardize=None, output_sequence_length=32, vocabulary=words)
    usual = keras.layers.TextVectorization(output_sequence_length=32, vocabulary=words)
    array = np.array(texts, object)
    np.testing.assert_array_equal(encoder(texts), np.asarray(layer(array)))
    runs = {
        "TextVectorization": lambda: np.asarray(layer(array)),
        "TextVectorization, 1,024 texts a batch": lambda: np.concatenate(
            [np.asarray(layer(array[start : start + 1024])) for start in range(0, len(array), 1024)]
        ),
        "TextVectorization as it comes, lower and without punctuation": lambda: np.asarray(usual(array)),
        "a loop of Python": lambda: plain(texts, encoder.word_index, 32),
        "TextEncoder": lambda: encoder(texts),
    }
    table("Texts split at white space to ids", f"{args.texts:,} titles", measured(runs, args.rounds), "TextEncoder")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1, help="also try jieba in so many")
    args = parser.parse_args()
    texts = titles(args.texts)
    white_space(texts, args)
    chinese(texts, args)


if __name__ == "__main__":
    main()
