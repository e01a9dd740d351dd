"""How `make docs` builds the site: the pages beside this file, and the API out of the docstrings."""

import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import w2v_embed

project = "w2v_embed"
release = version = w2v_embed.__version__
author = "the w2v_embed authors"
project_copyright = author

sys.path.insert(0, str(Path(__file__).parent))
extensions = ["notebook_pages", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build", "notebooks/models"]

default_role = "code"  # docstrings write `code` as Markdown does
autodoc_typehints = "none"  # the signature has them, in the words of the types' names
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"  # light and dark
html_title = f"w2v_embed {release}"
html_show_sphinx = False
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_inherit_docstrings = False  # Keras' own, of `get_config` and its like, are Keras' to show
suppress_warnings = ["ref.python"]  # attributes of two classes may have one name


def setup(app):
    """Let a letter or a bar follow a closing backtick, which reStructuredText does not take for an end."""

    def ended(code):
        return code[0] + ("\\ " if re.match(r"[\w|]", code.string[code.end() :]) else "")

    def end_code(app, what, name, obj, options, lines):
        lines[:] = [re.sub(r"(?<!`)`[^`]+`(?!`)", ended, line) for line in lines]

    def made_accessible(app, page, template, context, doctree):
        """What Sphinx leaves out: keys must reach code and tables that are wider than the screen, and headings have levels."""
        for name in {"body", "furo_navigation_tree"} & context.keys():
            text = context[name].replace("<pre>", '<pre tabindex="0">')
            text = text.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
            context[name] = text.replace(
                'class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"'
            )

    app.connect("autodoc-process-docstring", end_code)
    app.connect("html-page-context", made_accessible, priority=900)  # behind the theme's own
