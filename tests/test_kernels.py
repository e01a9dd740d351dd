"""Kernels, their plain twins and gensim hold each other: over generated files, number by number and byte by byte."""

import itertools
import struct

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import same_bits, use_hot, write_binary
from w2v_embed import build_matrix, load_vectors
from w2v_embed.readers.scan import hot as choice
from w2v_embed.readers.scan import kernels, plain
from w2v_embed.readers.scan.keys import stretches_of

WHITE = " \t\n\r\x0b\x0c"
NO_WORD = WHITE + "\ufeff\0"  # a zero byte in a text is damage, where gensim takes it for a part of a word
words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=NO_WORD), min_size=1, max_size=8)
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


@pytest.fixture(autouse=True, scope="module", params=["avx2", "portable"])
def processor(request):
    """Everything twice: with the loops for AVX2, and with those for any processor."""
    wanted = request.param == "avx2"
    if kernels.use_avx2(wanted) != wanted:
        pytest.skip("this processor has no AVX2")
    yield
    kernels.use_avx2(True)


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
    """Where the kernel trusts itself it is right; where it does not, `unsure` says so; the twin likewise."""
    line = b"w " + " ".join(fields).encode() + b"\n"
    expected = np.array([np.float32(field) for field in fields])
    for hot in (kernels, plain):
        buf = np.frombuffer(line + bytes(64), np.uint8)
        hits = np.array([[0, 0, 0, 1, len(line) - 1]])
        rows, unsure = np.zeros((1, len(fields)), np.float32), np.zeros(1, np.bool_)
        hot.parse_text(buf, hits, rows, unsure)
        assert unsure[0] or same_bits(rows[0], expected)


@pytest.mark.parametrize("text", ["0.123456", "-1.5", "12", "3.14159274", "1e-3", "-0.012345678901234"])
def test_usual_numbers_take_the_fast_way(text):
    line = f"w {text}\n".encode()
    rows, unsure = np.zeros((1, 1), np.float32), np.ones(1, np.bool_)
    buf = np.frombuffer(line + bytes(64), np.uint8)
    kernels.parse_text(buf, np.array([[0, 0, 0, 1, len(line) - 1]]), rows, unsure)
    assert not unsure[0]
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
        rows, unsure = np.zeros((1, 1), np.float32), np.zeros(1, np.bool_)
        kernels.parse_text(
            np.frombuffer(line + bytes(64), np.uint8), np.array([[0, 0, 0, 1, len(line) - 1]]), rows, unsure
        )
        if not unsure[0]:
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
        hits, odd = np.zeros((50, 5), np.int64), np.zeros((50, 3), np.int64)
        notes, table = tuple(np.zeros((2, 50 if every else 0), np.int64)), hot.make_table(wanted)
        *rest, n, n_odd, n_noted = hot.scan_text(buf, len(block), dim, table, hits, odd, notes)
        results.append((rest, hits[:n].tolist(), odd[:n_odd].tolist(), [note[:n_noted].tolist() for note in notes]))
    assert results[0] == results[1]
    assert not every or n_noted == rest[1] - rest[2] - n_odd


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 4), st.booleans())
def test_binary_scans_agree_on_any_bytes(block, dim, every):
    results = []
    for hot in (kernels, plain):
        buf = np.frombuffer(block + bytes(64), np.uint8)
        hits = np.zeros((200, 5), np.int64)
        notes = tuple(np.zeros((2, 200 if every else 0), np.int64))
        table = hot.make_table([b"w"] if every else [])
        *rest, n, n_noted = hot.scan_binary(buf, len(block), dim, table, hits, notes)
        rows, unsure = np.zeros((n, dim), np.float32), np.zeros(n, np.bool_)
        hot.parse_binary(buf, hits[:n], rows, unsure)
        results.append(
            (rest, hits[:n].tolist(), rows.tobytes(), unsure.tolist(), [note[:n_noted].tolist() for note in notes])
        )
    assert results[0] == results[1]
    assert not every or n_noted == rest[1]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=20))
def test_keys_are_fnv_1a(words):
    ends = np.cumsum([0, *map(len, words)])
    buf = np.frombuffer(b"".join(words), np.uint8)
    keys = [hot.keys_of(buf, ends[:-1], ends[1:]).tolist() for hot in (kernels, plain)]
    assert keys[0] == keys[1]
    key = kernels.keys_of(np.frombuffer(b"foobar", np.uint8), np.array([0]), np.array([6]))[0]
    assert key == 0x85944171F73967E8 - (1 << 64)


@given(st.lists(st.text(max_size=6) | st.sampled_from(["", "\n", "a\nb", "\ud800", "a" * 300]), max_size=30))
def test_words_as_stretches(words):
    """All words are encoded at once, also those that hold what parts them."""
    buf, begins, ends = stretches_of(words)
    got = [bytes(buf[begin:end]) for begin, end in zip(begins, ends)]
    assert got == [word.encode("utf-8", "surrogatepass") for word in words]


KEYS = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2) | st.sampled_from([1 << 32, 5 << 32, -(1 << 32)])


@settings(deadline=None)
@given(st.lists(KEYS, max_size=40), st.lists(KEYS, max_size=40), st.integers(0, 40))
def test_sets_of_keys(some, others, cut):
    some, others = np.array(some, np.int64), np.array(others, np.int64)
    asked = np.concatenate([some, others])
    for hot in (kernels, plain):
        there = hot.are_in(asked, hot.make_set([some[:cut], some[cut:]]))
        assert there[: len(some)].all()
        if hot is plain:
            assert set(asked[there]) <= set(some)


def test_sets_of_keys_that_are_alike_by_half():
    """Keys that are not in a set are told from those that are, whichever half they share."""
    some = np.arange(1, 5000, dtype=np.int64) << 32 | 7
    others = np.concatenate([some + 1, some & 7, np.arange(5000, 9000) << 32 | 7])
    for hot in (kernels, plain):
        assert not hot.are_in(others, hot.make_set([some])).any()


def longest_run(taken):
    """Of slots in use, one behind the other: how many steps a question can take."""
    free = np.flatnonzero(~np.concatenate([[False], taken, [False]]))
    return int(np.diff(free).max()) - 1


# Σ _DIFFERENCES[i] · prime^(11 - i) is 0 modulo 2^64, as lattice reduction (LLL) finds in a second.
_DIFFERENCES = [1, 8, -2, -4, -10, -6, 14, 2, 18, 13, -15, 17]
_PRINTABLE = range(33, 127)


def words_of_one_key(doublings):
    """2^doublings words with the same FNV-1a hash: pairs of 12 bytes, one behind the other, to the same state."""
    state, pairs = 0xCBF29CE484222325, []
    for _ in range(doublings):
        x = y = state
        pair = [b"", b""]
        for difference in _DIFFERENCES:
            want = x - y + difference
            a, b = next((a, b) for a in _PRINTABLE for b in _PRINTABLE if (x ^ a) - (y ^ b) == want)
            pair = [pair[0] + bytes([a]), pair[1] + bytes([b])]
            # Not yet modulo 2^64: the difference stays a small number of primes' powers.
            x, y = (x ^ a) * 0x100000001B3, (y ^ b) * 0x100000001B3
        state = x % 2**64
        assert state == y % 2**64
        pairs.append(pair)
    return [b"".join(word) for word in itertools.product(*pairs)]


@pytest.mark.parametrize("binary", [False, True])
def test_words_made_to_share_a_key_are_found_in_few_steps(binary):
    wanted = [*words_of_one_key(12), b"other"]
    assert len(set(kernels.keys_of(*stretches_of([word.decode() for word in wanted])).tolist())) == 2
    table = kernels.make_table(wanted)
    assert max(longest_run(slots != 0) for slots in (table.slots, table.others)) < 200
    # Of four words in the block one is not wanted, though it has the key.
    table = [hot.make_table([word for k, word in enumerate(wanted) if k % 4]) for hot in (kernels, plain)]
    block = b"".join(word + (b" \0\0\0\0" if binary else b" 1\n") for word in wanted)
    buf = np.frombuffer(block + bytes(64), np.uint8)
    expected = [k for k in range(len(wanted)) if k % 4]
    for hot, some in zip((kernels, plain), table):
        hits, odd = np.zeros((5000, 5), np.int64), np.zeros((1, 3), np.int64)
        if binary:
            n = hot.scan_binary(buf, len(block), 1, some, hits)[2]
        else:
            n = hot.scan_text(buf, len(block), 1, some, hits, odd)[3]
        assert hits[:n, 1].tolist() == expected
        assert hits[:n, 0].tolist() == list(range(len(expected)))


@pytest.mark.parametrize("shift", [0, 17, 32, 44])
def test_keys_made_alike_take_few_steps(shift):
    """In the bits that chose the slots once: these keys would lie in one long run."""
    n = 1 << 14
    low = np.arange(n, dtype=np.uint64) << np.uint64(shift)
    for keys in (low, low ^ (low << np.uint64(32)), low ^ (low >> np.uint64(32)), low * np.uint64(0x9E3779B97F4A7C15)):
        keys = keys.view(np.int64)
        assert longest_run(kernels.make_set([keys])[0] != 0) < 300
        slots, alike = kernels.fill_slots(keys, kernels.new_salt())
        assert longest_run(slots != 0) < 300
        assert not len(alike)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_means_of_rows(number, dtype):
    rng = np.random.default_rng(number)
    matrix, more = rng.normal(size=(40, 7)).astype(dtype), rng.normal(size=(30, 7)).astype(dtype)
    targets = np.arange(20, 40)
    lent = rng.choice([*range(20), *range(40, 70)], (20, number))
    both = np.concatenate([matrix, more])
    expected = both[lent].mean(axis=1, dtype=np.float64).astype(dtype)
    for hot in (kernels, plain):
        result = matrix.copy()
        hot.mean_rows(result, more, lent.ravel(), number * np.arange(21), targets)
        assert same_bits(result[20:], expected)
        assert same_bits(result[:20], matrix[:20])


def test_means_of_rows_of_many_lengths():
    """More than the plain loop takes at a time."""
    rng = np.random.default_rng(0)
    matrix, more = rng.normal(size=(700, 3)), rng.normal(size=(50, 3))
    bounds = np.cumsum([0, *rng.integers(1, 6, 600)])
    lent = rng.choice([*range(100), *range(700, 750)], bounds[-1])
    both = np.concatenate([matrix, more])
    expected = np.array([both[lent[begin:end]].mean(axis=0) for begin, end in itertools.pairwise(bounds)])
    for hot in (kernels, plain):
        result = matrix.copy()
        hot.mean_rows(result, more, lent, bounds, np.arange(100, 700))
        assert same_bits(result[100:], expected)


FIELDS = [
    "0.5",
    "-0.123456",
    "1",
    "-1e-3",
    "0.12345678",
    "9.123456789012345",
    "7.",
    "0.1234567",
    "+0.5",
    "12.5",
    "1.2e-05",
    "1e-400",
]
ODD_FIELDS = ["0.12345678901234567890123", "x", "0.1x", "0.12345678x", "-", "1e", "0.1\x01"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(FIELDS * 3 + ODD_FIELDS), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from([" ", "\t"]),
    st.sampled_from([0, 64]),
)
@example([["1.2e-05", "0.5", "0.5"], ["0.5", "0.25", "1.2e-05"]], " ", 64)
def test_lines_are_parsed_as_if_each_were_alone(lines, blank, room):
    """Kernels go through four numbers at a time; numbers of all lengths stand side by side, up to the buffer's end."""
    block = "".join(f"w{blank}{blank.join(fields)}\n" for fields in lines).encode()
    buf = np.frombuffer(block + bytes(room), np.uint8)
    begins = np.cumsum([0, *(len(line) + 1 for line in block.split(b"\n")[:-1])])
    hits = np.array([(0, k, begins[k], begins[k] + 1, begins[k + 1] - 1) for k in range(len(lines))])
    rows, unsure = np.full((len(lines), 3), 9, np.float32), np.zeros(len(lines), np.bool_)
    kernels.parse_text(buf, hits, rows, unsure)
    for fields, row, left in zip(lines, rows, unsure):
        if not left:
            assert not set(fields) & set(ODD_FIELDS[1:])
            assert same_bits(row, np.array([float(field) for field in fields]).astype(np.float32))
    if all(field in FIELDS[:-1] for fields in lines for field in fields):
        assert not unsure.any()


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 8, 300, 509, 510, 511, 512, 513, 514, 1100])
@pytest.mark.parametrize("room", [0, 1, 64])
def test_long_lines_of_all_kinds_of_numbers(dim, room):
    """Numbers of up to 8 digits are parsed in another way than those of up to 15, in fours and in stretches of a line."""
    rng = np.random.default_rng(dim)
    lines = []
    for most in (1, 7, 8, 14, 15):
        digits = rng.integers(0, most + 1, dim)
        lines += [
            [f"{x:.{n}f}" for x, n in zip(rng.normal(0, 1, dim), digits)],
            [f"{x:.{most}f}" for x in rng.uniform(-1, 1, dim)],
        ]
    lines.append([str(rng.choice([f"{rng.normal():.6f}", *FIELDS[:-1]])) for _ in range(dim)])
    block = "".join(f"{'w' * 16} {' '.join(fields)}\n" for fields in lines).encode()
    begins = np.cumsum([0, *(len(line) + 1 for line in block.split(b"\n")[:-1])])
    hits = np.array([(0, k, begins[k], begins[k] + 16, begins[k + 1] - 1) for k in range(len(lines))])
    rows, unsure = np.full((len(lines), dim), 9, np.float32), np.zeros(len(lines), np.bool_)
    kernels.parse_text(np.frombuffer(block + bytes(room), np.uint8), hits, rows, unsure)
    assert not unsure.any()
    for fields, row in zip(lines, rows):
        assert same_bits(row, np.array([float(field) for field in fields]).astype(np.float32))


def test_scans_stop_where_their_output_is_full():
    block = b"a 1\nb 2\nc 3\n x\nd 4\n"
    for hot in (kernels, plain):
        buf = np.frombuffer(block + bytes(64), np.uint8)
        hits, odd = np.zeros((2, 5), np.int64), np.zeros((1, 3), np.int64)
        one = np.zeros(1, np.int64), np.zeros(1, np.int64)
        position, lines, _, n, _, _ = hot.scan_text(buf, len(block), 1, hot.make_table([]), hits, odd)
        assert (position, lines, n) == (8, 2, 2)
        position, lines, _, n, n_odd, _ = hot.scan_text(buf[8:], len(block) - 8, 1, hot.make_table([]), hits, odd)
        assert (position, lines, n, n_odd) == (7, 2, 1, 1)
        table = hot.make_table([b"b"])
        position, lines, _, *counts = hot.scan_text(buf, len(block), 1, table, hits, odd, one)
        assert (position, lines, counts) == (4, 1, [0, 0, 1])


def test_no_collision_hides_a_word():
    """Many words in one table, each found, and none that is not there."""
    many = [struct.pack(">I", k * 2654435761 % 2**32).hex().encode() for k in range(5000)]
    block = b"".join(word + b" 1\n" for word in [*many, b"nobody", b"n"])
    buf = np.frombuffer(block + bytes(64), np.uint8)
    hits, odd = np.zeros((6000, 5), np.int64), np.zeros((1, 3), np.int64)
    n = kernels.scan_text(buf, len(block), 1, kernels.make_table(many), hits, odd)[3]
    assert hits[:n, 0].tolist() == list(range(5000))


def test_loops_and_threads(monkeypatch):
    """Compiled loops where there are any, else the plain ones, on one thread; that is said once."""
    assert choice.hot_loops(0) == (kernels, 1)
    assert choice.hot_loops(choice._WORTH_THREADS) == (kernels, choice.cores())


def test_both_sets_of_loops_have_the_same_functions():
    for name in kernels.__all__:
        assert callable(getattr(plain, name))
