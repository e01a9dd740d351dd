"""What benchmarks found: Markdown as it comes, a line of history a table, and a page of the newest ones.

    python benchmarks/page.py                       # draws build/benchmarks.html anew
    python benchmarks/page.py --compare HEAD~1 HEAD # what changed between two commits; "HEAD+": with changes nobody committed

benchmarks/history.jsonl has a line for each table of each run: its figures, the commit, the machine, and the versions of the
peers. It is no part of the repository, for figures of two machines do not compare.
"""

from __future__ import annotations

import argparse
import datetime
import html
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent
HISTORY = HERE / "history.jsonl"
PAGE = ROOT / "build" / "benchmarks.html"
GROUPS = ("w2v_embed", "others")
ROW = 26  # pixels of a row of a picture
COLOURS = 6  # that can be told apart


class Column(NamedTuple):
    """A column of figures: its name, how they are printed, and whether less of it is better (None: neither is)."""

    name: str
    spec: str = ".2f"
    less: bool | None = True


class Table:
    """A table that grows: `add` prints a row, and the end of the block puts all of them into the history and onto the page.

    Args:
        title: what is measured.
        setting: what two runs must share to be compared, as sizes of files.
        columns: of figures, behind that of the names.
        draw: the names of those that get a picture.
        versions: of the peers and of what else matters, by name.
        history: the file, if not `HISTORY`; `page` likewise.
    """

    def __init__(
        self,
        title: str,
        setting: str,
        columns: Iterable[Column],
        draw: Iterable[str],
        versions: Mapping[str, str],
        history: Path | None = None,
        page: Path | None = None,
    ) -> None:
        self.columns, self.history, self.page = [*columns], history or HISTORY, page or PAGE
        missing = {*draw} - {column.name for column in self.columns}
        if missing:
            raise ValueError(f"no such columns to draw: {sorted(missing)}; there are {[c.name for c in self.columns]}")
        self.record: dict[str, Any] = {
            "commit": state(),
            "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(),
            "load": round(os.getloadavg()[0], 1),
            "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
            "benchmark": Path(sys.argv[0]).name,
            "title": title,
            "setting": setting,
            "versions": {"Python": platform.python_version(), **versions},
            "columns": [list(column) for column in self.columns],
            "draw": [*draw],
            "rows": [],
        }

    def __enter__(self) -> Table:
        names = ["", *(column.name for column in self.columns)]
        told = [self.record["setting"], *(f"{name} {number}" for name, number in self.record["versions"].items())]
        print(f"\n**{self.record['title']}** ({', '.join(filter(None, told))})\n")
        print("| " + " | ".join(names) + " |\n| --- |" + " ---: |" * len(self.columns), flush=True)
        return self

    def add(self, name: str, *values: float | tuple[float, float, float] | None, ours: bool = False) -> None:
        """Print a row. A value is a number, or (median, least, most), or None where there is none."""
        if len(values) != len(self.columns):
            raise ValueError(f"{name!r} has {len(values)} figures, the table {len(self.columns)} columns of them")
        if any(name == row["name"] for row in self.record["rows"]):
            raise ValueError(f"the table has a row {name!r} already")
        plain = [[float(v) for v in each] if isinstance(each, tuple) else each and float(each) for each in values]
        self.record["rows"].append({"name": name, "ours": ours, "values": plain})
        print(f"| {name} | {' | '.join(map(cell, plain, self.columns))} |", flush=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind or not self.record["rows"]:
            return  # half a table is none
        append(self.record, self.history)
        try:
            write(read(self.history), self.page)
        except ImportError as error:
            print(f"no page was drawn: {error}", file=sys.stderr)


def cell(value: Any, column: Column | list[Any]) -> str:
    """A figure as text: of a median with the least and most, all three."""
    if value is None:
        return ""
    if isinstance(value, list):
        middle, least, most = (format(v, column[1]) for v in value)
        return f"{middle} ({least} to {most})"
    return format(value, column[1])


def versions(*packages: str, python: str | Path = sys.executable) -> dict[str, str]:
    """The versions of packages that an interpreter has; those that it lacks are left out."""
    if str(python) == sys.executable:
        found = {}
        for package in packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
        return found
    code = f"import sys, json; sys.path.insert(0, {str(HERE)!r}); import page; print(json.dumps(page.versions(*sys.argv[1:])))"
    done = subprocess.run([python, "-c", code, *packages], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def git(*arguments: str) -> str | None:
    """What git says of this checkout; None where it is none."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def state() -> str:
    """The commit, and a "+" where files differ from it; the version, where git knows nothing."""
    commit = git("rev-parse", "HEAD")
    if commit is None or git("ls-files", "--error-unmatch", str(HERE / "page.py")) is None:
        from w2v_embed import __version__

        return __version__
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def machine() -> str:
    """The processor, how many of them this process may use, and the system."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} × {model}, {platform.system()}"


def append(record: Mapping[str, Any], history: Path) -> None:
    """A line more, even behind one that a killed process left unfinished."""
    whole = not history.exists() or history.stat().st_size == 0 or history.read_bytes().endswith(b"\n")
    with open(history, "a", encoding="utf-8") as file:
        file.write(("" if whole else "\n") + json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def read(history: Path) -> list[dict[str, Any]]:
    """All records, the oldest first. A line that is none is told, and left out."""
    records = []
    for number, line in enumerate(history.read_text(encoding="utf-8").splitlines() if history.exists() else [], 1):
        try:
            record = json.loads(line)
            records.append({**record, "rows": [*record["rows"]], "columns": [Column(*c) for c in record["columns"]]})
        except (ValueError, KeyError, TypeError):
            print(f"{history.name}, line {number} is no record of a table, and was left out", file=sys.stderr)
    return records


def short(commit: str) -> str:
    return commit if len(commit) < 40 else commit[:9] + commit[40:]


def alike(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What two records have in common that may be compared."""
    return tuple(record[key] for key in ("benchmark", "title", "setting", "machine"))


def merged(records: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[Any, Column]]:
    """(row, column) → median over the runs, with the least and most of all of them where any is known; and its column."""
    found: dict[tuple[str, str], tuple[list[Any], Column]] = {}
    for record in records:
        for row in record["rows"]:
            for value, column in zip(row["values"], record["columns"]):
                if value is not None:
                    found.setdefault((row["name"], column.name), ([], column))[0].append(value)
    result: dict[tuple[str, str], tuple[Any, Column]] = {}
    for key, (values, column) in found.items():
        spread = [v if isinstance(v, list) else [v] * 3 for v in values]
        middle, least, most = (
            statistics.median(v[0] for v in spread),
            min(v[1] for v in spread),
            max(v[2] for v in spread),
        )
        result[key] = ([middle, least, most] if least < most else middle, column)
    return result


def verdict(before: Any, now: Any, column: Column) -> str:
    """Better or worse, where the ranges of the two lie apart; nothing where a figure has no range."""
    if not isinstance(before, list) or not isinstance(now, list):
        return ""
    if before[1] <= now[2] and now[1] <= before[2]:
        return "within the spread"
    if column.less is None:
        return "differs"
    return "better" if (now[0] < before[0]) == column.less else "worse"


def commit_of(asked: str, records: list[dict[str, Any]]) -> str:
    """What the history calls a commit that somebody names."""
    bare, changed = asked.rstrip("+"), "+" * asked.endswith("+")
    whole = (git("rev-parse", "--verify", "--quiet", bare + "^{commit}") or bare) + changed
    there = list(dict.fromkeys(record["commit"] for record in records))
    fits = [each for each in there if each == whole] or [
        each for each in there if each.startswith(bare) and each.endswith("+") == bool(changed)
    ]
    if len(fits) != 1:
        known = ", ".join(map(short, there)) or "nothing yet"
        why = "is said by several" if fits else f"has no figures: run the benchmarks with {asked} checked out"
        sys.exit(f"{asked} {why}. The history has {known}.")
    return fits[0]


def compare(records: list[dict[str, Any]], before: str, now: str) -> Iterable[str]:
    """Markdown: each figure that both commits have, of the same machine and setting."""
    both = [[r for r in records if r["commit"] == commit] for commit in (before, now)]
    keys = [key for key in dict.fromkeys(map(alike, both[0])) if key in map(alike, both[1])]
    if not keys:
        machines = [" and ".join({r["machine"] for r in some}) for some in both]
        yield f"{short(before)} ({machines[0]}) and {short(now)} ({machines[1]}) share no table of one machine and setting."
    for key in keys:
        runs = [[r for r in some if alike(r) == key] for some in both]
        old, new = map(merged, runs)
        heads = [f"{short(c)}, {len(r)} run{'s' * (len(r) > 1)}" for c, r in zip((before, now), runs)]
        yield f"\n**{key[1]}** ({', '.join(filter(None, key[2:]))})\n"
        yield f"| | | {heads[0]} | {heads[1]} | ÷ | |\n| --- | --- | ---: | ---: | ---: | --- |"
        for place in (place for place in old if place in new):
            values, column = (old[place][0], new[place][0]), new[place][1]
            first, last = (v[0] if isinstance(v, list) else v for v in values)
            ratio = f"{last / first:.2f}" if first else ""
            told = [cell(value, column) for value in values]
            yield f"| {place[0]} | {place[1]} | {' | '.join(told)} | {ratio} | {verdict(*values, column)} |"


def points(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """What a picture of a column shows of each row that has a figure there."""
    place = [column.name for column in record["columns"]].index(name)
    shown = []
    for row in record["rows"]:
        value = row["values"][place]
        if value is not None:
            middle, least, most = value if isinstance(value, list) else [value] * 3
            told = format(middle, record["columns"][place].spec)
            some = {"value": middle, "least": least, "most": most, "told": told}
            shown.append({"name": row["name"], "who": GROUPS[not row["ours"]], **some})
    return shown


def scale_of(altair: Any, values: list[dict[str, Any]]) -> tuple[Any, Any, bool]:
    """The scale and the axis of figures, with room beside the last one; logarithmic where one is far above another."""
    least, most = min(each["least"] for each in values), max(each["most"] for each in values)
    if not 0 < least < most / 20:
        return altair.Scale(domain=[0, most * 1.35 or 1]), altair.Axis(tickCount=4), False
    low, high = least / 1.3, most * 6
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks = [first * 10**k for k in decades for first in (1, 3) if low <= first * 10**k <= high]
    return altair.Scale(type="log", domain=[low, high]), altair.Axis(values=ticks, format="~g"), True


def picture(altair: Any, values: list[dict[str, Any]], name: str) -> Any:
    """A dot for each row, with its range and its figure."""
    scale, axis, log = scale_of(altair, values)
    names = [each["name"] for each in values]
    row = ROW + 8 * any(": " in each for each in names)  # such a name takes two lines
    base = altair.Chart(altair.Data(values=values)).encode(
        y=altair.Y(
            "name:N", title=None, sort=names, axis=altair.Axis(labelLimit=190, labelExpr="split(datum.label, ': ')")
        ),
        tooltip=["name:N", *(altair.Tooltip(f"{key}:Q", format=".4~g") for key in ("value", "least", "most"))],
    )
    colour = altair.Color("who:N", scale=altair.Scale(domain=list(GROUPS)), legend=None)
    x = altair.X("value:Q", title=name + (", logarithmic" if log else ""), scale=scale, axis=axis)
    end = altair.X("most:Q", scale=scale)
    ranges = base.mark_rule(strokeWidth=2).encode(x=altair.X("least:Q", scale=scale), x2="most:Q", color=colour)
    dots = base.mark_circle(size=70, opacity=1).encode(x=x, color=colour)
    numbers = base.mark_text(dx=9, fontSize=11, align="left").encode(x=end, text="told:N")
    return (ranges + dots + numbers).properties(width="container", height=row * len(values))


def over_commits(altair: Any, records: list[dict[str, Any]], name: str) -> Any:
    """Our own rows from commit to commit, in the order of their first runs; None of one commit, or of many rows."""
    commits = list(dict.fromkeys(short(record["commit"]) for record in records))
    values = [
        {"commit": short(record["commit"]), "name": each["name"], "value": each["value"]}
        for record in records
        for each in points(record, name)
        if each["who"] == GROUPS[0]
    ]
    if len(commits) < 2 or not 0 < len({each["name"] for each in values}) <= COLOURS:
        return None
    base = altair.Chart(altair.Data(values=values)).encode(
        x=altair.X("commit:N", title=None, sort=commits, axis=altair.Axis(labelAngle=-35)),
        y=altair.Y("median(value):Q", title=name),
        color=altair.Color("name:N", title=None, legend=altair.Legend(orient="bottom", columns=1, labelLimit=280)),
    )
    lines = base.mark_line(strokeWidth=2)
    dots = base.mark_circle(size=60, opacity=1).encode(
        tooltip=["commit:N", "name:N", altair.Tooltip("median(value):Q", format=".4~g")]
    )
    return (lines + dots).properties(width="container", height=190)


def section(number: int, record: Mapping[str, Any], charts: Mapping[str, Any]) -> str:
    """A table with its pictures, as markup."""
    told = [record["setting"], ", ".join(f"{name} {number}" for name, number in record["versions"].items())]
    told += [f"{short(record['commit'])}, {record['at'][:16].replace('T', ' ')}, load {record['load']}"]
    rows = [[row["name"], *map(cell, row["values"], record["columns"])] for row in record["rows"]]

    def line(cells: Iterable[str], tag: str) -> str:
        marked = (f"<{tag}{' class=number' if k else ''}>{html.escape(each)}</{tag}>" for k, each in enumerate(cells))
        return f"<tr>{''.join(marked)}</tr>"

    head = line(["", *(column.name for column in record["columns"])], "th")
    title = html.escape(record["title"])
    return (
        f'<section class="wide"><h2>{title}</h2><p>{"<br>".join(html.escape(each) for each in told if each)}</p>'
        f'<p><code>{html.escape(record["command"])}</code></p><div class="pictures">'
        + "".join(f'<div class="chart" id="{name}"></div>' for name in charts)
        + f'</div><div class="scroll" tabindex="0" role="region" aria-label="{title}"><table><thead>{head}</thead>'
        f"<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table></div></section>"
    )


def write(records: list[dict[str, Any]], page: Path) -> None:
    """The page of the newest record of each table."""
    from w2v_embed.reports.page import check_report, write_page

    page.parent.mkdir(exist_ok=True)
    altair = check_report(page)
    newest = {alike(record)[:2]: record for record in records}
    sections, charts = [], {}
    for number, record in enumerate(newest.values()):
        mine: dict[str, Any] = {}
        for k, name in enumerate(record["draw"]):
            values = points(record, name)
            if values:
                mine[f"t{number}-{k}"] = picture(altair, values, name)
            then = over_commits(altair, [r for r in records if alike(r) == alike(record)], name)
            if then is not None:
                mine[f"t{number}-{k}-then"] = then
        charts |= mine
        sections.append(section(number, record, mine))
    commits = dict.fromkeys(short(record["commit"]) for record in newest.values())
    parts = {
        "TITLE": "Benchmarks of w2v_embed",
        "SUBTITLE": html.escape(
            f"the newest run of each, of {', '.join(commits)} on {' and on '.join({r['machine'] for r in newest.values()})}"
        ),
        "SECTIONS": "".join(sections),
    }
    write_page(page, HERE / "page.html", parts, {"charts": {name: chart.to_dict() for name, chart in charts.items()}})
    print(f"the page: {page}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", nargs=2, metavar="COMMIT", help="print a table of what both have")
    parser.add_argument("--history", type=Path, default=HISTORY, help="(%(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, help="(%(default)s)")
    args = parser.parse_args()
    records = read(args.history)
    if not records:
        sys.exit(f"{args.history} has no figures yet: make bench")
    if args.compare:
        before, now = (commit_of(asked, records) for asked in args.compare)
        for line in compare(records, before, now):
            print(line)
    else:
        write(records, args.page)


if __name__ == "__main__":
    main()
