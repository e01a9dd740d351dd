"""Every file that the package writes: first a temporary one beside its place, renamed when it is whole.

So whoever reads finds the old file or the new one, also when the writer is killed, the disk is full, or two write at the same
time. A writer holds a lock on its temporary file; what a killed one left is held by nobody, and the next to write into the
folder removes it.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that somebody has open
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ._types import StrPath

_SUFFIX = ".w2v.tmp"
_NAME = 40  # characters of the output's name in that of the temporary file, which may not be longer than 255 bytes


def lock(file: int) -> bool:
    """Lock an open file (its descriptor) until it is closed or the process ends; returns whether nobody else has.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(file, 1 << 62, os.SEEK_SET)  # far behind the content: what is locked can be read by nobody else
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            os.lseek(file, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        return False
    return True


class BusyError(ValueError):
    """Somebody else is writing to an output: what changes there is not ours."""


def check_writable(path: StrPath) -> Path:
    """Raise now what `write_atomically` to `path` would raise when the work is done; returns the file that would be replaced.

    That is another one where `path` is a symlink.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not target.parent.is_dir():
            raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}") from None
    else:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"cannot write {path}: it is a folder")
        if not stat.S_ISREG(mode):
            raise ValueError(f"cannot write {path}: it is a pipe or a device; expected the name of a file")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: no file can be made in the folder {target.parent}")
    return target


def write_atomically(path: StrPath, write: Callable[[BinaryIO], object]) -> None:
    """Call `write(file)` on a temporary file beside `path`, then put it in its place: always the old file or the new.

    A symlink stays, and what it leads to is replaced. The permissions of an old file are kept; a new one gets the usual ones.
    Errors of the system name `path`.
    """
    target = check_writable(path)
    _sweep(target.parent)
    temporary, raw = _create(target, path)
    file = io.BufferedWriter(raw)
    try:
        write(file)
        file.flush()
        _named(path, os.fsync, raw.fileno())
        if fcntl is None:
            file.close()  # Windows renames no open file
        _named(path, os.replace, temporary, target)
        file.close()
    except BaseException:
        # Closing a file may fail where writing to it has failed.
        for remove in (file.close, raw.close, temporary.unlink):
            with suppress(OSError):
                remove()
        raise


def _create(target, path):
    """A new temporary file for `target`, held by its lock: (its name, the raw file)."""
    while True:
        temporary = target.with_name(f".{target.name[:_NAME]}.{os.urandom(8).hex()}{_SUFFIX}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        old = os.stat(target) if target.exists() else None
        number = _named(path, os.open, temporary, flags, 0o600 if old else 0o666)  # less the umask
        if fcntl:
            held = True
            with suppress(OSError):  # some network file systems know no locks
                held = lock(number)
            if not held or not os.fstat(number).st_nlink:  # somebody sweeps it up
                os.close(number)
                continue
        if old and hasattr(os, "fchown"):
            with suppress(OSError):  # only root gives files away
                os.fchown(number, old.st_uid, old.st_gid)
            os.fchmod(number, stat.S_IMODE(old.st_mode))
        return temporary, _Raw(number, path)


def _sweep(folder):
    """Remove the temporary files in `folder` that nobody holds."""
    with suppress(OSError):  # what cannot be listed, opened or removed is left alone
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(_SUFFIX):
                with suppress(OSError):
                    _remove_unless_held(os.path.join(folder, name))


def _remove_unless_held(path):
    if fcntl is None:
        os.unlink(path)
        return
    number = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if lock(number):
            os.unlink(path)
    finally:
        os.close(number)


class _Raw(io.FileIO):
    def __init__(self, number, path):
        super().__init__(number, "r+b")
        self._path = path

    def write(self, data):
        return _named(self._path, super().write, data)


def _named(path, call, *args):
    """What `call(*args)` returns; an error of the system names `path`, in place of a temporary file or of nothing."""
    try:
        return call(*args)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
