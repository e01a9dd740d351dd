"""Read `pytorch_model.bin` without torch and without running anything that is in it.

The names and shapes of a state dict are a pickle, a program that may call any function and ask for any memory. Here it is no
program but a text of some thirty words: `_unpickled` knows those that torch writes, makes plain values of them, and calls
nothing. What it makes takes no more memory than a fixed multiple of what it read. Two containers:

- zip (torch 1.6 and later): `NAME/data.pkl`, and the values of storage `key` in `NAME/data/key`, not compressed;
- the older one: pickles of a magic number, a version, the byte order, the state dict and the list of storage keys,
  then for each key the number of values (8 bytes) and the values.
"""

import io
import math
import pickletools
import struct
import zipfile
import zlib
from functools import partial
from typing import NamedTuple

import numpy as np

from ..files import LIMIT, shown
from .stored import (
    MOST_TENSORS,
    OpenFile,
    StoredTensor,
    bfloat16_to_float32,
    checked_shape,
    is_count,
)

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
_ORDERED_DICT = ("collections", "OrderedDict")
_REBUILD_TENSOR = (("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"))
_REBUILD_PARAMETER = ("torch._utils", "_rebuild_parameter")
# Tensors may share values (tied weights), or repeat them (strides of 0): all of them together are at most so many times as
# large as their file.
_MOST_SHARING = 16
_CHECKED_AT_ONCE = 1 << 20


class _Storage(NamedTuple):
    dtype: str
    key: str
    size: int  # in values


class _View(NamedTuple):
    storage: _Storage
    start: int  # where a view of the storage begins in it, in values
    size: int


class _Tensor(NamedTuple):
    view: _View
    offset: int
    shape: tuple
    strides: tuple


class _Global(NamedTuple):
    """A name that a pickle asks for: it stands for itself."""

    module: str
    name: str


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
                f"{crc:#010x} and should be {self._crc:#010x}. Download it again."
            )
        self._crc = None


def read_torch(path):
    """Return `{name: StoredTensor}` of a file that `torch.save` wrote of a state dict.

    Raises:
        ValueError: if the file holds anything but tensors, is cut, or was not written by `torch.save`.
    """
    file = OpenFile(path)
    try:
        is_zip = file.read(0, min(4, file.size)).tobytes() == b"PK\x03\x04"
        state, places = (_open_zip if is_zip else _open_legacy)(file)
        return _tensors(file, state, places)
    except _RefusedError as error:
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


class _RefusedError(ValueError):
    """The file asks for something that is no tensor."""


def _tensors(file, state, places):
    if not isinstance(state, dict):
        raise _RefusedError(f"it holds a {type(state).__name__}")
    if len(state) > MOST_TENSORS:
        raise ValueError(f"it lists {len(state):,} tensors; expected at most {MOST_TENSORS:,}")
    tensors, total = {}, 0
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _RefusedError(f"the value at {shown(name)} is a {type(tensor).__name__}")
        first, span, shape, strides = _checked(name, tensor)
        dtype = _item_dtype(tensor.view.storage)
        total += max(span, math.prod(shape)) * dtype.itemsize
        if total > _MOST_SHARING * file.size:
            raise ValueError(
                f"its tensors have {total:,} bytes at {shown(name)}, more than {_MOST_SHARING} times those of the file"
            )
        if tensor.view.storage.key not in places:
            raise ValueError(f"storage {shown(tensor.view.storage.key)} of {shown(name)} is not in the file")
        place = places[tensor.view.storage.key]
        is_bfloat16 = tensor.view.storage.dtype == "bfloat16"
        load = partial(_load, file, place, first * dtype.itemsize, span, dtype, shape, strides, is_bfloat16)
        tensors[name] = StoredTensor(shape, load)
    return tensors


def _checked(name, tensor):
    """Return the first value in the storage, how many values lie from there to the last, shape and strides of a tensor."""
    view, offset, shape, strides = tensor
    shape = checked_shape(shape)
    if len(strides) != len(shape) or not all(is_count(n) for n in (offset, *strides)):
        raise ValueError(
            f"tensor {shown(name)} has offset {shown(offset)}, shape {shown(shape)} and strides {shown(strides)}"
        )
    span = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides)) if math.prod(shape) else 0
    if offset + span > view.size:
        raise ValueError(f"tensor {shown(name)} ends at value {offset + span} of a storage of {view.size}")
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


def _item_dtype(storage):
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
    state, storages = _unpickled(io.BytesIO(_place(file, members[f"{roots[0]}data.pkl"]).read(file)))
    places = {}
    for storage in storages.values():
        name = f"{roots[0]}data/{storage.key}"
        if name not in members:
            raise ValueError(f"the zip archive has no {shown(name)}")
        held, expected = members[name].file_size, storage.size * _item_dtype(storage).itemsize
        if held != expected:
            raise ValueError(f"storage {shown(storage.key)} should have {expected} bytes and has {held}")
        places[storage.key] = _place(file, members[name])
    return state, places


def _place(file, member):
    """Return where a member lies: torch compresses none of them."""
    name = shown(member.filename)
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
        magic, _ = _unpickled(head)
        if magic != _LEGACY_MAGIC:
            raise ValueError("it does not begin as torch.save writes it")
        (version, _), (system, _) = _unpickled(head), _unpickled(head)
        if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError(f"version {shown(version)} on {shown(system)}; expected version 1001, little endian")
        (state, storages), (keys, _) = _unpickled(head), _unpickled(head)
    except ValueError as error:
        if head.tell() < LIMIT:
            raise
        raise ValueError(f"its pickles should end before byte {LIMIT:,}") from error
    if not isinstance(keys, list):
        raise ValueError(f"its list of storages is {shown(keys)}")
    places, position = {}, head.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in places:
            raise ValueError(f"it lists storage {shown(key)}, of which no tensor is made, or lists it twice")
        count = int.from_bytes(file.read(position, 8).tobytes(), "little")
        if count != storages[key].size:
            raise ValueError(f"storage {shown(key)} should have {storages[key].size} values: {count}")
        places[key] = _Place(position + 8, count * _item_dtype(storages[key]).itemsize)
        position = places[key].offset + places[key].size
        if position > file.size:
            raise ValueError(f"it should have {position} bytes and has {file.size}")
    return state, places


_MARK = object()
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_WITH_VALUE = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _unpickled(stream):
    """Return what a pickle of tensors stands for, and `{key: _Storage}` of the storages that it refers to.

    Each of its words adds at most one value or moves values that are there; nothing is copied, hashed or shown whole, so
    time and memory grow with the length of the pickle alone.
    """
    stack, memo, storages, copied = [], {}, {}, 0
    for word, value, position in pickletools.genops(stream):
        name = word.name
        if name in _WITH_VALUE:
            if name in ("BINSTRING", "SHORT_BINSTRING"):  # Python 2, whose text pickletools shows as latin-1
                value = value.encode("latin-1").decode("utf-8")
            stack.append(value)
        elif name in _VALUES:
            stack.append(_VALUES[name])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in _TUPLES:
            stack.append(tuple(_popped(stack, _TUPLES[name])))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if value is None else value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_known(value.split(" ", 1) if name == "GLOBAL" else _popped(stack, 2)))
        elif name in ("SETITEM", "SETITEMS"):
            pairs = _popped(stack, 2) if name == "SETITEM" else _since_mark(stack)
            _set_items(stack[-1], pairs[::2], pairs[1::2])
        elif name in ("APPEND", "APPENDS"):
            values = _popped(stack, 1) if name == "APPEND" else _since_mark(stack)
            if type(stack[-1]) is not list:
                raise _RefusedError(f"it appends to a {type(stack[-1]).__name__}")
            stack[-1] += values
        elif name == "REDUCE":
            function, arguments = _popped(stack, 2)
            if function == _ORDERED_DICT and arguments:
                copied += len(arguments[0])  # the one copy: bounded, since the same list may be copied again and again
                if copied > MOST_TENSORS:
                    raise ValueError(f"its dictionaries have more than {MOST_TENSORS:,} keys")
            stack.append(_reduced(function, arguments))
        elif name == "BUILD":  # of an OrderedDict: versions of the modules, which are no values
            owner, state = _popped(stack, 2)
            if not isinstance(owner, dict) or not isinstance(state, dict):
                raise _RefusedError(f"it sets attributes of {_name(owner)}")
            stack.append(owner)
        elif name == "BINPERSID":
            view = _view(stack.pop())
            if storages.setdefault(view.storage.key, view.storage) != view.storage:
                raise ValueError(f"storage {shown(view.storage.key)} has two types or sizes")
            stack.append(view)
        elif name == "STOP":
            if len(stack) != 1:
                raise ValueError(f"its pickle leaves {len(stack)} values")
            return stack.pop(), storages
        elif name == "INST":
            _known(value.split(" ", 1))
            raise _RefusedError(f"it makes an instance of {shown(value)}")
        elif name not in ("PROTO", "FRAME"):
            raise _RefusedError(f"its pickle says {name} at byte {position}, which no state dict needs")
    raise ValueError("its pickle has no end")


def _popped(stack, count):
    if len(stack) < count:
        raise ValueError("its pickle takes values that are not there")
    values = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return values


def _since_mark(stack):
    values = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    return values[::-1]


def _set_items(target, keys, values):
    if type(target) is not dict or len(keys) != len(values):
        raise _RefusedError(f"it sets items of a {type(target).__name__}")
    for key, value in zip(keys, values):
        if type(key) not in (str, int):
            raise _RefusedError(f"a dictionary has the key {shown(key)}")
        target[key] = value


def _known(parts):
    module, name = parts
    if type(module) is not str or type(name) is not str:
        raise _RefusedError(f"it asks for {shown(name)} of {shown(module)}")
    if (module, name) in (_ORDERED_DICT, *_REBUILD_TENSOR, _REBUILD_PARAMETER) or (
        module == "torch" and name in _STORAGES
    ):
        return _Global(module, name)
    raise _RefusedError(f"it asks for {shown(f'{module}.{name}')[1:-1]}, which is no tensor")


def _reduced(function, arguments):
    """Return what a call stands for."""
    if isinstance(function, _Global) and type(arguments) is tuple:
        if function == _ORDERED_DICT and len(arguments) <= 1:  # with pairs: Python 2
            made = {}
            for pair in arguments[0] if arguments else ():
                _set_items(made, pair[:1], pair[1:])
            return made
        if function in _REBUILD_TENSOR and len(arguments) >= 4:
            # `requires_grad`, hooks and metadata follow: they are no values
            view, offset, shape, strides = arguments[:4]
            if isinstance(view, _View) and type(shape) is tuple and type(strides) is tuple:
                return _Tensor(view, offset, shape, strides)
        if function == _REBUILD_PARAMETER and arguments and isinstance(arguments[0], _Tensor):
            return arguments[0]
    raise _RefusedError(f"it calls {_name(function)} with {shown(arguments)}")


def _name(value):
    return ".".join(value) if isinstance(value, _Global) else shown(value)


def _view(saved_id):
    """Return what `("storage", type, key, device, size, (key, start, size) of a view or None)` refers to."""
    if type(saved_id) is tuple and len(saved_id) in (5, 6) and saved_id[0] == "storage":
        _, kind, key, _, size, *view = saved_id
        start, end = 0, size
        if view and type(view[0]) is tuple and len(view[0]) == 3 and all(map(is_count, (size, *view[0][1:]))):
            start, end = view[0][1], view[0][1] + view[0][2]
        elif view and view[0] is not None:
            end = None
        if isinstance(kind, _Global) and kind.name in _STORAGES and type(key) in (str, int) and is_count(size):
            if end is None or end > size:
                raise ValueError(f"storage {shown(key)} of {size} values has the view {shown(view[0])}")
            return _View(_Storage(_STORAGES[kind.name], str(key), size), start, end - start)
    raise _RefusedError(f"it refers to {shown(saved_id)}, which is no storage of a tensor")
