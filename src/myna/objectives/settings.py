"""The settings of objectives, and what each declares of itself. They import no torch, so that a recipe is read at once.

``objective = "masked"`` in a ``[pretrain.NAME]`` chooses one, ``masked = { ratio = 0.3 }`` gives its settings: each has
a table under its own name. Those of a user's own objective are in the table ``settings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import ValidationError, field_validator, model_validator

from myna.errors import InputError
from myna.objectives import OBJECTIVES, check_objective_name, find_objective
from myna.settings import Section, reason, setting

BOTH_KINDS = ("wordpiece", "byte_bpe")


@dataclass(frozen=True)
class Declaration:
    """What an objective needs of a model and of a tokenizer.

    ``head`` is the kind of head, ``attention`` the patterns that it goes with; ``two_stacks`` says that it trains an
    encoder-decoder. ``tokenizers`` are the kinds it can read; ``mask`` and ``sentinels`` are special tokens, which a
    tokenizer that lacks them is given. ``mixes`` says whether the objective reads single pieces of documents and so can
    be one of a mixture.
    """

    head: str
    attention: tuple[str, ...]
    two_stacks: bool = False
    tokenizers: tuple[str, ...] = BOTH_KINDS
    mask: bool = False
    sentinels: int = 0
    mixes: bool = True


class ObjectiveSettings(Section):
    """The settings of an objective; a user's own derives from this too."""

    declared: ClassVar[Declaration]

    def declaration(self) -> Declaration:
        """What the objective needs with these settings."""
        return self.declared


class LanguageSettings(ObjectiveSettings):
    """The settings of objectives whose loss is a cross-entropy over the vocabulary."""

    label_smoothing: float = setting(0.0, "share of each target that is spread over all pieces", ge=0, lt=1)
    z_loss: float = setting(0.0, "weight of the squared logarithm of the softmax's sum (1e-4 in PaLM)", ge=0)


class Masking(LanguageSettings):
    """What masked objectives share: how much is masked, and by what unit."""

    ratio: float = setting(0.15, "share of the pieces that are targets", gt=0, lt=1)
    last_ratio: float | None = setting(None, "the share that ratio moves to, evenly over the steps", gt=0, lt=1)
    unit: Literal["word", "piece", "span"] = setting("word", "what is masked whole: words, pieces, or spans of words")

    def at(self, share: float) -> float:
        """The ratio when ``share`` of the steps is done."""
        return self.ratio if self.last_ratio is None else self.ratio + (self.last_ratio - self.ratio) * share


class Masked(Masking):
    """BERT's, of whole words, or of SpanBERT's spans."""

    declared = Declaration("masked", ("bidirectional",), mask=True)


class NextSentence(Masking):
    """BERT's first: masked words, and whether a second stretch of text follows the first."""

    declared = Declaration("masked", ("bidirectional",), mask=True, mixes=False)


class Replaced(Masking):
    """ELECTRA's: which tokens a generator has replaced."""

    declared = Declaration("replaced", ("bidirectional",), mask=True)
    unit: Literal["word", "piece", "span"] = setting("piece", "what is masked whole: words, pieces, or spans of words")
    weight: float = setting(50.0, "weight of the model's loss beside the generator's", gt=0)
    generator: float = setting(0.25, "the generator's width, as a share of the model's", gt=0, le=1)


class Causal(LanguageSettings):
    """GPT's: the next token."""

    # A text can't be got back from WordPiece: what it leaves out would cost such a model nothing.
    declared = Declaration("causal", ("causal", "prefix"), tokenizers=("byte_bpe",))


class Prefix(LanguageSettings):
    """What follows a prefix that is seen from both sides."""

    declared = Declaration("causal", ("prefix",), tokenizers=("byte_bpe",))


class Hybrid(Masking):
    """GPT-BERT's: masked next tokens for most sequences, the next token for the others."""

    declared = Declaration("causal", ("prefix",), tokenizers=("byte_bpe",), mask=True)
    # 1 to 15 is what the paper's authors took in the end.
    causal_share: float = setting(0.0625, "share of the sequences that are read as a decoder does", gt=0, lt=1)


class SpanCorruption(LanguageSettings):
    """T5's: what was taken out of a text."""

    declared = Declaration("sequence_to_sequence", ("bidirectional",), two_stacks=True)
    ratio: float = setting(0.15, "share of the pieces that is taken out", gt=0, lt=1)
    mean_span: float = setting(3.0, "mean length of what is taken out at one place, in pieces", ge=1)
    sentinels: int = setting(100, "special tokens that stand for what is taken out, the most in one text", gt=0)

    def declaration(self) -> Declaration:
        """With so many sentinels as are set."""
        return replace(self.declared, sentinels=self.sentinels)


class Infilling(LanguageSettings):
    """BART's: the whole text, of which spans are masked."""

    declared = Declaration("sequence_to_sequence", ("bidirectional",), two_stacks=True, mask=True)
    ratio: float = setting(0.3, "share of the pieces that is masked", gt=0, lt=1)
    mean_span: float = setting(3.0, "mean length of what one mask stands for, in pieces", gt=0, le=20)
    permute_sentences: bool = setting(False, "put the sentences into another order too")


class Mixed(ObjectiveSettings):
    """Several objectives: their ``weights`` by name, and the ``tables`` with the settings of each."""

    weights: dict[str, float] = setting({}, "how often each objective is drawn")
    tables: Any = setting(None, "the tables with their settings")

    def declaration(self) -> Declaration:
        """What all of them need; an :class:`InputError` where they do not go together."""
        each = {name: self.tables.settings_of(name).declaration() for name in self.weights}
        first, *others = each.values()
        attention, kinds = list(first.attention), list(first.tokenizers)
        for other in others:
            attention = [pattern for pattern in attention if pattern in other.attention]
            kinds = [kind for kind in kinds if kind in other.tokenizers]
        alike = len({(other.head, other.two_stacks) for other in each.values()}) == 1
        if not (alike and attention and kinds):
            raise InputError(f"{' and '.join(each)} need different models, and one mixture trains one")
        return Declaration(
            first.head,
            tuple(attention),
            first.two_stacks,
            tuple(kinds),
            any(other.mask for other in each.values()),
            max(other.sentinels for other in each.values()),
            mixes=False,
        )


class ObjectiveTables(Section):
    """An objective by its name, and the table of its settings; a table of another objective is refused."""

    objective: str = setting(description="what is learnt, as masked or causal, or one of your own as my_module:MyClass")
    masked: Masked | None = setting(None, "objective masked (an encoder): how words are masked")
    causal: Causal | None = setting(None, "objective causal (a decoder)")
    next_sentence: NextSentence | None = setting(None, "objective next_sentence (an encoder): and masked words")
    replaced: Replaced | None = setting(None, "objective replaced (an encoder): a generator's replacements")
    prefix: Prefix | None = setting(None, "objective prefix (a decoder that sees a prefix from both sides)")
    hybrid: Hybrid | None = setting(None, "objective hybrid (an encoder and a decoder in one)")
    span_corruption: SpanCorruption | None = setting(None, "objective span_corruption (an encoder-decoder, as T5)")
    infilling: Infilling | None = setting(None, "objective infilling (an encoder-decoder, as BART)")
    mixture: dict[str, float] | None = setting(None, "objective mixture: the names of others, and their weights")
    settings: dict[str, Any] | None = setting(None, "an objective of your own: its settings")

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            check_objective_name(name)
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, given: Any) -> Any:
        """Every setting of the chosen objective is there to be read, those left out with their defaults."""
        if not isinstance(given, dict):
            return given
        name, mixed = given.get("objective"), given.get("mixture")
        names = mixed if name == "mixture" and isinstance(mixed, dict) else [name]
        return given | {n: {} for n in names if n in OBJECTIVES and n != "mixture" and given.get(n) is None}

    @model_validator(mode="after")
    def _only_its_own(self) -> ObjectiveTables:
        for name in ObjectiveTables.model_fields:
            if name != "objective" and getattr(self, name) is not None and name not in self._tables():
                raise ValueError(f'the table "{name}" does not belong to objective = "{self.objective}"')
        if self.objective == "mixture":
            self._check_mixture(self.mixture or {})
        return self

    def _check_mixture(self, weights: Mapping[str, float]) -> None:
        if len(weights) < 2 or min(weights.values()) <= 0:
            raise ValueError("a mixture has two objectives or more, each with a weight above 0")
        try:
            for name in weights:
                check_objective_name(name)
                if name in OBJECTIVES and (name == "mixture" or not self.settings_of(name).declaration().mixes):
                    raise InputError(f"{name} cannot be one of a mixture")
            if OBJECTIVES.keys() >= weights.keys():
                self.objective_settings().declaration()
        except InputError as error:
            raise ValueError(f"mixture: {error}") from None

    def _tables(self) -> set[str]:
        """The tables that belong to the objective."""
        names = {"mixture", *(self.mixture or {})} if self.objective == "mixture" else {self.objective}
        return {name if name in OBJECTIVES else "settings" for name in names}

    def objective_tables(self) -> dict[str, Any]:
        """The objective and the tables that belong to it, plain."""
        return self.model_dump(include=set(ObjectiveTables.model_fields), exclude_none=True)

    def objective_settings(self) -> ObjectiveSettings:
        """The settings of the objective. Of a user's own, its module is imported, and a wrong key is told."""
        return self.settings_of(self.objective)

    def settings_of(self, name: str) -> ObjectiveSettings:
        """The settings of an objective by its name, with defaults where it has no table here."""
        if name == "mixture":
            return Mixed(weights=self.mixture or {}, tables=self)
        if name in OBJECTIVES:
            found: ObjectiveSettings = getattr(self, name)
            return found
        return _own_settings(name, self.settings or {})


def _own_settings(name: str, table: Mapping[str, Any]) -> ObjectiveSettings:
    try:
        return find_objective(name).settings_class(**table)
    except ValidationError as error:
        raise InputError(f"the settings of {name} are wrong: {reason(error)}") from None
