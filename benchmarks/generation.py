"""Generation with GPT-2 small beside transformers: new tokens a second and peak memory, greedily and with beams.

    python benchmarks/generation.py [--json] [--row NAME] [--repeats N]

Both sides have the sizes of GPT-2 small, weights of their own at random, float32, the threads as torch has them by
itself, and go on from the same eight prompts of 16 to 256 tokens by 64 tokens each; no text ends before. The peer pads
the prompts on the left, with an attention mask, as its ``generate`` asks for; ours reads them flat. A round is the
eight prompts, read and gone on from; counted are the tokens that a caller gets, one text of each prompt. Seconds are
of the clock: ``OMP_NUM_THREADS=1`` makes them those of one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

import numpy as np
import pairs
from numpy.typing import NDArray

VOCABULARY, WIDTH, LAYERS, TOKENS = 50_257, 768, 12, 64
LENGTHS = (16, 24, 48, 64, 96, 128, 192, 256)
ROWS = {"gpt2-greedy": 1, "gpt2-beams-4": 4}


def prompts() -> list[NDArray[np.int64]]:
    """Eight prompts, in no order of their lengths."""
    draw = np.random.default_rng(1)
    return [draw.integers(5, VOCABULARY - 1, n) for n in draw.permutation(LENGTHS)]


def ours(count: int) -> Iterator[int]:
    """Flat."""
    from myna.inference.generate import Beams, Rules, write
    from myna.inference.manner import Manner
    from myna.model.heads import build
    from myna.presets import model_config

    model = build(model_config("gpt2", VOCABULARY, dropout=0.0), "causal").eval()
    choice = Beams(count) if count > 1 else None

    def rounds() -> Iterator[int]:
        while True:
            found = write(model, prompts(), TOKENS, Manner((VOCABULARY - 1,)), choice, Rules(min_tokens=TOKENS))
            yield sum(map(len, found))

    return _warm(rounds())


def transformers_model(count: int) -> Iterator[int]:
    """Padded on the left."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    config = transformers.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    config._attn_implementation = "sdpa"
    model = transformers.GPT2LMHeadModel(config).eval()
    given = prompts()
    ids = np.zeros((len(given), max(map(len, given))), np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(given):
        ids[row, -len(prompt) :], mask[row, -len(prompt) :] = prompt, 1
    asked = {"num_beams": count, "do_sample": False, "max_new_tokens": TOKENS, "min_new_tokens": TOKENS}

    def rounds() -> Iterator[int]:
        while True:
            with torch.inference_mode():
                found = model.generate(
                    torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), pad_token_id=0, **asked
                )
            yield len(found) * (found.shape[1] - ids.shape[1])

    return _warm(rounds())


def _warm(rounds: Iterator[int]) -> Iterator[int]:
    next(rounds)
    return rounds


def flops(count: int) -> float:
    """Useful arithmetic of a token that a caller gets: its share of the reading, and of all beams' steps."""
    body = LAYERS * 24 * WIDTH**2
    read = sum(length * body + LAYERS * 2 * length**2 * WIDTH for length in LENGTHS)
    seen = np.mean(LENGTHS) + TOKENS / 2
    step = count * (body + LAYERS * 4 * WIDTH * seen + 2 * WIDTH * VOCABULARY)
    return float(read / (len(LENGTHS) * TOKENS) + step)


def side_of(row: str, side: str) -> pairs.Side:
    """The work of a side."""
    return partial(ours if side == "ours" else transformers_model, ROWS[row])


def main() -> None:
    """Runs the rows asked for."""
    peers = dict.fromkeys(ROWS, "transformers")
    pairs.run(__file__, __doc__, "tokens/s", peers, side_of, lambda row: flops(ROWS[row]))


if __name__ == "__main__":
    sys.exit(main())
