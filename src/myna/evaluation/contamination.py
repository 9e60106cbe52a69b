"""Test text inside the text that a model was pre-trained on: how much of each item, and in which document.

Texts are compared by runs of characters after folding: without case, width, punctuation and white space, and in
simplified characters where OpenCC is installed. Of mostly Chinese items a run has 12 characters, of others 24 (about
five words). What is measured is the share of an item's runs that the corpus holds anywhere; an item of which half is
there counts as contaminated. The items' runs are held, at most 256 of each, and the corpus is read past them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna.corpus.dedup import fold
from myna.corpus.document import Corpus, Document, RawDocument
from myna.corpus.shingles import Hashes, codes_of, runs_of
from myna.errors import InputError
from myna.evaluation.baselines import mostly_han

HAN_RUN, OTHER_RUN = 12, 24
THRESHOLD = 0.5
# Enough to tell a half from a third, and a book among the items takes no more memory than a page.
_MOST_RUNS = 256
# Characters of the corpus that are hashed at a time: some 100 MB of memory.
_AT_ONCE = 2_000_000
# A first look: a table of so many marks, which most runs of a corpus miss.
_MARKS = np.uint64((1 << 24) - 1)

# A document of a corpus: what it is called (``FILE:LINE``), and its text.
Named = tuple[str, str]


@dataclass(frozen=True)
class Contamination:
    """What was found of each item, in their order.

    ``shares`` is ``(items,)``, the share of each item's runs that the corpus holds, NaN for one too short to tell;
    ``documents`` names the document that has most of it. ``simplified`` says whether traditional characters were
    compared as simplified ones. ``read`` is how many characters the corpus has.
    """

    shares: NDArray[np.float64]
    documents: tuple[str | None, ...]
    simplified: bool
    read: int

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which items count as contaminated, ``(items,)``."""
        return np.nan_to_num(self.shares) >= THRESHOLD

    def to_dict(self) -> dict[str, Any]:
        """The figures, without those of each item."""
        count, found = len(self.shares), int(self.found.sum())
        return {
            "examples": count,
            "contaminated": found,
            "share": found / count if count else 0.0,
            "too_short": int(np.isnan(self.shares).sum()),
            "threshold": THRESHOLD,
            "runs": {"han": HAN_RUN, "other": OTHER_RUN},
            "simplified": self.simplified,
            "corpus_characters": self.read,
        }

    def line(self, number: int) -> dict[str, Any]:
        """What was found of one item."""
        share = float(self.shares[number])
        return {"share": None if np.isnan(share) else round(share, 4), "document": self.documents[number]}


def contamination(
    items: Sequence[str], documents: Iterable[Named], han: int = HAN_RUN, other: int = OTHER_RUN
) -> Contamination:
    """How much of each item stands in the documents, by runs of so many characters. None of them is held."""
    searches = _searches(items, han, other)
    read = 0
    for names, folded, characters in _batches(documents):
        read += characters
        for search in searches:
            search.look(names, folded)
    shares = np.full(len(items), np.nan)
    named: list[str | None] = [None] * len(items)
    for search in searches:
        search.put(shares, named)
    return Contamination(shares, tuple(named), simplifier() is not None, read)


def new_texts(texts: Sequence[str], learned: Iterable[str]) -> NDArray[np.bool_]:
    """Which texts are unlike all that was learned, ``(texts,)``: they share under half of their runs of 12 characters.

    One too short to tell is none of them.
    """
    shares = contamination(texts, (("", text) for text in learned), HAN_RUN, HAN_RUN).shares
    result: NDArray[np.bool_] = shares < THRESHOLD  # what is not a number is less than none
    return result


def documents_of(*folders: Path | str) -> Iterator[Named]:
    """The documents of the training splits of corpora's folders, or of files or folders of texts."""
    for folder in map(Path, folders):
        for name, text in _documents_of(folder):
            yield (f"{folder.name}: {name}" if len(folders) > 1 else name), text


def _documents_of(folder: Path) -> Iterator[Named]:
    if not folder.exists():
        raise InputError("there is no such file or folder", where=folder, remedy="give a corpus's folder, or texts")
    if (folder / "corpus.json").is_file():
        for document in Corpus.open(folder).documents("train", ["text", "pair", "target"]):
            yield document.id.partition(":")[2] or document.id, _whole(document)
        return
    from myna.corpus.guessing import guess_source, sample_of
    from myna.corpus.readers import read
    from myna.corpus.sources import SourceConfig

    # What words are tagged with is nothing here, and so no mistake.
    source = SourceConfig(path=str(folder), tags="plain")
    there = {column for row in sample_of(source, 100)[0] for column in row}
    for row in read(source if not there or "text" in there or "tokens" in there else guess_source(source, "messages")):
        yield f"{row.source}:{row.line}", _whole(row)


def _whole(document: Document | RawDocument) -> str:
    """All that a document says, as an example does."""
    return "\n".join(filter(None, (document.text, document.pair, document.target)))


@cache
def simplifier() -> NDArray[np.uint32] | None:
    """The simplified character of each, ``(characters,)`` by code point; None without OpenCC."""
    try:
        from opencc import OpenCC
    except ImportError:
        return None
    table = np.arange(0x110000, dtype=np.uint32)
    converter = OpenCC("t2s")
    blocks = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2A6E0))
    for low, high in blocks:
        # One a line, so that none is read as a word with the next.
        lines = converter.convert("\n".join(map(chr, range(low, high)))).split("\n")
        for code, line in zip(range(low, high), lines, strict=True):
            if len(line) == 1:
                table[code] = ord(line)
    return table


def _codes(folded: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    codes, lengths = codes_of(folded)
    table = simplifier()
    return (codes if table is None else table[codes]), lengths


def _batches(documents: Iterable[Named]) -> Iterator[tuple[list[str], list[str], int]]:
    """Documents folded, with their names and how many characters they had, so many at a time; long ones in pieces."""
    names: list[str] = []
    folded: list[str] = []
    waiting = characters = 0
    for name, text in documents:
        for start in range(0, max(len(text), 1), _AT_ONCE):
            # The next piece begins with the end of this one: no run is lost between them.
            part = text[max(0, start - 4 * OTHER_RUN) : start + _AT_ONCE]
            names.append(name)
            folded.append(fold(part))
            waiting += len(part)
            characters += min(len(text) - start, _AT_ONCE)
            if waiting >= _AT_ONCE:
                yield names, folded, characters
                names, folded, waiting, characters = [], [], 0, 0
    if names:
        yield names, folded, characters


def _searches(items: Sequence[str], han: int, other: int) -> list[_Search]:
    """A search for the items of each length of runs."""
    folded = [fold(item) for item in items]
    sizes = [han if mostly_han([text]) else other for text in folded]
    found = []
    for size in sorted({han, other}):
        numbers = [number for number, own in enumerate(sizes) if own == size and len(folded[number]) >= size]
        if numbers:
            found.append(_Search(numbers, [folded[number] for number in numbers], size))
    return found


class _Search:
    """The runs of items, looked for in a corpus; ``numbers`` are the items' own."""

    def __init__(self, numbers: Sequence[int], folded: Sequence[str], size: int) -> None:
        self.numbers, self.size = np.array(numbers), size
        hashes, owners = runs_of(*_codes(folded), size)
        chosen = _spread(owners, len(folded))
        # Each run of an item once, in the order of the hashes: (hash, item).
        pairs = np.unique(np.stack([hashes[chosen], owners[chosen].astype(np.uint64)], 1), axis=0)
        self.hashes, self.items = pairs[:, 0].copy(), pairs[:, 1].astype(np.int64)
        self.counts = np.bincount(self.items, minlength=len(folded))
        self.unique, self.first = np.unique(self.hashes, return_index=True)
        self.after = np.append(self.first[1:], len(self.hashes))
        self.seen = np.zeros(len(self.unique), bool)
        self.marks = np.zeros(int(_MARKS) + 1, bool)
        self.marks[self.unique & _MARKS] = True
        self.best = np.zeros(len(folded), np.int64)
        self.names: list[str | None] = [None] * len(folded)

    def look(self, names: Sequence[str], folded: Sequence[str]) -> None:
        """Marks the runs that stand in these documents, and remembers which has most of each item."""
        hashes, owners = runs_of(*_codes(folded), self.size)
        likely = np.flatnonzero(self.marks[hashes & _MARKS])
        found, places = self._places(hashes[likely])
        if not len(places):
            return
        self.seen[places] = True
        # Each run of a document once; then the items that have it, which may be several.
        pairs = np.unique(np.stack([owners[likely][found].astype(np.int64), places], 1), axis=0)
        sizes = self.after[pairs[:, 1]] - self.first[pairs[:, 1]]
        begins = np.repeat(self.first[pairs[:, 1]] - np.append(0, np.cumsum(sizes)[:-1]), sizes)
        items = self.items[begins + np.arange(int(sizes.sum()))]
        both = np.repeat(pairs[:, 0], sizes) * len(self.counts) + items
        keys, counts = np.unique(both, return_counts=True)
        better = counts > self.best[keys % len(self.counts)]
        for key, count in zip(keys[better].tolist(), counts[better].tolist(), strict=True):
            document, item = divmod(key, len(self.counts))
            if count > self.best[item]:
                self.best[item], self.names[item] = count, names[document]

    def _places(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of the hashes are runs of items, and which run each is."""
        places = np.minimum(np.searchsorted(self.unique, hashes), len(self.unique) - 1)
        found = np.flatnonzero(self.unique[places] == hashes)
        return found, places[found]

    def put(self, shares: NDArray[np.float64], named: list[str | None]) -> None:
        """Writes the share of each item, and the name of its document, to their places."""
        which = np.repeat(self.seen, self.after - self.first)
        held = np.bincount(self.items, weights=which, minlength=len(self.counts))
        shares[self.numbers] = held / np.maximum(self.counts, 1)
        for number, name in zip(self.numbers.tolist(), self.names, strict=True):
            named[number] = name


def _spread(owners: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """At most 256 runs of each item, evenly spread, ``(runs,)``."""
    sizes = np.bincount(owners, minlength=count)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    total = sizes[owners]
    chosen: NDArray[np.bool_] = (within * _MOST_RUNS // total) != ((within - 1) * _MOST_RUNS // total)
    return chosen | (total <= _MOST_RUNS)


def beside(
    found: Contamination, names: Sequence[str], judge: Callable[[Sequence[int]], Mapping[str, Any]]
) -> dict[str, Any]:
    """The figures of a contamination, its ``items`` by their ``names``, and the scores ``without`` them by ``judge``.

    ``judge`` is given the numbers of the other items; it is not asked where nothing was found, or nothing is left.
    """
    clean = np.flatnonzero(~found.found).tolist()
    asked = 0 < len(clean) < len(found.shares)
    items = [{"id": names[number], **found.line(number)} for number in np.flatnonzero(found.found).tolist()]
    return {**found.to_dict(), "without": dict(judge(clean)) if asked else {}, "items": items}


def in_words(figures: Mapping[str, Any]) -> list[str]:
    """What :func:`beside` gave, in a few lines."""
    share = f"{100 * figures['share']:.1f} %"
    lines = [f"{figures['contaminated']:,} of {figures['examples']:,} examples ({share}) stand in the corpus"]
    lines += [
        f"  {item['id']}: {100 * item['share']:.0f} %, most in {item['document']}" for item in figures["items"][:5]
    ]
    if len(figures["items"]) > 5:
        lines.append(f"  and {len(figures['items']) - 5:,} more (--json has all)")
    if figures["too_short"]:
        lines.append(f"{figures['too_short']:,} examples are too short to tell")
    if not figures["simplified"]:
        lines.append("traditional and simplified characters were taken as different (pip install opencc)")
    return lines
