"""Prediction beside transformers' pipeline: texts a second, from strings to answers, and peak memory.

    python benchmarks/prediction.py [--json] [--row NAME] [--repeats N]

A BERT-base (12 layers, width 768, vocabulary 30,522) classifies 1,000 texts of 10 to 200 tokens, evenly spread, 100 a
round. Weights and words are drawn at random: what they are changes no time. Both sides read the same folder.

``predict-float32``: beside a pipeline with batches of 32, as people run it. ``predict-single``: the pipeline takes one
text at a time, and so pads nothing. ``predict-best``: ours in the fastest of float32, bfloat16 and int8, which it
measures at its start; the ratio is to the fastest peer: the pipeline as above, in bfloat16, and in bfloat16 with the
texts of a round sorted by length. How far the scores of ours then are from those in float32 goes to standard error.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pairs

TEXTS, A_ROUND, SHORTEST, LONGEST, VOCABULARY = 1000, 100, 10, 200, 30_522
WIDTH, LAYERS = 768, 12
TRIED = ("float32", "bfloat16", "int8")
PIPELINE = "a pipeline with batches of 32"


@dataclass(frozen=True)
class Comparison:
    """A row: the peers by side, and whether ours takes its fastest numbers."""

    peers: dict[str, pairs.Peer]
    best: bool = False


ROWS = {
    "predict-float32": Comparison({"batches": pairs.Peer(PIPELINE)}),
    "predict-single": Comparison({"single": pairs.Peer("a pipeline, text by text")}),
    "predict-best": Comparison(
        {
            "batches": pairs.Peer(PIPELINE),
            "batches-bf16": pairs.Peer("the same in bfloat16"),
            "sorted-bf16": pairs.Peer("the same in bfloat16, sorted by length"),
        },
        best=True,
    ),
}


def lengths() -> np.ndarray:
    """The tokens of each text, special ones included."""
    return np.random.default_rng(0).integers(SHORTEST, LONGEST + 1, TEXTS)


def texts() -> list[str]:
    """The texts: words that are one piece each."""
    draw = np.random.default_rng(1)
    return [" ".join(f"w{word}" for word in draw.integers(0, VOCABULARY - 5, n - 2)) for n in lengths()]


def flops() -> float:
    """Useful arithmetic of a text: 2 FLOP a token and parameter of the layers' matrices, and attention within it."""
    counts = lengths()
    return float(2 * LAYERS * 12 * WIDTH**2 * counts.mean() + 4 * LAYERS * WIDTH * (counts**2).mean())


def material(folder: Path) -> None:
    """Writes the model."""
    from transformers import BertTokenizerFast

    from myna.huggingface.families import with_head
    from myna.huggingface.folder import write_model_folder
    from myna.model.heads import build
    from myna.presets import model_config

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{n}" for n in range(VOCABULARY - 5)]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder / "tokenizer")
    described = with_head(model_config("bert-base", VOCABULARY), "masked", "sequence")
    model = build(described, "sequence", ("negative", "positive"), seed=1)
    write_model_folder(folder / "model", model, folder / "tokenizer", {"task": "classification"})


def rounds() -> Iterator[list[str]]:
    """100 texts after the other, again and again."""
    every = texts()
    return itertools.cycle([every[n : n + A_ROUND] for n in range(0, TEXTS, A_ROUND)])


def ours(best: bool) -> Iterator[int]:
    """``myna.load(…).predict``."""
    import myna

    folder = Path(os.environ[pairs.MATERIAL]) / "model"
    some = texts()[:16]
    loaded = myna.load(folder)
    loaded.predict(some)
    if best:
        speeds = {}
        for dtype in TRIED:
            other = myna.load(folder, dtype=dtype)
            other.predict(some)
            began = time.perf_counter()
            other.predict(some)
            speeds[dtype] = len(some) / (time.perf_counter() - began)
        fastest = max(speeds, key=lambda dtype: speeds[dtype])
        other = myna.load(folder, dtype=fastest)
        _say_change(fastest, loaded.predict(texts()[:A_ROUND]), other.predict(texts()[:A_ROUND]), speeds)
        loaded = other

    def predict() -> Iterator[int]:
        for some in rounds():
            yield len(loaded.predict(some))

    return predict()


def _say_change(name: str, exact: list[dict], said: list[dict], speeds: dict[str, float]) -> None:
    apart = [abs(a["scores"]["positive"] - b["scores"]["positive"]) for a, b in zip(exact, said, strict=True)]
    other = sum(a["label"] != b["label"] for a, b in zip(exact, said, strict=True))
    tried = ", ".join(f"{dtype} {speed:.1f}" for dtype, speed in speeds.items())
    print(
        f"ours in {name} (texts/s at the start: {tried}): scores differ from float32 by {max(apart):.4f} at most, "
        f"{np.mean(apart):.4f} in the mean; {other} of {len(said)} labels are others",
        file=sys.stderr,
        flush=True,
    )


def pipeline(size: int, bf16: bool = False, ordered: bool = False) -> Iterator[int]:
    """transformers' pipeline for texts."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder = str(Path(os.environ[pairs.MATERIAL]) / "model")
    kind = torch.bfloat16 if bf16 else torch.float32
    run = transformers.pipeline("text-classification", folder, dtype=kind, batch_size=size, device="cpu")
    run(texts()[:16])

    def predict() -> Iterator[int]:
        for some in rounds():
            yield len(run(sorted(some, key=len) if ordered else some))

    return predict()


SIDES = {
    "batches": partial(pipeline, 32),
    "single": partial(pipeline, 1),
    "batches-bf16": partial(pipeline, 32, bf16=True),
    "sorted-bf16": partial(pipeline, 32, bf16=True, ordered=True),
}


def side_of(row: str, side: str) -> pairs.Side:
    """The work of a side."""
    return partial(ours, ROWS[row].best) if side == "ours" else SIDES[side]


def main() -> None:
    """Runs the rows asked for."""
    peers_of = {name: row.peers for name, row in ROWS.items()}
    pairs.run(__file__, __doc__, "texts/s", peers_of, side_of, lambda row: flops(), material)


if __name__ == "__main__":
    sys.exit(main())
