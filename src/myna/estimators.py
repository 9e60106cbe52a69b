"""Fine-tuning in scikit-learn's manner: ``fit``, ``predict``, ``score``, under ``Pipeline`` and ``GridSearchCV`` too.

What is fitted are the files of a model's folder, held in memory: an estimator can be pickled, and ``save`` writes them
where every command of Myna reads them. No pickle is read from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from myna import files
from myna.errors import InputError
from myna.fitting import fit_model, open_model, read_files, write_files
from myna.inference.predict import unlabelled

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded
    from myna.tasks.examples import Example

# What the folder of a saved estimator has beside the model's files.
_FILE = "estimator.json"
_FORMAT = 1
Pooling = Literal["first", "mean", "last"]


class TextEstimator(BaseEstimator):  # type: ignore[misc]
    """What all have in common.

    Parameters are those of a ``[finetune]`` table. ``model`` is a preset, which is trained from nothing, or a model's
    folder; ``batch_tokens`` depends on the texts where it is None. ``validation_fraction``, in whole hundredths, of the
    texts choose the best epoch and are not trained on. ``settings`` has any others, as ``{"optimizer": "muon"}``, and
    settings of the recipe by their dotted keys. ``verbose`` shows how far it is.

    Fitted it has ``model_files_``, the files of the model's folder by name, and ``validation_score_``, the score of the
    epoch that was kept.
    """

    def __init__(
        self,
        model: str = "bert-mini",
        *,
        epochs: float = 3,
        learning_rate: float = 3e-4,
        batch_tokens: int | None = None,
        seed: int = 1,
        validation_fraction: float = 0.1,
        pooling: Pooling | None = None,
        freeze: Literal["trunk"] | None = None,
        settings: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.validation_fraction = validation_fraction
        self.pooling = pooling
        self.freeze = freeze
        self.settings = settings
        self.verbose = verbose

    def save(self, folder: Path | str) -> None:
        """Writes the model's folder, with the estimator's parameters beside the model, all of it or nothing."""
        check_is_fitted(self)
        about = {
            "format": _FORMAT,
            "estimator": type(self).__name__,
            "parameters": self.get_params(deep=False),
            "classes": _plain(getattr(self, "classes_", ())),
        }
        try:
            content = json.dumps(about, ensure_ascii=False, indent=1)
        except TypeError as error:
            raise InputError(f"a parameter cannot be written ({error})", remedy="give plain values") from None
        write_files({**self.model_files_, _FILE: content.encode()}, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The estimator that :meth:`save` wrote, or one around a model that ``myna finetune`` made for this task.

        Raises an :class:`InputError` for a folder that is damaged, or of another estimator or task.
        """
        folder = Path(folder)
        files.check_folder(folder)
        about = files.read_object(folder / _FILE) if (folder / _FILE).is_file() else {}
        if about and (about.get("format"), about.get("estimator")) != (_FORMAT, cls.__name__):
            what = f"this is a {about.get('estimator')}, and no {cls.__name__}"
            raise InputError(what, where=folder, remedy=f"use myna.{about.get('estimator')}.load")
        try:
            made = cls(**about.get("parameters", {"model": str(folder)}))
        except TypeError as error:
            raise InputError(f"this file is damaged ({error})", where=folder / _FILE) from None
        content = {name: data for name, data in read_files(folder).items() if name != _FILE}
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

    def _check_task(self, opened: Loaded) -> None:
        """Raises an :class:`InputError` where the model is for another task."""
        raise NotImplementedError

    def _loaded(self) -> Loaded:
        """The fitted model, in use; after unpickling it is opened anew."""
        check_is_fitted(self)
        if not hasattr(self, "_opened"):
            self._opened = open_model(self.model_files_)
        return self._opened

    def _examples(self, texts: Any) -> list[Example]:
        """What is asked, without answers; an :class:`InputError` for what the model does not read."""
        reads, asked = self._loaded().reads, _asked(texts)
        for number, each in enumerate(asked, 1):
            if (reads == "pairs") != isinstance(each, tuple) or (isinstance(each, list) and reads != "words"):
                remedy = {"pairs": "give pairs of texts, as tuples", "texts": "give strings"}.get(reads, "give lists")
                raise InputError(f"text {number} is {type(each).__name__}, and this model reads {reads}", remedy=remedy)
        return unlabelled(asked)

    def _said(self, texts: Any) -> Sequence[Any]:
        """The model's predictions."""
        examples = self._examples(texts)
        return self._loaded().predict_examples(examples)


class TextClassifier(ClassifierMixin, TextEstimator):  # type: ignore[misc]
    """One of several labels for each text, or for each pair of texts (tuples of two).

    ``class_weights`` is ``"balanced"`` or a number by class. Labels are of any one type that NumPy sorts; ``classes_``
    are those that were learned, sorted, as the columns of :meth:`predict_proba`. Of texts that are the same but for
    case, width and punctuation one is read, and none where they have two labels: so does ``myna finetune``.
    """

    def __init__(
        self,
        model: str = "bert-mini",
        *,
        epochs: float = 3,
        learning_rate: float = 3e-4,
        batch_tokens: int | None = None,
        seed: int = 1,
        validation_fraction: float = 0.1,
        class_weights: Mapping[Any, float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
        pooling: Pooling | None = None,
        freeze: Literal["trunk"] | None = None,
        settings: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_tokens=batch_tokens,
            seed=seed,
            validation_fraction=validation_fraction,
            pooling=pooling,
            freeze=freeze,
            settings=settings,
            verbose=verbose,
        )
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts and their labels; ``validation`` are others to choose the best epoch by.

        Raises an :class:`InputError` for what cannot be learned from: an empty text, a label that occurs once.
        """
        rows, classes = _rows(X, y, "label", _name), _classes(y)
        others = None if validation is None else _rows(*validation, "label", _name)
        weights = self.class_weights
        if isinstance(weights, Mapping):
            weights = {_name(each): weight for each, weight in weights.items()}
        settings = {"class_weights": weights, "label_smoothing": self.label_smoothing, "label_column": "label"}
        self._fit("pairs" if "pair" in rows[0] else "classification", rows, others, classes, **settings)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each text, ``(texts,)``, of the type of those it was fitted with."""
        best = self.predict_proba(X).argmax(1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities, ``(texts, classes)``, of ``classes_`` in their order."""
        said = self._said(X)
        whole = np.array([each.probabilities for each in said], np.float64).reshape(len(said), len(self.classes_))
        return whole[:, self._columns]

    def _take_labels(self, labels: tuple[str, ...], classes: Sequence[Any] | None) -> None:
        known = [each for each in (labels if classes is None else classes) if _name(each) in labels]
        self.classes_ = np.array(known)
        self._columns = [labels.index(_name(each)) for each in known]

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.classification import Classified

        _check(opened, Classified, type(self).__name__)


class TextRegressor(RegressorMixin, TextEstimator):  # type: ignore[misc]
    """A number for each text, or for each pair of texts (tuples of two). ``score`` is R²."""

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts and their numbers; ``validation`` are others to choose the best epoch by.

        Raises an :class:`InputError` for what cannot be learned from, as an empty text or a number that is none.
        """
        rows = _rows(X, y, "value", _number)
        others = None if validation is None else _rows(*validation, "value", _number)
        self._fit("pairs" if "pair" in rows[0] else "regression", rows, others, value_column="value")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The number of each text, ``(texts,)``."""
        return np.array([each.value for each in self._said(X)], np.float64)

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.regression import Valued

        _check(opened, Valued, type(self).__name__)


class TokenTagger(TextEstimator):
    """A tag for each word of each text: a part of speech, or the BIO tags of names.

    Texts are lists of words, labels lists of as many tags. ``classes_`` are the tags. ``score`` is the share of words
    with the right tag; where tags are BIO, which is told by looking at them, the F1 of whole names.
    """

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts, each a list of words, and the tags of their words.

        Raises an :class:`InputError` for what cannot be learned from, as a text with more words than tags.
        """
        others = None if validation is None else _tagged(*validation)
        self._fit("tagging", _tagged(X, y), others)
        return self

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of each text, one for each of its words."""
        return [list(each.tags) for each in self._said(X)]

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """The probabilities of the tags of each text, ``(words, classes)``, of each word for itself."""
        return [each.probabilities for each in self._said(X)]

    def score(self, X: Any, y: Any) -> float:
        """The score that chooses the best epoch in training, of the tags ``y``."""
        examples, tags = self._examples(X), [tuple(row["tags"]) for row in _tagged(X, y)]
        right = [replace(example, tags=own) for example, own in zip(examples, tags, strict=True)]
        loaded = self._loaded()
        return loaded.task.metrics(right, loaded.predict_examples(examples))["score"]

    def _take_labels(self, labels: tuple[str, ...], classes: Sequence[Any] | None) -> None:
        self.classes_ = np.array(labels)

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.words import TaggedWords

        _check(opened, TaggedWords, type(self).__name__)


def _check(opened: Loaded, kind: type, name: str) -> None:
    """Raises an :class:`InputError` where what the model says of a text is not of that kind."""
    asked: Any = {"pairs": ("a", "a"), "words": ["a"]}.get(opened.reads, "a")
    (said,) = opened.predict_examples(unlabelled([asked]))
    if not isinstance(said, kind):
        what = f"this model is for {opened.facts.get('task', 'another task')}, which a {name} is not"
        raise InputError(what, where=opened.folder, remedy="use myna.load, which takes any model")


def _listed(values: Any, what: str) -> list[Any]:
    """The values of a list, an array or a column of a table, one for each text."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"{what} are {type(values).__name__}", remedy="give a list, with one for each text")
    dimensions = getattr(values, "ndim", 1)
    if dimensions != 1:
        raise InputError(f"{what} have {dimensions} dimensions", remedy="give one column")
    return list(values)


def _asked(texts: Any) -> list[Any]:
    """Texts, pairs of them as tuples, or lists of words, as plain values; an :class:`InputError` for what is none."""
    found = [_plain_text(text) for text in _listed(texts, "texts")]
    if not found:
        raise InputError("there are no texts", remedy="give at least one")
    for number, text in enumerate(found, 1):
        if isinstance(text, tuple) and len(text) != 2:
            raise InputError(f"text {number} is a tuple of {len(text)}", remedy="give two texts, or a list of words")
    unlabelled(found)
    return found


def _plain_text(text: Any) -> Any:
    """Strings and lists of NumPy's as those of Python; what is no text as it is."""
    if isinstance(text, (list, np.ndarray)):
        return [str(word) if isinstance(word, str) else word for word in text]
    return str(text) if isinstance(text, str) else text


def _rows(X: Any, y: Any, name: str, plain: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """The rows of a table: each text, or pair of texts, with its answer."""
    texts, answers = _asked(X), _answers(X, y)
    if len({type(text) for text in texts}) > 1 or isinstance(texts[0], list):
        raise InputError("texts are of several kinds, or lists of words", remedy="give strings, or pairs of them")
    names = ("text",) if isinstance(texts[0], str) else ("text", "pair")
    parts = [dict(zip(names, [text] if isinstance(text, str) else text, strict=True)) for text in texts]
    return [{**part, name: plain(answer)} for part, answer in zip(parts, answers, strict=True)]


def _tagged(X: Any, y: Any) -> list[dict[str, Any]]:
    """The rows of a table of words with their tags."""
    texts, tags = _asked(X), [_listed(each, "the tags of a text") for each in _answers(X, y)]
    for number, (words, own) in enumerate(zip(texts, tags, strict=True), 1):
        if not isinstance(words, list):
            raise InputError(f"text {number} is no list of words", remedy="cut it into words")
        if len(words) != len(own):
            raise InputError(f"text {number} has {len(words)} words and {len(own)} tags", remedy="give each one tag")
    return [{"tokens": words, "tags": list(map(str, own))} for words, own in zip(texts, tags, strict=True)]


def _answers(X: Any, y: Any) -> list[Any]:
    answers, count = _listed(y, "labels"), len(_listed(X, "texts"))
    if len(answers) != count:
        raise InputError(f"there are {count} texts and {len(answers)} labels", remedy="give one label for each text")
    return answers


def _plain(values: Any) -> list[Any]:
    """As JSON has them."""
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _name(label: Any) -> str:
    """What the model calls a class."""
    (label,) = _plain([label])
    if not isinstance(label, (str, int, float)) or label != label:
        raise InputError(f"a label is {label!r}", remedy="give each text a string or a number")
    return str(label)


def _number(value: Any) -> float:
    (value,) = _plain([value])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"a value is {value!r}, not a number", remedy="give each text a number")
    return float(value)


def _classes(y: Any) -> list[Any]:
    """The classes, sorted; an :class:`InputError` where two would have one name, or cannot be sorted."""
    try:
        found = _plain(sorted(set(_plain(_listed(y, "labels")))))
    except TypeError:
        raise InputError("labels are of several types", remedy="give all as strings, or all as numbers") from None
    if len(set(map(_name, found))) < len(found):
        raise InputError("two labels have the same name", remedy="give all as strings, or all as numbers")
    return found
