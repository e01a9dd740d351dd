"""The command line: `w2v-embed build`, `vocab`, `inspect`, `convert`, `encode`, `similar`, `evaluate`, `compare`, `train`,
`predict`.

Exit codes: 0 done, 1 bad input, 2 bad usage, 130 interrupted.
"""

from __future__ import annotations

import sys

_AGAIN = 0.02  # seconds

# Nothing else is loaded here: while NumPy is, Ctrl-C must already be answered in one line.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    pressed: list[int] = []
    try:
        if argv is None:  # the process is ours
            _note_interrupts(pressed)
        from .commands import run

        return run(argv, pressed)
    except BaseException as error:
        if not pressed and not isinstance(error, KeyboardInterrupt):
            raise
        if sys.stderr is not None:
            print("w2v-embed: stopped; no output was written", file=sys.stderr)
        return 130
    finally:
        if argv is None:
            _end_on_interrupts()


def _note_interrupts(pressed):
    """Note each Ctrl-C in `pressed`. Libraries make other errors of KeyboardInterrupt, as NumPy does while it is loaded."""
    import signal

    def note(number, frame):
        pressed.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else Ctrl-C is meant for others
        signal.signal(signal.SIGINT, note)
        _raise_again()


def _raise_again():
    """Raise KeyboardInterrupt anew where Python drops it: out of a callback of the garbage collector, of which JAX has one that
    runs all the time, of a weak reference, or of a finalizer."""
    import time
    from _thread import interrupt_main, start_new_thread

    tell = sys.unraisablehook

    def dropped(what):
        if issubclass(what.exc_type, KeyboardInterrupt):
            start_new_thread(again, ())
        else:
            tell(what)

    def again():
        time.sleep(_AGAIN)  # at once it would be dropped, too
        interrupt_main()

    sys.unraisablehook = dropped


def _end_on_interrupts():
    """From here on nobody would answer Ctrl-C with less than a traceback."""
    import signal

    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
