"""Read `pytorch_model.bin` without torch and without running anything that is in it.

The names and shapes of a state dict are a pickle, and a pickle may call any function. Here it may call only the few
stand-ins below, which describe tensors; whatever else it asks for is refused before it is looked up. Two containers:

- zip (torch 1.6 and later): `NAME/data.pkl`, and the values of storage `key` in `NAME/data/key`;
- the older one: pickles of a magic number, a version, the byte order, the state dict and the list of storage keys,
  then for each key the number of values (8 bytes) and the values.
"""

import math
import pickle
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from w2v_embed.contextual.checkpoints.stored import StoredTensor, bfloat16_to_float32

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip


class _Storage(NamedTuple):
    dtype: str
    key: str
    start: int  # where a view of another storage begins in it, in values
    size: int  # of the whole storage


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def read_torch(path):
    """Return `{name: StoredTensor}` of a file that `torch.save` wrote of a state dict.

    Raises:
        ValueError: if the file holds anything but tensors, is cut, or was not written by `torch.save`.
    """
    path = Path(path)
    try:
        state, load_storage = (_open_zip if zipfile.is_zipfile(path) else _open_legacy)(path)
        return {name: _checked(name, tensor, load_storage) for name, tensor in _items(state)}
    except _RefusedError as error:
        raise ValueError(
            f"{path}: {error}. Nothing in the file was run. Expected a state dict with nothing but tensors: save "
            "`model.state_dict()` of the trained model, or better, use model.safetensors."
        ) from error
    except Exception as error:  # a damaged or hostile pickle fails in any way: EOFError, TypeError, MemoryError, …
        raise ValueError(
            f"{path}: no state dict of torch, or a cut or damaged one ({type(error).__name__}: {error}). "
            "Download it again."
        ) from error


class _RefusedError(ValueError):
    """The file asks for something that is no tensor."""


def _items(state):
    if not isinstance(state, dict):
        raise _RefusedError(f"it holds a {type(state).__name__}")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _RefusedError(f"the value at {name!r} is a {type(tensor).__name__}")
    return state.items()


def _checked(name, tensor, load_storage):
    storage, offset, shape, strides = tensor
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError(f"tensor {name!r} has offset {offset}, shape {shape} and strides {strides}")
    end = storage.start + offset + sum((n - 1) * s for n, s in zip(shape, strides)) + 1 if math.prod(shape) else 0
    if end > storage.size:
        raise ValueError(f"tensor {name!r} ends at value {end} of a storage of {storage.size}")
    return StoredTensor(tuple(shape), partial(_load, tensor, load_storage))


def _load(tensor, load_storage):
    storage, offset, shape, strides = tensor
    values = load_storage(storage)[storage.start + offset :]
    byte_strides = tuple(stride * values.itemsize for stride in strides)
    values = np.ascontiguousarray(np.lib.stride_tricks.as_strided(values, shape, byte_strides, writeable=False))
    return bfloat16_to_float32(values) if storage.dtype == "bfloat16" else values


def _item_dtype(storage, byte_order="<"):
    return np.dtype(byte_order + ("u2" if storage.dtype == "bfloat16" else storage.dtype))


def _open_zip(path):
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in names:
            raise ValueError("the zip archive has no data.pkl")
        if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
            raise ValueError("its byte order is not little")
        sizes = {key: archive.getinfo(name).file_size for key, name in names.items()}
        with archive.open(names["data.pkl"]) as file:
            unpickler = _TensorUnpickler(file)
            state = unpickler.load()
    for storage in unpickler.storages:
        held, expected = sizes[f"data/{storage.key}"], storage.size * _item_dtype(storage).itemsize
        if held != expected:
            raise ValueError(f"storage {storage.key!r} should have {expected} bytes and has {held}")

    def load_storage(storage):
        with zipfile.ZipFile(path) as archive:
            return np.frombuffer(archive.read(names[f"data/{storage.key}"]), _item_dtype(storage))

    return state, load_storage


def _open_legacy(path):
    with path.open("rb") as file:
        if _TensorUnpickler(file).load() != _LEGACY_MAGIC:
            raise ValueError("it does not begin as torch.save writes it")
        version, system = _TensorUnpickler(file).load(), _TensorUnpickler(file).load()
        if version != 1001 or not system["little_endian"]:
            raise ValueError(f"version {version} on {system}; expected version 1001, little endian")
        unpickler = _TensorUnpickler(file)
        state = unpickler.load()
        keys = _TensorUnpickler(file).load()
        dtypes = {storage.key: _item_dtype(storage) for storage in unpickler.storages}
        places = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            places[key] = (file.tell(), count)
            file.seek(count * dtypes[key].itemsize, 1)
        if file.tell() > path.stat().st_size:
            raise ValueError(f"it should have {file.tell()} bytes and has {path.stat().st_size}")
    for storage in unpickler.storages:
        if places[storage.key][1] != storage.size:
            raise ValueError(f"storage {storage.key!r} should have {storage.size} values: {places[storage.key][1]}")

    def load_storage(storage):
        offset, count = places[storage.key]
        return np.fromfile(path, dtypes[storage.key], count, offset=offset)

    return state, load_storage


class _Frozen:
    """A function that a pickle may call but has no way to change: it has no attributes to set."""

    __slots__ = ("_function",)

    def __init__(self, function):
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name, value):
        raise _RefusedError(f"it sets {name!r} of a function")

    def __call__(self, *args):
        return self._function(*args)


class _StorageType(NamedTuple):
    dtype: str


def _rebuild_tensor(storage, offset, shape, strides, *unused):
    """`requires_grad`, hooks and metadata follow in newer versions: they are no values."""
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *unused):
    return tensor


class _TensorUnpickler(pickle.Unpickler):
    """Loads a pickle of tensors; looks up nothing outside of this table."""

    _KNOWN = {  # noqa: RUF012
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _Frozen(_rebuild_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): _Frozen(_rebuild_tensor),
        ("torch._utils", "_rebuild_parameter"): _Frozen(_rebuild_parameter),
        **{("torch", name): _StorageType(dtype) for name, dtype in _STORAGES.items()},
    }

    def __init__(self, file):
        super().__init__(file, encoding="utf-8")
        self.storages = []

    def find_class(self, module, name):
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise _RefusedError(f"it asks for {module}.{name}, which is no tensor") from None

    def persistent_load(self, saved_id):
        kind, storage_type, key, _, size, *view = saved_id
        if kind != "storage" or not isinstance(storage_type, _StorageType) or not isinstance(size, int):
            raise _RefusedError(f"it refers to {saved_id!r}, which is no storage of a tensor")
        start = view[0][1] if view and view[0] is not None else 0
        storage = _Storage(storage_type.dtype, str(key), start, size)
        self.storages.append(storage)
        return storage
