"""Fuzzes what reads artifacts of `EmbeddingMatrix.save`; see `tests.fuzz.artifacts`."""

from tests.fuzz import engine

with engine.instrumented(
    "w2v_embed.store", "w2v_embed.contents", "w2v_embed.matrix.build", "w2v_embed.matrix.coverage", "w2v_embed.readers"
):
    from tests.fuzz.artifacts import check

if __name__ == "__main__":
    engine.run(check)
