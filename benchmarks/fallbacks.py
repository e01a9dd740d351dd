"""What fallbacks cost on top of plain row selection.

    python benchmarks/fallbacks.py [--lines 636013] [--dim 300] [--rounds 5]

A word2vec text file of that many lines is made under benchmarks/.work and kept there: half jieba's dictionary, half Latin
letters, frequent words first. The vocabulary: 45,000 words of the file, every tenth in another case, and 5,000 Chinese words
that are not in it. Plain selection and selection with fallbacks take turns in this process, with the compiled code warm; each
ratio is of the medians.
"""

import argparse
import os
import resource
import statistics
import time
from pathlib import Path

import numpy as np

from w2v_embed import build_matrix

WORK = Path(__file__).parent / ".work"
WANTED, ABSENT = 45_000, 5_000
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


def vocabulary(lines):
    """word → id: 45,000 words of the file, every tenth spelled otherwise, and 5,000 that are not in it."""
    known = words_of_file(lines)
    chosen = np.random.default_rng(1).choice(len(known), min(WANTED, len(known)), replace=False)
    words = [known[k].upper() if k % 10 == 1 else known[k] for k in chosen.tolist()]
    return {word: k for k, word in enumerate(dict.fromkeys([*words, *dictionary()[-ABSENT:]]), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=636_013)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    path = WORK / f"fallbacks-{args.lines}x{args.dim}.txt"
    if not path.exists():
        make_file(path, args.lines, args.dim)
    index = vocabulary(args.lines)
    choices = {"(none)": [], **CHOICES}
    seconds = {name: [] for name in choices}
    found = {}
    import w2v_embed.readers.kernels  # noqa: F401 (compiled before the clock runs)

    for round_ in range(args.rounds + 1):
        for name, fallbacks in choices.items():
            start = time.perf_counter()
            em = build_matrix(path, index, fallbacks=fallbacks)
            if round_:  # the first warms the file cache, and loads OpenCC's dictionaries
                seconds[name].append(time.perf_counter() - start)
            found[name] = len(em.coverage.found)
            del em
    plain = statistics.median(seconds["(none)"])
    size = path.stat().st_size / 1e9
    print(f"{path.name} ({size:.2f} GB), {len(index):,} words, {args.rounds} rounds, {os.cpu_count()} cores\n")
    print("| fallbacks | found | seconds | of plain selection |")
    print("| --- | ---: | ---: | ---: |")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"| {name} | {found[name]:,} | {middle:.3f} | {middle / plain:.2f} |")
    print(f"\npeak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
