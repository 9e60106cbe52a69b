"""Fine-tuning learns what a plain loop over transformers learns from the same weights, texts and settings.

Their side is written as a tutorial would: padded batches with a mask, torch's AdamW one tensor at a time, transformers'
schedule. So the speed of ours (``benchmarks/finetuning.py``) is not bought.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers as hf
from torch import nn

from myna import randomness
from myna.finetuning import FinetuneConfig
from myna.huggingface.folder import read_model_folder
from myna.tasks.classification import Classification
from myna.tasks.regression import Regression
from myna.tokens.sampler import Sampler
from myna.tokens.tokenizer import Tokenizer
from myna.training.batches import backward, make_batches
from myna.training.optimizers import make_optimizer
from myna.training.schedules import make_schedule

from ..tasks.material import tokenizer_folder
from ..tasks.test_tasks import LABELS, random_examples
from .test_equal_learning import small_bert, tutorial_optimizer

STEPS, WARMUP, BATCH = 80, 8, 160


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_the_losses_of_80_steps_are_those_of_a_plain_loop_over_transformers(tmp_path: Path, name: str) -> None:
    tokenizer = Tokenizer.open(tokenizer_folder(tmp_path / "tokenizer"))
    labels = LABELS[name]
    torch.manual_seed(3)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    config = small_bert(tokenizer.vocabulary_size, **names)
    theirs = hf.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path / "model")
    ours = read_model_folder(tmp_path / "model")[0].double()
    theirs = theirs.double()
    settings = {"steps": STEPS, "batch_tokens": BATCH, "learning_rate": 5e-3, "warmup_steps": WARMUP - 1, "clip": 0.5}
    given = FinetuneConfig(task=name, corpus="c", start_from="e", **settings)
    examples = random_examples(name, 90, longest=18)
    task = (Regression if name == "regression" else Classification)(tokenizer, labels, 24)
    task.adjust(given, examples, ours)
    items = task.items(examples)
    sampler = Sampler(items.lengths, BATCH, seed=4)
    schedule, optimizer = make_schedule(given, STEPS), make_optimizer(dict(ours.named_parameters()), given)
    plain, falling = tutorial_optimizer(theirs, STEPS, WARMUP)
    for step in range(STEPS):
        chosen = sampler.step(step).tolist()
        batches = make_batches(task, items, chosen, 60, randomness.key(4, "step", step))
        assert len(batches) > 1
        optimizer.zero_grad()
        loss = backward(task, ours, batches)
        nn.utils.clip_grad_norm_(ours.parameters(), given.clip)
        optimizer.step(schedule.rate(step))

        some = [items[number] for number in chosen]
        ids = nn.utils.rnn.pad_sequence([torch.from_numpy(item.ids) for item in some], batch_first=True)
        mask = nn.utils.rnn.pad_sequence([torch.ones(len(item.ids)) for item in some], batch_first=True)
        targets = torch.cat([torch.from_numpy(item.targets) for item in some])
        logits = theirs(input_ids=ids, attention_mask=mask).logits
        if name == "regression":
            values = torch.tensor([example.value for example in examples], dtype=torch.float64)
            expected = F.mse_loss(logits[:, 0], (targets - values.mean()) / values.std(correction=0))
        else:
            expected = F.cross_entropy(logits, targets)
        plain.zero_grad()
        expected.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        plain.step()
        falling.step()
        assert loss == pytest.approx(expected.item(), rel=1e-9), f"step {step}"
    first = 1.0986 if name == "classification" else 1.0
    assert loss < 0.5 * first
