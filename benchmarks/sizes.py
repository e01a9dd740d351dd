"""Selection over numbers a word and wanted words: python benchmarks/sizes.py [--rounds N]

1.4 million words of 25, 50 and 100 numbers and 636,013 of 300, as text, from which 1,000 words up to all are taken. Each
measurement is a process of its own; each round reads the file with `cat`, too. Figures: wall as a multiple of `cat`'s, and
processor seconds; page.py tells them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from page import Column, Table, versions
from run import WORK, tell, whole_process, word

WORDS = {25: 1_400_000, 50: 1_400_000, 100: 1_400_000, 300: 636_013}
WANTED = (1_000, 10_000, 100_000, 636_013, 1_400_000)


def write_text(path, words, dim):
    """Vectors with six decimals, drawn."""
    if path.exists():
        return
    tell(f"writing {path.name}")
    rng = np.random.default_rng(dim)
    decimals = np.array([f"{v:.6f}" for v in rng.normal(0, 0.35, 1 << 18)], object)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{words} {dim}\n")
        for start in range(0, words, 10_000):
            rows = decimals[rng.integers(0, len(decimals), (min(10_000, words - start), dim))].tolist()
            file.writelines(f"{word(start + k)} {' '.join(row)}\n" for k, row in enumerate(rows))


def select(path, wanted, words):
    """In this process: prints wall and processor seconds of the second of two calls."""
    from w2v_embed import build_matrix

    picks = np.random.default_rng(0).permutation(words)[: int(wanted)]
    index = {word(k): row for row, k in enumerate(picks.tolist(), 1)}
    for _ in range(2):
        start, cpu = time.perf_counter(), time.process_time()
        em = build_matrix(path, index)
        seconds = time.perf_counter() - start, time.process_time() - cpu
        assert len(em.coverage.found) == len(index)
        del em
    print(json.dumps(seconds))


def measure(path, wanted, words):
    command = [sys.executable, __file__, "--select", path, wanted, words]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--select", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.select:
        path, wanted, words = args.select
        select(Path(path), int(wanted), int(words))
        return
    columns = [Column("× cat"), Column("CPU s")]
    for dim, words in WORDS.items():
        path = WORK / (f"vectors-{words}.txt" if dim == 300 else f"vectors-{words}x{dim}.txt")
        write_text(path, words, dim)
        rounds = {wanted: [] for wanted in WANTED if wanted <= words}
        for _ in range(args.rounds):
            cat = whole_process(["cat", path])["seconds"]
            for wanted, results in rounds.items():
                wall, cpu = measure(path, wanted, words)
                results.append((wall / cat, cpu))
        setting = f"{words:,} words, text of {path.stat().st_size / 1e6:,.0f} MB"
        with Table(
            f"Selection of {dim} numbers a word", setting, columns, ["× cat", "CPU s"], versions("numpy")
        ) as page:
            for wanted, results in rounds.items():
                each = zip(*results)
                page.add(f"{wanted:,} words", *((statistics.median(r), min(r), max(r)) for r in each), ours=True)


if __name__ == "__main__":
    main()
