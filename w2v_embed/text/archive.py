"""What a .keras file holds beside the model: the encoder and the labels, as one more member, which Keras does not read.

text.json        what `save_model` writes: `format`, `version`, `labels`, `multi_label`, `encoder` (see docs/text.md)
vocabulary.json  what scripts/train_classifier.py wrote before: `word_index`, `labels`, `length`
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import whole
from ..shown import json_text, quoted
from ..splitting import jieba_module
from ..texts import json_object
from .encoder import TextEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._types import StrPath

MEMBER = "text.json"
_OLD_MEMBER = "vocabulary.json"
_MOST_BYTES = 1 << 28  # of a member of text, unpacked
_MOST_RATIO, _SMALL = 200, 1 << 20  # Keras packs its members hardly at all
_MOST_MEMBERS = 100_000
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")

Label = str | int


def add_text(path: StrPath, encoder: TextEncoder, labels: list[Label] | None, multi_label: bool) -> None:
    """Add the encoder, the labels and whether a text may have several of them to the .keras file that lies at `path`."""
    told = {"format": "w2v_embed.text", "version": 1, "labels": labels, "multi_label": multi_label}
    told["encoder"] = encoder.get_config()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, json_text(told))


def read_text_member(path: StrPath) -> tuple[TextEncoder, list[Label] | None, bool]:
    """The encoder and the labels of a .keras file, and whether a text may have several of them.

    Its members are looked at before Keras opens it.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: no such file, none of `save_model`, or one that nobody should unpack.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a .keras file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no .keras file, which is a zip archive")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, members)
            names = {member.filename for member in members}
            if MEMBER in names:
                return _new(path, _text_of(archive, path, MEMBER))
            if _OLD_MEMBER in names:
                return _old(path, _text_of(archive, path, _OLD_MEMBER))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} is a damaged .keras file: {error}. Save the model again, or fetch it again."
        ) from error
    raise ValueError(
        f"{path} was not saved by save_model: it holds no {MEMBER}. keras.saving.load_model opens it, without an encoder"
    )


def checked_labels(labels: Iterable[Any]) -> list[Label]:
    """Labels as a list of str or int, no two of them the same."""
    if isinstance(labels, (str, bytes)):
        raise TypeError(f"labels must be a list, received {quoted(labels)}")
    plain = [label.item() if hasattr(label, "item") else label for label in labels]
    wrong = [label for label in plain if isinstance(label, bool) or not isinstance(label, (str, int))]
    if wrong or not plain:
        raise TypeError(f"labels must be a list of str or int, received {quoted(wrong[0] if wrong else plain)}")
    if len(set(plain)) < len(plain):
        raise ValueError(f"labels must differ from each other, received {quoted(plain)}")
    return plain


def _check_members(path, members):
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"{path} holds {len(members):,} members; a .keras file has a few")
    seen = set()
    for member in members:
        name = member.filename
        parts = re.split(r"[/\\]", name)
        if ".." in parts or not parts[0] or ":" in parts[0] or "\0" in member.orig_filename:
            raise ValueError(f"{path} holds a member {quoted(name)}, which would lie outside of it: no file of Keras'")
        if name in seen:
            raise ValueError(f"{path} holds the member {quoted(name)} twice: it is not told which one counts")
        seen.add(name)
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"{path}: its member {quoted(name)} is encrypted or packed in a way that Keras does not use"
            )
        if member.file_size > _SMALL and member.file_size > _MOST_RATIO * member.compress_size:
            raise ValueError(
                f"{path}: its member {quoted(name)} says that {member.compress_size:,} bytes unpack to {member.file_size:,}; "
                f"expected {_MOST_RATIO} times as many at most"
            )
        if name.endswith(".json") and member.file_size > _MOST_BYTES:
            raise ValueError(
                f"{path}: its member {quoted(name)} must have {_MOST_BYTES:,} bytes or less, received {member.file_size:,}"
            )


def _text_of(archive, path, name):
    with archive.open(name) as file:
        raw = file.read(_MOST_BYTES + 1)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: its member {name} is not UTF-8 ({error})") from None


def _new(path, text):
    told = json_object(text, f"{path}, its {MEMBER}")
    try:
        if told.get("format") != "w2v_embed.text" or told.get("version") != 1:
            raise ValueError(
                f'"format" and "version" must be \'w2v_embed.text\' and 1, received {quoted(told.get("format"))} and '
                f"{quoted(told.get('version'))}. A newer w2v_embed reads it."
            )
        labels = told.get("labels")
        if labels is not None and not isinstance(labels, list):
            raise ValueError(f'"labels" must be a list or null, received {quoted(labels)}')
        several = told.get("multi_label", False)
        if not isinstance(several, bool):
            raise ValueError(f'"multi_label" must be true or false, received {quoted(several)}')
        return TextEncoder.from_config(told.get("encoder")), None if labels is None else checked_labels(labels), several
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, its {MEMBER}: {error}") from error


# ── what scripts/train_classifier.py wrote ──


def script_words(text: str) -> list[str]:
    """Chinese by jieba, other scripts at what is no letter or digit, in lower case: how that script splits.

    >>> script_words("It's 3 o'Clock")
    ['it', 's', '3', 'o', 'clock']
    """
    if not _CJK.search(text):
        return re.findall(r"\w+", text.lower())
    return [word for word in jieba_module().lcut(text) if word.strip()]


def _old(path, text):
    told = json_object(text, f"{path}, its {_OLD_MEMBER}")
    try:
        if not isinstance(told.get("word_index"), dict) or not isinstance(told.get("labels"), list):
            raise ValueError("expected an object with word_index, labels and length")
        length = whole('"length"', told.get("length"))
        encoder = TextEncoder(told["word_index"], split=script_words, length=length, unknown=False)
        return encoder, checked_labels(told["labels"]), False
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, its {_OLD_MEMBER}: {error}") from error
