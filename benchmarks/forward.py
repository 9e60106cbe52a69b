"""BERT-base and GPT-2 small beside transformers, forward alone and with backward: real tokens a second and peak memory.

    python benchmarks/forward.py [--json] [--row NAME] [--repeats N]

A row is ``MODEL-PASS-LENGTHS``. Both sides have the same sizes and parts, weights of their own at random, float32, no
dropout, the threads and the memory allocator as torch has them by itself, and read the same documents in the same
order, eight at a time (what transformers' Trainer takes by default). The peer has ``attn_implementation="sdpa"``, which
was faster than ``eager`` in all four pairs of model and pass.

``forward``: the trunk, and the logits of the language model's head for every token, in inference mode.
``training``: the trunk, the head, the cross-entropy of every token, and the gradients of all weights (no optimizer).
BERT's is with the token itself, GPT-2's with the next; that of a document's last token is left out on the peer's side.
So the head works as often on both sides: a pre-training with a head at the masked tokens alone is another benchmark.

``even``: eight documents of 128 tokens. ``natural``: lengths from a log-normal distribution with median 80 and a
deviation of 0.8 of the logarithm, cut to 10 … 512 (seed 0; their mean is 105). There the peer pads each eight to the
longest of them, with an attention mask, and labels of -100 on padding, so that 40 % of its slots hold text; ours takes
the same eight flat. A token of padding is none of the tokens counted. A round is one batch.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pairs
from numpy.typing import NDArray

VOCABULARIES = {"bert-base": 30_522, "gpt2": 50_257}
WIDTH, LAYERS, DOCUMENTS, LENGTH = 768, 12, 8, 128
ROWS = {
    f"{model}-{work}-{lengths}": (model, work, lengths)
    for model in VOCABULARIES
    for work in ("forward", "training")
    for lengths in ("even", "natural")
}


def lengths_of(lengths: str, batches: int = 50) -> NDArray[np.int64]:
    """The lengths of documents, ``(batches, DOCUMENTS)``."""
    if lengths == "even":
        return np.full((batches, DOCUMENTS), LENGTH)
    drawn = np.random.default_rng(0).lognormal(np.log(80), 0.8, (batches, DOCUMENTS))
    return drawn.round().clip(10, 512).astype(np.int64)


def _batches(model: str, lengths: str) -> list[list[NDArray[np.int64]]]:
    draw = np.random.default_rng(1)
    return [[draw.integers(5, VOCABULARIES[model], n) for n in batch] for batch in lengths_of(lengths)]


def _rounds(step: Callable[[list[NDArray[np.int64]]], None], model: str, lengths: str) -> Iterator[int]:
    """Warms up on one batch; then each round takes the next, and gives its tokens."""
    batches = _batches(model, lengths)
    step(batches[-1])

    def rounds() -> Iterator[int]:
        for batch in itertools.cycle(batches):
            step(batch)
            yield sum(map(len, batch))

    return rounds()


def ours(model: str, work: str, lengths: str) -> Iterator[int]:
    """Flat tokens, in the order of their lengths."""
    import torch

    from myna.model.flat import flatten
    from myna.model.heads import LanguageHead, build
    from myna.objectives.losses import linear_cross_entropy
    from myna.presets import model_config

    causal = model == "gpt2"
    built = build(model_config(model, VOCABULARIES[model], dropout=0.0), "causal" if causal else "masked")
    head = built.head
    assert isinstance(head, LanguageHead)

    def forward(documents: list[NDArray[np.int64]]) -> None:
        with torch.inference_mode():
            built(flatten(sorted(documents, key=len)))

    def training(documents: list[NDArray[np.int64]]) -> None:
        documents = sorted(documents, key=len)
        tokens = flatten(documents)
        targets = torch.from_numpy(np.concatenate([np.roll(d, -1) if causal else d for d in documents]))
        built.zero_grad(set_to_none=True)
        features = head.features(built.trunk(tokens))
        (linear_cross_entropy(features, head.weight, head.bias, targets) / len(targets)).backward()

    return _rounds({"forward": forward, "training": training}[work], model, lengths)


def transformers_model(model: str, work: str, lengths: str) -> Iterator[int]:
    """Padded to the longest of a batch where lengths differ."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    built: torch.nn.Module
    if model == "gpt2":
        config = transformers.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False)
        config._attn_implementation = "sdpa"
        built = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        config._attn_implementation = "sdpa"
        built = transformers.BertForMaskedLM(config)
    built.train(work == "training")

    def padded(documents: list[NDArray[np.int64]]) -> dict[str, torch.Tensor]:
        longest = max(len(document) for document in documents)
        ids = np.zeros((len(documents), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, document in enumerate(documents):
            ids[row, : len(document)], mask[row, : len(document)] = document, 1
        given = {"input_ids": torch.from_numpy(ids)}
        # All of one length need no mask, and the peer is faster without.
        return given if mask.all() else given | {"attention_mask": torch.from_numpy(mask)}

    def forward(documents: list[NDArray[np.int64]]) -> None:
        with torch.inference_mode():
            built(**padded(documents))

    def training(documents: list[NDArray[np.int64]]) -> None:
        given = padded(documents)
        labels = given["input_ids"]
        if "attention_mask" in given:
            labels = labels.masked_fill(given["attention_mask"] == 0, -100)
        built.zero_grad(set_to_none=True)
        built(**given, labels=labels).loss.backward()

    return _rounds({"forward": forward, "training": training}[work], model, lengths)


def flops(model: str, work: str, lengths: str) -> float:
    """Useful arithmetic of a token: its products with the matrices, and attention within its document."""
    counts = lengths_of(lengths)
    seen = (counts**2).sum() / counts.sum()
    if model == "gpt2":
        seen = seen / 2
    head = WIDTH * (VOCABULARIES[model] + (0 if model == "gpt2" else WIDTH))
    once = LAYERS * (24 * WIDTH**2 + 4 * WIDTH * seen) + 2 * head
    return once * (3 if work == "training" else 1)


def side_of(row: str, side: str) -> pairs.Side:
    """The work of a side."""
    return partial(ours if side == "ours" else transformers_model, *ROWS[row])


def main() -> None:
    """Runs the rows asked for."""
    peers = dict.fromkeys(ROWS, "transformers")
    pairs.run(__file__, __doc__, "tokens/s", peers, side_of, lambda row: flops(*ROWS[row]))


if __name__ == "__main__":
    sys.exit(main())
