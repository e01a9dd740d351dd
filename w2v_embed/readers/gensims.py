"""gensim, which not every Python can have: who needs it, and what goes without."""

from __future__ import annotations

from typing import Any


def gensim_models(what: str) -> Any:
    """`gensim.models`.

    Args:
        what: needs it, for the error.

    Raises:
        ImportError: gensim is not installed.
    """
    try:
        import gensim.models
    except ImportError as error:
        raise ImportError(
            f"{what} needs gensim, which cannot be imported ({error}). Install it: pip install gensim. build_matrix works "
            "without it, out of files of every format but gensim's own, as inspect and convert do.",
            name="gensim",
        ) from None
    return gensim.models
