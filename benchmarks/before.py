"""This checkout against another one of this project, in turn: python benchmarks/before.py FOLDER [--rounds N] [--only NAME …]

Whatever a user waits for: selection, whole files, packed files, fallbacks, layers, encoding, `import w2v_embed` and `--help`.
Each measurement is a process of its own; ratios are of the two runs of one round, whose order changes, in wall and in processor
seconds. Files as of run.py.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from run import HERE, WORK, in_process, tell, write_files

MODEL = WORK / "random-bert"
SIZES = {"vocab_size": 3000, "hidden_size": 384, "intermediate_size": 1536, "max_position_embeddings": 128}


def write_model():
    """A BERT of 6 layers with drawn weights, in Hugging Face's layout."""
    if (MODEL / "model.safetensors").exists():
        return
    from safetensors.numpy import save_file

    MODEL.mkdir(exist_ok=True)
    hidden, inner, layers = SIZES["hidden_size"], SIZES["intermediate_size"], 6
    rng = np.random.default_rng(0)
    tensors = {}

    def dense(name, rows, columns):
        tensors[f"{name}.weight"] = rng.normal(0, 0.05, (columns, rows)).astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(columns, np.float32)

    def norm(name):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = np.ones(hidden, np.float32), np.zeros(hidden, np.float32)

    rows_of = {"word": SIZES["vocab_size"], "position": SIZES["max_position_embeddings"], "token_type": 2}
    for part, rows in rows_of.items():
        tensors[f"embeddings.{part}_embeddings.weight"] = rng.normal(0, 0.05, (rows, hidden)).astype(np.float32)
    norm("embeddings.LayerNorm")
    for k in range(layers):
        place = f"encoder.layer.{k}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            dense(f"{place}.attention.{part}", hidden, hidden)
        norm(f"{place}.attention.output.LayerNorm")
        dense(f"{place}.intermediate.dense", hidden, inner)
        dense(f"{place}.output.dense", inner, hidden)
        norm(f"{place}.output.LayerNorm")
    config = {"model_type": "bert", "num_hidden_layers": layers, "num_attention_heads": 12, **SIZES}
    (MODEL / "config.json").write_text(json.dumps(config))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{k}" for k in range(SIZES["vocab_size"] - 5))]
    (MODEL / "vocab.txt").write_text("\n".join(words) + "\n")
    save_file(tensors, MODEL / "model.safetensors")


def whole(checkout, *arguments):
    """A Python process, from outside: dict of wall and processor seconds."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    start = time.perf_counter()
    with open(os.devnull, "wb") as nothing:
        process = subprocess.Popen([sys.executable, *arguments], stdout=nothing, env=environment, cwd=checkout)
        usage = os.wait4(process.pid, 0)[2]
    return {"seconds": time.perf_counter() - start, "cpu": usage.ru_utime + usage.ru_stime}


def entries(text, binary, index):
    """dict name → callable: checkout → dict of seconds"""

    def run(name, path):
        return lambda checkout: in_process(sys.executable, name, path, index, checkout)

    packed = {suffix: text.with_name(text.name + suffix) for suffix in (".gz", ".bz2")}
    return {
        "selection": run("select_w2v_embed", text),
        "fallbacks": run("fall_back_w2v_embed", text),
        "whole text": run("load_w2v_embed", text),
        "whole binary": run("load_w2v_embed", binary),
        ".bz2": run("load_w2v_embed", packed[".bz2"]),
        ".gz": run("load_w2v_embed", packed[".gz"]),
        "layers": run("layers_w2v_embed", binary),
        "encode": run("encode_w2v_embed", MODEL),
        "import": lambda checkout: whole(checkout, "-c", "import w2v_embed"),
        "first names": lambda checkout: whole(checkout, "-c", "from w2v_embed import build_matrix, load_vectors"),
        "help": lambda checkout: whole(checkout, "-c", "from w2v_embed.cli import main; main()", "--help"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, metavar="FOLDER", help="the other checkout")
    parser.add_argument("--words", type=int, default=636_013)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    measured = entries(*write_files(args.words))
    write_model()
    before, now = args.before.resolve(), HERE.parent
    print(
        "| this checkout, times the other | wall: median (least to most) | processor |\n| --- | --- | --- |", flush=True
    )
    for name in args.only or measured:
        rows = []
        for number in range(args.rounds):
            tell(f"  {name}, round {number + 1} of {args.rounds}")
            both = {checkout: measured[name](checkout) for checkout in ((now, before) if number % 2 else (before, now))}
            if not all(both.values()):
                sys.exit("one of the two failed; its error is above")
            rows.append([both[now][key] / both[before][key] for key in ("seconds", "cpu")])
        cells = [f"{statistics.median(r):.3f} ({min(r):.2f} to {max(r):.2f})" for r in zip(*rows)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
