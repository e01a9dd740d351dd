"""The main job side by side with its peers, in one run: python benchmarks/run.py [--only TABLE …]

Makes its files and the peers' own environment under benchmarks/.work (once), runs each measurement in a process of its own, the
fast ones in turn for several rounds, and tells ratios of medians as page.py does. The files are as large as the Baidu-Baike
vectors (636,013 words × 300, six decimals); the numbers in them are drawn. What a change did: before.py.
"""

import argparse
import bz2
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from page import Column, Table, machine, versions

HERE = Path(__file__).parent
WORK = HERE / ".work"
# Modules are kept compiled, as pip leaves them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
DIM = 300
INDEX_WORDS = 50_000
WARM_WORDS = 16_000  # of the files that a runner reads before it is timed
TABLES = ("select", "checks", "text", "binary", "packed")
PEER_NAMES = ("gensim", "embfile", "reach", "snakefusion")
PEERS = [*PEER_NAMES, "overrides<4"]


def tell(message):
    print(message, file=sys.stderr, flush=True)


def peers_python():
    """The Python of the peers' environment, made where it is missing."""
    python = WORK / "peers/bin/python"
    if not python.exists():
        tell(f"making the environment of the peers: {', '.join(PEERS)}")
        subprocess.run([sys.executable, "-m", "venv", WORK / "peers"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return python


def word(k):
    return f"词{k}"


def write_files(words):
    """The vectors of `words` words as text and binary, and a tenth of them for the compressed formats."""
    text, binary = WORK / f"vectors-{words}.txt", WORK / f"vectors-{words}.bin"
    warm, index = WORK / "warm.txt", WORK / f"index-{words}.json"
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.35, 1 << 18).round(6).astype(np.float32)
    decimals = np.array([f"{v:.6f}" for v in values], object)
    for path, count in ((warm, WARM_WORDS), (text, words)):
        if path.exists():
            continue
        tell(f"writing {path.name}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{count} {DIM}\n")
            for start in range(0, count, 2_000):
                picks = rng.integers(0, len(values), (min(2_000, count - start), DIM))
                file.writelines(
                    f"{word(start + k)} {' '.join(row)}\n" for k, row in enumerate(decimals[picks].tolist())
                )
    for path, count in ((WORK / "warm.bin", WARM_WORDS), (binary, words)):
        if path.exists():
            continue
        tell(f"writing {path.name}")
        with open(path, "wb") as file:
            file.write(f"{count} {DIM}\n".encode())
            for k in range(count):
                start = int(rng.integers(0, len(values) - DIM))
                file.write(word(k).encode() + b" " + values[start : start + DIM].tobytes() + b"\n")
    for suffix, module in ((".gz", gzip), (".bz2", bz2)):
        for source, count in ((text, words // 10), (warm, WARM_WORDS)):
            path = source.with_name(source.name + suffix)
            if not path.exists():
                tell(f"writing {path.name}: {count} words")
                with open(source, "rb") as lines, module.open(path, "wb", 6) as packed:
                    next(lines)
                    packed.write(f"{count} {DIM}\n".encode())
                    for _ in range(count):
                        packed.write(next(lines))
    if not index.exists():
        # nine in ten words are in the file, in no order
        picks = rng.choice(words * 10 // 9, min(INDEX_WORDS, words), replace=False)
        index.write_text(
            json.dumps({word(int(k)): row for row, k in enumerate(picks, 1)}, ensure_ascii=False), encoding="utf-8"
        )
    return text, binary, index


def in_process(python, name, path, index, checkout=HERE.parent):
    """One run of a runner: dict of seconds and MB."""
    warm = WORK / ("warm" + "".join(path.suffixes))
    environment = {**os.environ, "PYTHONPATH": str(checkout) if python == sys.executable else ""}
    command = [python, HERE / "runners.py", name, path, warm, index]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=False, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def whole_process(command):
    """One run of a command, from outside."""
    start = time.perf_counter()
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(
            list(map(str, command)), stdout=null, env={**os.environ, "PYTHONPATH": str(HERE.parent)}
        )
        usage = os.wait4(process.pid, 0)[2]
    return {"seconds": time.perf_counter() - start, "peak": usage.ru_maxrss / 1e3, "before": 0, "result": 0}


def measure(entries, rounds, without=()):
    """Run `entries` (name → (callable, slow)) in turn; slow ones once. Returns name → dict of medians, and the spread."""
    entries = {name: entry for name, entry in entries.items() if name not in without}
    runs = {name: [] for name in entries}
    for number in range(rounds):
        for name, (run, slow) in entries.items():
            if number == 0 or not slow:
                tell(f"  round {number + 1}: {name}")
                runs[name].append(run())
    table = {}
    for name, results in runs.items():
        results = [r for r in results if r]
        if results:
            table[name] = {key: statistics.median(r[key] for r in results) for key in results[0]}
            table[name]["least"], table[name]["most"] = (f(r["seconds"] for r in results) for f in (min, max))
    return table


def show(title, setting, table, ours, limit=None, peers=None):
    """Ratios: how many times as long as `ours`, and as `limit`. `peers`: versions of those that are in the table."""
    ratios = [f"× {ours}", *([f"× {limit}"] if limit else [])]
    columns = [
        Column("seconds"),
        *map(Column, ratios),
        Column("MB beyond start", ".0f"),
        Column("result MB", ".0f", None),
    ]
    with Table(title, setting, columns, ["seconds", "MB beyond start"], {**versions("numpy"), **(peers or {})}) as page:
        for name, row in table.items():
            base = [table[each]["seconds"] if each in table else None for each in (ours, limit) if each]
            page.add(
                name,
                (row["seconds"], row["least"], row["most"]),
                *(seconds and row["seconds"] / seconds for seconds in base),
                row["peak"] - row["before"],
                row["result"],
                ours=name not in (*PEER_NAMES, "cat"),
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=636_013)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=TABLES,
        default=TABLES,
    )
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="PEER", help="leave these out: gensim takes minutes"
    )
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    text, binary, index = write_files(args.words)
    ours, asked = sys.executable, [name for name in PEER_NAMES if name not in args.without and args.only != ["checks"]]
    peers = peers_python() if asked else None  # made only where it is needed
    peer_versions = versions(*asked, python=peers) if asked else {}
    setting = f"{args.words:,} words × {DIM}, text of {text.stat().st_size / 1e9:.2f} GB"
    print(
        f"{setting}, on {machine()}; medians of {args.rounds} rounds, gensim once; load average {os.getloadavg()[0]:.1f}."
    )

    def told(table):
        return {name: number for name, number in peer_versions.items() if name in table}

    def cat(path):
        return lambda: whole_process(["cat", path])

    def run(python, name, path):
        return lambda: in_process(python, name, path, index)

    if "select" in args.only:
        build = ["-m", "w2v_embed.cli", "build", text, index, "-o", WORK / "matrix.safetensors", "--quiet"]
        entries = {
            "cat": (cat(text), False),
            "w2v_embed": (run(ours, "select_w2v_embed", text), False),
            "whole process: w2v-embed build": (lambda: whole_process([ours, *build]), False),
            "embfile": (run(peers, "select_embfile", text), False),
            "reach": (run(peers, "select_reach", text), False),
            "gensim": (run(peers, "select_gensim", text), True),
        }
        table = measure(entries, args.rounds, args.without)
        title = f"Rows of {min(INDEX_WORDS, args.words):,} words out of the text file"
        show(title, setting, table, "w2v_embed", "cat", told(table))
    if "checks" in args.only:
        entries = {
            "without detection and checks": (run(ours, "select_unchecked", text), False),
            "w2v_embed": (run(ours, "select_w2v_embed", text), False),
        }
        table = measure(entries, 3 * args.rounds)
        show("What detection and checks cost of that", setting, table, "without detection and checks")
    if "text" in args.only:
        entries = {
            "cat": (cat(text), False),
            "w2v_embed": (run(ours, "load_w2v_embed", text), False),
            "snakefusion": (run(peers, "load_snakefusion", text), False),
            "gensim": (run(peers, "load_gensim", text), True),
        }
        table = measure(entries, args.rounds, args.without)
        show("The whole text file as KeyedVectors", setting, table, "w2v_embed", "cat", told(table))
    if "binary" in args.only:
        entries = {
            "cat": (cat(binary), False),
            "w2v_embed": (run(ours, "load_w2v_embed", binary), False),
            "snakefusion": (run(peers, "load_snakefusion", binary), False),
            "gensim": (run(peers, "load_gensim", binary), False),
        }
        table = measure(entries, args.rounds, args.without)
        show("The whole binary file as KeyedVectors", setting, table, "w2v_embed", "cat", told(table))
    if "packed" in args.only:
        for suffix in (".gz", ".bz2"):
            packed = text.with_name(text.name + suffix)
            entries = {
                "w2v_embed": (run(ours, "load_w2v_embed", packed), False),
                "gensim": (run(peers, "load_gensim", packed), True),
            }
            title = f"A {suffix} of {args.words // 10:,} words as KeyedVectors"
            table = measure(entries, min(3, args.rounds), args.without)
            show(title, setting, table, "w2v_embed", peers=told(table))


if __name__ == "__main__":
    main()
