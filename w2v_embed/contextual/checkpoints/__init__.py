"""Find the weights of a trained model in a folder and read them, whatever wrote them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ...shown import quoted
from ..files import read_json
from .safetensors_file import read_safetensors
from .stored import MOST_TENSORS, StoredTensor
from .tf_checkpoint import read_tf_checkpoint
from .torch_file import read_torch

if TYPE_CHECKING:
    from ..._types import StrPath

__all__ = ["read_checkpoint"]

_HUGGINGFACE = {"model.safetensors": read_safetensors, "pytorch_model.bin": read_torch}
_TF_FILE = r"(.+)\.(?:index|data-\d+-of-\d+)"


def read_checkpoint(path: StrPath) -> tuple[str, StrPath, dict[str, StoredTensor]]:
    """Read the names and shapes of all tensors of a trained model.

    Args:
        path: a folder, or the prefix of a TensorFlow checkpoint (`folder/bert_model.ckpt`). In a folder the first of
            these is read: `model.safetensors`, `pytorch_model.bin` (each in one file, or in several with their
            `….index.json`), a TensorFlow checkpoint.

    Returns:
        `(layout, file, tensors)`: "huggingface" or "google", whose tensor names differ; the file or prefix that was
        read, for messages; the tensors by name.

    Raises:
        FileNotFoundError: if there are no weights, or one of several files is missing.
        ValueError: if a file is cut or damaged, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_dir():
        return "google", path, read_tf_checkpoint(path)
    for name, read in _HUGGINGFACE.items():
        if (path / name).is_file():
            return "huggingface", path / name, read(path / name)
        index = path / f"{name}.index.json"
        if index.is_file():
            return "huggingface", index, _read_shards(index, read)
    prefix = _tf_prefix(path)
    return "google", prefix, read_tf_checkpoint(prefix)


def _read_shards(index, read):
    weight_map = read_json(index).get("weight_map")
    if type(weight_map) is not dict or not all(type(shard) is str for shard in weight_map.values()):
        raise ValueError(f"{index}: expected JSON with a `weight_map` of tensor to file, got {quoted(weight_map)}.")
    tensors = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard or "\0" in shard:
            raise ValueError(f"{index}: expected names of files beside it, got {quoted(shard)}.")
        if not (index.parent / shard).is_file():
            raise FileNotFoundError(f"{index.parent / shard} is missing: {index.name} lists it. Download it as well.")
        held = read(index.parent / shard)
        missing = next((name for name, home in weight_map.items() if home == shard and name not in held), None)
        if missing is not None:
            raise ValueError(
                f"{index.parent / shard} has no tensor {quoted(missing)}, which {index.name} says is in it."
            )
        # What stands in two files is taken from the one that the index names.
        tensors.update({name: tensor for name, tensor in held.items() if weight_map.get(name, shard) == shard})
        if len(tensors) > MOST_TENSORS:
            raise ValueError(f"{index} lists {len(tensors):,} tensors; expected at most {MOST_TENSORS:,}.")
    return tensors


def _tf_prefix(folder):
    """Return the prefix of the one TensorFlow checkpoint in a folder."""
    parts = (re.fullmatch(_TF_FILE, file.name) for file in folder.iterdir())
    prefixes = sorted({str(folder / part[1]) for part in parts if part})
    if len(prefixes) == 1:
        return prefixes[0]
    if not prefixes:
        raise FileNotFoundError(
            f"{folder} has no weights: expected {', '.join(_HUGGINGFACE)}, or the .index and .data files of a "
            f"TensorFlow checkpoint, found {', '.join(sorted(p.name for p in folder.iterdir())) or 'nothing'}."
        )
    raise ValueError(
        f"{folder} has {len(prefixes)} checkpoints: pass one of {', '.join(prefixes)} instead of the folder."
    )
