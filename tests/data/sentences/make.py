"""Make model/ and vectors.npz: a folder of sentence-transformers around ../reference/albert_hf, and what it says of texts.

Made with torch 2.13.0 (CPU), transformers 5.23.0 and sentence-transformers 6.2.0:

    python make.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

HERE = Path(__file__).parent
TEXTS = ["The bank of the river.", "kings put MONEY in a bank", "", "北京银行 zzz " * 8, "  naïve café"]

with tempfile.TemporaryDirectory() as source:
    shutil.copytree(HERE.parent / "reference" / "albert_hf", source, dirs_exist_ok=True)
    transformer = Transformer(source)
    transformer.max_seq_length = 20
    torch.manual_seed(0)
    modules = [transformer, Pooling(32, pooling_mode=["cls", "max", "mean"]), Dense(96, 12), Normalize()]
    model = SentenceTransformer(modules=modules, prompts={"query": "the king "}, device="cpu")
    shutil.rmtree(HERE / "model", ignore_errors=True)
    model.save(str(HERE / "model"), create_model_card=False)
(HERE / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=False) + "\n", "utf-8")
np.savez(HERE / "vectors.npz", plain=model.encode(TEXTS), query=model.encode(TEXTS, prompt_name="query"))
