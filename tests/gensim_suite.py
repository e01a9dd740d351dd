"""gensim's own tests, with `load_vectors` as the loader behind `load_word2vec_format`: python -m tests.gensim_suite [MODULE …]

Some of them need testfixtures, train for minutes, and leave files in the folder. Where a call asks for what `load_vectors` does
not do (another dtype, words that are not UTF-8 and are mended), gensim reads; how many calls went which way is printed at the
end. Where both read, words, order and bits must agree.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from gensim.models import KeyedVectors, keyedvectors

from w2v_embed import load_vectors

MODULES = [
    "datatype",
    "doc2vec",
    "fasttext",
    "glove2word2vec",
    "keyedvectors",
    "poincare",
    "scripts",
    "similarities",
    "translation_matrix",
    "word2vec",
]
CALLS: Counter[str] = Counter()
THEIRS = keyedvectors._load_word2vec_format


def ours(
    cls,
    fname,
    fvocab=None,
    binary=False,
    encoding="utf8",
    unicode_errors="strict",
    limit=None,
    datatype=np.float32,
    no_header=False,
    **more,
):
    """As gensim's, by `load_vectors` where that can be."""
    expected = THEIRS(
        cls,
        fname,
        fvocab=fvocab,
        binary=binary,
        encoding=encoding,
        unicode_errors=unicode_errors,
        limit=limit,
        datatype=datatype,
        no_header=no_header,
        **more,
    )
    if cls is not KeyedVectors or unicode_errors != "strict" or datatype not in (np.float32, np.float64) or limit == 0:
        CALLS["gensim"] += 1
        return expected
    got = load_vectors(fname, encoding=encoding, limit=limit, format="binary" if binary else "text", on_error="skip")
    assert got.index_to_key == expected.index_to_key
    assert got.key_to_index == expected.key_to_index
    if datatype is np.float32:
        assert got.vectors.tobytes() == expected.vectors.tobytes()
    else:
        assert np.array_equal(got.vectors, expected.vectors.astype(np.float32))
        got.vectors = expected.vectors
    for name, values in expected.expandos.items():  # counts, out of `fvocab`
        got.expandos[name] = values
    CALLS["w2v_embed"] += 1
    return got


def main() -> int:
    keyedvectors._load_word2vec_format = ours
    suite = [str(files("gensim") / "test" / f"test_{name}.py") for name in sys.argv[1:] or MODULES]
    result = pytest.main(
        ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", "/", "-c", "/dev/null", *suite]
    )
    print(
        f"load_word2vec_format: {CALLS['w2v_embed']} calls by w2v_embed, equal to gensim's; {CALLS['gensim']} by gensim alone"
    )
    return int(result)


if __name__ == "__main__":
    sys.exit(main())
