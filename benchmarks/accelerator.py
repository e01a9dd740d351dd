"""Sentences a second on a GPU, in float32, bfloat16 and float16: `ContextualEncoder` on JAX and torch beside transformers and
sentence-transformers on the same card.

    python benchmarks/accelerator.py --model FOLDER      # a trained model that transformers can read, too
    python benchmarks/accelerator.py                     # a random BERT of base size; needs its tokenizer: --tokenizer FOLDER

It runs where all of them are installed. Each side is a process of its own, in turn, and computes all types. Texts go in and
vectors in the computer's memory come out, tokenization included; transformers gets sorted batches and its mean on the card. The
best pass counts. The largest difference is that to transformers in float32, in vectors whose numbers reach about 1 with
MiniLM. Memory is the most that was in use on the card.
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
from contextual import make_base, sentences

DTYPES = ("float32", "bfloat16", "float16")
SIDES = ("transformers", "sentence-transformers", "torch", "jax")


def transformers(folder, dtype, batch):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    net = AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).cuda().eval()

    @torch.inference_mode()
    def encode(texts):
        ids = tokenizer(texts)["input_ids"]
        order = sorted(range(len(texts)), key=lambda text: -len(ids[text]))
        made = []
        for begin in range(0, len(order), batch):
            given = tokenizer.pad(
                {"input_ids": [ids[row] for row in order[begin : begin + batch]]}, return_tensors="pt"
            )
            given = {name: tensor.cuda(non_blocking=True) for name, tensor in given.items()}
            states, mask = net(**given).last_hidden_state, given["attention_mask"][:, :, None]
            made.append((states.float() * mask).sum(1) / mask.sum(1))
        result = np.empty((len(texts), net.config.hidden_size), np.float32)
        result[order] = torch.cat(made).cpu().numpy()
        return result

    return encode


def sentence_transformers(folder, dtype, batch):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    net = modules.Transformer(str(folder), model_kwargs={"dtype": getattr(torch, dtype)})
    encoder = SentenceTransformer(modules=[net, modules.Pooling(net.get_embedding_dimension(), "mean")], device="cuda")
    return lambda texts: encoder.encode(texts, batch_size=batch, show_progress_bar=False).astype(np.float32)


def ours(folder, dtype, batch):
    from w2v_embed.contextual import ContextualEncoder

    encoder = ContextualEncoder.from_pretrained(folder, compute_dtype=dtype)
    return lambda texts: encoder.encode(texts, layers=-1, pooling="mean", batch_size=batch)


def used(side):
    """The most bytes that were in use on the card."""
    if side == "jax":
        import jax

        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    import torch

    return torch.cuda.max_memory_allocated()


def measure(side, folder, dtypes, batches, count, passes, out):
    made = {"transformers": transformers, "sentence-transformers": sentence_transformers}.get(side, ours)
    texts, found = sentences(count, folder), {}
    for dtype in sorted(dtypes, key=lambda each: each == "float32"):  # what takes most last: the memory is a maximum
        for batch in sorted(batches):
            encode, seconds = made(folder, dtype, batch), []
            for _ in range(passes + 1):
                begun = time.perf_counter()
                vectors = encode(texts)
                seconds.append(time.perf_counter() - begun)
            np.save(out / f"{side}-{dtype}-{batch}.npy", vectors[:2000])
            found[f"{dtype} {batch}"] = {"first": seconds[0], "best": min(seconds[1:]), "memory": used(side)}
            del encode
    print(json.dumps(found))


def child(side, *arguments):
    environment = {**os.environ, "KERAS_BACKEND": side if side in ("jax", "torch") else "torch"}
    environment |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, __file__, "--side", side, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if not done.returncode and side != "base" else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder (a random BERT of base size)")
    parser.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="whose vocab.txt the random one gets")
    parser.add_argument("--count", type=int, default=16_384, help="sentences (%(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 256], help="texts a batch (32 256)")
    parser.add_argument("--passes", type=int, default=2, help="after the first (%(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--only", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side == "base":
        make_base(args.model, args.tokenizer)
        return
    if args.side:
        measure(args.side, args.model, args.dtypes, args.batches, args.count, args.passes, args.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        model, out = args.model, Path(folder)
        if model is None:
            model = out / "base"
            child("base", "--model", model, "--tokenizer", args.tokenizer)
        given = ["--model", model, "--count", args.count, "--passes", args.passes, "--out", out]
        given += ["--batches", *args.batches, "--dtypes", *args.dtypes]
        print(f"{model.name}, {args.count} sentences, best of {args.passes} passes after a first one\n")
        print(
            "| side | type | texts a batch | texts/s | ÷ transformers | first pass: s | largest difference | memory: MiB |"
        )
        print("| --- | --- |" + " ---: |" * 6, flush=True)
        peers = {}
        for side in args.only:
            found = child(side, *given)
            peers = peers or found
            for key in (f"{dtype} {batch}" for dtype in args.dtypes for batch in args.batches if found):
                one, (dtype, batch) = found[key], key.split()
                truth = np.load(min(out.glob(f"{args.only[0]}-float32-*.npy")))
                apart = np.abs(np.load(out / f"{side}-{dtype}-{batch}.npy") - truth).max()
                rate, ratio = args.count / one["best"], peers[key]["best"] / one["best"]
                memory = one["memory"] / 2**20
                cells = (
                    side,
                    dtype,
                    batch,
                    f"{rate:,.0f}",
                    f"{ratio:.2f}",
                    f"{one['first']:.1f}",
                    f"{apart:.1e}",
                    f"{memory:,.0f}",
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
