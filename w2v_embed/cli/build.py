"""`w2v-embed build`: the matrix for a word index."""

from __future__ import annotations

import re
import time
from typing import get_args

from .._types import CombineName, DtypeName, FallbackName, OovName, SplitName
from ..shown import step_text
from .arguments import (
    ALIGN,
    Args,
    Commands,
    add_examples,
    add_post,
    add_reading,
    choice,
    one_of,
    reading,
    refining,
    several,
    whole,
)
from .console import Named, say, say_json


def add(commands: Commands) -> None:
    """Add `build` to the subparsers of the command line."""
    command = commands.add_parser(
        "build", help="make the matrix for a word index", description="Make the matrix for a word index."
    )
    command.add_argument("vectors", nargs="+", metavar="VECTORS", help="file of word vectors; of several see --combine")
    command.add_argument(
        "word_index", metavar="WORD_INDEX", help=".json (word → id, or a list) or .txt (one word a line)"
    )
    command.add_argument("-o", "--output", required=True, help="matrix to write: .safetensors, .npz or .npy")
    command.add_argument("--num-words", type=whole(1), metavar="N", help="rows of the matrix: leave out ids from N on")
    choice(command, "--oov", get_args(OovName), "rows of unknown words (%(default)s)")
    command.add_argument("--seed", type=whole(0), default=0, help="of --oov normal (%(default)s)")
    choice(command, "--dtype", get_args(DtypeName), "(%(default)s)", "float32")
    choice(
        command,
        "--combine",
        get_args(CombineName),
        "an earlier file wins, rows side by side, or their mean (%(default)s)",
    )
    command.add_argument(
        "--align",
        type=one_of(*ALIGN),
        metavar="{" + ",".join(ALIGN) + "}",
        help="map the rows of later files into the space of the first; False: take them as they are, without a warning",
    )
    command.add_argument(
        "--no-balance", action="store_true", help="of --combine concat: leave the rows of each file as long as they are"
    )
    fallbacks = get_args(FallbackName)
    told = f"where else to look for words that are not found; repeat it, the order counts: {', '.join(fallbacks)}"
    several(command, "--fallback", fallbacks, told)
    command.add_argument(
        "--counts", metavar="FILE", help="how often words occur: .json (word → count), or a text in UTF-8"
    )
    choice(command, "--split", get_args(SplitName), "of a text of --counts")
    add_post(command)
    command.add_argument("--report", metavar="FILE.html", help="write a page about the coverage, with pictures")
    command.add_argument("--cache-dir", metavar="FOLDER", help="keep built matrices here, and take them from here")
    command.add_argument(
        "--index", action="store_true", help="make the indexes of the files that lack one (w2v-embed index)"
    )
    command.add_argument(
        "--index-folder",
        metavar="FOLDER",
        help="the same, and they lie here: those of URLs, too (rows are fetched, not files)",
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of the summary")
    add_reading(command)
    add_examples(
        command,
        "w2v-embed build sgns.baidubaike.bz2 word_index.json -o matrix.safetensors",
        "w2v-embed build glove.6B.300d.txt words.txt -o matrix.npz --fallback lower --report coverage.html",
        "w2v-embed build domain.vec cc.en.300.bin words.txt -o matrix.safetensors --align ridge",
    )
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read, and those that are written."""
    inputs = [*(("VECTORS", path) for path in args.vectors), ("WORD_INDEX", args.word_index), ("--counts", args.counts)]
    outputs = [("--output", args.output), ("--report", args.report)]
    return [given for given in inputs if given[1]], [given for given in outputs if given[1]]


def run(args: Args) -> None:
    """Build the matrix, save it, and say what it covers."""
    from ..corpus import read_counts
    from ..matrix.build import build_matrix
    from ..reports.page import check_report
    from ..store import check_output

    check_output(args.output)  # before minutes of reading, not after
    if args.report:
        check_report(args.report)
    counts = read_counts(args.counts, split=args.split) if args.counts else None
    start = time.perf_counter()
    matrix = build_matrix(
        args.vectors,
        args.word_index,
        num_words=args.num_words,
        oov=args.oov,
        seed=args.seed,
        dtype=args.dtype,
        fallbacks=args.fallback,
        suggest=bool(args.report),
        cache_dir=args.cache_dir,
        postprocess=refining(args.post, counts),
        combine=args.combine,
        align=ALIGN[args.align] if args.align else None,
        balance=not args.no_balance,
        index=args.index_folder or args.index or None,
        **reading(args),
    )
    matrix.save(args.output)
    if args.report:
        matrix.write_report(args.report, counts=counts)
    seconds = time.perf_counter() - start
    if args.json:
        told = {"output": args.output, "rows": matrix.shape[0], "dim": matrix.shape[1], "dtype": args.dtype}
        told |= {"padding_row": matrix.padding_row, "steps": list(matrix.steps), "seconds": round(seconds, 2)}
        say_json({**told, "coverage": matrix.coverage.to_dict(counts)})
    elif not args.quiet:
        _tell(matrix, counts, args, seconds)


def _tell(matrix, counts, args, seconds):
    rows, dim = matrix.shape
    say(re.sub(r"\(fallback (\w+)\)", r"(--fallback \1)", matrix.coverage.summary(counts=counts)))
    if matrix.steps:
        say(f"steps: {', '.join(map(step_text, matrix.steps))}")
    padding = "row 0 is padding" if matrix.padding_row == 0 else "no padding row"
    say(f"{args.output}: {rows:,} rows × {dim} ({args.dtype}, {padding}), made in {seconds:.1f} s")
