"""Pre-training beside transformers and plain loops: real tokens a second and peak memory.

    python benchmarks/pretraining.py [--json] [--row NAME] [--repeats N]

A row is ``MODEL-TEXT``, or ``MODEL-best``. Both sides have the same sizes, weights of their own at random, AdamW, a
clipped gradient, and take a step on the same number of documents; dropout of 0.1 at embeddings and residual sums. The
probabilities of attention are not dropped on either side: with it a peer would leave its fused kernel and be slower.
Float32, unless the row is a ``best``. Tokens are drawn at random: what they are changes no time. A token of padding is
none of the tokens counted.

``bert-256x4``: masked LM, width 256, 4 layers, 4 heads, vocabulary 30,522, 32 documents a step. ``bert-base``: the same
with width 768, 12 layers, 12 heads, 16 documents. The peer is transformers' Trainer with its collator. ``padded``:
documents of natural length, log-normal with median 40, cut to 8 … 128 (47 in the mean), padded to the longest of the
batch, as people run it. ``grouped``: the same documents, the peer's batches grouped by length. ``blocks``: solid
sequences of 128.

``gpt-384x6``: causal LM, width 384, 6 layers, 6 heads, vocabulary 50,304, 8 documents a step. Peers are a plain loop
over transformers' GPT-2 with its fastest attention and one in the manner of nanoGPT, each also compiled; the ratio is
to the fastest. ``stream``: solid sequences of 256. ``padded``: documents of natural length, log-normal with median 80,
cut to 10 … 256 (97 in the mean), which the peers pad to the longest of eight.

``best``: natural lengths (BERT), the stream (GPT); each side with the fastest of its settings, bfloat16 where the
processor has it, the memory allocator told to keep what is freed. Ours keeps it always.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pairs
import peers
from numpy.typing import NDArray

# What glibc is told in our own process (training/machine.py), for a process that can't tell it by itself.
KEEP_FREED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
MASKED = 0.15
TRAINER = "transformers' Trainer"


@dataclass(frozen=True)
class Work:
    """A model's sizes, and the text that it learns from: ``documents`` of ``lengths()`` a step."""

    causal: bool
    width: int
    layers: int
    heads: int
    vocabulary: int
    documents: int
    natural: bool
    longest: int
    steps_a_round: int = 4

    def lengths(self) -> NDArray[np.int64]:
        """The lengths of 60 batches of documents, ``(60, documents)``, special tokens included."""
        shape = 60, self.documents
        if not self.natural:
            return np.full(shape, self.longest)
        median, spread, shortest = (80, 0.7, 10) if self.causal else (40, 0.6, 8)
        drawn = np.random.default_rng(0).lognormal(np.log(median), spread, shape)
        return drawn.round().clip(shortest, self.longest).astype(np.int64)

    def texts(self) -> list[NDArray[np.int64]]:
        """The documents, batch after batch, without what is put around them: both special tokens (BERT), the start of
        a natural document (GPT).
        """
        draw = np.random.default_rng(1)
        around = int(self.natural) if self.causal else 2
        return [draw.integers(5, self.vocabulary, n - around) for n in self.lengths().ravel()]

    def flops(self) -> float:
        """Useful arithmetic of a token: 6 FLOP a parameter of the trunk's matrices; attention within its document,
        forward and backward; of the head's matrices at the tokens that are predicted only.
        """
        counts = self.lengths()
        seen = (counts**2).sum() / counts.sum() / (2 if self.causal else 1)
        head = self.width * self.vocabulary if self.causal else MASKED * self.width * (self.width + self.vocabulary)
        return 6 * self.layers * 12 * self.width**2 + 12 * self.layers * self.width * seen + 6 * head


BERT = partial(Work, False, 256, 4, 4, 30_522, 32)
BERT_BASE = partial(Work, False, 768, 12, 12, 30_522, 16, steps_a_round=1)
GPT = partial(Work, True, 384, 6, 6, 50_304, 8)


@dataclass(frozen=True)
class Comparison:
    """A row: the work, the peers by side, and whether ours too takes its fastest settings."""

    work: Work
    peers: dict[str, pairs.Peer]
    best: bool = False


def _loops(keep: dict[str, str]) -> dict[str, pairs.Peer]:
    return {
        "plain": pairs.Peer("transformers' GPT-2 in a plain loop", keep),
        "plain-compiled": pairs.Peer("the same compiled", keep),
        "nano": pairs.Peer("a loop like nanoGPT's", keep),
        "nano-compiled": pairs.Peer("a loop like nanoGPT's, compiled", keep),
    }


ROWS = {
    "bert-256x4-padded": Comparison(BERT(True, 128), {"trainer": pairs.Peer(TRAINER)}),
    "bert-256x4-grouped": Comparison(BERT(True, 128), {"trainer-grouped": pairs.Peer(f"{TRAINER}, grouped by length")}),
    "bert-256x4-blocks": Comparison(BERT(False, 128), {"trainer": pairs.Peer(TRAINER)}),
    "bert-256x4-best": Comparison(
        BERT(True, 128),
        {
            "trainer": pairs.Peer(f"{TRAINER} as people run it"),
            "trainer-grouped": pairs.Peer(f"{TRAINER}, grouped by length, freed memory kept", KEEP_FREED),
            "trainer-grouped-bf16": pairs.Peer("the same in bfloat16", KEEP_FREED),
        },
        best=True,
    ),
    "bert-base-padded": Comparison(BERT_BASE(True, 128), {"trainer": pairs.Peer(TRAINER)}),
    "gpt-384x6-stream": Comparison(GPT(False, 256), _loops({})),
    "gpt-384x6-padded": Comparison(GPT(True, 256), _loops({})),
    "gpt-384x6-best": Comparison(
        GPT(False, 256),
        _loops(KEEP_FREED)
        | {"nano-compiled-bf16": pairs.Peer("a loop like nanoGPT's, compiled, bfloat16", KEEP_FREED)},
        best=True,
    ),
}


def ours(work: Work, best: bool) -> Iterator[int]:
    """The loop's own step, as in a run, without its files."""
    import torch

    from myna import randomness
    from myna.model.heads import build
    from myna.objectives.causal import CausalLM
    from myna.objectives.language import Vocabulary
    from myna.objectives.masked import MaskedLM
    from myna.objectives.settings import Masked
    from myna.presets import model_config
    from myna.tokens.pieces import Piece
    from myna.training.batches import backward, make_batches
    from myna.training.machine import keep_freed_memory
    from myna.training.measuring import usual_micro_batch
    from myna.training.optimizers import make_optimizer
    from myna.training.settings import TrainingConfig

    after = None if work.natural else 5

    class Documents:
        lengths = work.lengths().ravel()
        # A solid sequence of a causal model is the middle of a document: as many targets as tokens.
        pieces = [Piece(t, np.ones(len(t), np.uint8), n, after, after) for n, t in enumerate(work.texts())]

        def __getitem__(self, index: int) -> Piece:
            return self.pieces[index]

    keep_freed_memory()
    items = Documents()
    config = TrainingConfig(steps=1000, batch_tokens=int(items.lengths[: work.documents].sum()))
    sizes = {"hidden_size": work.width, "layers": work.layers, "heads": work.heads, "feed_forward_size": 4 * work.width}
    described = model_config("gpt-mini" if work.causal else "bert-mini", work.vocabulary, **sizes)
    model = build(described, "causal" if work.causal else "masked")
    vocabulary = Vocabulary(work.vocabulary, 2, 3, 4, (0, 1, 2, 3, 4))
    objective = CausalLM(vocabulary) if work.causal else MaskedLM(vocabulary, Masked(ratio=MASKED))
    optimizer = make_optimizer(dict(model.named_parameters()), config)
    # The fastest here by `myna doctor`; larger micro-batches go with it.
    precision, micro_batch_tokens = ("bfloat16", 4096) if best else ("float32", usual_micro_batch(model))
    step = 0

    def train(steps: int) -> int:
        nonlocal step
        tokens = 0
        for _ in range(steps):
            chosen = np.arange(step * work.documents, (step + 1) * work.documents) % len(items.pieces)
            key = randomness.key(1, "step", step)
            batches = make_batches(objective, items, chosen.tolist(), micro_batch_tokens, key)
            optimizer.zero_grad()
            backward(objective, model, batches, precision)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            tokens += sum(batch.size for batch in batches)
            step += 1
        return tokens

    return peers.rounds(train, work.steps_a_round)


def side_of(row: str, side: str) -> pairs.Side:
    """The work of a side."""
    made = partial(ours, best=ROWS[row].best) if side == "ours" else peers.SIDES[side]
    return partial(made, ROWS[row].work)


def main() -> None:
    """Runs the rows asked for."""
    peers_of = {name: row.peers for name, row in ROWS.items()}
    pairs.run(__file__, __doc__, "tokens/s", peers_of, side_of, lambda row: ROWS[row].work.flops())


if __name__ == "__main__":
    sys.exit(main())
