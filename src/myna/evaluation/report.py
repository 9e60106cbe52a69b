"""The report of a run: one self-contained HTML page, and ``scores.json`` beside it.

What the page shows is read from the run's folder (:mod:`~myna.evaluation.gathering`), put in words
(:mod:`~myna.evaluation.findings`) and laid out by ``templates/report.html.j2``. The page asks nothing of the network,
runs no script, and is the same for the same folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from myna import files
from myna.ledger import UNITS, Ledger
from myna.settings import Section, setting

if TYPE_CHECKING:
    from myna.evaluation.charts import Chart
    from myna.evaluation.curve_report import CurvePage
    from myna.evaluation.findings import Finding, Score
    from myna.evaluation.gathering import ModelFacts, StageFacts
    from myna.evaluation.mistakes import MarkedSentence, Mistake, WrittenText
    from myna.evaluation.phrases import Phrase
    from myna.evaluation.reliance import Reliance

VERSION = 3
# More classes than this make no table that can be read.
_MOST_CLASSES = 24


class ReportConfig(Section):
    """The ``[report]`` table of a recipe."""

    title: str | None = setting(None, "the headline (default: the recipe's name)")
    language: Literal["en", "zh"] = setting("en", "the language of the report's own words")


@dataclass(frozen=True)
class ModelPage:
    """All that the report shows of one model."""

    name: str
    kind: str
    facts: str
    finding: Finding | None
    scores: tuple[Score, ...]
    charts: tuple[tuple[Chart, str], ...]
    by_label: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    confusion: Sequence[Sequence[tuple[int, float]]]
    reliance: Reliance
    mistakes: Sequence[Mistake]
    sentences: Sequence[MarkedSentence]
    wrong: int
    samples: Sequence[Mapping[str, Any]]
    sample_settings: str
    fills: Sequence[Mapping[str, Any]]
    written: WrittenPage | None
    contamination: str
    curve: CurvePage | None


@dataclass(frozen=True)
class WrittenPage:
    """What the report shows of written texts: some of them, and their figures by themselves (name, model, by hand)."""

    best: Sequence[WrittenText]
    worst: Sequence[WrittenText]
    caption: str
    alone: Sequence[tuple[str, str, str]]
    copies: Sequence[str]
    signatures: str


@dataclass(frozen=True)
class LedgerRow:
    """A line of a ledger: ``kind`` is ``in``, ``added``, ``dropped`` or ``kept``, with a count for each unit."""

    kind: str
    reason: str
    counts: tuple[int | None, ...]


@dataclass(frozen=True)
class LedgerTable:
    """The ledger of a stage, and its notes."""

    key: str
    units: tuple[str, ...]
    rows: tuple[LedgerRow, ...]
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class KeywordTable:
    """A table of key words; without ``rest`` they are plain counts."""

    title: str
    compared: bool
    rows: Sequence[Any]


def write_report(
    recipe: Any,
    run_folder: Path,
    html_path: Path,
    scores_path: Path,
    report: Callable[[str, float], None] = lambda what, share: None,
) -> Ledger:
    """Writes the report and the scores of all models of a run.

    ``recipe`` is a :class:`myna.recipe.Recipe` (its name, its sections' names and its ``report`` are read). Raises an
    :class:`~myna.errors.InputError` for a damaged file of the run. Gives an empty ledger: nothing is dropped here.
    """
    from myna.evaluation.gathering import find_models, find_stages

    run_folder = Path(run_folder)
    named = {kind: tuple(getattr(recipe, kind, None) or ()) for kind in ("corpus", "tokenizer", "pretrain", "finetune")}
    stores = [f"{corpus}-{tokenizer}" for corpus in named["corpus"] for tokenizer in named["tokenizer"]]
    judged = (*named["pretrain"], *named["finetune"])
    stages = find_stages(run_folder, {**named, "tokens": stores, "evaluate": judged})
    models = find_models(run_folder, stages)
    report("reading the run", 0.2)
    page = render(recipe.name, getattr(recipe, "report", None) or ReportConfig(), run_folder, stages, models)
    files.write_text(html_path, page)
    files.write_json(scores_path, {model.name: model.scores for model in models if model.scores})
    report("written", 1.0)
    return Ledger()


def render(
    name: str, config: ReportConfig, run: Path, stages: Sequence[StageFacts], models: Sequence[ModelFacts]
) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from myna.evaluation.baselines import HAN
    from myna.evaluation.phrases import named, phrases
    from myna.evaluation.quantities import duration, size
    from myna.inspection import next_commands, place

    say = phrases(config.language)
    environment = Environment(
        loader=PackageLoader("myna.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"grouped": lambda n: f"{n:,}", "duration": duration, "size": size, "share": _share}
    environment.tests["han"] = lambda text: HAN.search(text) is not None
    pages = [_model_page(model, say) for model in models]
    recipe_file = run / "recipe.toml"
    return environment.get_template("report.html.j2").render(
        say=say,
        named=lambda kind, key: named(say, kind, key),
        language={"en": "en", "zh": "zh-Hans"}[config.language],
        title=config.title or name,
        lede=_lede(stages, models, say),
        pages=pages,
        findings=[page.finding for page in pages if page.finding],
        keywords=_keyword_tables(stages, say),
        ledgers=[_ledger_table(stage) for stage in stages if stage.ledger],
        stages=stages,
        seconds=sum(stage.seconds for stage in stages),
        bytes=sum(stage.bytes for stage in stages),
        machine=_machine(models, say),
        commands=next_commands(run),
        recipe=recipe_file.read_text("utf-8") if recipe_file.is_file() else "",
        recipe_path=place(recipe_file),
        recipe_command=shlex.quote(place(recipe_file)),
        version=_version(),
    )


def _lede(stages: Sequence[StageFacts], models: Sequence[ModelFacts], say: Phrase) -> str:
    from myna.evaluation.charts import short_number
    from myna.evaluation.quantities import duration

    read = [stage.ledger.get("in", {}) for stage in stages if stage.kind == "corpus"]
    return say(
        "lede",
        documents=f"{sum(counts.get('documents', 0) for counts in read):,}",
        characters=short_number(sum(counts.get("characters", 0) for counts in read)),
        models=say("one_model") if len(models) == 1 else say("models", count=len(models)),
        time=duration(sum(stage.seconds for stage in stages)),
    )


def _model_page(model: ModelFacts, say: Phrase) -> ModelPage:
    from myna.evaluation import findings
    from myna.evaluation.charts import short_number
    from myna.evaluation.curve_report import curve_page
    from myna.evaluation.gathering import read_lines
    from myna.evaluation.mistakes import wrong_labels, wrong_spans
    from myna.evaluation.quantities import duration
    from myna.evaluation.reliance import reliance

    kind = findings.kind_of(model)
    mistakes: list[Mistake] = []
    sentences: list[MarkedSentence] = []
    wrong = 0
    if model.predictions is not None and kind == "classification":
        mistakes, wrong = wrong_labels(read_lines(model.predictions))
    if model.predictions is not None and kind == "tagging":
        sentences, wrong = wrong_spans(read_lines(model.predictions))
    last = model.curve[-1] if model.curve else {}
    labels = model.details.get("labels", [])
    cells = model.details.get("confusion", [])
    written = [sample for sample in model.samples if "prompt" in sample]
    return ModelPage(
        name=model.name,
        kind=kind,
        facts=say(
            "facts",
            parameters=short_number(model.parameters or 0),
            tokens=short_number(last.get("tokens", 0)),
            steps=f"{last.get('step', 0):,}",
            time=duration(last.get("seconds", 0)),
        ),
        finding=findings.finding(model, say),
        scores=tuple(findings.score(metric, entry, say) for metric, entry in model.scores.items()),
        charts=_charts(model, say),
        by_label=model.details.get("by_label", []),
        labels=labels,
        confusion=[[(n, n / (sum(row) or 1)) for n in row] for row in cells] if len(labels) <= _MOST_CLASSES else [],
        reliance=reliance(model.details, say),
        mistakes=mistakes,
        sentences=sentences,
        wrong=wrong,
        samples=written,
        sample_settings=_settings(written, say),
        fills=[sample for sample in model.samples if "blanks" in sample],
        written=_written_page(model, say) if kind in findings.WRITTEN else None,
        contamination=findings.contaminated(model, say),
        curve=curve_page(model.scores, say),
    )


def _written_page(model: ModelFacts, say: Phrase) -> WrittenPage:
    from myna.evaluation.findings import Manner
    from myna.evaluation.gathering import read_lines
    from myna.evaluation.mistakes import written_texts
    from myna.evaluation.phrases import named

    scored, share = model.details["kind"] != "generation", Manner(unit="percent")
    lines = () if model.predictions is None else read_lines(model.predictions)
    best, worst, count = written_texts(lines, scored)
    alone = model.details.get("alone", {})
    return WrittenPage(
        best,
        worst,
        say("texts_caption" if scored else "texts_plain", count=f"{count:,}"),
        [
            (named(say, "metric", name), share.text(each["model"]), share.text(each["by_hand"]))
            for name, each in alone.items()
        ],
        [copy["text"] for copy in model.details.get("copies", ())],
        " · ".join(f"{name} {each}" for name, each in model.details.get("signatures", {}).items()),
    )


def _charts(model: ModelFacts, say: Phrase) -> tuple[tuple[Chart, str], ...]:
    """The loss, and the figure that validation chose the best epoch by, where there is one; each with its caption."""
    from myna.evaluation.charts import line_chart, smoothed
    from myna.evaluation.findings import MANNERS
    from myna.evaluation.phrases import named

    losses = [(line["tokens"], line["loss"]) for line in model.curve]
    looked = [(line["tokens"], line["validation"]) for line in model.validations]
    held_out = [(tokens, figures["loss"]) for tokens, figures in looked if "loss" in figures]
    series = [("raw", losses), ("line", smoothed(losses)), ("dots", held_out)]
    chart = line_chart(say("loss"), say("tokens_seen"), series)
    charts = [] if chart is None else [(chart, say("curve" if held_out else "curve_alone"))]
    metric = next((name for name in MANNERS if looked and name in looked[0][1]), None)
    if metric is not None and len(looked) > 1:
        points = [(tokens, figures[metric]) for tokens, figures in looked]
        percent = MANNERS[metric].unit == "percent"
        second = line_chart(named(say, "metric", metric), say("tokens_seen"), [("dots", points)], percent=percent)
        charts += [] if second is None else [(second, say("score_curve"))]
    return tuple(charts)


def _settings(samples: Sequence[Mapping[str, Any]], say: Phrase) -> str:
    if not samples:
        return ""
    first = samples[0]
    return say("settings", **{name: first.get(name, "–") for name in ("temperature", "top_p", "seed")})


def _ledger_table(stage: StageFacts) -> LedgerTable:
    ledger = stage.ledger
    parts = [ledger["in"], ledger["kept"], *ledger["dropped"].values(), *ledger["added"].values()]
    units = tuple(unit for unit in UNITS if any(part.get(unit) for part in parts))

    def row(kind: str, counts: Mapping[str, int], reason: str = "") -> LedgerRow:
        return LedgerRow(kind, reason, tuple(counts.get(unit) for unit in units))

    rows = [row("in", ledger["in"])]
    rows += [row("added", counts, reason) for reason, counts in ledger["added"].items()]
    rows += [row("dropped", counts, reason) for reason, counts in ledger["dropped"].items()]
    rows.append(row("kept", ledger["kept"]))
    notes = tuple((what, f"{count:,}") for what, count in ledger.get("notes", {}).items() if count)
    return LedgerTable(stage.key, units, tuple(rows) if units else (), notes)


def _keyword_tables(stages: Sequence[StageFacts], say: Phrase) -> list[KeywordTable]:
    """By label where a corpus has some, else against the other corpora, else plain counts."""
    from myna.corpus.document import Corpus
    from myna.evaluation.keywords import count_words, keywords, total

    counts = {s.name: count_words(Corpus.open(s.folder)) for s in stages if s.kind == "corpus"}
    tables = []
    for name, by_label in counts.items():
        rest = total(total(other.values()) for key, other in counts.items() if key != name)
        if 2 <= len(by_label) <= 6:
            for label, words in sorted(by_label.items()):
                others = total(w for key, w in by_label.items() if key != label)
                title = say("against", part=f"{name}: {label}", rest=say("other_labels"))
                tables.append(KeywordTable(title, True, keywords(words, others)))
        else:
            title = say("against", part=name, rest=say("other_corpora")) if rest else name
            tables.append(KeywordTable(title, bool(rest), keywords(total(by_label.values()), rest)))
    return [table for table in tables if table.rows]


def _machine(models: Sequence[ModelFacts], say: Phrase) -> list[tuple[str, str]]:
    from myna.evaluation.phrases import named
    from myna.evaluation.quantities import size

    known: dict[str, Any] = {}
    for model in models:
        known |= model.machine
    shown = {}
    for name, value in known.items():
        if isinstance(value, (str, int, float)):
            written = f"{value:.0f}" if isinstance(value, float) else str(value)
            if name.endswith("_bytes") and not isinstance(value, str):
                written = size(value)
            shown[named(say, "machine", name)] = written
    return list(shown.items())


def _share(value: float) -> str:
    """A probability in per cent: neither nothing nor all of it is ever claimed."""
    return f"{'<1' if value < 0.005 else '>99' if value > 0.995 else f'{100 * value:.0f}'}\u202f%"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("myna")
    except PackageNotFoundError:
        return ""
