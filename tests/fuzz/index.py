"""What must hold for any bytes and the index beside them: what is read by it is what is read without, whatever changed since.

A case is three bytes of switches, a place and a value, and a file. An index is made of the file, where it can have one; then
the file or the index is changed, or neither; then the words are looked for with the index and without.
"""

import logging
import os
from contextlib import closing
from pathlib import Path

import numpy as np

from w2v_embed import stamps
from w2v_embed.matrix.sources.file import FileSource
from w2v_embed.readers import blocks, opened, sidecar

PICKED = ["a", "b", "中国", "the", "word", "x y", "", "\xa0", "w1"]
LENDERS = {"A", "c", "国", "1", "x  y", "\t", "\ufeffa", "zz"}


class BrokenError(AssertionError):
    """Something that must hold does not."""


def check(case, path):
    """Try one case, with the file at `path`."""
    switches, at, value, data = (*case[:3], case[3:]) if len(case) > 3 else (0, 0, 0, b"")
    Path(path).write_bytes(data)
    logging.disable(logging.ERROR)
    old = opened.HEAD, blocks._BLOCK, blocks._LONGEST_RECORD, opened._LEAST_NUMBERS, stamps._YOUNG
    opened.HEAD, blocks._BLOCK = (1 << 18, 64)[switches & 1], (16, 128)[switches >> 1 & 1]
    blocks._LONGEST_RECORD, opened._LEAST_NUMBERS = 1 << 12, 1
    change = switches >> 2 & 7
    stamps._YOUNG = 2.0 if change else -1e9  # where nothing changes, the times are believed
    try:
        try:
            index, _ = sidecar.make_index(path)
        except ValueError as error:
            if type(error) is not ValueError or str(path) not in str(error):
                raise BrokenError(f"{type(error).__name__}: {error}") from error
            return
        _change(change, data, path, index, at, value)
        for on_error in ("raise", "skip"):
            lends = bool(switches >> 5 & 1)
            told = [_read(path, on_error, lends, index=use) for use in (None, False)]
            if told[0] != told[1]:
                raise BrokenError(f"with its index {told[0]}\nwithout {told[1]}")
    finally:
        opened.HEAD, blocks._BLOCK, blocks._LONGEST_RECORD, opened._LEAST_NUMBERS, stamps._YOUNG = old
        logging.disable(logging.NOTSET)
        if os.path.exists(sidecar.index_path(path)):
            os.remove(sidecar.index_path(path))


def _change(change, data, path, index, at, value):
    """Change the file, or its index, and set the time of the file back."""
    times, own = os.stat(path), bytearray(data)
    place = at * max(len(data) // 256, 1) % max(len(data), 1)
    if change == 1 and own:
        own[place] = value
    elif change == 2:
        own += bytes([value]) * (at % 40) + b"\na 1 2 3\n"
    elif change == 3:
        del own[place:]
    elif change == 4:
        own[place:place] = data[: at % 64]
    elif change == 5:  # one of the same size
        lines = own.split(b"\n")
        own = bytearray(b"\n".join([lines[0], *reversed(lines[1:-1]), *lines[1:][-1:]]))
    elif change >= 6:
        content = bytearray(index.read_bytes())
        content[(at * 256 + value) % len(content)] ^= 1 + (value & 127)
        index.write_bytes(content if change == 6 else content[: (at * 256 + value) % len(content)])
        return
    if own != data:
        with open(path, "rb+") as file:
            file.truncate(0)
            file.write(own)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _read(path, on_error, lends, index):
    """("read", rows as bytes by word, damage, lent rows, those it has) or ("refused", message)"""
    try:
        with closing(FileSource(Path(path), on_error=on_error, index=index)) as file:
            matrix = np.zeros((len(PICKED), file.dim), np.float32)
            found = file.fill(PICKED, matrix, np.arange(len(PICKED)), (lambda _: LENDERS) if lends else None)
            lent, has = {}, []
            if lends and not found.all():
                others = sorted(LENDERS)
                has = file.has(others).tolist()
                for got, rows in file.lend(others):
                    lent.update((others[k], row.tobytes()) for k, row in zip(got.tolist(), rows))
            return "read", found.tolist(), matrix.tobytes(), file.report.counts, file.report.examples, lent, has
    except ValueError as error:
        if type(error) is not ValueError or str(path) not in str(error):
            raise BrokenError(f"{type(error).__name__}: {error}") from error
        return "refused", str(error)
