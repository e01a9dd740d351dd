"""`w2v-embed encode` and `w2v-embed similar`: vectors of the lines of a file, and the lines most like a text."""

import os
from pathlib import Path

from ..shown import shown
from .console import on_terminal, one_of, say, whole

_MERGES = ("sum", "mean", "concat", "last", "first_last")
_POOLINGS = ("mean", "max", "mean_max", "cls")


def add_encode(commands):
    """Add `encode` to the subparsers of the command line."""
    command = commands.add_parser(
        "encode",
        help="turn texts into vectors by a BERT, NEZHA or XLNet",
        description="Turn each line of a file into a vector. Run again after a break, it goes on where it was.",
    )
    command.add_argument(
        "model", metavar="MODEL", help="folder of a trained model, or prefix of a TensorFlow checkpoint"
    )
    command.add_argument("texts", metavar="TEXTS", help="file with one text a line")
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="the .npy file to write")
    _add_options(command)
    command.set_defaults(run=run_encode, files=_files_of_encode)


def add_similar(commands):
    """Add `similar` to the subparsers of the command line."""
    command = commands.add_parser(
        "similar",
        help="find the lines of a file that are most like a text",
        description="Print the lines of a file that are most like a text, with their cosines.",
    )
    command.add_argument(
        "model", metavar="MODEL", help="folder of a trained model, or prefix of a TensorFlow checkpoint"
    )
    command.add_argument("query", metavar="QUERY", help="a text or a word")
    command.add_argument("texts", metavar="TEXTS", help="file with one text (or word) a line")
    command.add_argument("-n", type=whole(1), default=10, help="how many lines to print (%(default)s)")
    command.add_argument(
        "--whiten", type=whole(1), metavar="DIM", help="whiten the vectors of the file and keep DIM columns"
    )
    _add_options(command)
    command.set_defaults(run=run_similar, files=lambda args: ([("TEXTS", args.texts)], []))


def _files_of_encode(args):
    output = os.path.realpath(args.output)
    written = [("--output", f"{output}{suffix}") for suffix in (".part", ".part.json")]
    return [("TEXTS", args.texts), ("MODEL", args.model)], [("--output", args.output), *written]


def run_encode(args):
    """Run `encode`: write the .npy file and say what it holds."""
    texts = _Lines(args.texts)
    encoder = _encoder(args.model)
    try:
        vectors = encoder.encode(texts, output=args.output, **_options(args))
    except KeyboardInterrupt:
        part = f"{args.output}.part"
        raise KeyboardInterrupt(f"the same command goes on from {part}" if Path(part).exists() else "") from None
    if not args.quiet:
        say(f"{args.output}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} numbers (float32)")


def run_similar(args):
    """Run `similar`: print cosine and text of the nearest lines, the most similar first."""
    from ..contextual import cosine, fit_whitening

    texts = list(_Lines(args.texts))
    vectors = _encoder(args.model).encode([args.query, *texts], **_options(args))
    if args.whiten is not None:
        vectors = fit_whitening(vectors[1:], args.whiten)(vectors)
    cosines = cosine(vectors[:1], vectors[1:])[0]
    for place in (-cosines).argsort(kind="stable")[: args.n]:
        say(f"{cosines[place]:7.4f}  {shown(texts[place])}")


def _add_options(command):
    command.add_argument(
        "--layers", type=int, nargs="+", default=[-2], metavar="N", help="0 embeddings, 1 first, -1 last layer (-2)"
    )
    command.add_argument(
        "--merge", type=one_of(*_MERGES), default="sum", help=f"of layers: {', '.join(_MERGES)} (%(default)s)"
    )
    command.add_argument(
        "--pooling", type=one_of(*_POOLINGS), default="mean", help=f"of tokens: {', '.join(_POOLINGS)} (%(default)s)"
    )
    command.add_argument("--no-special-tokens", action="store_true", help="leave [CLS] and [SEP] out of the pooling")
    command.add_argument("--batch-size", type=whole(1), default=32, metavar="N", help="(%(default)s)")
    command.add_argument(
        "--max-length", type=whole(1), metavar="N", help="cut texts at so many tokens (what the model takes)"
    )
    command.add_argument(
        "--stride", type=whole(1), metavar="N", help="do not cut: windows that begin so many tokens apart"
    )
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")


def _options(args):
    return {
        "layers": args.layers,
        "merge": args.merge,
        "pooling": args.pooling,
        "special_tokens": not args.no_special_tokens,
        "batch_size": args.batch_size,
        "max_length": args.max_length,
        "stride": args.stride,
        "progress": True if on_terminal() and not args.quiet else None,
    }


def _encoder(model):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster products of matrices where it is not the default
    from ..contextual import ContextualEncoder

    return ContextualEncoder.from_pretrained(model)


class _Lines:
    """The lines of a text file, read as they are asked for: a corpus need not fit into memory."""

    def __init__(self, path):
        self._path = path
        with open(path, "rb"):
            pass  # a missing file is told before the model is loaded

    def __iter__(self):
        with open(self._path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield line.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise ValueError(f"{self._path}, line {number}: expected UTF-8, got {error}") from error
