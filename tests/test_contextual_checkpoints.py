"""Checkpoints of all kinds are read alike; what is damaged, missing, left over or hostile is refused by name."""

import io
import json
import pickle
import re
import shutil
import struct
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from w2v_embed.contextual.checkpoints import read_checkpoint
from w2v_embed.contextual.checkpoints.tf_checkpoint import _message, _snappy, read_tf_checkpoint
from w2v_embed.contextual.families.config import read_config
from w2v_embed.contextual.families.weights import load_weights

REFERENCE = Path(__file__).parent / "data" / "reference"


def load(folder, **keywords):
    layout, file, tensors = read_checkpoint(folder)
    home = folder if folder.is_dir() else folder.parent
    return load_weights(read_config(home, layout, **keywords), layout, file, tensors)


def same(weights, others):
    for mine, theirs in zip([weights[0], *weights[1]], [others[0], *others[1]]):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])


@pytest.fixture
def folder(tmp_path):
    """A copy of bert_hf whose tensors and settings a test may change."""
    return Path(shutil.copytree(REFERENCE / "bert_hf", tmp_path / "model"))


def edit(folder, change=None, **settings):
    config = json.loads((folder / "config.json").read_text())
    config.update(settings)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "absent"}))
    if change:
        tensors = load_file(folder / "model.safetensors")
        tensors = change(tensors) or tensors
        save_file(tensors, folder / "model.safetensors")


# What is the same model in another dress


def test_a_prefix_old_names_heads_and_buffers(folder):
    before = load(folder)

    def dress(tensors):
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        dressed = {}
        for name, tensor in tensors.items():
            for new_name, old_name in old.items():
                name = name.replace(new_name, old_name)
            if not name.startswith("pooler"):
                dressed["bert." + name] = tensor
        dressed["bert.embeddings.position_ids"] = np.arange(40)
        dressed["cls.predictions.bias"] = dressed["classifier.weight"] = np.zeros(3, np.float32)
        return dressed

    edit(folder, dress)
    same(load(folder), before)


def test_half_precision(folder):
    before = load_file(folder / "model.safetensors")
    edit(folder, lambda tensors: {name: tensor.astype(np.float16) for name, tensor in tensors.items()})
    words = load(folder)[0]["words"]
    assert words.dtype == np.float32
    np.testing.assert_array_equal(words, before["embeddings.word_embeddings.weight"].astype(np.float16))


def test_bfloat16(folder):
    before = load_file(folder / "model.safetensors")
    save_bfloat16(before, folder / "model.safetensors")
    words = load(folder)[0]["words"]
    np.testing.assert_allclose(words, before["embeddings.word_embeddings.weight"], rtol=2**-7)
    assert not (words.view(np.uint32) & 0xFFFF).any()


def save_bfloat16(tensors, path):
    header, data = {}, b""
    for name, tensor in tensors.items():
        bits = (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def shard(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {f"model-0000{i + 1}-of-00002.safetensors": sorted(tensors)[i::2] for i in range(2)}
    for file, names in parts.items():
        save_file({name: tensors[name] for name in names}, folder / file)
    weight_map = {name: file for file, names in parts.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards(folder):
    before = load(folder)
    shard(folder)
    same(load(folder), before)


def test_a_missing_shard(folder):
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors is missing"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"line 1: not JSON \(Expecting property name"),
        ("{}", "expected JSON with a `weight_map` of tensor to file, got None"),
        ('{"weight_map": {"a": 1}}', r"expected JSON with a `weight_map` .* got {'a': 1}"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "got '../x.safetensors'"),
    ],
)
def test_a_broken_index(folder, text, words):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=rf"model\.safetensors\.index\.json.*{words}"):
        load(folder)


def test_a_checkpoint_by_folder_or_prefix():
    prefix = REFERENCE / "bert_google" / "bert_model.ckpt"
    same(load(prefix), load(REFERENCE / "bert_google"))


def test_two_checkpoints_in_a_folder(tmp_path):
    folder = shutil.copytree(REFERENCE / "bert_google", tmp_path / "model")
    for part in ("index", "data-00000-of-00001"):
        shutil.copy(folder / f"bert_model.ckpt.{part}", folder / f"other.ckpt.{part}")
    with pytest.raises(ValueError, match=r"2 checkpoints: pass one of .*bert_model\.ckpt, .*other\.ckpt"):
        load(folder)
    same(load(folder / "other.ckpt"), load(REFERENCE / "bert_google"))


def test_slots_of_the_optimizer_are_skipped():
    names = read_tf_checkpoint(REFERENCE / "keras_bert_checkpoint" / "bert_model.ckpt").keys()
    fixtures = [
        read_tf_checkpoint(next(REFERENCE.glob(f"{name}/*.index")).with_suffix("")) for name in ("bert_google",)
    ]
    slots = [name for tensors in (names, *fixtures) for name in tensors if "adam" in name.lower()]
    assert slots, "the fixtures should have slots"


def test_tensorflow_reads_the_same_values():
    tf = pytest.importorskip("tensorflow")
    for index in REFERENCE.glob("*/*.index"):
        prefix = str(index.with_suffix(""))
        theirs = tf.train.load_checkpoint(prefix)
        tensors = read_tf_checkpoint(prefix)
        assert tensors.keys() == theirs.get_variable_to_shape_map().keys()
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor.load(), theirs.get_tensor(name))


def test_odd_bytes_in_an_index(tmp_path):
    index = bytearray((REFERENCE / "bert_google" / "bert_model.ckpt.index").read_bytes())
    index[-48 - 5] = 7  # the compression of the last block, which lies right before the footer
    (tmp_path / "model.ckpt.index").write_bytes(index)
    with pytest.raises(ValueError, match=r"model\.ckpt\.index: .*a block has compression 7; known are 0"):
        read_tf_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="wire type 3 in a protocol buffer"):
        _message(b"\x0b")


def test_snappy():
    # "abcd" literal, a copy of 4 from 4 back, an overlapping copy of 5 from 1 back, a long literal, a far copy
    literal = bytes(range(70))
    data = b"\x0cabcd" + b"\x01\x04" + bytes([(5 - 1) << 2 | 2, 1, 0]) + bytes([60 << 2, 69]) + literal
    expected = b"abcdabcd" + b"d" * 5 + literal
    data += bytes([(10 - 1) << 2 | 3]) + len(expected).to_bytes(4, "little")
    expected += expected[:10]
    assert _snappy(bytes([len(expected)]) + data) == expected
    with pytest.raises(ValueError, match="a snappy block has 4 bytes where it says 5"):
        _snappy(b"\x05\x0cabcd")
    with pytest.raises(ValueError, match="copies from before its beginning"):
        _snappy(b"\x08\x0cabcd\x01\x09")


# pytorch_model.bin


def test_torch_files_of_both_kinds(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = OrderedDict(
        plain=base.clone(),
        transposed=base.T,
        sliced=base[1:3, ::2],
        shared=base[0],
        half=base.half(),
        bfloat=base.bfloat16(),
        parameter=torch.nn.Parameter(base.clone()),
        ids=torch.arange(5),
        scalar=torch.tensor(3.5),
        expanded=torch.ones(1).expand(3, 2),
        empty=torch.zeros(0, 4),
    )
    for zipped in (True, False):
        folder = tmp_path / f"zip_{zipped}"
        folder.mkdir()
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        layout, _, tensors = read_checkpoint(folder)
        assert layout == "huggingface"
        assert list(tensors) == list(state)
        for name, expected in state.items():
            np.testing.assert_array_equal(tensors[name].load(), expected.detach().float().numpy(), err_msg=name)
            assert tensors[name].shape == tuple(expected.shape)


def test_an_old_torch_file_cut_off(tmp_path):
    torch = pytest.importorskip("torch")
    file = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(100)}, file, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: .*cut or damaged"):
        read_checkpoint(tmp_path)


class Runs:
    """Unpickled, it would make the file that it names."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def zipped(state):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(state))
    return file.getvalue()


def legacy(state):
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(part, protocol=2) for part in [*head, state])


@pytest.mark.parametrize("container", [zipped, legacy, pickle.dumps])
def test_nothing_in_a_torch_file_runs(tmp_path, container):
    proof = tmp_path / "proof"
    (tmp_path / "pytorch_model.bin").write_bytes(container({"a": Runs(proof)}))
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: it asks for \S+\.open.*Nothing in the file was run"):
        read_checkpoint(tmp_path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a": 3}, "the value at 'a' is a int"),
        ([1, 2], "it holds a list"),
        ({"model": {"a": 1}}, "the value at 'model' is a dict"),
        ({"a": np.ones(3)}, r"it asks for numpy\S+, which is no tensor"),
    ],
)
def test_a_torch_file_with_anything_but_tensors(tmp_path, state, words):
    (tmp_path / "pytorch_model.bin").write_bytes(zipped(state))
    with pytest.raises(ValueError, match=rf"pytorch_model\.bin: {words}"):
        read_checkpoint(tmp_path)


def hostile(*operations):
    """A pickle in protocol 2 with the given operations in the place of the state dict."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"".join(operations) + b".")
        archive.writestr("archive/data/0", b"\0" * 16)
    return file.getvalue()


FLOAT = b"ctorch\nFloatStorage\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\0\0\0storage" + FLOAT + b"X\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"


def tensor(offset=0, shape=4, stride=1):
    numbers = [b"J" + struct.pack("<i", n) for n in (offset, shape, stride)]
    return REBUILD + b"(" + STORAGE + numbers[0] + b"(" + numbers[1] + b"t(" + numbers[2] + b"t\x89}tR"


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ([b"}X\x01\0\0\0a", tensor(offset=1), b"s"], "ends at value 5 of a storage of 4"),
        ([b"}X\x01\0\0\0a", tensor(stride=2), b"s"], "ends at value 7 of a storage of 4"),
        ([b"}X\x01\0\0\0a", tensor(offset=-1), b"s"], "has offset -1"),
        ([b"}X\x01\0\0\0a", tensor(stride=-1), b"s"], r"strides \(-1,\)"),
        ([REBUILD, b"N}X\x0c\0\0\0__defaults__)s\x86b"], r"it sets attributes of torch\._utils\._rebuild_tensor_v2"),
        ([b"(X\x01\0\0\0aX\x01\0\0\0bK\x01K\x02K\x03tQ"], "which is no storage of a tensor"),
        ([b"(i", b"os\nsystem\n"], "it asks for os.system"),
    ],
)
def test_hostile_torch_files(tmp_path, operations, words):
    (tmp_path / "pytorch_model.bin").write_bytes(hostile(*operations))
    with pytest.raises(ValueError, match=rf"pytorch_model\.bin: .*{words}"):
        read_checkpoint(tmp_path)


def test_the_hostile_pieces_are_otherwise_readable(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(hostile(b"}X\x01\0\0\0a", tensor(), b"s"))
    assert read_checkpoint(tmp_path)[2]["a"].load().tolist() == [0.0] * 4


# Cut, empty and missing files


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_safetensors_file(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors: the file looks cut off"):
        load(folder)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"no JSON!", r"model\.safetensors: the header, line 1: not JSON \(Expecting value"),
        (b'{"a": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}', "tensor 'a' has dtype 'F8'; known are F64"),
        (
            b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
            r"shape \(2,\) and dtype F32 spans bytes 0 to 4",
        ),
    ],
)
def test_an_odd_safetensors_header(folder, header, words):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ValueError, match=words):
        load(folder)


@pytest.mark.parametrize("keep", [0, 30, 5000, -1])
def test_a_cut_torch_file(tmp_path, keep):
    folder = Path(shutil.copytree(REFERENCE / "bert_hf_bin", tmp_path / "model"))
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: no state dict of torch, or a cut or damaged one"):
        load(folder)


@pytest.mark.parametrize(
    ("part", "keep", "error", "words"),
    [
        ("data-00000-of-00001", None, FileNotFoundError, r"bert_model\.ckpt\.data-00000-of-00001 is missing"),
        ("data-00000-of-00001", 0, ValueError, r"data-00000-of-00001: the file looks cut off"),
        ("data-00000-of-00001", -1, ValueError, r"data-00000-of-00001: the file looks cut off"),
        ("index", None, FileNotFoundError, r"bert_model\.ckpt\.index is missing"),
        ("index", 0, ValueError, r"bert_model\.ckpt\.index: .*is it cut off"),
        ("index", 500, ValueError, r"bert_model\.ckpt\.index: .*is it cut off"),
    ],
)
def test_a_damaged_tensorflow_checkpoint(tmp_path, part, keep, error, words):
    folder = Path(shutil.copytree(REFERENCE / "bert_google", tmp_path / "model"))
    file = folder / f"bert_model.ckpt.{part}"
    if keep is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(error, match=words):
        load(folder)


def test_no_weights_and_no_configuration(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no weights: expected model\.safetensors, .*found config\.json"):
        load(folder)
    shutil.copy(REFERENCE / "bert_hf" / "model.safetensors", folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing; bert_config\.json or xlnet_config\.json"):
        load(folder)


# The configuration and the tensors do not fit


@pytest.mark.parametrize("text", ["{", "", "[]", "\x00"])
def test_a_broken_configuration(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json(, line 1: not JSON|: expected a JSON object)"):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"hidden_act": "swish"},
            r'hidden_act \(.*config\.json: hidden_act\) must be "gelu", .* or "tanh", received .swish.',
        ),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type must be None or 'absolute', received 'relative_key'",
        ),
        ({"is_decoder": True}, "is_decoder must be None or False, received True"),
        ({"model_type": "gpt2"}, 'model_type must be "bert", .* or "mpnet", received .gpt2.'),
        ({"vocab_size": "absent"}, r"config\.json has no vocab_size"),
        ({"hidden_size": "absent"}, r"config\.json has no hidden_size"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers must be of type int, received '3'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be from 1 to 16,777,216, received 0"),
        ({"num_attention_heads": 5}, "hidden_size must be a multiple of num_attention_heads, 5, received 32"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps must be of type float, received 'small'"),
        ({"vocab_size": 52}, r"'embeddings\.word_embeddings\.weight' must have shape \(52, 32\).* of shape \(51, 32\)"),
        ({"num_hidden_layers": 4}, r"no tensor 'encoder\.layer\.3\.attention\.self\.query\.weight'"),
        ({"num_hidden_layers": 2}, r"tensor 'encoder\.layer\.2\.\S+' belongs to the encoder and has no place"),
        ({"intermediate_size": 63}, r"'encoder\.layer\.0\.intermediate\.dense\.weight' must have shape \(63, 32\)"),
        ({"model_type": "nezha"}, r"'embeddings\.position_embeddings\.weight' belongs to the encoder"),
    ],
)
def test_settings_that_do_not_fit(folder, settings, words):
    edit(folder, **settings)
    with pytest.raises(ValueError, match=words):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bi_data": True}, "bi_data must be None or False, received True"),
        ({"same_length": True}, "same_length must be None or False, received True"),
        ({"reuse_len": 3}, "reuse_len must be None or 0 or -1, received 3"),
        ({"attn_type": "both"}, r"attention_type \(.*config\.json: attn_type\) must be .bi. or .uni., received 'both'"),
        ({"ff_activation": "mish"}, r"hidden_act \(.*config\.json: ff_activation\) must be .*, received 'mish'"),
        ({"clamp_len": "far"}, "clamp_len must be of type int, received 'far'"),
        ({"vocab_size": "absent"}, "has no vocab_size"),
    ],
)
def test_settings_of_xlnet_that_do_not_fit(tmp_path, settings, words):
    folder = Path(shutil.copytree(REFERENCE / "xlnet_hf", tmp_path / "model"))
    edit(folder, **settings)
    with pytest.raises(ValueError, match=words):
        load(folder)


def test_shared_biases_are_checked_against_untie_r(tmp_path):
    folder = Path(shutil.copytree(REFERENCE / "keras_xlnet_empty", tmp_path / "model"))
    config = json.loads((folder / "xlnet_config.json").read_text())
    (folder / "xlnet_config.json").write_text(json.dumps({**config, "untie_r": True}))
    with pytest.raises(
        ValueError, match=r"'model/transformer/r_w_bias' must have shape \(2, 2, 3\).* of shape \(2, 3\)"
    ):
        load(folder)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"hidden_act": "elu"}, r"hidden_act \(the argument\) must be .*, received 'elu'"),
        (
            {"attention_type": "uni"},
            "attention_type must be None for BERT, as .*config.json says, received 'uni': it is for XLNet",
        ),
        (
            {"max_relative_position": 8},
            "max_relative_position must be None for BERT, as .*config.json says, received 8: it is for NEZHA",
        ),
    ],
)
def test_arguments_that_do_not_fit(folder, keywords, words):
    with pytest.raises(ValueError, match=words):
        load(folder, **keywords)
    with pytest.raises(
        ValueError, match=r"max_relative_position must be None for XLNet, as .* received 8: it is for NEZHA"
    ):
        load(REFERENCE / "xlnet_hf", max_relative_position=8)
    with pytest.raises(ValueError, match="max_relative_position must be from 1 to 16,777,216, received -3"):
        load(REFERENCE / "nezha_hf", max_relative_position=-3)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("bert_hf", "embeddings.word_embeddings.weight"),
        ("bert_hf", "encoder.layer.1.output.LayerNorm.weight"),
        ("bert_hf", "encoder.layer.2."),
        ("nezha_hf", "embeddings.LayerNorm.bias"),
        ("xlnet_hf", "layer.0.rel_attn.seg_embed"),
        ("xlnet_hf", "word_embedding.weight"),
    ],
)
def test_a_missing_tensor(tmp_path, name, missing):
    folder = Path(shutil.copytree(REFERENCE / name, tmp_path / "model"))
    edit(folder, lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(missing)})
    with pytest.raises(ValueError, match=rf"model\.safetensors has no tensor '{missing}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("bert_hf", "encoder.layer.0.attention.adapter.weight"),
        ("bert_hf", "embeddings.extra.weight"),
        ("nezha_hf", "embeddings.position_embeddings.weight"),
        ("xlnet_hf", "layer.3.ff.layer_1.weight"),
    ],
)
def test_a_tensor_without_a_place(tmp_path, name, extra):
    folder = Path(shutil.copytree(REFERENCE / name, tmp_path / "model"))
    edit(folder, lambda tensors: {**tensors, extra: np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=f"tensor '{extra}' belongs to the encoder and has no place in it"):
        load(folder)


# Of each family: what is not the encoder's, and may be missing or have any shape.
_HEADS = (
    r"pooler|mask_emb|cls|lm_head|lm_loss|(generator_)?predictions|generator_lm_head|vocab_\w+|global_step|.*adam_[mv]"
)
BESIDE = rf"(.*[./])?({_HEADS})([./].*)?"
EVERY = sorted(path.name for path in REFERENCE.glob("*_*") if (path / "fixture.json").is_file())


@pytest.mark.parametrize("name", EVERY)
def test_each_tensor_of_each_family_is_needed_and_has_its_shape(name):
    layout, file, stored = read_checkpoint(REFERENCE / name)
    tensors = {each: replace(tensor, load=tensor.load().copy) for each, tensor in stored.items()}  # read once
    config = read_config(REFERENCE / name, layout)
    needed = [each for each in sorted(tensors) if not re.fullmatch(BESIDE, each)]
    assert len(needed) > 16
    for each in needed:
        others = {key: tensor for key, tensor in tensors.items() if key != each}
        with pytest.raises(ValueError, match=f" has no tensor '{re.escape(each)}', which the configuration needs, of"):
            load_weights(config, layout, file, others)
        held = tensors[each]
        wrong = replace(held, shape=(*held.shape[:-1], held.shape[-1] + 1))
        told = rf"'{re.escape(each)}' must have shape {re.escape(str(held.shape))} .* {re.escape(str(wrong.shape))}\.$"
        with pytest.raises(ValueError, match=told):
            load_weights(config, layout, file, {**tensors, each: wrong})
    for each in needed[::9]:
        extra = f"{each}_"
        with pytest.raises(
            ValueError, match=rf"{re.escape(repr(extra)[:80])}.* belongs to the encoder and has no place"
        ):
            load_weights(config, layout, file, {**tensors, extra: tensors[each]})
    for each in tensors.keys() - set(needed):
        load_weights(config, layout, file, {key: tensor for key, tensor in tensors.items() if key != each})


def test_not_a_number_in_the_weights(folder):
    def spoil(tensors):
        tensors["encoder.layer.1.output.dense.bias"][3] = np.nan

    edit(folder, spoil)
    with pytest.raises(ValueError, match=r"'encoder\.layer\.1\.output\.dense\.bias' holds NaN or infinity"):
        load(folder)


def test_other_weights_have_another_checksum(folder):
    before = load(folder)[2]
    assert load(REFERENCE / "bert_hf")[2] == before

    def change(tensors):
        tensors["encoder.layer.1.output.dense.bias"][3] += 1

    edit(folder, change)
    assert load(folder)[2] != before
