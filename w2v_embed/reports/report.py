"""EmbeddingMatrix → one HTML page about its coverage, with everything in it: no network, no other file.

The pictures are Vega-Lite, written with Altair and drawn in the browser, so that they follow the reader's light or dark
mode, the width of the screen, and the pointer.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from ..matrix.coverage import Counted, checked_counts, ways_of
from ..shown import shown, shown_word, step_text
from .page import check_report, write_page

if TYPE_CHECKING:
    from .._types import Counts, StrPath
    from ..matrix.embedding_matrix import EmbeddingMatrix

_MOST_ROWS = 20_000  # of a table
_MOST_POINTS = 1_500  # of the projection
_MOST_GROUPS = 5  # fallbacks with a colour of their own
_APART = (
    0.2,
    0.1,
)  # how far words that are written out lie from each other, of a width of 2: nobody reads two at one place
_FAR_APART = (0.45, 0.14)  # and those that are written out on narrow screens, too
_BINS = 40
_FROM = 20  # words: a share of fewer is noise
_BLOCK = 4096
_FEWEST = 20  # rows of a histogram


def write_report(em: EmbeddingMatrix, path: StrPath, counts: Counts | None = None, title: str | None = None) -> None:
    """See `EmbeddingMatrix.write_report`."""
    altair = check_report(path)
    coverage = em.coverage
    if counts is not None:
        counts = checked_counts(counts, coverage.found + coverage.missing)
    groups = _groups(coverage)
    group_of = [groups[how] for how in ways_of(coverage, coverage.found)]  # of each word that was found
    charts = {
        "how": _how(altair, coverage, counts, groups, group_of),
        "rank": _rank(altair, coverage, counts),
        "norms": _norms(altair, em, groups, group_of),
        "projection": _projection(altair, em, counts, groups, group_of),
    }
    data = {
        "charts": {name: chart.to_dict() for name, chart in charts.items() if chart is not None},
        "missing": _missing(coverage, counts),
        "derived": _derived(coverage, counts),
        "cut": {
            "missing": max(len(coverage.missing) - _MOST_ROWS, 0),
            "derived": max(len(coverage.derived) - _MOST_ROWS, 0),
        },
        "counted": counts is not None,
        "groups": len(_domain(groups)),
    }
    parts = {
        "TITLE": html.escape(shown(title or "Coverage of the word vectors")),
        "SUBTITLE": html.escape(shown(_subtitle(em))),
        "TILES": _tiles(coverage, counts),
        "SUGGESTIONS": "".join(f"<li>{html.escape(sentence)}</li>" for sentence in coverage.suggested()),
    }
    write_page(path, "report.html", parts, data)


def _subtitle(em):
    rows, dim = em.shape
    sources = ", ".join(dict.fromkeys(name for name, _ in em.sources))
    steps = "".join(f"; {step_text(step)}" for step in em.steps)
    return f"{rows:,} rows × {dim} ({em.matrix.dtype}) from {sources or 'no source'}{steps}"


def _tiles(coverage, counts):
    words = len(coverage.found) + len(coverage.missing)
    tiles = [(f"{100 * coverage.rate:.1f} %", f"of {words:,} words have a vector")]
    if counts is not None:
        tiles.append((f"{100 * coverage.weighted_rate(counts):.1f} %", f"of {sum(counts.amounts):,} tokens"))
        if (share := _share_of_words(coverage, counts)) is not None:
            tiles.append((f"{100 * share:.1f} %", "of the tokens that are no punctuation or number"))
    tiles.append((f"{len(coverage.derived):,}", "words by a fallback"))
    tiles.append((f"{len(coverage.missing):,}", "words missing"))
    if coverage.unused:
        tiles.append((f"{coverage.unused:,}", "unused rows: ids that belong to no word"))
    return "".join(f'<div class="tile"><b>{value}</b><span>{label}</span></div>' for value, label in tiles)


def _share_of_words(coverage, counts):
    """The share of the tokens found among those with a letter in them; None where there are none, or no others."""
    lettered = np.array([any(map(str.isalpha, word)) for word in counts.words], bool)
    total = counts.numbers[lettered].sum()
    if not total or lettered.all():
        return None
    return float(counts.numbers[: len(coverage.found)][lettered[: len(coverage.found)]].sum() / total)


# ── tables ──


def _missing(coverage, counts):
    would = {}
    for name, words in coverage.suggestions.items():
        for word in words:
            would.setdefault(word, []).append(name)
    return [
        [shown_word(word), count, ", ".join(would.get(word, ()))]
        for word, count in coverage.top_missing(counts, _MOST_ROWS)
    ]


def _derived(coverage, counts):
    derived = coverage.derived
    places = [k for k, word in enumerate(coverage.found) if word in derived] if derived else []
    return [
        [shown_word(word), count, shown(derived[word].fallback), shown(" + ".join(derived[word].words))]
        for _, word, count in _first(coverage, places, counts, _MOST_ROWS)
    ]


def _first(coverage, places, counts, most):
    """The most frequent `most` of the found words at `places`: (place, word, count); without counts the first, each 1."""
    if counts is None:
        return [(k, coverage.found[k], 1) for k in places[:most]]
    return [(k, counts.words[k], counts.amounts[k]) for k in counts.order(places, most).tolist()]


# ── pictures ──


def _groups(coverage):
    """dict "exact" or fallback → name in the pictures: the rare ones share one."""
    ordered = sorted(coverage.by_fallback.items(), key=lambda item: (item[0] != "exact", -item[1]))
    return {how: how if place < _MOST_GROUPS else "other fallback" for place, (how, _) in enumerate(ordered)}


def _colour(altair, groups, shown):
    """The same colour for the same thing in each picture; which one, the page says: it differs in light and dark."""
    names = [how for how in _domain(groups) if how in shown]
    legend = altair.Legend(orient="bottom", columns=3, values=names) if len(names) > 1 else None
    return altair.Color("how:N", title=None, scale=altair.Scale(domain=_domain(groups)), legend=legend)


def _domain(groups):
    return [*dict.fromkeys(groups.values()), "missing"]


def _chart(altair, values, height):
    return altair.Chart(altair.Data(values=values)).properties(width="container", height=height)


def _how(altair, coverage, counts, groups, group_of):
    """How the words, and the tokens, were found: one bar each."""
    weights = {"words": Counted(coverage.found + coverage.missing, [1] * (len(coverage.found) + len(coverage.missing)))}
    if counts is not None and sum(counts.amounts):
        weights["tokens"] = counts
    values = []
    for unit, of in weights.items():
        tally = dict.fromkeys(_domain(groups), 0)
        for group, count in zip(group_of, of.amounts):
            tally[group] += count
        tally["missing"] = sum(of.amounts[len(group_of) :])
        total = sum(tally.values()) or 1
        for place, (how, count) in enumerate(tally.items()):
            values.append({"unit": unit, "how": how, "count": count, "share": count / total, "place": place})
    share = altair.X(
        "share:Q", title=None, axis=altair.Axis(format="%", tickCount=5), scale=altair.Scale(domain=[0, 1])
    )
    return (
        _chart(altair, values, 45 * len(weights))
        .mark_bar()
        .encode(
            x=share,
            y=altair.Y("unit:N", title=None, sort=None),
            color=_colour(altair, groups, _domain(groups)),
            order="place:Q",
            tooltip=["how:N", altair.Tooltip("count:Q", format=","), altair.Tooltip("share:Q", format=".2%")],
        )
    )


def _rank(altair, coverage, counts):
    """Coverage of the n most frequent words, over n."""
    curve = [point for point in coverage.by_rank(counts) if point[0] >= _FROM]
    if not curve or curve[-1][0] < 3 * _FROM:
        return None
    values = [{"rank": rank, "share": share, "of": "words"} for rank, share, _ in curve]
    if counts is not None:
        values += [{"rank": rank, "share": share, "of": "tokens"} for rank, _, share in curve]
    ticks = [each * 10**k for k in range(1, 9) for each in (1, 2, 5) if _FROM <= each * 10**k <= curve[-1][0]]
    rank = altair.X(
        "rank:Q",
        title="most frequent words (log scale)" if counts is not None else "words by id (log scale)",
        scale=altair.Scale(type="log", nice=False),
        axis=altair.Axis(format="~s", values=ticks, labelOverlap="greedy"),
    )
    return (
        _chart(altair, values, 260)
        .mark_line(strokeWidth=2)
        .encode(
            x=rank,
            y=altair.Y("share:Q", title="found", axis=altair.Axis(format="%"), scale=altair.Scale(zero=False)),
            color=altair.Color(
                "of:N", title=None, sort=None, legend=altair.Legend(orient="bottom", symbolType="stroke")
            ),
            tooltip=[altair.Tooltip("rank:Q", format=","), altair.Tooltip("share:Q", format=".2%"), "of:N"],
        )
    )


def _norms(altair, em, groups, group_of):
    """How long the rows are: a fallback's rows should not stand out."""
    lengths = _lengths(em.matrix)
    rows = np.fromiter(map(em.word_index.__getitem__, em.coverage.found), np.int64, len(group_of))
    number = {group: k for k, group in enumerate(dict.fromkeys(group_of))}
    numbers = np.fromiter(map(number.__getitem__, group_of), np.int64, len(group_of))
    norms = {group: lengths[rows[numbers == k]] for group, k in number.items()}
    # a few rows are no distribution
    norms = {how: of_group for how, of_group in norms.items() if len(of_group) >= _FEWEST}
    if not norms:
        return None
    longest = max(float(of_group.max()) for of_group in norms.values()) or 1.0
    values = []
    for how, of_group in norms.items():
        bins = int(min(_BINS, max(10, 2 * len(of_group) ** 0.5)))  # fewer rows, wider bins
        counted, edges = np.histogram(of_group, bins, (0, longest))
        values += [
            {"how": how, "norm": round(float(edge), 4), "share": round(float(count / len(of_group)), 5)}
            for edge, count in zip((edges[:-1] + edges[1:]) / 2, counted)
        ]
    return (
        _chart(altair, values, 220)
        .mark_area(line=True, fillOpacity=0.12, interpolate="monotone")
        .encode(
            x=altair.X("norm:Q", title="length of the row"),
            y=altair.Y("share:Q", title="share of its rows", axis=altair.Axis(format="%", tickCount=4), stack=None),
            color=_colour(altair, groups, norms),
            tooltip=["how:N", altair.Tooltip("norm:Q", format=".2f"), altair.Tooltip("share:Q", format=".1%")],
        )
    )


def _lengths(matrix):
    """The length of each row, some thousands at a time: a copy of all would take as much memory again."""
    lengths = np.empty(len(matrix), np.float32)
    for begin in range(0, len(matrix), _BLOCK):
        rows = matrix[begin : begin + _BLOCK].astype(np.float32)
        lengths[begin : begin + _BLOCK] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths


def _projection(altair, em, counts, groups, group_of):
    """The top words on the two first principal components."""
    words = _first(em.coverage, range(len(group_of)), counts, _MOST_POINTS)
    if len(words) < 3 or em.shape[1] < 2:
        return None
    rows = em.matrix[[em.word_index[word] for _, word, _ in words]].astype(np.float64)
    rows -= rows.mean(axis=0)
    # From the small covariance matrix: an SVD of the rows would take as long as all the rest of the report.
    _, axes = np.linalg.eigh(rows.T @ rows)
    points = rows @ axes[:, [-1, -2]]
    points /= np.abs(points).max() or 1.0
    values = [
        {"x": x, "y": y, "word": shown_word(word), "count": count, "how": group_of[place]}
        for (place, word, count), (x, y) in zip(words, points.round(3).tolist())
    ]
    for apart, room in ((_FAR_APART, "narrow"), (_APART, "wide")):
        _write_out(values, apart, room)
    place = {how: k for k, how in enumerate(_domain(groups))}
    values.sort(key=lambda value: place[value["how"]])  # what is rare is drawn last, on top
    bare = altair.Axis(labels=False, ticks=False, grid=False, domain=False)
    base = _chart(altair, values, 420).encode(
        x=altair.X("x:Q", title=None, axis=bare), y=altair.Y("y:Q", title=None, axis=bare)
    )
    plain = "datum.how == 'exact'"  # the others are few
    dots = base.mark_circle().encode(
        size=altair.condition(plain, altair.value(28), altair.value(60)),
        opacity=altair.condition(plain, altair.value(0.55), altair.value(0.95)),
        color=_colour(altair, groups, {value["how"] for value in values}),
        tooltip=["word:N", altair.Tooltip("count:Q", format=","), "how:N"],
    )
    written = base.transform_filter("isValid(datum.room) && (datum.room == 'narrow' || width > 600)")
    halo = written.mark_text(dy=-9, fontSize=13, style="halo").encode(text="word:N")
    labels = written.mark_text(dy=-9, fontSize=13).encode(text="word:N")
    return (dots + halo + labels).properties(width="container", height=420)


def _write_out(values, apart, room):
    """Have the most frequent words written out, as far as they keep apart from those that are."""
    taken = [(value["x"], value["y"]) for value in values if "room" in value]
    for value in values:
        x, y = value["x"], value["y"]
        if all(abs(x - other) >= apart[0] or abs(y - above) >= apart[1] for other, above in taken):
            taken.append((x, y))
            value["room"] = room
