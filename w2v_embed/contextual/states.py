"""A trained model in a folder, from ids to hidden states: what `ContextualEncoder` makes vectors of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, get_args

import numpy as np

from .._types import EncoderDtype, EncoderEngine
from ..checks import one_of, whole
from ..shown import logger, quoted
from .backend import limit_threads, ops, overlapped
from .batching import Batch, Pair, batches, checked_room, padded_shape, windows
from .checkpoint import Checkpoint
from .checkpoints import read_checkpoint
from .families import EncoderConfig
from .families.config import configured, read_settings
from .families.models import Model
from .families.weights import load_weights
from .inputs import checked_inputs, flattened
from .sentences import Sentences, read_sentences
from .tokenizers import Tokenizer, read_tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import AttentionType, EncoderOutputs, HeadName, HiddenAct, StrPath
    from .onnx_model import OnnxModel
    from .pooling import LayerMerge

    Vectors: TypeAlias = npt.NDArray[np.float32]

_Model = TypeVar("_Model", bound="PretrainedModel")


class PretrainedModel:
    """A trained model and its tokenizer.

    Attributes:
        config: an `EncoderConfig` with the sizes of the model.
        vector_size: the width of a hidden state.
        engine: who computes, "keras" or "onnx".
        compute_dtype: in what, "float32", "bfloat16" or "float16".
        steps: what was done to it since it was loaded, dicts of JSON values: see `add_tokens`, `transplant`, `trim_vocabulary`.
    """

    config: EncoderConfig
    vector_size: int
    engine: EncoderEngine
    compute_dtype: EncoderDtype
    steps: list[dict[str, Any]]

    def __init__(
        self,
        checkpoint: Checkpoint,
        folder: StrPath,
        *,
        do_lower_case: bool | None = None,
        tokenizer: Tokenizer | None = None,
        steps: Sequence[Mapping[str, Any]] = (),
        sentences: Sentences | None = None,
        engine: EncoderEngine = "keras",
        compute_dtype: EncoderDtype = "float32",
    ) -> None:
        config = self.config = checkpoint.config
        self._checkpoint = checkpoint
        self._family = checkpoint.family
        self.vector_size = config.hidden_size
        embedding, layers, self._checksum = load_weights(config, checkpoint.layout, checkpoint.file, checkpoint.tensors)
        self.engine, self.compute_dtype = engine, compute_dtype
        self._model: Model | OnnxModel
        if engine == "onnx":
            from .onnx_model import OnnxModel

            self._model = OnnxModel(self._family, config, embedding, layers)
        else:
            self._model = Model(self._family, config, embedding, layers, compute_dtype)
        self._folder = Path(folder)
        self._do_lower_case = do_lower_case
        self._sentences = sentences
        self.steps = [dict(step) for step in steps]
        if tokenizer is not None:
            self.__dict__["tokenizer"] = tokenizer

    def _with(
        self: _Model,
        checkpoint: Checkpoint,
        tokenizer: Tokenizer | None = None,
        step: Mapping[str, Any] | None = None,
    ) -> _Model:
        """An encoder like this one, with other tensors, maybe with another tokenizer."""
        steps = self.steps if step is None else [*self.steps, step]
        tokenizer = self.__dict__.get("tokenizer") if tokenizer is None else tokenizer
        options: dict[str, Any] = {"do_lower_case": self._do_lower_case, "tokenizer": tokenizer, "steps": steps}
        options |= {"engine": self.engine, "compute_dtype": self.compute_dtype, "sentences": self._sentences}
        return type(self)(checkpoint, self._folder, **options)

    @classmethod
    def from_pretrained(
        cls: type[_Model],
        folder: StrPath,
        *,
        attention_type: AttentionType | None = None,
        hidden_act: HiddenAct | None = None,
        max_relative_position: int | None = None,
        do_lower_case: bool | None = None,
        engine: EncoderEngine = "keras",
        compute_dtype: EncoderDtype = "float32",
    ) -> _Model:
        """Load a trained model; neither TensorFlow nor torch nor pickled code is needed to read it.

        Args:
            folder: of sentence-transformers, with `modules.json`; or with `config.json` and `model.safetensors` or
                `pytorch_model.bin` (also in several files), or with `bert_config.json` or `xlnet_config.json` and a
                TensorFlow checkpoint; or the prefix of a checkpoint, `folder/bert_model.ckpt`.
            attention_type: "bi" or "uni", for XLNet; None = what the configuration says, else "bi".
            hidden_act: "gelu" (exact), "gelu_new" or "gelu_pytorch_tanh" (approximated), "relu", "silu", "tanh"; None = what
                the configuration says, where "gelu" beside a TensorFlow checkpoint is the approximated one, as in its code.
            max_relative_position: the distance at which NEZHA's relative positions are clipped; None = what the
                configuration says, else 64.
            do_lower_case: whether texts are lower-cased; None = what tokenizer_config.json says, else True for BERT
                and NEZHA. Pass False for a cased model in Google's layout, which says it nowhere.
            engine: who computes vectors: "keras", on the backend that runs; or "onnx", ONNX Runtime, on processors and
                faster there. Numbers differ by less than 1e-5.
            compute_dtype: in what they are computed: "float32"; or "bfloat16" or "float16", which hold the weights in half
                the memory and are meant for GPUs, for fewer correct digits (two to four). Vectors are float32 in any case.

        Returns:
            a `ContextualEncoder`.

        Raises:
            FileNotFoundError: if the folder, the configuration, the weights or a part of them are missing.
            ValueError: if a file is damaged, if a tensor is missing, left over or of another shape than the configuration
                says, or if the configuration asks for what is not computed here; engine="onnx" with another dtype.
            ImportError: engine="onnx", and onnxruntime or onnx is not installed.

        >>> from w2v_embed.contextual import ContextualEncoder
        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> encoder.encode(["The bank of the river.", "He put money in a bank."]).shape
        (2, 32)
        """
        one_of("engine", engine, get_args(EncoderEngine))
        one_of("compute_dtype", compute_dtype, get_args(EncoderDtype))
        if engine == "onnx" and compute_dtype != "float32":
            raise ValueError(
                f'compute_dtype must be "float32" with engine="onnx", received {compute_dtype!r}; engine="keras" has it.'
            )
        limit_threads()
        path = Path(folder)
        if not path.is_dir() and not any(file.name.startswith(f"{path.name}.") for file in _files(path.parent)):
            raise FileNotFoundError(f"{path} is neither a folder nor the prefix of a TensorFlow checkpoint.")
        sentences = read_sentences(path) if path.is_dir() else None
        if sentences is not None and sentences.static:
            from .static import StaticEncoder

            return cast("_Model", StaticEncoder(path, sentences))
        path = path if sentences is None else sentences.home
        layout, file, tensors = read_checkpoint(path)
        home = path if path.is_dir() else path.parent
        settings = read_settings(home)
        config = configured(
            settings,
            layout,
            attention_type=attention_type,
            hidden_act=hidden_act,
            max_relative_position=max_relative_position,
        )
        checkpoint = Checkpoint(config, settings.values, layout, file, tensors)
        return cls(
            checkpoint,
            home,
            do_lower_case=do_lower_case,
            sentences=sentences,
            engine=engine,
            compute_dtype=compute_dtype,
        )

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
            for i, x in self._model.states(ids, mask, types, memory):
                states[i] = x[:, :length]
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

    def to_keras(
        self,
        *,
        trainable: bool = True,
        layers: int | Iterable[int] | None = None,
        dropout: float | None = None,
        head: HeadName | None = None,
        outputs: EncoderOutputs = "last",
        dtype: Any = None,
        seed: int = 0,
    ) -> Any:
        """Make a `keras.Model` of the encoder, to fine-tune it on whichever backend runs.

        Its inputs are the ids, the mask and the segments, int32 `(B, T)` each, called as in `hidden_states`; its layers are
        called "embeddings", "layer_1", …, "layer_N" and "head", and are frozen as Keras has it:
        `model.get_layer("layer_1").trainable = False`. It owns its weights: this encoder stays as it is.
        `keras.models.load_model` loads a saved one without the folder, in a process that has imported
        `w2v_embed.contextual.trainable`.

        Args:
            trainable: whether its weights train.
            layers: the numbers of the layers that train, 0 the embeddings, -1 the last; None = all.
            dropout: the share of states and of attention that is dropped while it trains; None = what the configuration
                says, else 0.1.
            head: "masked_lm": the output is the logit of each word of the vocabulary `(B, T, V)`, by the checkpoint's head,
                whose last matrix is the table of words. A checkpoint without a head gets one without a transformation.
            outputs: "last": the last states `(B, T, H)`; "all": a list of those of the embeddings and of each layer (and the
                logits behind them).
            dtype: a policy of Keras such as "mixed_bfloat16"; None = the global one.
            seed: of what is dropped.

        Returns:
            a `keras.Model`.

        >>> encoder = PretrainedModel.from_pretrained("tests/data/reference/bert_hf")
        >>> model = encoder.to_keras(layers=[-1, -2])
        >>> [layer.name for layer in model.layers if layer.trainable_weights]
        ['layer_2', 'layer_3']
        """
        from .keras_model import to_keras

        return to_keras(
            self._checkpoint,
            trainable=trainable,
            layers=layers,
            dropout=dropout,
            head=head,
            outputs=outputs,
            dtype=dtype,
            seed=seed,
        )

    def from_keras(self: _Model, model: Any) -> _Model:
        """Return an encoder like this one, with the weights of a model that was made by `to_keras` and trained.

        Args:
            model: what `to_keras` made, or a model that has its layers somewhere within.

        Raises:
            ValueError: if it has not all of them, or those of another encoder.

        >>> encoder = PretrainedModel.from_pretrained("tests/data/reference/bert_hf")
        >>> again = encoder.from_keras(encoder.to_keras())
        >>> bool((again.hidden_states([[2, 5, 3]]) == encoder.hidden_states([[2, 5, 3]])).all())
        True
        """
        from .keras_model import from_keras

        return self._with(from_keras(self._checkpoint, model))

    def save_pretrained(self, folder: StrPath, model: Any = None) -> None:
        """Write a folder that this package and Hugging Face's transformers load: configuration, weights, tokenizer.

        Everything that the encoder was loaded from goes along, heads too, in float32. The folder appears whole or not at all.

        Args:
            folder: a new one, an empty one, or one that was written before.
            model: what `to_keras` made, trained: its weights are written. None = the encoder's own.

        >>> import tempfile
        >>> encoder = PretrainedModel.from_pretrained("tests/data/reference/bert_google")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     encoder.save_pretrained(folder)
        ...     again = PretrainedModel.from_pretrained(folder)
        >>> again.config == encoder.config
        True
        """
        from .keras_model import from_keras
        from .saving import save_pretrained

        checkpoint = self._checkpoint if model is None else from_keras(self._checkpoint, model)
        try:
            tokenizer: Tokenizer | None = self.tokenizer
        except FileNotFoundError as error:
            logger.warning("%s is written without a tokenizer: %s", folder, error)
            tokenizer = None
        save_pretrained(checkpoint, tokenizer, folder)

    def _forward(
        self, ids: Sequence[list[int]], merge: LayerMerge, room: int | None, stride: int | None, batch_size: int
    ) -> Iterator[tuple[Batch, Vectors]]:
        """Return an iterator of each `Batch` of some texts with its merged states `(B, T, dim)`."""

        def states_of(batch):
            return batch, merge(dict(self._model.states(*batch[:3], wanted={*merge.indices})))

        if stride is not None and any(isinstance(row, Pair) for row in ids):
            raise ValueError(
                f"stride must be None for pairs of texts, which have no windows, received {quoted(stride)}."
            )
        ids = [row.cut(room) if isinstance(row, Pair) else row for row in ids]
        rows = [window for text, row in enumerate(ids) for window in windows(text, len(row), room, stride)]
        made = batches(ids, rows, self.tokenizer, batch_size, self._family.longest(self.config))
        return overlapped(states_of, made, self._model.weight)

    def _pieces(self, texts: Sequence[str | tuple[str, str]]) -> list[list[int]]:
        """The ids of texts, and of pairs of texts."""
        flat, tokenizer = flattened(texts), self.tokenizer
        pieces = iter(tokenizer.pieces(flat))
        return [next(pieces) if isinstance(t, str) else Pair(next(pieces), next(pieces), tokenizer) for t in texts]

    def _table(self) -> Vectors:
        """The rows of the input table."""
        if self.engine == "onnx" or self.compute_dtype != "float32":
            return self._checkpoint.words()  # sessions give nothing back, and 16 bits not all
        return ops.convert_to_numpy(self._model.weight)

    def _known(self, ids):
        return bool(ids) and self.tokenizer.unknown_id not in ids

    def _room(self, max_length: int | None, stride: int | None) -> int | None:
        """Return how many ids a text may have beside its special tokens, None if any."""
        special = len(self.tokenizer.head) + len(self.tokenizer.tail)
        longest = self._family.longest(self.config)
        usual = self.config.max_position_embeddings if longest is None else longest
        return checked_room(max_length, stride, special, usual, longest)


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
