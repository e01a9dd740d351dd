"""Pictures of a training: its curves, and what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..output import write_atomically

if TYPE_CHECKING:
    from .._types import StrPath

_FONTS = ("Noto Sans CJK SC", "SimHei", "PingFang SC")  # that have Chinese
_MOST = 60  # labels that a picture can show


def pyplot_module() -> Any:
    """matplotlib's pyplot, drawing to files."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import font_manager, pyplot

    known = {font.name for font in font_manager.fontManager.ttflist}
    own = pyplot.rcParams["font.sans-serif"]
    pyplot.rcParams["font.sans-serif"] = [*(name for name in _FONTS if name in known and name not in own), *own]
    return pyplot


def write_pictures(folder: StrPath, metrics: Mapping[str, Any]) -> list[Path]:
    """Draw what `Trained.metrics` says.

    Args:
        folder: gets curves.png, and confusion.png unless texts have several labels; is made where it is not there.

    Returns:
        the files.
    """
    pyplot = pyplot_module()
    Path(folder).mkdir(parents=True, exist_ok=True)
    drawn = {"curves.png": _curves(pyplot, metrics["history"])}
    if metrics["confusion"] is not None:
        drawn["confusion.png"] = _confusion(pyplot, np.array(metrics["confusion"]), list(metrics["labels"]))
    paths = [Path(folder, name) for name in drawn]
    for path, figure in zip(paths, drawn.values()):
        write_atomically(path, partial(figure.savefig, format="png", dpi=120))
        pyplot.close(figure)
    return paths


def _curves(pyplot, history):
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("loss", "accuracy")):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            axis.plot(range(1, len(history[key]) + 1), history[key], label=label, marker=".")
        axis.set(xlabel="epoch", title=name)
        axis.legend()
    return figure


def _confusion(pyplot, table: Any, names: Sequence[str]) -> Any:
    """The table as colours, and as numbers where there is room for them."""
    size = 2 + 0.5 * min(len(names), _MOST)
    figure, axis = pyplot.subplots(figsize=(size, size), layout="constrained")
    axis.imshow(table, cmap="Blues")
    axis.set(xlabel="guessed", ylabel="true")
    if len(names) <= _MOST:
        plain = [name.replace("$", r"\$") for name in names]  # which begins a formula
        for (row, column), count in np.ndenumerate(table):
            axis.text(
                column, row, count, ha="center", va="center", color="white" if count > table.max() / 2 else "black"
            )
        axis.set_yticks(range(len(names)), plain)
        axis.set_xticks(range(len(names)), plain, rotation=60, ha="right")
    return figure
