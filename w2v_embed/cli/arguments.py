"""The arguments of commands: what they may be, and those that several commands share."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from .._types import AlignName, EngineName, FormatName, OnError
from ..shown import quoted, shown
from ..texts import checked_encoding
from .console import UsageError, encoding_of, on_terminal

if TYPE_CHECKING:
    from contextlib import ExitStack

    from .._types import Align, Executor


class _Help(argparse.HelpFormatter):
    def _fill_text(self, text, width, indent):
        return text if text.startswith(_EXAMPLES) else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that can be read on any stream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **options})

    def error(self, message: str) -> Any:
        super().error(shown(message))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but what a command does not know is refused by that command, which shows its own usage."""
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            names = [name for action in self._actions for name in action.option_strings]
            first = unknown[0].partition("=")[0]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near(first, names)}")
        return given, unknown

    def _check_value(self, action, value):
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            raise argparse.ArgumentError(action, not_one_of(value, list(action.choices)))
        super()._check_value(action, value)

    def _print_message(self, message, file=None):
        if message:
            encoding = encoding_of(file)
            message = message.encode(encoding, "backslashreplace").decode(encoding)
        with suppress(OSError):  # as Python 3.11 and later have it themselves; `finish` says what there is to say
            super()._print_message(message, file)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Args: TypeAlias = argparse.Namespace

ALIGN: dict[str, Align] = {**{name: name for name in get_args(AlignName)}, "True": True, "False": False}

_EXAMPLES = "examples:\n"

# ── types ──


def one_of(*names: str) -> Callable[[str], str]:
    """The type of an argument that is one of `names`."""

    def check(text):
        if text in names:
            return text
        raise argparse.ArgumentTypeError(not_one_of(text, names))

    check.names = names  # type: ignore[attr-defined]  # for completion
    return check


def not_one_of(text: str, names: Sequence[str]) -> str:
    """What is said where `text` is none of `names`."""
    return f"invalid choice: {quoted(text)} (choose from {', '.join(names)}){near(text.lower(), names)}"


def near(text: str, names: Sequence[str]) -> str:
    """What might have been meant, as the end of a sentence."""
    found = difflib.get_close_matches(text, names, 1, 0.65)
    return f"; did you mean {found[0]!r}?" if found else ""


def whole(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` on."""

    def check(text):
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, received {quoted(text)}")
        return number

    return check


def above_zero(text: str) -> float:
    """The type of an argument that is a number above 0."""
    return _number(text, "above 0", lambda number: 0 < number < math.inf)


def share(text: str) -> float:
    """The type of an argument that is a number above 0 and below 1."""
    return _number(text, "above 0 and below 1", lambda number: 0 < number < 1)


def probability(text: str) -> float:
    """The type of an argument that is a number from 0 to 1."""
    return _number(text, "from 0 to 1", lambda number: 0 <= number <= 1)


def _number(text, told, good):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not good(number):
        raise argparse.ArgumentTypeError(f"expected a number {told}, received {quoted(text)}")
    return number


def encoding(text: str) -> str:
    """The type of an argument that names an encoding."""
    try:
        return checked_encoding(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def post(text: str) -> str:
    """The type of an argument that names a step of `w2v_embed.postprocess`, or weights by counts."""
    from ..postprocess import NAMED, WEIGHTED, step_named

    try:
        return text if text in WEIGHTED else str(step_named(text) and text)
    except ValueError:
        told = f"invalid choice: {quoted(text)} (choose from {NAMED}, {', '.join(WEIGHTED)})"
        raise argparse.ArgumentTypeError(told) from None


# ── arguments ──


def choice(command: Parser, flag: str, names: Sequence[str], help: str, default: str | None = None) -> None:
    """Add an argument out of `names`, of which the first is the default."""
    metavar = "{" + ",".join(names) + "}"
    command.add_argument(flag, type=one_of(*names), default=default or names[0], metavar=metavar, help=help)


def add_encoding(command: Parser, of: str) -> None:
    """Add --encoding, `of` the words or the texts."""
    command.add_argument("--encoding", type=encoding, default="utf-8", help=f"of the {of} (%(default)s)")


def add_post(command: Parser) -> None:
    """Add --post, what is done to the rows."""
    command.add_argument(
        "--post",
        action="append",
        default=[],
        type=post,
        metavar="STEP",
        help="what is done to the rows; repeat it, the order counts: center, normalize, all_but_the_top:N, pca:DIM, whiten, "
        "whiten:DIM, and by --counts frequency_weight:sif, frequency_weight:zipf",
    )


def refining(steps: Sequence[str], counts: Mapping[str, float] | None) -> list[Any]:
    """What `add_post` took, as `postprocess` of `build_matrix`."""
    from ..postprocess import WEIGHTED, by_counts

    if counts is None:
        for step in steps:
            if step in WEIGHTED:
                raise UsageError(f"--post {step} needs --counts, which say how often words occur")
        return list(steps)
    return [by_counts(step, counts) for step in steps]


def add_examples(command: Parser, *lines: str) -> None:
    """Have the command's help end with some calls."""
    command.epilog = _EXAMPLES + "\n".join(f"  {line}" for line in lines)


def several(command: Parser, flag: str, legal: Sequence[str], told: str) -> None:
    """Add an option that takes one of some modes, and can be given again."""
    command.add_argument(flag, action="append", default=[], type=one_of(*legal), metavar="NAME", help=told)


def add_engine(command: Parser) -> None:
    """Add --engine, who does the work, and what it asks for."""
    names = get_args(EngineName)
    told = f"do it on several workers: {', '.join(names)} (this process alone)"
    command.add_argument("--engine", type=one_of(*names), metavar="NAME", help=told)
    command.add_argument("--workers", type=whole(1), metavar="N", help="processes of --engine (all processors)")
    command.add_argument(
        "--address", metavar="ADDRESS", help="of a cluster of --engine ray or dask (one of this machine)"
    )


def engine(args: Args, stack: ExitStack) -> Executor | None:
    """What `add_engine` took, as an executor that ends with `stack`."""
    if args.engine is None:
        for name in ("workers", "address"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name} is of --engine; pass --engine, too")
        return None
    if args.engine == "processes" and args.address is not None:
        raise UsageError("--address is of --engine ray and dask; processes are of this machine")
    from ..engines import engine

    return stack.enter_context(engine(args.engine, args.workers, args.address))


def add_quiet(command: Parser) -> None:
    """Add --quiet."""
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")


def add_reading(command: Parser) -> None:
    """Add what all commands share that read vectors."""
    add_encoding(command, "words")
    choice(command, "--on-error", get_args(OnError), "what to do at a damaged line (%(default)s)")
    names = get_args(FormatName)
    command.add_argument(
        "--format", type=one_of(*names), metavar="NAME", help=f"{', '.join(names)} (found from the content)"
    )
    command.add_argument(
        "--trust", action="store_true", help="read gensim's own files: Python pickles, which can run code"
    )
    add_quiet(command)


def reading(args: Args) -> dict[str, Any]:
    """What `add_reading` took, as arguments of a function."""
    given = {name: getattr(args, name) for name in ("encoding", "on_error", "format", "trust")}
    return {**given, "progress": progress(args)}


def progress(args: Args) -> bool:
    """A bar for people, silence for pipes."""
    return on_terminal() and not args.quiet
