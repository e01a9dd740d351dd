"""Formats that gensim reads for us: fastText's .bin and gensim's own files."""

import numpy as np


def load_foreign(path, kind, wanted, limit, trust):
    """`path`, which is of `kind` "fasttext" or "gensim" → KeyedVectors, as `load_vectors` gives them."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    if kind == "fasttext":
        try:
            kv = load_facebook_vectors(str(path))
        except Exception as error:  # gensim lets struct, EOF, unicode and NotImplemented errors through
            raise ValueError(
                f"{path} looks like a fastText .bin, but gensim cannot read it ({error}). Download it again."
            ) from error
    elif not trust:
        raise ValueError(
            f"{path} is a Python pickle, probably gensim's own format. Opening a pickle can run code that somebody put in it. "
            "If you made the file, or trust who did, pass trust=True; else ask for word2vec format (kv.save_word2vec_format)."
        )
    else:
        kv = KeyedVectors.load(str(path))
        kv = getattr(kv, "wv", kv)  # a whole model holds its vectors there
    if wanted is None and limit is None:
        return kv
    names = [word for word in kv.index_to_key if wanted is None or word in set(wanted)][:limit]
    some = KeyedVectors(vector_size=kv.vector_size, count=0, dtype=np.float32)
    some.add_vectors(names, [kv[word] for word in names])
    return some
