"""What 1.1 million words cost beside raw bytes, in one run: python benchmarks/large_vocabulary.py [--before FOLDER]

Each operation, of this checkout (and of another one), and the raw cost of its bytes follow one another in every round, in one
process for each checkout. Processor seconds, the least of the rounds. "Raw" is what anybody pays: `json.load` of the same file;
writing the same bytes, their CRC-32 and an fsync; reading them and their CRC-32; one look at the count of each word.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS, DIM = 1_100_000, 50


def measured(folder):
    """dict name → (operation, raw cost or None), callables."""
    from isal import isal_zlib

    from w2v_embed import EmbeddingMatrix
    from w2v_embed.vocabulary import read_vocabulary

    rng = np.random.default_rng(0)
    words = [f"word{k:x}" if k % 3 else f"词{k}" for k in rng.permutation(WORDS).tolist()]
    index = {word: k for k, word in enumerate(words, 1)}
    counts = {word: 10_000_000 // k for word, k in index.items()}
    matrix = rng.standard_normal((WORDS + 1, DIM), dtype=np.float32)
    origins = np.full(WORDS + 1, 3)
    origins[0], origins[1::4] = 1, 2
    em = EmbeddingMatrix(matrix, index, origins=origins, sources=["v.txt"], padding_row=0)
    text = json.dumps(index, ensure_ascii=False)
    (folder / "v.json").write_text(text, encoding="utf-8")
    (folder / "twice.json").write_text(text[:-1] + f', "{words[-1]}": 0}}', encoding="utf-8")

    def write():
        with open(folder / "raw", "wb") as file:
            file.write(matrix.data)
            isal_zlib.crc32(matrix.data)
            file.flush()
            os.fsync(file.fileno())

    def refused():
        try:
            read_vocabulary(folder / "twice.json")
        except ValueError:
            return
        raise AssertionError

    def plain_json(name="v.json"):
        json.loads((folder / name).read_text(encoding="utf-8"))

    def read():
        isal_zlib.crc32((folder / "raw").read_bytes())

    def look():
        sum(counts.get(word, 0) for word in words)

    write()
    operations = {
        ".json vocabulary": (lambda: read_vocabulary(folder / "v.json"), plain_json),
        ".json, a word twice": (refused, plain_json),
    }
    for suffix in (".safetensors", ".npz", ".npy"):
        em.save(folder / f"m{suffix}")
        operations[f"save {suffix}"] = (lambda suffix=suffix: em.save(folder / f"m{suffix}"), write)
        operations[f"load {suffix}"] = (lambda suffix=suffix: EmbeddingMatrix.load(folder / f"m{suffix}"), read)
    coverage = em.coverage
    operations |= {
        "summary(counts)": (lambda: coverage.summary(counts=counts), look),
        "to_dict(counts)": (lambda: coverage.to_dict(counts), look),
        "weighted_rate": (lambda: coverage.weighted_rate(counts), look),
        "by_rank": (lambda: coverage.by_rank(counts), look),
        "ranked": (lambda: coverage.ranked(counts), lambda: sorted(words)),
        "write_report": (lambda: em.write_report(folder / "r.html"), None),
        "write_report(counts)": (lambda: em.write_report(folder / "r.html", counts=counts), None),
    }
    return operations


def serve():
    """For each name that comes in: the processor seconds of (operation, raw cost)."""
    with tempfile.TemporaryDirectory() as folder:
        operations = measured(Path(folder))
        print(json.dumps(list(operations)), flush=True)
        for line in sys.stdin:
            taken = []
            for call in operations[line.strip()]:
                begun = time.process_time()
                if call:
                    call()
                taken.append(time.process_time() - begun if call else None)
            print(json.dumps(taken), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    servers = []
    for checkout in filter(None, [Path(__file__).parent.parent, args.before]):
        command = [sys.executable, __file__, "--serve"]
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        pipe = subprocess.PIPE
        servers.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True))
    names, *_ = [json.loads(server.stdout.readline()) for server in servers]
    before = " before |" if args.before else ""
    print(
        f"| {WORDS:,} words, CPU seconds | now |{before} raw | now ÷ raw |\n| --- | ---: |{' ---: |' * (2 + bool(before))}"
    )
    for name in names:
        rounds = []
        for _ in range(args.rounds):
            rounds.append([])
            for server in servers:
                print(name, file=server.stdin, flush=True)
                rounds[-1].append(json.loads(server.stdout.readline()))
        best = [min(each[k][0] for each in rounds) for k in range(len(servers))]
        raws = [one[1] for each in rounds for one in each if one[1] is not None]
        raw, ratio = (f"{min(raws):.2f}", f"{best[0] / min(raws):.1f}") if raws else ("", "")
        print(f"| {name} | {' | '.join(f'{seconds:.2f}' for seconds in best)} | {raw} | {ratio} |", flush=True)
    for server in servers:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    main()
