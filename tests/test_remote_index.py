"""An index of a file behind a URL: wanted rows are fetched; whatever the server does, never a wrong row, nor one fewer."""

import re
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import same_bits, serving, write_binary, write_text
from w2v_embed import build_matrix
from w2v_embed.cli import main
from w2v_embed.readers.remote import place_of, ranges, streams
from w2v_embed.readers.remote.ranges import Ranged
from w2v_embed.readers.sidecar import index_path, make_index

N, DIM = 4000, 60
OLD, NOW = "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:30 GMT"
WORDS = ["word2500", "word1", "zz", "WORD3001", "word3999", "word2501", "中国"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(0)
    rows = {**{f"word{k}": rng.normal(size=DIM).astype(np.float32) for k in range(N)}, "中国": np.ones(DIM, np.float32)}
    write_text(folder / "v.txt", rows)
    write_binary(folder / "v.bin", rows)
    return folder


class Server(ThreadingHTTPServer):
    """Serves one file, and does `how` where a part is asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def reset(self, data, how="fine", times=1 << 30, told=None, date=None, at_head=False):
        self.at_head, self.data, self.how, self.times, self.date = at_head, data, how, times, date
        self.told = {"ETag": '"1"', "Accept-Ranges": "bytes"} if told is None else told
        self.parts, self.whole, self.lock = [], 0, threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return self.server.date or super().date_time_string(timestamp)

    def do_GET(self):
        server, asked = self.server, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.close_connection = True
        if not asked or server.told.get("Accept-Ranges") != "bytes" or "Content-Length" in server.told:
            server.whole += 1
            self._send(200, {}, server.data)
            return
        begin, end = int(asked[1]), int(asked[2]) + 1
        with server.lock:
            server.parts.append((begin, end))
            server.times -= 1
            how = server.how if server.times >= 0 and bool(begin) != server.at_head else "fine"
            if how == "changes" and len(server.parts) == 3:
                server.data, server.told = server.data.replace(b" ", b"  "), {**server.told, "ETag": '"2"'}
        if self.headers.get("If-Range") not in (None, server.told.get("ETag"), server.told.get("Last-Modified")):
            self._send(200, {}, server.data)
            return
        self._part(how, begin, end)

    def _part(self, how, begin, end):
        data, headers = (
            self.server.data[begin:end],
            {"Content-Range": f"bytes {begin}-{end - 1}/{len(self.server.data)}"},
        )
        if how == "whole":
            self._send(200, {}, self.server.data)
        elif how in ("404", "403", "416", "503"):
            self._send(int(how), {}, b"no")
        elif how == "hangs up":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif how == "short":
            self._send(206, headers, data, cut=len(data) // 2)
        elif how == "less":
            self._send(206, {"Content-Range": f"bytes {begin}-{end - 2}/{len(self.server.data)}"}, data[:-1])
        elif how == "elsewhere":
            self._send(206, {"Content-Range": f"bytes {begin + 1}-{end}/{len(self.server.data)}"}, data)
        elif how == "grown":
            self._send(206, {"Content-Range": f"bytes {begin}-{end - 1}/{len(self.server.data) + 1}"}, data)
        elif how == "no range told":
            self._send(206, {}, data)
        elif how == "more":
            self._send(
                206, {**headers, "Transfer-Encoding": "chunked"}, b"%x\r\n%b!\r\n0\r\n\r\n" % (len(data) + 1, data)
            )
        elif how == "another tag":
            self._send(206, {**headers, "ETag": '"2"'}, data)
        elif how == "no tag":
            self._send(206, {**headers, "ETag": None}, data)
        elif how == "packed":
            self._send(206, {**headers, "Content-Encoding": "gzip"}, data)
        elif how == "shifted":
            self._send(206, headers, self.server.data[begin + 1 : end + 1].ljust(len(data)))
        else:
            self._send(206, headers, data)

    def _send(self, status, headers, data, cut=None):
        headers = {"Content-Length": str(len(data)), **self.server.told, **headers}
        if "Transfer-Encoding" in headers:
            del headers["Content-Length"]
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data[:cut])


@pytest.fixture(scope="module")
def running():
    with serving(Server()) as server:
        yield server


@pytest.fixture
def server(running, home, monkeypatch):
    monkeypatch.setattr(streams, "_WAIT", 0.001)
    monkeypatch.setattr(ranges, "_GAP", 4)
    monkeypatch.setattr(ranges, "_MOST", 64)  # several requests for a file of a few MB
    monkeypatch.setenv("no_proxy", "*")
    running.reset((home / "v.txt").read_bytes())
    return running


@pytest.fixture(scope="module")
def local(home):
    return build_matrix(home / "v.txt", WORDS, fallbacks=["lower"], index=False)


def same(em, local):
    told = [(one.coverage, [origin.partition(".")[2] for origin in one.provenance]) for one in (em, local)]
    return same_bits(em.matrix, local.matrix) and told[0][0].found == told[1][0].found and told[0][1] == told[1][1]


def built(server, folder, **options):
    return build_matrix(f"{server.url}v.txt", WORDS, fallbacks=["lower"], index=folder, **options)


def test_only_wanted_rows_are_fetched(server, local, tmp_path, caplog):
    assert same(built(server, tmp_path), local)  # made, in one reading, and used
    assert (server.whole, len(list(tmp_path.iterdir()))) == (2, 1)  # to look at it, to make it
    server.reset(server.data)
    assert same(built(server, tmp_path), local)
    assert server.whole == 0
    assert 4 <= len(server.parts) <= 8
    assert sum(end - begin for begin, end in server.parts[1:]) < 12_000  # of 2.6 MB
    server.parts.clear()
    assert same(built(server, str(tmp_path), on_error="skip"), local)
    assert server.parts
    assert not caplog.text


def test_lenders_are_fetched_when_they_are_known(server, local, tmp_path):
    """And each place once, also by many requests for one row after another."""
    built(server, tmp_path)
    server.reset(server.data)
    assert same(built(server, tmp_path), local)
    assert any(begin < server.data.index(b"word3001 ") < end for begin, end in server.parts)
    pages = [page for begin, end in server.parts for page in range(begin // 1024, -(-end // 1024))]
    assert len(set(pages)) == len(pages)


@pytest.mark.parametrize("name", ["v.txt", "v.bin"])
def test_any_words(name, server, home, tmp_path):
    """Few and many: those of more than half of the file come in one piece."""
    data, rng = (home / name).read_bytes(), np.random.default_rng(1)
    server.reset(data)
    make_index(f"{server.url}{name}", folder=tmp_path)
    for count in (1, 2, 5, 30, 1200):
        server.reset(data)
        words = list(dict.fromkeys([*(f"word{k}" for k in rng.integers(0, 2 * N, count)), "word3999"]))
        em = build_matrix(f"{server.url}{name}", words, index=tmp_path)
        assert same(em, build_matrix(home / name, words, index=False))
        assert (len(server.parts) > 1) == (count < 1200)


FAILS = ["whole", "404", "403", "416", "503", "hangs up", "short", "less", "elsewhere", "grown", "no range told"]
FAILS += ["more", "another tag", "no tag", "packed", "changes"]


@pytest.mark.parametrize("how", FAILS)
def test_a_server_that_fails_is_read_as_a_whole(how, server, local, tmp_path, caplog):
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data, how)
    assert same(built(server, tmp_path), local)
    assert caplog.text.count("is read as a whole, not by its index: ") == 1
    assert len(server.parts) > 1
    assert server.whole == 1


@pytest.mark.parametrize("how", [*FAILS, "shifted"])
def test_a_head_that_fails(how, server, local, tmp_path):
    """Then the file is asked for, and its rows are fetched nevertheless."""
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data, how, at_head=True)
    if how in ("404", "403"):
        with pytest.raises(OSError, match=f"v.txt: the server says {how}"):
            built(server, tmp_path)
        return
    with suppress(ValueError):
        assert same(built(server, tmp_path), local)
        return
    assert how == "shifted"


@pytest.mark.parametrize("how", ["503", "hangs up", "short"])
def test_what_breaks_is_tried_again(how, server, local, tmp_path, caplog):
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data, how, times=3)
    assert same(built(server, tmp_path), local)
    assert not caplog.text
    assert len(server.parts) > len(set(server.parts))


def test_lenders_that_do_not_come_are_an_error(server, tmp_path):
    """Rows are filled by then, and another state of the file may have others."""
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data)
    built(server, tmp_path)
    last = len(server.parts) - 1  # the lender's
    server.reset(server.data, "fine")
    part = Handler._part

    def late(self, how, begin, end):
        part(self, "another tag" if len(server.parts) > last else how, begin, end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "_part", late)
        with pytest.raises(OSError, match=r"v.txt: the file has changed, or the server does not say which it sends"):
            built(server, tmp_path)


def test_other_bytes_under_the_same_tag_are_an_error(server, tmp_path):
    """As far as words tell: a server that says that nothing changed is believed about numbers."""
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data, "shifted")
    with pytest.raises(ValueError, match=r"v.txt"):
        built(server, tmp_path)
    with pytest.raises(ValueError, match=r"v.txt has changed while it was read by its index"):
        built(server, tmp_path, on_error="skip")


@pytest.mark.parametrize(
    "told",
    [
        {"ETag": '"2"', "Accept-Ranges": "bytes"},
        {"ETag": '"1"', "Last-Modified": OLD, "Accept-Ranges": "bytes"},
        {"Last-Modified": OLD, "Accept-Ranges": "bytes"},
    ],
)
def test_another_state_has_another_index(told, server, local, tmp_path, caplog):
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data.replace(b"word2500 ", b"word25oo "), told=told)
    em = built(server, tmp_path)
    assert "word2500" in em.coverage.missing
    assert not caplog.text
    server.reset(server.data, told=told)
    assert same(built(server, tmp_path), em)
    assert server.whole == 0


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"Accept-Ranges": "bytes"}, "its server tells nothing by which every change is known"),
        ({"ETag": 'W/"1"', "Accept-Ranges": "bytes"}, "its server tells nothing by which every change is known"),
        ({"Last-Modified": NOW, "Accept-Ranges": "bytes"}, "its server tells nothing by which every change is known"),
        ({"Last-Modified": "now", "Accept-Ranges": "bytes"}, "its server tells nothing by which every change is known"),
        ({"ETag": '"1"'}, "its server sends no parts of files"),
        ({"ETag": '"1"', "Accept-Ranges": "none"}, "its server sends no parts of files"),
        ({"ETag": '"1"', "Accept-Ranges": "bytes", "Content-Length": None}, "its server sends no parts of files"),
    ],
)
def test_servers_that_tell_too_little(told, words, server, local, tmp_path, caplog):
    make_index(f"{server.url}v.txt", folder=tmp_path)
    server.reset(server.data, told=told, date="Thu, 01 Jan 2026 00:01:00 GMT")
    assert same(built(server, tmp_path), local)
    assert caplog.text.count(f"v.txt has no index, for {words}") == 1
    assert (server.whole, server.parts[1:]) == (1, [])
    with pytest.raises(ValueError, match=f"v.txt can have no index, for {words}"):
        make_index(f"{server.url}v.txt", folder=tmp_path)


def test_an_old_time_is_enough(server, local, tmp_path):
    server.reset(server.data, told={"ETag": 'W/"1"', "Last-Modified": OLD, "Accept-Ranges": "bytes"})
    built(server, tmp_path)
    server.parts.clear()
    assert same(built(server, tmp_path), local)
    assert server.parts


def test_no_secret_is_kept_and_local_files_may_lie_there_too(server, home, local, tmp_path, capsys):
    url = server.url.replace("//", "//me:s3cr3t@") + "v.txt?key=s3cr3t"
    (tmp_path / "words.txt").write_text("word3999")
    assert main(["index", url, "--folder", str(tmp_path / "kept")]) == 0
    assert "s3cr3t" not in capsys.readouterr().out
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept == index_path(url, tmp_path / "kept")
    assert b"s3cr3t" not in kept.read_bytes()
    server.reset(server.data)
    command = ["build", url, str(tmp_path / "words.txt"), "-o", str(tmp_path / "m.npz"), "-q"]
    assert main([*command, "--index-folder", str(tmp_path / "kept")]) == 0
    assert server.parts
    assert main(["index", url]) == 1
    assert "name a folder for its index" in capsys.readouterr().err
    assert same(build_matrix(home / "v.txt", WORDS, fallbacks=["lower"], index=tmp_path / "kept"), local)
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert not list(home.glob("*.w2v-index"))
    with pytest.raises(TypeError, match="index must be None, True, False or a folder for the indexes, received 3"):
        build_matrix(home / "v.txt", WORDS, index=3)


def test_files_of_fsspec(home, local, tmp_path, monkeypatch, caplog):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    data = (home / "v.txt").read_bytes()
    system.pipe_file("/index/v.txt", data)
    fetched, cat = [], type(system).cat_file

    def counted(self, path, start=None, end=None, **options):
        fetched.append((start, end))
        if late:
            system.pipe_file("/index/v.txt", late.pop())
        return cat(self, path, start=start, end=end, **options)

    late = []
    monkeypatch.setattr(type(system), "cat_file", counted)
    url = "memory://index/v.txt"
    for _ in range(2):
        fetched.clear()
        assert same(build_matrix(url, WORDS, fallbacks=["lower"], index=tmp_path), local)
        assert 0 < sum(end - start for start, end in fetched) < 12_000
    late.append(data.replace(b"word2500 ", b"word25oo "))
    em = build_matrix(url, WORDS, fallbacks=["lower"], index=tmp_path)  # of the state that is there now
    assert em.coverage.missing == ["word2500", "zz"]
    assert same_bits(em.matrix[1:], local.matrix[1:])
    assert "is read as a whole, not by its index: memory://index/v.txt has changed while it was read" in caplog.text
    assert "word2500" in build_matrix(url, WORDS, fallbacks=["lower"], index=tmp_path).coverage.missing
    system.rm("/index", recursive=True)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40_000),
    st.lists(st.lists(st.tuples(st.integers(0, 39_999), st.integers(0, 5_000)), max_size=6), max_size=4),
    st.integers(0, 9_000),
)
def test_what_is_asked_for_is_there(size, calls, head):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    stream = type("Fake", (), {"size": size, "at": lambda _, at, n: data[at : at + n], "is_same": lambda _: True})()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_GAP", 2)
        patch.setattr(ranges, "_MOST", 3)
        here = Ranged(place_of("https://host/v.txt"), stream, data[:head])
        for call in calls:
            begins = np.array([min(begin, size) for begin, _ in call], np.int64)
            sizes = np.array([min(n, size - min(begin, size)) for begin, n in call], np.int64)
            here.have(begins, sizes)
            with here.open() as file:
                for begin, n in zip(begins.tolist(), sizes.tolist()):
                    file.seek(begin)
                    assert file.read(n) == data[begin : begin + n]
            assert not len(here.missing(begins, sizes))
