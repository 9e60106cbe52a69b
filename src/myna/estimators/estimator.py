"""What all estimators have in common: their parameters, ``save`` and ``load``, the model that is fitted.

What is fitted are the files of a model's folder, held in memory: an estimator can be pickled, and ``save`` writes them
where every command of Myna reads them. No pickle is read from there.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from myna import files
from myna.errors import InputError
from myna.estimators.fitting import ESTIMATOR, fit_model, open_model, read_files, write_files
from myna.estimators.given import asked_of, plain
from myna.inference.predict import unlabelled

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded
    from myna.tasks.examples import Example

_FORMAT = 1


# scikit-learn asks of a constructor that it does nothing but assign: that is what a dataclass has. Two estimators are
# equal where they are the same one, and they are printed in its manner.
@dataclass(eq=False, repr=False)
class TextEstimator(BaseEstimator, ABC):
    """What all have in common.

    Parameters are those of a ``[finetune]`` table. ``model`` is a preset, which is trained from nothing, or a model's
    folder; ``batch_tokens`` depends on the texts where it is None. ``validation_fraction``, in whole hundredths, of the
    texts choose the best epoch and are not trained on. ``settings`` has any others, as ``{"optimizer": "muon"}``, and
    settings of the recipe by their dotted keys. ``verbose`` shows how far it is.

    Fitted it has ``model_files_``, the files of the model's folder by name, and ``validation_score_``, the score of the
    epoch that was kept.
    """

    model: str = "bert-mini"
    _: KW_ONLY
    epochs: float = 3
    learning_rate: float = 3e-4
    batch_tokens: int | None = None
    seed: int = 1
    validation_fraction: float = 0.1
    freeze: Literal["trunk"] | None = None
    settings: Mapping[str, Any] | None = None
    verbose: bool = False

    def save(self, folder: Path | str) -> None:
        """Writes the model's folder, with the estimator's parameters beside the model, all of it or nothing.

        A folder that an estimator was saved to before is replaced; any other that holds something is an
        :class:`InputError`.
        """
        check_is_fitted(self)
        about = {
            "format": _FORMAT,
            "estimator": type(self).__name__,
            "parameters": self.get_params(deep=False),
            "classes": plain(getattr(self, "classes_", ())),
        }
        try:
            content = json.dumps(about, ensure_ascii=False, indent=1)
        except TypeError as error:
            raise InputError(f"a parameter cannot be written ({error})", remedy="give plain values") from None
        write_files({**self.model_files_, ESTIMATOR: content.encode()}, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The estimator that :meth:`save` wrote, or one around a model that ``myna finetune`` made for this task.

        Raises an :class:`InputError` for a folder that is damaged, or of another estimator or task.
        """
        folder = Path(folder)
        files.check_folder(folder)
        about = files.read_object(folder / ESTIMATOR) if (folder / ESTIMATOR).is_file() else {}
        if about and (about.get("format"), about.get("estimator")) != (_FORMAT, cls.__name__):
            what = f"this is a {about.get('estimator')}, and no {cls.__name__}"
            raise InputError(what, where=folder, remedy=f"use myna.{about.get('estimator')}.load")
        try:
            made = cls(**about.get("parameters", {"model": str(folder)}))
        except TypeError as error:
            raise InputError(f"this file is damaged ({error})", where=folder / ESTIMATOR) from None
        content = {name: data for name, data in read_files(folder).items() if name != ESTIMATOR}
        made._take(content, open_model(content, folder), about.get("classes"))
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_files_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.target_tags.required, tags.no_validation = True, True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # A model in use is opened anew from its files.
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    def _settings(self) -> dict[str, Any]:
        per_cent = 100 * self.validation_fraction
        if not (0.9 <= per_cent <= 90 and abs(per_cent - round(per_cent)) < 1e-6):
            raise InputError(f"validation_fraction is {self.validation_fraction}", remedy="give 0.01, 0.02 … 0.9")
        own = ("epochs", "learning_rate", "batch_tokens", "seed", "pooling", "freeze")
        given = {name: getattr(self, name) for name in own if hasattr(self, name)}
        settings = {**given, "corpus.examples.validation": round(per_cent), **(self.settings or {})}
        if isinstance(settings.get("seeds"), list):
            del settings["seed"]
        return settings

    def _fit(
        self,
        task: str,
        rows: list[dict[str, Any]],
        validation: list[dict[str, Any]] | None,
        classes: Sequence[Any] | None = None,
        **settings: Any,
    ) -> None:
        settings = {**self._settings(), **settings}
        content = fit_model(task, str(self.model), rows, settings, validation, bool(self.verbose))
        self._take(content, open_model(content), classes)

    def _take(self, content: dict[str, bytes], opened: Loaded, classes: Sequence[Any] | None) -> None:
        """Takes up a model; ``classes`` are those of the user, by whose names the model calls them."""
        self._check_task(opened)
        self._opened, self.model_files_ = opened, content
        best = opened.facts.get("best") or {}
        self.validation_score_ = float(best.get("score", np.nan))
        self._take_labels(opened.labels, classes)

    def _take_labels(self, labels: tuple[str, ...], classes: Sequence[Any] | None) -> None:
        """What the model's labels are to the user."""

    @abstractmethod
    def _check_task(self, opened: Loaded) -> None:
        """Raises an :class:`InputError` where the model is for another task."""

    def _loaded(self) -> Loaded:
        """The fitted model, in use; after unpickling it is opened anew."""
        check_is_fitted(self)
        if not hasattr(self, "_opened"):
            self._opened = open_model(self.model_files_)
        return self._opened

    def _examples(self, texts: Any) -> list[Example]:
        """What is asked, without answers; an :class:`InputError` for what the model does not read."""
        reads, asked = self._loaded().reads, asked_of(texts)
        for number, each in enumerate(asked, 1):
            if (reads == "pairs") != isinstance(each, tuple) or (isinstance(each, list) and reads != "words"):
                remedy = {"pairs": "give pairs of texts, as tuples", "words": "give lists"}.get(reads, "give strings")
                raise InputError(f"text {number} is {type(each).__name__}, and this model reads {reads}", remedy=remedy)
        return unlabelled(asked)

    def _said(self, texts: Any) -> Sequence[Any]:
        """The model's predictions."""
        examples = self._examples(texts)
        return self._loaded().predict_examples(examples)


def check(opened: Loaded, kind: type, name: str) -> None:
    """Raises an :class:`InputError` where what the model says of a text is not of that kind."""
    asked: Any = {"pairs": ("a", "a"), "words": ["a"]}.get(opened.reads, "a")
    (said,) = opened.predict_examples(unlabelled([asked]))
    if not isinstance(said, kind):
        what = f"this model is for {opened.facts.get('task', 'another task')}, which a {name} is not"
        raise InputError(what, where=opened.folder, remedy="use myna.load, which takes any model")
