"""Read TensorFlow checkpoints (`NAME.index` and `NAME.data-00000-of-00001`) without TensorFlow.

The index is a sorted string table in LevelDB's format: blocks of (key, value) pairs, each block followed by one byte
that says how it is compressed (0 not, 1 snappy) and four bytes of checksum; the last 48 bytes say where the block is
that lists all others. A key is a tensor's name, its value a `BundleEntryProto`: type, shape, shard, offset and size of
the raw values in the data file. The entry of the empty key is the `BundleHeaderProto`: the number of shards and the
byte order.

Format: https://github.com/google/leveldb/blob/main/doc/table_format.md, tensorflow/core/protobuf/tensor_bundle.proto.
"""

import math
from functools import partial
from pathlib import Path

import numpy as np

from w2v_embed.contextual.checkpoints.stored import StoredTensor, bfloat16_to_float32

_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_BFLOAT16 = 14
# DataType of tensorflow/core/framework/types.proto; strings, resources and quantized types hold no weights.
_DTYPES = {1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "?", _BFLOAT16: "u2", 19: "f2"}


def read_tf_checkpoint(prefix):
    """Return `{name: StoredTensor}` of the checkpoint whose files begin with `prefix` (`…/bert_model.ckpt`).

    Raises:
        FileNotFoundError: if the index or a data file is missing.
        ValueError: if a file is cut or damaged.
    """
    index_path = Path(f"{prefix}.index")
    if not index_path.is_file():
        raise FileNotFoundError(f"{index_path} is missing: a TensorFlow checkpoint is an .index and its .data files.")
    try:
        entries = dict(_table(index_path.read_bytes()))
        header = _message(entries.pop(b""))
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{index_path}: no index of a TensorFlow checkpoint, or a damaged one ({error}).") from error

    shards = header.get(1, [1])[0]
    byte_order = ">" if header.get(2, [0])[0] else "<"
    tensors = {}
    for key, value in entries.items():
        name = key.decode("utf-8", "replace")
        entry = _message(value)
        dtype = entry.get(1, [0])[0]
        if dtype not in _DTYPES or 7 in entry:
            continue  # a string such as the object graph, or a variable saved in slices: no weight that we can place
        shape = tuple(_message(dim).get(1, [0])[0] for dim in _message(entry.get(2, [b""])[0]).get(2, []))
        shard, offset, size = (entry.get(field, [0])[0] for field in (3, 4, 5))
        path = Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}")
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: {index_path.name} says that it holds tensor {name!r}.")
        if size != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise ValueError(f"{index_path}: tensor {name!r} of shape {shape} cannot have {size} bytes.")
        if offset + size > path.stat().st_size:
            raise ValueError(
                f"{path}: the file looks cut off: tensor {name!r} should end at byte {offset + size}, "
                f"the file has {path.stat().st_size} bytes. Download it again."
            )
        tensors[name] = StoredTensor(shape, partial(_load, path, offset, dtype, byte_order, shape))
    return tensors


def _load(path, offset, dtype, byte_order, shape):
    values = np.fromfile(path, byte_order + _DTYPES[dtype], math.prod(shape), offset=offset).reshape(shape)
    return bfloat16_to_float32(values) if dtype == _BFLOAT16 else values


def _table(data):
    """Yield the (key, value) pairs of a sorted string table."""
    footer = data[-48:]
    if len(footer) < 48 or footer[-8:] != _MAGIC:
        raise ValueError("its last 8 bytes are not those of a sorted string table: is it cut off?")
    _, position = _varint(footer, 0)  # the block of meta data, which TensorFlow leaves empty
    _, position = _varint(footer, position)
    handle = footer[position:]
    for _, block_handle in _block(data, handle):
        yield from _block(data, block_handle)


def _block(data, handle):
    """Yield the (key, value) pairs of the block at `handle` (its offset and size, as varints)."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    block, compression = data[offset : offset + size], data[offset + size]
    if compression == 1:
        block = _snappy(block)
    elif compression != 0:
        raise ValueError(f"a block has compression {compression}; known are 0 (none) and 1 (snappy)")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        # A key is stored as what it shares with the key before and its own rest.
        shared, position = _varint(block, position)
        rest, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + rest]
        position += rest
        yield key, block[position : position + length]
        position += length


def _varint(data, position):
    """Return the number at `position`, seven bits a byte with the lowest first, and the position after it."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number, position
        shift += 7


def _message(data):
    """Return `{field number: [values]}` of a protocol buffer; nested messages stay bytes."""
    fields, position = {}, 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
        elif kind in (1, 2, 5):
            length, position = _varint(data, position) if kind == 2 else ({1: 8, 5: 4}[kind], position)
            value, position = data[position : position + length], position + length
        else:
            raise ValueError(f"wire type {kind} in a protocol buffer; known are 0, 1, 2 and 5")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _snappy(data):
    """Return the bytes that snappy compressed (https://github.com/google/snappy/blob/main/format_description.txt)."""
    size, position = _varint(data, 0)
    out = bytearray()
    while position < len(data):
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
        if kind == 1:
            length, back = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[position]
            position += 1
        else:
            width = 2 if kind == 2 else 4
            length, back = (tag >> 2) + 1, int.from_bytes(data[position : position + width], "little")
            position += width
        if not 0 < back <= len(out):
            raise ValueError("a snappy block copies from before its beginning")
        for _ in range(length):
            out.append(out[-back])
    if len(out) != size:
        raise ValueError(f"a snappy block has {len(out)} bytes where it says {size}")
    return bytes(out)
