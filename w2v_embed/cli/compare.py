"""`w2v-embed compare`: which word vectors classify labelled texts best."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .._types import ClassifierName, CombineName, FallbackName, SplitName, TextPoolingName
from ..shown import shown
from .arguments import (
    ALIGN,
    Args,
    Commands,
    add_examples,
    add_post,
    add_reading,
    choice,
    encoding,
    one_of,
    progress,
    reading,
    several,
    whole,
)
from .console import Named, UsageError, say, say_json

if TYPE_CHECKING:
    from ..comparison import Candidate


def add(commands: Commands) -> None:
    """Add `compare` to the subparsers of the command line."""
    command = commands.add_parser(
        "compare",
        help="find out which word vectors classify labelled texts best",
        description="Judge word vectors by how well labelled texts are classified with them. Each VECTORS is a candidate; "
        "--combine adds all of them together, and --post each of these with that done to its rows.",
    )
    command.add_argument("labelled", metavar="LABELLED", help="lines label<TAB>text")
    command.add_argument("vectors", nargs="+", metavar="VECTORS", help="file of word vectors: a candidate")
    choice(command, "--split", get_args(SplitName), "of texts into words (%(default)s)")
    choice(command, "--pooling", get_args(TextPoolingName), "of a text's words (%(default)s)")
    names = get_args(CombineName)
    told = f"add all VECTORS together as a candidate: {', '.join(names)}; repeat it for several candidates"
    several(command, "--combine", names, told)
    command.add_argument(
        "--align",
        type=one_of(*ALIGN),
        metavar="NAME",
        help=f"of --combine: how spaces are mapped: {', '.join(ALIGN)}",
    )
    add_post(command)
    told = "where all candidates look for words that they do not have, as for build; repeat it"
    several(command, "--fallback", get_args(FallbackName), told)
    command.add_argument("--seeds", type=whole(1), default=10, metavar="N", help="random splits (%(default)s)")
    command.add_argument("--examples", type=whole(2), metavar="N", help="train on so many texts (all but a fifth)")
    command.add_argument("--keras", action="store_true", help="train a Keras classifier on each split, too: minutes")
    choice(command, "--classifier", get_args(ClassifierName), "of --keras (%(default)s)")
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    command.add_argument("--html", metavar="PAGE.html", help="write a page with pictures")
    command.add_argument("--text-encoding", type=encoding, default="utf-8", help="of LABELLED (%(default)s)")
    add_reading(command)
    add_examples(command, "w2v-embed compare titles.tsv glove.txt fasttext.vec --combine concat --html candidates.html")
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read, and the one that is written."""
    inputs = [("LABELLED", args.labelled), *(("VECTORS", path) for path in args.vectors)]
    return inputs, [("--html", args.html)] if args.html else []


def run(args: Args) -> None:
    """Compare, print the table or JSON, and how the matrix of the first is made."""
    args.vectors = list(dict.fromkeys(args.vectors))
    if args.combine and len(args.vectors) < 2:
        raise UsageError("--combine needs two different VECTORS or more")
    if args.align and not args.combine:
        raise UsageError("--align is of --combine; pass --combine, too")
    if args.html:
        from ..reports.page import check_report

        check_report(args.html)
    from ..readers.remote import place_of

    for path in args.vectors:
        if isinstance(place_of(path), Path):
            os.stat(path)  # before minutes with those that are there
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from ..comparison import compare, read_labelled

    labels, texts = read_labelled(args.labelled, encoding=args.text_encoding)
    found = compare(
        labels,
        texts,
        candidates(args),
        split=args.split,
        pooling=args.pooling,
        seeds=args.seeds,
        examples=args.examples,
        classifier=args.classifier if args.keras else None,
        progress=progress(args),
    )
    made_by = command_lines(args, found.winner.candidate)
    if args.html:
        found.write_report(args.html, command=made_by)
    if args.json:
        say_json(found.as_dict())
        return
    say(found.table())
    if not args.quiet:
        say("\n" + "\n".join(found.notes()))
        say(f"\nThe matrix of the first:\n{made_by}")


def candidates(args: Args) -> Iterator[Candidate]:
    """What the options name: each file, all together, and these refined. Options that nobody gave are not passed on."""
    from ..comparison import Candidate

    common = {name: value for name, value in reading(args).items() if name != "progress"}
    common["fallbacks"] = list(args.fallback)
    align = {"align": ALIGN[args.align]} if args.align else {}
    plain: list[tuple[Sequence[str], Mapping[str, Any]]] = [([path], {}) for path in args.vectors]
    plain += [(args.vectors, {"combine": name, **align}) for name in dict.fromkeys(args.combine)]
    for vectors, options in plain:
        yield Candidate(list(vectors), {**common, **options})
        if args.post:
            yield Candidate(list(vectors), {**common, **options, "postprocess": list(args.post)})


def command_lines(args: Args, candidate: Candidate) -> str:
    """The commands that make the words of the texts, and a candidate's matrix for them, ready for a shell."""
    stem = Path(args.labelled).stem
    words, matrix = f"{stem}.words.json", f"{stem}.safetensors"
    vocab = ["w2v-embed", "vocab", _path(args.labelled), "--labelled", "-o", _path(words)]
    vocab += _unless("--split", args.split, "whitespace") + _unless("--encoding", args.text_encoding, "utf-8")
    options = candidate.options
    build = ["w2v-embed", "build", *(_path(str(one)) for one in candidate.vectors), _path(words), "-o", _path(matrix)]
    build += _unless("--combine", options.get("combine"), None) + _unless("--encoding", args.encoding, "utf-8")
    build += [*(["--align", args.align] if "align" in options else []), *(["--trust"] if args.trust else [])]
    build += _unless("--format", args.format, None) + _unless("--on-error", args.on_error, "raise")
    if any(step.startswith("frequency_weight") for step in options.get("postprocess", ())):
        build += ["--counts", _path(f"{stem}.words.counts.json")]
    for flag, values in (("--fallback", options["fallbacks"]), ("--post", options.get("postprocess", ()))):
        build += [part for value in values for part in (flag, value)]
    return f"{_quoted(vocab)}\n{_quoted(build)}"


def _unless(flag, value, default):
    return [] if value == default else [flag, value]


def _path(path):
    """A path that no command takes for an option."""
    return os.path.join(os.curdir, path) if path.startswith("-") else path


def _quoted(words):
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return " ".join(shlex.quote(word) if shown(word) == word else _in_bytes(word) for word in words)


def _in_bytes(word):
    """What would steer a terminal, or is no text, as the shell's $'…' can say it."""
    plain = (chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"
