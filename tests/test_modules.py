"""The matrix as a module of plain torch and of flax, against the matrix itself, bit for bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import same_bits
from w2v_embed import EmbeddingMatrix

ROWS = np.random.default_rng(0).normal(size=(6, 3))
ROWS[0] = 0
ROWS[2, 1] = -0.0
WORDS = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
IDS = np.array([[1, 0, 5], [2, 2, 0], [0, 0, 0]])
FLOATS = ["float16", "float32", "float64"]


def matrix(dtype="float32", padding_row=0, rows=ROWS):
    words = WORDS if padding_row == 0 else {"<s>": 0, **WORDS}
    return EmbeddingMatrix(rows.astype(dtype), words, padding_row=padding_row)


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# ── torch ──


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("padding_row", [0, None])
def test_torch_has_the_numbers_the_dtype_and_the_padding(torch, dtype, freeze, padding_row):
    em = matrix(dtype, padding_row)
    layer = em.as_torch(freeze=freeze)
    assert type(layer) is torch.nn.Embedding
    assert same_bits(layer.weight.detach().numpy(), em.matrix)
    assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (6, 3, padding_row)
    assert layer.weight.requires_grad is not freeze
    assert same_bits(layer(torch.from_numpy(IDS)).detach().numpy(), em.matrix[IDS])


def test_torch_owns_its_numbers(torch):
    em = matrix()
    layer, bag, before = em.as_torch(freeze=False), em.as_torch_bag(freeze=False), em.matrix.copy()
    em.matrix[:] = 7
    for module in (layer, bag):
        assert same_bits(module.weight.detach().numpy(), before)
    with torch.no_grad():
        layer.weight += 1
    assert (em.matrix == 7).all()
    assert same_bits(bag.weight.detach().numpy(), before)


def test_torch_takes_rows_of_any_layout(torch, tmp_path):
    base = np.array(ROWS, "float32")
    np.save(tmp_path / "m.npy", base)
    for rows in (
        np.asfortranarray(base),
        np.repeat(base, 2, axis=0)[::2],
        base[::-1][::-1],
        base.astype(">f4"),
        np.load(tmp_path / "m.npy", mmap_mode="r"),
    ):
        layer = EmbeddingMatrix(rows, WORDS, padding_row=0).as_torch()
        assert same_bits(layer.weight.numpy(), base)


def test_torch_trains_all_but_padding(torch):
    layer = matrix().as_torch(freeze=False)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.from_numpy(IDS)).sum().backward()
        optimizer.step()
    assert not layer.weight[0].any()
    assert (layer.weight[1].detach().numpy() != ROWS[1].astype("float32")).all()
    assert not list(filter(lambda p: p.requires_grad, matrix().as_torch().parameters()))


def test_torch_refuses_ids_outside(torch):
    for wrong in (6, -1, 10**12):
        for module in (matrix().as_torch(), matrix().as_torch_bag()):
            with pytest.raises((IndexError, RuntimeError)):
                module(torch.tensor([[wrong]]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_a_bag_leaves_padding_out(torch, dtype, mode):
    em = matrix(dtype)
    bag = em.as_torch_bag(mode)
    assert type(bag) is torch.nn.EmbeddingBag
    assert (bag.padding_idx, bag.mode, bag.weight.requires_grad) == (0, mode, False)
    assert same_bits(bag.weight.numpy(), em.matrix)
    pool = {"mean": np.mean, "sum": np.sum, "max": np.max}[mode]
    wide = em.matrix.astype("float64")
    expected = [pool(wide[ids[ids != 0]], axis=0) if ids.any() else np.zeros(3) for ids in IDS]
    np.testing.assert_allclose(bag(torch.from_numpy(IDS)).numpy(), expected, rtol=2e-3 if dtype == "float16" else 1e-6)
    # Texts of any length, one of them empty.
    ids, offsets = torch.tensor([1, 0, 5, 2, 2, 0, 0]), torch.tensor([0, 3, 6, 7])
    flat = bag(ids, offsets).numpy()
    np.testing.assert_allclose(flat, [*expected, np.zeros(3)], rtol=2e-3 if dtype == "float16" else 1e-6)


def test_a_bag_takes_the_weights_of_words(torch):
    from w2v_embed.weights import sif_weights

    em = matrix()
    weights = torch.from_numpy(sif_weights({"a": 8, "b": 1, "e": 1}, em))
    ids = torch.from_numpy(IDS)
    got = em.as_torch_bag("sum")(ids, per_sample_weights=weights[ids]).numpy()
    expected = (em.matrix[IDS] * weights.numpy()[IDS][..., None]).sum(axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_an_unknown_mode_of_a_bag_is_refused(torch):
    with pytest.raises(ValueError, match='mode must be "mean", "sum" or "max", received \'cls\''):
        matrix().as_torch_bag("cls")


def test_what_no_module_holds_is_refused(torch):
    nan = ROWS.copy()
    nan[2, 1] = np.nan
    full = ROWS + 1
    for rows, told in (
        (nan, "Row 2 (the word 'b') of the vectors holds nan in column 1, which is no finite float64. Mend that row"),
        (full, "row 0 of matrix must be zero, for it is the padding row, received ["),
        (
            ROWS.astype(int),
            "matrix must hold rows of float16, float32 or float64, received shape (6, 3) and dtype int64.",
        ),
        (ROWS.astype(np.longdouble), "build_matrix(…, dtype=…) makes such a one."),
        (ROWS[:, :0], "received shape (6, 0) and dtype float64"),
    ):
        em = EmbeddingMatrix(rows, WORDS, padding_row=0)
        for make in (em.as_torch, em.as_torch_bag):
            with pytest.raises(ValueError) as error:
                make()
            assert told in str(error.value)


def test_without_torch_or_flax_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "flax.nnx", None)
    for make, name, package in (
        (matrix().as_torch, "as_torch", "torch"),
        (matrix().as_torch_bag, "as_torch_bag", "torch"),
        (matrix().as_nnx, "as_nnx", "flax"),
    ):
        told = rf"^{name}\(\) needs {package}, and importing it failed: .*\. pip install {package}$"
        with pytest.raises(ImportError, match=told):
            make()


_ALONE = """
import sys, numpy as np
from w2v_embed import EmbeddingMatrix
em = EmbeddingMatrix(np.eye(3, dtype="float32"), {"a": 0, "b": 1, "c": 2})
assert not {"torch", "jax", "flax"} & set(sys.modules)
em.{call}
print(sorted({"keras", "tensorflow", "torch", "jax", "flax"} & set(sys.modules)))
"""


def test_torch_comes_alone(torch):
    for call in ("as_torch()", "as_torch_bag()"):
        assert fresh(_ALONE.replace("{call}", call)).stdout == "['torch']\n"


# ── flax ──


@pytest.fixture
def nnx():
    return pytest.importorskip("flax.nnx")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("padding_row", [0, None])
def test_nnx_has_the_numbers_and_the_dtype(nnx, dtype, freeze, padding_row):
    em = matrix(dtype, padding_row)
    layer = em.as_nnx(freeze=freeze)
    assert isinstance(layer, nnx.Embed)
    assert same_bits(np.asarray(layer.embedding[...]), em.matrix)
    assert (layer.num_embeddings, layer.features, layer.dtype) == (6, 3, dtype)
    assert isinstance(layer.embedding, nnx.Param) is not freeze
    rows = np.asarray(layer(IDS))
    assert rows.dtype == dtype
    assert same_bits(rows, em.matrix[IDS])
    assert same_bits(np.asarray(nnx.jit(lambda layer, ids: layer(ids))(layer, IDS)), em.matrix[IDS])


def test_nnx_holds_float64_where_jax_does_and_says_so_where_not(nnx):
    with pytest.raises(
        ValueError, match="JAX must be told to hold float64, or it makes float32 of the rows: jax.config"
    ):
        matrix("float64").as_nnx()
    import jax

    with jax.enable_x64(True):
        em = matrix("float64")
        assert same_bits(np.asarray(em.as_nnx()(IDS)), em.matrix[IDS])


def test_nnx_owns_its_numbers(nnx):
    memory = np.zeros(6 * 3 * 4 + 64, np.uint8)  # JAX would keep aligned memory as its own
    start = -memory.ctypes.data % 64
    rows = memory[start : start + 72].view("float32").reshape(6, 3)
    rows[...] = ROWS
    em = EmbeddingMatrix(rows, WORDS, padding_row=0)
    layer, before = em.as_nnx(), rows.copy()
    rows[:] = 7
    assert same_bits(np.asarray(layer(IDS)), before[IDS])


def test_nnx_gives_nan_for_ids_outside_and_counts_negative_ones_from_the_end(nnx):
    for freeze in (True, False):
        for padding_row in (0, None):
            em = matrix(padding_row=padding_row)
            out = np.asarray(em.as_nnx(freeze)(np.array([5, 6, 1000, -1, -6, -7])))
            assert same_bits(out[[0, 3, 4]], em.matrix[[5, 5, 0]])
            assert np.isnan(out[[1, 2, 5]]).all()
    one = EmbeddingMatrix(np.ones((1, 3), "float32"), {"a": 0}).as_nnx()
    np.testing.assert_array_equal(one(np.array([0, 5])), np.ones((2, 3)))


def test_nnx_trains_all_but_padding_or_nothing(nnx):
    import jax
    import optax

    def loss(layer):
        return (layer(IDS) - 3.0).sum()

    for make, moved in (
        (matrix(padding_row=0).as_nnx, [False, True, True, False, False, True]),
        (matrix(padding_row=None).as_nnx, [True, True, True, False, False, True]),
    ):
        layer = make(freeze=False)
        optimizer = nnx.Optimizer(layer, optax.sgd(0.1), wrt=nnx.Param)
        for _ in range(2):
            optimizer.update(layer, nnx.grad(loss)(layer))
        changed = np.asarray(layer.embedding[...]) != ROWS.astype("float32")
        assert changed.all(axis=1).tolist() == changed.any(axis=1).tolist() == moved
        frozen = make()
        assert not jax.tree.leaves(nnx.grad(loss)(frozen))
        assert not jax.tree.leaves(nnx.state(frozen, nnx.Param))
        assert len(jax.tree.leaves(nnx.state(frozen))) == 1


def test_nnx_can_be_split_merged_and_be_an_output_layer(nnx):
    for freeze in (True, False):
        layer = matrix().as_nnx(freeze)
        again = nnx.merge(*nnx.split(layer))
        assert same_bits(np.asarray(again(IDS)), np.asarray(layer(IDS)))
        logits = layer.attend(np.ones((2, 3), "float32"))
        np.testing.assert_allclose(logits, [ROWS.sum(axis=1)] * 2, atol=1e-5)


def test_flax_comes_alone(nnx):
    assert fresh(_ALONE.replace("{call}", "as_nnx()")).stdout == "['flax', 'jax']\n"


# ── the page ──


@pytest.mark.parametrize("module", ["torch", "flax"])
def test_the_code_of_the_page_runs(module, monkeypatch):
    pytest.importorskip(module)
    monkeypatch.chdir(Path(__file__).parent.parent)
    page = (Path(__file__).parent.parent / "docs/modules.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        if {"torch", "flax"}.isdisjoint(block.split()) or module in block.split():
            exec(block, names)
    assert names["em"].shape == tuple(
        names["layer"].weight.shape if module == "torch" else names["layer"].embedding.shape
    )
