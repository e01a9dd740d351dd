"""w2v_embed without its checks, to see what they cost: the format is given, and lines are only searched for their end."""

import numpy as np

from w2v_embed.readers import opened
from w2v_embed.readers.formats.text import Layout, Text
from w2v_embed.readers.scan import kernels


def install(path):
    """Take the checks out of the readers in this process; `path` is word2vec text with a header."""
    with open(path, "rb") as file:
        line = file.readline()
    words, dim = map(int, line.split())
    opened.detect = lambda *_: Text()
    Text.open = lambda *_: Layout(dim, (words, dim), len(line))
    opened.Opened._check_words = lambda *_: None
    kernels.scan_text = scan_text


def scan_text(buf, start, end, dim, table, found, odd, notes, offset):
    """As `kernels.scan_text`, but no field is counted and no line is odd."""
    return _scan_text(buf, buf[: len(buf) & ~7].view(np.uint64), start, end, table, found)


@kernels._compiled
def _scan_text(buf, buf8, start, end, table, found):
    blob, begins, slots, others, salt = table
    line = n_found = 0
    p = start
    while p < end:
        begin = p
        key = kernels._FNV_BASIS
        while buf[p] > kernels.SPACE:
            key = (key ^ np.uint64(buf[p])) * kernels._FNV_PRIME
            p += 1
        word_end = p
        p = _newline(buf, buf8, p, end)
        word = kernels._look_up(buf, begin, word_end, key, blob, begins, slots, others, salt)
        if word >= 0:
            row = found[n_found]
            row[0], row[1], row[2], row[3], row[4] = word, line, begin, word_end, p
            n_found += 1
        p += 1
        line += 1
    return p, line, 0, n_found, 0, 0


@kernels._compiled
def _newline(buf, buf8, p, end):
    """Where the newline after p is: as `kernels._line_end`, without the blanks."""
    while p & 7:
        if buf[p] == kernels.NEWLINE:
            return p
        p += 1
    words = buf8[p >> 3 : end >> 3]
    q = 0
    while q + kernels._STRIDE <= len(words):
        newlines = np.uint64(0)
        for k in range(kernels._STRIDE):
            x = words[q + k] ^ kernels._NEWLINES
            newlines |= ~(((x & kernels._LOW7) + kernels._LOW7) | x) & kernels._HIGH
        if newlines:
            break
        q += kernels._STRIDE
    p += q << 3
    while buf[p] != kernels.NEWLINE:
        p += 1
    return p
