"""What rows out of spelling are worth, for words that are hidden: `fit_subwords` beside zeros, the mean, characters, fastText.

    python benchmarks/subwords.py [--vectors FILE [--limit N]] [--draws 3]

Every tenth word is hidden, drawn anew each time; the others stay, and the hidden ones get their rows from them. Printed are the
mean cosine of these rows with the true ones, 0 where there is none, and for English Spearman's correlation with WordSim-353 and
SimLex-999 (of gensim's test data), once with these words hidden, and once with half of the words of the pairs hidden. Without
--vectors: the shipped Chinese vectors, and gensim's small fastText model, whose own n-grams were trained with the hidden words.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from gensim.models import KeyedVectors  # noqa: E402
from gensim.test.utils import datapath  # noqa: E402

from w2v_embed import build_matrix, load_vectors  # noqa: E402
from w2v_embed.readers.ngrams import NGrams  # noqa: E402
from w2v_embed.subwords import fit_subwords  # noqa: E402


def pairs_of(name):
    """List of (word, word, score) of a file of gensim's."""
    lines = Path(datapath(name)).read_text(encoding="utf-8").splitlines()
    fields = [line.lower().split("\t") for line in lines if line and not line.startswith("#")]
    return [(a, b, float(score)) for a, b, score, *_ in fields if score.replace(".", "").isdigit()]


def ranks(values):
    """Of values, equal ones in their middle."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(rows, index, pairs):
    """The correlation of scores and cosines, of the pairs whose words are both in the index; 0 where a row is zero."""
    pairs = [pair for pair in pairs if pair[0] in index and pair[1] in index]
    a, b = (rows[[index[pair[k]] for pair in pairs]] for k in (0, 1))
    return np.corrcoef(ranks(cosines(a, b)), ranks([pair[2] for pair in pairs]))[0, 1]


def cosines(a, b):
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0)


def refilled(kv, hidden, seconds):
    """Method → rows of all words, those of the hidden ones made of the others."""
    words, known = kv.index_to_key, np.setdiff1d(np.arange(len(kv)), hidden)
    others = KeyedVectors(kv.vector_size)
    others.add_vectors([words[k] for k in known], kv.vectors[known])
    lost = [words[k] for k in hidden]
    made = {
        "zeros": np.zeros((len(lost), kv.vector_size)),
        "mean": np.tile(kv.vectors[known].mean(axis=0), (len(lost), 1)),
    }
    if any("一" <= word[0] <= "鿿" for word in lost):
        made["characters"] = build_matrix(others, lost, fallbacks=["characters"]).matrix
    start = time.process_time()
    made["fit_subwords"] = build_matrix([others, fit_subwords(others, limit=None)], lost).matrix
    seconds.append(time.process_time() - start)
    if "characters" in made:
        none = ~made["characters"].any(axis=1)
        made["characters, then fit_subwords"] = np.where(none[:, None], made["fit_subwords"], made["characters"])
    ngrams = NGrams.of(kv)
    if ngrams:
        made["fastText's own n-grams"] = np.array(
            [np.zeros(kv.vector_size) if (r := ngrams.row(w)) is None else r for w in lost]
        )
    rows = {"true rows": kv.vectors}
    for name, some in made.items():
        rows[name] = kv.vectors.astype(np.float64)
        rows[name][hidden] = some
    return rows


def judge(title, kv, tests, draws):
    index = kv.key_to_index
    named = sorted({index[word] for pairs in tests.values() for pair in pairs for word in pair[:2] if word in index})
    results, seconds = {}, []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        tenth = np.sort(rng.permutation(len(kv))[: len(kv) // 10])
        for name, rows in refilled(kv, tenth, seconds).items():
            mine = results.setdefault(name, {})
            mine.setdefault("cosine", []).append(cosines(rows[tenth], kv.vectors[tenth]).mean())
            for test, pairs in tests.items():
                mine.setdefault(f"{test}, 10 % hidden", []).append(spearman(rows, index, pairs))
        if named:
            half = np.sort(rng.permutation(named)[: len(named) // 2])
            for name, rows in refilled(kv, half, seconds).items():
                for test, pairs in tests.items():
                    results[name].setdefault(f"{test}, half hidden", []).append(spearman(rows, index, pairs))
    columns = list(results["zeros"])
    print(f"\n{title}: {len(kv):,} words × {kv.vector_size}, {draws} draws, {np.mean(seconds):.0f} s of CPU a fit\n")
    print(f"| rows of the hidden words | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for name, mine in results.items():
        print(f"| {name} | {' | '.join(f'{np.mean(mine[column]):.3f}' for column in columns)} |", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--vectors", help="any file of English word vectors")
    arguments.add_argument("--limit", type=int, help="its first words")
    arguments.add_argument("--draws", type=int, default=3)
    args = arguments.parse_args()
    tests = {"WordSim": pairs_of("wordsim353.tsv"), "SimLex": pairs_of("simlex999.txt")}
    if args.vectors:
        kv = load_vectors(args.vectors, limit=args.limit)
        judge(Path(args.vectors).name, kv, tests, args.draws)
        return
    judge("shipped vectors", load_vectors(ROOT / "data" / "vectors.bin"), {}, args.draws)
    judge("lee_fasttext.bin", load_vectors(datapath("lee_fasttext.bin")), {}, args.draws)


if __name__ == "__main__":
    main()
