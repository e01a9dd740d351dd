"""Random models of each family against transformers: states, what is written back, and ids of odd strings.

Opt-in: `pytest -m slow -rP tests/test_contextual_peers.py`, where torch and transformers are installed; under any backend.
NEZHA needs a transformers that still has its class: 4.40.2, say, with tokenizers 0.19.1 and huggingface_hub 0.36.0. The largest
difference of each family is printed.
"""

import random
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from w2v_embed.contextual import ContextualEncoder, add_tokens

pytestmark = [pytest.mark.keras, pytest.mark.slow]

CONFIGURATIONS, STRINGS = 40, 500
REFERENCE = Path(__file__).parent / "data" / "reference"
FAMILIES = ["Bert", "Nezha", "XLNet", "Roberta", "XLMRoberta", "DistilBert", "Electra", "Albert", "MPNet"]
ACTIVATIONS = ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh"]
OTHER_NAMES = {
    "DistilBert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
    "XLNet": {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "d_inner",
        "hidden_act": "ff_activation",
    },
}


def configuration(transformers, family, rng):
    heads = int(rng.integers(1, 5))
    sizes = {
        "vocab_size": int(rng.integers(20, 90)),
        "hidden_size": heads * int(rng.choice([4, 6, 8])),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "intermediate_size": int(rng.integers(8, 70)),
        "max_position_embeddings": int(rng.integers(24, 40)),
        "hidden_act": str(rng.choice(ACTIVATIONS)),
        "layer_norm_eps": float(rng.choice([1e-12, 1e-5])),
    }
    for old, new in OTHER_NAMES.get(family, {}).items():
        sizes[new] = sizes.pop(old)
    for name in {"DistilBert": ["layer_norm_eps"], "XLNet": ["max_position_embeddings"]}.get(family, ()):
        del sizes[name]
    more = {
        "Bert": {"type_vocab_size": int(rng.integers(1, 4))},
        "Nezha": {"type_vocab_size": int(rng.integers(1, 4)), "max_relative_position": int(rng.integers(1, 30))},
        "XLNet": {"attn_type": str(rng.choice(["bi", "uni"])), "clamp_len": int(rng.choice([-1, 3, 9]))},
        "Roberta": {"type_vocab_size": int(rng.integers(1, 3)), "pad_token_id": int(rng.integers(0, 3))},
        "XLMRoberta": {"type_vocab_size": 1},
        "Electra": {"embedding_size": int(rng.choice([sizes.get("hidden_size", 6), 6, 10]))},
        "Albert": {
            "embedding_size": int(rng.choice([6, 10])),
            "num_hidden_groups": int(rng.integers(1, sizes.get("num_hidden_layers", 1) + 1)),
        },
    }
    return getattr(transformers, f"{family}Config")(**sizes, **more.get(family, {}))


@pytest.mark.parametrize("family", FAMILIES)
def test_states_equal_transformers(family, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    if not hasattr(transformers, f"{family}Model"):
        pytest.skip(f"transformers {transformers.__version__} has no {family}Model")
    largest = 0.0
    for number in range(CONFIGURATIONS):
        rng = np.random.default_rng([number, len(family)])
        torch.manual_seed(number)
        kind = getattr(transformers, f"{family}Model")
        config = configuration(transformers, family, rng)
        model = kind(config).eval()
        for parameter in model.parameters():
            parameter.data = torch.randn_like(parameter) * (0.5 if parameter.dim() > 1 else 0.2)
        model.save_pretrained(tmp_path / str(number))
        encoder = ContextualEncoder.from_pretrained(tmp_path / str(number))
        length = int(rng.integers(1, 22))
        ids, mask = rng.integers(3, config.vocab_size, (3, length)), np.ones((3, length), int)
        mask[1, length - length // 3 :], mask[2, : length // 3] = 0, 0
        ids[mask == 0] = config.pad_token_id or 0
        segments = min(encoder._family.segments(encoder.config), 4)
        types = rng.integers(0, segments, (3, length))
        if number % 2 and segments > 1:  # pairs of texts, each of its own length
            types = (np.arange(length) >= rng.integers(0, length + 1, (3, 1))).astype(int)

        inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        if encoder._family.takes_segments:
            inputs["token_type_ids"] = torch.tensor(types)

        def states(model, inputs=inputs):
            # A text at a time: transformers' XLNet takes no mask for several where it is "uni".
            rows = [{name: values[row : row + 1] for name, values in inputs.items()} for row in range(3)]
            with torch.inference_mode():
                made = [torch.stack(model(**each, output_hidden_states=True).hidden_states) for each in rows]
            return torch.cat(made, dim=1).numpy()

        expected, there = states(model), mask == 1
        largest = max(largest, np.abs(encoder.hidden_states(ids, mask, types) - expected)[:, there].max())
        assert largest < 1e-5, config
        if number < 3:
            trained = encoder.to_keras(outputs="all")
            made = np.stack([keras.ops.convert_to_numpy(x) for x in trained([ids, mask, types])])
            assert np.abs(made - expected)[:, there].max() < 1e-5
            encoder.from_keras(trained).save_pretrained(tmp_path / f"{number}_written")
            again = kind.from_pretrained(tmp_path / f"{number}_written").eval()
            assert np.abs(states(again) - expected)[:, there].max() < 1e-5
    print(f"{family}: {CONFIGURATIONS} configurations, largest difference {largest:.1e} on {keras.backend.backend()}")


def odd_strings(count):
    """Strings of letters, signs and spaces of many scripts, half of them with words that a tokenizer knows."""
    rng = random.Random(0)
    ranges = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x4E00, 0x4F00), (0xAC00, 0xAD00)]
    ranges += [(0x2000, 0x2070), (0xFF00, 0xFF60), (0x1F600, 0x1F640), (0x0, 0x20), (0x900, 0x980), (0xE00, 0xE80)]
    known = ["bank", "River", "muddy", "the", "MONEY", "<mask>", "[MASK]", "</s>", "京", "1,000", "café"]
    for number in range(count):
        letters = [chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(12))]
        words = rng.choices(known, k=rng.randrange(5)) if number % 2 else []
        parts = [*letters, *words, *[" "] * rng.randrange(4)]
        rng.shuffle(parts)
        yield "".join(parts)


@pytest.mark.parametrize("name", ["albert", "bert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"])
def test_ids_equal_transformers(name, tmp_path):
    """As they are in the folder, and as we write them, new words included."""
    transformers = pytest.importorskip("transformers")
    texts = list(odd_strings(STRINGS))
    encoder = ContextualEncoder.from_pretrained(REFERENCE / f"{name}_hf")
    if name != "bert":  # whose folder has no tokenizer.json for a fast tokenizer
        shutil.copytree(REFERENCE / f"{name}_hf", tmp_path / "read")
    encoder.save_pretrained(tmp_path / "written")
    more = add_tokens(encoder, ["muddybank", "New York", "新冠"], init="pieces")
    more.save_pretrained(tmp_path / "more")
    new = [f"{text} muddybank{text[:1]} new york, New York 用新冠了" for text in texts]
    for folder, ours, some in (("read", encoder, texts), ("written", encoder, texts), ("more", more, [*texts, *new])):
        if not (tmp_path / folder).is_dir():
            continue
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / folder)
        tokenizer = ours.tokenizer
        made = [[*tokenizer.head, *ids, *tokenizer.tail] for ids in tokenizer.pieces(some)]
        assert made == theirs(some)["input_ids"], folder
        pair = theirs(some[1], some[2], return_token_type_ids=True)
        (row,) = ours._pieces([(some[1], some[2])])
        assert [*tokenizer.head, *row, *tokenizer.tail] == pair["input_ids"]
        assert row.types == pair["token_type_ids"]
