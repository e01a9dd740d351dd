"""A tokenizer.json with some of its tokens only, which finds the same ones in every text that needs no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def thinned(settings: dict[str, Any], place: Mapping[int, int]) -> dict[str, Any]:
    """The settings of a tokenizer that has only some tokens.

    Args:
        settings: what tokenizer.json says.
        place: old id → new id, of those that stay.
    """
    model = dict(settings["model"])
    kind = model.get("type")
    if kind == "Unigram":
        model["vocab"] = [entry for id_, entry in enumerate(model["vocab"]) if id_ in place]
        if model.get("unk_id") is not None:
            model["unk_id"] = place[model["unk_id"]]
    elif kind in ("WordPiece", "WordLevel", "BPE"):
        model["vocab"] = {token: place[id_] for token, id_ in model["vocab"].items() if id_ in place}
        if kind == "BPE":
            model["merges"] = [pair for pair in model["merges"] if _merged(pair) in model["vocab"]]
    else:
        raise ValueError(f"a tokenizer of the type {kind!r} cannot be trimmed.")
    added = [
        {**token, "id": place[token["id"]]} for token in settings.get("added_tokens") or [] if token["id"] in place
    ]
    framing = _renumbered(settings.get("post_processor"), place)
    return {**settings, "model": model, "added_tokens": added, "post_processor": framing}


def merge_ids(settings: dict[str, Any], ids: set[int]) -> set[int]:
    """The ids of what is merged on the way to some tokens of a BPE, these included.

    Within a token merges happen in the order of their ranks, whatever stands around it.
    """
    vocabulary = settings["model"]["vocab"]
    ranks: dict[tuple[str, ...], int] = {}
    for rank, pair in enumerate(settings["model"]["merges"]):
        ranks.setdefault(_pair(pair), rank)
    names, needed = {id_: token for token, id_ in vocabulary.items()}, set(ids)
    for id_ in ids & names.keys():
        parts = list(names[id_])
        while len(parts) > 1:
            rank, at = min((ranks.get((parts[n], parts[n + 1]), len(ranks)), n) for n in range(len(parts) - 1))
            if rank == len(ranks):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            needed.add(vocabulary[parts[at]])
        needed.update(vocabulary[letter] for letter in names[id_] if letter in vocabulary)
    return needed


def _pair(pair):
    return tuple(pair) if isinstance(pair, list) else tuple(pair.split(" "))


def _merged(pair):
    return "".join(_pair(pair))


def _renumbered(framing, place):
    """A post-processor with new ids: `"ids": […]` of a template, `["[SEP]", 102]` of BERT's and RoBERTa's."""
    if isinstance(framing, dict):
        if framing.get("type") in ("BertProcessing", "RobertaProcessing"):
            return {**framing, **{key: [framing[key][0], place[framing[key][1]]] for key in ("sep", "cls")}}
        if isinstance(framing.get("ids"), list) and "tokens" in framing:
            return {**framing, "ids": [place[id_] for id_ in framing["ids"]]}
        return {key: _renumbered(value, place) for key, value in framing.items()}
    return [_renumbered(value, place) for value in framing] if isinstance(framing, list) else framing
