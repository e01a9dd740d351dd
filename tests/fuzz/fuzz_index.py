"""Fuzzes the index beside a vector file; see `tests.fuzz.index`."""

from tests.fuzz import engine

_MODULES = ("readers.sidecar", "readers.excerpt", "readers.opened", "safetensors")

with engine.instrumented(*(f"w2v_embed.{name}" for name in _MODULES)):
    from tests.fuzz.index import check

if __name__ == "__main__":
    engine.run(check)
