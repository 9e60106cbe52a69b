"""Tasks: what a model is fine-tuned for. Each is one small file; a user's own is named ``my_module:MyTask``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import TYPE_CHECKING

from myna.errors import InputError

if TYPE_CHECKING:
    from myna.tasks.task import Task

# By name, so that a recipe is checked without importing torch.
TASKS = {
    "classification": "myna.tasks.classification:Classification",
    "tagging": "myna.tasks.tagging:Tagging",
}
_PATH = "put its folder on PYTHONPATH, or install it"


def check_task_name(name: str) -> None:
    """Raises an :class:`InputError` for a name that is neither in ``TASKS`` nor of the form ``my_module:MyTask``."""
    if name in TASKS or ":" in name:
        return
    near = difflib.get_close_matches(name, TASKS, 1)
    remedy = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(TASKS)}, or name my_module:MyTask"
    raise InputError(f"there is no task {name!r}", remedy=remedy)


def check_task_module(name: str) -> None:
    """Raises an :class:`InputError` for a task of a user's own whose module is not there. Nothing of it is imported."""
    module = TASKS.get(name, name).partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise InputError(f"the task {name!r} is in no module that Python finds", remedy=_PATH)


def find_task(name: str) -> type[Task]:
    """The class of a task by its name in ``TASKS``, or of a user's own as ``my_module:MyTask``."""
    check_task_name(name)
    module_name, _, class_name = TASKS.get(name, name).partition(":")
    try:
        task: type[Task] = getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise InputError(f"the task {name!r} is in no module that Python finds", remedy=_PATH) from None
    except AttributeError:
        raise InputError(f"the module {module_name!r} has no task {class_name!r}") from None
    return task
