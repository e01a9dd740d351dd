"""Coverage-guided fuzzing of what describes an encoder: checkpoints of all formats, configurations, vocabularies, states.

A case is one byte that says what the rest is, and the rest. Some kinds are whole files; others are put into a whole and right
container (archive, checksums), which chance would never make. What must hold: a reader returns tensors of the shapes that it
said, no larger than the file allows, or it raises ValueError or FileNotFoundError with the file's name.
"""

import json
import os
import shutil
import struct
import sys
import tempfile
import zlib
from pathlib import Path

_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
_ALLOWED = (ValueError, FileNotFoundError)
_BERT = {
    "model_type": "bert", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 8, "max_position_embeddings": 16, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
}  # fmt: skip
_XLNET = {
    "model_type": "xlnet", "vocab_size": 8, "d_model": 4, "n_layer": 1, "n_head": 2, "d_head": 2, "d_inner": 8,
    "clamp_len": -1, "mem_len": None, "untie_r": True, "attn_type": "bi",
}  # fmt: skip
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "king", "##s", "京"]
PIECES = ["<unk>", "<sep>", "<cls>", "<pad>", "▁", "a", "b", "▁a"]
TEXTS = ["kings 京 King [SEP] x1, a", "", "ab, 1,"]


class BrokenError(AssertionError):
    """Something that must hold does not."""


# ── containers ──


def zipped(pickled, **members):
    """A torch archive with the pickle `data.pkl` and storage "0" of 16 bytes; written by hand, ten times faster."""
    members = {"data.pkl": pickled, "byteorder": b"little", "data/0": bytes(range(16)), **members}
    body, listed = b"", b""
    for name, data in members.items():
        name = b"archive/" + name.encode()
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0)
        listed += b"PK\1\2\x14\0" + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + fields + name + data
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(members), len(members), len(listed), len(body), 0)
    return body + listed + end


LEGACY = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00X\r\x00\x00\x00little_endianq\x01\x88s."
)


def torch_pickle(offset=0, shape=(2, 2), strides=(2, 1), view=None, key="0", size=4, kind="FloatStorage"):
    """What torch pickles of the state dict {"a": a tensor}."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value):
        return b"J" + struct.pack("<i", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    place = text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(size)
    seen = b"" if view is None else b"(" + text("v") + number(view[0]) + number(view[1]) + b"t"
    tensor = b"(" + b"(" + place + seen + b"tQ" + number(offset) + numbers(shape) + numbers(strides) + b"\x89}t"
    return b"\x80\x02}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + b"Rs."


def safetensors(header, size=64):
    return struct.pack("<Q", len(header)) + header + bytes(size)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def proto(*fields):
    """A protocol buffer of (number, value): an int, bytes, or four bytes in a tuple (a fixed32)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, tuple):
            out += varint(number << 3 | 5) + value[0]
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def sorted_pairs(pairs):
    """A block of a sorted string table, keys in full."""
    block = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
    return block + struct.pack("<II", 0, 1)


def table(*blocks):
    """An index of right checksums with these blocks of entries."""
    from w2v_embed.contextual.checkpoints.crc32c import crc32c, masked

    data, handles = b"", []

    def add(block):
        nonlocal data
        handle = varint(len(data)) + varint(len(block))
        data += block + b"\0" + struct.pack("<I", masked(crc32c(block + b"\0")))
        return handle

    for number, block in enumerate(blocks):
        handles.append((bytes([number + 1]), add(block)))
    listed = add(sorted_pairs(handles))
    return data + (b"\0\0" + listed).ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")


def entry(shape=(2, 2), offset=0, size=None, dtype=1, crc=None, shard=0):
    """A BundleEntryProto."""
    dims = proto(*((2, proto((1, n))) for n in shape))
    size = 4 * shape[0] * shape[1] if size is None else size
    fields = [(1, dtype), (2, dims), (3, shard), (4, offset), (5, size)]
    return proto(*fields, *([] if crc is None else [(6, (struct.pack("<I", crc),))]))


def sentencepiece(pieces=PIECES, normalizer=b""):
    kinds = [2, 3, 3, 3, *[1] * len(pieces)]
    score = (struct.pack("<f", -1.0),)
    listed = [(1, proto((1, piece.encode()), (2, score), (3, kind))) for piece, kind in zip(pieces, kinds)]
    return proto(*listed, (2, proto((3, 1))), (3, proto((1, b"x"), (3, 1), (4, 1), (5, 1), *normalizer)))


# ── what is tried ──


def _checkpoint(path, read):
    """Read a checkpoint and all its tensors."""
    tensors = read(path)
    size = sum(file.stat().st_size for file in path.parent.iterdir())
    total = 0
    for name, tensor in tensors.items():
        values = tensor.load()
        if values.shape != tensor.shape:
            raise BrokenError(f"{name}: {values.shape} in the place of {tensor.shape}")
        total += values.nbytes
    if total > 2 * 16 * size:  # twice: bfloat16 becomes float32
        raise BrokenError(f"{total} bytes out of {size}")


def _torch(folder, data):
    from w2v_embed.contextual.checkpoints.torch_file import read_torch

    path = folder / "pytorch_model.bin"
    path.write_bytes(data)
    _checkpoint(path, read_torch)


def _safetensors(folder, data):
    from w2v_embed.contextual.checkpoints.safetensors_file import read_safetensors

    path = folder / "model.safetensors"
    path.write_bytes(data)
    _checkpoint(path, read_safetensors)


def _tensorflow(folder, data, checksums=True):
    from w2v_embed.contextual.checkpoints import tf_checkpoint

    (folder / "m.ckpt.index").write_bytes(data)
    (folder / "m.ckpt.data-00000-of-00001").write_bytes(bytes(range(64)))
    masked = tf_checkpoint.masked
    if not checksums:  # whatever the file says is taken for right
        tf_checkpoint.masked = lambda crc: _Anything()
    try:
        _checkpoint(folder / "m.ckpt", tf_checkpoint.read_tf_checkpoint)
    finally:
        tf_checkpoint.masked = masked


class _Anything(int):
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = int.__hash__


def _configuration(folder, data):
    from w2v_embed.contextual.families import EncoderConfig
    from w2v_embed.contextual.families.config import read_config

    (folder / "config.json").write_bytes(data)
    for layout in ("huggingface", "google"):
        config = read_config(folder, layout)
        if not isinstance(config, EncoderConfig) or not 0 < config.query_scale * config.score_scale <= 1:
            raise BrokenError(f"{config}")


def _tokenizer(folder, kind="WordPieceTokenizer"):
    from w2v_embed.contextual import tokenizers

    tokenizer = tokenizers.read_tokenizer(getattr(tokenizers, kind), folder, len(WORDS))
    special = [*tokenizer.head, *tokenizer.tail, tokenizer.pad_id, tokenizer.unknown_id]
    for ids in [*tokenizer.pieces(TEXTS), special]:
        if not all(0 <= id_ < len(WORDS) for id_ in ids):
            raise BrokenError(f"ids {ids}")


def _vocabulary(folder, data):
    (folder / "vocab.txt").write_bytes(data)
    _tokenizer(folder)


def _tokenizer_json(folder, data):
    (folder / "tokenizer.json").write_bytes(data)
    _tokenizer(folder)


def _tokenizer_config(folder, data):
    (folder / "vocab.txt").write_bytes("\n".join(WORDS).encode())
    (folder / "tokenizer_config.json").write_bytes(data)
    _tokenizer(folder)


def _spiece(folder, data):
    (folder / "spiece.model").write_bytes(data)
    _tokenizer(folder, "SentencePieceTokenizer")


def _shards(folder, data):
    from w2v_embed.contextual.checkpoints import read_checkpoint

    (folder / "model.safetensors.index.json").write_bytes(data)
    (folder / "s1").write_bytes(safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'))
    read_checkpoint(folder)


def _state(folder, data):
    from w2v_embed.contextual.stream import NpyWriter, _check

    try:  # most of what is tried gets the right checksum
        state = json.loads(data)
        data = json.dumps({**state, "check": _check(state)}).encode()
    except (ValueError, TypeError, RecursionError):
        pass
    (folder / "v.npy.part").write_bytes(bytes(128 + 8 * 3))
    (folder / "v.npy.part.json").write_bytes(data)
    with NpyWriter(folder / "v.npy", 2, {"a": 1}) as writer:
        if writer.rows > 3:
            raise BrokenError(f"{writer.rows} rows of 3")


KINDS = {
    "torch": _torch,
    "zip": lambda folder, data: _torch(folder, zipped(data)),
    "legacy": lambda folder, data: _torch(folder, LEGACY + data),
    "safetensors": _safetensors,
    "header": lambda folder, data: _safetensors(folder, safetensors(data)),
    "index": lambda folder, data: _tensorflow(folder, data, checksums=False),
    "block": lambda folder, data: _tensorflow(folder, table(data)),
    "entry": lambda folder, data: _tensorflow(folder, table(sorted_pairs([(b"", b""), (b"a", data)]))),
    "config": _configuration,
    "vocabulary": _vocabulary,
    "tokenizer.json": _tokenizer_json,
    "tokenizer_config.json": _tokenizer_config,
    "spiece": _spiece,
    "shards": _shards,
    "state": _state,
}


def seeds():
    """`{name: case}`: a good one of each kind, from which the fuzzer begins."""
    header = b'{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
    header += b'"b":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]}}'
    good = [(b"", proto((1, 1))), (b"a", entry()), (b"ab", entry(offset=16))]
    model = {"type": "WordPiece", "vocab": {word: n for n, word in enumerate(WORDS)}}
    added = [{"id": 5, "content": "king", "normalized": False, "special": False}]
    options = {
        "do_lower_case": False, "strip_accents": None, "unk_token": {"content": "[UNK]"}, "cls_token": "[CLS]",
        "added_tokens_decoder": {"5": {"content": "king", "lstrip": True}},
    }  # fmt: skip
    state = {"rows": 2, "texts": "00" * 16, "crc": zlib.crc32(bytes(16)), "settings": {"a": 1, "width": 2}}
    keys = b"\x80\x02]X\x01\0\0\x000a." + struct.pack("<Q", 4)
    newer = b"ctorch._utils\n_rebuild_tensor_v2\n", b"\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94\x93\x94"
    newest = b"\x80\4\x95\x10\0\0\0\0\0\0\0ccollections\nOrderedDict\n)R\x94(\x8c\1a" + b"K\1u}\x8c\5_metaNsb."
    whole = {
        "torch": [zipped(torch_pickle()), LEGACY + torch_pickle() + keys + bytes(16)],
        "zip": [
            torch_pickle(),
            torch_pickle().replace(*newer),
            torch_pickle(view=(0, 4)),
            torch_pickle(kind="BFloat16Storage", size=8),
            newest,
        ],
        "legacy": [
            torch_pickle() + keys + bytes(16),
            torch_pickle(view=(1, 3), shape=(3,), strides=(1,)) + keys + bytes(16),
        ],
        "safetensors": [safetensors(header, 18)],
        "header": [header],
        "index": [table(sorted_pairs(good)), table(sorted_pairs(good[:1]), sorted_pairs(good[1:]))],
        "block": [sorted_pairs(good)],
        "entry": [entry(), entry((4, 2), size=16, dtype=14)],
        "config": [json.dumps(_BERT).encode(), json.dumps(_XLNET).encode(), b'{"use_relative_position": true}'],
        "vocabulary": ["\n".join(WORDS).encode()],
        "tokenizer.json": [
            json.dumps({"model": model, "added_tokens": added, "normalizer": {"lowercase": True}}).encode()
        ],
        "tokenizer_config.json": [json.dumps(options).encode()],
        "spiece": [sentencepiece(), sentencepiece([*PIECES[:4], "1", ",", "▁1,", "1,"])],
        "shards": [b'{"metadata": {}, "weight_map": {"a": "s1"}}'],
        "state": [json.dumps(state).encode()],
    }
    names = list(KINDS)
    return {
        f"{kind}_{number}": bytes([names.index(kind)]) + data
        for kind in whole
        for number, data in enumerate(whole[kind])
    }


def one(data):
    """Try one case."""
    if not data:
        return
    kind = list(KINDS)[data[0] % len(KINDS)]
    folder = Path(_FOLDER, f"w2v_embed-fuzz-checkpoints-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    try:
        KINDS[kind](folder, data[1:])
    except _ALLOWED as error:
        if type(error) not in _ALLOWED or str(folder) not in str(error):
            raise BrokenError(f"{kind}: {type(error).__name__}: {error}") from error
        if len(str(error)) > 5000:
            raise BrokenError(f"{kind}: a message of {len(str(error))} characters") from error
    finally:
        for left in os.scandir(folder):
            os.unlink(left)


def main():
    import atheris

    with atheris.instrument_imports(
        include=[f"w2v_embed.{name}" for name in ("contextual", "safetensors", "texts", "shown")]
    ):
        from w2v_embed.contextual import checkpoints, stream, tokenizers  # noqa: F401
        from w2v_embed.contextual.families import config  # noqa: F401

    corpus = next((argument for argument in sys.argv[1:] if os.path.isdir(argument)), None)
    for name, case in seeds().items() if corpus else ():
        Path(corpus, name).write_bytes(case)
    atheris.Setup(sys.argv, one)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(Path(_FOLDER, f"w2v_embed-fuzz-checkpoints-{os.getpid()}"), ignore_errors=True)


if __name__ == "__main__":
    main()
