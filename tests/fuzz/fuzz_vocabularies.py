"""Fuzzes what reads vocabularies from files; see `tests.fuzz.vocabularies`."""

from tests.fuzz import engine

with engine.instrumented("w2v_embed.vocabulary"):
    from tests.fuzz.vocabularies import check

if __name__ == "__main__":
    engine.run(check)
