"""Pushing to the Hub and fetching from it: the real huggingface_hub, against a server of our own that answers like the Hub."""

import json
import os
import pickle
import re
import subprocess
import sys
import time
import types
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import w2v_embed
from tests.conftest import same_bits
from w2v_embed import EmbeddingMatrix, build_matrix, hub
from w2v_embed.readers.damage import DamageReport
from w2v_embed.reports.card import card_of

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
yaml = pytest.importorskip("yaml")
from tests.hub_server import TOKEN, Hub  # noqa: E402

ROOT = Path(w2v_embed.__file__).parent.parent
WORDS = ["<pad>", "中国", "电影", "qwxyz"]


@pytest.fixture(scope="module")
def running():
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


def turn(monkeypatch, url, **settings):
    """Turn huggingface_hub to a server; earlier versions copy their settings into many modules."""
    settings |= {"ENDPOINT": url, "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}"}
    for module in [module for name, module in sys.modules.items() if name.startswith("huggingface_hub")]:
        for name in settings.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, settings[name])


@pytest.fixture
def there(running, monkeypatch, tmp_path):
    """The server, and huggingface_hub turned to it, with a cache of its own and nothing of this machine's settings."""
    running.repos.clear()
    running.asked.clear()
    running.broken = None
    settings = {
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }
    turn(monkeypatch, running.url, **settings)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(time, "sleep", lambda _: None)  # before another try
    return running


@pytest.fixture(scope="module")
def em():
    return build_matrix(ROOT / "data" / "vectors.bin", WORDS, oov="normal")


def same(a, b):
    assert same_bits(a.matrix, b.matrix)
    assert a.word_index == b.word_index
    assert (a.origins == b.origins).all()
    assert (a.sources, a.padding_row, a.derived, a.suggestions) == (b.sources, b.padding_row, b.derived, b.suggestions)
    return True


# ── there and back ──


def test_there_and_back(there, em):
    url = em.push_to_hub("me/vectors", license="cc-by-4.0", language="zh", token=TOKEN)
    assert url.startswith(f"{there.url}/me/vectors/commit/")
    assert sorted(there.files("me/vectors")) == ["README.md", "matrix.safetensors"]
    assert same(EmbeddingMatrix.from_pretrained("me/vectors"), em)
    mapped = EmbeddingMatrix.from_pretrained("me/vectors", mmap=True)
    assert same(mapped, em)
    assert not mapped.matrix.flags.writeable
    # and as a source, whose words with vectors of their own count
    again = build_matrix("hf://me/vectors/matrix.safetensors", ["中国", "qwxyz"])
    assert again.coverage.missing == ["qwxyz"]


def test_a_file_in_the_cache_is_not_sent_again(there, em):
    em.push_to_hub("me/vectors", token=TOKEN)
    EmbeddingMatrix.from_pretrained("me/vectors")
    there.asked.clear()
    assert same(EmbeddingMatrix.from_pretrained("me/vectors"), em)
    assert {method for method, _ in there.asked} == {"HEAD"}


def test_without_a_network(there, em, tmp_path):
    em.push_to_hub("me/vectors", token=TOKEN)
    with pytest.raises(
        FileNotFoundError, match=r"me/vectors: matrix\.safetensors is not in the cache, and the Hub was not"
    ):
        EmbeddingMatrix.from_pretrained("me/vectors", local_files_only=True)
    EmbeddingMatrix.from_pretrained("me/vectors")
    there.asked.clear()
    assert same(EmbeddingMatrix.from_pretrained("me/vectors", local_files_only=True), em)
    assert not there.asked
    there.broken = 503  # the cache does
    assert same(EmbeddingMatrix.from_pretrained("me/vectors"), em)
    there.broken = None
    with pytest.raises(FileNotFoundError, match="not in the cache"):
        EmbeddingMatrix.from_pretrained("me/vectors", cache_dir=tmp_path / "another", local_files_only=True)


def test_as_users_set_it(there, em, tmp_path):
    """By the environment alone, in a process of its own; the second time nobody is asked."""
    em.push_to_hub("me/vectors", token=TOKEN, private=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}

    def said(code, **settings):
        there.asked.clear()
        done = subprocess.run(
            [sys.executable, "-c", f"from w2v_embed import EmbeddingMatrix\nimport numpy as np\n{code}"],
            env=clean | {"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)} | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr[-500:]

    fetch = "print(EmbeddingMatrix.from_pretrained('me/vectors').shape)"
    assert str(em.shape) in said(fetch, HF_ENDPOINT=there.url, HF_TOKEN=TOKEN)
    told = said(
        f"{fetch}\n"
        "try: EmbeddingMatrix(np.ones((1, 2)), {}).push_to_hub('me/vectors')\n"
        "except ConnectionError as error: print(error)\n"
        "EmbeddingMatrix.from_pretrained('me/other')",
        HF_ENDPOINT=there.url,
        HF_HUB_OFFLINE="1",
    )
    assert told.startswith(f"{em.shape}\nme/vectors: HF_HUB_OFFLINE says that the Hub is not to be asked\n")
    assert "FileNotFoundError: me/other: matrix.safetensors is not in the cache" in told
    assert not there.asked


def test_parts(there, em, monkeypatch):
    """What is too large for a file lies in several, of one commit; a push of the other kind leaves none of the old."""
    em.push_to_hub("me/large", token=TOKEN)
    monkeypatch.setattr(hub, "MOST", em.matrix.nbytes // 2)
    em.push_to_hub("me/large", token=TOKEN, card=False)
    names = sorted(there.files("me/large"))
    assert names == [
        "README.md",
        "matrix-0-2-of-4.safetensors",
        "matrix-2-4-of-4.safetensors",
        "matrix.safetensors.index.json",
    ]
    assert same(EmbeddingMatrix.from_pretrained("me/large"), em)
    assert same(EmbeddingMatrix.from_pretrained("me/large", local_files_only=True), em)
    with pytest.raises(ValueError, match=r"me/large gives no matrix: mmap=True maps one file"):
        EmbeddingMatrix.from_pretrained("me/large", mmap=True)
    monkeypatch.setattr(hub, "MOST", 1 << 40)
    there.repo("me/large", {"matrix-notes.safetensors": b"a person's"})
    em.push_to_hub("me/large", token=TOKEN)
    assert sorted(there.files("me/large")) == ["README.md", "matrix-notes.safetensors", "matrix.safetensors"]


def test_parts_of_the_commit_of_their_index(there, em, monkeypatch):
    """Somebody pushes between the index and its parts: they come of the older commit."""
    monkeypatch.setattr(hub, "MOST", em.matrix.nbytes // 2)
    em.push_to_hub("me/large", token=TOKEN)
    real, other = huggingface_hub.hf_hub_download, em.with_matrix(em.matrix * 2)

    def download(repo, name, **options):
        path = real(repo, name, **options)
        if name.endswith(".json"):
            other.push_to_hub("me/large", token=TOKEN)
        return path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert same(EmbeddingMatrix.from_pretrained("me/large"), em)
    monkeypatch.undo()


def test_branches_and_proposals(there, em):
    em.push_to_hub("me/vectors", token=TOKEN, private=True)
    assert there.repos["me/vectors"]["private"]
    other = em.with_matrix(em.matrix * 2)
    url = other.push_to_hub("me/vectors", token=TOKEN, create_pr=True, commit_message="Twice as long")
    assert url == f"{there.url}/me/vectors/discussions/1"
    repo = there.repos["me/vectors"]
    assert repo["messages"][repo["branches"]["refs/pr/1"]] == "Twice as long"
    assert same(EmbeddingMatrix.from_pretrained("me/vectors", token=TOKEN), em)
    assert same(EmbeddingMatrix.from_pretrained("me/vectors", revision="refs/pr/1", token=TOKEN), other)
    repo["branches"]["v2"] = repo["branches"]["main"]
    other.push_to_hub("me/vectors", revision="v2", token=TOKEN)
    assert same(EmbeddingMatrix.from_pretrained("me/vectors", revision="v2", token=TOKEN), other)
    assert same(EmbeddingMatrix.from_pretrained("me/vectors", token=TOKEN), em)
    with pytest.raises(FileNotFoundError, match=r"me/vectors at v9: the repository has no such branch"):
        other.push_to_hub("me/vectors", revision="v9", token=TOKEN)
    with pytest.raises(FileNotFoundError, match=r"me/vectors at v9: the repository has no such branch"):
        EmbeddingMatrix.from_pretrained("me/vectors", revision="v9", token=TOKEN)


def test_a_folder(em, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    em.save(tmp_path / "matrix.safetensors")
    assert same(EmbeddingMatrix.from_pretrained(tmp_path), em)
    assert same(EmbeddingMatrix.from_pretrained(str(tmp_path), mmap=True), em)
    (tmp_path / "parts").mkdir()
    em.save(tmp_path / "parts" / "matrix.safetensors.index.json")
    assert same(EmbeddingMatrix.from_pretrained(tmp_path / "parts"), em)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "vectors").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"the folder me/vectors has no matrix\.safetensors"):
        EmbeddingMatrix.from_pretrained("me/vectors")
    with pytest.raises(NotADirectoryError, match=r"matrix\.safetensors is a file; expected a folder"):
        EmbeddingMatrix.from_pretrained("matrix.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no folder elsewhere, and a repository is written owner/name"):
        EmbeddingMatrix.from_pretrained("elsewhere")
    with pytest.raises(FileNotFoundError, match="there is no folder some/where"):
        EmbeddingMatrix.from_pretrained(Path("some/where"))
    with pytest.raises(ValueError, match="revision must be None for a folder, 'parts'; received 'v1'"):
        EmbeddingMatrix.from_pretrained("parts", revision="v1")
    with pytest.raises(TypeError, match="expected a repository as owner/name, or a folder, received 7"):
        EmbeddingMatrix.from_pretrained(7)


# ── what is wrong ──


def test_what_is_not_there(there, em):
    with pytest.raises(
        FileNotFoundError, match=r"me/none: the Hub knows no such repository, or does not show it to you"
    ):
        EmbeddingMatrix.from_pretrained("me/none")
    there.repo("me/closed", {"matrix.safetensors": b"x"}, gated=True)
    with pytest.raises(PermissionError, match=r"me/closed: who wants it must first agree to its conditions"):
        EmbeddingMatrix.from_pretrained("me/closed")
    with pytest.raises(
        PermissionError, match=r"me/vectors: the Hub answers 401.*Is the token one that may write"
    ) as told:
        em.push_to_hub("me/vectors", token="hf_secret")
    assert "hf_secret" not in str(told.value)
    there.broken = 507
    with pytest.raises(OSError, match=r"me/vectors: the Hub answers 507: 'our disks are full'"):
        em.push_to_hub("me/vectors", token=TOKEN)


def test_a_server_that_is_gone(there, em, monkeypatch):
    turn(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(FileNotFoundError, match=r"me/vectors: matrix\.safetensors is not in the cache"):
        EmbeddingMatrix.from_pretrained("me/vectors")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_what_others_put_there(there, em, tmp_path, monkeypatch):
    """No repository runs anything, whatever its files are called and hold; each error says whose they are."""
    monkeypatch.chdir(tmp_path)
    bomb = pickle.dumps(Bomb())
    there.repo("evil/model", {"pytorch_model.bin": bomb, "config.json": b"{}", "matrix.npy": bomb, "matrix.npz": bomb})
    with pytest.raises(FileNotFoundError, match=r'has no matrix\.safetensors, .*build_matrix\("hf://evil/model/FILE"'):
        EmbeddingMatrix.from_pretrained("evil/model")
    em.save(tmp_path / "good.safetensors")
    good = (tmp_path / "good.safetensors").read_bytes()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    index = {"metadata": {"rows": 4, "dim": em.shape[1], "dtype": "float32", "build": "x"}}
    for name, content in {
        "pickled": bomb,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "page": b"<!DOCTYPE html><title>401</title>",
        "empty": b"",
        "cut": good[:-9],
        "flipped": bytes(flipped),
    }.items():
        there.repo(f"evil/{name}", {"matrix.safetensors": content})
        with pytest.raises(ValueError, match=rf"evil/{name} gives no matrix: .*not a whole .* remove {tmp_path}"):
            EmbeddingMatrix.from_pretrained(f"evil/{name}")
    for name, weights in {
        "outside": {"matrix[0:4]": "../../../good.safetensors"},
        "holes": {"matrix[0:2]": "a.safetensors", "matrix[3:4]": "b.safetensors"},
        "kinds": {"matrix[0:4]": "pytorch_model.bin"},
        "list": [],
    }.items():
        told = json.dumps({**index, "weight_map": weights}).encode()
        there.repo(f"evil/{name}", {"matrix.safetensors.index.json": told, "pytorch_model.bin": bomb})
        with pytest.raises(ValueError, match=rf"evil/{name} gives no matrix: .* is no index of a matrix"):
            EmbeddingMatrix.from_pretrained(f"evil/{name}")
    told = json.dumps({**index, "weight_map": {"matrix[0:4]": "gone.safetensors"}}).encode()
    there.repo("evil/half", {"matrix.safetensors.index.json": told})
    with pytest.raises(FileNotFoundError, match=r"evil/half: the repository has no gone\.safetensors"):
        EmbeddingMatrix.from_pretrained("evil/half")
    there.repo("evil/build", {"matrix.safetensors.index.json": told, "gone.safetensors": good})
    with pytest.raises(ValueError, match=r"evil/build gives no matrix: .*of another build than the index"):
        EmbeddingMatrix.from_pretrained("evil/build")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("repo", ["vectors", "me/a/b", "../up", "me/", "me/vec tors", "me/-x", 7, None])
def test_names_that_are_none(em, repo):
    with pytest.raises(ValueError, match=f"expected a repository as owner/name, received {re.escape(repr(repo))}"):
        em.push_to_hub(repo)


def test_without_huggingface_hub(em, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"push_to_hub\(\) needs huggingface_hub.*pip install 'w2v-embed\[hub\]'"):
        em.push_to_hub("me/vectors")
    with pytest.raises(ImportError, match=r"from_pretrained\(\) needs huggingface_hub"):
        EmbeddingMatrix.from_pretrained("me/vectors")


def test_no_paths_of_the_one_who_pushes(there, em):
    here = EmbeddingMatrix(
        em.matrix,
        em.word_index,
        origins=em.origins,
        sources=em.sources,
        padding_row=0,
        damage=[DamageReport("/home/me/secret/v.txt", "skip", {"header": 1}, {"header": ["line 1"]})],
    )
    here.push_to_hub("me/vectors", token=TOKEN)
    assert b"/home/me" not in b"".join(there.files("me/vectors").values())
    assert EmbeddingMatrix.from_pretrained("me/vectors").damage[0].path == "v.txt"
    assert here.damage[0].path == "/home/me/secret/v.txt"


# ── the card ──


def parted(card):
    head = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    return yaml.safe_load(head[1]), card[head.end() :]


def test_the_card(there, em):
    em.push_to_hub(
        "me/vectors",
        license={"vectors.bin": "cc-by-4.0"},
        language=["zh", "en"],
        counts={"中国": 3, "qwxyz": 1},
        token=TOKEN,
    )
    told, text = parted(there.files("me/vectors")["README.md"].decode())
    assert told == {
        "library_name": "w2v_embed",
        "tags": ["w2v_embed", "word-embeddings"],
        "language": ["zh", "en"],
        "license": "cc-by-4.0",
    }
    for line in (
        f"| rows × numbers | 4 × {em.shape[1]} |",
        f"| the matrix takes | {em.matrix.nbytes / 1000:.1f} kB |",
        "2 of 3 words have a vector (66.7 %), which is 75.0 % of the 4 tokens counted.",
        "| vectors.bin | 2 | cc-by-4.0 |",
        "Without one: 1, the most frequent: qwxyz",
    ):
        assert line in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = {}
    exec(code, names)
    assert same(names["em"], em)
    before = there.files("me/vectors")["README.md"]
    em.push_to_hub("me/vectors", card=False, token=TOKEN)
    assert there.files("me/vectors")["README.md"] == before


def test_licences(em):
    both = EmbeddingMatrix(
        np.ones((3, 2), "f4"), {"a": 0, "b": 1, "c": 2}, origins=[3, 4, 5], sources=["x", "y", ("y", "lower")]
    )
    told, text = parted(card_of(both, "me/v", license={"x": "mit", "y": "cc0-1.0"}))
    assert told["license"] == "other"
    assert "| x | 1 | mit |\n| y | 2 | cc0-1.0 |" in text
    told, text = parted(card_of(both, "me/v"))
    assert "license" not in told
    assert "| y | 2 | not told |" in text
    assert "| y | 2 | mit |" in card_of(both, "me/v", license="mit")
    with pytest.raises(ValueError, match="license must name sources of this matrix, 'x', 'y'; received 'z'"):
        card_of(both, "me/v", license={"z": "mit"})
    with pytest.raises(ValueError, match=r"a licence must be as the Hub writes it.*received 'CC BY 4\.0'"):
        card_of(both, "me/v", license="CC BY 4.0")
    with pytest.raises(TypeError, match=r"license must be a text, or a dict source → licence; received \['mit'\]"):
        card_of(both, "me/v", license=["mit"])
    with pytest.raises(ValueError, match="a language must be a code such as zh or en, received 'Chinese language'"):
        card_of(both, "me/v", language=["zh", "Chinese language"])


def test_a_card_that_the_hub_refuses(there, em):
    with pytest.raises(ValueError, match="no such license"):
        em.push_to_hub("me/vectors", license="none-such", token=TOKEN)


def test_no_word_steers_the_card():
    words = [
        "[x](javascript:1)",
        "a|b",
        "<script>",
        "`",
        "**",
        "\n---\nlicense: mit\n",
        "\x1b[31m",
        "&lt;",
        "\u202e",
        "\ud800",
        "|",
    ]
    em = EmbeddingMatrix(
        np.zeros((len(words), 2), "f4"),
        {word: k for k, word in enumerate(words)},
        origins=[2] * (len(words) - 1) + [3],
        sources=["<b>|x"],
        steps=[{"step": "![x](http://y)"}],
    )
    card = card_of(em, "me/v")
    card.encode()  # no half of a character
    told, text = parted(card)
    assert "license" not in told
    table = re.search(r"Without one: 10, the first: (.*)\n", text)[1]
    assert not re.search(r"[\[\]<>`*|\x1b\u202e]", table)
    shown = unescape(table)
    assert shown.startswith(r"[x](javascript:1), a|b, <script>, `, **, \n---\nlicense: mit\n, \x1b[31m, &lt;")
    assert "<b>" not in text
    assert "![" not in text
    bare = card_of(EmbeddingMatrix(np.zeros((0, 3), "f4"), {}), "me/v")
    assert "0 × 3" in bare
    assert "## Coverage" not in bare


def test_the_page_of_docs(there, monkeypatch, tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "hub.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec("\n".join(blocks), names)
    assert same(names["again"], names["em"])


def test_nothing_is_imported_before_it_is_needed():
    code = "import w2v_embed.matrix.embedding_matrix, sys; assert not {'huggingface_hub', 'w2v_embed.hub'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert isinstance(hub, types.ModuleType)
