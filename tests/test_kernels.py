"""Kernels, their plain twins and gensim hold each other: over generated files, number by number and byte by byte."""

import struct

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import same_bits, use_hot, write_binary
from w2v_embed import build_matrix, load_vectors
from w2v_embed.readers import kernels, plain

WHITE = " \t\n\r\x0b\x0c"
words = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters=WHITE + "\ufeff"), min_size=1, max_size=8
)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
digits = st.text("0123456789", min_size=1, max_size=30)
numbers = st.one_of(
    finite.map(repr),
    finite.map(lambda x: str(np.float32(x))),
    finite.map("{:.6f}".format),
    finite.map("{:.9e}".format),
    st.floats(-1, 1).map("{:.6f}".format),
    st.floats(-1, 1).map(repr),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-", "+"]), digits, digits),
    st.builds("{}.{}e{}".format, st.sampled_from(["0", "-3", ""]), digits, st.integers(-60, 8)),
    st.sampled_from(
        [
            "0",
            "-0",
            "1",
            "+1",
            "5.",
            ".5",
            "-.5",
            "1E5",
            "1e-45",
            "7e-46",
            "1.17549435e-38",
            "3.4028234e38",
            "16777217",
            "0.1" + "0" * 30,
        ]
    ),
)


@st.composite
def tables(draw, numbers=numbers, least_dim=1):
    dim = draw(st.integers(least_dim, 12))
    chosen = draw(st.lists(words, min_size=1, max_size=12, unique=True))
    return {word: draw(st.lists(numbers, min_size=dim, max_size=dim)) for word in chosen}


def gensim_read(path, **kwargs):
    return KeyedVectors.load_word2vec_format(str(path), **kwargs)


def hold_together(path, gensims):
    """Our two readers against gensim's result, for the whole file and for rows picked out of it."""
    picked = dict.fromkeys([*gensims.index_to_key[::2], "not there"])
    index = {word: k for k, word in enumerate(picked, 1)}
    for name in ("kernels", "plain"):
        with pytest.MonkeyPatch.context() as patch:
            use_hot(name, patch)
            ours = load_vectors(path)
            some = build_matrix(path, index)
        assert ours.index_to_key == gensims.index_to_key, name
        assert ours.key_to_index == gensims.key_to_index, name
        assert same_bits(ours.vectors, gensims.vectors), name
        expected = np.stack(
            [gensims[w] if w in gensims.key_to_index else np.zeros(ours.vector_size, "f4") for w in picked]
        )
        assert same_bits(some.matrix[1:], expected), name
        assert not some.matrix[0].any()


PROPERTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PROPERTY
@given(table=tables(), end=st.sampled_from(["\n", " \n", "\r\n", " \r\n"]), last=st.booleans())
@example(table={"\u2028": ["1"], "\xa0": ["2"], "\u3000x": ["3"], "\x85": ["4"]}, end="\n", last=False)
@example(table={"a": ["0.30000001192092896", "1e-7"], "b": ["8.589973e9", "2147483648.5"]}, end=" \n", last=True)
def test_text_with_header(table, end, last, tmp_path):
    dim = len(next(iter(table.values())))
    lines = [f"{word} {' '.join(row)}" for word, row in table.items()]
    path = tmp_path / "v.txt"
    path.write_bytes((f"{len(table)} {dim}\n" + end.join(lines) + (end if last else "")).encode())
    hold_together(path, gensim_read(path))


@PROPERTY
@given(table=tables(least_dim=2))
def test_text_without_header(table, tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes("".join(f"{word} {' '.join(row)}\n" for word, row in table.items()).encode())
    hold_together(path, gensim_read(path, no_header=True))


@PROPERTY
@given(table=tables(numbers=finite), newline=st.booleans())
def test_binary(table, newline, tmp_path):
    path = write_binary(tmp_path / "v.bin", table, newline)
    hold_together(path, gensim_read(path, binary=True))


@settings(max_examples=400, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=20))
def test_parsed_numbers_are_the_rounded_ones(fields):
    """Where the kernel trusts itself it is right; where it does not, `exact` says so; the twin likewise."""
    line = b"w " + " ".join(fields).encode() + b"\n"
    expected = np.array([np.float32(field) for field in fields])
    for hot in (kernels, plain):
        buf = np.frombuffer(line + bytes(64), np.uint8)
        found = np.array([[0, 0, 0, 1, len(line) - 1]])
        rows, exact = np.zeros((1, len(fields)), np.float32), np.zeros(1, np.bool_)
        hot.parse_text(buf, found, rows, exact)
        assert exact[0] or same_bits(rows[0], expected)


@pytest.mark.parametrize("text", ["0.123456", "-1.5", "12", "3.14159274", "1e-3", "-0.012345678901234"])
def test_usual_numbers_take_the_fast_way(text):
    line = f"w {text}\n".encode()
    rows, exact = np.zeros((1, 1), np.float32), np.ones(1, np.bool_)
    buf = np.frombuffer(line + bytes(64), np.uint8)
    kernels.parse_text(buf, np.array([[0, 0, 0, 1, len(line) - 1]]), rows, exact)
    assert not exact[0]
    assert rows[0, 0] == np.float32(text)


def test_decimals_next_to_the_middle_of_two_floats():
    """Doubles within 8 units of a midpoint are left to the exact way; all others are right."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0x30000000, 0x4F000000, 3000, dtype=np.uint32)
    low, high = bits.view(np.float32).astype(np.float64), (bits + 1).view(np.float32).astype(np.float64)
    middles = (low + high) / 2
    fields = (
        [f"{m:.17g}" for m in middles]
        + [f"{np.nextafter(m, 0):.19g}" for m in middles]
        + [f"{m:.30f}" for m in middles[:500]]
    )
    trusted = 0
    for field in fields:
        line = f"w {field}\n".encode()
        rows, exact = np.zeros((1, 1), np.float32), np.zeros(1, np.bool_)
        kernels.parse_text(
            np.frombuffer(line + bytes(64), np.uint8), np.array([[0, 0, 0, 1, len(line) - 1]]), rows, exact
        )
        if not exact[0]:
            trusted += 1
            assert rows[0, 0] == np.float32(float(field)), field
    assert trusted < len(fields)  # the guard was at work


lines = st.binary(max_size=40).map(lambda b: b.replace(b"\n", b" ")) | st.sampled_from(
    [b"w 1 2", b"w 1 2 ", b"", b"w  1 2", b"\tw 1 2"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, max_size=30), st.integers(1, 3), st.booleans(), st.booleans())
def test_scans_agree_on_any_bytes(lines, dim, some, every):
    """The same lines are regular, odd and blank for both scans, whatever the bytes."""
    block = b"".join(line + b"\n" for line in lines)
    wanted = [b"w", b"\xff", b"x" * 9] if some else []
    results = []
    for hot in (kernels, plain):
        buf = np.frombuffer(block + bytes(64), np.uint8)
        found, odd = np.zeros((50, 5), np.int64), np.zeros((50, 3), np.int64)
        passed = np.zeros((50 if every else 0, 4), np.int64)
        *rest, n, n_odd, n_passed = hot.scan_text(buf, 0, len(block), dim, hot.make_table(wanted), found, odd, passed)
        results.append((rest, found[:n].tolist(), odd[:n_odd].tolist(), passed[:n_passed].tolist()))
    assert results[0] == results[1]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 4), st.booleans())
def test_binary_scans_agree_on_any_bytes(block, dim, every):
    results = []
    for hot in (kernels, plain):
        buf = np.frombuffer(block + bytes(64), np.uint8)
        found = np.zeros((200, 5), np.int64)
        passed = np.zeros((200 if every else 0, 4), np.int64)
        table = hot.make_table([b"w"] if every else [])
        *rest, n, n_passed = hot.scan_binary(buf, len(block), dim, table, found, passed)
        rows, exact = np.zeros((n, dim), np.float32), np.zeros(n, np.bool_)
        hot.parse_binary(buf, found[:n], rows, exact)
        results.append((rest, found[:n].tolist(), rows.tobytes(), exact.tolist(), passed[:n_passed].tolist()))
    assert results[0] == results[1]


@given(st.lists(st.binary(max_size=12), max_size=20))
def test_keys_are_fnv_1a(words):
    begins = np.cumsum([0, *map(len, words)])
    keys = [hot.keys_of(np.frombuffer(b"".join(words), np.uint8), begins).tolist() for hot in (kernels, plain)]
    assert keys[0] == keys[1]
    assert kernels.keys_of(np.frombuffer(b"foobar", np.uint8), np.array([0, 6]))[0] == 0x85944171F73967E8 - (1 << 64)


def test_scans_stop_where_their_output_is_full():
    block = b"a 1\nb 2\nc 3\n x\nd 4\n"
    for hot in (kernels, plain):
        buf = np.frombuffer(block + bytes(64), np.uint8)
        found, odd = np.zeros((2, 5), np.int64), np.zeros((1, 3), np.int64)
        none, one = np.zeros((0, 4), np.int64), np.zeros((1, 4), np.int64)
        position, lines, _, n, _, _ = hot.scan_text(buf, 0, len(block), 1, hot.make_table([]), found, odd, none)
        assert (position, lines, n) == (8, 2, 2)
        position, lines, _, n, n_odd, _ = hot.scan_text(buf, 8, len(block), 1, hot.make_table([]), found, odd, none)
        assert (position, lines, n, n_odd) == (15, 2, 1, 1)
        table = hot.make_table([b"b"])
        position, lines, _, *counts = hot.scan_text(buf, 0, len(block), 1, table, found, odd, one)
        assert (position, lines, counts) == (4, 1, [0, 0, 1])


def test_no_collision_hides_a_word():
    """Many words in one table, each found, and none that is not there."""
    many = [struct.pack(">I", k * 2654435761 % 2**32).hex().encode() for k in range(5000)]
    block = b"".join(word + b" 1\n" for word in [*many, b"nobody", b"n"])
    buf = np.frombuffer(block + bytes(64), np.uint8)
    found, odd = np.zeros((6000, 5), np.int64), np.zeros((1, 3), np.int64)
    n = kernels.scan_text(buf, 0, len(block), 1, kernels.make_table(many), found, odd, found[:0])[3]
    assert found[:n, 0].tolist() == list(range(5000))
