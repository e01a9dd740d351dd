"""`w2v-embed convert`: the same vectors in another format."""

from __future__ import annotations

import time

from .arguments import Args, Commands, add_examples, add_reading, reading
from .console import Named, say


def add(commands: Commands) -> None:
    """Add `convert` to the subparsers of the command line."""
    command = commands.add_parser(
        "convert", help="write vectors in another format", description="Write vectors in another format."
    )
    command.add_argument("vectors", metavar="IN")
    command.add_argument(
        "output",
        metavar="OUT",
        help=".txt or .vec (word2vec text), .bin (binary), each also .gz .bz2 .xz .zst .zip; .safetensors",
    )
    add_reading(command)
    add_examples(
        command,
        "w2v-embed convert sgns.baidubaike.bz2 sgns.bin",
        "w2v-embed convert model.kv model.safetensors --trust",
    )
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The file that is read, and the one that is written."""
    return [("IN", args.vectors)], [("OUT", args.output)]


def run(args: Args) -> None:
    """Convert, and say how much it was."""
    from ..readers.conversion import convert

    start = time.perf_counter()
    rows, dim, _ = convert(args.vectors, args.output, **reading(args))
    if not args.quiet:
        say(f"{args.output}: {rows:,} words × {dim}, written in {time.perf_counter() - start:.1f} s")
