"""What `progress=` means everywhere: callables get (done, total)."""

import pytest

from w2v_embed import build_matrix, count_words, load_vectors, progress
from w2v_embed.progress import reporter, text_reporter

LINES = "the cat\nthe dog\n"


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("".join(f"word{k} {k} 1\n" for k in range(1, 4)))
    return path


def test_a_callable_is_told_bytes_of_a_file(vectors, tmp_path):
    texts = tmp_path / "t.txt"
    texts.write_text(LINES)
    for job, size in (
        (lambda tell: load_vectors(vectors, progress=tell), vectors.stat().st_size),
        (lambda tell: build_matrix(vectors, {"word1": 1, "nobody": 2}, progress=tell), vectors.stat().st_size),
        (lambda tell: count_words(texts, progress=tell), len(LINES)),
    ):
        told = []
        job(lambda *report, told=told: told.append(report))
        assert told == sorted(told)
        assert told[-1] == (size, size)


def test_a_callable_is_told_texts():
    told = []
    report = text_reporter(lambda *report: told.append(report), ["a", "b", "c"])
    report(1)
    report(2)
    text_reporter(lambda *report: told.append(report), iter("ab"))(2)  # of which nobody knows how many there are
    assert told == [(1, 3), (3, 3), (2, None)]


def test_a_bar_shows_what_was_found(vectors, tmp_path, capsys):
    build_matrix(vectors, {"word1": 1, "word3": 2, "nobody": 3}, progress=True)
    assert "2 rows found" in capsys.readouterr().err
    texts = tmp_path / "t.txt"
    texts.write_text(LINES)
    count_words(texts, progress=True)
    assert "4 rows found" in capsys.readouterr().err


@pytest.mark.parametrize("silence", [None, False])
def test_silence(silence, vectors, capsys):
    load_vectors(vectors, progress=silence)
    text_reporter(silence, ["a"])(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("make", [reporter, text_reporter])
def test_anything_else_is_refused(make):
    with pytest.raises(TypeError, match=r"progress must be None, True or a callable \(done, total\), received 7"):
        make(7, 0)


def test_reports_are_rare_but_for_the_last(monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL", 3600)
    told = []
    report = reporter(lambda *report: told.append(report), 9)
    for done in range(9):
        report(done, 0)
    report(9, 0, last=True)
    assert told == [(0, 9), (9, 9)]
