"""Tasks: what a model is fine-tuned for. Each is one small file; a user's own is named ``my_module:MyTask``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myna.registry import Registry

if TYPE_CHECKING:
    from myna.tasks.task import Task

# By name, so that a recipe is checked without importing torch.
TASKS = {
    "classification": "myna.tasks.classification:Classification",
    "multilabel": "myna.tasks.multilabel:Multilabel",
    "regression": "myna.tasks.regression:Regression",
    "pairs": "myna.tasks.pairs:Pairs",
    "tagging": "myna.tasks.tagging:Tagging",
    "words": "myna.tasks.words:TagsOfWords",
    "embeddings": "myna.tasks.embeddings:Embeddings",
    "questions": "myna.tasks.questions:Questions",
    "segmentation": "myna.tasks.segmentation:Segmentation",
    "extraction": "myna.tasks.extraction:Extraction",
    "summarization": "myna.tasks.writing:Summarization",
    "translation": "myna.tasks.translation:Translation",
    "generation": "myna.tasks.generation:Generation",
    "instructions": "myna.tasks.instructions:Instructions",
}
# Those whose answer is a text.
WRITING = ("summarization", "translation", "generation", "instructions")
# Those whose examples have such a text beside them.
TARGETED = (*WRITING, "extraction")
_REGISTRY = Registry("task", TASKS)


def check_task_name(name: str) -> None:
    """Raises an :class:`InputError` for a name that is neither in ``TASKS`` nor of the form ``my_module:MyTask``."""
    _REGISTRY.check_name(name)


def check_task_module(name: str) -> None:
    """Raises an :class:`InputError` for a task of a user's own whose module is not there. Nothing of it is imported."""
    _REGISTRY.check_module(name)


def find_task(name: str) -> type[Task]:
    """The class of a task by its name in ``TASKS``, or of a user's own as ``my_module:MyTask``."""
    task: type[Task] = _REGISTRY.find(name)
    return task
