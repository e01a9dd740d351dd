"""Read `pytorch_model.bin` without torch and without running anything that is in it.

The names and shapes of a state dict are a pickle, which `torch_pickle` reads as plain text. Two containers:

- zip (torch 1.6 and later): `NAME/data.pkl`, and the values of storage `key` in `NAME/data/key`, not compressed;
- the older one: pickles of a magic number, a version, the byte order, the state dict and the list of storage keys,
  then for each key the number of values (8 bytes) and the values.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...safetensors import checked_shape, is_count
from ...shown import quoted
from ..files import LIMIT
from .stored import MOST_TENSORS, OpenFile, StoredTensor, bfloat16_to_float32
from .torch_pickle import RefusedError, Storage, TorchTensor, unpickled

if TYPE_CHECKING:
    from ..._types import StrPath

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Tensors may share values (tied weights), or repeat them (strides of 0): all of them together are at most so many times as
# large as their file.
_MOST_SHARING = 16
_CHECKED_AT_ONCE = 1 << 20


class _Place:
    """Where the values of a storage lie in the file; the zip archive has a CRC-32 of them, which is checked once."""

    def __init__(self, offset, size, crc=None):
        self.offset, self.size, self._crc = offset, size, crc

    def read(self, file):
        """Return all of it, where that is little."""
        if self.size > LIMIT:
            raise ValueError(f"its pickle has {self.size:,} bytes; expected at most {LIMIT:,}")
        self.check(file)
        return file.read(self.offset, self.size).tobytes()

    def check(self, file):
        if self._crc is None:
            return
        crc = 0
        for begin in range(0, self.size, _CHECKED_AT_ONCE):
            part = file.read(self.offset + begin, min(_CHECKED_AT_ONCE, self.size - begin))
            crc = zlib.crc32(part, crc)
        if crc != self._crc:
            raise ValueError(
                f"{file.path}: bytes {self.offset} to {self.offset + self.size} are damaged, their checksum is "
                f"{crc:#010x} and must be {self._crc:#010x}. Download it again."
            )
        self._crc = None


def read_torch(path: StrPath) -> dict[str, StoredTensor]:
    """Return the tensors by name of a file that `torch.save` wrote of a state dict.

    Raises:
        ValueError: if the file holds anything but tensors, is cut, or was not written by `torch.save`.
    """
    file = OpenFile(path)
    try:
        is_zip = file.read(0, min(4, file.size)).tobytes() == b"PK\x03\x04"
        state, places = (_open_zip if is_zip else _open_legacy)(file)
        return _tensors(file, state, places)
    except RefusedError as error:
        raise ValueError(
            f"{file.path}: {error}. Nothing in the file was run. Expected a state dict with nothing but tensors: save "
            "`model.state_dict()` of the trained model, or better, use model.safetensors."
        ) from error
    except (
        *(ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError, struct.error),
        *(zipfile.BadZipFile, NotImplementedError, RuntimeError),  # of archives: damaged, unknown, encrypted
    ) as error:
        raise ValueError(
            f"{file.path}: no state dict of torch, or a cut or damaged one ({type(error).__name__}: {error}). "
            "Download it again."
        ) from error


def _tensors(file: OpenFile, state: Any, places: dict[str, _Place]) -> dict[str, StoredTensor]:
    if not isinstance(state, dict):
        raise RefusedError(f"it holds a {type(state).__name__}")
    if len(state) > MOST_TENSORS:
        raise ValueError(f"it lists {len(state):,} tensors; expected at most {MOST_TENSORS:,}")
    tensors, total = {}, 0
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, TorchTensor):
            raise RefusedError(f"the value at {quoted(name)} is a {type(tensor).__name__}")
        first, span, shape, strides = _checked(name, tensor)
        dtype = _item_dtype(tensor.view.storage)
        total += max(span, math.prod(shape)) * dtype.itemsize
        if total > _MOST_SHARING * file.size:
            raise ValueError(
                f"its tensors have {total:,} bytes at {quoted(name)}, more than {_MOST_SHARING} times those of the file"
            )
        if tensor.view.storage.key not in places:
            raise ValueError(f"storage {quoted(tensor.view.storage.key)} of {quoted(name)} is not in the file")
        place = places[tensor.view.storage.key]
        is_bfloat16 = tensor.view.storage.dtype == "bfloat16"
        load = partial(_load, file, place, first * dtype.itemsize, span, dtype, shape, strides, is_bfloat16)
        tensors[name] = StoredTensor(shape, load)
    return tensors


def _checked(name: str, tensor: TorchTensor):
    """Return the first value in the storage, how many values lie from there to the last, shape and strides of a tensor."""
    view, offset, shape, strides = tensor
    shape = checked_shape(shape)
    if len(strides) != len(shape) or not all(is_count(n) for n in (offset, *strides)):
        raise ValueError(
            f"tensor {quoted(name)} has offset {quoted(offset)}, shape {quoted(shape)} and strides {quoted(strides)}"
        )
    span = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides)) if math.prod(shape) else 0
    if offset + span > view.size:
        raise ValueError(f"tensor {quoted(name)} ends at value {offset + span} of a storage of {view.size}")
    # The stride of a single element means nothing, so it may be anything.
    return view.start + offset, span, shape, tuple(stride if n > 1 else 0 for n, stride in zip(shape, strides))


def _load(file, place, offset, span, dtype, shape, strides, is_bfloat16):
    place.check(file)
    values = file.read(place.offset + offset, span * dtype.itemsize).view(dtype)
    if span:
        byte_strides = tuple(stride * dtype.itemsize for stride in strides)
        values = np.lib.stride_tricks.as_strided(values, shape, byte_strides, writeable=False)
    values = np.ascontiguousarray(values).reshape(shape)
    return bfloat16_to_float32(values) if is_bfloat16 else values


def _item_dtype(storage: Storage):
    return np.dtype("<u2" if storage.dtype == "bfloat16" else "<" + storage.dtype)


def _open_zip(file):
    with zipfile.ZipFile(_Bounded(file)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("two members of the zip archive have the same name")
    roots = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError(f"the zip archive has {len(roots) or 'no'} data.pkl")
    byte_order = members.get(f"{roots[0]}byteorder")
    if byte_order and (byte_order.file_size > 16 or _place(file, byte_order).read(file) != b"little"):
        raise ValueError("its byte order is not little")
    state, storages = unpickled(io.BytesIO(_place(file, members[f"{roots[0]}data.pkl"]).read(file)))
    places = {}
    for storage in storages.values():
        name = f"{roots[0]}data/{storage.key}"
        if name not in members:
            raise ValueError(f"the zip archive has no {quoted(name)}")
        held, expected = members[name].file_size, storage.size * _item_dtype(storage).itemsize
        if held != expected:
            raise ValueError(f"storage {quoted(storage.key)} must have {expected} bytes and has {held}")
        places[storage.key] = _place(file, members[name])
    return state, places


def _place(file, member):
    """Return where a member lies: torch compresses none of them."""
    name = quoted(member.filename)
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise ValueError(f"{name} of the zip archive is compressed or encrypted, which torch.save does not do")
    signature, name_size, extra_size = struct.unpack("<4s22xHH", file.read(member.header_offset, 30).tobytes())
    offset = member.header_offset + 30 + name_size + extra_size
    if signature != b"PK\x03\x04" or offset + member.file_size > file.size:
        raise ValueError(f"{name} is not where the zip archive says")
    return _Place(offset, member.file_size, member.CRC)


class _Bounded:
    """A file that `zipfile` may read, without a list of members that has gigabytes."""

    def __init__(self, file):
        self._stream, self._size = file.stream, file.size
        self.tell = file.stream.tell

    def seek(self, offset, whence=0):
        if whence == 0 and offset < 0:
            raise ValueError(f"a place in the zip archive is {offset}")
        return self._stream.seek(offset, whence)

    def read(self, size=-1):
        left = max(self._size - self.tell(), 0)
        size = left if size < 0 else min(size, left)
        if size > LIMIT:
            raise ValueError(f"the zip archive's list of members has more than {LIMIT:,} bytes")
        return self._stream.read(size)

    def seekable(self):
        return True


def _open_legacy(file):
    head = io.BytesIO(file.start())
    try:
        magic, _ = unpickled(head)
        if magic != _LEGACY_MAGIC:
            raise ValueError("it does not begin as torch.save writes it")
        (version, _), (system, _) = unpickled(head), unpickled(head)
        if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError(f"version {quoted(version)} on {quoted(system)}; expected version 1001, little endian")
        (state, storages), (keys, _) = unpickled(head), unpickled(head)
    except ValueError as error:
        if head.tell() < LIMIT:
            raise
        raise ValueError(f"its pickles must end before byte {LIMIT:,}") from error
    if not isinstance(keys, list):
        raise ValueError(f"its list of storages is {quoted(keys)}")
    places, position = {}, head.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in places:
            raise ValueError(f"it lists storage {quoted(key)}, of which no tensor is made, or lists it twice")
        count = int.from_bytes(file.read(position, 8).tobytes(), "little")
        if count != storages[key].size:
            raise ValueError(f"storage {quoted(key)} must have {storages[key].size} values and has {count}")
        places[key] = _Place(position + 8, count * _item_dtype(storages[key]).itemsize)
        position = places[key].offset + places[key].size
        if position > file.size:
            raise ValueError(f"it must have {position} bytes and has {file.size}")
    return state, places
