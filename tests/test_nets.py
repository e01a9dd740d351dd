"""The nets themselves: what they caught stays caught, and a short run of each that needs no fuzzer."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import same_bits, write_text
from tests.fuzz import artifacts, differential, hot_loops, run, vocabularies
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors

FUZZ = Path(__file__).parent / "fuzz"


@pytest.mark.parametrize(
    "target", [artifacts, hot_loops, vocabularies], ids=lambda target: target.__name__.rpartition(".")[2]
)
def test_what_the_fuzzer_knows(target, tmp_path):
    """Each case in each setting of the switches."""
    cases = sorted(FUZZ.joinpath(f"corpus_{target.__name__.rpartition('.')[2]}").iterdir())
    assert cases
    for path in cases:
        case = path.read_bytes()
        for switches in (case[0], *range(0, 128, 3)):
            target.check(bytes([switches]) + case[1:], tmp_path / "case")


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_every_reader_agrees_with_the_slow_one(first, tmp_path):
    assert differential.run(first, 50, tmp_path) == []


@pytest.mark.slow
def test_every_reader_agrees_with_the_slow_one_on_many_files(tmp_path):
    assert differential.run(1_000_000, 100_000, tmp_path) == []


def test_a_row_that_one_word_lends_is_that_row_to_the_bit(hot, tmp_path):
    path = write_text(tmp_path / "v.txt", {"a": ["-0.0", "0.0", "1e-45"], "b": [1, 2, 3]})
    em = build_matrix(path, {"A": 1, "b": 2}, fallbacks=["lower"])
    assert same_bits(em.matrix[1], np.array([-0.0, 0.0, 1e-45], np.float32))


@pytest.mark.parametrize("length", [0x0480, 0x0580])
def test_an_artifact_whose_header_has_a_pickles_first_bytes_is_no_pickle(tmp_path, length):
    """Its length comes first, and 80 04 is how pickles begin."""
    path = tmp_path / "em.safetensors"

    EmbeddingMatrix(np.ones((2, 2), np.float32), {"a": 1}, origins=[1, 3], sources=[("a", None)], padding_row=0).save(
        path
    )
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(
        length.to_bytes(8, "little") + content[8:end].ljust(length) + content[end:]
    )  # blanks may follow it
    assert load_vectors(path).index_to_key == ["a"]


def test_executions_are_counted_from_the_log(tmp_path):
    assert run.count(work=tmp_path) == ["nothing was found"]
    log = "#8192\tpulse  cov: 9\n#9000\tDONE\nstat::number_of_executed_units: 9000\n"
    assert run.executions_in(log) == 9000
    assert run.executions_in("#8192\tpulse  cov: 9\n==1== ERROR: libFuzzer: timeout\n") == 8192
    assert run.executions_in("no module") == 0
    for executions, found in ((9000, None), (500, "readers-crash-1")):
        run.note(tmp_path, "readers", executions, 10, 9, found)
    run.note(tmp_path, "artifacts", 7, 1, 1, None)
    first, last, total, finding = run.count(work=tmp_path)
    assert first.split()[:2] == ["artifacts", "7"]
    assert last.split()[:2] == ["readers", "9,500"]
    assert total.split()[:2] == ["all", "9,507"]
    assert finding.endswith("readers: readers-crash-1")
    assert run.count("2999-01-01", tmp_path) == ["nothing was found"]
    assert run.targets() == sorted(run.targets())
    assert {"artifacts", "hot_loops", "kernels", "readers", "vocabularies"} <= set(run.targets())
