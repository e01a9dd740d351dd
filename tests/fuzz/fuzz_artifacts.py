"""Fuzzes what reads artifacts of `EmbeddingMatrix.save`; see `tests.fuzz.artifacts`."""

from tests.fuzz import engine

_MODULES = ("store", "summed", "contents", "matrix.build", "matrix.coverage", "readers")

with engine.instrumented(*(f"w2v_embed.{name}" for name in _MODULES)):
    from tests.fuzz.artifacts import check

if __name__ == "__main__":
    engine.run(check)
