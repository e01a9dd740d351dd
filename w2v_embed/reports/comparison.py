"""Comparison → one HTML page: who is best, how sure that is, on which labels, and which words each lacks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from ..shown import shown, shown_word
from .page import check_report, write_page

if TYPE_CHECKING:
    from .._types import StrPath
    from ..comparison.result import Comparison

_GROUPS = ("first", "not told apart", "worse")
_LONGEST = 48  # characters of a name beside a picture
_ROW = 34  # pixels of a candidate
_MOST_LABELS = 60  # of the picture


def write_report(comparison: Comparison, path: StrPath, command: str | None = None, title: str | None = None) -> None:
    """See `Comparison.write_report`."""
    altair = check_report(path)
    names = _names(comparison)
    groups = [_group(comparison, result) for result in comparison.results]
    accuracies = [result.accuracies for result in comparison.results]
    charts = {
        "accuracy": _accuracy(altair, names, groups, accuracies),
        "keras": _accuracy(altair, names, groups, [result.keras for result in comparison.results]),
        "coverage": _coverage(altair, comparison, names, groups),
        "labels": _labels(altair, comparison, names),
    }
    head, *rows = comparison.cells()
    data = {
        "charts": {name: chart.to_dict() for name, chart in charts.items() if chart is not None},
        "head": head,
        "rows": rows,
        "missing": [
            [name, " · ".join(f"{shown_word(word)} ×{count:,}" for word, count in result.missing) or "none"]
            for name, result in zip(names, comparison.results)
        ],
    }
    first = comparison.winner
    tiles = [
        (f"{first.accuracy:.3f} ± {first.spread:.3f}", f"accuracy of {names[0]}"),
        (f"{first.tokens:.1%}", "of the running words have a vector there"),
        (f"{len(comparison.ties)} of {len(names) - 1}", "others are not told apart from it"),
        (f"{comparison.baseline:.3f}", "by guessing the most frequent label"),
    ]
    parts = {
        "TITLE": html.escape(shown(title or "Which word vectors?")),
        "SUBTITLE": html.escape(
            f"{len(names)} candidates on {comparison.texts:,} texts with {len(comparison.labels):,} labels: "
            f"{comparison.words:,} different words, {comparison.tokens:,} in all"
        ),
        "TILES": "".join(
            f'<div class="tile"><b>{value}</b><span>{html.escape(label)}</span></div>' for value, label in tiles
        ),
        "NOTES": "".join(f"<li>{html.escape(shown(note))}</li>" for note in comparison.notes()),
        "COMMAND": html.escape(shown(command or "", keep="\n")),
    }
    write_page(path, "comparison.html", parts, data)


def _names(comparison):
    """A name for each candidate that fits beside a picture, none twice: a picture takes equal ones for one."""
    names: list[str] = []
    for place, result in enumerate(comparison.results, 1):
        name = shown(result.candidate.name)
        name = name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 :]}"
        names.append(f"{name} ({place})" if name in names else name)
    return names


def _group(comparison, result):
    if result is comparison.winner:
        return "first"
    return "not told apart" if result in comparison.ties else "worse"


def _chart(altair, values, height):
    return altair.Chart(altair.Data(values=values)).properties(width="container", height=height)


def _colour(altair):
    return altair.Color(
        "group:N", title=None, scale=altair.Scale(domain=list(_GROUPS)), legend=altair.Legend(orient="bottom")
    )


def _accuracy(altair, names, groups, accuracies):
    """A dot for each split, a tick for the mean."""
    if not any(accuracies):
        return None
    values = [
        {
            "name": name,
            "group": group,
            "split": split,
            "accuracy": round(accuracy, 5),
            "mean": round(float(np.mean(each)), 5),
        }
        for name, group, each in zip(names, groups, accuracies)
        for split, accuracy in enumerate(each, 1)
    ]
    base = _chart(altair, values, _ROW * len(names)).encode(
        y=altair.Y("name:N", title=None, sort=names, axis=altair.Axis(labelLimit=320)),
        color=_colour(altair),
    )
    tooltip = ["name:N", "split:O", altair.Tooltip("accuracy:Q", format=".3f"), altair.Tooltip("mean:Q", format=".3f")]
    scale = altair.Scale(zero=False, nice=True)
    dots = base.mark_circle(size=45, opacity=0.55).encode(
        x=altair.X("accuracy:Q", title="accuracy", scale=scale), tooltip=tooltip
    )
    ticks = base.mark_tick(thickness=3, size=_ROW * 0.6).encode(
        x=altair.X("mean(accuracy):Q", scale=scale), tooltip=tooltip[:1]
    )
    return (dots + ticks).properties(width="container", height=_ROW * len(names))


def _coverage(altair, comparison, names, groups):
    """Does who has more words classify better?"""
    values = [
        {
            "name": name,
            "group": group,
            "tokens": result.tokens,
            "accuracy": result.accuracy,
            "columns": result.shape[1],
            "place": place,
        }
        for place, (name, group, result) in enumerate(zip(names, groups, comparison.results), 1)
    ]
    tooltip = [
        "name:N",
        altair.Tooltip("tokens:Q", format=".1%"),
        altair.Tooltip("accuracy:Q", format=".3f"),
        altair.Tooltip("columns:Q", format=","),
    ]
    x = altair.X(
        "tokens:Q",
        title="running words with a vector",
        axis=altair.Axis(format="%"),
        scale=altair.Scale(zero=False, padding=20),
    )
    base = _chart(altair, values, 300).encode(x=x, y=altair.Y("accuracy:Q", scale=altair.Scale(zero=False, padding=20)))
    dots = base.mark_circle(size=110, opacity=0.85).encode(color=_colour(altair), tooltip=tooltip)
    numbers = base.mark_text(dx=12, fontSize=12, align="left").encode(text="place:O")
    return (dots + numbers).properties(width="container", height=300)


def _labels(altair, comparison, names):
    """Which labels are hard, and for whom."""
    if len(comparison.labels) > _MOST_LABELS:
        return None
    values = [
        {"name": name, "label": shown_word(label), "right": round(right, 4)}
        for name, result in zip(names, comparison.results)
        for label, right in result.by_label.items()
    ]
    base = _chart(altair, values, _ROW * len(names)).encode(
        x=altair.X("label:N", title=None, axis=altair.Axis(labelAngle=-35, labelLimit=160)),
        y=altair.Y("name:N", title=None, sort=names, axis=altair.Axis(labelLimit=320)),
        tooltip=["name:N", "label:N", altair.Tooltip("right:Q", format=".1%")],
    )
    cells = base.mark_rect().encode(
        color=altair.Color("right:Q", title="right", legend=None, scale=altair.Scale(scheme="blues", domain=[0, 1]))
    )
    numbers = base.mark_text(fontSize=11).encode(
        text=altair.Text("right:Q", format=".2f"),
        color=altair.condition("datum.right > 0.6", altair.value("white"), altair.value("black")),
    )
    return (cells + numbers).properties(width="container", height=_ROW * len(names))
