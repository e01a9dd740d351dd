"""Make losses.json: the losses of the first ten steps of fine-tuning, by Hugging Face's transformers on torch.

The model of ../reference/bert_hf, without dropout, learns the labels of the shipped titles: the mean of its last states, a
dense layer, AdamW. Made with torch 2.13.0 (CPU) and transformers 5.23.0:

    python make.py
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent.parent))
from tests.fine_tuning import DECAY, RATE, STEPS, batches, head  # noqa: E402

model = AutoModel.from_pretrained(HERE.parent / "reference" / "bert_hf").eval()
dense = torch.nn.Linear(*head().shape)
dense.weight.data, dense.bias.data = torch.tensor(head().T.copy()), torch.zeros(head().shape[1])
optimizer = torch.optim.AdamW([*model.parameters(), *dense.parameters()], lr=RATE, weight_decay=DECAY)
losses = []
for ids, mask, labels in batches(STEPS):
    states = model(input_ids=torch.tensor(ids).long(), attention_mask=torch.tensor(mask).long()).last_hidden_state
    weights = torch.tensor(mask)[..., None].float()
    logits = dense((states * weights).sum(1) / weights.sum(1))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels).long())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(round(loss.item(), 6))
(HERE / "losses.json").write_text(json.dumps(losses) + "\n")
print(losses)
