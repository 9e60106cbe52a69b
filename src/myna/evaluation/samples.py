"""What a language model writes and fills in, for a reader: from test texts, chosen by their place alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from myna import randomness
from myna.corpus.document import Document, Words
from myna.evaluation.baselines import mostly_han
from myna.inference.generate import Sampling, generate
from myna.inference.loaded import Loaded
from myna.model.flat import flatten
from myna.model.heads import LanguageHead
from myna.tasks.task import framed
from myna.tokens.encoding import encode

Anything = TypeVar("Anything")

# So many a reader looks at; so long that it shows what the model can do.
SAMPLES, TOKENS = 4, 100
TEMPERATURE, TOP_P = 0.8, 0.95
# A line to fill words into: one that fits a phone's screen, and has something around the gaps.
_LINE = range(14, 61)
_BLANKS, _GUESSES, _TRIED = 2, 3, 6
# Words of so many characters are hidden: in Chinese longer ones are names and figures that nobody could guess.
_HIDDEN_HAN, _HIDDEN = (2, 3), (3, 12)


def continuations(loaded: Loaded, documents: Sequence[Document], seed: int) -> list[dict[str, Any]]:
    """What the model writes after the beginnings of some documents, as ``samples.json`` has it."""
    beginnings = dict.fromkeys(_beginning(document.text) for document in documents)
    prompts = [
        p for p in beginnings if len(encode(loaded.tokenizer, [p])[0].ids) < loaded.model.config.maximum_length // 2
    ]
    chosen = _spread(prompts, SAMPLES)
    if not chosen:
        return []
    sampling = Sampling(TEMPERATURE, None, TOP_P, seed)
    written = generate(loaded.model, loaded.tokenizer, chosen, TOKENS, sampling)
    settings = {"temperature": TEMPERATURE, "top_p": TOP_P, "seed": seed}
    return [
        {"prompt": each.prompt, "text": each.text, "tokens": each.tokens, "finish": each.finish, **settings}
        for each in written
    ]


def fillings(loaded: Loaded, documents: Sequence[Document], seed: int) -> list[dict[str, Any]]:
    """What the model puts for hidden words of some lines, as ``samples.json`` has it.

    A word's guesses are the likeliest combinations of what is likeliest at each of its pieces.
    """
    found = []
    lines = [line for document in documents if (line := _line(document)) is not None]
    for number, (text, words) in enumerate(_spread(lines, SAMPLES)):
        order = randomness.permutation(randomness.key(seed, "blanks", number), len(words))
        blanks = sorted(words[int(i)] for i in order[:_BLANKS])
        guesses = _guesses(loaded, text, blanks)
        if guesses is not None:
            named = [{"start": a, "end": b, "guesses": said} for (a, b), said in zip(blanks, guesses, strict=True)]
            found.append({"text": text, "blanks": named})
    return found


def _guesses(loaded: Loaded, text: str, blanks: Sequence[tuple[int, int]]) -> list[list[dict[str, Any]]] | None:
    tokenizer, head = loaded.tokenizer, loaded.model.head
    encoding = encode(tokenizer, [text])[0]
    if tokenizer.mask is None or len(encoding.ids) > loaded.model.config.maximum_length - 2:
        return None
    assert isinstance(head, LanguageHead)
    hidden_pieces = [np.flatnonzero((encoding.starts < b) & (encoding.ends > a)) for a, b in blanks]
    if any(len(pieces) == 0 for pieces in hidden_pieces):
        return None
    ids = encoding.ids.astype(np.int64)
    ids[np.concatenate(hidden_pieces)] = tokenizer.mask
    with torch.inference_mode():
        # One further, for the token that begins every text.
        rows = loaded.model.trunk(flatten([framed(tokenizer, ids)]))[np.concatenate(hidden_pieces) + 1]
        logits = F.linear(head.features(rows), head.weight, head.bias).double()
        logits[:, list(tokenizer.special_ids)] = -torch.inf
        shares, pieces = logits.softmax(1).topk(min(_TRIED, logits.shape[1]), 1)
    result, row = [], 0
    for places in hidden_pieces:
        mine = slice(row, row + len(places))
        result.append(_combined(loaded, pieces[mine].tolist(), shares[mine].tolist()))
        row += len(places)
    return result


def _combined(loaded: Loaded, pieces: list[list[int]], shares: list[list[float]]) -> list[dict[str, Any]]:
    """The likeliest combinations, for words of up to four pieces; of longer ones the likeliest alone."""
    tried = _TRIED if len(pieces) <= 4 else 1
    ways = [
        (float(np.prod([shares[n][k] for n, k in enumerate(way)])), [pieces[n][k] for n, k in enumerate(way)])
        for way in itertools.product(range(min(tried, len(pieces[0]))), repeat=len(pieces))
    ]
    ways.sort(key=lambda way: -way[0])
    return [{"text": loaded.tokenizer.decode(ids), "probability": share} for share, ids in ways[:_GUESSES]]


def _beginning(text: str) -> str:
    """The first eight characters of Chinese text, the first four words of other."""
    line = text.strip().split("\n")[0]
    return line[:8] if mostly_han([line]) else " ".join(line.split()[:4])


def _line(document: Document) -> tuple[str, list[tuple[int, int]]] | None:
    """The first line of a good length with words to hide, and where these are in it."""
    place = 0
    for line in document.text.split("\n"):
        if len(line) in _LINE:
            words = _words_to_hide(document.words, document.text, place, place + len(line))
            if len(words) >= 2 * _BLANKS:
                return line, words
        place += len(line) + 1
    return None


def _words_to_hide(words: Words | None, text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Every other word of a good length between ``start`` and ``end``, so that no two stand side by side."""
    found: list[tuple[int, int]] = []
    if words is None:
        return found
    shortest, longest = _HIDDEN_HAN if mostly_han([text[start:end]]) else _HIDDEN
    for a, b in zip(words.starts.tolist(), words.ends.tolist(), strict=True):
        apart = not found or a > start + found[-1][1]
        if start <= a and b <= end and shortest <= b - a <= longest and text[a:b].isalpha() and apart:
            found.append((a - start, b - start))
    return found


def _spread(values: Sequence[Anything], count: int) -> list[Anything]:
    """``count`` values, evenly spread."""
    return [values[i] for i in sorted({round(i) for i in np.linspace(0, len(values) - 1, count)})] if values else []
