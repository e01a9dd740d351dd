"""What must hold for any bytes whatever: read them in every way, and compare.

A case is one byte of switches and a file. The compiled loops and their plain twins must come to the same words, the same bits,
the same damage and the same message; an error must be a plain ValueError that names the file; and the rows picked out for some
words must be those of the whole.
"""

import logging
from contextlib import closing
from pathlib import Path

import numpy as np

from w2v_embed.matrix.sources.file import FileSource
from w2v_embed.readers import blocks, opened
from w2v_embed.readers.load import Collected
from w2v_embed.readers.scan import kernels, keys, plain
from w2v_embed.readers.scan.keys import WordSet

PICKED = ["a", "b", "中国", "the", "word", "x y", "", "\xa0"]
LENDERS = {"A", "c", "国", "1", "x  y", "\t", "\ufeffa", "zz"}  # read for the words that are missing
_HEADS = (1 << 18, 256, 64, 33)  # bytes looked at to recognise a file: few, so that small files go through many blocks
_ENCODINGS = ("utf-8", "utf-8", "gb18030", "utf-16")


class BrokenError(AssertionError):
    """Something that must hold does not."""


def check(case, path):
    """Try one case, with the file at `path`; raises `BrokenError`, or what the readers should not have let through."""
    switches, data = case[0] if case else 0, case[1:]
    Path(path).write_bytes(data)
    on_error = ("raise", "skip")[switches & 1]
    encoding = _ENCODINGS[switches >> 3 & 3]
    wanted = PICKED if switches >> 5 & 1 else None
    lends = bool(switches >> 6 & 1)
    logging.disable(logging.ERROR)
    old = opened.HEAD, blocks._BLOCK, blocks._LONGEST_RECORD, opened.hot_loops, opened._LEAST_NUMBERS
    opened.HEAD = _HEADS[switches >> 1 & 3]
    blocks._BLOCK, blocks._LONGEST_RECORD, opened._LEAST_NUMBERS = (16, 128)[switches >> 7], 1 << 12, 1
    try:
        results = []
        for hot in (kernels, plain):
            opened.hot_loops = keys.hot_loops = lambda size, hot=hot: (hot, 1)
            results.append(_read(path, wanted, encoding, on_error, lends))
        if results[0] != results[1]:
            raise BrokenError(f"the kernels gave {results[0]}\nthe plain loops gave {results[1]}")
        if wanted and results[0][0] == "read":
            _compare_with_whole(results[0], _read(path, None, encoding, on_error))
    finally:
        opened.HEAD, blocks._BLOCK, blocks._LONGEST_RECORD, opened.hot_loops, opened._LEAST_NUMBERS = old
        keys.hot_loops = opened.hot_loops
        logging.disable(logging.NOTSET)


def _read(path, wanted, encoding, on_error, lends=False):
    """("read", dim, rows as bytes by word, damage) or ("refused", message)"""
    try:
        if wanted is None:
            with opened.Opened(path, encoding=encoding, on_error=on_error) as file:
                file.look_for(None)
                sink = Collected(file, None, None)
                file.run(sink, log=False)
            words, rows, report = list(sink.index), sink.vectors(), file.report
        else:
            with closing(FileSource(Path(path), encoding=encoding, on_error=on_error)) as file:
                matrix = np.zeros((len(wanted), file.dim), np.float32)
                found = file.fill(wanted, matrix, np.arange(len(wanted)), (lambda _: LENDERS) if lends else None)
                words = [word for word, there in zip(wanted, found) if there]
                rows, report = matrix[found], file.report
                if lends and not found.all():
                    others = sorted(LENDERS)
                    for got, more in file.lend(others):
                        words, rows = words + [others[k] for k in got.tolist()], np.concatenate([rows, more])
                    known = WordSet(file.word_keys())
                    if not known.has(words).all():
                        raise BrokenError(f"{words} were found, but not all are said to be there: {known.has(words)}")
    except ValueError as error:
        if type(error) is not ValueError or str(path) not in str(error):
            raise BrokenError(f"{type(error).__name__}: {error}") from error
        return "refused", str(error)
    if len(words) != len(rows) or not np.isfinite(rows).all():
        raise BrokenError(f"{len(words)} words, {rows.shape} rows, finite: {np.isfinite(rows).all()}")
    return (
        "read",
        rows.shape[1],
        {word: row.tobytes() for word, row in zip(words, rows)},
        report.counts,
        report.examples,
    )


def _compare_with_whole(picked, whole):
    """What was picked out is in the whole, where the whole can be read (a damaged line that nobody asked for may forbid it)."""
    if whole[0] == "refused":
        return
    of_picked, expected = (
        {word: row for word, row in rows.items() if word in PICKED} for rows in (picked[2], whole[2])
    )
    lent = {word: row for word, row in picked[2].items() if word in LENDERS}
    if lent:  # all that are there, where one is
        of_picked |= lent
        expected |= {word: row for word, row in whole[2].items() if word in LENDERS}
    if picked[1] != whole[1] or of_picked != expected:
        raise BrokenError(f"picked {picked}\nof {whole}")
