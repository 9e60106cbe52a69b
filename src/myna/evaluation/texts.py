"""How good a written text is, as functions of sums: ROUGE, BLEU, chrF, exact match; repetition and variety.

Each ``..._counts`` gives what is counted of every text, ``(texts, …)``; each figure is a function of the sums alone
(:mod:`myna.evaluation.metrics`), from 0 to 1, so that intervals and paired differences are those of all other scores.

ROUGE reads words as ``rouge-score`` does (runs of a–z and 0–9, in small letters, no stemmer); a Han character, kana or
a syllable of another script without spaces is a word of its own, and other scripts have words too. BLEU is that of
``sacrebleu`` in its words (``13a``; ``zh`` for Chinese), chrF that of ``sacrebleu`` as well; their signatures say so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from myna.evaluation.baselines import mostly_han
from myna.evaluation.metrics import Floats, first_share, quotient

# Scripts that leave no space between words: each character is one.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Letters of the Latin script beyond a–z part words, as they do in rouge-score.
_WORD = re.compile(rf"[a-z0-9]+|[{_UNSPACED}]|(?:(?=\w)(?![{_UNSPACED}\u1e00-\u1eff])[\u0370-\U0010ffff])+")

ROUGE = ("rouge_1", "rouge_2", "rouge_l")
_BLEU_ORDER, _CHRF_ORDER, _CHRF_BETA = 4, 6, 2
# Of so many words a stretch is called repeated (arXiv:1908.04319 counts four too).
REPEATED = 4


def words_of(text: str) -> list[str]:
    """The words that ROUGE counts; of a text without a letter or digit its characters but white space."""
    lower = text.lower()
    return _WORD.findall(lower) or [character for character in lower if not character.isspace()]


# ------------------------------------------------------------------------------------------------------------ ROUGE


def rouge_counts(expected: Sequence[str], written: Sequence[str]) -> Floats:
    """ROUGE-1, ROUGE-2 and ROUGE-L (their F) of each text, and one: ``(texts, 4)``; see :func:`rouge`.

    They are those of ``rouge-score`` but for this: equal texts of one word have a ROUGE-2 of 1, and of 0 there.
    """
    rows = [(*rouge_of(words_of(right), words_of(said)), 1.0) for right, said in zip(expected, written, strict=True)]
    return np.array(rows, np.float64).reshape(-1, 4)


def rouge(place: int) -> Callable[[Floats], Floats]:
    """The mean, ``(…)``, of the ROUGE in this place of ``ROUGE``, of sums ``(…, 4)`` as in :func:`rouge_counts`."""
    return lambda sums: quotient(sums[..., place], sums[..., 3])


def rouge_of(expected: Sequence[str], written: Sequence[str]) -> tuple[float, float, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of two texts as words."""
    if not expected or not written:
        return 0.0, 0.0, 0.0
    if list(expected) == list(written):
        return 1.0, 1.0, 1.0
    singles = (Counter(expected) & Counter(written)).total()
    both = (Counter(pairwise(expected)) & Counter(pairwise(written))).total()
    sizes = len(expected) + len(written)
    return (
        2 * singles / sizes,
        2 * both / (sizes - 2) if sizes > 2 else 0.0,
        2 * common_subsequence(expected, written) / sizes,
    )


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words the longest common subsequence has (bit by bit: Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(first)) - 1
    row = everything
    for word in second:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & everything
    return len(first) - row.bit_count()


# ------------------------------------------------------------------------------------------------------ BLEU, chrF


def bleu_tokenizer(expected: Sequence[str]) -> str:
    """The words that BLEU counts in these texts, by their name in ``sacrebleu``: ``zh`` or ``13a``."""
    return "zh" if mostly_han(expected) else "13a"


def bleu_counts(expected: Sequence[str], written: Sequence[str], tokenizer: str) -> Floats:
    """What BLEU counts of each text, ``(texts, 10)``: words written and expected, 1- to 4-grams right and written."""
    # Counts are the same; without this the library would warn for every text.
    metric = _bleu(tokenizer, effective_order=True)
    rows = []
    for right, said in zip(expected, written, strict=True):
        found = metric.sentence_score(said, [right])
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    return np.array(rows, np.float64).reshape(-1, 2 + 2 * _BLEU_ORDER)


def bleu(sums: Floats) -> Floats:
    """BLEU (Papineni et al. 2002), ``(…)`` from 0 to 1, of sums ``(…, 10)`` as in :func:`bleu_counts`.

    With the smoothing ``exp`` of ``sacrebleu``: an order of which nothing is right has half the share of one right, the
    next such order a quarter, and so on.
    """
    written, expected = sums[..., 0], sums[..., 1]
    right, counted = sums[..., 2 : 2 + _BLEU_ORDER], sums[..., 2 + _BLEU_ORDER :]
    there = np.asarray((counted > 0).all(-1) & (right > 0).any(-1))
    missing = right == 0
    smoothed = np.where(missing, 0.5 ** np.cumsum(missing, -1), right)
    shares = np.where(there[..., None], smoothed / np.maximum(counted, 1), 1.0)
    brevity = np.exp(np.minimum(0.0, 1 - quotient(expected, written)))
    result: Floats = np.where(there, brevity * np.exp(np.log(shares).mean(-1)), 0.0)
    return result


def chrf_counts(expected: Sequence[str], written: Sequence[str]) -> Floats:
    """What chrF counts of each text, ``(texts, 18)``: of each order from 1 to 6 characters the n-grams that were
    written (where the text expected has any), expected, and in both.
    """
    rows = []
    for right, said in zip(expected, written, strict=True):
        line = []
        for one, two in zip(_character_ngrams(said), _character_ngrams(right), strict=True):
            line += [one.total() if two else 0, two.total(), (one & two).total()]
        rows.append(line)
    return np.array(rows, np.float64).reshape(-1, 3 * _CHRF_ORDER)


def chrf(sums: Floats) -> Floats:
    """chrF (Popović 2015; beta 2), ``(…)`` from 0 to 1, of sums ``(…, 18)`` as in :func:`chrf_counts`."""
    written, expected, both = (sums[..., place::3] for place in range(3))
    there = (written > 0) & (expected > 0)
    orders = there.sum(-1)
    precision = quotient((quotient(both, written) * there).sum(-1), orders)
    recall = quotient((quotient(both, expected) * there).sum(-1), orders)
    factor = _CHRF_BETA**2
    return quotient((1 + factor) * precision * recall, factor * precision + recall)


def signatures(tokenizer: str) -> dict[str, str]:
    """What ``sacrebleu`` calls its BLEU and its chrF as they are counted here, to be told with the figures."""
    found = {}
    for name, metric in (("bleu", _bleu(tokenizer)), ("chrf", import_module("sacrebleu.metrics").CHRF())):
        metric.corpus_score(["a"], [["a"]])  # It does not know the number of references before.
        found[name] = str(metric.get_signature())
    return found


def _bleu(tokenizer: str, **options: Any) -> Any:
    # It takes a while to import, and only translations need it.
    return import_module("sacrebleu.metrics").BLEU(tokenize=tokenizer, **options)


def _character_ngrams(text: str) -> list[Counter[str]]:
    line = "".join(text.split())
    return [
        Counter(line[place : place + order] for place in range(len(line) - order + 1))
        for order in range(1, _CHRF_ORDER + 1)
    ]


# ----------------------------------------------------------------------------- what can be said of a text by itself


def exact_counts(expected: Sequence[str], written: Sequence[str]) -> Floats:
    """Whether each text is what was expected, white space at its ends aside, and one: ``(texts, 2)``."""
    rows = [(right.strip() == said.strip(), 1) for right, said in zip(expected, written, strict=True)]
    return np.array(rows, np.float64).reshape(-1, 2)


def repetition_counts(written: Sequence[str], size: int = REPEATED) -> Floats:
    """Of the runs of ``size`` words of each text, how many it had already, and how many there are: ``(texts, 2)``."""
    rows = []
    for text in written:
        runs = _runs(words_of(text), size)
        rows.append((len(runs) - len(set(runs)), len(runs)))
    return np.array(rows, np.float64).reshape(-1, 2)


def distinct(written: Sequence[str], size: int) -> float:
    """Distinct-n (arXiv:1510.03055): of all runs of ``size`` words in all texts, the share that differ.

    It is of all texts together and falls with their length: to be compared among the same number of like texts alone.
    """
    runs = [run for text in written for run in _runs(words_of(text), size)]
    return len(set(runs)) / len(runs) if runs else 0.0


def _runs(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]


# ------------------------------------------------------------------------------------------------------------ verse

# Of so many in a hundred texts the lines must be of one length, or they are not taken for verse.
_VERSE = 90


def form_of(text: str) -> tuple[int, ...]:
    """The characters of each line of a text; a line ends at any mark or white space."""
    return tuple(len(line) for line in re.findall(r"\w+", text))


def are_verse(expected: Sequence[str]) -> bool:
    """Whether Chinese texts are regular verse: nearly all have several lines, all of one length."""
    regular = sum(len(form) > 1 and len(set(form)) == 1 for form in map(form_of, expected))
    return mostly_han(expected) and 100 * regular >= _VERSE * len(expected)


def form_counts(expected: Sequence[str], written: Sequence[str]) -> Floats:
    """Whether each text has as many lines as the expected, each with as many characters; and one: ``(texts, 2)``."""
    rows = [(form_of(right) == form_of(said), 1) for right, said in zip(expected, written, strict=True)]
    return np.array(rows, np.float64).reshape(-1, 2)


# The figures of a text beside the one that was expected, by name: what is counted, and the figure of the sums.
Counts = Callable[[Sequence[str], Sequence[str]], Floats]
Figures = Mapping[str, tuple[Floats, Callable[[Floats], Floats]]]
FIGURES = (*ROUGE, "bleu", "chrf", "exact_match")


def figures_of(names: Sequence[str], expected: Sequence[str], written: Sequence[str]) -> Figures:
    """Statistics ``(texts, …)`` and their metric by name, of ``FIGURES``."""
    found: dict[str, tuple[Floats, Callable[[Floats], Floats]]] = {}
    if any(name in ROUGE for name in names):
        counts = rouge_counts(expected, written)
        found |= {name: (counts, rouge(place)) for place, name in enumerate(ROUGE)}
    if "bleu" in names:
        found["bleu"] = (bleu_counts(expected, written, bleu_tokenizer(expected)), bleu)
    if "chrf" in names:
        found["chrf"] = (chrf_counts(expected, written), chrf)
    if "exact_match" in names:
        found["exact_match"] = (exact_counts(expected, written), first_share)
    return {name: found[name] for name in names}
