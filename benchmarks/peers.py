"""The peers that pre-training is measured beside: transformers' Trainer, and plain loops over GPT-2s.

Each side takes the work of a row (``pretraining.Work``), warms up, and gives an iterator of rounds: the real tokens of
each.
"""

from __future__ import annotations

import itertools
import math
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from pretraining import Work

CLIP, DROPOUT, LEARNING_RATE = 1.0, 0.1, 1e-3
WARM_UP = 2


def rounds(train: Callable[[int], int], steps: int) -> Iterator[int]:
    """Warms up; then a round is so many steps. ``train(steps)`` gives the real tokens of those that it made."""
    train(WARM_UP)
    return (train(steps) for _ in itertools.count())


def trainer(work: Work, grouped: bool = False, bf16: bool = False) -> Iterator[int]:
    """transformers' Trainer with its collator for masked language models, paused between rounds."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder = Path(tempfile.mkdtemp())
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{n}" for n in range(work.vocabulary - 5)]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    config = transformers.BertConfig(
        vocab_size=work.vocabulary,
        hidden_size=work.width,
        num_hidden_layers=work.layers,
        num_attention_heads=work.heads,
        intermediate_size=4 * work.width,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=0.0,
    )
    return paused(
        work.steps_a_round,
        lambda inputs: int(inputs["attention_mask"].sum()),
        {
            "per_device_train_batch_size": work.documents,
            "train_sampling_strategy": "group_by_length" if grouped else "random",
            "bf16": bf16,
        },
        model=transformers.BertForMaskedLM(config),
        train_dataset=[{"input_ids": [2, *t.tolist(), 3], "attention_mask": [1] * (len(t) + 2)} for t in work.texts()],
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
    )


def paused(steps: int, units: Callable[[Any], int], arguments: dict[str, Any], **parts: Any) -> Iterator[int]:
    """transformers' Trainer, paused between rounds of ``steps``, of which each gives its ``units(inputs)`` added up.

    ``arguments`` are those of the training besides what no measurement wants, ``parts`` those of the Trainer.
    """
    import transformers

    asked: queue.Queue[int] = queue.Queue()
    done: queue.Queue[int] = queue.Queue()

    class Counting(transformers.Trainer):
        units = 0

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **named: Any) -> Any:
            self.units += units(inputs)
            return super().compute_loss(model, inputs, *args, **named)

    class Paused(transformers.TrainerCallback):
        left = WARM_UP

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.left -= 1
            if self.left == 0:
                done.put(run.units)
                self.left, run.units = asked.get(), 0

    given = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        max_steps=100_000,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **arguments,
    )
    run = Counting(args=given, callbacks=[Paused()], **parts)
    threading.Thread(target=run.train, daemon=True).start()
    done.get()

    def rounds() -> Iterator[int]:
        while True:
            asked.put(steps)
            yield done.get()

    return rounds()


def plain_loop(work: Work, nano: bool, compiled: bool = False, bf16: bool = False) -> Iterator[int]:
    """A GPT-2 of transformers, or one in the manner of nanoGPT, in a loop of a dozen lines; padded where it must be."""
    import torch

    model: torch.nn.Module = _nano(work) if nano else _transformers_gpt2(work)
    model.train()
    run: Any = torch.compile(model, dynamic=work.natural) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    # A natural document begins with its start token, as ours does.
    texts = [[2, *text.tolist()] if work.natural else text.tolist() for text in work.texts()]
    batches = itertools.cycle([texts[n : n + work.documents] for n in range(0, len(texts), work.documents)])

    def train(steps: int) -> int:
        tokens = 0
        for documents in itertools.islice(batches, steps):
            longest = max(map(len, documents))
            ids = torch.zeros(len(documents), longest, dtype=torch.long)
            labels = torch.full_like(ids, -100)
            for row, document in enumerate(documents):
                ids[row, : len(document)] = labels[row, : len(document)] = torch.tensor(document)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                # The loops' own way: text on the left, padding on the right, where a causal model never looks.
                loss = run(ids, labels) if nano else run(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            tokens += sum(map(len, documents))
        return tokens

    return rounds(train, work.steps_a_round)


def _transformers_gpt2(work: Work) -> torch.nn.Module:
    import transformers

    config = transformers.GPT2Config(
        vocab_size=work.vocabulary,
        n_embd=work.width,
        n_layer=work.layers,
        n_head=work.heads,
        n_positions=work.longest,
        resid_pdrop=DROPOUT,
        embd_pdrop=DROPOUT,
        attn_pdrop=0.0,
        use_cache=False,
    )
    config._attn_implementation = "sdpa"
    return transformers.GPT2LMHeadModel(config)


def _nano(work: Work) -> torch.nn.Module:
    """A GPT-2 as small programs write it: joint projections, fused attention, one cross-entropy over all logits."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = work.width
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.joint, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Tensor) -> Tensor:
            rows, length, width = x.shape
            joint = self.joint(self.first(x)).view(rows, length, 3, work.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(joint[0], joint[1], joint[2], is_causal=True)
            x = x + F.dropout(self.out(mixed.transpose(1, 2).reshape(rows, length, width)), DROPOUT, self.training)
            inner = F.gelu(self.up(self.second(x)), approximate="tanh")
            return x + F.dropout(self.down(inner), DROPOUT, self.training)

    class Nano(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(work.vocabulary, work.width), nn.Embedding(work.longest, work.width)
            self.blocks = nn.ModuleList(Block() for _ in range(work.layers))
            self.last = nn.LayerNorm(work.width)
            for name, parameter in self.named_parameters():
                if parameter.ndim > 1:
                    spread = 0.02 / (math.sqrt(2 * work.layers) if name.endswith(("out.weight", "down.weight")) else 1)
                    nn.init.normal_(parameter, std=spread)

        def forward(self, ids: Tensor, labels: Tensor) -> Tensor:
            x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
            x = F.dropout(x, DROPOUT, self.training)
            for block in self.blocks:
                x = block(x)
            logits = F.linear(self.last(x), self.words.weight)
            return F.cross_entropy(logits[:, :-1].reshape(-1, work.vocabulary), labels[:, 1:].reshape(-1))

    torch.manual_seed(0)
    return Nano()


SIDES: dict[str, Callable[[Work], Iterator[int]]] = {
    "trainer": trainer,
    "trainer-grouped": partial(trainer, grouped=True),
    "trainer-grouped-bf16": partial(trainer, grouped=True, bf16=True),
    "plain": partial(plain_loop, nano=False),
    "plain-compiled": partial(plain_loop, nano=False, compiled=True),
    "nano": partial(plain_loop, nano=True),
    "nano-compiled": partial(plain_loop, nano=True, compiled=True),
    "nano-compiled-bf16": partial(plain_loop, nano=True, compiled=True, bf16=True),
}
