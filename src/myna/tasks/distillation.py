"""Distillation (arXiv:1503.02531): a model, most often a smaller one, learns a task from the answers of another.

A teacher answers every training example once, before the training; its logits, a row for each output and four bytes
for each label of it, are kept with the items. So it costs one pass over the examples, and no more than that in any
epoch. It may read with another tokenizer and in other windows: of a whole text its answer is the mean over its
windows, and every word has its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from myna.errors import InputError
from myna.inference.predict import outputs_of
from myna.ledger import Ledger
from myna.tasks.task import Item, TaskItems

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded


def taught(teacher: Loaded, task: Any, items: TaskItems) -> TaskItems:
    """The items with what ``teacher`` says of each.

    Raises an :class:`InputError` for a teacher of another task or of other labels, and for words that the items do not
    hold all.
    """
    _check(teacher, task)
    theirs = teacher.task.items(items.examples)
    columns = [teacher.labels.index(label) for label in task.labels]
    outputs = outputs_of(teacher.model, teacher.task, theirs)
    answers = [torch.cat(parts).float()[:, columns] for _, parts in theirs.by_example(outputs)]
    if task.head == "sequence":
        made = [replace(item, taught=answers[item.example].mean(0, keepdim=True).numpy()) for item in items]
    else:
        made = _by_word(items, answers)
    return TaskItems(items.examples, made, Ledger())


def _check(teacher: Loaded, task: Any) -> None:
    if not hasattr(task, "distill"):
        raise InputError("this task has no way to learn from a teacher", remedy="leave teacher out")
    if type(teacher.task) is not type(task):
        what = f"the teacher is a model for {teacher.facts.get('task', 'another task')}"
        raise InputError(what, where=teacher.folder, remedy="take one that was fine-tuned for the same task")
    if set(teacher.labels) != set(task.labels):
        odd = sorted(set(teacher.labels) ^ set(task.labels))[0]
        whose = "the teacher's alone" if odd in teacher.labels else "none of the teacher's"
        raise InputError(f"the label {odd!r} is {whose}", where=teacher.folder, remedy="both must have the same labels")


def _by_word(items: TaskItems, answers: Sequence[Tensor]) -> list[Item]:
    """Each item with the rows of its own words: an example's items hold its words in their order."""
    made, read = [], Counter[int]()
    for item in items:
        begin = read[item.example]
        read[item.example] += len(item.targets)
        made.append(replace(item, taught=answers[item.example][begin : read[item.example]].numpy()))
    for number, count in read.items():
        if count != len(answers[number]):
            what = f"{len(answers[number]) - count} of the words of a text are not read, and the teacher speaks of all"
            raise InputError(what, where=items.examples[number].place, remedy='use too_long = "window" with a teacher')
    return made
