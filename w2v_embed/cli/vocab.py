"""`w2v-embed vocab`: a word index out of texts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from .._types import SplitName
from .arguments import (
    Args,
    Commands,
    add_encoding,
    add_engine,
    add_examples,
    add_quiet,
    choice,
    engine,
    progress,
    whole,
)
from .console import Named, UsageError, say

if TYPE_CHECKING:
    from collections import Counter


def add(commands: Commands) -> None:
    """Add `vocab` to the subparsers of the command line."""
    command = commands.add_parser(
        "vocab", help="make a word index out of texts", description="Make a word index out of texts."
    )
    told = "texts, plain or compressed, one a line; with --merge counts that were written before"
    command.add_argument("corpus", nargs="+", metavar="CORPUS", help=told)
    command.add_argument("-o", "--output", required=True, help="word index to write: .json")
    choice(command, "--split", get_args(SplitName), "(%(default)s)")
    command.add_argument("--labelled", action="store_true", help="lines label<TAB>text: the labels are no words")
    command.add_argument(
        "--min-count", type=whole(0), default=1, metavar="N", help="leave out rarer words (%(default)s)"
    )
    command.add_argument("--num-words", type=whole(1), metavar="N", help="ids stay below N")
    command.add_argument(
        "--special", action="append", default=[], metavar="TOKEN", help="words to come first; repeat it"
    )
    told = "add up the counts of several files, .json, in place of counting"
    command.add_argument("--merge", action="store_true", help=told)
    told = "of --merge: go through the files so often, each time for a share of the words: less memory (%(default)s)"
    command.add_argument("--parts", type=whole(1), default=1, metavar="N", help=told)
    add_engine(command)
    command.add_argument("--counts", metavar="FILE", help="counts to write (the output's name with .counts.json)")
    add_encoding(command, "texts")
    add_quiet(command)
    add_examples(
        command,
        "w2v-embed vocab corpus.txt.gz -o word_index.json --min-count 5",
        "w2v-embed vocab titles.tsv --labelled --split jieba -o word_index.json",
    )
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read, and those that are written."""
    args.counts = args.counts or str(Path(args.output).with_suffix(".counts.json"))
    return [("CORPUS", path) for path in args.corpus], [("--output", args.output), ("--counts", args.counts)]


def run(args: Args) -> None:
    """Count, or add up, number, write both, and say how much of the texts the words are."""
    from ..corpus import make_word_index
    from ..store import check_json, write_json

    check_json(args.output)
    check_json(args.counts)
    if args.merge and args.labelled:
        raise UsageError("--labelled is of texts; --merge reads counts")
    counts = _counts(args)
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
        if args.merge and args.min_count > 1:  # rarer words were dropped on the way
            say(f"{len(word_index):,} words kept")
        else:
            say(f"{tokens:,} tokens, {len(counts):,} words; {len(word_index):,} kept: {share:.1%} of the tokens")
        say(f"{args.output}: word → id; {args.counts}: word → count")


def _counts(args: Args) -> Counter[str]:
    from ..corpus import count_words, merge_counts

    with ExitStack() as stack:
        executor = engine(args, stack)
        if args.merge:
            return merge_counts(
                args.corpus, min_count=args.min_count, parts=args.parts, executor=executor, encoding=args.encoding
            )
        split = _Text(args.split) if args.labelled else args.split
        return count_words(args.corpus, executor=executor, split=split, encoding=args.encoding, progress=progress(args))


class _Text:
    """Splits the text of a line label<TAB>text, in whatever process."""

    def __init__(self, split: SplitName) -> None:
        self._split = split
        self._words_of: Callable[[str], list[str]] | None = None

    def __call__(self, line: str) -> list[str]:
        if self._words_of is None:
            from ..splitting import splitter

            self._words_of = splitter(self._split)
        return self._words_of(line.partition("\t")[2])

    def __reduce__(self) -> tuple[type[_Text], tuple[SplitName]]:
        return _Text, (self._split,)
