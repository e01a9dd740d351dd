"""Read TensorFlow checkpoints (`NAME.index` and `NAME.data-00000-of-00001`) without TensorFlow.

The index is a sorted string table in LevelDB's format: blocks of (key, value) pairs, each block followed by one byte
that says how it is compressed (0 not, 1 snappy) and four bytes of checksum; the last 48 bytes say where the block is
that lists all others. A key is a tensor's name, its value a `BundleEntryProto`: type, shape, shard, offset, size and
checksum of the raw values in the data file. The entry of the empty key is the `BundleHeaderProto`: the number of shards and
the byte order.

Format: https://github.com/google/leveldb/blob/main/doc/table_format.md, tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...safetensors import checked_shape, is_count, refuse_overlaps
from ...shown import quoted
from ..files import LIMIT, read_small
from .crc32c import crc32c, masked
from .stored import MOST_TENSORS, OpenFile, StoredTensor, bfloat16_to_float32

if TYPE_CHECKING:
    from ..._types import StrPath

_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
_MOST_KEYS = 4 * LIMIT  # bytes of all keys: stored is only what a key does not share with the one before
_BFLOAT16 = 14
# DataType of tensorflow/core/framework/types.proto; strings, resources and quantized types hold no weights.
_DTYPES = {1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "?", _BFLOAT16: "u2", 19: "f2"}


def read_tf_checkpoint(prefix: StrPath) -> dict[str, StoredTensor]:
    """Return the tensors by name of the checkpoint whose files begin with `prefix` (`…/bert_model.ckpt`).

    Raises:
        FileNotFoundError: if the index or a data file is missing.
        ValueError: if a file is cut or damaged.
    """
    index_path = Path(f"{prefix}.index")
    if not index_path.is_file():
        raise FileNotFoundError(f"{index_path} is missing: a TensorFlow checkpoint is an .index and its .data files.")
    data = read_small(index_path)
    try:
        return _tensors(prefix, index_path, _table(data))
    except _IndexError as error:
        raise ValueError(f"{index_path}: no index of a TensorFlow checkpoint, or a damaged one ({error}).") from error


class _IndexError(ValueError):
    """What is wrong with an index."""


def _tensors(prefix, index_path, entries):
    key, header = next(entries, (None, b""))
    if key != b"":
        raise _IndexError("it does not begin with its header")
    header = _message(header)
    shards, byte_order = _number(header, 1, 1), ">" if _number(header, 2) else "<"

    files, tensors, spans = {}, {}, {}
    for key, value in entries:
        entry = _message(value)
        dtype = _number(entry, 1)
        if dtype not in _DTYPES or 7 in entry:
            continue  # a string such as the object graph, or a variable saved in slices: no weight that we can place
        if len(tensors) == MOST_TENSORS:
            raise _IndexError(f"it lists more than {MOST_TENSORS:,} tensors")
        name = key.decode("utf-8", "replace")
        shape = _shape(name, entry)
        shard, offset, size = (_number(entry, field) for field in (3, 4, 5))
        if size != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise ValueError(f"{index_path}: tensor {quoted(name)} of shape {shape} cannot have {size} bytes.")
        if shard not in files:
            files[shard] = _data_file(prefix, shard, shards, index_path, name)
        file = files[shard]
        if offset + size > file.size:
            raise file.cut(f"tensor {quoted(name)}, which ends at byte {offset + size}")
        spans.setdefault(shard, []).append((offset, offset + size, name))
        crc = int.from_bytes(_field(entry, 6, bytes, b""), "little") if 6 in entry else None
        tensors[name] = StoredTensor(shape, partial(_load, file, name, offset, size, crc, dtype, byte_order, shape))
    for shard, of_shard in spans.items():
        try:
            refuse_overlaps(of_shard)
        except ValueError as error:
            raise ValueError(f"{files[shard].path}: {error}.") from error
    return tensors


def _data_file(prefix, shard, shards, index_path, name):
    if shard >= shards:
        raise _IndexError(f"tensor {quoted(name)} lies in data file {shard} of {shards}")
    path = Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {index_path.name} says that it holds tensor {quoted(name)}.")
    return OpenFile(path)


def _shape(name, entry):
    sizes = [_number(_message(dim), 1) for dim in _message(_field(entry, 2, bytes, b"")).get(2, [])]
    try:
        return checked_shape(sizes)
    except ValueError as error:
        raise _IndexError(f"tensor {quoted(name)}: {error}") from error


def _load(file, name, offset, size, crc, dtype, byte_order, shape):
    data = file.read(offset, size)
    if crc is not None and masked(crc32c(data)) != crc:
        raise ValueError(
            f"{file.path}: tensor {quoted(name)} (bytes {offset} to {offset + size}) is damaged: its checksum is "
            f"{masked(crc32c(data)):#010x} and must be {crc:#010x}. Download it again."
        )
    values = data.view(byte_order + _DTYPES[dtype]).reshape(shape)
    return bfloat16_to_float32(values) if dtype == _BFLOAT16 else values


def _table(data):
    """Yield the (key, value) pairs of a sorted string table; each of its bytes is read once."""
    footer = data[-_FOOTER:]
    if len(footer) < _FOOTER or footer[-8:] != _MAGIC:
        raise _IndexError("its last 8 bytes are not those of a sorted string table: is it cut off?")
    _, position = _varint(footer, 0)  # the block of meta data, which TensorFlow leaves empty
    _, position = _varint(footer, position)
    end, last_key, names = 0, None, 0
    for _, handle in _block(data, footer[position:])[1]:
        (begin, stop), pairs = _block(data, handle)
        if begin < end:
            raise _IndexError(f"its block at byte {begin} lies on the one before")
        end = stop
        for key, value in pairs:
            if last_key is not None and key <= last_key:
                raise _IndexError(f"{quoted(key)} stands after {quoted(last_key)}")
            last_key, names = key, names + len(key)
            if names > _MOST_KEYS:
                raise _IndexError(f"its keys have more than {_MOST_KEYS:,} bytes")
            yield key, value


def _block(data, handle):
    """Return where the block at `handle` (its offset and size, as varints) lies, and its (key, value) pairs."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    end = offset + size + 5
    if end > len(data) - _FOOTER:
        raise _IndexError(f"a block ends at byte {end} of {len(data)}")
    block, compression = data[offset : offset + size], data[offset + size]
    if compression not in (0, 1):
        raise _IndexError(f"a block has compression {compression}; known are 0 (none) and 1 (snappy)")
    stored, computed = int.from_bytes(data[end - 4 : end], "little"), masked(crc32c(data[offset : end - 4]))
    if stored != computed:
        raise _IndexError(f"its block at byte {offset} has the checksum {computed:#010x} and must have {stored:#010x}")
    return (offset, end), _pairs(_snappy(block) if compression else block)


def _pairs(block):
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise _IndexError(f"a block of {len(block)} bytes cannot have {restarts} restarts")
    key, position, names = b"", 0, 0
    while position < end:
        # A key is stored as what it shares with the key before and its own rest.
        shared, position = _varint(block, position)
        rest, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + rest + length > end:
            raise _IndexError(f"an entry shares {shared} bytes with a key of {len(key)}, or ends after its block")
        key = key[:shared] + block[position : position + rest]
        position, names = position + rest + length, names + len(key)
        if names > _MOST_KEYS:
            raise _IndexError(f"its keys have more than {_MOST_KEYS:,} bytes")
        yield key, block[position - length : position]


def _varint(data, position):
    """Return the number at `position`, seven bits a byte with the lowest first, and the position after it."""
    number = 0
    for shift, byte in zip(range(0, 70, 7), data[position : position + 10]):
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + shift // 7 + 1
    raise _IndexError("a number ends after its block, or has more than 10 bytes")


def _message(data):
    """Return `{field number: [values]}` of a protocol buffer; nested messages stay bytes."""
    if type(data) is not bytes:
        raise _IndexError(f"a number, {data}, stands in the place of a protocol buffer")
    if len(data) > 1 << 20:
        raise _IndexError(f"an entry has {len(data):,} bytes; expected at most {1 << 20:,}")
    fields, position = {}, 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
        elif kind in (1, 2, 5):
            length, position = _varint(data, position) if kind == 2 else ({1: 8, 5: 4}[kind], position)
            value, position = data[position : position + length], position + length
            if position > len(data):
                raise _IndexError("a field ends after its protocol buffer")
        else:
            raise _IndexError(f"wire type {kind} in a protocol buffer; known are 0, 1, 2 and 5")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _field(fields, number, kind, default):
    """Return the last value of a field, as protocol buffers have it."""
    value = fields.get(number, [default])[-1]
    if type(value) is not kind:
        raise _IndexError(f"field {number} of a protocol buffer has another type than it must have")
    return value


def _number(fields, number, default=0):
    value = _field(fields, number, int, default)
    if not is_count(value):
        raise _IndexError(f"field {number} of a protocol buffer is {value}, beyond 2^63")
    return value


def _snappy(data):
    """Return the bytes that snappy compressed (https://github.com/google/snappy/blob/main/format_description.txt)."""
    size, position = _varint(data, 0)
    if size > LIMIT:
        raise _IndexError(f"a snappy block says that it has {size:,} bytes; expected at most {LIMIT:,}")
    out = bytearray()
    while position < len(data) and len(out) <= size:
        tag = data[position]
        position += 1
        kind = tag & 3
        if kind == 0:  # a literal: its length less one in the tag, or in the 1 to 4 bytes behind it
            length = (tag >> 2) + 1
            if length > 60:
                width = length - 60
                length = int.from_bytes(data[position : position + width], "little") + 1
                position += width
            out += data[position : position + length]
            position += length
            continue
        # a copy of what was written `back` bytes before; it may overlap with itself
        width = (1, 2, 4)[kind - 1]
        back = int.from_bytes(data[position : position + width], "little")
        length = (tag >> 2) + 1
        if kind == 1:
            length, back = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | back
        position += width
        if not 0 < back <= len(out):
            raise _IndexError("a snappy block copies from before its beginning")
        repeated = bytes(out[-back:][:length])
        out += (repeated * -(-length // back))[:length]
    if len(out) != size:
        raise _IndexError(f"a snappy block has {len(out)} bytes where it says {size}")
    return bytes(out)
