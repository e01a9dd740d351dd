"""A folder of shards: which are there, of what, and what the manifest says of all of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..output import BusyError, lock, write_atomically
from ..shown import json_text, logger, quoted
from ..texts import json_object, read_text
from .files import read_facts

if TYPE_CHECKING:
    from .._types import StrPath

MANIFEST = "manifest.json"
_LOCK = ".lock"  # of who hands out the work; it stays, as a lock on a file that is removed holds nobody up
_PART = re.compile(r"part-(\d{6,})\.(safetensors|parquet)")
_BLOCKED = "is being written by another run: wait for it to end, or pass another folder"


class ShardFolder:
    """A folder that one run at a time writes shards to. Use it in a `with`.

    Args:
        path: of the folder; it is made if there is none.
        settings: all that vectors depend on beside the texts, for JSON.

    Attributes:
        path, settings: the same.
        digest: a hash of the settings.
        backend: of Keras, by which the shards were made that are known; None where there is none yet.

    Raises:
        ValueError: another run writes to it, or it holds shards of other settings, or something else.
    """

    def __init__(self, path: StrPath, settings: Mapping[str, Any]) -> None:
        self.path: Path = Path(os.path.abspath(path))
        try:
            text = json.dumps(settings, sort_keys=True)
        except TypeError as error:
            raise TypeError(
                f"options must be numbers, texts and lists of these ({error}), received {quoted(settings)}"
            ) from None
        self.settings: dict[str, Any] = json.loads(text)
        self.digest: str = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self.backend: str | None = None
        self._shards: dict[int, dict[str, str]] = {}
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"{self.path} is a file; expected the name of a folder")
        self.path.mkdir(exist_ok=True)
        self._lock = open(self.path / _LOCK, "ab")  # noqa: SIM115 (closed by __exit__)
        try:
            self._hold()
            self._begin()
        except BaseException:
            self._lock.close()
            raise

    def _hold(self):
        try:
            if not lock(self._lock.fileno()):
                raise BusyError(f"{self.path} {_BLOCKED}")
        except OSError as error:  # a file system that knows no locks
            logger.warning("%s cannot be locked (%s): start no second run that writes to it", self.path, error)

    def _begin(self):
        manifest, parts = self.path / MANIFEST, [name for name in os.listdir(self.path) if _PART.fullmatch(name)]
        if manifest.exists() and parts:
            old = json_object(read_text(manifest), str(manifest)).get("settings")
            if not isinstance(old, dict):
                raise ValueError(f"{manifest} was not written by encode_shards: pass another folder")
            changed = [name for name in {**self.settings, **old} if old.get(name) != self.settings.get(name)]
            if changed:
                was, now = ({name: some.get(name) for name in changed} for some in (old, self.settings))
                raise ValueError(
                    f"{self.path} holds shards of other settings: {quoted(was)}, now {quoted(now)}. Delete it, or pass another "
                    "folder"
                )
        elif parts:
            raise ValueError(
                f"{self.path} has no {MANIFEST}, but {quoted(min(parts))}: delete it, or pass another folder"
            )
        else:
            self._write({"settings": self.settings, "complete": False})

    def _write(self, manifest):
        text = json_text(manifest, indent=1) + "\n"
        write_atomically(self.path / MANIFEST, lambda file: file.write(text.encode()))

    def file(self, number: int) -> Path:
        """The path of a shard."""
        return self.path / f"part-{number:06}.{self.settings['format']}"

    def has(self, number: int, facts: Mapping[str, str]) -> bool:
        """Whether a shard with these facts is there already, whole."""
        path = self.file(number)
        try:
            found = read_facts(path)
        except FileNotFoundError:
            return False
        except (ValueError, OSError) as error:
            logger.warning("the shard is damaged and is made again: %s", error)
            return False
        if any(found[name] != fact for name, fact in facts.items()):
            return False
        self.note(number, found)
        return True

    def note(self, number: int, facts: Mapping[str, str]) -> None:
        """Take note of a shard that is there.

        Raises:
            ValueError: it was made by another backend than others, whose last digits differ.
        """
        self.backend = self.backend or facts["backend"]
        if facts["backend"] != self.backend:
            raise other_backend(str(self.file(number)), self.backend, facts["backend"])
        self._shards[number] = dict(facts)

    def finish(self) -> dict[str, Any]:
        """Write the manifest of the whole, and return it. Shards behind the last one, of texts that were there before, go."""
        if not self._shards:
            raise ValueError("the texts hold no line, so there is nothing to encode. Pass others")
        manifest = {
            "settings": self.settings,
            "complete": True,
            "backend": self.backend,
            "rows": sum(int(facts["rows"]) for facts in self._shards.values()),
            "dim": int(self._shards[0]["dim"]),
            "shards": [
                {
                    "file": self.file(number).name,
                    "first": number * self.settings["rows"],
                    "rows": int(facts["rows"]),
                    "input": facts["input"],
                    "crc32": facts["crc32"],
                }
                for number, facts in sorted(self._shards.items())
            ],
        }
        for name in os.listdir(self.path):
            part = _PART.fullmatch(name)
            if part and int(part[1]) >= len(self._shards):
                (self.path / name).unlink()
        self._write(manifest)
        return manifest

    def __enter__(self) -> ShardFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()


def other_backend(path: str, expected: str, received: str) -> ValueError:
    """The error that two backends would meet in one result."""
    return ValueError(
        f"{path}: other shards were made by Keras' backend {expected}, this one by {received}, and their last digits differ. "
        "Give all workers the same KERAS_BACKEND, or pass another folder"
    )
