"""Pre-training beside transformers' Trainer: real tokens a second and peak memory.

    python benchmarks/pretraining.py [--json] [--row NAME] [--repeats N]

``bert-256x4-blocks``: masked LM, BERT of width 256, 4 layers, 4 heads, vocabulary 30,522, solid sequences of 128
tokens, batches of 4,096 tokens, float32, dropout 0.1 at embeddings and residual sums. Attention probabilities are not
dropped on either side: with it the peer would leave its fused kernel and be slower.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pairs

VOCABULARY, WIDTH, LAYERS, HEADS, LENGTH, SEQUENCES = 30_522, 256, 4, 4, 128, 32
STEPS_A_ROUND = 4
MASKED = 0.15
# Useful arithmetic of a token: 6 FLOP a parameter of the trunk's matrices; attention within its document, forward and
# backward; the head's two matrices at the masked positions only.
FLOPS = 6 * LAYERS * 12 * WIDTH**2 + 12 * LAYERS * WIDTH * LENGTH + MASKED * 6 * (WIDTH**2 + WIDTH * VOCABULARY)


def _texts() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(5, VOCABULARY, LENGTH - 2) for _ in range(40 * SEQUENCES)]


def ours() -> Iterator[int]:
    """The loop's own step, as in a run, without its files."""
    import torch

    from myna import randomness
    from myna.model.heads import build
    from myna.model.presets import model_config
    from myna.objectives.language import Vocabulary
    from myna.objectives.masked import MaskedLM
    from myna.objectives.settings import Masked
    from myna.tokens.pieces import Piece
    from myna.training.loop import backward, make_batches, make_optimizer
    from myna.training.machine import keep_freed_memory
    from myna.training.settings import TrainingConfig

    class Solid:
        lengths = np.full(40 * SEQUENCES, LENGTH)
        pieces = [Piece(t, np.ones(len(t), np.uint8), n, None, None) for n, t in enumerate(_texts())]

        def __getitem__(self, index: int) -> Piece:
            return self.pieces[index]

    keep_freed_memory()
    config = TrainingConfig(steps=1000, batch_tokens=SEQUENCES * LENGTH)
    described = model_config("bert-mini", VOCABULARY)
    assert (described.hidden_size, described.layers, described.heads) == (WIDTH, LAYERS, HEADS)
    model = build(described, "masked")
    objective = MaskedLM(Vocabulary(VOCABULARY, 2, 3, 4, (0, 1, 2, 3, 4)), Masked(ratio=MASKED))
    optimizer = make_optimizer(dict(model.named_parameters()), config)
    items, step = Solid(), 0

    def train(steps: int) -> int:
        nonlocal step
        for _ in range(steps):
            chosen = np.arange(step * SEQUENCES, (step + 1) * SEQUENCES) % len(items.pieces)
            key = randomness.key(1, "step", step)
            batches = make_batches(objective, items, chosen.tolist(), config.micro_batch_tokens, key)
            optimizer.zero_grad(set_to_none=True)
            backward(objective, model, batches)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            step += 1
        return steps * SEQUENCES * LENGTH

    train(2)

    def rounds() -> Iterator[int]:
        while True:
            yield train(STEPS_A_ROUND)

    return rounds()


def trainer() -> Iterator[int]:
    """transformers' Trainer with its collator for masked language models, paused between rounds."""
    import queue
    import threading

    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder = Path(tempfile.mkdtemp())
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{n}" for n in range(VOCABULARY - 5)]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.BertForMaskedLM(config)
    data = [{"input_ids": [2, *text.tolist(), 3], "attention_mask": [1] * LENGTH} for text in _texts()]
    asked: queue.Queue[int] = queue.Queue()
    done: queue.Queue[int] = queue.Queue()

    class Paused(transformers.TrainerCallback):
        left = 2

        def on_step_end(self, args, state, control, **kwargs):
            self.left -= 1
            if self.left == 0:
                done.put(1)
                self.left = asked.get()

    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=SEQUENCES,
        max_steps=100_000,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    run = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED),
        callbacks=[Paused()],
    )
    torch.set_num_threads(torch.get_num_threads())
    threading.Thread(target=run.train, daemon=True).start()
    done.get()

    def rounds() -> Iterator[int]:
        while True:
            asked.put(STEPS_A_ROUND)
            done.get()
            yield STEPS_A_ROUND * SEQUENCES * LENGTH

    return rounds()


ROWS = {"bert-256x4-blocks": {"ours": ours, "peer": trainer}}


def main() -> None:
    """Runs the rows asked for."""
    given = pairs.options(__doc__, ROWS).parse_args()
    if given.side:
        pairs.serve(ROWS[given.row][given.side])
        return
    for row in [given.row] if given.row else ROWS:
        result = pairs.compare(__file__, row, "transformers' Trainer", "tokens/s", FLOPS, given.repeats)
        pairs.show(result, given.json)


if __name__ == "__main__":
    sys.exit(main())
