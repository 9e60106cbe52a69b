"""Fine-tuning in scikit-learn's manner where the answer is read off a text: a label, a number, a tag for each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin

from myna.estimators.estimator import TextEstimator, check
from myna.estimators.given import classes_of, name_of, number_of, rows_of, tagged_rows

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded


@dataclass(eq=False, repr=False)
class TextReader(TextEstimator):
    """What these have in common. ``pooling`` says what of a text's tokens the answer is read from."""

    _: KW_ONLY
    pooling: Literal["first", "mean", "last"] | None = None


@dataclass(eq=False, repr=False)
class TextClassifier(ClassifierMixin, TextReader):
    """One of several labels for each text, or for each pair of texts (tuples of two).

    ``class_weights`` is ``"balanced"`` or a number by class. Labels are of any one type that NumPy sorts; ``classes_``
    are those that were learned, sorted, as the columns of :meth:`predict_proba`. Of texts that are the same but for
    case, width and punctuation one is read, and none where they have two labels: so does ``myna finetune``.
    """

    _: KW_ONLY
    class_weights: Mapping[Any, float] | Literal["balanced"] | None = None
    label_smoothing: float = 0.0

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts and their labels; ``validation`` are others to choose the best epoch by.

        Raises an :class:`InputError` for what cannot be learned from: an empty text, a label that occurs once.
        """
        rows, classes = rows_of(X, y, "label", name_of), classes_of(y)
        others = None if validation is None else rows_of(*validation, "label", name_of)
        weights = self.class_weights
        if isinstance(weights, Mapping):
            weights = {name_of(each): weight for each, weight in weights.items()}
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
        known = [each for each in (labels if classes is None else classes) if name_of(each) in labels]
        self.classes_ = np.array(known)
        self._columns = [labels.index(name_of(each)) for each in known]

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.classification import Classified

        check(opened, Classified, type(self).__name__)


class TextRegressor(RegressorMixin, TextReader):
    """A number for each text, or for each pair of texts (tuples of two). ``score`` is R²."""

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts and their numbers; ``validation`` are others to choose the best epoch by.

        Raises an :class:`InputError` for what cannot be learned from, as an empty text or a number that is none.
        """
        rows = rows_of(X, y, "value", number_of)
        others = None if validation is None else rows_of(*validation, "value", number_of)
        self._fit("pairs" if "pair" in rows[0] else "regression", rows, others, value_column="value")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The number of each text, ``(texts,)``."""
        return np.array([each.value for each in self._said(X)], np.float64)

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.regression import Valued

        check(opened, Valued, type(self).__name__)


class TokenTagger(TextReader):
    """A tag for each word of each text: a part of speech, or the BIO tags of names.

    Texts are lists of words, labels lists of as many tags. ``classes_`` are the tags. ``score`` is the share of words
    with the right tag; where tags are BIO, which is told by looking at them, the F1 of whole names.
    """

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts, each a list of words, and the tags of their words.

        Raises an :class:`InputError` for what cannot be learned from, as a text with more words than tags.
        """
        others = None if validation is None else tagged_rows(*validation)
        self._fit("tagging", tagged_rows(X, y), others)
        return self

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of each text, one for each of its words."""
        return [list(each.tags) for each in self._said(X)]

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """The probabilities of the tags of each text, ``(words, classes)``, of each word for itself."""
        return [each.probabilities for each in self._said(X)]

    def score(self, X: Any, y: Any) -> float:
        """The score that chooses the best epoch in training, of the tags ``y``."""
        examples, tags = self._examples(X), [tuple(row["tags"]) for row in tagged_rows(X, y)]
        right = [replace(example, tags=own) for example, own in zip(examples, tags, strict=True)]
        loaded = self._loaded()
        return loaded.task.metrics(right, loaded.predict_examples(examples))["score"]

    def _take_labels(self, labels: tuple[str, ...], classes: Sequence[Any] | None) -> None:
        self.classes_ = np.array(labels)

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.words import TaggedWords

        check(opened, TaggedWords, type(self).__name__)
