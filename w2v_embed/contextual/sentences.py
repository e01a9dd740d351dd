"""What a folder of sentence-transformers says of how states become the vector of a text: `modules.json` and what it names."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..checks import one_of
from ..shown import quoted
from ..texts import parse_json
from .checkpoints import read_checkpoint
from .files import checked, read_json, read_text
from .pooling import SIMILARITIES, normalized

if TYPE_CHECKING:
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

MODULES: Final = "modules.json"
_STATIC: Final = "StaticEmbedding"
_LONGEST, _MOST = 1 << 16, 32  # bytes of modules.json, and modules in it
_POOLINGS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_COMPUTED: Final = ("cls", "max", "mean")
_ACTIVATIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "Tanh": np.tanh,
    "Identity": lambda x: x,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@dataclass(frozen=True)
class Dense:
    """A layer behind the pooling: `activation(x @ kernel + bias)`."""

    kernel: Vectors
    bias: Vectors | None
    activation: str

    def __call__(self, vectors: Vectors) -> Vectors:
        product = vectors @ self.kernel
        made: Vectors = _ACTIVATIONS[self.activation](product if self.bias is None else product + self.bias)
        return made.astype(np.float32, copy=False)

    @property
    def fingerprint(self) -> list[Any]:
        crc = zlib.crc32(np.ascontiguousarray(self.kernel).data)
        return ["dense", zlib.crc32(self.bias.data, crc) if self.bias is not None else crc, self.activation]


class Normalize:
    """Makes vectors one long."""

    fingerprint: Final = ["normalize"]

    def __call__(self, vectors: Vectors) -> Vectors:
        return normalized(vectors)


@dataclass(frozen=True)
class Sentences:
    """How a sentence encoder makes vectors of texts.

    Attributes:
        home: the folder of the model itself.
        poolings: whose results stand side by side.
        steps: what is done to a pooled vector, in this order.
        max_length: in tokens; None: as the model has it.
        lower: whether texts are lower-cased before the tokenizer sees them.
        prompts: by name, what can stand before a text.
        default_prompt: the name of the one that does unless another is asked for.
        similarity: the name of the function by which its vectors are compared; None: it says none.
        static: whether the model is a table, without a net.
    """

    home: Path
    poolings: tuple[str, ...]
    steps: list[Any] = field(default_factory=list)
    max_length: int | None = None
    lower: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    similarity: str | None = None
    static: bool = False

    @property
    def fingerprint(self) -> list[Any]:
        """Differs where vectors would."""
        return [self.poolings, [step.fingerprint for step in self.steps], self.lower]

    def finished(self, pooled: Vectors) -> Vectors:
        """The vectors of pooled ones."""
        for step in self.steps:
            pooled = step(pooled)
        return pooled

    def prompt_of(self, name: str | None) -> str:
        """What stands before texts."""
        name = self.default_prompt if name is None else name
        if name is not None and name not in self.prompts:
            raise ValueError(
                f"prompt_name must be one of {', '.join(sorted(self.prompts)) or 'none'}, received {quoted(name)}."
            )
        return "" if name is None else self.prompts[name]


def read_sentences(folder: Path) -> Sentences | None:
    """Read what a folder says of sentences; None: it has no modules.json.

    Raises:
        ValueError: if it names a module that is not computed here.
    """
    path = folder / MODULES
    if not path.is_file():
        return None
    modules = _modules(path)
    kinds = [each["type"].rpartition(".")[2] for each in modules]
    places = [_inside(folder, path, each.get("path", "")) for each in modules]
    if not {*kinds[:1]} & {"Transformer", _STATIC}:
        told = ", ".join(kinds) or "none"
        raise ValueError(f"{path}: the first module must be a Transformer or a {_STATIC}, received {quoted(told)}.")
    static = kinds[0] == _STATIC
    poolings, steps = ("mean",), []
    for number, (kind, place) in enumerate(zip(kinds[1:], places[1:]), 1):
        if kind == "Pooling" and number == 1 and not static:
            poolings = _poolings(place / "config.json")
        elif kind == "Dense" and (number > 1 or static):
            steps.append(_dense(place))
        elif kind == "Normalize" and (number > 1 or static):
            steps.append(Normalize())
        elif kind != "Dropout":  # which drops nothing but in training
            raise ValueError(
                f"{path}: module {number} is a {kind}, which is not computed here. Ask for layers= and pooling=."
            )
    return Sentences(places[0], poolings, steps, static=static, **_settings(folder, places[0]))


def _modules(path):
    """The list in a modules.json."""
    again = "Download the folder again, or delete this file: then encode takes layers= and pooling=."
    try:
        modules = parse_json(read_text(path, _LONGEST), str(path), "value", "key")
    except ValueError as error:
        raise ValueError(f"{error}. {again}") from error
    named = isinstance(modules, list) and all(isinstance(each, dict) for each in modules)
    if not named or not all(isinstance(each.get("type"), str) for each in modules):
        raise ValueError(f"{path}: expected a list of objects with a type, got {quoted(modules)}. {again}")
    if len(modules) > _MOST:
        raise ValueError(f"{path}: expected at most {_MOST} modules, got {len(modules):,}. {again}")
    return modules


def _inside(folder, path, name):
    """The folder of a module, which lies in that of the model, also where names are read as Windows does."""
    kinds = (PurePosixPath, PureWindowsPath)
    if (
        not isinstance(name, str)
        or "\0" in name
        or any(kind(name).anchor or ".." in kind(name).parts for kind in kinds)
    ):
        raise ValueError(
            f"{path}: expected the name of a folder in it, got {quoted(name)}. Where does this model come from?"
        )
    return folder / name


def _poolings(path):
    settings = read_json(path)
    modes = settings.get("pooling_mode", [mode for key, mode in _POOLINGS.items() if settings.get(key) is True])
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or any(mode not in _COMPUTED for mode in modes):
        raise ValueError(f"{path}: pooling must be one or several of {', '.join(_COMPUTED)}, received {quoted(modes)}.")
    return tuple(modes)


def _dense(place):
    settings = read_json(place / "config.json")
    activation = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS or settings.get("use_residual"):
        raise ValueError(
            f"{place / 'config.json'}: activation_function must be one of {', '.join(_ACTIVATIONS)} and no residual is added, "
            f"received {quoted(settings)}."
        )
    _, file, tensors = read_checkpoint(place)
    kernel = tensors.get("linear.weight")
    if kernel is None or len(kernel.shape) != 2:
        raise ValueError(f"{file} has no matrix 'linear.weight', which a Dense needs.")
    bias = tensors.get("linear.bias")
    if bias is not None and bias.shape != kernel.shape[:1]:
        raise ValueError(f"{file}: 'linear.bias' must have shape {kernel.shape[:1]}, received {bias.shape}.")
    arrays = [None if each is None else np.ascontiguousarray(each.load(), np.float32) for each in (kernel, bias)]
    return Dense(np.ascontiguousarray(arrays[0].T), arrays[1], activation)


def _settings(folder, home):
    told = _maybe(home / "sentence_bert_config.json")
    lengths = [told.get("max_seq_length"), _maybe(home / "tokenizer_config.json").get("model_max_length")]
    lengths = [int(each) for each in lengths if isinstance(each, int | float) and 0 < each < 1 << 24]
    config = _maybe(folder / "config_sentence_transformers.json")
    similarity = config.get("similarity_fn_name")
    if similarity is not None:
        one_of(f"similarity_fn_name ({folder / 'config_sentence_transformers.json'})", similarity, SIMILARITIES)
    prompts = checked(folder / "config_sentence_transformers.json", "prompts", config.get("prompts") or {}, dict)
    return {
        "max_length": min(lengths, default=None),
        "lower": told.get("do_lower_case") is True,
        "prompts": {name: text or "" for name, text in prompts.items()},
        "default_prompt": config.get("default_prompt_name"),
        "similarity": similarity,
    }


def _maybe(path):
    return read_json(path) if path.is_file() else {}


def prepared(texts: Iterable[Any], prompt: str, lower: bool) -> Iterable[Any]:
    """Texts, and pairs of texts, as the tokenizer gets them; only what changes is made anew."""
    if not prompt and not lower:
        return texts

    def one(text: Any) -> Any:
        if isinstance(text, tuple | list):
            return type(text)([one(part) if lower else part for part in text])
        return prompt + (text.lower() if lower else text) if isinstance(text, str) else text

    return [one(text) for text in texts] if hasattr(texts, "__len__") else map(one, texts)
