"""Fuzzes the hot loops alone; see `tests.fuzz.hot_loops`."""

from tests.fuzz import engine

with engine.instrumented("w2v_embed.readers.scan.plain", "w2v_embed.readers.formats.text"):
    from tests.fuzz.hot_loops import check

if __name__ == "__main__":
    engine.run(check)
