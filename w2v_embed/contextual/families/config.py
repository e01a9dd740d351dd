"""What kind of encoder a folder holds, and its sizes: config.json, or what the file of a family is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...checks import one_of
from ...shown import quoted
from ..files import checked, read_json
from . import FAMILIES, UNNAMED
from .blocks import HIDDEN_ACTS

if TYPE_CHECKING:
    from ..._types import StrPath
    from .family import EncoderConfig, Family

_T = TypeVar("_T")

# Of all sizes. Those that a tensor has are checked against it as well; the others stay far from what overflows.
_LARGEST: Final = 1 << 24


def read_config(folder: StrPath, layout: str, *, hidden_act: str | None = None, **options: object) -> EncoderConfig:
    """Read the configuration in a folder; the keywords overrule what it says.

    Args:
        folder: the folder.
        layout: "google" or "huggingface", of the checkpoint: "gelu" means the approximation by tanh in Google's code.
        hidden_act, options: as `ContextualEncoder.from_pretrained` takes them; None = as the file says.

    Raises:
        FileNotFoundError: if there is no configuration.
        ValueError: if it is no JSON, lacks a size, or asks for what is not computed here.
    """
    return configured(read_settings(folder), layout, hidden_act=hidden_act, **options)


def read_settings(folder: StrPath) -> Settings:
    """Read the configuration in a folder, whatever it is called."""
    folder = Path(folder)
    names = dict.fromkeys(["config.json", *(family.config_file for family in FAMILIES.values())])
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        first, *others = names
        raise FileNotFoundError(f"{folder / first} is missing; {' or '.join(others)} would do too.")
    return Settings(path, read_json(path))


def configured(settings: Settings, layout: str, *, hidden_act: str | None = None, **options: object) -> EncoderConfig:
    """Make a configuration of settings; arguments and errors as of `read_config`."""
    path = settings.path
    family = _family(settings)
    for key, neutral in family.neutral.items():
        value = settings.get(key)
        if (type(value), value) not in [(type(allowed), allowed) for allowed in neutral]:
            told = " or ".join(map(repr, neutral))
            raise ValueError(f"{path}: {key} must be {told}, received {quoted(value)}: nothing else is computed here.")

    act = settings.get(family.act_key, "gelu") if hidden_act is None else hidden_act
    origin = f"{path}: {family.act_key}" if hidden_act is None else "the argument"
    one_of(f"hidden_act ({origin})", act, HIDDEN_ACTS)
    if layout == "google" and hidden_act is None and act == "gelu":
        act = "gelu_new"
    eps = settings.typed("layer_norm_eps", float, 1e-12)
    if not 0 < eps < 1:
        raise ValueError(f"{path}: layer_norm_eps must lie between 0 and 1, received {eps!r}.")
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in family.options:
            takers = " and ".join(other.title for other in FAMILIES.values() if name in other.options)
            raise ValueError(
                f"{name} must be None for {family.title}, as {path} says, received {quoted(value)}: it is for {takers}."
            )
    return family.configure(settings, given, model_type=family.name, hidden_act=act, layer_norm_eps=eps)


def _family(settings: Settings) -> Family:
    name = settings.get("model_type")
    if name is None:
        return next((family for family in FAMILIES.values() if family.recognises(settings)), UNNAMED)
    return FAMILIES[one_of(f"{settings.path}: model_type", name, FAMILIES)]


class Settings:
    """The keys and values of a configuration file, with errors that name the file and the key.

    Attributes:
        path: of the file.
        values: what it holds.
    """

    path: Path
    values: dict[str, Any]

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path, self.values = path, dict(values)

    def get(self, key: str, default: object = None) -> Any:
        """Return a value; a key that is null counts as absent."""
        value = self.values.get(key)
        return default if value is None else value

    def size(self, key: str, default: int | None = None, *, named: str | None = None, least: int = 1) -> int:
        """Return a size of the model, from `least` on.

        Args:
            default: where the file has none; None = it must have one.
            named: what the error calls it if it is missing.
        """
        value = self.typed(key, int, default)
        if value is None:
            raise ValueError(f"{self.path} has no {named or key}: add it, it is a size of the model.")
        if not least <= value <= _LARGEST:
            raise ValueError(f"{self.path}: {key} must be from {least} to {_LARGEST:,}, received {quoted(value)}.")
        return value

    def typed(self, key: str, kind: type[_T], default: _T | None) -> _T | Any:
        """Return a value that must be a `kind`."""
        value = self.get(key, default)
        return value if value is None else checked(self.path, key, value, kind)
