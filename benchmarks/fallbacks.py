"""What fallbacks cost on top of plain row selection.

    python benchmarks/fallbacks.py [--lines 636013] [--dim 300] [--missing 5 20] [--rounds 15]

A word2vec text file of that many lines is made under benchmarks/.work and kept there: half jieba's dictionary, half Latin
letters, frequent words first. The vocabulary: 50,000 words, of which so many percent are missing, one half because they are in
capitals, the other Chinese words that are not in the file; what fallbacks cost depends on it. Plain selection and selection
with fallbacks take turns in this process, in an order that is drawn, with the compiled code warm; ratios are of medians, and
of the least times, which other work on the machine disturbs less.
"""

import argparse
import gc
import os
import random
import resource
import statistics
import time
from pathlib import Path

import numpy as np

from w2v_embed import build_matrix

WORK = Path(__file__).parent / ".work"
WANTED, ABSENT = 50_000, 5_000
CHOICES = {
    "lower": ["lower"],
    "nfkc, lower, title, upper": ["nfkc", "lower", "title", "upper"],
    "simplified": ["simplified"],
    "characters": ["characters"],
    "parts": ["parts"],
    "nfkc, lower, simplified, digits, markers, parts, characters": [
        "nfkc", "lower", "simplified", "digits", "markers", "parts", "characters",
    ],
}  # fmt: skip


def dictionary():
    """jieba's words, the most frequent first."""
    import jieba

    lines = (Path(jieba.__file__).parent / "dict.txt").read_text(encoding="utf-8").splitlines()
    entries = sorted((line.split(" ") for line in lines), key=lambda entry: -int(entry[1]))
    return list(dict.fromkeys(entry[0] for entry in entries))


def latin(k):
    """A word of lower-case letters for each k, every twentieth with a number at its end."""
    letters = []
    rest = k + 26**3  # at least four letters
    while rest:
        rest, letter = divmod(rest, 26)
        letters.append(chr(97 + letter))
    return "".join(letters) + (str(k) if k % 20 == 0 else "")


def words_of_file(lines):
    """Half Chinese, half Latin, frequent ones first; the last 5,000 entries of the dictionary stay out."""
    chinese = dictionary()[:-ABSENT]
    words = []
    for k in range((lines + 1) // 2):
        words.append(chinese[k] if k < len(chinese) else f"{chinese[k % len(chinese)]}{k}")
        words.append(latin(k))
    return words[:lines]


def make_file(path, lines, dim):
    """Numbers of six digits out of a pool, as a Baidu-Baike file holds them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pool = np.array([f"{value:.6f}" for value in rng.normal(0, 0.35, 200_000)], object)
    words = words_of_file(lines)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{lines} {dim}\n")
        for start in range(0, lines, 5000):
            rows = pool[rng.integers(0, len(pool), (min(5000, lines - start), dim))].tolist()
            file.writelines(f"{word} {' '.join(row)}\n" for word, row in zip(words[start:], rows))


def vocabulary(lines, missing):
    """word → id, in no order; `missing` percent are not in the file."""
    known = words_of_file(lines)
    half = WANTED * missing // 200
    chosen = np.random.default_rng(1).permutation(len(known))[: WANTED - half].tolist()
    capitals = [k for k in chosen if k % 2][:half]  # the Latin ones
    spelled = dict(zip(chosen, (known[k] for k in chosen))) | {k: known[k].upper() for k in capitals}
    return {word: k for k, word in enumerate(dict.fromkeys([*spelled.values(), *dictionary()[-half:]]), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=636_013)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--missing", type=int, nargs="+", default=[5, 20], help="percent of the words, up to 20")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    path = WORK / f"fallbacks-{args.lines}x{args.dim}.txt"
    if not path.exists():
        make_file(path, args.lines, args.dim)
    import w2v_embed.readers.scan.kernels  # noqa: F401 (compiled before the clock runs)

    print(f"{path.name} ({path.stat().st_size / 1e9:.2f} GB), {args.rounds} rounds, {os.cpu_count()} cores")
    for missing in args.missing:
        table(path, vocabulary(args.lines, missing), missing, args.rounds)
    print(f"\npeak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def table(path, index, missing, rounds):
    choices = {"(none)": [], **CHOICES}
    seconds = {name: [] for name in choices}
    found = {}
    for round_ in range(rounds + 1):
        for name, fallbacks in random.sample(list(choices.items()), len(choices)):
            gc.collect()  # what the run before left is not this one's
            start = time.perf_counter()
            em = build_matrix(path, index, fallbacks=fallbacks)
            if round_:  # the first warms the file cache, and loads OpenCC's dictionaries
                seconds[name].append(time.perf_counter() - start)
            found[name] = len(em.coverage.found)
            del em
    plain, least = statistics.median(seconds["(none)"]), min(seconds["(none)"])
    print(f"\n{len(index):,} words, {missing} % of them missing:\n")
    print("| fallbacks | found | seconds | of plain selection | least seconds | of plain selection's |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"| {name} | {found[name]:,} | {middle:.3f} | {middle / plain:.2f} ", end="")
        print(f"| {min(times):.3f} | {min(times) / least:.2f} |")


if __name__ == "__main__":
    main()
