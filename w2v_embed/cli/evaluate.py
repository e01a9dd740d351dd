"""`w2v-embed evaluate`: how good word vectors are at word similarity and analogies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..shown import shown
from .arguments import Args, Commands, add_examples, add_reading, reading, whole
from .console import Named, UsageError, say, say_json


def add(commands: Commands) -> None:
    """Add `evaluate` to the subparsers of the command line."""
    told = "Judge word vectors by word similarity and analogies."
    command = commands.add_parser("evaluate", help=told[0].lower() + told[1:-1], description=told)
    command.add_argument(
        "vectors", nargs="+", metavar="VECTORS", help="files of word vectors: a line of the table each"
    )
    pairs = "word, word, how alike they are: WordSim-353, SimLex-999 …; repeat it for more"
    command.add_argument("--pairs", action="append", default=[], metavar="FILE", help=pairs)
    questions = "': category' and lines of four words: questions-words.txt, CA8 …; repeat it for more"
    command.add_argument("--analogies", action="append", default=[], metavar="FILE", help=questions)
    command.add_argument(
        "--restrict-vocab",
        type=whole(0),
        default=300_000,
        metavar="N",
        help="only the first N words of the vectors count, 0 for all (%(default)s)",
    )
    command.add_argument("--case-sensitive", action="store_true", help="words that differ in case alone are two")
    command.add_argument("--dummy4unknown", action="store_true", help="count what has unknown words as wrong")
    command.add_argument("--json", action="store_true", help="print JSON")
    add_reading(command)
    add_examples(command, "w2v-embed evaluate glove.txt --pairs wordsim353.tsv --analogies questions-words.txt")
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read."""
    given = (("VECTORS", args.vectors), ("--pairs", args.pairs), ("--analogies", args.analogies))
    return [(name, path) for name, paths in given for path in paths], []


def run(args: Args) -> None:
    """Judge each file, and print one table."""
    if not args.pairs and not args.analogies:
        raise UsageError("nothing to judge by: expected --pairs FILE or --analogies FILE")
    from ..evaluation.analogy import analogies
    from ..evaluation.files import read_analogies, read_pairs
    from ..evaluation.similarity import word_similarity
    from ..readers.remote import place_of

    for path in args.pairs:  # before minutes of reading, not after
        read_pairs(path, args.encoding)
    for path in args.analogies:
        read_analogies(path, args.encoding)
    options: dict[str, Any] = {
        "restrict_vocab": args.restrict_vocab or None,
        "case_insensitive": not args.case_sensitive,
        "dummy4unknown": args.dummy4unknown,
        **reading(args),
    }
    results = [
        {
            "vectors": name,
            "pairs": {path: word_similarity(vectors, path, **options).to_dict() for path in args.pairs},
            "analogies": {path: analogies(vectors, path, **options).to_dict() for path in args.analogies},
        }
        for name, vectors in (
            (name, place_of(name)) for name in args.vectors
        )  # which says so, if it can be read once only
    ]
    if args.json:
        say_json(results)
        return
    say("\n".join(_table(_overview(results, args))))
    for path in args.analogies:
        say("\n" + "\n".join(_table(_categories(results, path))))


def _overview(results, args):
    yield ["", *(Path(path).name for path in (*args.pairs, *args.analogies))]
    yield ["", *("Spearman (pairs)" for _ in args.pairs), *("3CosAdd, 3CosMul (questions)" for _ in args.analogies)]
    for result in results:
        pairs = [
            f"{_figure(one['spearman'])} ({one['covered']:,}/{one['pairs']:,})" for one in result["pairs"].values()
        ]
        yield [result["vectors"], *pairs, *map(_answered, result["analogies"].values())]


def _categories(results, path):
    yield [Path(path).name, *(result["vectors"] for result in results)]
    for name in results[0]["analogies"][path]["by_category"]:
        yield [name, *(_answered(result["analogies"][path]["by_category"][name]) for result in results)]


def _answered(one):
    add, mul = _figure(one["accuracy"]), _figure(one["accuracy_mul"])
    return f"{add}, {mul} ({one['covered']:,}/{one['questions']:,})"


def _figure(value):
    return "–" if value is None else f"{value:.3f}"


def _table(lines):
    """Lines of fields as text, the fields one below the other."""
    lines = [[shown(field) for field in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(field.ljust(width) for field, width in zip(line, widths)).rstrip() for line in lines]
