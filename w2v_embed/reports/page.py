"""Pages with everything in them, the library that draws too: no network, no other file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..output import check_writable, write_atomically

if TYPE_CHECKING:
    from .._types import StrPath


def check_report(path: StrPath) -> Any:
    """Raise now what `write_page` to `path` would raise when the work is done; returns Altair."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the name of a report must end in .html; received {str(path)!r}")
    check_writable(path)
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise ImportError('the HTML report is drawn by Altair: pip install "w2v-embed[report]"') from error
    return altair


def write_page(path: StrPath, template: str | Path, parts: Mapping[str, str], data: object) -> None:
    """Fill a template and write it.

    Args:
        path: .html file to write.
        template: a file beside this one, or the path of another. What it calls `/*NAME*/` is taken from `parts`; STYLE, SCRIPT,
            DATA and LIBRARY are added.
        parts: markup for each name.
        data: for the page's script, as JSON.
    """
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # its stub asks for an argument
    here = files(__package__)
    whole = {
        **parts,
        "STYLE": here.joinpath("page.css").read_text(encoding="utf-8"),
        "SCRIPT": here.joinpath("page.js").read_text(encoding="utf-8"),
        # "<" would end the script, or open a comment, wherever a word holds it
        "DATA": json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "LIBRARY": bundle(),
    }
    source = template if isinstance(template, Path) else here.joinpath(template)
    page = source.read_text(encoding="utf-8")
    page = re.sub(r"/\*([A-Z]+)\*/", lambda place: whole[place[1]], page)
    write_atomically(path, lambda file: file.write(page.encode("utf-8", "replace")))
