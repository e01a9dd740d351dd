"""`encode_shards`: texts → vectors in many files, by many workers, whoever dies.

A shard holds the vectors of so many lines that follow one another, and says of which, and by what. It is written whole or not
at all, and its bytes depend on its lines and the settings alone: so any worker may write it, again, too, and a run takes up
what others have left. One process reads the lines and hands them out; it loads no model.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from .. import __version__
from .._types import ShardFormat, StoredDtype
from ..checks import one_of, whole
from ..engines import checked_executor, run_all
from ..progress import text_reporter
from ..readers.lines import lines_of, listed
from ..shown import plain_errors
from ..texts import checked_encoding
from .files import arrow, write_shard
from .folder import ShardFolder, other_backend
from .models import checked_model, digest_of, loaded, parted
from .rounding import rounded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._types import AnyFile, EncodeOptions, Executor, StrPath, TextProgress


class _Job(NamedTuple):
    """What a worker needs for a shard."""

    path: str
    texts: list[str]
    model: str
    settings: dict[str, Any]
    facts: dict[str, str]
    backend: str | None


@plain_errors
def encode_shards(
    model: StrPath,
    paths: AnyFile | Iterable[AnyFile],
    out: StrPath,
    rows: int = 8192,
    *,
    executor: Executor | None = None,
    dtype: StoredDtype = "float32",
    format: ShardFormat = "safetensors",
    encoding: str = "utf-8",
    progress: TextProgress = None,
    **options: Unpack[EncodeOptions],
) -> dict[str, Any]:
    """Write the vectors of the lines of texts to files of `rows` rows each: `part-000000.safetensors`, and so on.

    Row i of all shards is line i of all texts, an empty one, too. A run that was stopped, or killed, goes on where it was if it
    is called again. Shards are the same byte for byte, however many workers write them and whoever dies.

    Args:
        model: path of a model as for `ContextualEncoder.from_pretrained`. Each worker finds it, and `out`, at the same place.
        paths: as for `count_words`, one text a line; only this process reads them.
        out: folder of the shards, made if there is none.
        rows: of a shard.
        executor: what has `submit(function, *arguments)`, as for `count_words`; None: this process. A worker loads the model
            once.
        dtype: "float32" or "float16", of the rows.
        format: "safetensors" (the tensor "vectors") or "parquet" (a column "vector"; needs pyarrow).
        encoding: of the texts.
        progress: True shows a bar; or a callable (done, None) of texts.
        options: of `ContextualEncoder.encode` (layers, merge, pooling, batch_size, max_length, special_tokens, stride) and
            `from_pretrained` (attention_type, hidden_act, max_relative_position, do_lower_case).

    Returns:
        What `manifest.json` in `out` says: "settings", "rows", "dim", and for each of "shards" its "file", "rows", "first"
        row, the hash of its "input" and the "crc32" of its values.

    Raises:
        FileNotFoundError, ValueError, TypeError: a file or an argument is not there or none of these; the folder holds shards
            of other settings, or another run writes to it; workers have different models or backends.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     made = encode_shards("tests/data/reference/bert_hf", "data/README.md", out, rows=16)
        ...     made["dim"], made["shards"][0]["file"], sorted(os.listdir(out))[:2]
        (32, 'part-000000.safetensors', ['.lock', 'manifest.json'])
    """
    rows = whole("rows", rows)
    one_of("dtype", dtype, get_args(StoredDtype))
    if one_of("format", format, get_args(ShardFormat)) == "parquet":
        arrow()
    checked_encoding(encoding)
    checked_executor(executor)
    home, (loading, encoding_options) = checked_model(model), parted(options)
    settings = {"version": __version__, "model": digest_of(home), "rows": rows, "dtype": dtype, "format": format}
    settings |= {"options": {**loading, **encoding_options}}
    each, report = listed(paths), text_reporter(progress, None)
    with ShardFolder(out, settings) as folder:
        texts = (line for path in each for line in lines_of(path, encoding))
        numbers = deque[int]()

        def work() -> Iterator[tuple[_Job]]:
            number = 0
            while shard := list(islice(texts, rows)):
                facts = {"input": _digest_of(shard), "settings": folder.digest}
                if folder.has(number, facts):
                    report(len(shard))
                else:
                    numbers.append(number)
                    yield (_Job(str(folder.file(number)), shard, home, settings, facts, folder.backend),)
                number += 1

        for facts in run_all(executor, _encode_shard, work()):
            folder.note(numbers.popleft(), facts)
            report(int(facts["rows"]))
        return folder.finish()


def _encode_shard(job: _Job) -> dict[str, str]:
    """Encode the texts of a shard and write it; what a worker does. Returns its facts."""
    loading, encoding_options = parted(job.settings["options"])
    digest, encoder = loaded(job.model, loading)
    if digest != job.settings["model"]:
        raise ValueError(
            f"{job.model} holds another model where a worker looks for it: give all workers the same files"
        )
    from keras import backend

    if job.backend not in (None, backend.backend()):
        raise other_backend(job.path, job.backend, backend.backend())
    vectors = rounded(encoder.encode(job.texts, **encoding_options), job.settings["dtype"], job.texts)
    return write_shard(Path(job.path), vectors, {**job.facts, "backend": backend.backend()})


def _digest_of(texts):
    """A hash of some texts, which tells also where one ends."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.hexdigest()
