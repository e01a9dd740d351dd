"""`w2v-embed train`: a text classifier out of labelled texts and vectors."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .._types import ClassifierName, ClassWeightName, FallbackName, SplitName, TrainingName
from ..shown import shown
from .arguments import (
    Args,
    Commands,
    Parser,
    above_zero,
    add_examples,
    add_reading,
    choice,
    encoding,
    progress,
    reading,
    several,
    share,
    whole,
)
from .console import Named, UsageError, say

if TYPE_CHECKING:
    from ..training import Trained

_WORST = 3  # labels that are named


def add(commands: Commands) -> None:
    """Add `train` to the subparsers of the command line."""
    command = commands.add_parser(
        "train",
        help="train a text classifier on labelled texts and vectors",
        description="Train a text classifier on pretrained vectors, and measure it on texts that nobody looked at before. The "
        "model takes raw texts: see w2v-embed predict.",
    )
    command.add_argument("labelled", metavar="LABELLED", help="lines label<TAB>text")
    command.add_argument("vectors", metavar="VECTORS", help="file of word vectors, or a matrix that build made")
    command.add_argument("-o", "--output", metavar="MODEL.keras", help="the model to write")
    command.add_argument("--metrics", metavar="FILE.json", help="(metrics.json beside the model)")
    command.add_argument("--pictures", metavar="FOLDER", help="draw the curves and the confusion matrix")
    _add_texts(command)
    _add_training(command)
    add_reading(command)
    add_examples(
        command,
        "w2v-embed train titles.tsv vectors.txt.bz2 --split jieba -o topics.keras",
        "w2v-embed train titles.tsv vectors.txt.bz2 --split jieba --compare --examples 500 2000",
    )
    command.set_defaults(run=run, files=files)


def _add_texts(command: Parser) -> None:
    choice(command, "--split", get_args(SplitName), "of texts into words (%(default)s)")
    command.add_argument("--lower", action="store_true", help="lower-case the words")
    command.add_argument("--length", type=whole(1), default=32, metavar="N", help="words of a text (%(default)s)")
    command.add_argument(
        "--min-count", type=whole(1), default=1, metavar="N", help="leave out rarer words of the texts (%(default)s)"
    )
    command.add_argument(
        "--vector-words",
        type=whole(0),
        default=20_000,
        metavar="N",
        help="first words of the vectors to know as well: texts that come later may have them (%(default)s)",
    )
    told = "where else to look for words that have no vector, as for build; repeat it"
    several(command, "--fallback", get_args(FallbackName), told)
    command.add_argument(
        "--multi-label", metavar="SEP", help="texts have any number of labels, with this between them, as ','"
    )
    command.add_argument("--text-encoding", type=encoding, default="utf-8", help="of LABELLED (%(default)s)")


def _add_training(command: Parser) -> None:
    choice(command, "--classifier", get_args(ClassifierName), "what follows the embedding (%(default)s)")
    choice(command, "--embedding", get_args(TrainingName), "how its rows are trained (%(default)s)", "gradual")
    weights = get_args(ClassWeightName)
    command.add_argument(
        "--class-weight",
        metavar="WEIGHTS",
        help=f"how much texts count: {', '.join(weights)}, or a .json label → number",
    )
    command.add_argument(
        "--held-out", type=share, default=0.4, metavar="SHARE", help="for validation and test, half each (%(default)s)"
    )
    command.add_argument(
        "--examples", type=whole(2), nargs="+", metavar="N", help="train on so many texts only; several with --compare"
    )
    command.add_argument("--epochs", type=whole(1), default=24, metavar="N", help="at most (%(default)s)")
    command.add_argument(
        "--patience", type=whole(1), default=4, metavar="N", help="epochs without a better validation (%(default)s)"
    )
    command.add_argument("--rate", type=above_zero, default=5e-3, help="of learning (%(default)s)")
    command.add_argument("--batch-size", type=whole(1), default=64, metavar="N", help="(%(default)s)")
    command.add_argument("--seed", type=whole(0), default=0, metavar="N", help="(%(default)s)")
    command.add_argument(
        "--compare", action="store_true", help="try each --embedding, print a table, and write no model"
    )
    command.add_argument("--seeds", type=whole(1), default=3, metavar="N", help="runs of --compare (%(default)s)")


def files(args: Args) -> tuple[Named, Named]:
    """The files that are read, and those that are written."""
    weights = [("--class-weight", args.class_weight)] if _weights_file(args) else []
    inputs = [("LABELLED", args.labelled), ("VECTORS", args.vectors), *weights]
    if not args.output:
        return inputs, []
    metrics = args.metrics or str(Path(args.output).with_name("metrics.json"))
    drawn = [os.path.join(args.pictures, name) for name in ("curves.png", "confusion.png")] if args.pictures else []
    return inputs, [("--output", args.output), ("--metrics", metrics), *(("--pictures", path) for path in drawn)]


def run(args: Args) -> None:
    """Train, save, and say how good it is; or print the table of --compare."""
    if args.compare == bool(args.output):
        told = "--compare writes no model; leave --output out" if args.compare else "--output, or --compare, is needed"
        raise UsageError(told)
    if args.examples and len(args.examples) > 1 and not args.compare:
        raise UsageError("--examples takes several numbers with --compare only")
    if args.pictures and args.compare:
        raise UsageError("--pictures are of a model; leave --compare out")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from .. import layers  # noqa: F401  (says what to install where there is no Keras)
    from ..training import compare_embeddings, train
    from ..training.pictures import pyplot_module
    from ..training.trained import check_outputs

    if args.output:  # before minutes of training, not after
        check_outputs(args.output, args.metrics)
    if args.pictures:
        pyplot_module()
    given = _given(args)
    examples = args.examples or [None]
    if args.compare:
        found = compare_embeddings(*given.pop("data"), **given, examples=examples, seeds=args.seeds)
        say(found.table())
        if not args.quiet:
            say(
                f"\naccuracy on {found.test:,} texts, mean ± standard deviation of {args.seeds} draws; {args.classifier}"
            )
        return
    trained = train(*given.pop("data"), **given, embedding=args.embedding, examples=examples[0])
    trained.save(args.output, metrics=args.metrics)
    if args.pictures:
        from ..training.pictures import write_pictures

        write_pictures(args.pictures, trained.metrics)
    if not args.quiet:
        _tell(args, trained)


def _given(args: Args) -> dict[str, Any]:
    """What both ways of training take: `data`, their first three arguments, and options."""
    from ..matrix.build import build_matrix
    from ..matrix.sources import source_of
    from ..readers.remote import place_of
    from ..readers.static_models import is_static_model
    from ..training import fit_encoder, label_sets, read_labelled
    from ..training.labelled import check_labels

    labels, texts = read_labelled(args.labelled, encoding=args.text_encoding, unlabelled=args.multi_label is not None)
    kinds = labels if args.multi_label is None else label_sets(labels, args.multi_label)
    check_labels(kinds, range(len(kinds)))  # before minutes of reading vectors
    weights = _weights(args)
    given = reading(args)
    bar = given.pop("progress")
    more: list[str] = []
    vectors = place_of(args.vectors)  # one for both times: it says so, if it can be read once only
    if args.vector_words and not is_static_model(Path(args.vectors)):
        with closing(source_of(vectors, **given)) as source:
            more = source.frequent(args.vector_words)[0]
    encoder = fit_encoder(
        texts, more_words=more, min_count=args.min_count, split=args.split, lower=args.lower, length=args.length
    )
    matrix = build_matrix(vectors, encoder.word_index, fallbacks=args.fallback, progress=bar, **given)
    if not args.quiet:
        say(matrix.coverage.summary())
    names = ("classifier", "held_out", "epochs", "patience", "rate", "batch_size", "seed")
    options = {name: getattr(args, name) for name in names}
    return {
        "data": (kinds, texts, matrix),
        "encoder": encoder,
        "class_weight": weights,
        "progress": progress(args),
        **options,
    }


def _weights_file(args: Args) -> bool:
    return bool(args.class_weight) and args.class_weight not in get_args(ClassWeightName)


def _weights(args: Args) -> Any:
    """What --class-weight says."""
    if not _weights_file(args):
        return args.class_weight
    from ..texts import json_object, read_text

    return json_object(read_text(args.class_weight), args.class_weight)


def _tell(args: Args, trained: Trained) -> None:
    metrics = trained.metrics
    parts, labels = metrics["texts"], metrics["labels"]
    right = "accuracy" if metrics["confusion"] is not None else "all labels right"
    say(
        f"{right}: {metrics['accuracy']:.3f} on {parts['test']:,} texts that nobody looked at before (always the most frequent "
        f"one: {metrics['baseline']:.3f}); macro F1 {metrics['macro_f1']:.3f}"
    )
    scores = sorted((told["f1"], label) for label, told in labels.items())
    say(f"hardest labels: {', '.join(f'{shown(label)} (F1 {f1:.2f})' for f1, label in scores[:_WORST])}")
    epochs = len(metrics["history"]["loss"])
    say(
        f"{args.output}: {metrics['words']['known']:,} words, {len(labels)} labels; {parts['train']:,} texts, {epochs} epochs, "
        f"{metrics['seconds']:.1f} s"
    )
