"""What the figures say in plain words, and whether a simple method did better: the report's first screen.

A verdict is by the interval of the *paired* difference between the model and the best simple method, resampled on the
same examples; where that was not kept, by whether their two intervals are apart. Beside it stands the p-value of the
permutation test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from myna.evaluation.gathering import ModelFacts
from myna.evaluation.phrases import Phrase, listed, named

# With a narrow space that does not break.
PERCENT = "\u202f%"
Verdict = Literal["wins", "loses", "open", "alone"]


@dataclass(frozen=True)
class Manner:
    """How a metric is read: what is better, and how it is written."""

    higher: bool = True
    unit: Literal["percent", "hundred", "bits", "count", "number"] = "number"

    def text(self, value: float) -> str:
        """A value as a reader wants it."""
        if self.unit == "percent":
            return f"{100 * value:.1f}{PERCENT}"
        if self.unit == "hundred":
            return f"{100 * value:.1f}"
        if self.unit == "count":
            return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 100 else f"{value:.1f}"
        return f"{value:.2f}"

    def gap(self, say: Phrase, value: float) -> str:
        """The size of a difference."""
        if self.unit in ("percent", "hundred"):
            return say("points" if self.unit == "percent" else "hundredths", value=f"{100 * value:.1f}")
        return say("bits", value=f"{value:.2f}") if self.unit == "bits" else self.text(value)

    def bound(self, value: float) -> str:
        """An end of the interval of a difference."""
        return f"{100 * value:.1f}" if self.unit in ("percent", "hundred") else self.text(value)


MANNERS = {
    "accuracy": Manner(True, "percent"),
    "macro_f1": Manner(True, "percent"),
    "mcc": Manner(),
    "auc": Manner(),
    "micro_f1": Manner(True, "percent"),
    "entity_f1": Manner(True, "percent"),
    "word_accuracy": Manner(True, "percent"),
    "word_f1": Manner(True, "percent"),
    "mrr": Manner(),
    "recall_at_1": Manner(True, "percent"),
    "recall_at_10": Manner(True, "percent"),
    "answer_f1": Manner(True, "percent"),
    "answer_exact": Manner(True, "percent"),
    "exact_match": Manner(True, "percent"),
    "r2": Manner(),
    "pearson": Manner(),
    "spearman": Manner(),
    "mean_absolute_error": Manner(False),
    "replaced_f1": Manner(True, "percent"),
    "replaced_accuracy": Manner(True, "percent"),
    "bits_per_character": Manner(False, "bits"),
    "perplexity": Manner(False, "count"),
    **dict.fromkeys(("rouge_1", "rouge_2", "rouge_l", "bleu", "chrf"), Manner(True, "hundred")),
    **dict.fromkeys(("rouge_l_new", "bleu_new"), Manner(True, "hundred")),
    "form_kept": Manner(True, "percent"),
    "repetition": Manner(False, "percent"),
    "memorised": Manner(False, "percent"),
}
# Those whose answer is a text.
WRITTEN = ("summarization", "extraction", "translation", "generation", "instructions", "written")
KNOWN_KINDS = (
    *("classification", "multilabel", "regression", "tagging", "words", "segmentation", "questions", "embeddings"),
    *("masked", "causal", *WRITTEN),
)
# Which metric speaks for a model: the first of these that it has.
MAIN = (
    *("accuracy", "entity_f1", "micro_f1", "word_accuracy", "r2", "bits_per_character", "perplexity", "replaced_f1"),
    *("bleu", "rouge_l"),
)


@dataclass(frozen=True)
class Row:
    """A line of a score's table: the places of dot and interval are in per cent of the track."""

    name: str
    ours: bool
    value: str
    interval: str
    dot: float
    left: float
    width: float


@dataclass(frozen=True)
class Score:
    """A metric of a model with its baselines, the best first; ``low`` and ``high`` are the ends of the track.

    ``seeds`` is what several trainings have, that of the model among them; empty where there is one.
    """

    metric: str
    name: str
    better: str
    examples: str
    seeds: str
    rows: tuple[Row, ...]
    low: str
    high: str


@dataclass(frozen=True)
class Finding:
    """What is to be said of a model at first: what it does, and how that compares with the best simple method."""

    name: str
    kind: str
    does: str
    value: str
    baseline: str
    baseline_value: str
    verdict: Verdict
    comparison: str
    score: Score


def manner(metric: str) -> Manner:
    """How a metric is read; an unknown one is a number of which more is better.

    A further objective's perplexity, as ``masked_perplexity``, is read as any.
    """
    known = "perplexity" if metric.endswith("_perplexity") else metric
    return MANNERS.get(known, Manner())


def kind_of(model: ModelFacts) -> str:
    """One of ``KNOWN_KINDS``, or ``other``."""
    kind = str(model.details.get("kind", "other"))
    return kind if kind in KNOWN_KINDS else "other"


def finding(model: ModelFacts, say: Phrase) -> Finding | None:
    """What to say of a model; None where it has no score."""
    if not model.scores:
        return None
    metric = next((name for name in MAIN if name in model.scores), next(iter(model.scores)))
    entry = model.scores[metric]
    read = manner(metric)
    verdict, comparison = _compare(model, metric, say)
    value = read.text(entry["value"])
    if read.unit == "bits":
        value = say("bits", value=value)
    labels = [
        label.removeprefix("B-") for label in model.labels if label != "O" and not label.startswith(("I-", "E-", "S-"))
    ]
    does = say(
        f"does.{kind_of(model)}",
        labels=listed(say, labels if len(labels) <= 6 else [*labels[:5], "…"]),
        value=value,
        examples=f"{entry.get('examples', 0):,}",
        **({"metric": named(say, "metric", metric)} if kind_of(model) in ("other", *WRITTEN) else {}),
    )
    table = score(metric, entry, say)
    best = next((row for row in table.rows if not row.ours), None)
    simple = ("", "") if best is None else (best.name, best.value)
    return Finding(model.name, kind_of(model), does, read.text(entry["value"]), *simple, verdict, comparison, table)


def contaminated(model: ModelFacts, say: Phrase) -> str:
    """How much of the test stands in what the model was pre-trained on, and its score without these; else empty."""
    found = model.details.get("contamination")
    if not found:
        return ""
    places = {name: f"{found[name]:,}" for name in ("examples", "contaminated", "too_short", "corpus_characters")}
    said = say("contaminated" if found["contaminated"] else "clean", share=f"{100 * found['share']:.1f}", **places)
    metric = next((name for name in MAIN if name in found["without"]), None)
    if metric is not None:
        value = manner(metric).text(found["without"][metric]["value"])
        said += say("without", metric=named(say, "metric", metric), value=value)
    return said + (say("too_short", **places) if found["too_short"] else "")


def score(metric: str, entry: Mapping[str, Any], say: Phrase) -> Score:
    """The table of one metric."""
    read = manner(metric)
    entries = [(say("this_model"), True, entry)]
    entries += [(_method(say, name, other), False, other) for name, other in entry.get("baselines", {}).items()]
    entries.sort(key=lambda row: -row[2]["value"] if read.higher else row[2]["value"])
    scale = math.log if read.unit == "count" and min(e["low"] for _, _, e in entries) > 0 else float
    low, high = min(scale(e["low"]) for _, _, e in entries), max(scale(e["high"]) for _, _, e in entries)
    # A margin, so that no mark stands on the edge.
    margin = (high - low or 1) * 0.06
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(100 * (scale(value) - low) / (high - low), 2)

    rows = tuple(
        Row(
            name,
            ours,
            read.text(e["value"]),
            f"{read.text(e['low']).removesuffix(PERCENT)} – {read.text(e['high'])}",
            place(e["value"]),
            place(e["low"]),
            round(place(e["high"]) - place(e["low"]), 2),
        )
        for name, ours, e in entries
    )
    back = math.exp if scale is math.log else float
    return Score(
        metric,
        named(say, "metric", metric),
        say("higher" if read.higher else "lower"),
        say("examples", count=f"{entry.get('examples', 0):,}"),
        _seeds(entry["seeds"], read, say) if "seeds" in entry else "",
        rows,
        read.text(back(low)),
        read.text(back(high)),
    )


def _seeds(seeds: Mapping[str, Any], read: Manner, say: Phrase) -> str:
    """Mean, least and greatest of several trainings that differ by their seed."""
    mean, low, high = (read.text(seeds[key]) for key in ("mean", "low", "high"))
    return say("seeds", count=len(seeds["values"]), mean=mean, low=low.removesuffix(PERCENT), high=high)


def _method(say: Phrase, name: str, entry: Mapping[str, Any]) -> str:
    """A simple method, and from how many sentences it has learned where it does not take all."""
    method, count = named(say, "baseline", name), entry.get("learned_from")
    return method if count is None else say("learned_from", method=method, count=f"{count:,}")


def _compare(model: ModelFacts, metric: str, say: Phrase) -> tuple[Verdict, str]:
    """The verdict on the best simple method, and a sentence for it."""
    entry, read = model.scores[metric], manner(metric)
    baselines = entry.get("baselines", {})
    if not baselines:
        return "alone", say("alone")
    sign = 1 if read.higher else -1
    best = max(baselines, key=lambda name: sign * baselines[name]["value"])
    other = baselines[best]
    places = {"baseline": _method(say, best, other), "value": read.text(other["value"])}
    paired = model.details.get("differences", {}).get(metric, {}).get(best)
    if paired is None:
        paired = {"value": entry["value"] - other["value"]}
        paired |= {"low": entry["low"] - other["high"], "high": entry["high"] - other["low"]}
    low, high = sorted((sign * paired["low"], sign * paired["high"]))
    chance = _chance(paired["p"], say) if "p" in paired else ""
    if low <= 0 <= high:
        return "open", say("open", **places) + chance
    gap = read.gap(say, abs(paired["value"]))
    small, large = sorted((abs(low), abs(high)))
    bounds = {"difference": gap, "low": read.bound(small), "high": read.bound(large)}
    verdict: Verdict = "wins" if low > 0 else "loses"
    return verdict, say(verdict, **places, **bounds) + chance


def _chance(p: float, say: Phrase) -> str:
    """The p-value of the permutation test in words."""
    share = f"{100 * p:.1f}{PERCENT}" if p >= 0.001 else say("below", value=f"0.1{PERCENT}")
    return say("chance", share=share)
