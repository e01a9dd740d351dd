"""w2v_embed without its checks, to see what they cost: the format is given, and lines are only searched for their end."""

import numpy as np

from w2v_embed.readers import opened
from w2v_embed.readers.formats.text import Layout, Text
from w2v_embed.readers.scan import _jit, _text, _words, kernels, plain


def install(path):
    """Take the checks out of the readers in this process; `path` is word2vec text with a header."""
    with open(path, "rb") as file:
        line = file.readline()
    words, dim = map(int, line.split())
    opened.detect = lambda *_: Text()
    Text.open = lambda *_: Layout(dim, (words, dim), len(line))
    opened.Opened._check_words = lambda *_: None
    kernels.scan_text = scan_text


def scan_text(buf, end, dim, table, hits, odd, notes):
    """As `kernels.scan_text`, but no field is counted and no line is odd."""
    return _scan_text(buf, buf[: len(buf) & ~7].view(np.uint64), end, table, hits)


@_jit.compiled
def _scan_text(buf, buf8, end, table, hits):
    blob, begins, slots, others, salt = table
    p = line = n_hits = 0
    while p < end:
        begin = p
        key = plain.FNV_BASIS
        while buf[p] > plain.SPACE:
            key = (key ^ np.uint64(buf[p])) * plain.FNV_PRIME
            p += 1
        word_end = p
        p = _newline(buf, buf8, p, end)
        word = _words.look_up(buf, begin, word_end, key, blob, begins, slots, others, salt)
        if word >= 0:
            row = hits[n_hits]
            row[0], row[1], row[2], row[3], row[4] = word, line, begin, word_end, p
            n_hits += 1
        p += 1
        line += 1
    return p, line, 0, n_hits, 0, 0


@_jit.compiled
def _newline(buf, buf8, p, end):
    """Where the newline after p is: as `_text._line_end`, without the blanks."""
    while p & 7:
        if buf[p] == plain.NEWLINE:
            return p
        p += 1
    words = buf8[p >> 3 : end >> 3]
    q = 0
    while q + _text._STRIDE <= len(words):
        newlines = np.uint64(0)
        for k in range(_text._STRIDE):
            x = words[q + k] ^ _text._NEWLINES
            newlines |= ~(((x & _text._LOW7) + _text._LOW7) | x) & _text._HIGH
        if newlines:
            break
        q += _text._STRIDE
    p += q << 3
    while buf[p] != plain.NEWLINE:
        p += 1
    return p
