"""`w2v-embed --completion SHELL`: what lets a shell complete commands, options, their values, and files."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import Parser, one_of
from .console import say

_SHELLS = ("bash", "zsh", "fish")


def add_completion(parser: Parser) -> None:
    """Add the option to the command line."""
    metavar = "{" + ",".join(_SHELLS) + "}"
    told = 'print what completes commands in a shell: eval "$(w2v-embed --completion bash)"'
    parser.add_argument("--completion", action=_Print, type=one_of(*_SHELLS), metavar=metavar, help=told)


class _Print(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, value: Any, option_string: Any = None) -> None:
        try:
            import shtab
        except ImportError:
            parser.error("--completion needs shtab: pip install 'w2v-embed[completion]'")
        _say_values(parser, shtab.FILE)
        say(shtab.complete(parser, shell=value))
        parser.exit()


def _say_values(parser, file):
    """Let each argument of `parser` say what it takes, as the library asks for it: one of some names, or a file."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _say_values(command, file)
        elif action.nargs != 0 and action.choices is None:
            action.choices = getattr(action.type, "names", None)
            if action.choices is None and action.type is None:
                action.complete = file
