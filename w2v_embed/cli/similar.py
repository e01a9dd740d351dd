"""`w2v-embed similar`: the lines of a file that are most like a text."""

from __future__ import annotations

from ..shown import shown
from .arguments import Args, Commands, add_examples, whole
from .console import Named, say
from .encoder import Lines, add_model, add_options, load, options


def add(commands: Commands) -> None:
    """Add `similar` to the subparsers of the command line."""
    command = commands.add_parser(
        "similar",
        help="find the lines of a file that are most like a text",
        description="Print the lines of a file that are most like a text, with their cosines.",
    )
    add_model(command)
    command.add_argument("query", metavar="QUERY", help="a text or a word")
    command.add_argument("texts", metavar="TEXTS", help="file with one text (or word) a line")
    command.add_argument("-n", type=whole(1), default=10, help="how many lines to print (%(default)s)")
    command.add_argument(
        "--whiten", type=whole(1), metavar="DIM", help="whiten the vectors of the file and keep DIM columns"
    )
    add_options(command)
    add_examples(command, 'w2v-embed similar bert-base-chinese/ "a text" titles.txt')
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The file that is read."""
    return [("TEXTS", args.texts)], []


def run(args: Args) -> None:
    """Print cosine and text of the nearest lines, the most similar first."""
    from ..contextual import cosine, fit_whitening

    texts = list(Lines(args.texts))
    vectors = load(args).encode([args.query, *texts], **options(args))
    if args.whiten is not None:
        vectors = fit_whitening(vectors[1:], args.whiten)(vectors)
    cosines = cosine(vectors[:1], vectors[1:])[0]
    for place in (-cosines).argsort(kind="stable")[: args.n]:
        say(f"{cosines[place]:7.4f}  {shown(texts[place])}")
