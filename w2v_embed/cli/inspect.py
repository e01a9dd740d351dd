"""`w2v-embed inspect`: what a file of word vectors is."""

from __future__ import annotations

from ..shown import shown, step_text
from .arguments import Args, Commands, add_examples, add_reading, reading
from .console import Named, say, say_json


def add(commands: Commands) -> None:
    """Add `inspect` to the subparsers of the command line."""
    command = commands.add_parser(
        "inspect", help="say what a file is", description="Say what a file of word vectors is."
    )
    command.add_argument("vectors", metavar="FILE")
    command.add_argument("--json", action="store_true", help="print JSON")
    add_reading(command)
    add_examples(command, "w2v-embed inspect sgns.baidubaike.bz2")
    command.set_defaults(run=run, files=files)


def files(args: Args) -> tuple[Named, Named]:
    """The file that is read."""
    return [("FILE", args.vectors)], []


def run(args: Args) -> None:
    """Print the facts; damage is an error unless it is to be skipped."""
    from ..readers.inspection import inspect

    facts = inspect(args.vectors, **{**reading(args), "on_error": "skip"})
    if args.json:
        say_json(facts)
    else:
        for name, value in facts.items():
            say(f"{name:<13} {_line_of(value) if name != 'steps' else ', '.join(map(step_text, value)) or 'none'}")
    if facts["damage"] and args.on_error == "raise":
        kinds = ", ".join(f"{count} × {kind}" for kind, count in facts["damage"].items())
        raise ValueError(
            f"{args.vectors} is damaged: {kinds}. With --on-error skip this is no error, and the rest can be used."
        )


def _line_of(value):
    if isinstance(value, dict):
        return "; ".join(f"{shown(key)}: {_line_of(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(" ".join(map(shown, inner)) if isinstance(inner, list) else shown(inner) for inner in value)
    return shown(value)
