"""Models that answer the texts of a fine-tuning before it begins: its teacher, and what makes the summaries it reads.

Their answers take time, and while they answer there is memory for their weights; then they are gone. Here their weights
are random, as those of all that a plan looks at: what they are made of is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from myna.huggingface.families import empty_model
from myna.huggingface.folder import read_facts, read_settings
from myna.inference.loaded import Loaded
from myna.inference.predict import BATCH_TOKENS, outputs_of
from myna.ledger import Ledger
from myna.model.heads import Model, build
from myna.objectives.protocol import Batch
from myna.tasks.examples import Example
from myna.tasks.task import Task, TaskItems
from myna.tokens.sampler import micro_batches
from myna.tokens.tokenizer import Tokenizer
from myna.training.arithmetic import useful_flops

# Texts of a part of the answers: as many as fill whole batches.
_EXAMPLES = 512


@dataclass(frozen=True)
class Answers:
    """A ``model`` with its ``task``, and the ``examples`` that it answers."""

    model: Model
    task: Task
    examples: Sequence[Example]

    def part(self, number: int) -> tuple[Callable[[], object], int]:
        """The work of the n-th part of them, and how many examples it answers: none behind the last."""
        few = self.examples[number * _EXAMPLES : (number + 1) * _EXAMPLES]
        items = self.task.items(few)
        return lambda: outputs_of(self.model, self.task, items), len(few)

    def batches(self) -> list[Batch]:
        """The batches of the first part."""
        items = self.task.items(self.examples[:_EXAMPLES])
        chosen = micro_batches(items.lengths, BATCH_TOKENS)
        return [self.task.batch([items[i] for i in numbers], numbers, None) for numbers in chosen]

    def flops(self) -> float:
        """FLOP of all answers, by those of the first part: a third of a training's, which goes backward too."""
        share = min(_EXAMPLES, len(self.examples)) / len(self.examples)
        return useful_flops(self.model, self.batches()) / 3 / share


# Makes the model when it is called, so that it takes memory no longer than it answers.
Answering = Callable[[], Answers]


def in_folder(folder: Path) -> tuple[Model, Task]:
    """The model that a folder describes, and its task."""
    settings = read_settings(folder)
    described = empty_model(settings)[0]
    model = build(described.config, described.kind, described.labels, seed=1)
    loaded = Loaded(model, Tokenizer.open(folder), read_facts(folder), folder, settings)
    return model, loaded.task


def as_if_taught(items: TaskItems, labels: Sequence[str]) -> TaskItems:
    """The items with a teacher's answers, all zero."""
    made = [replace(item, taught=np.zeros((len(item.targets), len(labels)), np.float32)) for item in items]
    return TaskItems(items.examples, made, Ledger())


def weights_of(model: Model) -> int:
    """The bytes of a model's weights."""
    return sum(parameter.nbytes for parameter in model.parameters())
