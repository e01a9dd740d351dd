"""An encoder → a folder as Hugging Face has it, which this package and transformers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..output import write_folder
from ..safetensors import head_of

if TYPE_CHECKING:
    from .._types import StrPath
    from .checkpoint import Checkpoint
    from .tokenizers import Tokenizer

_FILES = frozenset(
    {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "sentencepiece.bpe.model",
    }
)


def save_pretrained(checkpoint: Checkpoint, tokenizer: Tokenizer | None, folder: StrPath) -> None:
    """See `ContextualEncoder.save_pretrained`.

    Args:
        tokenizer: None: the folder gets none.
    """
    stored = checkpoint.in_huggingface_names()
    texts = {} if tokenizer is None else tokenizer.files(segments=checkpoint.family.takes_segments)

    def write(target: Path) -> None:
        (target / "config.json").write_text(_json(dict(sorted(stored.settings.items()))), "utf-8")
        for name, content in texts.items():
            (target / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        with open(target / "model.safetensors", "wb") as file:
            _write_tensors(file, stored)

    write_folder(folder, write, _FILES)


def _write_tensors(file: BinaryIO, stored: Checkpoint) -> None:
    """All tensors in float32, one at a time."""
    names = sorted(stored.tensors)
    file.write(head_of({name: ("F32", stored.tensors[name].shape) for name in names}, {"format": "pt"}))
    for name in names:
        file.write(np.ascontiguousarray(stored.tensors[name].load(), "<f4").data)


def _json(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"
