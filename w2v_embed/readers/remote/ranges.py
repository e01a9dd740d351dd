"""Some stretches of a file that is elsewhere, fetched into a temporary file: each at its place, and holes between.

What reads a local file at any place reads this one, if it says before what it will read (`have`). Whole kilobytes are fetched,
one request for each run of them; short gaps are fetched, too, for they cost less than a request.
"""

from __future__ import annotations

import tempfile
import weakref
from typing import TYPE_CHECKING

import numpy as np

from ..relay import each_in_threads
from .places import Place, remove_quietly
from .streams import DroppedError, Resumed

if TYPE_CHECKING:
    from ..._types import Ids
    from .places import Opened

_PAGE = 1 << 10
_GAP = 128  # pages that cost less than a request: at 10 MB/s 13 ms
_MOST = 1 << 12  # pages of a request
_REQUESTS = 6  # at a time, as browsers do


class Ranged(Place):
    """A file elsewhere, as far as it is here.

    Args:
        place: where it is.
        stream: it, opened, of a known size; `at` is what is asked of it from now on, and it may be closed.
        head: its first bytes, which were read already.
    """

    elsewhere = False

    def __init__(self, place: Place, stream: Resumed, head: bytes) -> None:
        super().__init__(place.shown, place.name)
        self._stream = stream
        self.size: int = stream.size or 0
        number, self._path = tempfile.mkstemp(prefix="w2v_embed.")
        weakref.finalize(self, remove_quietly, self._path)
        with open(number, "wb") as file:
            file.write(head)
            file.truncate(self.size)
        self._here = np.zeros(-(-self.size // _PAGE), np.bool_)
        self._here[: len(self._here) if len(head) >= self.size else len(head) // _PAGE] = True

    def open(self) -> Opened:
        return open(self._path, "rb", buffering=0)

    def missing(self, begins: Ids, sizes: Ids) -> Ids:
        """The runs of pages to be fetched so that some stretches are here: an array (n, 2) of first ones and ends."""
        pages = len(self._here)
        edges = np.zeros(pages + 1, np.int32)
        some = np.asarray(sizes) > 0
        begins, ends = np.asarray(begins)[some], (np.asarray(begins) + sizes)[some]
        np.add.at(edges, np.minimum(begins // _PAGE, pages), 1)
        np.add.at(edges, np.minimum((ends - 1) // _PAGE + 1, pages), -1)
        wanted = np.flatnonzero((np.cumsum(edges[:-1]) > 0) & ~self._here)
        if not len(wanted):
            return np.empty((0, 2), np.int64)
        ends = np.flatnonzero(np.append(np.diff(wanted) > _GAP, True))
        begins = np.append(0, ends[:-1] + 1)
        return np.stack([wanted[begins], wanted[ends] + 1], axis=1).astype(np.int64)

    def have(self, begins: Ids, sizes: Ids) -> None:
        """Fetch what of these stretches is not here yet.

        Raises:
            DroppedError, OSError: it cannot be had, or the file is another one now.
        """
        runs = self.missing(begins, sizes)
        if not len(runs):
            return
        asked = [(at, min(at + _MOST, end)) for begin, end in runs.tolist() for at in range(begin, end, _MOST)]
        with open(self._path, "r+b") as file:

            def fetched(pages: tuple[int, int]) -> tuple[int, bytes]:
                at, end = pages[0] * _PAGE, min(pages[1] * _PAGE, self.size)
                return at, self._stream.at(at, end - at)

            def keep(got: tuple[int, bytes]) -> None:
                file.seek(got[0])
                file.write(got[1])

            each_in_threads(fetched, asked, keep, min(_REQUESTS, len(asked)))
        if not self._stream.is_same():
            raise DroppedError(f"{self.shown} has changed while it was read")
        for begin, end in runs.tolist():
            self._here[begin:end] = True

    def cost_of(self, runs: Ids) -> int:
        """What runs of pages cost, in bytes: their own, and those that could come in the time of a request."""
        return (int(np.diff(runs, axis=1).sum()) + len(runs) * _GAP) * _PAGE
