"""`w2v-embed index`: where each word lies in a vector file, kept beside it."""

from __future__ import annotations

import time

from .arguments import Args, Commands, add_examples, add_quiet, one_of, progress
from .console import Named, say


def add(commands: Commands) -> None:
    """Add `index` to the subparsers of the command line."""
    told = "Note beside a file of word vectors where each word lies, so that builds fetch rows and search no more."
    command = commands.add_parser("index", help="make builds out of a file quicker", description=told)
    command.add_argument("vectors", metavar="FILE", help="text or word2vec's binary format, not packed, or its URL")
    command.add_argument(
        "--folder", metavar="FOLDER", help="where the index goes (beside FILE); for a URL it is needed"
    )
    names = ("text", "binary")
    command.add_argument(
        "--format", type=one_of(*names), metavar="NAME", help=f"{', '.join(names)} (found from the content)"
    )
    add_quiet(command)
    add_examples(command, "w2v-embed index glove.6B.300d.txt")
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The file that is read, and its index."""
    from ..readers.sidecar import index_path

    return [("FILE", args.vectors)], [("its index", str(index_path(args.vectors, args.folder)))]


def run(args: Args) -> None:
    """Make the index, and say how much it is."""
    from ..readers.sidecar import make_index

    start = time.perf_counter()
    path, words = make_index(args.vectors, format=args.format, progress=progress(args), folder=args.folder)
    if not args.quiet:
        size, seconds = path.stat().st_size / 1e6, time.perf_counter() - start
        say(f"{path}: {words:,} words, {size:.1f} MB, made in {seconds:.1f} s")
