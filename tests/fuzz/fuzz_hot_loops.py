"""Fuzzes the hot loops alone; see `tests.fuzz.hot_loops`."""

from tests.fuzz import engine

with engine.instrumented("w2v_embed.readers.scan.plain", "w2v_embed.readers.formats.text"):
    from tests.fuzz.hot_loops import check

WARM = [bytes([switches]) + data for switches in range(64) for data in (b"a 1 2\nb 3 x\n", b"a \1\2\3\4\nb \5\6\7\x08")]

if __name__ == "__main__":
    engine.run(check, WARM)
