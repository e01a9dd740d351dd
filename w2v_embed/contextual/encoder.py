"""`ContextualEncoder`: a trained BERT, NEZHA or XLNet that turns ids, texts and words into vectors."""

from pathlib import Path

import numpy as np
from keras import ops

from w2v_embed.contextual.backend import compiles_each_shape
from w2v_embed.contextual.checkpoints import read_checkpoint
from w2v_embed.contextual.config import read_config
from w2v_embed.contextual.models import Model
from w2v_embed.contextual.weights import load_weights


class ContextualEncoder:
    """A trained encoder; made by `ContextualEncoder.from_pretrained`."""

    def __init__(self, config, model, folder):
        self.config = config
        self._model = model
        self._folder = folder

    @classmethod
    def from_pretrained(cls, folder, *, attention_type=None, hidden_act=None, max_relative_position=None):
        if not Path(folder).exists() and not Path(f"{folder}.index").exists():
            raise FileNotFoundError(f"{folder} is neither a folder nor the prefix of a TensorFlow checkpoint.")
        layout, file, tensors = read_checkpoint(folder)
        config = read_config(
            folder,
            layout,
            attention_type=attention_type,
            hidden_act=hidden_act,
            max_relative_position=max_relative_position,
        )
        embedding, layers, checksum = load_weights(config, layout, file, tensors)
        return cls(config, Model(config, embedding, layers), folder)

    def hidden_states(self, input_ids, attention_mask=None, token_type_ids=None, mems=None):
        config = self.config
        ids, mask, types, mems = checked_inputs(config, input_ids, attention_mask, token_type_ids, mems)
        batch, length = ids.shape
        states = np.zeros((config.num_layers + 1, batch, length, config.hidden_size), np.float32)
        if ids.size:
            rows, width = (batch, length)
            ids, mask, types = (np.pad(a, ((0, 0), (0, width - length))) for a in (ids, mask, types))
            for i, x in enumerate(self._model.states(ids, mask, types, mems)):
                states[i] = ops.convert_to_numpy(x)[:, :length]
        return states

    def next_mems(self, states, mems=None, *, mem_len=None):
        """Return the memory for the segment that follows, of shape `(layers, B, M, H)`: XLNet only.

        Args:
            states: what `hidden_states` returned for this segment.
            mems: the memory that was passed to it, if any.
            mem_len: how many tokens to remember; None = `mem_len` of the configuration.
        """
        mem_len = self.config.mem_len if mem_len is None else mem_len
        if type(mem_len) is not int or mem_len < 1:
            raise ValueError(f"mem_len should be 1 or more, or stand in the configuration, got {mem_len!r}.")
        seen = states[:-1] if mems is None else np.concatenate([mems, states[:-1]], axis=2)
        return seen[:, :, -mem_len:]


def checked_inputs(config, input_ids, attention_mask, token_type_ids, mems):
    """Return int32 arrays `(B, T)` and float32 mems or None."""
    ids = _whole_numbers("input_ids", input_ids, config.vocab_size)
    if ids.ndim != 2:
        raise ValueError(f"input_ids should have shape (batch, length), got {ids.shape}: wrap a single text in a list.")
    if config.model_type == "bert" and ids.shape[1] > config.max_position_embeddings:
        raise ValueError(
            f"input_ids have {ids.shape[1]} positions, the model's max_position_embeddings is "
            f"{config.max_position_embeddings}: cut the texts or encode them in windows."
        )
    mask = np.ones_like(ids) if attention_mask is None else _whole_numbers("attention_mask", attention_mask, 2)
    # XLNet only asks whether two segments are the same, so any number names one.
    kinds = 2**31 if config.model_type == "xlnet" else config.type_vocab_size
    types = np.zeros_like(ids) if token_type_ids is None else _whole_numbers("token_type_ids", token_type_ids, kinds)
    for name, array in (("attention_mask", mask), ("token_type_ids", types)):
        if array.shape != ids.shape:
            raise ValueError(f"{name} has shape {array.shape}, input_ids {ids.shape}: they should be alike.")
    if mems is None:
        return ids, mask, types, None
    mems = np.asarray(mems, np.float32)
    if config.model_type != "xlnet":
        raise ValueError(f"mems are for XLNet; this is a model of type {config.model_type}.")
    if mems.ndim != 4 or mems.shape != (config.num_layers, len(ids), mems.shape[2], config.hidden_size):
        raise ValueError(
            f"mems should have shape (layers, batch, memory, hidden) = ({config.num_layers}, {len(ids)}, any, "
            f"{config.hidden_size}), got {mems.shape}."
        )
    return ids, mask, types, mems


def _whole_numbers(name, values, end):
    """Return an int32 array of numbers from 0 to `end` - 1."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} should be rows of one length, (batch, length); pad them: {error}.") from error
    if array.dtype.kind not in "iub" and array.size:
        raise TypeError(f"{name} should be whole numbers, got an array of type {array.dtype}.")
    wrong = (array < 0) | (array >= end)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name} at {place} is {array[place]}, expected 0 to {end - 1}.")
    return array.astype(np.int32)
