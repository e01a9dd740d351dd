"""`w2v-embed encode`: vectors of the lines of a file."""

from __future__ import annotations

import os
from pathlib import Path

from .arguments import Args, Commands, add_examples
from .console import Named, say
from .encoder import Lines, add_model, add_options, load, options


def add(commands: Commands) -> None:
    """Add `encode` to the subparsers of the command line."""
    command = commands.add_parser(
        "encode",
        help="turn texts into vectors by a BERT, NEZHA or XLNet",
        description="Turn each line of a file into a vector. Run again after a break, it goes on where it was.",
    )
    add_model(command)
    command.add_argument("texts", metavar="TEXTS", help="file with one text a line")
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="the .npy file to write")
    add_options(command)
    add_examples(command, "w2v-embed encode bert-base-chinese/ titles.txt -o titles.npy")
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read, and those that are written, some of them for a while."""
    output = os.path.realpath(args.output)
    written = [("--output", f"{output}{suffix}") for suffix in (".part", ".part.json")]
    return [("TEXTS", args.texts), ("MODEL", args.model)], [("--output", args.output), *written]


def run(args: Args) -> None:
    """Write the .npy file and say what it holds."""
    texts = Lines(args.texts)
    encoder = load(args)
    try:
        vectors = encoder.encode(texts, output=args.output, **options(args))
    except KeyboardInterrupt:
        part = f"{args.output}.part"
        raise KeyboardInterrupt(f"the same command goes on from {part}" if Path(part).exists() else "") from None
    if not args.quiet:
        say(f"{args.output}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} numbers (float32)")
