"""`ContextualEncoder`: a trained BERT, NEZHA or XLNet that turns ids, texts and words into vectors."""

import hashlib
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from .backend import ops, overlapped
from .batching import batches, padded_shape, windows
from .checkpoints import read_checkpoint
from .families.config import read_config
from .families.models import Model
from .families.weights import load_weights
from .pooling import POOLINGS, LayerMerge, Pooler, cosine
from .source import EncoderSource
from .stream import NpyWriter
from .tokenizers import read_tokenizer

# Texts are tokenised, sorted by length and pooled this many batches at a time: memory stays flat over any corpus.
_BATCHES_AT_ONCE = 64


class ContextualEncoder:
    """A trained BERT, NEZHA or XLNet. Made by `ContextualEncoder.from_pretrained`; it computes, and does not train.

    Layers are numbered as in `hidden_states`: 0 is the output of the embeddings, 1 that of the first layer, -1 that of
    the last, -2 that of the last but one.

    Attributes:
        config: an `EncoderConfig` with the sizes of the model.
        vector_size: the width of a hidden state.
    """

    def __init__(self, config, model, folder, *, checksum, do_lower_case=None):
        self.config = config
        self.vector_size = config.hidden_size
        self._model = model
        self._folder = Path(folder)
        self._checksum = checksum
        self._do_lower_case = do_lower_case

    @classmethod
    def from_pretrained(
        cls, folder, *, attention_type=None, hidden_act=None, max_relative_position=None, do_lower_case=None
    ):
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

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> encoder.encode(["The bank of the river.", "He put money in a bank."]).shape
        (2, 32)
        """
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
        return cls(config, Model(config, embedding, layers), home, checksum=checksum, do_lower_case=do_lower_case)

    @cached_property
    def tokenizer(self):
        """The tokenizer of the model's folder, read when it is first needed."""
        return read_tokenizer(self._folder, self.config, do_lower_case=self._do_lower_case)

    def hidden_states(self, input_ids, attention_mask=None, token_type_ids=None, mems=None):
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
        config = self.config
        ids, mask, types, mems = _checked_inputs(config, input_ids, attention_mask, token_type_ids, mems)
        batch, length = ids.shape
        states = np.zeros((config.num_layers + 1, batch, length, config.hidden_size), np.float32)
        if ids.size:
            _, padded = padded_shape(batch, length, batch, self._bound)
            ids, mask, types = (np.pad(array, ((0, 0), (0, padded - length))) for array in (ids, mask, types))
            for i, x in enumerate(self._model.states(ids, mask, types, mems)):
                states[i] = ops.convert_to_numpy(x)[:, :length]
        return states

    def next_mems(self, states, mems=None, *, mem_len=None):
        """Return XLNet's memory for the segment that follows.

        Args:
            states: what `hidden_states` returned for this segment.
            mems: the memory that was passed to it, if any.
            mem_len: how many tokens to remember; None = `mem_len` of the configuration.

        Returns:
            float32 `(layers, B, M, H)`, M at most `mem_len`.
        """
        mem_len = self.config.mem_len if mem_len is None else mem_len
        _check_count("mem_len", mem_len)
        seen = states[:-1] if mems is None else np.concatenate([mems, states[:-1]], axis=2)
        return seen[:, :, -mem_len:]

    def encode(
        self,
        texts,
        *,
        layers=-2,
        merge="sum",
        pooling="mean",
        batch_size=32,
        max_length=None,
        progress=None,
        special_tokens=True,
        stride=None,
        idf=None,
        keras_bert_layers=None,
        output=None,
    ):
        """Turn texts into one vector each.

        Args:
            texts: an iterable of strings; it is read once, so it may be a file or a generator.
            layers: a layer or a list of layers.
            merge: how several layers become one: "sum", "mean", "concat" (as many times wider), "last" (of the list),
                "first_last" (the mean of the first and the last of the list), or a list of weights, one a layer, that
                were learned elsewhere.
            pooling: how the tokens of a text become one: "mean", "max", "mean_max" (both, side by side), "cls" (the
                class token), "idf" (the mean weighted by `idf`).
            batch_size: texts that are computed together, of like length.
            max_length: in tokens, special ones among them; None = max_position_embeddings, XLNet: no bound. Longer
                texts are cut and keep their special tokens.
            progress: True shows a bar; or a function of (texts done, texts or None).
            special_tokens: whether [CLS], [SEP] and their like count in the pooling.
            stride: do not cut longer texts but encode them in windows of `max_length` that begin `stride` tokens
                after each other. Each token counts once, from the window in which it is farther from an edge.
            idf: a weight for each id of the vocabulary, for pooling "idf"; `encoder.idf(texts)` makes it.
            keras_bert_layers: layers as keras-bert counts outputs, 1 = embeddings, in place of `layers`.
            output: path of an .npy file to which the vectors are written as they come. A run that was killed goes on
                where it was if it is called again with the same texts.

        Returns:
            float32 `(texts, dim)`, in the order of the texts; with `output`, the file as a memory map.

        Raises:
            FileNotFoundError: if the folder of the model has no vocabulary.
            ValueError, TypeError: if an argument is not one of the above.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> encoder.encode(["river bank", "money bank"], layers=[-1, -2], merge="concat").shape
        (2, 64)
        """
        texts = _iterable_of_texts(texts)
        merge = LayerMerge.checked(layers, merge, self.config.num_layers, keras_bert_layers)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling should be one of {', '.join(POOLINGS)}, got {pooling!r}.")
        idf = self._checked_idf(idf, pooling)
        room = self._room(max_length, stride)
        _check_count("batch_size", batch_size)
        width = self.vector_size * merge.parts

        def vectors_of(chunk):
            pooler = Pooler(len(chunk), width, pooling, self.tokenizer, special_tokens=special_tokens, idf=idf)
            for batch, x in self._forward(self.tokenizer.pieces(chunk), merge, room, stride, batch_size):
                pooler.add(batch, x)
            return pooler.vectors()

        dim = width * (2 if pooling == "mean_max" else 1)
        if output is None:
            report, parts = _reporter(progress, texts), [np.zeros((0, dim), np.float32)]
            for chunk in _chunks(iter(texts), batch_size):
                parts.append(vectors_of(chunk))
                report(len(chunk))
            return np.concatenate(parts)
        settings = {
            "model": self._checksum,
            "config": asdict(self.config),
            "tokenizer": self.tokenizer.fingerprint,
            "layers": merge.indices,
            "merge": merge.merge,
            "pooling": pooling,
            "special_tokens": special_tokens,
            "max_length": max_length,
            "stride": stride,
            "idf": None if idf is None else hashlib.blake2b(idf, digest_size=16).hexdigest(),
        }
        return self._stream(texts, vectors_of, NpyWriter(output, dim, settings), batch_size, progress)

    def _stream(self, texts, vectors_of, writer, batch_size, progress):
        remaining, report = iter(texts), _reporter(progress, texts)
        with writer:
            writer.skip(islice(remaining, writer.rows))
            report(writer.rows)
            for chunk in _chunks(remaining, batch_size):
                writer.write(chunk, vectors_of(chunk))
                report(len(chunk))
            return np.load(writer.finish(), mmap_mode="r")

    def encode_words(
        self,
        lists,
        *,
        layers=-2,
        merge="sum",
        batch_size=32,
        max_length=None,
        progress=None,
        stride=None,
        keras_bert_layers=None,
    ):
        """Turn texts that are already split into words, by spaces or a segmenter, into one vector a word.

        Each word is tokenised by itself and its pieces are averaged; special tokens belong to no word.

        Args:
            lists: an iterable of lists of words; each list is a text, in which its words have their meaning.
            stride: from the beginning of a window to that of the next, for a list of more than `max_length` tokens;
                None = half of a window. No word is cut off.
            layers, merge, batch_size, max_length, progress, keras_bert_layers: as in `encode`.

        Returns:
            a list of float32 arrays `(words, dim)`; a word without pieces has zeros.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> river, money = encoder.encode_words([["river", "bank"], ["put", "money", "in", "bank"]])
        >>> river.shape, money.shape
        ((2, 32), (4, 32))
        """
        if isinstance(lists, str):
            raise TypeError(f"lists should be an iterable of lists of words, got the string {lists!r}.")
        merge = LayerMerge.checked(layers, merge, self.config.num_layers, keras_bert_layers)
        room = self._room(max_length, stride)
        _check_count("batch_size", batch_size)
        stride = (room + 1) // 2 if stride is None and room is not None else stride
        report, result = _reporter(progress, lists), []
        for chunk in _chunks(iter(lists), batch_size):
            result += self._words_of([_list_of_words(words) for words in chunk], merge, room, stride, batch_size)
            report(len(chunk))
        return result

    def _words_of(self, chunk, merge, room, stride, batch_size):
        vocabulary = list(dict.fromkeys(word for words in chunk for word in words))
        pieces = dict(zip(vocabulary, self.tokenizer.pieces(vocabulary)))
        ids = [[id_ for word in words for id_ in pieces[word]] for words in chunk]
        # word_of[t][n] is the word of text t to which its nth id belongs
        counts = [[len(pieces[word]) for word in words] for words in chunk]
        word_of = [np.repeat(np.arange(len(count)), count) for count in counts]
        sums = [np.zeros((len(words), self.vector_size * merge.parts), np.float32) for words in chunk]
        for batch, x in self._forward(ids, merge, room, stride, batch_size):
            for row, (window, column) in enumerate(zip(batch.windows, batch.columns)):
                begin, kept = column - window.start, slice(window.keep_from, window.keep_to)
                vectors = x[row, begin + window.keep_from : begin + window.keep_to]
                np.add.at(sums[window.text], word_of[window.text][kept], vectors)
        return [total / np.maximum(count, 1).astype(np.float32)[:, None] for total, count in zip(sums, counts)]

    def vectors_for(self, words, *, layers=-2, merge="sum", batch_size=256, progress=None, keras_bert_layers=None):
        """Turn words into vectors, each alone between its special tokens: so an encoder is a source for `build_matrix`.

        Args:
            words: a sequence of strings.
            layers, merge, batch_size, progress, keras_bert_layers: as in `encode`.

        Returns:
            `(rows, found)`: float32 `(words, dim)`, the mean of the pieces, zeros where not found; bool `(words,)`,
            False where a word has no pieces or a piece is the unknown token.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> rows, found = encoder.vectors_for(["king", "zzz"])
        >>> rows.shape, found.tolist()
        ((2, 32), [True, False])
        """
        words = _list_of_words(words)
        merge = LayerMerge.checked(layers, merge, self.config.num_layers, keras_bert_layers)
        _check_count("batch_size", batch_size)
        room = self._room(None, None)
        pieces = self.tokenizer.pieces(words)
        found = np.array([self._known(ids) for ids in pieces], bool)
        rows = np.zeros((len(words), self.vector_size * merge.parts), np.float32)
        report = _reporter(progress, words)
        for places in _chunks(iter(np.flatnonzero(found)), batch_size):
            pooler = Pooler(len(places), rows.shape[1], "mean", self.tokenizer, special_tokens=False, idf=None)
            for batch, x in self._forward([pieces[place] for place in places], merge, room, room, batch_size):
                pooler.add(batch, x)
            rows[places] = pooler.vectors()
            report(len(places))
        return rows, found

    def table_vectors_for(self, words):
        """Like `vectors_for`, without the model: the mean of the pieces' rows of its input table."""
        words = _list_of_words(words)
        pieces = self.tokenizer.pieces(words)
        table = ops.convert_to_numpy(self._model.embedding["words"])
        found = np.array([self._known(ids) for ids in pieces], bool)
        rows = np.zeros((len(words), self.vector_size), np.float32)
        for place in np.flatnonzero(found):
            rows[place] = table[pieces[place]].mean(axis=0)
        return rows, found

    def as_source(self, *, mode="forward", pca=None, **options):
        """Return a source for `build_matrix` with choices: see `EncoderSource`, whose arguments these are.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> source = encoder.as_source(mode="table", pca=3)
        >>> source.vectors_for(["king", "queen", "bank", "river", "money"])[0].shape
        (5, 3)
        """
        return EncoderSource(self, mode, pca, options)

    def similarity(self, a, b, *, whitening=None, **options):
        """Return the cosine of two texts, or those of two lists of texts; a word is a short text.

        Args:
            a, b: a string or a list of strings.
            whitening: a function of vectors `(n, dim)`, made by `fit_whitening`. Without it all cosines of most models
                are high, and only their order has a meaning.
            options: of `encode` (layers, merge, pooling, …).

        Returns:
            a float for two strings, else float32 `(len(a), len(b))`; 0 where a vector is zero.

        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> round(encoder.similarity("the bank of the river", "the bank of the river"), 5)
        1.0
        """
        both = [[texts] if isinstance(texts, str) else list(texts) for texts in (a, b)]
        vectors = self.encode(both[0] + both[1], **options)
        if whitening is not None:
            vectors = whitening(vectors)
        cosines = cosine(vectors[: len(both[0])], vectors[len(both[0]) :])
        return float(cosines[0, 0]) if isinstance(a, str) and isinstance(b, str) else cosines

    def idf(self, texts):
        """Return a weight for each id, float32 `(vocab_size,)`: the rarer in the texts, the more. See `encode`.

        The weight is ln((1 + texts) / (1 + texts with the id)) + 1, so that no weight is zero.
        """
        count, holding = 0, np.zeros(self.config.vocab_size)
        special = {*self.tokenizer.head, *self.tokenizer.tail}
        for chunk in _chunks(iter(_iterable_of_texts(texts)), 32):
            for ids in self.tokenizer.pieces(chunk):
                holding[list({*ids, *special})] += 1
            count += len(chunk)
        return (np.log((1 + count) / (1 + holding)) + 1).astype(np.float32)

    def _forward(self, ids, merge, room, stride, batch_size):
        """Return an iterator of each `Batch` of some texts with its merged states `(B, T, dim)`."""

        def states_of(batch):
            states = self._model.states(*batch[:3], last=max(merge.indices))
            return batch, merge({i: ops.convert_to_numpy(x) for i, x in enumerate(states) if i in merge.indices})

        rows = [window for text, row in enumerate(ids) for window in windows(text, len(row), room, stride)]
        made = batches(ids, rows, self.tokenizer, batch_size, self._bound)
        return overlapped(states_of, made, self._model.embedding["words"])

    @property
    def _bound(self):
        """The longest row that the model can compute, None if any."""
        return self.config.max_position_embeddings if self.config.model_type == "bert" else None

    def _known(self, ids):
        return bool(ids) and self.tokenizer.unknown_id not in ids

    def _room(self, max_length, stride):
        """Return how many ids a text may have beside its special tokens, None if any."""
        special = len(self.tokenizer.head) + len(self.tokenizer.tail)
        if max_length is None:
            max_length = self.config.max_position_embeddings
        elif type(max_length) is not int or max_length <= special:
            raise ValueError(f"max_length should be more than the {special} special tokens, got {max_length!r}.")
        elif self._bound is not None and max_length > self._bound:
            raise ValueError(f"max_length is {max_length}, the model's max_position_embeddings is {self._bound}.")
        room = None if max_length is None else max_length - special
        if stride is not None and (type(stride) is not int or stride < 1 or room is None or stride > room):
            raise ValueError(
                f"stride should be from 1 to {room}, the tokens of a window, got {stride!r}."
                if room is not None
                else f"stride={stride!r} needs max_length: this model takes texts of any length at once."
            )
        return room

    def _checked_idf(self, idf, pooling):
        if (idf is None) != (pooling != "idf"):
            raise ValueError(f"pooling 'idf' and idf= go together, got pooling={pooling!r} and idf={idf!r}.")
        if idf is None:
            return None
        idf = np.asarray(idf, np.float32)
        if idf.shape != (self.config.vocab_size,) or not (np.isfinite(idf) & (idf >= 0)).all():
            raise ValueError(
                f"idf should hold {self.config.vocab_size} finite weights, one for each id and none negative, "
                f"got shape {idf.shape}: encoder.idf(texts) makes them."
            )
        return idf


def _files(folder):
    return folder.iterdir() if folder.is_dir() else ()


def _iterable_of_texts(texts):
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts should be an iterable of strings, got {texts!r}: wrap a single text in a list.")
    return texts


def _list_of_words(words):
    if isinstance(words, str | bytes):
        raise TypeError(f"expected a list of words, got the string {words!r}: split it first.")
    return list(words)


def _check_count(name, value):
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} should be a whole number, 1 or more, got {value!r}.")


def _chunks(items, batch_size):
    while chunk := list(islice(items, batch_size * _BATCHES_AT_ONCE)):
        yield chunk


def _reporter(progress, items):
    """Return a function that is told how many more items are done."""
    total = len(items) if hasattr(items, "__len__") else None
    if progress is None or progress is False:
        return lambda count: None
    if progress is True:
        from tqdm import tqdm

        return tqdm(total=total, unit=" texts").update
    if not callable(progress):
        raise TypeError(f"progress should be True, None or a function of (done, total), got {progress!r}.")
    done = 0

    def report(count):
        nonlocal done
        done += count
        progress(done, total)

    return report


def _checked_inputs(config, input_ids, attention_mask, token_type_ids, mems):
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
