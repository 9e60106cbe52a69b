"""Tables of what a recipe can name: tasks, objectives. A user's own is named ``my_module:MyTask``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from myna.errors import InputError

_PATH = "put its folder on PYTHONPATH, or install it"


@dataclass(frozen=True)
class Registry:
    """Classes by name, each as ``module:Class``, imported when they are asked for. ``what`` says what they are."""

    what: str
    names: Mapping[str, str]

    def check_name(self, name: str) -> None:
        """Raises an :class:`InputError` for a name that is neither in the table nor of the form ``my_module:MyOwn``."""
        if name in self.names or ":" in name:
            return
        near = difflib.get_close_matches(name, self.names, 1)
        own = f"or name my_module:My{self.what.title()}"
        remedy = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(self.names)}, {own}"
        raise InputError(f"there is no {self.what} {name!r}", remedy=remedy)

    def check_module(self, name: str) -> None:
        """Raises an :class:`InputError` for a user's own whose module is not there. Nothing of it is imported."""
        module = self.names.get(name, name).partition(":")[0].partition(".")[0]
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise InputError(f"the {self.what} {name!r} is in no module that Python finds", remedy=_PATH)

    def find(self, name: str) -> Any:
        """The class of that name, imported."""
        self.check_name(name)
        module_name, _, class_name = self.names.get(name, name).partition(":")
        try:
            return getattr(importlib.import_module(module_name), class_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise InputError(f"the {self.what} {name!r} is in no module that Python finds", remedy=_PATH) from None
        except AttributeError:
            raise InputError(f"the module {module_name!r} has no {self.what} {class_name!r}") from None
