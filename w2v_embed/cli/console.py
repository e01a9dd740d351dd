"""What a command prints and takes: any stream, in any encoding, open or not; arguments with their bounds."""

import argparse
import difflib
import logging
import os
import sys
from contextlib import suppress

from ..shown import quoted, shown
from ..texts import checked_encoding


class UsageError(Exception):
    """Arguments that do not go together."""


# ── out ──


def say(text):
    """Print to standard output. Whoever reads it may stop: then the rest is dropped, and the work goes on."""
    _print(text, sys.stdout)


def complain(text):
    """Print to standard error, where that can be had, behind what was said before."""
    with suppress(OSError):
        finish()
    with suppress(OSError):
        _print(text, sys.stderr)


def finish():
    """Hand on what `say` was told."""
    _guarded(sys.stdout, lambda stream: stream.flush())


def encodable(text):
    """Whether standard output can take `text` as it is."""
    try:
        text.encode(_encoding_of(sys.stdout))
    except UnicodeEncodeError:
        return False
    return True


def on_terminal():
    """Whether people look at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


class Warnings(logging.Handler):
    """Prints what is logged."""

    def emit(self, record):
        complain(shown(self.format(record)))


def _print(text, stream):
    encoding = _encoding_of(stream)
    text = shown(text, keep="\n\t").encode(encoding, "backslashreplace").decode(encoding)
    _guarded(stream, lambda stream: print(text, file=stream))


def _encoding_of(stream):
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


# ── in ──


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that can be read on any stream."""

    def error(self, message):
        super().error(shown(message))

    def _print_message(self, message, file=None):
        if message:
            encoding = _encoding_of(file)
            message = message.encode(encoding, "backslashreplace").decode(encoding)
        super()._print_message(message, file)


def one_of(*names):
    """The type of an argument that is one of `names`."""

    def check(text):
        if text in names:
            return text
        near = difflib.get_close_matches(text.lower(), names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise argparse.ArgumentTypeError(f"invalid choice: {quoted(text)} (choose from {', '.join(names)}){hint}")

    return check


def whole(least):
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


def encoding(text):
    """The type of an argument that names an encoding."""
    try:
        return checked_encoding(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# ── files ──


def check_apart(inputs, outputs):
    """Refuse to write what is read, and to write two things to one file.

    Args:
        inputs, outputs: lists of (name of the argument, path).

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

    def __init__(self, paths):
        self._before = {path: _stamp(path) for path in paths}

    def written(self):
        """The paths of those that have been."""
        return [path for path, stamp in self._before.items() if _stamp(path) != stamp]


def _stamp(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
