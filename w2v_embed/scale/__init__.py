"""Past one process: encoders on many workers, and what runs them."""

from __future__ import annotations

from .._lazy import lazily

_HOMES = {
    "EncodeBatches": ".batches",
    "encode_shards": ".shards",
    "merge_counts": "..corpus",
    "ProcessPool": "..engines",
    "RayExecutor": "..engines",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
