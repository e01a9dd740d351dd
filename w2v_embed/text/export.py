"""A `TextModel` for other runtimes: TensorFlow's SavedModel, ONNX, LiteRT."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np

from .._types import ExportName
from ..checks import one_of
from ..layers import PretrainedEmbedding
from ..layers.pretrained import pretrained_layers
from ..output import check_writable, write_atomically
from ..shown import plain_errors, quoted
from .graph import graph_of
from .saved import TextModel

if TYPE_CHECKING:
    from .._types import StrPath

_SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}


@plain_errors
def export_model(
    model: TextModel, path: StrPath, *, format: ExportName = "tf_saved_model", texts: bool = False
) -> None:
    """Write a model for a runtime that knows neither Keras nor this package.

    It takes ids, int32 `(n, length)`, as `model.encode(texts)` gives them, and gives what the model gives. A
    `PretrainedEmbedding` becomes a plain table, its rows as they are now. Beside it, `model.encoder.to_json()` is all that
    another language needs to make ids of texts: docs/text.md says how.

    Args:
        model: what `load_model` returned, or `train`.
        path: of "tf_saved_model" a folder that is not there yet; of "onnx" a name that ends in .onnx; of "litert" in .tflite.
        format: "tf_saved_model", with the signature `serve`; "onnx" (needs tf2onnx, with the torch backend onnx); or "litert".
        texts: whether a SavedModel has the signature `serve_texts`, too, which takes raw strings in UTF-8. The encoder's
            split must be "whitespace" or "characters".

    Raises:
        ValueError: Keras runs on another backend than the format needs, the encoder cannot be part of a graph, …
        OSError: nothing can be written there.
        ImportError: what converts is not installed.

    Example:
        >>> import keras
        >>> from w2v_embed.text import TextEncoder, TextModel, export_model
        >>> model = TextModel(keras.Sequential([keras.layers.Embedding(3, 2)]), TextEncoder({"cat": 1, "dog": 2}))
        >>> export_model(model, "model.txt", format="onnx")
        Traceback (most recent call last):
        ...
        ValueError: path must end in .onnx, received 'model.txt'
    """
    one_of("format", format, get_args(ExportName))
    if not isinstance(model, TextModel):
        raise TypeError(f"model must be a TextModel, as load_model returns it, received {quoted(model)}")
    suffix = _SUFFIXES.get(format)
    if suffix is not None and Path(path).suffix != suffix:
        raise ValueError(f"path must end in {suffix}, received {str(path)!r}")
    if texts and format != "tf_saved_model":
        raise ValueError(f'texts must be False but for format="tf_saved_model", received {texts!r} for {format!r}')
    backend = keras.backend.backend()
    if backend != "tensorflow" and (format != "onnx" or backend != "torch"):
        raise ValueError(
            f"the backend of Keras must be tensorflow to export {format!r}, received {backend!r}. The .keras file of the model "
            "loads under it: start anew with the environment variable KERAS_BACKEND=tensorflow."
        )
    if suffix is None:
        _write_saved_model(model, Path(path), texts)
        return
    check_writable(path)
    plain = _plain(model.model, unroll=format == "litert")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, f"model{suffix}")
        ids = keras.InputSpec("int32", (None, _width(model)), name="ids")
        plain.export(written, format=format, verbose=False, input_signature=[ids])
        with open(written, "rb") as source:
            write_atomically(path, lambda file: shutil.copyfileobj(source, file, 1 << 20))


def _write_saved_model(model: TextModel, path: Path, texts: bool) -> None:
    import tensorflow as tf

    if path.exists():
        raise FileExistsError(f"cannot write {path}: it is there already; expected the name of a new folder")
    check_writable(path)
    module, plain = tf.Module(), _plain(model.model)
    module.model = plain
    module.serve = tf.function(
        lambda ids: plain(ids, training=False), [tf.TensorSpec((None, _width(model)), tf.int32, "ids")]
    )
    signatures = {"serving_default": module.serve, "serve": module.serve}
    if texts:
        encode, module.table = graph_of(model.encoder)
        module.serve_texts = tf.function(
            lambda texts: plain(encode(texts), training=False), [tf.TensorSpec((None,), tf.string, "texts")]
        )
        signatures["serve_texts"] = module.serve_texts
    with tempfile.TemporaryDirectory(dir=path.resolve().parent, prefix=".export.") as folder:
        written = os.path.join(folder, "model")
        tf.saved_model.save(module, written, signatures)
        os.rename(written, path)


def _width(model):
    """Ids of a text, and n-grams where the encoder writes them; None: any number."""
    length = model.encoder.length
    return None if length is None else length + model.encoder.ngrams_per_text


def _plain(model: Any, unroll: bool = False) -> Any:
    """The model with Keras' own Embedding in place of ours, or itself where it has none.

    Args:
        unroll: whether LSTM and GRU become as many steps as a text has words: LiteRT has no loops that end where texts do.
    """
    ours = pretrained_layers(model)
    if not ours and not unroll:
        return model

    pairs = []

    def made_plain(layer):
        config = layer.get_config()
        if isinstance(layer, PretrainedEmbedding):
            names = ("input_dim", "output_dim", "mask_zero", "name", "dtype")
            twin = keras.layers.Embedding.from_config({name: config[name] for name in names})
        else:
            twin = layer.__class__.from_config(_unrolled(config) if unroll else config)
        if isinstance(layer, keras.Layer):  # masks are made by operations without weights
            pairs.append((layer, twin))
        return twin

    plain = keras.models.clone_model(model, clone_function=made_plain, recursive=True)
    for layer, twin in pairs:
        if isinstance(layer, PretrainedEmbedding):
            table = np.array(keras.ops.convert_to_numpy(layer.embeddings))
            table[[] if layer.padding_row is None else [0]] = 0
            twin.set_weights([table])
        else:
            twin.set_weights(layer.get_weights())
    return plain


def _unrolled(config):
    """A configuration in which what can be unrolled is, also inside of others."""
    if not isinstance(config, dict):
        return config
    return {name: True if name == "unroll" else _unrolled(value) for name, value in config.items()}
