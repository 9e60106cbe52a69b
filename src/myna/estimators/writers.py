"""Fine-tuning in scikit-learn's manner where the answer is a text: ``Summarizer`` and ``Translator``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from myna.errors import InputError
from myna.estimators.estimator import TextEstimator, check
from myna.estimators.given import answers_of, plain_text, rows_of

if TYPE_CHECKING:
    from myna.inference.loaded import Loaded


@dataclass(eq=False, repr=False)
class TextWriter(TextEstimator):
    """What both have in common. ``model`` is an encoder-decoder or a decoder.

    ``beams`` and ``new_tokens`` say how a text is written: with how many beams, and how many tokens at most (None: as
    many as the longest text of training has). The other parameters are those of every estimator.
    """

    task: ClassVar[str]
    figure: ClassVar[str]

    model: str = "bart-mini"
    _: KW_ONLY
    beams: int | None = None
    new_tokens: int | None = None

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> Self:
        """Fine-tunes on texts and those that are to be written of them; ``validation`` are others to choose the epoch.

        Raises an :class:`InputError` for what cannot be learned from, as an empty text.
        """
        rows, others = _rows(X, y), None if validation is None else _rows(*validation)
        columns = {"text_column": "text", "target_column": "target"}
        self._fit(self.task, rows, others, beams=self.beams, new_tokens=self.new_tokens, **columns)
        return self

    def predict(self, X: Any) -> list[str]:
        """What the model writes of each text."""
        return [each.text for each in self._said(X)]

    def score(self, X: Any, y: Any) -> float:
        """The figure that speaks for the task, of what is written beside ``y``."""
        from myna.evaluation.texts import figures_of

        expected = [_target(target, number) for number, target in enumerate(answers_of(X, y), 1)]
        counts, figure = figures_of([self.figure], expected, self.predict(X))[self.figure]
        return float(figure(counts.sum(0)))

    def _check_task(self, opened: Loaded) -> None:
        from myna.tasks.writing import Written

        check(opened, Written, type(self).__name__)
        if opened.facts.get("task") != self.task:
            what = f"this model is for {opened.facts.get('task')}, which a {type(self).__name__} is not"
            raise InputError(what, where=opened.folder, remedy="use myna.load, which takes any model")


class Summarizer(TextWriter):
    """A summary of each text. ``score`` is ROUGE-L, from 0 to 1."""

    task = "summarization"
    figure = "rouge_l"


class Translator(TextWriter):
    """A translation of each text, forward unless ``settings`` has another ``direction``. ``score`` is BLEU, 0 to 1."""

    task = "translation"
    figure = "bleu"


def _rows(X: Any, y: Any) -> list[dict[str, Any]]:
    rows = rows_of(X, y, "target", lambda target: target)
    if "pair" in rows[0]:
        raise InputError("texts are pairs, and one is read", remedy="give strings")
    return [{**row, "target": _target(row["target"], number)} for number, row in enumerate(rows, 1)]


def _target(target: Any, number: int) -> str:
    if not isinstance(target, str) or not target.strip():
        said = "empty" if isinstance(target, str) else f"no text but {type(target).__name__}"
        raise InputError(f"what is to be written of text {number} is {said}", remedy="take both out")
    return str(plain_text(target))
