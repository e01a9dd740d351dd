"""The command line: `w2v-embed build`, `vocab`, `inspect`, `convert`, `encode`, `similar`.

Exit codes: 0 done, 1 bad input, 2 bad usage.
"""

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from . import __version__
from .contextual.commands import add_encode, add_similar
from .fallbacks import NAMES


def main(argv=None):
    """Run the command line; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        args.run(args)
        sys.stdout.flush()
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"w2v-embed: {_told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("w2v-embed: stopped; nothing was written", file=sys.stderr)
        return 1
    return 0


def _told(error):
    """An error as a sentence: the system's own ones without their number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _parser():
    parser = argparse.ArgumentParser(
        prog="w2v-embed", description="Pretrained word vectors → the matrix for your word_index."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    build = commands.add_parser(
        "build", help="make the matrix for a word index", description="Make the matrix for a word index."
    )
    build.add_argument(
        "vectors", nargs="+", metavar="VECTORS", help="file of word vectors; of several, an earlier one wins"
    )
    build.add_argument(
        "word_index", metavar="WORD_INDEX", help=".json (word → id, or a list) or .txt (one word a line)"
    )
    build.add_argument("-o", "--output", required=True, help="matrix to write: .safetensors, .npz or .npy")
    build.add_argument("--num-words", type=int, metavar="N", help="rows of the matrix: leave out ids from N on")
    build.add_argument(
        "--oov", choices=("zeros", "normal", "mean"), default="zeros", help="rows of unknown words (%(default)s)"
    )
    build.add_argument("--seed", type=int, default=0, help="of --oov normal (%(default)s)")
    build.add_argument("--dtype", choices=("float16", "float32", "float64"), default="float32", help="(%(default)s)")
    build.add_argument(
        "--fallback",
        action="append",
        default=[],
        metavar="NAME",
        help="where else to look for words that are not found; repeat it, the order counts: " + ", ".join(NAMES),
    )
    build.add_argument(
        "--counts", metavar="FILE", help="how often words occur: .json (word → count), or a text of them"
    )
    build.add_argument("--split", choices=("whitespace", "jieba"), default="whitespace", help="of a text of --counts")
    build.add_argument("--report", metavar="FILE.html", help="write a page about the coverage, with pictures")
    build.add_argument("--cache-dir", metavar="FOLDER", help="keep built matrices here, and take them from here")
    _add_reading(build)
    build.set_defaults(run=_build)

    vocab = commands.add_parser(
        "vocab", help="make a word index out of texts", description="Make a word index out of texts."
    )
    vocab.add_argument("corpus", nargs="+", metavar="CORPUS", help="texts, plain or compressed, one a line")
    vocab.add_argument("-o", "--output", required=True, help="word index to write: .json")
    vocab.add_argument("--split", choices=("whitespace", "jieba"), default="whitespace", help="(%(default)s)")
    vocab.add_argument("--min-count", type=int, default=1, metavar="N", help="leave out rarer words (%(default)s)")
    vocab.add_argument("--num-words", type=int, metavar="N", help="ids stay below N")
    vocab.add_argument("--special", action="append", default=[], metavar="TOKEN", help="words to come first; repeat it")
    vocab.add_argument("--counts", metavar="FILE", help="counts to write (the output's name with .counts.json)")
    vocab.add_argument("--encoding", default="utf-8", help="of the texts (%(default)s)")
    vocab.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")
    vocab.set_defaults(run=_vocab)

    inspect = commands.add_parser(
        "inspect", help="say what a file is", description="Say what a file of word vectors is."
    )
    inspect.add_argument("vectors", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    _add_reading(inspect)
    _add_trust(inspect)
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser(
        "convert", help="write vectors in another format", description="Write vectors in another format."
    )
    convert.add_argument("vectors", metavar="IN")
    convert.add_argument(
        "output",
        metavar="OUT",
        help=".txt or .vec (word2vec text), .bin (binary), each also .gz .bz2 .xz .zst .zip; .safetensors",
    )
    _add_reading(convert)
    _add_trust(convert)
    convert.set_defaults(run=_convert)

    add_encode(commands)
    add_similar(commands)
    return parser


def _add_trust(command):
    command.add_argument(
        "--trust", action="store_true", help="read gensim's own files: Python pickles, which can run code"
    )


def _add_reading(command):
    command.add_argument("--encoding", default="utf-8", help="of the words (%(default)s)")
    command.add_argument(
        "--on-error", choices=("raise", "skip"), default="raise", help="what to do at a damaged line (%(default)s)"
    )
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")


def _progress(args):
    """A bar for people, silence for pipes."""
    return True if sys.stderr.isatty() and not args.quiet else None


def _build(args):
    from .corpus import read_counts
    from .matrix import build_matrix
    from .report import check_report
    from .store import check_output

    check_output(args.output)  # before minutes of reading, not after
    counts = None
    if args.report:
        check_report(args.report)
    if args.counts:
        counts = read_counts(args.counts, split=args.split)
    start = time.perf_counter()
    matrix = build_matrix(
        args.vectors,
        args.word_index,
        num_words=args.num_words,
        oov=args.oov,
        seed=args.seed,
        dtype=args.dtype,
        encoding=args.encoding,
        on_error=args.on_error,
        progress=_progress(args),
        fallbacks=args.fallback,
        suggest=bool(args.report),
        cache_dir=args.cache_dir,
    )
    matrix.save(args.output)
    if args.report:
        matrix.write_report(args.report, counts=counts)
    if not args.quiet:
        rows, dim = matrix.shape
        print(matrix.coverage.summary(counts=counts))
        seconds = time.perf_counter() - start
        padding = "row 0 is padding" if matrix.padding_row == 0 else "no padding row"
        print(f"{args.output}: {rows:,} rows × {dim} ({args.dtype}, {padding}), made in {seconds:.1f} s")


def _vocab(args):
    from .corpus import count_words, make_word_index
    from .store import write_json

    counts_file = args.counts or str(Path(args.output).with_suffix(".counts.json"))
    counts = count_words(args.corpus, split=args.split, encoding=args.encoding, progress=_progress(args))
    word_index = make_word_index(
        counts, min_count=args.min_count, num_words=args.num_words, special_tokens=args.special
    )
    write_json(args.output, word_index)
    write_json(counts_file, {word: counts[word] for word in word_index if word in counts})
    if not args.quiet:
        tokens = sum(counts.values())
        share = sum(counts[word] for word in word_index) / max(tokens, 1)
        print(f"{tokens:,} tokens, {len(counts):,} words; {len(word_index):,} kept: {share:.1%} of the tokens")
        print(f"{args.output}: word → id; {counts_file}: word → count")


def _inspect(args):
    from .inspection import inspect

    facts = inspect(args.vectors, encoding=args.encoding, on_error="skip", progress=_progress(args), trust=args.trust)
    if args.json:
        print(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name:<13} {_line_of(value)}")
    if facts["damage"] and args.on_error == "raise":
        sys.stdout.flush()
        kinds = ", ".join(f"{count} × {kind}" for kind, count in facts["damage"].items())
        raise ValueError(
            f"{args.vectors} is damaged: {kinds}. With --on-error skip this is no error, and the rest can be used."
        )


def _line_of(value):
    """A value of `inspect` for people."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_line_of(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(" ".join(map(str, inner)) if isinstance(inner, list) else str(inner) for inner in value)
    return str(value)


def _convert(args):
    from .conversion import convert

    start = time.perf_counter()
    rows, dim, _ = convert(
        args.vectors,
        args.output,
        encoding=args.encoding,
        on_error=args.on_error,
        progress=_progress(args),
        trust=args.trust,
    )
    if not args.quiet:
        print(f"{args.output}: {rows:,} words × {dim}, written in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
