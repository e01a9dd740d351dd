"""Runs a command: parses, keeps it from writing over what it reads, and turns errors into a line and an exit code."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import partial

from .. import __version__
from ..output import BusyError
from ..shown import shown
from . import build, compare, convert, encode, evaluate, index, inspect, predict, similar, train, vocab
from .arguments import Args, Parser
from .completion import add_completion
from .console import Outputs, UsageError, Warnings, check_apart, complain, finish

# Each with `add`, `files` and `run`.
_COMMANDS = (build, vocab, inspect, index, convert, encode, similar, evaluate, compare, train, predict)
_BAD_INPUT = (ValueError, TypeError, OSError, ImportError, MemoryError)


def run(argv: Sequence[str] | None, pressed: Sequence[object] = ()) -> int:
    """See `cli.main`. `pressed` holds something once Ctrl-C was."""
    outputs, args = Outputs([]), Args()
    try:
        try:
            args = _parser().parse_args(argv)
        finally:  # also where it printed what was asked for, and ends
            finish()
        logging.basicConfig(
            format="%(message)s", level=logging.WARNING, handlers=[Warnings(partial(_as_options, args=args))]
        )
        inputs, to_write = args.files(args)
        outputs = Outputs([path for _, path in to_write])
        check_apart(inputs, to_write)
        args.run(args)
        finish()
    except BaseException as error:
        written = "" if isinstance(error, BusyError) else ", ".join(map(str, outputs.written()))
        if pressed or isinstance(error, KeyboardInterrupt):
            told = str(error) if isinstance(error, KeyboardInterrupt) else ""
            left = f"{written} was written, nothing else" if written else "no output was written"
            complain(f"w2v-embed: stopped; {told or left}")
            return 130
        if not isinstance(error, (*_BAD_INPUT, UsageError)):
            raise
        complain(f"w2v-embed: {shown(_told(error, args))}{f' (written before that: {written})' if written else ''}")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _parser():
    parser = Parser(prog="w2v-embed", description="Pretrained word vectors → the matrix for your word_index.")
    parser.add_argument("-V", "--version", action="version", version=__version__)
    add_completion(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _told(error, args):
    """An error as a sentence: the system's own ones without their number, arguments of functions as the command's options."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}. Fewer words or rows take less (--num-words)"
    return _as_options(str(error), args) or type(error).__name__


def _as_options(text, args):
    """`text`, in which the package speaks of its arguments, for who gave options.

    >>> _as_options('pass on_error="skip" or trust=True, not limit=3', Args(on_error="raise", trust=False))
    'pass --on-error skip or --trust, not limit=3'
    """

    def option(found):
        name, value = found["name"], found["value"].strip('"')
        if name not in args:
            return found[0]
        return f"--{name.replace('_', '-')}{f' {value}' if value and value != 'True' else ''}"

    return re.sub(r'\b(?P<name>[a-z]+(_[a-z]+)*)=(?P<value>"[^"\s]*"|\w*)', option, text)
