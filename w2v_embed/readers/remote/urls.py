"""URLs as people may see them."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"\?[^#]*")


def is_url(text: str) -> bool:
    """Whether a text is a URL: a scheme, and :// behind it.

    >>> is_url("https://host/vectors.txt"), is_url("C:\\\\vectors.txt"), is_url("a/b://c")
    (True, False, False)
    """
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(::[a-zA-Z][a-zA-Z0-9+.-]*)*://", text) is not None


def shown_url(url: str) -> str:
    """A URL without what must stay secret: user and password, and the query, in which signatures and tokens are.

    >>> shown_url("https://me:secret@host/v.zip?token=secret#v.txt")
    'https://host/v.zip?…#v.txt'
    """
    return _QUERY.sub("?…", _USER.sub("", url))
