"""The command line: `w2v-embed build`, `vocab`, `inspect`, `convert`, `encode`, `similar`.

Exit codes: 0 done, 1 bad input, 2 bad usage, 130 interrupted.
"""

import sys

# Nothing else is loaded here: while NumPy is, Ctrl-C must already be answered in one line.


def main(argv=None):
    """Run the command line; returns the exit code."""
    try:
        from .commands import run

        return run(argv)
    except KeyboardInterrupt:
        print("w2v-embed: stopped; no output was written", file=sys.stderr)
        return 130
    finally:
        if argv is None:  # the process ends here; a second Ctrl-C finds nobody to answer it
            import signal

            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
