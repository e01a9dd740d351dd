"""What is no local file gives the same rows as one: servers of several kinds, fsspec's memory, pipes, open files, archives."""

import base64
import bz2
import doctest
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import same_bits, serving, write_binary, write_fasttext, write_text
from w2v_embed import build_matrix, convert, count_words, inspect, load_vectors
from w2v_embed.readers.compression import Source
from w2v_embed.readers.lines import lines_of
from w2v_embed.readers.remote import place_of, streams
from w2v_embed.readers.remote.urls import shown_url

N, DIM = 3000, 60
WORDS = {f"word{k}": k for k in range(1, N, 7)} | {"Word5": N, "none": N + 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The same vectors in many files."""
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(0)
    rows = {f"word{k}": rng.normal(size=DIM).astype(np.float32) for k in range(N)}
    write_text(folder / "v.txt", rows)
    write_binary(folder / "v.bin", rows)
    raw = (folder / "v.txt").read_bytes()
    (folder / "v.txt.gz").write_bytes(gzip.compress(raw, 1))
    (folder / "v.txt.bz2").write_bytes(bz2.compress(raw[:200_000]) + bz2.compress(raw[200_000:]))
    for name, files in (("one.zip", ["v.txt"]), ("four.zip", ["v.bin", "v.txt", "v.txt.gz"])):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(folder / file, file)
    for name, mode in (("all.tar", "w"), ("all.tar.gz", "w:gz"), ("all.tar.bz2", "w:bz2")):
        with tarfile.open(folder / name, mode) as archive:
            for file in ("v.bin", "v.txt", "v.txt.gz"):
                archive.add(folder / file, f"./in/{file}")
    write_fasttext(folder / "ft.bin", list(rows)[:50], np.ones((50, 4)), np.ones((20, 4)))
    convert(folder / "v.txt", folder / "v.safetensors")
    build_matrix(folder / "v.txt", WORDS, fallbacks=["lower"]).save(folder / "v.npz")
    return folder


class Server(ThreadingHTTPServer):
    """Serves a folder; it hangs up after `breaks` bytes of an answer, `times` times, or `fades`."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.url = folder, f"http://127.0.0.1:{self.server_port}"
        self.reset()

    def reset(
        self,
        ranges=True,
        validators=("ETag",),
        breaks=None,
        times=1,
        fades=False,
        chunked=False,
        length=True,
        tag='"1"',
    ):
        self.ranges, self.validators, self.breaks, self.times, self.fades = ranges, validators, breaks, times, fades
        self.chunked, self.length, self.tag, self.asked, self.sent, self.user = chunked, length, tag, [], 0, None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        how, path = self.server, self.server.folder / self.path.lstrip("/").partition("?")[0]
        how.asked.append(dict(self.headers))
        if self.path.startswith("/moved"):
            self._plain(302, [("Location", how.other)])
            return
        if how.user and self.headers.get("Authorization") != "Basic " + base64.b64encode(how.user).decode():
            self._plain(401, [])
            return
        if not path.is_file():
            self._plain(404, [])
            return
        data, begin, status = path.read_bytes(), 0, 200
        told = {"ETag": how.tag, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        headers = [(name, told[name]) for name in how.validators]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if how.ranges:
            headers.append(("Accept-Ranges", "bytes"))
            if asked and self.headers.get("If-Range") in (None, *(told[name] for name in how.validators)):
                begin, status = int(asked[1]), 206
                headers.append(("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}"))
        data = data[begin:]
        if how.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif how.length:
            headers.append(("Content-Length", str(len(data))))
        else:
            headers.append(("Connection", "close"))
        self._answer(status, headers, data)

    def _answer(self, status, headers, data):
        how = self.server
        whole = how.breaks is None or how.times <= 0
        if not whole:
            how.times -= 1  # before whoever asked hears anything
            data = data[: how.breaks]
            how.breaks = 0 if how.fades else how.breaks
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        with suppress(OSError):
            for k in range(0, len(data), 50_000):
                part = data[k : k + 50_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if how.chunked else part)
                how.sent += len(part)
            if how.chunked and whole:
                self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _plain(self, status, headers):
        self.send_response(status)
        for header in [*headers, ("Content-Length", "0")]:
            self.send_header(*header)
        self.end_headers()


@pytest.fixture(scope="module")
def running(home):
    with serving(Server(home)) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setattr(streams, "_WAIT", 0.001)
    monkeypatch.setenv("no_proxy", "*")
    running.reset()
    return running


@pytest.fixture(scope="module")
def local(home):
    return build_matrix(home / "v.txt", WORDS, fallbacks=["lower"])


def same(em, local):
    """Whether rows, and what is told of them, are those of the local file."""
    kinds = [
        re.sub(r"(v|one|c)\.[a-z0-9.]+|standard input|<\w+>", "x", origin)
        for one in (em, local)
        for origin in one.provenance
    ]
    return same_bits(em.matrix, local.matrix) and kinds[: len(kinds) // 2] == kinds[len(kinds) // 2 :]


def built(path):
    return build_matrix(path, WORDS, fallbacks=["lower"])


# ── http ──


SERVED = [
    "v.txt",
    "v.bin",
    "v.txt.gz",
    "v.txt.bz2",
    "one.zip",
    "four.zip#v.txt",
    "four.zip#v.txt.gz",
    "all.tar#in/v.txt",
]


@pytest.mark.parametrize("name", [*SERVED, "all.tar.gz#./in/v.bin", "all.tar.bz2#in/v.txt.gz", "v.safetensors"])
@pytest.mark.parametrize("how", [{}, {"ranges": False}, {"chunked": True}, {"length": False, "ranges": False}])
def test_rows_from_a_server(name, how, server, local):
    server.reset(**how)
    assert same(built(f"{server.url}/{name}"), local)
    assert place_of(f"{server.url}/{name}").name == name.rpartition("#")[2].rpartition("/")[2]


def test_all_that_reads_vectors_reads_urls(server, home, tmp_path):
    url, file = f"{server.url}/v.txt", home / "v.txt"
    assert same_bits(load_vectors(url).vectors, load_vectors(file).vectors)
    assert load_vectors(url, limit=5).index_to_key == [f"word{k}" for k in range(5)]
    assert {**inspect(url), "seconds": 0, "file": ""} == {**inspect(file), "seconds": 0, "file": ""}
    convert(url, tmp_path / "a.bin")
    convert(file, tmp_path / "b.bin")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    ours, theirs = load_vectors(f"{server.url}/ft.bin"), load_vectors(home / "ft.bin")
    assert same_bits(ours.vectors_ngrams, theirs.vectors_ngrams)
    index = {"word3": 0, "never seen": 1}
    assert same_bits(
        build_matrix(f"{server.url}/ft.bin", index, fallbacks=["subwords"]).matrix,
        build_matrix(home / "ft.bin", index, fallbacks=["subwords"]).matrix,
    )
    assert same_bits(
        build_matrix(f"{server.url}/v.npz", {"word8": 0}).matrix, build_matrix(home / "v.npz", {"word8": 0}).matrix
    )
    both = [f"{server.url}/v.txt", f"{server.url}/v.bin"]
    options = {"combine": "average", "align": "procrustes"}
    assert same_bits(
        build_matrix(both, WORDS, **options).matrix, build_matrix([file, home / "v.bin"], WORDS, **options).matrix
    )
    assert count_words(url) == count_words(file)
    assert list(lines_of(url)) == list(lines_of(file))


def test_no_index_is_looked_for_where_nothing_lies_beside(server, local, caplog):
    em = build_matrix(f"{server.url}/v.txt", WORDS, fallbacks=["lower"], index=True)
    assert same(em, local)
    assert "v.txt has no index, for it is no file of this disk. Download it" in caplog.text
    assert len(server.asked) == 1


def test_only_what_is_needed_is_read(server, home, monkeypatch):
    """A member of an archive costs itself, and frequent words what is read up to them."""
    from w2v_embed.readers.remote.http import HttpStream

    fill, read = HttpStream.fill, []
    monkeypatch.setattr(HttpStream, "fill", lambda self, view: read.append(fill(self, view)) or read[-1])
    build_matrix(f"{server.url}/v.txt", {"word1": 0})
    assert sum(read) < (home / "v.txt").stat().st_size / 2
    read.clear()
    built(f"{server.url}/four.zip#v.txt.gz")
    with zipfile.ZipFile(home / "four.zip") as archive:
        member = archive.getinfo("v.txt.gz").compress_size
    assert member < sum(read) < member + 3 * (1 << 18)  # and the archive's list of files
    assert (home / "four.zip").stat().st_size > member + 4 * (1 << 18)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"times": 3},
        {"validators": ["Last-Modified"]},
        {"validators": []},  # and ranges
        {"ranges": False},
        {"ranges": False, "validators": ["Last-Modified"], "times": 1},
        {"chunked": True},
    ],
)
@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
def test_a_connection_that_breaks_is_made_anew(how, name, server, local):
    server.reset(breaks=150_001, **how)
    assert same(built(f"{server.url}/{name}"), local)
    assert len(server.asked) > 1
    assert server.times == 0


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"times": 99, "breaks": 0}, r"v\.txt: the connection broke at byte 0 of [\d,]+, and 4 times again"),
        ({"ranges": False, "validators": []}, "does not go on there, or the file has changed"),
        ({"ranges": False, "validators": [], "chunked": True}, "does not go on there, or the file has changed"),
    ],
)
def test_a_connection_that_stays_broken_is_an_error(how, told, server):
    server.reset(**{"breaks": 150_001, **how})
    for read in (built, load_vectors, lambda path: inspect(path, on_error="skip"), count_words):
        server.times = how.get("times", 1)
        with pytest.raises(OSError, match=told):
            read(f"{server.url}/v.txt")


@pytest.mark.parametrize(
    "name", ["v.txt.gz", "v.txt.bz2", "one.zip", "four.zip#v.txt", "all.tar.gz#in/v.txt", "ft.bin"]
)
@pytest.mark.parametrize("ranges", [True, False])
def test_what_did_not_come_is_no_damage_that_could_be_skipped(name, ranges, server):
    """Where the rest of a packed file did not come, those who skip what is damaged must not go on with half of the rows."""
    server.reset(ranges=ranges, breaks=300, times=10**6, fades=True)
    with pytest.raises(OSError, match=rf"{name.partition('#')[0]}: the connection broke at byte"):
        load_vectors(f"{server.url}/{name}", on_error="skip")


def test_the_page_of_files_runs(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent)
    failed, tried = doctest.testfile(str(Path("docs/files.md").absolute()), module_relative=False)
    assert (failed, bool(tried)) == (0, True)


def test_a_file_that_changes_meanwhile(server, home, monkeypatch):
    """Rows of two files must not meet in one matrix."""
    ask = Handler.do_GET

    def another(handler):
        if handler.server.asked:
            handler.server.tag = '"2"'
        ask(handler)

    monkeypatch.setattr(Handler, "do_GET", another)
    for ranges in (True, False):
        server.reset(ranges=ranges, breaks=150_001)
        with pytest.raises(OSError, match="or the file has changed meanwhile"):
            built(f"{server.url}/v.txt")


def test_what_a_server_refuses(server, home):
    with pytest.raises(
        FileNotFoundError, match=r"http://127.*/none\.txt: the server says 404 Not Found\. Look at the URL"
    ):
        built(f"{server.url}/none.txt")
    server.user = b"me:se cret"
    url = server.url.replace("://", "://me:se%20cret@")
    assert load_vectors(f"{url}/v.txt", limit=3).index_to_key == ["word0", "word1", "word2"]
    for path in (f"{server.url}/v.txt?token=hidden", f"{url.replace('me', 'you')}/v.txt?token=hidden"):
        with pytest.raises(
            PermissionError, match=r"v\.txt\?…: the server says 401 .* Give a user and a password"
        ) as caught:
            load_vectors(path)
        assert "hidden" not in str(caught.value)
        assert "cret" not in str(caught.value)
    closed = Server(home)
    closed.server_close()
    with pytest.raises(
        OSError, match=r"http://127.*/v\.txt cannot be reached \(Connection refused\)\. Look at the URL and"
    ):
        load_vectors(f"{closed.url}/v.txt")


def test_secrets_stay_with_the_server_that_they_are_for(server, home):
    with serving(Server(home)) as other:
        server.other, server.user = f"{other.url}/v.txt", None
        url = server.url.replace("://", "://me:secret@")
        kv = load_vectors(f"{url}/moved?sig=hidden", limit=3)
        assert len(kv) == 3
        assert "Authorization" in server.asked[0]
        assert "Authorization" not in other.asked[0]


def test_no_message_has_a_secret(server, home, tmp_path):
    """Whatever is wrong with what comes."""
    (home / "bad.txt").write_text("2 3\na 1 2 3\nb 1 2\n")
    (home / "empty.txt").write_text("")
    secret = f"{server.url.replace('://', '://me:secret@')}/bad.txt?sig=hidden"
    calls = [
        lambda: load_vectors(secret),
        lambda: load_vectors(secret.replace("bad", "v"), words=["nobody has it"]),
        lambda: load_vectors(secret.replace("bad", "v"), words=[]),
        lambda: load_vectors(secret.replace("bad", "empty")),
        lambda: built(secret),
        lambda: convert(secret, tmp_path / "o.bin"),
        lambda: inspect(secret, on_error="raise"),
        lambda: built(f"{secret}#member"),
        lambda: built(f"{secret.replace('bad.txt', 'four.zip')}"),
        lambda: built(f"{secret.replace('bad.txt', 'four.zip')}#none"),
        lambda: count_words(secret.replace("bad.txt", "v.bin")),
        lambda: built("s9://me:secret@host/bad.txt?sig=hidden"),
    ]
    for call in calls:
        with pytest.raises((ValueError, OSError)) as caught:
            call()
        assert not re.search("secret|hidden", str(caught.value)), str(caught.value)
        assert re.search(r"bad\.txt|v\.|empty\.txt|four\.zip", str(caught.value))
    assert "secret" not in str(build_matrix(secret, {"a": 0}, on_error="skip").coverage.summary())
    assert "secret" not in str(inspect(secret))


def test_urls_as_people_see_them():
    assert shown_url("https://u:p@h/a?b=c#d") == "https://h/a?…#d"
    assert shown_url("zip://in.txt::s3://key:pass@bucket/a.zip") == "zip://in.txt::s3://bucket/a.zip"


def test_the_cache_knows_files_by_what_servers_say(server, tmp_path, monkeypatch):
    folder, index = tmp_path / "cache", {"word1": 0, "word5": 1}
    url = f"{server.url}/v.txt"
    first = build_matrix(url, index, cache_dir=folder)
    sent = server.sent
    assert same_bits(build_matrix(url, index, cache_dir=folder).matrix, first.matrix)
    assert server.sent - sent < sent  # one look at the head
    server.tag = '"2"'
    build_matrix(url, index, cache_dir=folder)
    assert len(list(folder.iterdir())) == 2
    server.validators = []
    with pytest.raises(TypeError, match=r"cache_dir cannot tell whether http.*v\.txt has changed: no times or sums"):
        build_matrix(url, index, cache_dir=folder)


# ── fsspec ──


@pytest.fixture
def memory(home):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for file in home.iterdir():
        system.pipe(f"/served/{file.name}", file.read_bytes())
    yield system
    system.rm("/served", recursive=True)


@pytest.mark.parametrize("name", [*SERVED, "v.safetensors"])
def test_rows_from_memory(name, memory, local, home):
    assert same(built(f"memory://served/{name}"), local)


def test_the_cache_and_pieces_of_fsspec(memory, home, tmp_path, monkeypatch):
    from w2v_embed.readers import lines

    index, url = {"word1": 0}, "memory://served/v.txt"
    build_matrix(url, index, cache_dir=tmp_path)
    build_matrix(url, index, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    memory.pipe("/served/v.txt", (home / "v.txt").read_bytes())
    build_matrix(url, index, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(lines, "_PIECE", 100_000)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(lines.pieces(url))) > 5
        assert count_words(url, executor=pool) == count_words(home / "v.txt")


def test_what_fsspec_does_not_find(memory, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"memory://served/none\.txt: no such file"):
        built("memory://served/none.txt")
    with pytest.raises(IsADirectoryError, match=r"memory://served is a folder; expected a file"):
        built("memory://served")
    with pytest.raises(ValueError, match=r"s9://host/v\.txt: Protocol not known: s9\. Download the file"):
        built("s9://host/v.txt")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(
        ImportError, match=r'memory://served/v.txt: URLs need fsspec: pip install "w2v-embed\[remote\]"'
    ):
        built("memory://served/v.txt")


class Breaking:
    """A file that breaks once, or gives less than there is."""

    def __init__(self, data, quiet):
        self.file, self.size, self.left, self.quiet = io.BytesIO(data), len(data), 2, quiet

    def read(self, n):
        self.left -= 1
        if not self.left:
            if not self.quiet:
                raise ConnectionResetError("key=secret")
            return b""
        return self.file.read(min(n, 50_000))

    def seekable(self):
        return True

    def seek(self, byte):
        return self.file.seek(byte)

    def close(self):
        pass


@pytest.mark.parametrize("quiet", [False, True])
def test_a_remote_file_that_breaks(quiet, memory, home, local, monkeypatch):
    from w2v_embed.readers.remote.files import FsspecStream

    monkeypatch.setattr(streams, "_WAIT", 0)
    data = (home / "v.txt").read_bytes()
    monkeypatch.setattr(FsspecStream, "_open", lambda self: Breaking(data, quiet))
    assert same(built("memory://served/v.txt"), local)
    monkeypatch.setattr(Breaking, "read", lambda self, n: b"" if quiet else 1 / 0)
    with pytest.raises(
        OSError, match=r"memory://served/v\.txt: the connection broke at byte 0 of [\d,]+, and 4 times again"
    ):
        built("memory://served/v.txt")


# ── the hub ──


def test_files_of_the_hub(server, home, local, monkeypatch):
    (home / "owner/repo/resolve/v1").mkdir(parents=True, exist_ok=True)
    (home / "owner/repo/resolve/v1/v.txt").write_bytes((home / "v.txt").read_bytes())
    asked = []

    def download(repo, file, *, revision, repo_type):
        asked.append((repo, file, revision, repo_type))
        if file == "none.txt":
            raise type("EntryNotFoundError", (Exception,), {})("token=secret")
        return str(home / file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(hf_hub_download=download))
    for url, told in (
        ("hf://owner/repo/v.txt@v1", ("owner/repo", "v.txt", "v1", "model")),
        ("hf://owner/repo/v.txt", ("owner/repo", "v.txt", None, "model")),
        ("hf://datasets/owner/repo/v.txt", ("owner/repo", "v.txt", None, "dataset")),
        ("hf://owner/repo/four.zip#v.txt", ("owner/repo", "four.zip", None, "model")),
    ):
        assert same(built(url), local)
        assert asked[-1] == told
    with pytest.raises(
        FileNotFoundError, match=r"hf://owner/repo/none\.txt: the Hugging Face Hub does not give it \(EntryNot"
    ):
        built("hf://owner/repo/none.txt")
    with pytest.raises(
        ValueError, match=r"expected hf://owner/repo/file, maybe with @revision behind it, received 'hf://v.txt'"
    ):
        built("hf://v.txt")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    assert same(built("hf://owner/repo/v.txt@v1"), local)


# ── streams ──


class Forward(io.RawIOBase):
    """Bytes that come once, a few at a time."""

    def __init__(self, data):
        self.file = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, n=-1):
        return self.file.read(min(n, 10_007))


@pytest.mark.parametrize("name", [name for name in SERVED if "#" not in name])
def test_open_files(name, home, local):
    data = (home / name).read_bytes()
    for file in (io.BytesIO(data), Forward(data), types.SimpleNamespace(read=Forward(data).read)):
        assert same(built(file), local)
    with open(home / name, "rb") as file:
        assert same(built(file), local)
        assert not file.closed
        file.seek(0)
        assert same(built(file), local)
    late = io.BytesIO(b"something" + data)
    late.seek(9)  # it is read from where it is
    assert same(built(late), local)


def test_open_files_that_cannot_be_read(home, tmp_path):
    with (
        open(home / "v.txt") as file,
        pytest.raises(TypeError, match=r"an open file must give bytes, .* text file 'v\.txt'"),
    ):
        built(file)
    with pytest.raises(TypeError, match="an open file must give bytes, received str"):
        built(types.SimpleNamespace(read=lambda n: "text"))
    with pytest.raises(TypeError, match="an open file must give bytes, received nothing yet"):
        built(types.SimpleNamespace(read=lambda n: None))
    data = (home / "v.txt").read_bytes()
    with pytest.raises(
        OSError, match=r"<Forward> can be read once, and this asks for it again\. Save it as a file first"
    ):
        build_matrix([Forward(data), home / "v.bin"], WORDS, align="procrustes", combine="average")
    with pytest.raises(TypeError, match="cache_dir cannot tell whether <BytesIO> has changed"):
        build_matrix(io.BytesIO(data), WORDS, cache_dir=tmp_path)
    with pytest.raises(ValueError, match=r"<BytesIO> can be read by this process alone: leave executor out"):
        count_words(io.BytesIO(data), executor=ThreadPoolExecutor(1))
    with pytest.raises(ValueError, match=r"<BytesIO>.*: the gzip stream is cut or damaged|<BytesIO>"):
        load_vectors(io.BytesIO((home / "v.txt.gz").read_bytes()[:-200_000]))


def run(command, **how):
    return subprocess.run(
        [sys.executable, "-m", "w2v_embed.cli", *map(str, command)], capture_output=True, check=False, **how
    )


def test_standard_input_and_pipes(home, local, tmp_path):
    index = tmp_path / "i.json"
    index.write_text(json.dumps(WORDS))
    from w2v_embed import EmbeddingMatrix

    with open(home / "v.txt.gz", "rb") as file:
        done = run(["build", "-", index, "-o", tmp_path / "m.npz", "--fallback", "lower", "-q"], stdin=file)
    assert done.returncode == 0, done.stderr
    assert same(EmbeddingMatrix.load(tmp_path / "m.npz"), local)
    if os.path.isdir("/dev/fd"):
        read, write = os.pipe()
        thread = threading.Thread(target=lambda: os.fdopen(write, "wb").write((home / "v.txt").read_bytes()))
        thread.start()
        command = ["convert", f"/dev/fd/{read}", tmp_path / "c.bin"]
        done = run(command, pass_fds=[read])
        os.close(read)
        thread.join()
        assert done.returncode == 0, done.stderr
        assert same(built(tmp_path / "c.bin"), local)
    done = run(["vocab", "-", "-o", tmp_path / "w.json"], input=b"some words\nsome more\n")
    assert done.stdout.startswith(b"4 tokens, 3 words")
    done = run(["vocab", "-", "-o", tmp_path / "w.json", "--engine", "processes"], input=b"some words\n")
    assert b"standard input can be read by this process alone" in done.stderr


# ── archives ──


@pytest.mark.parametrize("name", [name for name in SERVED if "#" in name])
def test_members_of_local_archives(name, home, local, tmp_path):
    path = f"{home}/{name}"
    assert same(built(path), local)
    assert same(built(Path(path)), local)
    build_matrix(path, WORDS, cache_dir=tmp_path)
    build_matrix(path, WORDS, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_members_that_are_not_there(home, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"four\.zip has no member none; it has v\.bin, v\.txt, v\.txt\.gz"):
        built(f"{home}/four.zip#none")
    with pytest.raises(FileNotFoundError, match=r"all\.tar has no member none; it has \./in/v\.bin, "):
        built(f"{home}/all.tar#none")
    with pytest.raises(
        ValueError, match=r"v\.txt is no zip or tar archive .* what stands behind # names a member of one"
    ):
        built(f"{home}/v.txt#member")
    with pytest.raises(
        ValueError,
        match=r"expected one file of word vectors\. Unpack the one: v\.bin, .*, or name it, as .*four\.zip#v\.bin",
    ):
        built(home / "four.zip")
    with pytest.raises(FileNotFoundError, match=r"none\.zip#v\.txt"):
        built(f"{home}/none.zip#v.txt")
    odd = tmp_path / "a#b.txt"  # a name like any other
    odd.write_bytes((home / "v.txt").read_bytes())
    assert len(load_vectors(odd, limit=3)) == 3


@pytest.mark.parametrize("name", ["four.zip#v.txt", "all.tar#in/v.txt", "all.tar.gz#in/v.txt", "all.tar.bz2#in/v.txt"])
def test_archives_that_are_cut_or_damaged(name, home, tmp_path):
    """An error, or all rows; never fewer."""
    archive, _, member = name.partition("#")
    raw = (home / archive).read_bytes()
    rng = np.random.default_rng(0)
    whole = load_vectors(f"{home}/{name}").vectors
    told = 0
    for k in range(4):
        if k % 2:
            bad = raw[: int(len(raw) * rng.uniform(0.05, 0.6))]
        else:
            at = int(len(raw) * rng.uniform(0.3, 0.9))
            bad = raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :]
        (tmp_path / archive).write_bytes(bad)
        caught = None
        try:
            assert len(load_vectors(f"{tmp_path / archive}#{member}")) == len(whole)
        except (ValueError, OSError) as error:
            caught = str(error)
        assert caught is None or archive in caught
        told += caught is not None
    assert told >= 2


def test_a_stream_goes_back_only_as_far_as_it_was_kept():
    stream = streams.OfObject(Forward(b"0123456789"))
    assert stream.read(4) == b"0123"
    assert stream.seek(0) == 0
    assert stream.read(6) + stream.read(2) == b"012345"
    stream.forget()
    with pytest.raises(io.UnsupportedOperation, match="it can be read once, from its beginning on"):
        stream.seek(0)
    with pytest.raises(io.UnsupportedOperation, match="nobody says how long it is"):
        stream.seek(0, io.SEEK_END)
    assert stream.tell() == 6
    assert stream.read() == b"6789"
    with Source(io.BytesIO(b"0123456789")) as source:
        source.go_to(5)
        assert source.file.read(3) == b"567"


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_what_can_be_read_once_is_not_taken_for_empty(command, tmp_path):
    """Commands that read their vectors twice say so."""
    pytest.importorskip("keras")
    vectors, texts, pairs, more = (tmp_path / name for name in ("v.txt", "t.tsv", "p.tsv", "more.tsv"))
    vectors.write_text("a 1 2\nb 3 4\n")
    texts.write_text("".join(f"x\ta {k}\ny\tb {k}\n" for k in range(9)))
    for path in (pairs, more):
        path.write_text("a\tb\t9\n")
    arguments = {
        "train": [texts, "-", "-o", tmp_path / "m.keras"],
        "evaluate": ["-", "--pairs", pairs, "--pairs", more],
    }
    with open(vectors, "rb") as given:
        done = subprocess.run(
            [sys.executable, "-m", "w2v_embed", command, *map(str, arguments[command])],
            stdin=given,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "standard input can be read once, and this asks for it again. Save it as a file first" in done.stderr
    assert not (tmp_path / "m.keras").exists()
