"""What fallbacks cost on top of plain row selection.

    python benchmarks/fallbacks.py [--lines 636013] [--dim 300] [--missing 5 20] [--rounds 15] [--binary] [--before CHECKOUT]

A word2vec file of that many lines is made under benchmarks/.work and kept there: half jieba's dictionary, half Latin letters,
frequent words first. The vocabulary: 50,000 words, of which so many percent are missing, one half because they are in capitals,
the other Chinese words that are not in the file; what fallbacks cost depends on it. Plain selection and selection with
fallbacks take turns in one process, in an order that is drawn, with the compiled code warm; ratios are of medians, and of the
least times, which other work on the machine disturbs less.

With `--before`, another checkout of this project does the same in a process of its own, in turn with this one; what comes on
top of plain selection is then held against that of the other, too.
"""

import argparse
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from page import Column, Table, versions

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
    """Numbers of six digits out of a pool, as a Baidu-Baike file holds them; in a .bin those numbers as word2vec's binary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pool = np.array([f"{value:.6f}" for value in rng.normal(0, 0.35, 200_000)], object)
    words = words_of_file(lines)
    values = pool.astype("<f4")
    with open(path, "wb") as file:
        file.write(b"%d %d\n" % (lines, dim))
        for start in range(0, lines, 5000):
            picks = rng.integers(0, len(pool), (min(5000, lines - start), dim))
            if path.suffix == ".bin":
                rows = (row.tobytes() for row in values[picks])
            else:
                rows = (" ".join(row).encode() for row in pool[picks].tolist())
            file.writelines(b"%b %b\n" % (word.encode(), row) for word, row in zip(words[start:], rows))


def vocabulary(lines, missing):
    """word → id, in no order; `missing` percent are not in the file."""
    known = words_of_file(lines)
    half = WANTED * missing // 200
    chosen = np.random.default_rng(1).permutation(len(known))[: WANTED - half].tolist()
    capitals = [k for k in chosen if k % 2][:half]  # the Latin ones
    spelled = dict(zip(chosen, (known[k] for k in chosen))) | {k: known[k].upper() for k in capitals}
    return {word: k for k, word in enumerate(dict.fromkeys([*spelled.values(), *dictionary()[-half:]]), 1)}


class Builder:
    """A process that builds with the package of one checkout: where several take turns, each has its own."""

    def __init__(self, checkout, path, lines):
        command = [sys.executable, __file__, "--build", path, "--lines", str(lines)]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, missing, fallbacks):
        """Build once → dict of the seconds, those of the CPU, how many words were found, and the peak memory in MB."""
        print(json.dumps([missing, fallbacks]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.communicate()


def serve(path, lines):
    """Be the process of a `Builder`."""
    from w2v_embed import build_matrix

    indices = {}
    for line in sys.stdin:
        missing, fallbacks = json.loads(line)
        if missing not in indices:
            indices[missing] = vocabulary(lines, missing)
        gc.collect()  # what the run before left is not this one's
        start, cpu = time.perf_counter(), time.process_time()
        em = build_matrix(path, indices[missing], fallbacks=fallbacks)
        run = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**run, "found": len(em.coverage.found), "peak": peak}), flush=True)
        del em


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=636_013)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--missing", type=int, nargs="+", default=[5, 20], help="percent of the words, up to 20")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--binary", action="store_true", help="a file of word2vec's binary format")
    parser.add_argument("--before", type=Path, help="another checkout of this project, to hold this one against")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)  # of this file, as told on stdin
    args = parser.parse_args()
    if args.build:
        serve(args.build, args.lines)
        return
    path = WORK / f"fallbacks-{args.lines}x{args.dim}.{'bin' if args.binary else 'txt'}"
    if not path.exists():
        make_file(path, args.lines, args.dim)
    print(f"{path.name} ({path.stat().st_size / 1e9:.2f} GB), {args.rounds} rounds, {os.cpu_count()} cores")
    checkouts = {"now": Path(__file__).parent.parent} | ({"before": args.before.resolve()} if args.before else {})
    builders = {when: Builder(checkout, path, args.lines) for when, checkout in checkouts.items()}
    peak = {}
    for missing in args.missing:
        runs = measure(builders, missing, args.rounds)
        peak = {when: max(run["peak"] for run in runs[when, name]) for when, name in runs}
        table(runs, missing, f"{path.name}, {path.stat().st_size / 1e9:.2f} GB")
        if args.before:
            compare(runs)
    for builder in builders.values():
        builder.close()
    print("\npeak memory: " + ", ".join(f"{mb:.0f} MB ({when})" for when, mb in peak.items()))


def measure(builders, missing, rounds):
    """All choices in turn: dict (when, name) → list of what `Builder` returns."""
    choices = {"(none)": [], **CHOICES}
    runs = {(when, name): [] for when in builders for name in choices}
    for round_ in range(rounds + 1):
        for name in random.sample(list(choices), len(choices)):
            for when in random.sample(list(builders), len(builders)):
                run = builders[when](missing, choices[name])
                if round_:  # the first compiles, warms the file cache, and loads OpenCC's dictionaries
                    runs[when, name].append(run)
    return runs


def times_of(runs, when, what, how):
    """dict name of a choice → its time, `how` being the median or the least of its runs."""
    return {name: how(run[what] for run in some) for (of, name), some in runs.items() if of == when}


def table(runs, missing, setting):
    middle, least = (times_of(runs, "now", "seconds", how) for how in (statistics.median, min))
    most = times_of(runs, "now", "seconds", max)
    columns = [Column("found", ",.0f", None), Column("seconds", ".3f"), Column("× plain"), Column("least × plain")]
    title = f"Fallbacks, {missing} % of {WANTED:,} words missing"
    with Table(title, setting, columns, ["seconds"], versions("numpy", "OpenCC")) as page:
        for name in middle:
            seconds = (middle[name], least[name], most[name])
            ratios = middle[name] / middle["(none)"], least[name] / least["(none)"]
            page.add(name, runs["now", name][-1]["found"], seconds, *ratios, ours=True)


def compare(runs):
    """Now against before: whole builds, and what they take beyond plain selection."""
    print(
        "\n| now / before | median of seconds | beyond plain selection | least CPU seconds | beyond plain selection |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    both = [
        [times_of(runs, when, *how) for when in ("now", "before")]
        for how in (("seconds", statistics.median), ("cpu", min))
    ]
    for name in both[0][0]:
        print(f"| {name} ", end="")
        for now, before in both:
            beyond, beyond_before = now[name] - now["(none)"], before[name] - before["(none)"]
            print(f"| {now[name] / before[name]:.3f} ", end="")
            print("| " if name == "(none)" else f"| {beyond / beyond_before:.2f} ({1000 * beyond:.0f} ms) ", end="")
        print("|")


if __name__ == "__main__":
    main()
