"""Every file and folder that the package writes: first a temporary one beside its place, renamed when it is whole.

So whoever reads finds the old file or the new one, also when the writer is killed, the disk is full, or two write at the same
time. A writer holds a lock on its temporary file; what a killed one left is held by nobody, and the next to write into the
folder removes it.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that somebody has open
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ._types import StrPath

_Result = TypeVar("_Result")

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
        named(path, os.fsync, raw.fileno())
        if fcntl is None:
            file.close()  # Windows renames no open file
        named(path, os.replace, temporary, target)
        file.close()
    except BaseException:
        # Closing a file may fail where writing to it has failed.
        for remove in (file.close, raw.close, temporary.unlink):
            with suppress(OSError):
                remove()
        raise


def write_folder(path: StrPath, write: Callable[[Path], object], names: Collection[str]) -> None:
    """Call `write(folder)` on a temporary folder beside `path`, then put it in its place: always the old one or the new.

    Args:
        path: where to; what is there may only be a folder with files out of `names`, so that nobody else's is replaced.
        write: makes files in a folder.
        names: of all files that it may make.
    """
    target = Path(os.path.realpath(path))
    _check_folder(target, path, names)
    _sweep(target.parent)
    temporary = target.with_name(f".{target.name[:_NAME]}.{os.urandom(8).hex()}{_SUFFIX}")
    named(path, os.mkdir, temporary)
    held = os.open(temporary, os.O_RDONLY) if fcntl else None
    try:
        if held is not None:
            with suppress(OSError):
                lock(held)
        write(temporary)
        for file in temporary.iterdir():
            with open(file, "rb+") as written:
                named(path, os.fsync, written.fileno())
        _put(temporary, target, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # the old one by now, where all went well
        if held is not None:
            os.close(held)


def _check_folder(target, path, names):
    if target.is_dir():
        others = sorted(entry.name for entry in target.iterdir() if entry.name not in names or not entry.is_file())
        if others:
            raise ValueError(
                f"cannot write {path}: this folder holds {', '.join(others[:5])}, which would be lost; expected a new folder, "
                "an empty one, or one that was written before. Name another."
            )
    elif target.exists():
        raise NotADirectoryError(f"cannot write {path}: it is a file; expected the name of a folder")
    elif not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: nothing can be made in the folder {target.parent}")


def _put(temporary, target, path):
    """Rename a folder to `target`; what was there gets the temporary name."""
    if not target.exists() or not any(target.iterdir()):
        if target.exists() and fcntl is None:
            os.rmdir(target)  # elsewhere a rename replaces an empty folder
        named(path, os.replace, temporary, target)
        return
    if _exchange(temporary, target):
        return
    # By a name that nobody sweeps up, should we be killed now.
    aside = temporary.with_name(f"{temporary.name.removesuffix(_SUFFIX)}.old")
    named(path, os.replace, target, aside)
    try:
        named(path, os.replace, temporary, target)
    except BaseException:
        os.replace(aside, target)
        raise
    os.replace(aside, temporary)


def _exchange(one, other):
    """Let two folders change their names in one step; returns whether the system can (Linux, on most file systems)."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        renameat2 = ctypes.CDLL(None).renameat2
        here = ctypes.c_int(-100)  # AT_FDCWD
        return renameat2(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(2)) == 0  # RENAME_EXCHANGE
    return False


def _create(target, path):
    """A new temporary file for `target`, held by its lock: (its name, the raw file)."""
    while True:
        temporary = target.with_name(f".{target.name[:_NAME]}.{os.urandom(8).hex()}{_SUFFIX}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        old = os.stat(target) if target.exists() else None
        number = named(path, os.open, temporary, flags, 0o600 if old else 0o666)  # less the umask
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
    folder = stat.S_ISDIR(os.lstat(path).st_mode)
    number = os.open(path, (os.O_RDONLY if folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if lock(number):
            (shutil.rmtree if folder else os.unlink)(path)
    finally:
        os.close(number)


class _Raw(io.FileIO):
    def __init__(self, number, path):
        super().__init__(number, "r+b")
        self._path = path

    def write(self, data):
        return named(self._path, super().write, data)


def named(path: StrPath, call: Callable[..., _Result], *args: Any) -> _Result:
    """What `call(*args)` returns; an error of the system names `path`, in place of a temporary file or of nothing."""
    try:
        return call(*args)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
