"""Fuzzes the readers of vector files; see `tests.fuzz.harness`."""

from tests.fuzz import engine

with engine.instrumented("w2v_embed.readers"):
    from tests.fuzz.harness import check

if __name__ == "__main__":
    engine.run(check)
