"""Samples of what a model wrote, good and bad, for the page of its recipe."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from myna.evaluation.texts import rouge_of, words_of

# So many are shown; longer ones make no table that can be read.
_SHOWN, _LONGEST = 6, 240


def samples_of(predictions: Path, scored: bool = True) -> list[dict[str, str]]:
    """Lines of ``predictions.jsonl``: from each sixth of them, the best first, the one in its middle by ROUGE-L.

    Where they are not ``scored``, the first: they stand in no order. Long ones are passed over.
    """
    lines = [json.loads(line) for line in predictions.read_text(encoding="utf-8").splitlines()]
    chosen = [{key: line[key] or "" for key in ("source", "target", "predicted")} for line in lines]
    short = [line for line in chosen if max(map(len, line.values())) <= _LONGEST]
    if not scored:
        return short[:_SHOWN]
    short.sort(key=lambda line: -rouge_of(words_of(line["target"]), words_of(line["predicted"]))[-1])
    return [short[(2 * place + 1) * len(short) // (2 * _SHOWN)] for place in range(_SHOWN)] if short else []


def table_of_samples(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """The lines of a table in Markdown for each judged stage."""
    for stage, lines in samples.items():
        yield from ("", f"| `{stage}` reads | it writes | expected |", "|---|---|---|")
        for line in lines:
            yield f"| {' | '.join(_cell(line[key]) for key in ('source', 'predicted', 'target'))} |"


def _cell(text: str) -> str:
    return html.escape(text.strip(), quote=False).replace("|", "\\|").replace("\n", "<br>")
