"""w2v_embed without its checks, to see what they cost: the format is given, and lines are only searched for their end."""

import os
import shlex
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def install(path):
    """Take the checks out of the readers in this process; `path` is word2vec text with a header."""
    library = HERE / ".work" / "unchecked.so"
    sources = HERE / "unchecked.c", HERE.parent / "w2v_embed/readers/scan/kernels.c"
    # Only once: the second call is timed.
    if not library.exists() or library.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        compiler = shlex.split(os.environ.get("CC", "cc"))
        flags = ["-O3", "-march=native", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off"]
        subprocess.run([*compiler, *flags, str(sources[0]), "-o", str(library)], check=True)
    os.environ["W2V_EMBED_KERNELS"] = str(library)  # before they are imported

    from w2v_embed.readers import opened
    from w2v_embed.readers.formats.text import Layout, Text
    from w2v_embed.readers.scan import kernels

    with open(path, "rb") as file:
        line = file.readline()
    words, dim = map(int, line.split())
    opened.detect = lambda *_: Text()
    Text.open = lambda *_: Layout(dim, (words, dim), len(line))
    opened.Opened._check_words = lambda *_: None
    kernels._c.scan_unchecked.argtypes = kernels._c.scan_text.argtypes
    kernels._c.scan_text = kernels._c.scan_unchecked
