"""Make static/ and static.npz: a StaticEmbedding behind a tokenizer of words, and what sentence-transformers says of texts.

Made with torch 2.13.0 (CPU), transformers 5.23.0 and sentence-transformers 6.2.0:

    python make_static.py
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer

HERE = Path(__file__).parent
TEXTS = json.loads((HERE / "texts.json").read_text("utf-8"))
WORDS = ["the king of a river", "money", "", "muddy bank"]

tokenizer = Tokenizer.from_file(str(HERE.parent / "reference" / "distilbert_hf" / "tokenizer.json"))
tokenizer.enable_truncation(12)
torch.manual_seed(0)
table = torch.randn(tokenizer.get_vocab_size(), 8).numpy()
static = StaticEmbedding(tokenizer, embedding_weights=table)
options = {"prompts": {"query": "the king "}, "similarity_fn_name": "euclidean", "device": "cpu"}
model = SentenceTransformer(modules=[static, Normalize()], **options)
shutil.rmtree(HERE / "static", ignore_errors=True)
model.save(str(HERE / "static"), create_model_card=False)
model = SentenceTransformer(str(HERE / "static"), device="cpu")
vectors, words = model.encode(TEXTS), model.encode(WORDS)
compared = {}
for name in ("cosine", "dot", "euclidean", "manhattan"):
    model.similarity_fn_name = name
    compared[name] = model.similarity(vectors, words).numpy()
np.savez(
    HERE / "static.npz",
    plain=vectors,
    query=model.encode(TEXTS, prompt_name="query"),
    short=model.encode(TEXTS, truncate_dim=5),
    unit=model.encode(TEXTS, truncate_dim=5, normalize_embeddings=True),
    **compared,
)
