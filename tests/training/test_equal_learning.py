"""The speed is not bought: the same data, order, weights and settings in a plain loop over transformers learn the same.

Their side is written as a tutorial would: padded batches with a mask, logits of every position, torch's AdamW one
tensor at a time, transformers' schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers as hf
from torch import Tensor, nn

from myna import randomness
from myna.huggingface.folder import read_model_folder
from myna.model.flat import document_lengths
from myna.objectives.causal import CausalLM
from myna.objectives.masked import MaskedLM
from myna.objectives.protocol import Batch
from myna.objectives.settings import Masked
from myna.tokens.sampler import Sampler
from myna.training.batches import backward, make_batches
from myna.training.optimizers import make_optimizer
from myna.training.schedules import make_schedule
from myna.training.settings import TrainingConfig

from ..stores import VOCABULARY, random_store

STEPS, WARMUP, BATCH = 200, 20, 100
CONFIG = TrainingConfig(steps=STEPS, batch_tokens=BATCH, learning_rate=5e-3, warmup_steps=WARMUP - 1, clip=0.5)
STORE = random_store([14, 3, 20, 9, 9, 17, 2, 22] * 8, word=2)


def small_bert(vocabulary: int, **more: Any) -> hf.BertConfig:
    """Of width 16, two layers, without dropout."""
    return hf.BertConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **more,
    )


def bert() -> hf.PreTrainedModel:
    return hf.BertForMaskedLM(small_bert(VOCABULARY.size))


def gpt2() -> hf.PreTrainedModel:
    config = hf.GPT2Config(
        vocab_size=VOCABULARY.size,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=24,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return hf.GPT2LMHeadModel(config)


def padded(batches: Sequence[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """The documents of a step as ``(documents, length)``: ids, their mask, and labels, −100 where there is none."""
    ids, labels = [], []
    for batch in batches:
        lengths = document_lengths(batch.tokens.runs)
        line = torch.full_like(batch.tokens.ids, -100)
        line[slice(None) if batch.positions is None else batch.positions] = batch.targets
        ids += batch.tokens.ids.split(lengths)
        labels += line.split(lengths)
    mask = [torch.ones_like(text) for text in ids]
    pad = nn.utils.rnn.pad_sequence
    return pad(ids, batch_first=True), pad(mask, batch_first=True), pad(labels, batch_first=True, padding_value=-100)


def plain_loop(model: hf.PreTrainedModel, steps: Sequence[Sequence[Batch]]) -> list[float]:
    optimizer, schedule = tutorial_optimizer(model, STEPS, WARMUP)
    losses = []
    for batches in steps:
        ids, mask, labels = padded(batches)
        logits = model(input_ids=ids, attention_mask=mask).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def tutorial_optimizer(
    model: nn.Module, steps: int, warmup: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """As people write it down; after the step that has a learning rate of 0 with them."""
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1 and not is_embedding(name)]
    others = [p for name, p in model.named_parameters() if p.ndim == 1 or is_embedding(name)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=5e-3, foreach=False, fused=False)
    schedule = hf.get_linear_schedule_with_warmup(optimizer, warmup, steps + 1)
    optimizer.step()
    schedule.step()
    return optimizer, schedule


def is_embedding(name: str) -> bool:
    return "embeddings" in name or ".wte." in name or ".wpe." in name


@pytest.mark.parametrize(
    "make, objective", [(bert, MaskedLM(VOCABULARY, Masked(ratio=0.3))), (gpt2, CausalLM(VOCABULARY))]
)
def test_the_losses_of_200_steps_are_those_of_a_plain_loop_over_transformers(
    tmp_path: Path, make: Callable[[], hf.PreTrainedModel], objective: MaskedLM | CausalLM
) -> None:
    torch.manual_seed(3)
    theirs = make().eval()
    theirs.save_pretrained(tmp_path)
    ours = read_model_folder(tmp_path)[0].double()
    items = objective.items([STORE], 24)
    sampler = Sampler(items.lengths, BATCH, seed=4)
    schedule, optimizer = make_schedule(CONFIG, STEPS), make_optimizer(dict(ours.named_parameters()), CONFIG)
    losses, steps = [], []
    for step in range(STEPS):
        key = randomness.key(4, "step", step)
        batches = make_batches(objective, items, sampler.step(step).tolist(), 40, key)
        optimizer.zero_grad()
        losses.append(backward(objective, ours, batches))
        nn.utils.clip_grad_norm_(ours.parameters(), CONFIG.clip)
        optimizer.step(schedule.rate(step))
        steps.append(batches)
    expected = plain_loop(theirs.double(), steps)
    assert losses == pytest.approx(expected, rel=1e-9)
    assert expected[-1] < expected[0] - 0.1
