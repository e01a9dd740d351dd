"""Files that are not on this disk, or not files: URLs, standard input, open files, members of archives.

`place_of` says what a user's path is. A local file stays a `Path`. Everything else is a `Place`, which opens as a `Stream`:
bytes from the beginning on, once; where a server or an object allows it, from any byte on. What a format cannot read in one
pass is fetched into a temporary file first (`Source.fetched`).
"""

from __future__ import annotations

from .places import Place, place_of
from .streams import Stream

__all__ = ["Place", "Stream", "place_of"]
