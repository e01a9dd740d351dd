"""A matrix ⇄ a repository of the Hugging Face Hub, or a folder with the same files.

matrix.safetensors   as `EmbeddingMatrix.save` writes it; what is larger than 5 GB lies in parts instead, and
matrix.safetensors.index.json   says which
README.md            the card

What is pushed comes in one commit, with what an earlier push left there and this one does not replace taken away: whoever
reads finds the old matrix or the new one. Nothing else in a repository is asked for, least of all a pickle.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .output import write_atomically
from .shards import MOST, save_shards, told_index
from .shown import quoted
from .store import save

if TYPE_CHECKING:
    from ._types import Counts, StrPath
    from .matrix.embedding_matrix import EmbeddingMatrix

MATRIX = "matrix.safetensors"
INDEX = f"{MATRIX}.index.json"
CARD = "README.md"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_OURS = re.compile(r"matrix(-\d+-\d+-of-\d+)?\.safetensors(\.index\.json)?")


def push(
    em: EmbeddingMatrix,
    repo: str,
    *,
    license: str | Mapping[str, str] | None,
    language: str | Sequence[str] | None,
    counts: Counts | None,
    card: bool,
    private: bool | None,
    revision: str | None,
    commit_message: str,
    create_pr: bool,
    token: str | bool | None,
) -> str:
    """See `EmbeddingMatrix.push_to_hub`."""
    from .reports.card import card_of

    if not isinstance(repo, str) or not _REPO.fullmatch(repo):
        raise ValueError(f"expected a repository as owner/name, received {quoted(repo)}")
    text = card_of(em, repo, license=license, language=language, counts=counts) if card else ""
    library = _library("push_to_hub()")
    with tempfile.TemporaryDirectory(prefix="w2v_embed.") as folder:
        _write(em, Path(folder), text)
        try:
            api = library.HfApi(token=token, library_name="w2v_embed", library_version=__version__)
            api.create_repo(repo, exist_ok=True, **({} if private is None else {"private": private}))
            names = sorted(os.listdir(folder))
            stale = {name for name in api.list_repo_files(repo, revision=revision) if _OURS.fullmatch(name)} - {*names}
            changes = [library.CommitOperationAdd(name, os.path.join(folder, name)) for name in names]
            changes += map(library.CommitOperationDelete, sorted(stale))
            done = api.create_commit(
                repo, changes, commit_message=commit_message, revision=revision, create_pr=create_pr
            )
        except Exception as error:
            _explain(error, repo, revision)
        return str(done.pr_url or done.commit_url)


def _write(em, folder, text):
    # Of damage, the names of files are told, not the folders of who pushes.
    told = em.with_matrix(em.matrix)
    told.damage = [replace(report, path=PurePath(report.path).name) for report in em.damage]
    if em.matrix.nbytes > MOST:
        save_shards(told, folder / INDEX, most=MOST)
    else:
        save(told, folder / MATRIX)
    if text:
        write_atomically(folder / CARD, lambda file: file.write(text.encode()))


def load(
    repo: StrPath,
    read: Callable[[Path], EmbeddingMatrix],
    *,
    revision: str | None,
    cache_dir: StrPath | None,
    local_files_only: bool,
    token: str | bool | None,
) -> EmbeddingMatrix:
    """See `EmbeddingMatrix.from_pretrained`; `read` is given the file of the matrix, or of the index to its parts."""
    if not isinstance(repo, (str, os.PathLike)):
        raise TypeError(f"expected a repository as owner/name, or a folder, received {quoted(repo)}")
    folder = Path(repo)
    if isinstance(repo, str) and not folder.exists() and _REPO.fullmatch(repo):
        options = {"cache_dir": cache_dir, "local_files_only": local_files_only, "token": token}
        path = _fetched(_library("from_pretrained()"), repo, revision, options)
        try:
            return read(path)
        except ValueError as error:
            raise ValueError(
                f"{repo} gives no matrix: {error} If others can read it, its file in the cache was damaged: remove "
                f"{os.path.realpath(path)}"
            ) from error
    if revision is not None:
        raise ValueError(f"revision must be None for a folder, {quoted(str(repo))}; received {quoted(revision)}")
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; expected a folder. EmbeddingMatrix.load reads a file")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}, and a repository is written owner/name")
    found = next((folder / name for name in (MATRIX, INDEX) if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"the folder {folder} has no {MATRIX}, and no {INDEX}. EmbeddingMatrix.load reads a file of another name"
        )
    return read(found)


def _fetched(library, repo, revision, options) -> Path:
    """The file of the matrix in the cache, or of the index, with all parts beside it."""
    from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

    def fetch(name, revision=revision, **more):
        return Path(
            library.hf_hub_download(
                repo, name, revision=revision, library_name="w2v_embed", library_version=__version__, **options | more
            )
        )

    try:
        try:
            return fetch(MATRIX)
        except EntryNotFoundError as error:
            lost = isinstance(error, LocalEntryNotFoundError)  # no network: what is not in the cache is not to be had
            try:
                index = fetch(INDEX, local_files_only=lost or options["local_files_only"])
            except LocalEntryNotFoundError:
                raise error from None
    except Exception as error:
        _explain(error, repo, revision)
    try:
        parts = told_index(index).parts
    except ValueError as error:
        raise ValueError(f"{repo} gives no matrix: {error}") from error
    try:
        for part in parts:  # of the commit that the index is of, whatever is pushed meanwhile
            fetch(part.path.name, index.parent.name)
    except Exception as error:
        _explain(error, repo, revision, part.path.name)
    return index


def _library(call: str) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"{call} needs huggingface_hub, which is not installed: pip install 'w2v-embed[hub]'"
        ) from error
    return huggingface_hub


def _explain(error: Exception, repo: str, revision: str | None, file: str = MATRIX) -> NoReturn:
    """Raise what the Hub, the network or huggingface_hub said, in our words. No token is in any of them."""
    from huggingface_hub import utils

    at = repo if revision is None else f"{repo} at {revision}"
    offline = getattr(utils, "OfflineModeIsEnabled", ())
    kinds: list[tuple[Any, type[Exception], str]] = [
        (
            utils.GatedRepoError,
            PermissionError,
            "who wants it must first agree to its conditions, on its page, and log in",
        ),
        (
            utils.RepositoryNotFoundError,
            FileNotFoundError,
            "the Hub knows no such repository, or does not show it to you, and there is no such folder. Look at the name, and "
            "whether you are logged in: `hf auth login`, or token=",
        ),
        (utils.RevisionNotFoundError, FileNotFoundError, "the repository has no such branch, tag or commit"),
        (
            utils.LocalEntryNotFoundError,
            FileNotFoundError,
            f"{file} is not in the cache, and the Hub was not to be asked (local_files_only=True, HF_HUB_OFFLINE) or not to be "
            "reached. Ask for it once with a network, by the same name and revision",
        ),
        (
            utils.EntryNotFoundError,
            FileNotFoundError,
            f"the repository has no {file}, as push_to_hub writes it. A file of vectors in it is a source: "
            f'build_matrix("hf://{repo}/FILE", word_index)',
        ),
        (offline, ConnectionError, "HF_HUB_OFFLINE says that the Hub is not to be asked"),
    ]
    for kind, made, told in kinds:
        if isinstance(error, kind):
            raise made(f"{at}: {told}") from error
    if isinstance(error, utils.HfHubHTTPError):
        status = getattr(error.response, "status_code", "an error")
        said = f": {quoted(error.server_message)}" if getattr(error, "server_message", None) else ""
        login = ". Is the token one that may write, and are you the owner?" if status in (401, 403) else ""
        raise (PermissionError if login else OSError)(f"{at}: the Hub answers {status}{said}{login}") from error
    if isinstance(error, (ValueError, TypeError)) or not isinstance(error, Exception):
        raise error
    raise OSError(f"{at}: the Hub could not be asked ({type(error).__name__}). Try again later") from error
