"""Notebooks as pages of the site, as they lie there: nothing is run, and the site needs nothing more."""

import json
import re
from html import escape

from myst_parser.parsers.sphinx_ import MystParser

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def _fenced(text, kind):
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def _shown(output):
    """One output as MyST: a picture, HTML, Markdown or text, the richest that there is."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    text = {kind: "".join(value) for kind, value in data.items() if isinstance(value, (str, list))}
    if "image/png" in text:
        alt = escape(text.get("text/plain", "picture"))
        return _fenced(f'<img alt="{alt}" src="data:image/png;base64,{text["image/png"].strip()}">', "{raw} html")
    if "text/html" in text:
        return _fenced(f'<div class="output">{text["text/html"]}</div>', "{raw} html")
    return text["text/markdown"] if "text/markdown" in text else _fenced(_COLOURS.sub("", text["text/plain"]), "text")


def markdown_of(text):
    """A notebook, as JSON, as one text in Markdown."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts += [_fenced(source, "python"), *map(_shown, cell["outputs"])]
    return "\n\n".join(parts) + "\n"


class NotebookParser(MystParser):
    supported = ("notebook",)

    def parse(self, inputstring, document):
        super().parse(markdown_of(inputstring), document)


def setup(app):
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
