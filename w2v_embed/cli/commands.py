"""The commands: their arguments, and what they do with them."""

import json
import logging
import time
from pathlib import Path

from .. import __version__
from ..matrix.fallbacks import NAMES
from ..output import BusyError
from ..shown import json_text, shown
from .console import (
    Outputs,
    Parser,
    UsageError,
    Warnings,
    check_apart,
    complain,
    encodable,
    encoding,
    finish,
    on_terminal,
    one_of,
    say,
    whole,
)
from .contextual import add_encode, add_similar

_BAD_INPUT = (ValueError, TypeError, OSError, ImportError, MemoryError)


def run(argv, pressed=()):
    """See `cli.main`. `pressed` holds something once Ctrl-C was."""
    outputs = Outputs([])
    try:
        try:
            args = _parser().parse_args(argv)
        finally:  # also where it printed what was asked for, and ends
            finish()
        logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[Warnings()])
        inputs, to_write = args.files(args)
        outputs = Outputs([path for _, path in to_write])
        check_apart(inputs, to_write)
        args.run(args)
        finish()
    except BaseException as error:
        written = "" if isinstance(error, BusyError) else ", ".join(map(str, outputs.written()))
        if pressed or isinstance(error, KeyboardInterrupt):
            told = str(error) if isinstance(error, KeyboardInterrupt) else ""
            left = f"{written} was written, nothing else" if written else "no output was written"
            complain(f"w2v-embed: stopped; {told or left}")
            return 130
        if not isinstance(error, (*_BAD_INPUT, UsageError)):
            raise
        complain(f"w2v-embed: {shown(_told(error))}{f' (written before that: {written})' if written else ''}")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _told(error):
    """An error as a sentence: the system's own ones without their number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}. Fewer words or rows take less (--num-words)"
    return str(error) or type(error).__name__


def _parser():
    parser = Parser(prog="w2v-embed", description="Pretrained word vectors → the matrix for your word_index.")
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
    build.add_argument("--num-words", type=whole(1), metavar="N", help="rows of the matrix: leave out ids from N on")
    _choice(build, "--oov", ("zeros", "normal", "mean"), help="rows of unknown words (%(default)s)")
    build.add_argument("--seed", type=whole(0), default=0, help="of --oov normal (%(default)s)")
    _choice(build, "--dtype", ("float32", "float16", "float64"), help="(%(default)s)")
    build.add_argument(
        "--fallback",
        action="append",
        default=[],
        type=one_of(*NAMES),
        metavar="NAME",
        help="where else to look for words that are not found; repeat it, the order counts: " + ", ".join(NAMES),
    )
    build.add_argument(
        "--counts", metavar="FILE", help="how often words occur: .json (word → count), or a text in UTF-8"
    )
    _choice(build, "--split", ("whitespace", "jieba"), help="of a text of --counts")
    build.add_argument("--report", metavar="FILE.html", help="write a page about the coverage, with pictures")
    build.add_argument("--cache-dir", metavar="FOLDER", help="keep built matrices here, and take them from here")
    _add_reading(build)
    build.set_defaults(run=_build, files=_files_of_build)

    vocab = commands.add_parser(
        "vocab", help="make a word index out of texts", description="Make a word index out of texts."
    )
    vocab.add_argument("corpus", nargs="+", metavar="CORPUS", help="texts, plain or compressed, one a line")
    vocab.add_argument("-o", "--output", required=True, help="word index to write: .json")
    _choice(vocab, "--split", ("whitespace", "jieba"), help="(%(default)s)")
    vocab.add_argument("--min-count", type=int, default=1, metavar="N", help="leave out rarer words (%(default)s)")
    vocab.add_argument("--num-words", type=whole(1), metavar="N", help="ids stay below N")
    vocab.add_argument("--special", action="append", default=[], metavar="TOKEN", help="words to come first; repeat it")
    vocab.add_argument("--counts", metavar="FILE", help="counts to write (the output's name with .counts.json)")
    vocab.add_argument("--encoding", type=encoding, default="utf-8", help="of the texts (%(default)s)")
    vocab.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")
    vocab.set_defaults(run=_vocab, files=_files_of_vocab)

    inspect = commands.add_parser(
        "inspect", help="say what a file is", description="Say what a file of word vectors is."
    )
    inspect.add_argument("vectors", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    _add_reading(inspect)
    _add_trust(inspect)
    inspect.set_defaults(run=_inspect, files=_files_of_inspect)

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
    convert.set_defaults(run=_convert, files=_files_of_convert)

    add_encode(commands)
    add_similar(commands)
    return parser


def _choice(command, flag, names, **options):
    """An argument out of `names`, of which the first is the default."""
    metavar = "{" + ",".join(names) + "}"
    command.add_argument(flag, type=one_of(*names), default=names[0], metavar=metavar, **options)


def _add_trust(command):
    command.add_argument(
        "--trust", action="store_true", help="read gensim's own files: Python pickles, which can run code"
    )


def _add_reading(command):
    command.add_argument("--encoding", type=encoding, default="utf-8", help="of the words (%(default)s)")
    _choice(command, "--on-error", ("raise", "skip"), help="what to do at a damaged line (%(default)s)")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")


def _progress(args):
    """A bar for people, silence for pipes."""
    return True if on_terminal() and not args.quiet else None


def _given(*pairs):
    return [(name, path) for name, path in pairs if path]


def _files_of_build(args):
    """(files that are read, files that are written), as (name of the argument, path)."""
    inputs = _given(
        *(("VECTORS", path) for path in args.vectors), ("WORD_INDEX", args.word_index), ("--counts", args.counts)
    )
    return inputs, _given(("--output", args.output), ("--report", args.report))


def _build(args):
    from ..corpus import read_counts
    from ..matrix.build import build_matrix
    from ..reports.report import check_report
    from ..store import check_output

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
        say(matrix.coverage.summary(counts=counts))
        seconds = time.perf_counter() - start
        padding = "row 0 is padding" if matrix.padding_row == 0 else "no padding row"
        say(f"{args.output}: {rows:,} rows × {dim} ({args.dtype}, {padding}), made in {seconds:.1f} s")


def _files_of_vocab(args):
    args.counts = args.counts or str(Path(args.output).with_suffix(".counts.json"))
    return [("CORPUS", path) for path in args.corpus], [("--output", args.output), ("--counts", args.counts)]


def _vocab(args):
    from ..corpus import count_words, make_word_index
    from ..store import check_json, write_json

    check_json(args.output)
    check_json(args.counts)
    counts = count_words(args.corpus, split=args.split, encoding=args.encoding, progress=_progress(args))
    word_index = make_word_index(
        counts, min_count=args.min_count, num_words=args.num_words, special_tokens=args.special
    )
    if not any(word in counts for word in word_index):
        raise ValueError(
            f"{', '.join(args.corpus)}: no word occurs {args.min_count} times or more, so the word index would be empty"
        )
    write_json(args.output, word_index)
    write_json(args.counts, {word: counts[word] for word in word_index if word in counts})
    if not args.quiet:
        tokens = sum(counts.values())
        share = sum(counts[word] for word in word_index) / max(tokens, 1)
        say(f"{tokens:,} tokens, {len(counts):,} words; {len(word_index):,} kept: {share:.1%} of the tokens")
        say(f"{args.output}: word → id; {args.counts}: word → count")


def _files_of_inspect(args):
    return [("FILE", args.vectors)], []


def _inspect(args):
    from ..readers.inspection import inspect

    facts = inspect(args.vectors, encoding=args.encoding, on_error="skip", progress=_progress(args), trust=args.trust)
    if args.json:
        text = json_text(facts, indent=2)
        say(text if encodable(text) else json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            say(f"{name:<13} {_line_of(value)}")
    if facts["damage"] and args.on_error == "raise":
        kinds = ", ".join(f"{count} × {kind}" for kind, count in facts["damage"].items())
        raise ValueError(
            f"{args.vectors} is damaged: {kinds}. With --on-error skip this is no error, and the rest can be used."
        )


def _line_of(value):
    """A value of `inspect` for people."""
    if isinstance(value, dict):
        return "; ".join(f"{shown(key)}: {_line_of(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(" ".join(map(shown, inner)) if isinstance(inner, list) else shown(inner) for inner in value)
    return shown(value)


def _files_of_convert(args):
    return [("IN", args.vectors)], [("OUT", args.output)]


def _convert(args):
    from ..readers.conversion import convert

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
        say(f"{args.output}: {rows:,} words × {dim}, written in {time.perf_counter() - start:.1f} s")
