"""What must hold for the hot loops alone, over any bytes: the compiled ones find and parse what their plain twins do.

No file is opened, so this is tried many times more often than whole readers are. A case is one byte of switches and the bytes
of a block, which lie in a buffer that ends right behind the padding: a read past it is caught by the sanitizers.
"""

import numpy as np

from w2v_embed.readers.formats.text import read_line
from w2v_embed.readers.scan import kernels, plain

_WORDS = (b"a", b"b", b"c", b"word", "中国".encode(), b"x", b"")
_TABLES = {(hot, some): hot.make_table(list(_WORDS) if some else []) for hot in (kernels, plain) for some in (0, 1)}


class BrokenError(AssertionError):
    """Something that must hold does not."""


def check(case, path=None):
    """Try one case; there is no file."""
    switches, data = case[0] if case else 0, case[1:]
    dim = (1, 2, 3, 5)[switches & 3]
    wanted = switches >> 2 & 1
    binary, notes = switches >> 3 & 1, switches >> 4 & 1
    kernels.use_avx2(not switches >> 6 & 1)
    if not binary and not data.endswith(b"\n"):
        data += b"\n"
    end = len(data)
    buf = np.frombuffer(data + bytes(plain.PADDING), np.uint8).copy()  # (a small one of Python's has no guarded end)
    got, expected = (_scan(hot, buf, end, dim, wanted, binary, notes) for hot in (kernels, plain))
    for one, other in zip(got, expected):
        if not np.array_equal(one, other):
            raise BrokenError(f"the kernels found {got}\nthe plain loops {expected}")
    hits = got[1]
    (rows, unsure), (twin, twin_unsure) = (_parse(hot, buf, hits, dim, binary) for hot in (kernels, plain))
    for k, (_, _, begin, _, stop) in enumerate(hits.tolist()):
        if unsure[k] and twin_unsure[k]:
            continue
        if binary:
            same = rows[k].tobytes() == twin[k].tobytes() and unsure[k] == twin_unsure[k]
        else:
            _, row, wrong = read_line(buf[begin:stop].tobytes(), dim)
            same = wrong is None and all(
                left or one.tobytes() == row.tobytes()
                for left, one in ((unsure[k], rows[k]), (twin_unsure[k], twin[k]))
            )
        if not same:
            line = buf[begin:stop].tobytes()
            raise BrokenError(
                f"{line}: the kernels gave {rows[k]} ({unsure[k]}), the plain loops {twin[k]} ({twin_unsure[k]})"
            )
    if switches >> 5 & 1:
        _compare_words(buf, hits)
    kernels.use_avx2(True)


def _scan(hot, buf, end, dim, wanted, binary, notes):
    table = _TABLES[hot, wanted]
    least = 4 * dim + 2 if binary else 2 * dim + 2
    hits = np.empty((end // least + 1, 5), np.int64)
    odd = np.empty((end // 2 + 2, 3), np.int64)
    room = tuple(np.zeros((2, len(hits)), np.int64)) if notes else plain.NO_NOTES
    if binary:
        *told, n, n_noted = hot.scan_binary(buf, end, dim, table, hits, room)
        n_odd = 0
    else:
        *told, n, n_odd, n_noted = hot.scan_text(buf, end, dim, table, hits, odd, room)
    return np.array(told), hits[:n], odd[:n_odd], np.array(room)[:, :n_noted]


def _parse(hot, buf, hits, dim, binary):
    rows, unsure = np.zeros((len(hits), dim), np.float32), np.zeros(len(hits), np.bool_)
    (hot.parse_binary if binary else hot.parse_text)(buf, hits, rows, unsure)
    return rows, unsure


def _compare_words(buf, hits):
    begins, ends = hits[:, 2].copy(), hits[:, 3].copy()
    keys = [hot.keys_of(buf, begins, ends) for hot in (kernels, plain)]
    joined = []
    for hot in (kernels, plain):
        out = np.empty(len(buf) + len(hits), np.uint8)
        joined.append(out[: hot.join_words(buf, hits, out)].tobytes())
    known = [hot.are_in(keys[0], hot.make_set([keys[0][::2]])) for hot in (kernels, plain)]
    if not np.array_equal(*keys) or joined[0] != joined[1] or not np.array_equal(*known) or not known[0][::2].all():
        raise BrokenError(f"keys {keys}, words {joined}, known {known}")
