"""Find the weights of a trained model in a folder and read them, whatever wrote them."""

import json
import re
from pathlib import Path

from w2v_embed.contextual.checkpoints.safetensors_file import read_safetensors
from w2v_embed.contextual.checkpoints.tf_checkpoint import read_tf_checkpoint
from w2v_embed.contextual.checkpoints.torch_file import read_torch

__all__ = ["read_checkpoint"]

_HUGGINGFACE = {"model.safetensors": read_safetensors, "pytorch_model.bin": read_torch}
_TF_FILE = r"(.+)\.(?:index|data-\d+-of-\d+)"


def read_checkpoint(path):
    """Read the names and shapes of all tensors of a trained model.

    Args:
        path: a folder, or the prefix of a TensorFlow checkpoint (`folder/bert_model.ckpt`). In a folder the first of
            these is read: `model.safetensors`, `pytorch_model.bin` (each in one file, or in several with their
            `….index.json`), a TensorFlow checkpoint.

    Returns:
        `(layout, file, tensors)`: "huggingface" or "google", whose tensor names differ; the file or prefix that was
        read, for messages; `{name: StoredTensor}`.

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
    try:
        shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        outside = [shard for shard in shards if Path(shard).name != shard]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: expected JSON with a `weight_map` of tensor to file, got {error!r}.") from error
    if outside:
        raise ValueError(f"{index}: expected names of files beside it, got {outside[0]!r}.")
    tensors = {}
    for shard in shards:
        if not (index.parent / shard).is_file():
            raise FileNotFoundError(f"{index.parent / shard} is missing: {index.name} lists it. Download it as well.")
        tensors.update(read(index.parent / shard))
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
