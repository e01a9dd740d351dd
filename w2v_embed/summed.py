"""Rows in a file, and the checksums by which some of them are believed without reading the others.

A block is as many rows as 4096 bytes hold, one at least; the last may have fewer. `sums` has the CRC-32 of each, as int64.
Together they give the CRC-32 of all rows, which the file's own checksum counts: so it is known before any row is read whether
they are true. Where a file has none (earlier ones, .npz), all rows are read in turn, and their checksum is looked at behind the
last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .contents import bytes_of, crc32
from .mapped import mapped

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    import numpy.typing as npt

    from ._types import Bytes, Floats, Ids

    Sums: TypeAlias = Ids
    Stretches: TypeAlias = Callable[[int, Ids, Ids, Bytes], int]

SUMS = "sums"  # the tensor
_BYTES = 4096  # of a block; less, and a sum is more than a five hundredth of what it is of
_DENSE = 2  # where more than one in so many blocks is wanted, all between them are read, too


def block_rows(dim: int, dtype: npt.DTypeLike) -> int:
    """How many rows of `dim` numbers a block has.

    >>> block_rows(300, "float32"), block_rows(5000, "float32")
    (3, 1)
    """
    return max(_BYTES // max(dim * np.dtype(dtype).itemsize, 1), 1)


def count_of(shape: Sequence[int], dtype: npt.DTypeLike) -> int:
    """How many blocks there are of a matrix."""
    return -(-shape[0] // block_rows(shape[1], dtype))


class Summing:
    """The sums of rows that come one part after another.

    Args:
        dim, dtype: of the rows.
    """

    def __init__(self, dim: int, dtype: npt.DTypeLike) -> None:
        self._size = block_rows(dim, dtype) * dim * np.dtype(dtype).itemsize
        self._sums: list[int] = []
        self._crc = self._in = 0  # of the block that is begun: the bytes it has

    def add(self, rows: Floats) -> None:
        """The next rows."""
        from isal.isal_zlib import crc32

        values, size = memoryview(bytes_of(rows)), self._size
        at = min(-self._in % size, len(values)) if size else 0
        if at:
            self._crc, self._in = crc32(values[:at], self._crc), self._in + at
            if self._in == size:
                self._sums.append(self._crc)
                self._crc = self._in = 0
        stop = at + (len(values) - at) // size * size if size else at
        self._sums += [crc32(values[k : k + size]) for k in range(at, stop, size)]
        if stop < len(values):
            self._crc, self._in = crc32(values[stop:]), len(values) - stop

    def sums(self) -> Sums:
        """Of all blocks up to now."""
        return np.array([*self._sums, *([self._crc] if self._in else ())], np.int64)


def sums_of(matrix: Floats) -> Sums:
    """The sums of a matrix.

    >>> sums_of(np.zeros((4, 300), "f4")).tolist() == [crc32(bytes(3600)), crc32(bytes(1200))]
    True
    """
    summing = Summing(matrix.shape[1], matrix.dtype)
    summing.add(matrix)
    return summing.sums()


def whole_of(sums: Sums, shape: Sequence[int], dtype: npt.DTypeLike) -> int:
    """The CRC-32 of all values of a matrix whose blocks have these.

    >>> matrix = np.arange(3000, dtype="f4").reshape(10, 300)
    >>> whole_of(sums_of(matrix), matrix.shape, matrix.dtype) == crc32(matrix)
    True
    """
    from isal.isal_zlib import crc32_combine

    rows, width = block_rows(shape[1], dtype), shape[1] * np.dtype(dtype).itemsize
    if not len(sums) or not width:
        return 0
    # Bytes that follow change a CRC in a linear way: bit by bit, which columns say. Neighbours are joined, then pairs of them.
    crcs = sums[:-1].astype(np.uint32)
    columns = np.array([crc32_combine(1 << bit, 0, rows * width) for bit in range(32)], np.uint32)
    while len(crcs) > 1:
        if len(crcs) % 2:
            crcs = np.concatenate([np.zeros(1, np.uint32), crcs])  # of no bytes at all
        crcs = _followed(crcs[::2], columns) ^ crcs[1::2]
        columns = _followed(columns, columns)
    last = (shape[0] - (len(sums) - 1) * rows) * width
    return crc32_combine(int(crcs[0]) if len(crcs) else 0, int(sums[-1]), last)


def _followed(crcs, columns):
    """CRCs of bytes → those of the same with the zeros behind them that the columns are of."""
    if len(crcs) <= 256:
        bits = crcs[:, None] >> np.arange(32, dtype=np.uint32) & 1
        return np.bitwise_xor.reduce(bits * columns, axis=1)
    result = np.zeros_like(crcs)
    for shift in range(0, 32, 8):  # byte by byte
        of_byte = _followed(np.arange(256, dtype=np.uint32) << np.uint32(shift), columns)
        result ^= of_byte[crcs >> np.uint32(shift) & np.uint32(255)]
    return result


class FileRows:
    """A matrix in a file; rows are read when they are asked for, and checked as they come.

    (Not mapped, unless somebody asks for it: cutting a mapped file kills its readers.)

    Args:
        file: it must stay open.
        begin: the byte at which the rows begin.
        shape, dtype: of the matrix.
        sums: of its blocks, or None.

    Attributes:
        crc: the CRC-32 of all values, as `sums` have it.
        check: where there are no sums: is called with the CRC-32 of all values when the last of them was read, if all were, one
            slice after the other.
        stretches: what reads stretches of a file, each with a byte behind it: see `scan.kernels.read_stretches`.
    """

    check: Callable[[int], object]
    stretches: Stretches

    def __init__(
        self, file: io.FileIO, begin: int, shape: tuple[int, ...], dtype: np.dtype[Any], sums: Sums | None = None
    ) -> None:
        rows, dim = shape
        self.shape: tuple[int, ...] = shape
        self.nbytes: int = rows * dim * dtype.itemsize
        self._file, self._begin, self._dtype, self._sums = file, begin, dtype, sums
        if sums is not None and len(sums) and not 0 <= sums.min() <= sums.max() < 1 << 32:
            raise ValueError(f"its {SUMS} go from {sums.min()} to {sums.max()}; expected CRC-32")
        self._width, self._block = dim * dtype.itemsize, block_rows(dim, dtype)
        self.crc: int | None = None if sums is None else whole_of(sums, shape, dtype)
        self._next = self._crc = 0
        self.stretches = lambda *_: 0

    def mapped(self) -> npt.NDArray[Any]:
        """All rows, as they lie in the file, not looked at."""
        return mapped(self._file.fileno(), self._begin, self.shape, self._dtype)

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        first, last, _ = rows.indices(self.shape[0])
        last = max(first, last)
        if self._sums is None:
            array, values = self._read(first, last)
            if first == self._next:
                self._crc, self._next = crc32(values, self._crc), last
                if last == self.shape[0]:
                    self.check(self._crc)
            return array
        begin, end = self._bounds(first, last)
        array, values = self._read(begin, end)
        if end - begin < self.shape[0] or crc32(values) != self.crc:
            self._check(values, np.arange(begin // self._block, -(-end // self._block)))
        return array[first - begin : last - begin]

    def some(self, numbers: Ids, begin: int, stop: int) -> npt.NDArray[Any]:
        """The rows of these numbers, which rise and are from `begin` up to `stop`: of those it reads no more than it must."""
        if self._sums is None:
            return self[begin:stop][numbers - begin]
        if not len(numbers):
            return np.empty((0, self.shape[1]), self._dtype)
        of = numbers // self._block
        blocks = of[np.diff(of, prepend=-1) > 0]
        if _DENSE * self._block * len(blocks) >= stop - begin:
            first, last = int(numbers[0]), int(numbers[-1]) + 1
            rows = self[first:last]
            return rows if len(numbers) == last - first else rows[numbers - first]
        size = self._block * self._width
        begins = self._begin + blocks * size
        sizes = np.minimum(size, self._begin + self.nbytes - begins)
        read = np.empty((len(blocks), size + 1), np.uint8)
        view = read.data.cast("B")
        for k in range(self.stretches(self._file.fileno(), begins, sizes, read.reshape(-1)), len(blocks)):
            fill(self._file, int(begins[k]), view[k * (size + 1) : k * (size + 1) + int(sizes[k])])
        self._check(view, blocks, size + 1)
        rows = read[:, :size].reshape(len(blocks), self._block, self._width)
        at = np.searchsorted(blocks, of)
        return rows[at, numbers - of * self._block].view(self._dtype).reshape(len(numbers), self.shape[1])

    def check_mapped(self, matrix: npt.NDArray[Any], begin: int, stop: int) -> None:
        """Look at the blocks of some rows in `mapped()`, where there are sums.

        Raises:
            ValueError: they are not what was written.
        """
        if self._sums is not None:
            first, last = self._bounds(begin, stop)
            blocks = np.arange(first // self._block, -(-last // self._block))
            self._check(memoryview(bytes_of(matrix[first:last])), blocks)

    def _bounds(self, first, last):
        """The rows of all blocks of these."""
        return first - first % self._block, min(-(-last // self._block) * self._block, self.shape[0])

    def _read(self, first, last):
        array = np.empty((last - first, self.shape[1]), self._dtype)
        values = memoryview(array).cast("B") if array.size else memoryview(b"")
        fill(self._file, self._begin + first * self._width, values)
        return array, values

    def _check(self, values, blocks, step=None):
        """`values` has the blocks of these numbers, one each `step` bytes."""
        from isal.isal_zlib import crc32

        size = self._block * self._width
        left, step = self.nbytes - size * int(blocks[-1]) if len(blocks) else 0, step or size
        sizes = [size] * (len(blocks) - 1) + [min(size, left)]
        got = [crc32(values[k * step : k * step + size]) for k, size in zip(range(len(blocks)), sizes)]
        wrong = np.flatnonzero(np.array(got, np.int64) != self._sums[blocks])
        if len(wrong):
            k = int(wrong[0])
            told, row = int(self._sums[blocks[k]]), int(blocks[k]) * self._block
            raise ValueError(
                f"the checksum of its rows {row} to {min(row + self._block, self.shape[0]) - 1} says {told:08x}, their content "
                f"gives {got[k]:08x}: a part of it was changed"
            )


def fill(file: io.FileIO, begin: int, view: memoryview) -> None:
    """Fill `view` with what lies at a byte of a file.

    Raises:
        ValueError: the file ends before.
    """
    file.seek(begin)
    while len(view):
        got = file.readinto(view)
        if not got:
            raise ValueError(f"it ends {len(view)} bytes too early")
        view = view[got:]


class NamedRows:
    """Rows, of which some that cannot be read are an error of `broken`."""

    def __init__(self, rows: Any, broken: Callable[[Exception], Exception]) -> None:
        self.shape: tuple[int, ...] = rows.shape
        self._rows, self._broken = rows, broken

    def __getitem__(self, rows: slice) -> Floats:
        try:
            return self._rows[rows]
        except ValueError as error:
            raise self._broken(error) from error

    def some(self, numbers: Ids, begin: int, stop: int) -> Floats:
        """As of `FileRows`, also of an array."""
        try:
            if isinstance(self._rows, FileRows):
                return self._rows.some(numbers, begin, stop)
            return self._rows[numbers]
        except ValueError as error:
            raise self._broken(error) from error
