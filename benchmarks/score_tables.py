"""Which recipes are scored, and how what they score is set as a table of a page."""

from __future__ import annotations

import itertools
import re
import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from written_samples import table_of_samples

from myna.evaluation.findings import PERCENT, manner
from myna.evaluation.phrases import named, phrases
from myna.evaluation.significance import over_runs

ROOT = Path(__file__).parent.parent
# What a recipe takes from the run of another one, as a user has it who gives all commands where the repository lies.
_FROM_A_RUN = re.compile(r"^(?:\.\./)+runs/([\w-]+)/(.+)$")


@dataclass(frozen=True)
class Row:
    """A recipe, the page that shows what it scores, and the table there. Exactly one of two says which:

    - ``columns``: a line is a ``[pretrain.NAME]`` of the recipe. A column is a heading, the stage that is judged (``*``
      stands for the line's name), and the metric there. ``differences`` has all pairs of lines compared below.
    - ``lines``: a line is a heading, a judged stage, and a metric there, with the simple methods beside it.

    Below, what the stages ``samples`` wrote is shown, good and bad; ``free``: texts that have no score of their own.
    A ``shared`` one is pre-trained once, for all rows whose recipes take a model from its run.
    """

    name: str
    page: str
    columns: Sequence[tuple[str, str, str]] = ()
    lines: Sequence[tuple[str, str, str]] = ()
    recipe: str = "benchmarks/scores/{name}.toml"
    seeds: Sequence[int] = (1, 2, 3)
    differences: bool = False
    shared: bool = False
    samples: Sequence[str] = ()
    free: bool = False

    @property
    def path(self) -> Path:
        """The recipe's file."""
        return ROOT / self.recipe.format(name=self.name)

    def folder(self, seed: int) -> str:
        """The name of the folder of a seed's run."""
        return self.name if self.shared else f"{self.name}-{seed}"

    def taken(self) -> dict[str, tuple[str, str]]:
        """What the recipe takes from the runs of others: by the setting, whose run, and the place in it."""
        recipe = tomllib.loads(self.path.read_text(encoding="utf-8"))
        settings = {
            f"{kind}.{name}.{key}": _FROM_A_RUN.match(str(value))
            for kind in ("tokenizer", "pretrain", "finetune")
            for name, section in recipe.get(kind, {}).items()
            for key, value in section.items()
            if key in ("start_from", "teacher", "summarizer")
        }
        return {setting: (found[1], found[2]) for setting, found in settings.items() if found}


def example(name: str, *lines: tuple[str, str, str], **more: Any) -> Row:
    """The row of a task's recipe ``examples/NAME/recipe.toml``, shown in the README beside it."""
    return Row(name, f"examples/{name}/README.md", lines=lines, recipe="examples/{name}/recipe.toml", **more)


def shared_model(name: str, *columns: tuple[str, str, str]) -> Row:
    """The row of a recipe ``examples/NAME/recipe.toml`` whose pre-trained model others start from."""
    page = f"examples/{name}/README.md"
    return Row(name, page, columns, recipe="examples/{name}/recipe.toml", seeds=(1,), shared=True)


_JUDGED = [("perplexity at masked positions", "*", "perplexity"), ("entity F1", "entities-*", "entity_f1")]

ROWS = {
    row.name: row
    for row in (
        Row("encoders", "docs/models.md", _JUDGED),
        Row(
            "decoders",
            "docs/models.md",
            [("bits per character", "*", "bits_per_character"), ("entity F1", "entities-*", "entity_f1")],
        ),
        Row(
            "objectives",
            "docs/science.md",
            [("sentiment accuracy", "sentiment-*", "accuracy"), ("entity F1", "entities-*", "entity_f1")],
            differences=True,
        ),
        shared_model("encoder-chinese", ("perplexity at masked positions", "*", "perplexity")),
        shared_model("encoder-english", ("perplexity at masked positions", "*", "perplexity")),
        shared_model("encoder-decoder", ("perplexity of a text filled in", "*", "perplexity")),
        shared_model("decoder-chinese", ("bits per character", "*", "bits_per_character")),
        example("sentiment", ("accuracy", "sentiment", "accuracy"), ("macro F1", "sentiment", "macro_f1")),
        example("topics", ("macro F1", "sections", "macro_f1"), ("accuracy", "sections", "accuracy")),
        example("tweets", ("macro F1", "tweets", "macro_f1"), ("accuracy", "tweets", "accuracy")),
        example(
            "ratings",
            ("Pearson", "ratings", "pearson"),
            ("Spearman", "ratings", "spearman"),
            ("mean absolute error", "ratings", "mean_absolute_error"),
        ),
        example("similarity", ("accuracy", "similarity", "accuracy"), ("macro F1", "similarity", "macro_f1")),
        example(
            "many-labels",
            ("micro F1", "tags", "micro_f1"),
            ("macro F1", "tags", "macro_f1"),
            ("all labels right", "tags", "exact_match"),
        ),
        example("entities", ("entity F1", "entities", "entity_f1")),
        example(
            "part-of-speech",
            ("Chinese, accuracy per word", "chinese", "word_accuracy"),
            ("English, accuracy per word", "english", "word_accuracy"),
        ),
        example("segmentation", ("F1 of words", "words", "word_f1")),
        example("mail", ("macro F1", "spam", "macro_f1"), ("accuracy", "spam", "accuracy")),
        example(
            "bbc-news",
            ("8 a topic, accuracy", "eight", "accuracy"),
            ("32 a topic, accuracy", "thirty-two", "accuracy"),
            ("all, accuracy", "all", "accuracy"),
        ),
        example(
            "labels-curve",
            *(
                (f"{labels:,} labels, {start}", f"labels-{labels}{end}", "accuracy")
                for labels in (100, 300, 1000, 3000)
                for end, start in (("", "pre-trained"), ("-scratch", "new weights"))
            ),
        ),
        example(
            "few-labels",
            ("500 labels, accuracy", "from-news", "accuracy"),
            ("500 labels, the task's own text first, accuracy", "from-reviews", "accuracy"),
            ("the teacher, all labels, accuracy", "teacher", "accuracy"),
            ("a small model, taught, accuracy", "small", "accuracy"),
            ("a small model, alone, accuracy", "small-alone", "accuracy"),
        ),
        example(
            "summaries",
            ("written, ROUGE-L", "written", "rouge_l"),
            ("… of texts unlike training's", "written", "rouge_l_new"),
            ("written, ROUGE-1", "written", "rouge_1"),
            ("chosen from long texts, ROUGE-L", "chosen", "rouge_l"),
            ("chosen from long texts, ROUGE-1", "chosen", "rouge_1"),
            seeds=(1,),
            samples=("written",),
        ),
        example(
            "summaries-first",
            ("read whole, accuracy", "whole", "accuracy"),
            ("the first window, accuracy", "first", "accuracy"),
            ("the summary, accuracy", "summary", "accuracy"),
            ("sentences chosen, ROUGE-L", "summarizer", "rouge_l"),
        ),
        example(
            "translation",
            ("to Chinese, BLEU", "to-chinese", "bleu"),
            ("… of texts unlike training's", "to-chinese", "bleu_new"),
            ("to Chinese, chrF", "to-chinese", "chrf"),
            ("to English, BLEU", "to-english", "bleu"),
            ("… of texts unlike training's", "to-english", "bleu_new"),
            ("to English, chrF", "to-english", "chrf"),
            seeds=(1,),
            samples=("to-chinese", "to-english"),
        ),
        example(
            "poems",
            ("bits per character", "poems", "bits_per_character"),
            ("form kept", "poems", "form_kept"),
            ("runs of four characters said again", "poems", "repetition"),
            ("longest copies from training", "poems", "memorised"),
            seeds=(1,),
            samples=("poems",),
            free=True,
        ),
        example(
            "news",
            ("bits per character", "news", "bits_per_character"),
            ("runs of four characters said again", "news", "repetition"),
            ("longest copies from training", "news", "memorised"),
            samples=("news",),
            free=True,
        ),
        example(
            "instructions",
            ("ROUGE-L", "assistant", "rouge_l"),
            ("… of requests unlike training's", "assistant", "rouge_l_new"),
            ("exactly right", "assistant", "exact_match"),
            seeds=(1,),
            samples=("assistant",),
        ),
        example(
            "sentence-search",
            ("found first", "search", "recall_at_1"),
            ("found among ten", "search", "recall_at_10"),
            ("mean reciprocal rank", "search", "mrr"),
            seeds=(1,),
        ),
    )
}


def table(row: Row, content: Mapping[str, Any]) -> str:
    """The row's table in Markdown, with what it was made by."""
    seeds = content["seeds"]
    lines = [*(_of_models(row, seeds) if row.columns else _of_tasks(row, seeds))]
    if row.differences and len(seeds) > 1:
        lines += ["", *_differences(row, seeds)]
    lines += table_of_samples(next(iter(seeds.values())).get("samples", {}))
    commits = sorted({seed["commit"] for seed in seeds.values()})
    rate = statistics.median(seed["matrix_gflops"] for seed in seeds.values())
    made = f"`{content['command']}`, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}, commit {', '.join(commits)}"
    return "\n".join([*lines, "", f"{made}, one thread, matrix rate {rate:.0f} GFLOP/s."]) + "\n"


def _of_models(row: Row, seeds: Mapping[str, Any]) -> Iterator[str]:
    parts = [part for name, _, _ in row.columns for part in (name, "95 % interval")]
    yield from _heading("model", "parameters", "tokens/s", *parts)
    for name in next(iter(seeds.values()))["models"]:
        models = [seed["models"][name] for seed in seeds.values()]
        speed = statistics.median(model["tokens_per_second"] for model in models)
        figures = [_of_stage(seeds, stage.replace("*", name), metric) for _, stage, metric in row.columns]
        yield f"| `{name}` | {models[0]['parameters']:,} | {speed:,.0f} | {' | '.join(figures)} |"


def _of_stage(seeds: Mapping[str, Any], stage: str, metric: str) -> str:
    """The mean of the seeds, the lowest and the highest, and the mean of their 95 % intervals."""
    found = [seed["scores"][stage][metric] for seed in seeds.values()]
    scale, digits = (100, 1) if max(figure["value"] for figure in found) <= 1 else (1, 2)
    values, lows, highs = ([scale * figure[key] for figure in found] for key in ("value", "low", "high"))
    mean, low, high = (statistics.mean(part) for part in (values, lows, highs))
    return (
        f"**{mean:.{digits}f}** ({min(values):.{digits}f} – {max(values):.{digits}f}) | "
        f"{low:.{digits}f} – {high:.{digits}f}"
    )


def _of_tasks(row: Row, seeds: Mapping[str, Any]) -> Iterator[str]:
    yield from _heading("", "score", "95 % interval", "simple methods", "more than the best of these")
    for heading, stage, metric in row.lines:
        yield f"| {heading} | {' | '.join(_beside_simple_methods(seeds, stage, metric))} |"


def _beside_simple_methods(seeds: Mapping[str, Any], stage: str, metric: str) -> Iterator[str]:
    """Cells: the mean of the seeds and their range; the mean of their intervals; each simple method, whose figure hangs
    on a seed at most by the examples that it draws; and the mean paired difference from the best of them."""
    found = [seed["scores"][stage][metric] for seed in seeds.values()]
    read = manner(metric)
    shown = {key: [figure[key] for figure in found] for key in ("value", "low", "high")}
    mean = {key: read.text(statistics.mean(values)).removesuffix(PERCENT) for key, values in shown.items()}
    least, most = (read.text(end(shown["value"])).removesuffix(PERCENT) for end in (min, max))
    yield f"**{mean['value']}**" + f" ({least} – {most})" * (len(found) > 1)
    yield f"{mean['low']} – {mean['high']}"

    say = phrases("en")
    simple = {
        name: statistics.mean(figure["baselines"][name]["value"] for figure in found) for name in found[0]["baselines"]
    }
    yield ", ".join(f"{named(say, 'baseline', name)} {read.text(value)}" for name, value in simple.items()) or "–"
    best = (max if read.higher else min)(simple, key=simple.__getitem__) if simple else None
    paired = [figure["baselines"][best].get("difference") for figure in found] if best else []
    if not paired or None in paired:
        yield "–"
        return
    scale, digits = (100, 1) if read.unit in ("percent", "hundred") else (1, 2)
    gap, low, high = (scale * statistics.mean(each[key] for each in paired) for key in ("value", "low", "high"))
    yield f"{gap:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _differences(row: Row, seeds: Mapping[str, Any]) -> Iterator[str]:
    """Each pair of lines: how much higher the first is on the mean of the seeds, each seed's two compared with one
    another, with Student's interval over the seeds."""
    yield from _heading("", *(name for name, _, _ in row.columns))
    for first, second in itertools.combinations(next(iter(seeds.values()))["models"], 2):
        cells = []
        for _, stage, metric in row.columns:
            values = [
                [seed["scores"][stage.replace("*", name)][metric]["value"] for seed in seeds.values()]
                for name in (first, second)
            ]
            gap = over_runs([100 * (one - other) for one, other in zip(*values, strict=True)])
            sure = not gap.low <= 0 <= gap.high
            cells.append(("**{}**" if sure else "{}").format(f"{gap.value:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})"))
        yield f"| `{first}` more than `{second}` | {' | '.join(cells)} |"


def _heading(*names: str) -> tuple[str, str]:
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"
