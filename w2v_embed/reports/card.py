"""What a repository says about the matrix in it: the metadata and the Markdown of a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .. import __version__
from ..matrix.coverage import checked_counts
from ..parts import FIRST_SOURCE
from ..shown import json_text, quoted, shown, shown_word, step_text

if TYPE_CHECKING:
    from .._types import Counts
    from ..matrix.embedding_matrix import EmbeddingMatrix

_MISSING = 20  # words that are named
_LANGUAGE = re.compile(r"[a-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
# Signs that could begin something in Markdown or HTML; a reference in their place never does.
_SIGNS = re.compile(r"[!\"#$&*+:<=>@\[\\\]^_`{|}~]")
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def card_of(
    em: EmbeddingMatrix,
    repo: str,
    *,
    license: str | Mapping[str, str] | None = None,
    language: str | Sequence[str] | None = None,
    counts: Counts | None = None,
) -> str:
    """The README.md of a repository, as `EmbeddingMatrix.push_to_hub` puts it there; see there for the arguments.

    Raises:
        TypeError, ValueError: a licence, a language or a count is none.
    """
    licences = _licences(em, license)
    parts = [_head(licences, language), f"# {_text(repo.partition('/')[2])}", _first(em, repo), _sizes(em)]
    if em.word_index:
        parts += [_coverage(em, counts), _sources(em, licences)]
    if em.steps:
        parts += ["## What was done to the rows\n", "\n".join(f"1. {_text(step_text(step))}" for step in em.steps)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _licences(em, license) -> dict[str, str]:
    """dict name of a source, or "" for all of them → its licence."""
    told = {"": license} if isinstance(license, str) else {} if license is None else license
    if not isinstance(told, Mapping):
        raise TypeError(f"license must be a text, or a dict source → licence; received {quoted(license)}")
    names = dict.fromkeys(name for name, _ in em.sources)
    for name, licence in told.items():
        if name and name not in names:
            raise ValueError(
                f"license must name sources of this matrix, {', '.join(map(quoted, names))}; received {quoted(name)}"
            )
        if not isinstance(licence, str) or not _LICENSE.fullmatch(licence):
            raise ValueError(
                "a licence must be as the Hub writes it, in small letters, as cc-by-sa-4.0, mit or other; received "
                f"{quoted(licence)}"
            )
    return dict(told)


def _head(licences, language):
    languages = [language] if isinstance(language, str) else list(language or ())
    for each in languages:
        if not isinstance(each, str) or not _LANGUAGE.fullmatch(each):
            raise ValueError(f"a language must be a code such as zh or en, received {quoted(each)}")
    facts = {"library_name": "w2v_embed", "tags": ["w2v_embed", "word-embeddings"]}
    if languages:
        facts["language"] = languages
    if licences:
        each = set(licences.values())
        facts["license"] = each.pop() if len(each) == 1 else "other"
    # JSON is YAML, too.
    return "\n".join(["---", *(f"{name}: {json_text(value)}" for name, value in facts.items()), "---"])


def _first(em, repo):
    rows, dim = em.shape
    return (
        f"Word vectors for a vocabulary: {rows:,} rows of {dim:,} numbers, made by w2v_embed {__version__}.\n\n"
        "```python\nfrom w2v_embed import EmbeddingMatrix\n\n"
        f"em = EmbeddingMatrix.from_pretrained(\"{repo}\")  # pip install 'w2v-embed[hub]'\n"
        "em.matrix, em.word_index, em.coverage\n```"
    )


def _sizes(em):
    rows, dim = em.shape
    padding = "none" if em.padding_row is None else f"{em.padding_row}, all zeros"
    return "## Sizes\n\n" + _table(
        ("", ""),
        [
            ("rows × numbers", f"{rows:,} × {dim:,}"),
            ("words", f"{len(em.word_index):,}"),
            ("numbers are", str(em.matrix.dtype)),
            ("the matrix takes", _bytes(em.matrix.nbytes)),
            ("padding row", padding),
        ],
    )


def _coverage(em, counts):
    coverage = em.coverage
    words = len(coverage.found) + len(coverage.missing)
    told = f"{len(coverage.found):,} of {words:,} words have a vector ({100 * coverage.rate:.1f} %)"
    if counts is not None:
        counts = checked_counts(counts, coverage.found + coverage.missing)
        tokens = sum(counts.amounts)
        told += f", which is {100 * coverage.weighted_rate(counts):.1f} % of the {_text(f'{tokens:,}')} tokens counted"
    lines = [f"## Coverage\n\n{told}.\n"]
    ways = coverage.by_fallback
    lines.append(_table(("found by", "words"), [(_text(how), f"{n:,}") for how, n in ways.items()]) if ways else "")
    if coverage.missing:
        top = coverage.top_missing(counts, _MISSING)
        which = "the first" if counts is None else "the most frequent"
        named = ", ".join(_text(shown_word(word)) for word, _ in top)
        lines.append(f"Without one: {len(coverage.missing):,}, {which}: {named}")
    return "\n\n".join(line.strip("\n") for line in lines if line)


def _sources(em, licences):
    by_name: dict[str, int] = {}
    for code, (name, _) in enumerate(em.sources, FIRST_SOURCE):
        by_name[name] = by_name.get(name, 0) + int((em.origins == code).sum())
    rows = [
        (_text(shown_word(name)), f"{count:,}", _text(licences.get(name) or licences.get("") or "not told"))
        for name, count in by_name.items()
    ]
    return "## Sources\n\n" + _table(("source", "rows", "licence"), rows)


def _table(heading, rows):
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bytes(count):
    """A size as people say it.

    >>> _bytes(12), _bytes(763_215_600)
    ('12 bytes', '763.2 MB')
    """
    return next((f"{count / unit:.1f} {name}" for unit, name in _UNITS if count >= unit), f"{count} bytes")


def _text(value):
    """A text that Markdown shows as it is: no word of a vocabulary makes a link, a table or a tag.

    >>> _text("a|b <i>*")
    'a&#124;b &#60;i&#62;&#42;'
    """
    return _SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", shown(value))
