"""Files of a model that lie, are damaged, or were made to take gigabytes, minutes or the process: each is refused by its name.

What the files are made of stands in tests/fuzz/fuzz_checkpoints.py, whose findings are tried here as well.
"""

import json
import os
import pickle
import re
import shutil
import struct
import sys
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.fuzz_checkpoints import (
    LEGACY,
    PIECES,
    WORDS,
    entry,
    one,
    proto,
    safetensors,
    seeds,
    sentencepiece,
    sorted_pairs,
    table,
    torch_pickle,
    varint,
    zipped,
)
from tests.test_contextual_tokenizers import read_tokenizer
from w2v_embed.contextual.checkpoints import read_checkpoint, stored, tf_checkpoint
from w2v_embed.contextual.checkpoints.crc32c import _BYTE, crc32c, masked
from w2v_embed.contextual.checkpoints.tf_checkpoint import _snappy, read_tf_checkpoint
from w2v_embed.contextual.checkpoints.torch_file import read_torch
from w2v_embed.contextual.families.config import read_config
from w2v_embed.shown import quoted

REFERENCE = Path(__file__).parent / "data" / "reference"

CORPUS = Path(__file__).parent / "fuzz" / "corpus_checkpoints"
KEYS = b"\x80\x02]X\x01\0\0\x000a." + struct.pack(
    "<Q", 4
)  # the list of storages of an old torch file, and the first's size


@contextmanager
def at_most(megabytes):
    """Fail if more memory was taken than that."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes << 20, f"{peak >> 20} MB were taken"


@pytest.mark.parametrize("case", [*seeds(), *sorted(os.listdir(CORPUS))])
def test_what_was_found(case):
    one(seeds()[case] if case in seeds() else (CORPUS / case).read_bytes())


def test_the_tests_that_the_documentation_names_are_there():
    here = Path(__file__).parent
    named = set(re.findall(r"`(test_\w+)`", (here.parent / "docs" / "contextual.md").read_text("utf-8")))
    known = {
        name
        for file in here.glob("test_contextual_*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    assert len(named) > 10
    assert named <= known


# Places outside of a storage


def torch_file(tmp_path, pickled, old):
    data = LEGACY + pickled + KEYS + bytes(range(16)) if old else zipped(pickled)
    (tmp_path / "pytorch_model.bin").write_bytes(data)
    return tmp_path / "pytorch_model.bin"


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"view": (-1000000, 4)}, r"storage '0' of 4 values has the view \('v', -1000000, 4\)"),
        ({"view": (-1, 4)}, r"has the view \('v', -1, 4\)"),
        ({"view": (0, -4)}, r"has the view \('v', 0, -4\)"),
        ({"view": (1, 4)}, r"storage '0' of 4 values has the view \('v', 1, 4\)"),
        ({"view": (3, 1)}, "'a' ends at value 4 of a storage of 1"),
        ({"offset": -1}, "'a' has offset -1"),
        ({"strides": (-2, 1)}, r"strides \(-2, 1\)"),
        ({"shape": (-2, 2)}, r"its shape must be up to 32 sizes, 0 or more, received \(-2, 2\)"),
        ({"shape": (2,) * 33, "strides": (0,) * 33}, "its shape must be up to 32 sizes"),
        ({"shape": (1 << 25, 1 << 25), "strides": (0, 0)}, r"its shape is \(33554432, 33554432\), beyond"),
        ({"strides": (2,)}, r"strides \(2,\)"),
        ({"offset": 1}, "'a' ends at value 5 of a storage of 4"),
        ({"size": -4}, "which is no storage of a tensor"),
        ({"size": 5}, "storage '0' must have"),
        ({"key": "1"}, r"no 'archive/data/1'|lists storage '0', of which no tensor is made"),
    ],
)
def test_a_torch_tensor_outside_of_its_storage(tmp_path, old, keywords, words):
    with pytest.raises(ValueError, match=rf"pytorch_model\.bin: .*{words}"):
        read_torch(torch_file(tmp_path, torch_pickle(**keywords), old))


@pytest.mark.parametrize("old", [True, False])
def test_a_torch_view_within_its_storage(tmp_path, old):
    whole = np.frombuffer(bytes(range(16)), "<f4")
    tensors = read_torch(torch_file(tmp_path, torch_pickle(view=(1, 3), offset=1, shape=(2,), strides=(1,)), old))
    np.testing.assert_array_equal(tensors["a"].load(), whole[2:])
    tensors = read_torch(torch_file(tmp_path, torch_pickle(shape=(1, 2, 0), strides=(1 << 30, 0, 7)), old))
    assert tensors["a"].load().shape == (1, 2, 0)
    tensors = read_torch(torch_file(tmp_path, torch_pickle(shape=(1, 2), strides=(1 << 30, 2)), old))
    np.testing.assert_array_equal(tensors["a"].load(), whole[None, ::2])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a": ("F32", [2], [-8, 0])}, r"tensor 'a' of shape \(2,\) and dtype F32 spans bytes -8 to 0"),
        ({"a": ("F32", [2], [8, 0])}, "spans bytes 8 to 0"),
        ({"a": ("F32", [2], [0, 8.0])}, r"spans bytes 0 to 8\.0"),
        ({"a": ("F32", [2], [False, 8])}, "spans bytes False to 8"),
        ({"a": ("F32", [-2, -1], [0, 8])}, r"'a': its shape must be up to 32 sizes, 0 or more, received \[-2, -1\]"),
        ({"a": ("F32", [2.0], [0, 8])}, r"received \[2\.0\]"),
        ({"a": ("F32", "2", [0, 8])}, "received '2'"),
        ({"a": ("F32", [0, 1 << 62], [0, 0])}, "beyond 281,474,976,710,656 values"),
        (
            {"a": ("F32", [2], [0, 8, 9])},
            r"must have dtype, shape and two data_offsets, received {'data_offsets': \[0, 8",
        ),
        ({"a": (["F32"], [2], [0, 8])}, r"tensor 'a' has dtype \['F32'\]; known are F64"),
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])}, "tensors 'a' and 'b' lie on the same bytes"),
        ({"a": ("F32", [99], [0, 396])}, "the file looks cut off: it has [0-9]+ bytes and tensor 'a' ends at byte"),
    ],
)
def test_a_safetensors_tensor_outside_of_its_place(tmp_path, entries, words):
    header = {name: dict(zip(("dtype", "shape", "data_offsets"), values)) for name, values in entries.items()}
    (tmp_path / "model.safetensors").write_bytes(safetensors(json.dumps(header).encode()))
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{words}"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b'{"a": 1}', "tensor 'a' must have dtype, shape and two data_offsets, received 1"),
        (
            b'{"a": 1, "a": 2}',
            "the header: the key 'a' stands there twice: line 1 with the value 1, line 1 with the value 2",
        ),
        (b"[" * 100_000, "the header: lists or objects nested too deeply"),
        (b"\xff\xff", "the header must be JSON, and it is no UTF-8"),
        (b"[]", "the header: expected a JSON object, got a list"),
        (
            b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b"]}}",
            r"the header: not JSON that can be read \(Exceeds the limit",
        ),
    ],
)
def test_a_safetensors_header_that_is_none(tmp_path, header, words):
    (tmp_path / "model.safetensors").write_bytes(safetensors(header))
    with pytest.raises(ValueError, match=rf"model\.safetensors: {words}"):
        read_checkpoint(tmp_path)


def tensorflow(tmp_path, *entries):
    (tmp_path / "m.ckpt.index").write_bytes(table(sorted_pairs([(b"", proto((1, 1))), *entries])))
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(bytes(range(64)))
    return tmp_path / "m.ckpt"


BEYOND = (1 << 64) - 1  # what -1 is as a varint


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([(b"a", entry(offset=BEYOND))], f"field 4 of a protocol buffer is {BEYOND}, beyond 2"),
        ([(b"a", entry(shape=(BEYOND, BEYOND), size=4))], f"field 1 of a protocol buffer is {BEYOND}"),
        ([(b"a", entry(shape=(0, 1 << 62), size=0))], "tensor 'a': its shape is .* beyond 281,474,976,710,656 values"),
        ([(b"a", entry(size=BEYOND))], f"field 5 of a protocol buffer is {BEYOND}"),
        ([(b"a", entry(offset=60))], "it has 64 bytes and must have tensor 'a', which ends at byte 76"),
        ([(b"a", entry(size=8))], r"tensor 'a' of shape \(2, 2\) cannot have 8 bytes"),
        ([(b"a", entry(shard=7))], "tensor 'a' lies in data file 7 of 1"),
        ([(b"a", entry()), (b"b", entry(offset=8))], "tensors 'a' and 'b' lie on the same bytes"),
        ([(b"a", entry()), (b"a", entry())], "b'a' stands after b'a'"),
        ([(b"b", entry()), (b"a", entry())], "b'a' stands after b'b'"),
        ([(b"a", proto((1, b"x")))], "field 1 of a protocol buffer has another type"),
        ([(b"a", proto((1, 1), (2, proto((2, 7)))))], "a number, 7, stands in the place of a protocol buffer"),
        ([(b"a", b"\x12\x7f")], "a field ends after its protocol buffer"),
        ([(b"a", b"\x08" + b"\xff" * 11)], "a number ends after its block, or has more than 10 bytes"),
        ([(b"a", bytes(2 << 20))], "an entry has 2,097,152 bytes; expected at most 1,048,576"),
    ],
)
def test_a_tensorflow_tensor_outside_of_its_place(tmp_path, entries, words):
    with pytest.raises(ValueError, match=rf"m\.ckpt\.\S*: .*{words}"):
        read_tf_checkpoint(tensorflow(tmp_path, *entries))


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (table(sorted_pairs([(b"a", entry())])), "it does not begin with its header"),
        (table(), "it does not begin with its header"),
        (table(b"\0\0\0\0" + struct.pack("<I", 1 << 20)), "a block of 8 bytes cannot have 1048576 restarts"),
        (table(b"\x05\x01\x00a" + struct.pack("<II", 0, 1)), "an entry shares 5 bytes with a key of 0"),
        (table(b"\x00\x7f\x00a" + struct.pack("<II", 0, 1)), "or ends after its block"),
    ],
)
def test_a_tensorflow_index_of_odd_blocks(tmp_path, index, words):
    (tmp_path / "m.ckpt.index").write_bytes(index)
    with pytest.raises(ValueError, match=rf"m\.ckpt\.index: no index of a TensorFlow checkpoint, .*{words}"):
        read_tf_checkpoint(tmp_path / "m.ckpt")


# Checksums


def crc32c_by_bits(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc32c():
    # RFC 3720, appendix B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
    data = np.random.default_rng(0).integers(0, 256, 5_000, np.uint8)
    for size in [*range(9), *range(510, 518), 4096, 4099]:
        assert crc32c(data[:size]) == crc32c_by_bits(data[:size].tolist()), size
    blocks = np.zeros(
        (1 << 20) + 516, np.uint8
    )  # a block of 2^18 words and some more, of zeros that a table of one byte skips
    blocks[: len(data)] = data
    state = crc32c_by_bits(data.tolist()) ^ 0xFFFFFFFF
    for _ in range(len(blocks) - len(data)):
        state = state >> 8 ^ _BYTE[state & 255]
    assert crc32c(blocks) == state ^ 0xFFFFFFFF


def test_the_checksums_are_those_of_tensorflow():
    for index in REFERENCE.glob("*/*.index"):
        for tensor in read_tf_checkpoint(index.with_suffix("")).values():
            assert tensor.load.args[4] is not None
            tensor.load()


def test_a_changed_value_of_a_tensorflow_checkpoint_is_noticed(tmp_path):
    folder = Path(shutil.copytree(REFERENCE / "keras_xlnet_empty", tmp_path / "model"))
    file = folder / "xlnet_model.ckpt.data-00000-of-00001"
    data = bytearray(file.read_bytes())
    for place in range(0, len(data), 97):
        data[place] ^= 16
        file.write_bytes(data)
        data[place] ^= 16
        tensors = read_tf_checkpoint(folder / "xlnet_model.ckpt").values()
        with pytest.raises(
            ValueError, match=r"data-00000-of-00001: tensor '.*' \(bytes .* is damaged: its checksum is 0x"
        ):
            [tensor.load() for tensor in tensors]


def test_a_changed_bit_of_a_tensorflow_index_is_noticed(tmp_path):
    folder = Path(shutil.copytree(REFERENCE / "keras_xlnet_empty", tmp_path / "model"))
    before = {name: tensor.load() for name, tensor in read_tf_checkpoint(folder / "xlnet_model.ckpt").items()}
    file = folder / "xlnet_model.ckpt.index"
    data = bytearray(file.read_bytes())
    refused = 0
    for place in range(len(data)):
        data[place] ^= 1 << place % 8
        file.write_bytes(data)
        data[place] ^= 1 << place % 8
        try:
            after = read_tf_checkpoint(folder / "xlnet_model.ckpt")
        except ValueError as error:
            refused += str(file) in str(error)
            continue
        assert after.keys() == before.keys()
    # The block of meta data and the room behind the footer's handles are read by nobody.
    assert refused > len(data) - 70


def test_a_changed_bit_of_a_torch_archive_is_noticed(tmp_path):
    before = read_torch(torch_file(tmp_path, torch_pickle(), old=False))["a"].load()
    data = bytearray(zipped(torch_pickle()))
    file = tmp_path / "pytorch_model.bin"
    refused = kept = 0
    for place in range(len(data)):
        data[place] ^= 1 << place % 8
        file.write_bytes(data)
        data[place] ^= 1 << place % 8
        try:
            after = {name: tensor.load() for name, tensor in read_torch(file).items()}
        except ValueError as error:
            refused += str(file) in str(error)
            continue
        kept += 1
        assert after.keys() == {"a"}
        np.testing.assert_array_equal(after["a"], before)
    assert refused + kept == len(data)


def test_a_damaged_storage_of_a_torch_archive(tmp_path):
    data = zipped(torch_pickle())
    (tmp_path / "pytorch_model.bin").write_bytes(data.replace(bytes(range(16)), bytes(range(1, 17))))
    tensors = read_checkpoint(tmp_path)[2]
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: bytes \d+ to \d+ are damaged, their checksum is 0x"):
        tensors["a"].load()


def test_a_file_that_is_replaced_meanwhile_is_still_the_one_that_was_opened(tmp_path):
    file = tmp_path / "model.safetensors"
    header = b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}'
    file.write_bytes(safetensors(header, 0) + b"old.")
    tensors = read_checkpoint(tmp_path)[2]
    (tmp_path / "new").write_bytes(safetensors(header + b" " * 8, 0) + b"new.")
    os.replace(tmp_path / "new", file)
    assert tensors["a"].load().tobytes() == b"old."
    os.truncate(file, 3)
    file.write_bytes(safetensors(header, 0) + b"long")
    tensors = read_checkpoint(tmp_path)[2]
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"model\.safetensors has become shorter while it was read"):
        tensors["a"].load()


def test_shards_that_disagree_with_their_index(tmp_path):
    for name, value in (("s1", b"1111"), ("s2", b"2222")):
        header = b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}'
        (tmp_path / name).write_bytes(safetensors(header, 0) + value)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "s1", "b": "s2"}}')
    with pytest.raises(ValueError, match=r"s2 has no tensor 'b', which model\.safetensors\.index\.json says is in it"):
        read_checkpoint(tmp_path)
    for shard, value in (("s1", b"1111"), ("s2", b"2222")):
        (tmp_path / "s2").write_bytes(
            safetensors(
                b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, '
                b'"c": {"dtype": "U8", "shape": [0], "data_offsets": [4, 4]}}',
                0,
            )
            + b"2222"
        )
        index.write_text(json.dumps({"weight_map": {"a": shard, "c": "s2"}}))
        assert read_checkpoint(tmp_path)[2]["a"].load().tobytes() == value


# Little that asks for much


def sparse(path, start, size, end=b""):
    """A file of zeros that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
        file.seek(size - len(end))
        file.write(end)


def test_a_safetensors_header_of_gigabytes(tmp_path):
    sparse(tmp_path / "model.safetensors", struct.pack("<Q", 3 << 30), 4 << 30)
    with (
        at_most(1),
        pytest.raises(ValueError, match=r"model\.safetensors: its header says that it has 3,221,225,472 bytes"),
    ):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "spiece.model",
        "model.safetensors.index.json",
    ],
)
def test_a_small_file_of_gigabytes(tmp_path, name):
    sparse(tmp_path / name, b"{", 4 << 30)
    model_type = "xlnet" if name == "spiece.model" else "bert"
    config = read_config(REFERENCE / f"{model_type}_hf", "huggingface")
    readers = {
        "config.json": lambda: read_config(tmp_path, "huggingface"),
        "model.safetensors.index.json": lambda: read_checkpoint(tmp_path),
    }
    read = readers.get(name, lambda: read_tokenizer(tmp_path, config))
    with (
        at_most(30),
        pytest.raises(ValueError, match=rf"{name} has 4,294,967,296 bytes: expected at most (16,777|67,108)"),
    ):
        read()


def test_a_tensorflow_index_of_gigabytes(tmp_path):
    sparse(tmp_path / "m.ckpt.index", b"", 4 << 30)
    with at_most(1), pytest.raises(ValueError, match=r"m\.ckpt\.index has 4,294,967,296 bytes: expected at most"):
        read_checkpoint(tmp_path)


def test_an_old_torch_file_whose_pickle_has_no_end(tmp_path):
    sparse(tmp_path / "pytorch_model.bin", LEGACY + b"\x80\x02X\xff\xff\xff\x7f", 3 << 30)
    with (
        at_most(80),
        pytest.raises(ValueError, match=r"pytorch_model\.bin: .*its pickles must end before byte 16,777,216"),
    ):
        read_checkpoint(tmp_path)


def test_an_archive_whose_list_of_members_has_gigabytes(tmp_path):
    size = 4_000_000_000
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 9, 9, size - 100, 0, 0)
    sparse(tmp_path / "pytorch_model.bin", b"PK\3\4", size - 100 + len(end), end)
    with at_most(50), pytest.raises(ValueError, match=r"list of members has more than 16,777,216 bytes"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("member", ["data.pkl", "byteorder", "data/0"])
def test_a_member_that_grows(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("data.pkl", torch_pickle()), ("byteorder", b"little"), ("data/0", bytes(16))):
            with archive.open(f"archive/{name}", "w", force_zip64=True) as file:
                file.write(data)
                for _ in range(64 if name == member else 0):
                    file.write(bytes(1 << 20))
    words = "of the zip archive is compressed or encrypted|byte order is not little"
    with at_most(8), pytest.raises(ValueError, match=rf"pytorch_model\.bin: .*{words}"):
        read_checkpoint(tmp_path)


def test_values_that_are_compressed(tmp_path):
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("data.pkl", torch_pickle()), ("data/0", bytes(16))):
            archive.writestr(f"archive/{name}", data)
    with pytest.raises(ValueError, match=r"'archive/data\.pkl' of the zip archive is compressed or encrypted"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("old", [True, False])
def test_strides_of_zero(tmp_path, old):
    with (
        at_most(1),
        pytest.raises(ValueError, match=r"its tensors have 4,294,967,296 bytes at 'a', more than 16 times those"),
    ):
        read_torch(torch_file(tmp_path, torch_pickle(shape=(1 << 15, 1 << 15), strides=(0, 0)), old))


def state_dict(*names, **keywords):
    """The pickle of many tensors, all of them on storage "0"."""
    first = torch_pickle(**keywords)
    tensor = first[first.index(b"ctorch._utils") : -2]
    return b"\x80\x02}(" + b"".join(b"X" + struct.pack("<I", len(n)) + n.encode() + tensor for n in names) + b"u."


def test_two_values_that_lie_far_apart(tmp_path):
    """To read them is to read what lies between, each time."""
    pickled = state_dict(*"abcdefghijklmnopqrst", shape=(2,), strides=(99_999,), size=100_000)
    (tmp_path / "pytorch_model.bin").write_bytes(zipped(pickled, **{"data/0": bytes(400_000)}))
    with pytest.raises(
        ValueError, match="its tensors have 6,800,000 bytes at 'q', more than 16 times those of the file"
    ):
        read_checkpoint(tmp_path)


def test_many_tensors_on_one_storage(tmp_path):
    path = torch_file(tmp_path, state_dict("a", "b"), old=False)
    assert len(read_torch(path)) == 2
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("w2v_embed.contextual.checkpoints.torch_file.MOST_TENSORS", 1)
        with pytest.raises(ValueError, match="it lists 2 tensors; expected at most 1"):
            read_torch(path)
        patch.setattr("w2v_embed.contextual.checkpoints.torch_file._MOST_SHARING", 0)
        patch.setattr("w2v_embed.contextual.checkpoints.torch_file.MOST_TENSORS", 2)
        with pytest.raises(ValueError, match="its tensors have 16 bytes at 'a', more than 0 times those of the file"):
            read_torch(path)


def doubled(times):
    """A pickle's tuple of tuples, each twice in the next: some bytes a time, and 2^times values to walk through."""
    return b"K\1" + b"q\0h\0\x86" * times


HOSTILE = {
    "tuples as a key": (b"}" + doubled(40) + b"K\1s.", r"a dictionary has the key \(\(\(\.\.\.\), "),
    "a memo of 2^28": (b"}r\0\0\0\x10.", None),
    "tuples as a storage": (doubled(40) + b"Q.", r"it refers to \(\(\(\.\.\.\), "),
    "tuples as arguments": (
        b"ctorch._utils\n_rebuild_tensor\n" + doubled(40) + b"\x85R.",
        "it calls torch._utils._rebuild",
    ),
    "tuples that are called": (doubled(40) + b")R.", r"it calls \(\(\(\.\.\.\), "),
    "tuples with attributes": (doubled(40) + b"}b.", r"it sets attributes of \(\(\(\.\.\.\), "),
    "tuples as a name": (b"\x8c\5torch" + doubled(40) + b"\x93.", r"it asks for \(\(\(\.\.\.\), .* of 'torch'"),
    "tuples as a module": (doubled(40) + b"\x8c\1a\x93.", r"it asks for 'a' of \(\(\(\.\.\.\), "),
    "a long name": (b"c" + b"a" * 100_000 + b"\nb\n.", r"it asks for a+… \(100,002 characters\), which is no tensor"),
    "tuples as the state": (doubled(40) + b".", "it holds a tuple"),
    "a text of 2 GB": (b"X\xff\xff\xff\x7f.", "expected 2147483647 bytes in a unicodestring4, but only"),
    "bytes of 2^60": (b"\x8e" + struct.pack("<Q", 1 << 60) + b".", "expected 1152921504606846976 bytes|no state dict"),
    "a number of megabytes": (
        b"\x8b" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b".",
        "its pickle says LONG4 at byte",
    ),
    "a set": (b"\x8f.", "its pickle says EMPTY_SET at byte [0-9]+, which no state dict needs"),
    "values that are not there": (b"\x86.", "takes values that are not there"),
    "no end": (b"}", "pickle exhausted before seeing STOP|leaves 2 values"),
    "two states": (b"}}.", "its pickle leaves 2 values"),
    "items of a list": (b"]K\1K\1s.", "it sets items of a list"),
    "values of a dictionary": (b"}K\1a.", "it appends to a dict"),
    "an instance": (b"(ccollections\nOrderedDict\no.", "its pickle says OBJ"),
    "an instance by name": (b"(icollections\nOrderedDict\n.", "it makes an instance of 'collections OrderedDict'"),
    "a code of a registry": (b"\x82\1.", "its pickle says EXT1"),
    "another state": (b"}K\1b.", "it sets attributes of {}"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("old", [True, False])
def test_pickles_that_ask_for_much(tmp_path, old, name):
    operations, words = HOSTILE[name]
    path = torch_file(tmp_path, b"\x80\x02" + operations, old)
    with at_most(24):
        if words is None and not old:
            assert read_torch(path) == {}
        else:
            with pytest.raises(
                ValueError, match=rf"pytorch_model\.bin: .*({words}|of which no tensor is made)"
            ) as error:
                read_torch(path)
            assert len(str(error.value)) < 2000


def test_dictionaries_that_are_copied_again_and_again(tmp_path):
    pairs = b"](" + b"".join(b"(X\1\0\0\0%cK\1l" % (97 + n % 26) for n in range(2000)) + b"e"
    pairs = pairs.replace(b"l", b"t")
    again = b"ccollections\nOrderedDict\nq\1h\0\x85R" + b"h\1h\0\x85R" * 5000
    path = torch_file(tmp_path, b"\x80\x02" + pairs + b"q\0" + again + b".", old=False)
    with at_most(16), pytest.raises(ValueError, match="its dictionaries have more than 100,000 keys"):
        read_torch(path)


def test_a_state_dict_of_python_2(tmp_path):
    tensor = torch_pickle()
    tensor = tensor[tensor.index(b"ctorch._utils") : -2].replace(b"X\7\0\0\0storage", b"U\7storage")
    state = b"ccollections\nOrderedDict\n]]U\1aa" + tensor + b"aa\x85R}U\x09_metadataNsb."
    (tmp_path / "pytorch_model.bin").write_bytes(LEGACY + b"\x80\x02" + state + KEYS + bytes(range(16)))
    np.testing.assert_array_equal(
        read_checkpoint(tmp_path)[2]["a"].load(), np.frombuffer(bytes(range(16)), "<f4").reshape(2, 2)
    )


def test_torch_writes_no_other_words(tmp_path):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Embedding(300, 3), torch.nn.LayerNorm(3), torch.nn.BatchNorm1d(3)).bfloat16()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for whole in (True, False):
            file = tmp_path / "pytorch_model.bin"
            torch.save(model.state_dict(), file, pickle_protocol=protocol, _use_new_zipfile_serialization=whole)
            tensors = read_torch(file)
            assert tensors.keys() == model.state_dict().keys()
            for name, value in model.state_dict().items():
                np.testing.assert_array_equal(tensors[name].load(), value.float().numpy())


def shared_keys(count, key):
    """A block whose first key is long, and of which each other key has all."""
    first = b"\0" + varint(len(key)) + b"\0" + key
    return first + b"".join(varint(len(key)) + b"\1\0" + bytes([65]) for _ in range(count)) + struct.pack("<II", 0, 1)


def test_shared_keys_in_a_tensorflow_index(tmp_path, monkeypatch):
    assert tf_checkpoint._MOST_KEYS == 67_108_864
    monkeypatch.setattr(tf_checkpoint, "_MOST_KEYS", 1 << 20)
    block = shared_keys(100_000, b"a" * 10_000)
    with at_most(3), pytest.raises(ValueError, match="its keys have more than 1,048,576 bytes"):
        for _ in tf_checkpoint._pairs(block):
            pass
    # of several blocks, none of which has too many
    blocks = [sorted_pairs([(b"%d" % n + b"a" * 400_000, b"")]) for n in range(1, 4)]
    (tmp_path / "m.ckpt.index").write_bytes(table(sorted_pairs([(b"", b"")]), *blocks))
    with at_most(8), pytest.raises(ValueError, match=r"m\.ckpt\.index: .*its keys have more than 1,048,576 bytes"):
        read_tf_checkpoint(tmp_path / "m.ckpt")


def test_blocks_of_a_tensorflow_index_that_are_read_again(tmp_path):
    block = sorted_pairs([(b"", proto((1, 1))), (b"a", entry())])
    whole = table(block, sorted_pairs([(b"b", entry(offset=16))]))
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(bytes(64))
    (tmp_path / "m.ckpt.index").write_bytes(whole)
    assert len(read_tf_checkpoint(tmp_path / "m.ckpt")) == 2
    handles = [(bytes([n + 1]), varint(0) + varint(len(block))) for n in range(100)]
    listed = sorted_pairs(handles)
    stored_listed = listed + b"\0" + struct.pack("<I", masked(crc32c(listed + b"\0")))
    data = block + b"\0" + struct.pack("<I", masked(crc32c(block + b"\0")))
    footer = (b"\0\0" + varint(len(data)) + varint(len(listed))).ljust(40, b"\0") + whole[-8:]
    (tmp_path / "m.ckpt.index").write_bytes(data + stored_listed + footer)
    with pytest.raises(ValueError, match="its block at byte 0 lies on the one before"):
        read_tf_checkpoint(tmp_path / "m.ckpt")


def test_a_snappy_block_that_grows():
    with (
        at_most(1),
        pytest.raises(ValueError, match="a snappy block says that it has 1,073,741,824 bytes; expected at most"),
    ):
        _snappy(varint(1 << 30) + b"\0a" + b"\xfe\1\0" * 100)
    data = varint(10) + b"\0a" + b"\xfe\1\0" * 1_000_000
    with at_most(1), pytest.raises(ValueError, match="a snappy block has 65 bytes where it says 10"):
        _snappy(data)


def test_more_tensors_than_a_model_has(tmp_path, monkeypatch):
    for reader in ("safetensors_file", "tf_checkpoint"):
        monkeypatch.setattr(f"w2v_embed.contextual.checkpoints.{reader}.MOST_TENSORS", 1)
    with pytest.raises(ValueError, match=r"m\.ckpt\.index: .*it lists more than 1 tensors"):
        read_tf_checkpoint(tensorflow(tmp_path, (b"a", entry()), (b"b", entry(offset=16))))
    whole = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    (tmp_path / "model.safetensors").write_bytes(safetensors(json.dumps({"a": whole, "b": whole}).encode()))
    with pytest.raises(ValueError, match=r"model\.safetensors: it lists 2 tensors; expected at most 1"):
        read_checkpoint(tmp_path)
    assert stored.MOST_TENSORS == 100_000


# Configurations


def configured(tmp_path, name="bert_hf", **settings):
    config = json.loads((REFERENCE / name / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **settings}))
    return read_config(tmp_path, "huggingface")


@pytest.mark.parametrize("name", ["bert_hf", "nezha_hf", "xlnet_hf"])
@pytest.mark.parametrize("eps", [float("nan"), float("inf"), -1.0, 0.0, 1.0, -1e-12])
def test_an_epsilon_that_is_none(tmp_path, name, eps):
    with pytest.raises(ValueError, match=r"config\.json: layer_norm_eps must lie between 0 and 1, received "):
        configured(tmp_path, name, layer_norm_eps=eps)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("bert_hf", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]),
        ("bert_hf", ["type_vocab_size", "max_position_embeddings"]),
        ("nezha_hf", ["max_relative_position", "max_position_embeddings"]),
        ("xlnet_hf", ["vocab_size", "d_model", "n_layer", "n_head", "d_head", "d_inner"]),
    ],
)
def test_a_size_that_is_none(tmp_path, name, keys):
    for key in keys:
        for value, words in (
            (0, "must be from 1 to 16,777,216, received 0"),
            (-3, "must be from 1 to 16,777,216, received -3"),
            (1 << 25, "must be from 1 to 16,777,216, received 33554432"),
            (10**400, "must be from 1 to 16,777,216, received <int of 1329 bits>"),
            (True, "must be of type int, received True"),
            (2.0, r"must be of type int, received 2\.0"),
            ([[[[1]]]], r"must be of type int, received \[\[\[\.\.\.\]\]\]"),
        ):
            with pytest.raises(ValueError, match=rf"config\.json: {key} {words}"):
                configured(tmp_path, name, **{key: value})


def test_other_numbers_of_xlnet(tmp_path):
    for key, value, words in (
        ("clamp_len", -2, "must be from -1 to 16,777,216, received -2"),
        ("clamp_len", 1 << 40, "must be from -1 to 16,777,216, received 1099511627776"),
        ("mem_len", -1, "must be from 0 to 16,777,216, received -1"),
        ("untie_r", 1, "must be of type bool, received 1"),
    ):
        with pytest.raises(ValueError, match=rf"config\.json: {key} {words}"):
            configured(tmp_path, "xlnet_hf", **{key: value})
    assert configured(tmp_path, "xlnet_hf", mem_len=0).mem_len is None
    assert configured(tmp_path, "xlnet_hf", clamp_len=7).clamp_len == 7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "lists or objects nested too deeply; expected a value for each key"),
        (b'{"a": ' * 100_000, "lists or objects nested too deeply; expected a value for each key"),
        (
            b'{"hidden_size": 1, "hidden_size": 2}',
            "the key 'hidden_size' stands there twice: line 1 with the value 1, line 1 with",
        ),
        (b'{\n"a": "\xff"}', r"config\.json, line 2 \(byte 8\): expected UTF-8, got invalid start byte \(0xff\)"),
        (b'{"hidden_size": ' + b"9" * 5000 + b"}", r"not JSON that can be read \(Exceeds the limit"),
        (b"\0" * 100, r"config\.json, line 1: not JSON \(Expecting value"),
        (b'{"use_relative_position": "no"}', "use_relative_position must be of type bool, received 'no'"),
        (b'{"model_type": ["bert"]}', r'model_type must be "bert", .* or "mpnet", received \[.bert.\]'),
    ],
)
def test_a_configuration_that_is_none(tmp_path, content, words):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json.*{words}" if "line" not in words else words) as error:
        read_config(tmp_path, "huggingface")
    assert len(str(error.value)) < 500


def test_what_a_message_shows_is_short():
    value = 1
    for _ in range(60):
        value = (value, value)
    assert len(quoted(value)) < 100
    assert len(quoted("x" * 10_000)) < 250
    assert len(quoted([["x" * 1000] * 1000] * 1000)) < 20_000
    assert quoted(10**100) == "<int of 333 bits>"
    assert quoted((None, True, 1.5, "a", sys)) == "(None, True, 1.5, 'a', <module 'sys' (built-in)>)"


# Tokenizers


SAVED = {"model": {"type": "WordPiece", "vocab": {word: id_ for id_, word in enumerate(WORDS)}}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": []}, r"model must be of type dict, received \[\]"),
        ({"model": {"type": "WordPiece"}}, "the vocabulary must be of type dict, received None"),
        ({"model": {"type": "WordPiece", "vocab": {"a": "1"}}}, "'a' has the id '1', expected 0 to 2,147,483,647"),
        ({"model": {"type": "WordPiece", "vocab": {"a": -1}}}, "'a' has the id -1"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 1 << 33}}}, "'a' has the id 8589934592"),
        (
            {"model": {"type": "WordPiece", "vocab": {"\ud800": 1}}},
            r"a word is '\\ud800', which cannot be written as UTF-8",
        ),
        ({"added_tokens": {}}, None),
        ({"added_tokens": {"a": 1}}, "added_tokens must be of type list"),
        ({"added_tokens": [1]}, "an added token must be of type dict, received 1"),
        ({"added_tokens": [{"id": 1}]}, "the content of an added token must be of type str, received None"),
        ({"added_tokens": [{"id": 1.5, "content": "x"}]}, r"'x' has the id 1\.5"),
        ({"normalizer": "x"}, "normalizer must be of type dict, received 'x'"),
        ({"normalizer": {"lowercase": 1}}, "lowercase must be of type bool, received 1"),
    ],
)
def test_a_tokenizer_json_that_is_none(tmp_path, change, words):
    config = configured(tmp_path, vocab_size=len(WORDS))
    (tmp_path / "tokenizer.json").write_text(json.dumps({**SAVED, **change}))
    if words is None:
        assert read_tokenizer(tmp_path, config).pieces(["king"]) == [[5]]
    else:
        with pytest.raises(ValueError, match=rf"tokenizer\.json: {words}"):
            read_tokenizer(tmp_path, config)


def test_a_word_that_stands_twice_in_tokenizer_json(tmp_path):
    text = json.dumps(SAVED).replace('"king": 5', '"king": 5, "king": 6')
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(
        ValueError,
        match=r"tokenizer\.json: the key 'king' stands there twice: line 1 with the value 5, line 1 with the value 6",
    ):
        read_tokenizer(tmp_path, configured(tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"do_lower_case": "no"}, "do_lower_case must be of type bool, received 'no'"),
        ({"strip_accents": 0}, "strip_accents must be of type bool, received 0"),
        ({"unk_token": 5}, "unk_token must be of type str, received 5"),
        ({"unk_token": {}}, "unk_token must be of type str, received None"),
        ({"added_tokens_decoder": []}, r"added_tokens_decoder must be of type dict, received \[\]"),
        ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder has the id 'x', expected a whole number"),
        ({"added_tokens_decoder": {"9" * 5000: {}}}, "added_tokens_decoder has the id '999"),
        ({"added_tokens_decoder": {"1": "x"}}, "an added token must be of type dict, received 'x'"),
    ],
)
@pytest.mark.parametrize("model_type", ["bert", "xlnet"])
def test_a_tokenizer_config_that_is_none(tmp_path, options, words, model_type):
    shutil.copytree(REFERENCE / f"{model_type}_hf", tmp_path, dirs_exist_ok=True)
    config = read_config(tmp_path, "huggingface")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(options))
    with pytest.raises(ValueError, match=rf"tokenizer_config\.json: {words}"):
        read_tokenizer(tmp_path, config)
    with pytest.raises(ValueError, match="the argument: do_lower_case must be of type bool, received 'no'"):
        read_tokenizer(REFERENCE / f"{model_type}_hf", config, do_lower_case="no")


def test_a_vocabulary_that_is_no_utf8(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("\n".join(WORDS).encode() + b"\nna\xefve\n")
    with pytest.raises(ValueError, match=r"vocab\.txt, line 9 \(byte \d+\): expected UTF-8, got .* \(0xef\)"):
        read_tokenizer(tmp_path, configured(tmp_path))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no model",
        (CORPUS / "spiece_of_no_utf8").read_bytes()[1:],
        sentencepiece()[:-9],
        sentencepiece(PIECES[:1]),
        b"\0" * 1000,
    ],
)
def test_a_damaged_sentencepiece_model(tmp_path, data):
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(
        ValueError, match=r"spiece\.model(: no model of sentencepiece, or a damaged one| has no '<sep>')"
    ):
        read_tokenizer(tmp_path, configured(tmp_path, "xlnet_hf"))


def test_a_sentencepiece_model_without_an_unknown_piece(tmp_path):
    (tmp_path / "spiece.model").write_bytes((CORPUS / "spiece_without_an_unknown_piece").read_bytes()[1:])
    with pytest.raises(ValueError, match=r"spiece\.model has no piece for what is unknown, which texts need"):
        read_tokenizer(tmp_path, configured(tmp_path, "xlnet_hf"))


def test_the_small_sentencepiece_model_is_otherwise_readable(tmp_path):
    (tmp_path / "spiece.model").write_bytes(sentencepiece())
    tokenizer = read_tokenizer(tmp_path, configured(tmp_path, "xlnet_hf"))
    assert tokenizer.pieces(["ab"]) == [[7, 6]]


def test_a_fingerprint_tells_how_texts_are_cut(tmp_path):
    for name in ("bert_hf", "xlnet_hf"):
        config = read_config(REFERENCE / name, "huggingface")
        prints = [
            read_tokenizer(REFERENCE / name, config, do_lower_case=lower).fingerprint for lower in (True, False, False)
        ]
        assert prints[0] != prints[1] == prints[2]
