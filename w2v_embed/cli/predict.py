"""`w2v-embed predict`: the labels of the lines of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ..shown import json_text, shown
from .arguments import Args, Commands, add_examples, probability, whole
from .console import Named, say
from .encoder import Lines

if TYPE_CHECKING:
    from ..text.archive import Label
    from ..text.saved import TextModel

_LINES = 1024  # that are read before the model is asked


def add(commands: Commands) -> None:
    """Add `predict` to the subparsers of the command line."""
    command = commands.add_parser(
        "predict",
        help="let a trained classifier label the lines of a file",
        description="Label each line of a file: label, probability and text, with tabs between them. Several labels "
        "have commas between them, and so have their probabilities.",
    )
    command.add_argument("model", metavar="MODEL", help=".keras file that train, or save_model, wrote")
    command.add_argument("texts", metavar="TEXTS", nargs="?", default="-", help="one text a line (standard input)")
    command.add_argument("--json", action="store_true", help='print a line of JSON each: "text" and "labels"')
    command.add_argument("--top", type=whole(1), metavar="N", help="the N most probable labels (1)")
    command.add_argument(
        "--threshold",
        type=probability,
        metavar="P",
        help="only labels that are so probable (0.5 where texts have any number of labels, else 0)",
    )
    command.add_argument("--batch-size", type=whole(1), default=256, metavar="N", help="(%(default)s)")
    add_examples(
        command,
        "w2v-embed predict topics.keras titles.txt",
        "w2v-embed predict topics.keras titles.txt --json --top 3",
    )
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read."""
    return [("MODEL", args.model), ("TEXTS", args.texts)], []


def run(args: Args) -> None:
    """Print a line for each line."""
    os.stat(args.model)  # before seconds in which Keras is loaded
    lines = iter(Lines(args.texts))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from .. import layers  # noqa: F401  (says what to install where there is no Keras)
    from ..text import load_model

    model = load_model(args.model)
    while texts := list(islice(lines, _LINES)):
        for text, found in zip(texts, _labels(model, texts, args)):
            say(_json(text, found) if args.json else _row(text, found))


def _labels(model: TextModel, texts: list[str], args: Args) -> Iterator[list[tuple[Label, float]]]:
    top, threshold = args.top, args.threshold
    if model.multi_label:
        threshold = 0.5 if threshold is None and top is None else threshold
    else:
        top = top or 1
    yield from model.ranked(texts, top=top, threshold=threshold or 0.0, batch_size=args.batch_size)


def _row(text, found):
    labels, probabilities = ",".join(shown(label) for label, _ in found), ",".join(f"{p:.3f}" for _, p in found)
    return f"{labels}\t{probabilities}\t{shown(text)}"


def _json(text, found):
    return json_text({"text": text, "labels": [{"label": label, "probability": p} for label, p in found]})
