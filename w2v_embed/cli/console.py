"""What a command prints, on any stream, in any encoding, open or not; and which files it must not write over."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeAlias

from ..shown import json_text, shown

Named: TypeAlias = "list[tuple[str, str]]"  # (name of the argument, path)


class UsageError(Exception):
    """Arguments that do not go together."""


# ── out ──


def say(text: str) -> None:
    """Print to standard output. Whoever reads it may stop: then the rest is dropped, and the work goes on."""
    _print(text, sys.stdout)


def say_json(value: object) -> None:
    """Print JSON, with its characters as they are where standard output can take them."""
    text = json_text(value, indent=2)
    say(text if encodable(text) else json.dumps(value, indent=2))


def complain(text: str) -> None:
    """Print to standard error, where that can be had, behind what was said before."""
    with suppress(OSError):
        finish()
    with suppress(OSError):
        _print(text, sys.stderr)


def finish() -> None:
    """Hand on what `say` was told."""
    _guarded(sys.stdout, lambda stream: stream.flush())


def encodable(text: str) -> bool:
    """Whether standard output can take `text` as it is."""
    try:
        text.encode(encoding_of(sys.stdout))
    except UnicodeEncodeError:
        return False
    return True


def on_terminal() -> bool:
    """Whether people look at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


class Warnings(logging.Handler):
    """Prints what is logged, as `told` puts it."""

    def __init__(self, told: Callable[[str], str]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        complain(shown(self._told(self.format(record))))


def _print(text, stream):
    encoding = encoding_of(stream)
    text = shown(text, keep="\n\t").encode(encoding, "backslashreplace").decode(encoding)
    _guarded(stream, lambda stream: print(text, file=stream))


def encoding_of(stream: object) -> str:
    """The encoding in which `stream` takes text."""
    return getattr(stream, "encoding", None) or "utf-8"


def _guarded(stream, write):
    if stream is None:  # it was closed when the program began
        return
    try:
        write(stream)
    except OSError as error:
        _silence(stream)
        if not isinstance(error, BrokenPipeError):
            raise OSError(f"standard output: {error.strerror}") from error


def _silence(stream):
    """What Python still holds for `stream` goes nowhere, or it would complain when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


# ── files ──


def check_apart(inputs: Named, outputs: Named) -> None:
    """Refuse to write what is read, and to write two things to one file.

    Args:
        inputs, outputs: what is read, and what is written.

    Raises:
        UsageError: two are one file, by whatever path or link.
    """
    for k, (name, path) in enumerate(outputs):
        for other_name, other in [*inputs, *outputs[:k]]:
            if _same_file(path, other):
                raise UsageError(
                    f"{name} {path} and {other_name} {other} are one file, which would be overwritten. Choose another name"
                )


def _same_file(path, other):
    try:
        return os.path.samefile(path, other)
    except OSError:  # one is not there yet
        return os.path.normcase(os.path.realpath(path)) == os.path.normcase(os.path.realpath(other))


class Outputs:
    """Knows which of some files have been written since."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._before = {path: _stamp(path) for path in paths}

    def written(self) -> list[str]:
        """The paths of those that have been."""
        return [path for path, stamp in self._before.items() if _stamp(path) != stamp]


def _stamp(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
