"""What `w2v-embed encode` and `similar` share: a model, the options of its vectors, and the lines of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, get_args

from .._types import EncoderDtype, EncoderEngine, MergeName, PoolingName
from .arguments import Args, Parser, add_quiet, one_of, progress, whole

if TYPE_CHECKING:
    from ..contextual import ContextualEncoder

_POOLINGS = [name for name in get_args(PoolingName) if name != "idf"]  # which is fitted to texts first


def add_model(command: Parser) -> None:
    """Add the model, which stands first, and how it computes."""
    command.add_argument(
        "model", metavar="MODEL", help="folder of a trained model, or prefix of a TensorFlow checkpoint"
    )
    engines, dtypes = get_args(EncoderEngine), get_args(EncoderDtype)
    command.add_argument(
        "--engine", type=one_of(*engines), default="keras", help=f"who computes: {', '.join(engines)} (%(default)s)"
    )
    command.add_argument(
        "--compute-dtype", type=one_of(*dtypes), default="float32", help=f"in what: {', '.join(dtypes)} (%(default)s)"
    )


def add_options(command: Parser) -> None:
    """Add how vectors are made."""
    merges = get_args(MergeName)
    command.add_argument(
        "--layers",
        type=int,
        nargs="+",
        metavar="N",
        help="0 embeddings, 1 first, -1 last layer (modules.json, else -2)",
    )
    command.add_argument("--merge", type=one_of(*merges), help=f"of layers: {', '.join(merges)} (sum)")
    command.add_argument(
        "--pooling", type=one_of(*_POOLINGS), help=f"of tokens: {', '.join(_POOLINGS)} (modules.json, else mean)"
    )
    command.add_argument("--no-special-tokens", action="store_true", help="leave [CLS] and [SEP] out of the pooling")
    command.add_argument("--batch-size", type=whole(1), default=32, metavar="N", help="(%(default)s)")
    command.add_argument(
        "--max-length", type=whole(1), metavar="N", help="cut texts at so many tokens (what the model takes)"
    )
    command.add_argument(
        "--stride", type=whole(1), metavar="N", help="do not cut: windows that begin so many tokens apart"
    )
    add_quiet(command)


def options(args: Args) -> dict[str, Any]:
    """What `add_options` took, as arguments of `ContextualEncoder.encode`."""
    return {
        "layers": args.layers,
        "merge": args.merge,
        "pooling": args.pooling,
        "special_tokens": False if args.no_special_tokens else None,
        "batch_size": args.batch_size,
        "max_length": args.max_length,
        "stride": args.stride,
        "progress": progress(args),
    }


def load(args: Args) -> ContextualEncoder:
    """The encoder that `add_model` took."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster products of matrices where it is not the default
    from ..contextual import ContextualEncoder

    return ContextualEncoder.from_pretrained(args.model, engine=args.engine, compute_dtype=args.compute_dtype)


class Lines:
    """The lines of a text file, read as they are asked for: a corpus need not fit into memory. "-" is standard input."""

    def __init__(self, path: str) -> None:
        self._path = path
        if path == "-":
            if sys.stdin is None:
                raise ValueError("standard input is closed; pass a file")
        else:
            with open(path, "rb"):
                pass  # a missing file is told before the model is loaded

    def __iter__(self) -> Iterator[str]:
        with nullcontext(sys.stdin.buffer) if self._path == "-" else open(self._path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield line.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise ValueError(f"{self._path}, line {number}: expected UTF-8, got {error}") from error
