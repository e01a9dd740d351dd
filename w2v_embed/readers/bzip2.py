"""bzip2, its blocks unpacked by several threads.

    a stream: b"BZh", a digit; blocks; the end's mark, and the CRC of all blocks; zeros up to a whole byte
    a block: its mark (48 bits), its CRC (32 bits), its data: it can begin and end at any bit

Streams may follow one another (pbzip2 writes them so), and zeros the last one. What lies between two marks is a block, which
Python's `bz2` unpacks as a stream of its own; should data look like a mark, it fails, and is tried again up to the next one.
"""

from __future__ import annotations

import bz2
import io
import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

_BLOCK, _END = 0x314159265359, 0x177245385090
_MARK = 48  # bits
_CRC = 32
_PIECE = 1 << 20  # bytes that are searched at a time
_MOST_PACKED = 1 << 21  # bytes of a block: twice what a compressor makes of 900 kB at worst
_TRIES = 3  # marks at which a block may end

# The third and the fourth byte of a mark that begins at any bit of its first one.
_INSIDE = np.zeros(1 << 16, np.bool_)
for _shift in range(8):
    for _mark in (_BLOCK, _END):
        _INSIDE[(_mark << 8 - _shift) >> 24 & 0xFFFF] = True


class Bzip2File(io.RawIOBase):
    """A bzip2 file as a stream of its data.

    Args:
        file: an open binary file without a buffer.
        threads: how many threads may unpack it.
    """

    def __init__(self, file: io.FileIO, threads: int) -> None:
        self._file, self._threads = file, threads
        self._finder = self._find_marks()
        self._marks: deque[tuple[int, int]] = deque()  # (bit, which one), the first being where reading goes on
        self._ahead: dict[tuple[int, int], Future[bytes]] = {}  # (first bit, last bit) → future of a block's data
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._n_read = 0
        self._blocks = self._unpack_all()
        self._ready = memoryview(b"")
        self.position: int = 0  # bytes of the file whose data were read

    def readable(self) -> bool:
        return True

    def readinto(self, view: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = next(self._blocks, None)
            if data is None:
                return 0
            self._ready = memoryview(data)
        n = min(len(view), len(self._ready))
        view[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        super().close()

    def _unpack_all(self):
        """The data of each block."""
        begin = 0
        while True:
            head = self._read(begin, 4)
            if begin and head[:1] in (b"", b"\0"):
                begin = self._after_zeros(begin)
                head = self._read(begin, 4)
                if not head:
                    self.position = begin
                    return
            if head[:3] != b"BZh" or head[3:] not in [b"%d" % level for level in range(1, 10)]:
                raise ValueError(f"expected a stream at byte {begin}, got {head!r}")
            crc, bit = 0, 8 * (begin + 4)
            while self._mark_at(bit) == _BLOCK:
                crc = (crc << 1 & 0xFFFFFFFF | crc >> 31) ^ self._bits(bit + _MARK, _CRC)
                data, bit = self._unpack(bit)
                self.position = bit >> 3
                self._n_read += 1
                yield data
            self._check_end(bit + _MARK + _CRC)  # else zeros would be taken for what is missing of the checksum
            if self._bits(bit + _MARK, _CRC) != crc:
                raise ValueError(f"the stream that begins at byte {begin} has another checksum than is written in it")
            begin = (bit + _MARK + _CRC + 7) >> 3
            self._marks.popleft()

    def _mark_at(self, bit):
        """The mark at `bit`; those before it are dropped."""
        while self._marks and self._marks[0][0] < bit:
            self._marks.popleft()
        self._look_ahead()
        if not self._marks or self._marks[0][0] != bit:
            self._check_end(bit + _MARK)
            raise ValueError(f"expected a block at byte {bit >> 3}, got none")
        return self._marks[0][1]

    def _check_end(self, bit):
        """Raise where the file ends before `bit`, in a stream."""
        size = self._file.seek(0, io.SEEK_END)
        if 8 * size < bit:
            raise EOFError(f"it ends at byte {size}, in the middle of a stream")

    def _unpack(self, begin):
        """The block that begins at the bit `begin`, which is the first mark → (its data, the bit after it)."""
        for number in range(1, _TRIES + 1):
            self._find(number + 1)
            if number >= len(self._marks):
                raise EOFError(f"it ends in the block that begins at byte {begin >> 3}")
            stop = self._marks[number][0]
            future = self._ahead.pop((begin, stop), None)
            try:
                return (future.result() if future else _data_of(*self._packed(begin, stop))), stop
            except (OSError, ValueError):
                pass
        raise ValueError(f"the block that begins at byte {begin >> 3} is damaged")

    def _look_ahead(self):
        """Find the next marks, and let the threads unpack what is between them."""
        # No more blocks ahead than were read already: some frequent words may all be found in the first one.
        wanted = min(1 + self._n_read, max(self._threads, _TRIES))
        self._find(wanted + 1)
        marks = list(self._marks)
        for (begin, which), (stop, _) in itertools.pairwise(marks):
            if self._pool and wanted > 1 and which == _BLOCK and (begin, stop) not in self._ahead:
                try:
                    self._ahead[begin, stop] = self._pool.submit(_data_of, *self._packed(begin, stop))
                except RuntimeError:  # no thread can be started: go on without
                    self._pool = None
                except ValueError:  # no block
                    pass
        first = marks[0][0] if marks else 0
        self._ahead = {span: future for span, future in self._ahead.items() if span[0] >= first}

    def _find(self, count):
        """Have `count` marks at hand, unless the file has fewer."""
        while len(self._marks) < count:
            mark = next(self._finder, None)
            if mark is None:
                break
            self._marks.append(mark)

    def _packed(self, begin, stop):
        """The bytes that hold the bits from `begin` to `stop`; where in them these begin; how many they are."""
        if not _MARK + _CRC < stop - begin <= 8 * _MOST_PACKED:
            raise ValueError
        first = begin >> 3
        return self._read(first, (stop + 7 >> 3) - first), begin & 7, stop - begin

    def _find_marks(self):
        """All marks: (bit, which one)."""
        for start in range(0, 1 << 62, _PIECE):
            data = self._read(start, _PIECE + 8) + bytes(4)
            pairs = [np.frombuffer(data, ">u2", len(data) // 2 - 2, first) for first in (2, 3)]
            places = [2 * np.flatnonzero(_INSIDE[some]) + k for k, some in enumerate(pairs)]
            for place in np.sort(np.concatenate(places)).tolist():
                number = int.from_bytes(data[place : place + 7], "big")
                for shift in range(8):
                    mark = number >> 8 - shift & (1 << _MARK) - 1
                    if mark in (_BLOCK, _END) and place < _PIECE:
                        yield 8 * (start + place) + shift, mark
            if len(data) < _PIECE + 12:
                return

    def _after_zeros(self, begin):
        """The first byte from `begin` on that is not 0, or the end."""
        while True:
            data = self._read(begin, _PIECE)
            rest = data.lstrip(b"\0")
            begin += len(data) - len(rest)
            if rest or not data:
                return begin

    def _bits(self, begin, n):
        """The number in the next `n` bits, up to 56."""
        return int.from_bytes(self._read(begin >> 3, 8).ljust(8, b"\0"), "big") >> 64 - (begin & 7) - n & (1 << n) - 1

    def _read(self, begin, n):
        self._file.seek(begin)
        return self._file.read(n)


def _data_of(packed, begin, n):
    """Unpack the block that is the `n` bits of `packed` from bit `begin` on."""
    block = int.from_bytes(packed, "big") >> 8 * len(packed) - begin - n & (1 << n) - 1
    crc = block >> n - _MARK - _CRC & 0xFFFFFFFF  # of one block, so that of the stream, too
    stream = (block << _MARK | _END) << _CRC | crc
    n += _MARK + _CRC
    unpack = bz2.BZ2Decompressor()
    data = unpack.decompress(b"BZh9" + (stream << -n % 8).to_bytes(n + 7 >> 3, "big"))
    if not unpack.eof or unpack.unused_data:
        raise ValueError
    return data
