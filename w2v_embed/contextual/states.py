"""A trained model in a folder, from ids to hidden states: what `ContextualEncoder` makes vectors of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from ..checks import whole
from .backend import limit_threads, ops, overlapped
from .batching import Batch, batches, checked_room, padded_shape, windows
from .checkpoints import read_checkpoint
from .families import FAMILIES, EncoderConfig, Family
from .families.config import read_config
from .families.models import Model
from .families.weights import load_weights
from .inputs import checked_inputs
from .tokenizers import Tokenizer, read_tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import AttentionType, HiddenAct, StrPath
    from .pooling import LayerMerge

    Vectors: TypeAlias = npt.NDArray[np.float32]

_Model = TypeVar("_Model", bound="PretrainedModel")


class PretrainedModel:
    """A trained model and its tokenizer.

    Attributes:
        config: an `EncoderConfig` with the sizes of the model.
        vector_size: the width of a hidden state.
    """

    config: EncoderConfig
    vector_size: int

    def __init__(
        self,
        config: EncoderConfig,
        family: Family,
        model: Model,
        folder: StrPath,
        *,
        checksum: int,
        do_lower_case: bool | None = None,
    ) -> None:
        self.config = config
        self._family = family
        self.vector_size = config.hidden_size
        self._model = model
        self._folder = Path(folder)
        self._checksum = checksum
        self._do_lower_case = do_lower_case

    @classmethod
    def from_pretrained(
        cls: type[_Model],
        folder: StrPath,
        *,
        attention_type: AttentionType | None = None,
        hidden_act: HiddenAct | None = None,
        max_relative_position: int | None = None,
        do_lower_case: bool | None = None,
    ) -> _Model:
        """Load a trained model; neither TensorFlow nor torch nor pickled code is needed to read it.

        Args:
            folder: with `config.json` and `model.safetensors` or `pytorch_model.bin` (also in several files), or with
                `bert_config.json` or `xlnet_config.json` and a TensorFlow checkpoint; or the prefix of a checkpoint,
                `folder/bert_model.ckpt`.
            attention_type: "bi" or "uni", for XLNet; None = what the configuration says, else "bi".
            hidden_act: "gelu" (exact), "gelu_new" or "gelu_pytorch_tanh" (approximated), "relu"; None = what the
                configuration says, where "gelu" beside a TensorFlow checkpoint is the approximated one, as in its code.
            max_relative_position: the distance at which NEZHA's relative positions are clipped; None = what the
                configuration says, else 64.
            do_lower_case: whether texts are lower-cased; None = what tokenizer_config.json says, else True for BERT
                and NEZHA. Pass False for a cased model in Google's layout, which says it nowhere.

        Returns:
            a `ContextualEncoder`.

        Raises:
            FileNotFoundError: if the folder, the configuration, the weights or a part of them are missing.
            ValueError: if a file is damaged, if a tensor is missing, left over or of another shape than the
                configuration says, or if the configuration asks for what is not computed here.

        >>> from w2v_embed.contextual import ContextualEncoder
        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> encoder.encode(["The bank of the river.", "He put money in a bank."]).shape
        (2, 32)
        """
        limit_threads()
        path = Path(folder)
        if not path.is_dir() and not any(file.name.startswith(f"{path.name}.") for file in _files(path.parent)):
            raise FileNotFoundError(f"{path} is neither a folder nor the prefix of a TensorFlow checkpoint.")
        layout, file, tensors = read_checkpoint(path)
        home = path if path.is_dir() else path.parent
        config = read_config(
            home,
            layout,
            attention_type=attention_type,
            hidden_act=hidden_act,
            max_relative_position=max_relative_position,
        )
        embedding, layers, checksum = load_weights(config, layout, file, tensors)
        family = FAMILIES[config.model_type]
        model = Model(family, config, embedding, layers)
        return cls(config, family, model, home, checksum=checksum, do_lower_case=do_lower_case)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model's folder, read when it is first needed."""
        kind, size = self._family.tokenizer, self.config.vocab_size
        return read_tokenizer(kind, self._folder, size, do_lower_case=self._do_lower_case)

    def hidden_states(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
        mems: npt.ArrayLike | None = None,
    ) -> Vectors:
        """Compute the output of the embeddings and of each layer.

        Args:
            input_ids: `(B, T)` whole numbers.
            attention_mask: `(B, T)`, 0 or False at padding; None = no padding. Outputs at padding mean nothing.
            token_type_ids: `(B, T)` segments; None = zeros.
            mems: XLNet's memory `(layers, B, M, H)`, what each layer saw before this segment; see `next_mems`.

        Returns:
            float32 `(layers + 1, B, T, H)`.

        Raises:
            ValueError: if shapes differ, ids lie outside the tables, or the texts are longer than BERT's positions.
            TypeError: if ids are no whole numbers.
        """
        config, family = self.config, self._family
        ids, mask, types, memory = checked_inputs(family, config, input_ids, attention_mask, token_type_ids, mems)
        batch, length = ids.shape
        states = np.zeros((config.num_layers + 1, batch, length, config.hidden_size), np.float32)
        if ids.size:
            _, padded = padded_shape(batch, length, batch, family.longest(config))
            ids, mask, types = (np.pad(array, ((0, 0), (0, padded - length))) for array in (ids, mask, types))
            for i, x in enumerate(self._model.states(ids, mask, types, memory)):
                states[i] = ops.convert_to_numpy(x)[:, :length]
        return states

    def next_mems(self, states: Vectors, mems: Vectors | None = None, *, mem_len: int | None = None) -> Vectors:
        """Return XLNet's memory for the segment that follows.

        Args:
            states: what `hidden_states` returned for this segment.
            mems: the memory that was passed to it, if any.
            mem_len: how many tokens to remember; None = `mem_len` of the configuration.

        Returns:
            float32 `(layers, B, M, H)`, M at most `mem_len`.
        """
        mem_len = whole("mem_len", self.config.mem_len if mem_len is None else mem_len)
        seen = states[:-1] if mems is None else np.concatenate([mems, states[:-1]], axis=2)
        return seen[:, :, -mem_len:]

    def _forward(
        self, ids: Sequence[list[int]], merge: LayerMerge, room: int | None, stride: int | None, batch_size: int
    ) -> Iterator[tuple[Batch, Vectors]]:
        """Return an iterator of each `Batch` of some texts with its merged states `(B, T, dim)`."""

        def states_of(batch):
            states = self._model.states(*batch[:3], last=max(merge.indices))
            return batch, merge({i: ops.convert_to_numpy(x) for i, x in enumerate(states) if i in merge.indices})

        rows = [window for text, row in enumerate(ids) for window in windows(text, len(row), room, stride)]
        made = batches(ids, rows, self.tokenizer, batch_size, self._family.longest(self.config))
        return overlapped(states_of, made, self._model.embedding["words"])

    def _known(self, ids):
        return bool(ids) and self.tokenizer.unknown_id not in ids

    def _room(self, max_length: int | None, stride: int | None) -> int | None:
        """Return how many ids a text may have beside its special tokens, None if any."""
        special = len(self.tokenizer.head) + len(self.tokenizer.tail)
        usual, longest = self.config.max_position_embeddings, self._family.longest(self.config)
        return checked_room(max_length, stride, special, usual, longest)


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
