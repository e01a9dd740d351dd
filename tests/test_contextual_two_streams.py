"""XLNet's query stream against the authors' formula, place by place, and against transformers (opt-in)."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest

from w2v_embed.contextual import ContextualEncoder, query_states
from w2v_embed.contextual.checkpoints import read_checkpoint

pytestmark = pytest.mark.keras

REFERENCE = Path(__file__).parent / "data" / "reference"
FOLDER = REFERENCE / "xlnet_hf"
# JAX compiles each shape: there, one is tried by default.
LESS_ON_JAX = pytest.mark.slow if keras.backend.backend() == "jax" else pytest.mark.keras
ERF = np.vectorize(math.erf)


@pytest.fixture(scope="module")
def encoder():
    return ContextualEncoder.from_pretrained(FOLDER)


def texts(encoder):
    """Two texts of five words behind two of memory, two places in each."""
    rng = np.random.default_rng(1)
    ids, types = rng.integers(0, encoder.config.vocab_size, (2, 5)), rng.integers(0, 3, (2, 5))
    mask = np.ones((2, 5), int)
    mask[1, :2] = 0
    hidden, targets = orders(rng, 2, 5, 2)
    mems = rng.normal(size=(encoder.config.num_layers, 2, 2, encoder.config.hidden_size)).astype(np.float32)
    more = {"perm_mask": hidden, "target_mapping": targets, "attention_mask": mask, "token_type_ids": types}
    return ids, {**more, "mems": mems}


def orders(rng, batch, length, places):
    """What permutations of the words hide, and the places that stand last in them."""
    hidden, targets = np.zeros((batch, length, length), int), np.zeros((batch, places, length), int)
    for text in range(batch):
        order = rng.permutation(length)
        rank = np.argsort(order)
        hidden[text] = rank[None, :] >= rank[:, None]  # a word sees those before it; never itself
        targets[text, np.arange(places), order[length - places :]] = 1
    return hidden, targets


def norm(x, w, name, eps):
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]


def by_the_formula(config, w, layer, x, keys, sees, own, types, key_types, memory):
    """A layer for the vector `x` at place `own`: keys and values of `keys`, of which those in `sees` are seen."""
    at, size = f"layer.{layer}.rel_attn.", config.head_size
    attended = np.zeros(config.hidden_size)
    for head in range(config.num_heads):
        q = x @ w[f"{at}q"][:, head]
        scores = []
        for place in sees:
            distance = memory + own - place
            if config.clamp_len > 0:
                distance = min(max(distance, -config.clamp_len), config.clamp_len)
            angles = distance / 10000 ** (np.arange(0, config.hidden_size, 2) / config.hidden_size)
            r = np.concatenate([np.sin(angles), np.cos(angles)]) @ w[f"{at}r"][:, head]
            segment = w[f"{at}seg_embed"][int(types[own] != key_types[place]), head]
            score = (q + w[f"{at}r_w_bias"][head]) @ (keys[place] @ w[f"{at}k"][:, head])
            score += (q + w[f"{at}r_r_bias"][head]) @ r + (q + w[f"{at}r_s_bias"][head]) @ segment
            scores.append(score / math.sqrt(size))
        weights = np.exp(np.array(scores) - max(scores))
        weights /= weights.sum()
        values = sum(weight * (keys[place] @ w[f"{at}v"][:, head]) for weight, place in zip(weights, sees))
        attended += w[f"{at}o"][:, head] @ values
    x = norm(x + attended, w, f"{at}layer_norm", config.layer_norm_eps)
    ff = f"layer.{layer}.ff."
    inner = x @ w[f"{ff}layer_1.weight"].T + w[f"{ff}layer_1.bias"]
    assert config.hidden_act == "gelu"
    inner = inner * 0.5 * (1 + ERF(inner / math.sqrt(2)))
    x = x + inner @ w[f"{ff}layer_2.weight"].T + w[f"{ff}layer_2.bias"]
    return norm(x, w, f"{ff}layer_norm", config.layer_norm_eps)


def streams(encoder, ids, mask, types, hidden, targets, mems):
    """Both streams of one text, in float64, by loops over places and keys."""
    config = encoder.config
    w = {name: tensor.load().astype(np.float64) for name, tensor in read_checkpoint(FOLDER)[2].items()}
    memory, length = mems.shape[1], len(ids)
    h = [w["word_embedding.weight"][id_] for id_ in ids]
    g = [w["mask_emb"].reshape(-1) for _ in targets]
    key_types = [0] * memory + list(types)
    content, query = [np.array(h)], [np.array(g)]
    for layer in range(config.num_layers):
        keys = [*mems[layer], *h]
        seen = [
            [
                *range(memory),
                *(
                    memory + j
                    for j in range(length)
                    if mask[j] and not hidden[i, j] and (config.attention_type == "bi" or j <= i)
                ),
            ]
            for i in range(length)
        ]
        common = types, key_types, memory
        places = [int(row.argmax()) for row in targets]
        g = [by_the_formula(config, w, layer, each, keys, seen[own], own, *common) for each, own in zip(g, places)]
        h = [
            by_the_formula(config, w, layer, h[i], keys, sorted({*seen[i], memory + i}), i, *common)
            for i in range(length)
        ]
        content.append(np.array(h))
        query.append(np.array(g))
    return np.stack(content), np.stack(query)


@pytest.mark.parametrize("attention", ["bi", pytest.param("uni", marks=LESS_ON_JAX)])
def test_both_streams_are_those_of_the_formula(encoder, attention):
    if attention == "uni":
        encoder = ContextualEncoder.from_pretrained(FOLDER, attention_type=attention)
    ids, given = texts(encoder)
    made = query_states(encoder, ids, **given)
    names = ("attention_mask", "token_type_ids", "perm_mask", "target_mapping")
    for text in range(2):
        rows = [given[name][text] for name in names]
        content, query = streams(encoder, ids[text], *rows, given["mems"][:, text])
        assert np.abs(made.query[:, text] - query).max() < 1e-5
        assert np.abs(made.content[:, text] - content).max() < 1e-5


def test_a_place_knows_nothing_of_what_is_hidden_from_it(encoder):
    ids, given = texts(encoder)
    first = query_states(encoder, ids, **given)
    place = next(j for j in range(5) if given["perm_mask"][0, :, j].all())  # the last of the order, which nobody sees
    other = ids.copy()
    other[0, place] += 1
    second = query_states(encoder, other, **given)
    np.testing.assert_array_equal(first.query, second.query)
    np.testing.assert_array_equal(np.delete(first.content[:, 0], place, 1), np.delete(second.content[:, 0], place, 1))
    other[0, (place + 1) % 5] += 1
    third = query_states(encoder, other, **given)
    assert np.abs(third.query - first.query)[:, 0].max() > 1e-3
    np.testing.assert_array_equal(third.query[:, 1], first.query[:, 1])


@LESS_ON_JAX
def test_the_content_stream_without_an_order_is_that_of_hidden_states(encoder):
    ids, mask = np.arange(12).reshape(2, 6), np.array([[1] * 6, [0, 0, 1, 1, 1, 1]])
    made = query_states(encoder, ids, attention_mask=mask)
    expected = encoder.hidden_states(ids, mask)
    assert np.abs(made.content - expected)[:, mask == 1].max() < 1e-5
    assert made.query.shape == expected.shape  # every place


def test_no_text_and_no_place(encoder):
    assert query_states(encoder, np.zeros((0, 3), int)).query.shape == (4, 0, 3, 32)
    assert query_states(encoder, np.zeros((2, 0), int)).content.shape == (4, 2, 0, 32)


def test_the_embedding_of_the_mask_is_kept(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "written")
    again = ContextualEncoder.from_pretrained(tmp_path / "written")
    np.testing.assert_array_equal(again._checkpoint.beside("mask"), encoder._checkpoint.beside("mask"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"perm_mask": np.zeros((1, 2, 3))}, r"perm_mask must have shape \(1, 3, 3\), received \(1, 2, 3\)"),
        ({"target_mapping": np.zeros((1, 3))}, r"target_mapping must have shape \(1, 3, 3\), received \(1, 3\)"),
        ({"target_mapping": np.zeros((1, 2, 4))}, r"target_mapping must have shape \(1, 2, 3\), received \(1, 2, 4\)"),
        ({"perm_mask": np.full((1, 3, 3), 0.5)}, "perm_mask must be 0 or 1 everywhere, received others"),
        ({"target_mapping": np.full((1, 1, 3), np.nan)}, "target_mapping must be 0 or 1 everywhere, received others"),
    ],
)
def test_wrong_arguments(encoder, arguments, told):
    with pytest.raises(ValueError, match=told):
        query_states(encoder, [[5, 6, 7]], **arguments)


def test_what_has_no_query_stream():
    with pytest.raises(ValueError, match="encoder must be an XLNet, .* received a BERT"):
        query_states(ContextualEncoder.from_pretrained(REFERENCE / "bert_hf"), [[5]])
    with pytest.raises(ValueError, match="has no tensor 'model/transformer/mask_emb/mask_emb', which"):
        query_states(ContextualEncoder.from_pretrained(REFERENCE / "xlnet_google"), [[5]])


@pytest.mark.slow
def test_both_streams_equal_transformers(tmp_path):
    """Forty random models; transformers must have XLNet and torch."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    largest = 0.0
    for number in range(40):
        rng, heads = np.random.default_rng(number), number % 3 + 1
        torch.manual_seed(number)
        config = transformers.XLNetConfig(
            vocab_size=40,
            d_model=heads * 8,
            n_layer=number % 3 + 1,
            n_head=heads,
            d_inner=20,
            clamp_len=int(rng.choice([-1, 4])),
            attn_type=str(rng.choice(["bi", "uni"])),
        )
        model = transformers.XLNetModel(config).eval()
        for parameter in model.parameters():
            parameter.data = torch.randn_like(parameter) * 0.4
        model.save_pretrained(tmp_path / str(number))
        length = int(rng.integers(2, 14))
        # one text: transformers' XLNet takes no mask for several where it is "uni"
        ids, types = rng.integers(0, 40, (1, length)), rng.integers(0, 2, (1, length))
        mask = np.ones((1, length), int)
        mask[0, : int(rng.integers(0, 2))] = 0
        hidden, targets = orders(rng, 1, length, int(rng.integers(1, length)))
        arrays = {
            "perm_mask": hidden,
            "target_mapping": targets,
            "attention_mask": mask,
            "token_type_ids": types,
        }
        with torch.inference_mode():
            inputs = {
                name: torch.tensor(array).float() if name != "token_type_ids" else torch.tensor(array)
                for name, array in arrays.items()
            }
            states = model(torch.tensor(ids), **inputs, output_hidden_states=True).hidden_states
        made = query_states(ContextualEncoder.from_pretrained(tmp_path / str(number)), ids, **arrays)
        content, query = (np.stack([x.detach().numpy() for x in states[stream::2]]) for stream in (0, 1))
        largest = max(largest, np.abs(made.content - content)[:, mask == 1].max(), np.abs(made.query - query).max())
        assert largest < 1e-5, config
    print(f"two streams: largest difference {largest:.1e} on {keras.backend.backend()}")
