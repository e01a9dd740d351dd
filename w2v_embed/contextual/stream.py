"""Vectors of a corpus, written to an .npy file as they come, so that neither memory nor a kill is a limit.

Rows go to `PATH.part`, which one process at a time may write: it holds a lock on the file, which the system takes back when
the process ends, however it ends. `PATH.part.json` says how many rows are safe, and of which texts and settings they are. It
is replaced after the rows have been written, and removed before a part is begun anew, so that it never speaks of rows that
are not there. `PATH` itself is only ever replaced by a whole file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..output import BusyError, check_writable, fcntl, lock
from ..progress import text_reporter
from ..shown import logger
from .inputs import chunks

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import StrPath, TextProgress

_LARGEST_STATE = 1 << 20
_READ_AT_ONCE = 1 << 20


class NpyWriter:
    """Writes rows to `PATH.part` and, when all are there, renames it to `PATH`.

    The next run with the same texts and settings goes on behind the rows that are safe.

    Args:
        path: of the .npy file; where it is a link, the file that it leads to.
        width: of a row.
        settings: what the vectors depend on, a dict for JSON.

    Attributes:
        rows: that are safe.

    Raises:
        ValueError: if another run writes to this path, what an earlier one left is damaged or of other settings, or `path` is
            a pipe or a device.
        IsADirectoryError, FileNotFoundError, PermissionError: if no file can be made at `path`.
    """

    rows: int

    def __init__(self, path: StrPath, width: int, settings: Mapping[str, Any]) -> None:
        self._path = check_writable(path)
        self._width = width
        self._settings = json.loads(json.dumps({**settings, "width": width}))
        self._part = self._path.with_name(self._path.name + ".part")
        self._state = self._path.with_name(self._path.name + ".part.json")
        self._new_state = self._path.with_name(self._path.name + ".part.json.new")
        self._texts, self._expected, self._crc = b"", "", 0
        check_writable(self._part)
        self._file, self._finished = _opened_alone(self._part), False
        try:
            self.rows = self._resume()
            self._file.write(_header(self.rows, width))
            self._file.seek(0, os.SEEK_END)
        except BaseException:
            self._file.close()
            raise

    def _resume(self):
        """Return the number of rows that an earlier run left, and make the part hold just these."""
        part = os.fstat(self._file.fileno()).st_size
        rows = 0
        if part and self._state.is_file():
            state = _read_state(self._state)
            if state["settings"] != self._settings:
                old = state["settings"]
                changed = [key for key in {**self._settings, **old} if old.get(key) != self._settings.get(key)]
                raise ValueError(
                    f"{self._part} was begun with other settings ({', '.join(changed)}): "
                    f"delete it to begin anew, or repeat these: {old}."
                )
            rows, self._expected = state["rows"], state["texts"]
        else:
            self._state.unlink(missing_ok=True)  # before the rows that it speaks of are overwritten
        end = len(_header(0, self._width)) + rows * self._width * 4
        if part < end and rows:
            raise ValueError(f"{self._part} is shorter than {self._state.name} says: delete both to begin anew.")
        self._file.truncate(end if rows else 0)
        if rows:
            self._crc = self._crc_of_rows()
            if self._crc != state["crc"]:
                raise ValueError(f"{self._part} does not hold what {self._state.name} says: delete both to begin anew.")
            self._file.seek(0)
        return rows

    def _crc_of_rows(self):
        crc = 0
        self._file.seek(len(_header(0, self._width)))
        while data := self._file.read(_READ_AT_ONCE):
            crc = zlib.crc32(data, crc)
        return crc

    def skip(self, texts: Iterable[str]) -> None:
        """Take note of the texts whose rows an earlier run wrote; they must be the same."""
        for text in texts:
            self._note(text)
        if self._texts.hex() != self._expected:
            raise ValueError(
                f"{self._part} was begun with other texts: its first {self.rows} are not these. "
                "Delete it to begin anew."
            )

    def write(self, texts: Iterable[str], vectors: npt.ArrayLike) -> None:
        """Append the rows of some texts."""
        for text in texts:
            self._note(text)
        data = np.ascontiguousarray(vectors, "<f4")
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows, self._crc = self.rows + len(data), zlib.crc32(data.data, self._crc)
        state = {"rows": self.rows, "texts": self._texts.hex(), "crc": self._crc, "settings": self._settings}
        with self._new_state.open("w", encoding="utf-8") as file:
            json.dump({**state, "check": _check(state)}, file)
            file.flush()
            os.fsync(file.fileno())
        self._new_state.replace(self._state)

    def _note(self, text):
        self._texts = hashlib.blake2b(self._texts + str(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def finish(self) -> Path:
        """Complete the file, give it its name and return that."""
        self._file.seek(0)
        self._file.write(_header(self.rows, self._width))
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._path.exists():
            shutil.copymode(self._path, self._part)
        if fcntl is None:
            self._file.close()  # Windows renames no file that is open
        self._part.replace(self._path)
        self._finished = True
        for left in (self._state, self._new_state):
            left.unlink(missing_ok=True)
        self._file.close()
        return self._path

    def __enter__(self) -> NpyWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._finished and self.rows == 0:
            self._part.unlink(missing_ok=True)  # without a row to go on from; the lock is still held
        self._file.close()


def _opened_alone(part):
    """Return the file at `part`, made if there is none, open and locked against all other writers."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            if not _locked(file, part):
                raise BusyError(
                    f"{part} is being written by another run: wait for it to end, or pass another output. "
                    "(The system takes the lock back when a run ends or dies; no file needs to be deleted.)"
                )
            # The last writer may have renamed the file between our opening and locking it.
            if os.path.samestat(os.stat(part), os.fstat(file.fileno())):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _locked(file, part):
    """Whether nobody else has the lock of a file, and we have it now."""
    try:
        return lock(file.fileno())
    except OSError as error:  # a file system that knows no locks
        logger.warning("%s cannot be locked (%s): start no second run that writes to it", part, error)
        return True


def _check(state):
    return hashlib.blake2b(json.dumps(state, sort_keys=True).encode(), digest_size=16).hexdigest()


def _read_state(path):
    """Return what an earlier run says of the rows that it left."""
    try:
        with path.open("rb") as file:
            state = json.loads(file.read(_LARGEST_STATE))
        check = state.pop("check")
        whole = state.keys() == {"rows", "texts", "crc", "settings"} and type(state["settings"]) is dict
        if not whole or type(state["rows"]) is not int or state["rows"] < 1 or _check(state) != check:
            raise ValueError(f"rows {str(state.get('rows'))[:40]}, or its checksum is wrong")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged or was not written by this version ({error}): delete it and "
            f"{path.with_suffix('').name} to begin anew."
        ) from error
    return state


def _header(rows, width):
    """The 128 bytes before the values of a float32 `.npy` file of format 1.0, of one length for any number of rows."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def streamed(
    texts: Iterable[Any],
    vectors_of: Callable[[list[Any]], npt.NDArray[np.float32]],
    writer: NpyWriter,
    batch_size: int,
    progress: TextProgress,
) -> npt.NDArray[np.float32]:
    """Write the vectors of texts as they come; returns the whole file as a memory map."""
    remaining, report = iter(texts), text_reporter(progress, texts)
    with writer:
        writer.skip(islice(remaining, writer.rows))
        report(writer.rows)
        for chunk in chunks(remaining, batch_size):
            writer.write(chunk, vectors_of(chunk))
            report(len(chunk))
        result: npt.NDArray[np.float32] = np.load(writer.finish(), mmap_mode="r")
        return result


def gathered(
    texts: Iterable[Any],
    vectors_of: Callable[[list[Any]], npt.NDArray[np.float32]],
    output: StrPath | None,
    settings: Mapping[str, Any],
    batch_size: int,
    progress: TextProgress,
) -> npt.NDArray[np.float32]:
    """The vectors of texts: in memory, or where `output` is a path, written there; `settings` as of `NpyWriter`."""
    if output is not None:
        return streamed(texts, vectors_of, NpyWriter(output, vectors_of([]).shape[1], settings), batch_size, progress)
    report, parts = text_reporter(progress, texts), []
    for chunk in chunks(texts, batch_size):
        parts.append(vectors_of(chunk))
        report(len(chunk))
    return np.concatenate(parts) if parts else vectors_of([])
