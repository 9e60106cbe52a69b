"""The token store: a corpus as ids on disk, memory-mapped.

For each split, little-endian and without a header:

``SPLIT.ids``
    the ids of all documents one after the other, uint16 where the vocabulary has at most 65,536 pieces, else uint32
``SPLIT.bounds``
    int64, one more than there are documents: document i is ``ids[bounds[i]:bounds[i + 1]]``
``SPLIT.word_starts``
    uint8 for each token: 1 where it begins a word (a unit of :mod:`myna.tokens.encoding`)
``SPLIT.characters``
    int32 for each document: the characters of its text

``store.json`` says what they must hold. There are no special tokens in a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myna import files
from myna.corpus.document import SPLITS, Corpus, Document, Split
from myna.errors import InputError
from myna.ledger import Ledger
from myna.tokens.chunks import blocks
from myna.tokens.encoding import encode
from myna.tokens.tokenizer import Tokenizer

VERSION = 1
FORMAT = 1

# Enough for the library's threads to share, little beside the model in memory.
_BATCH_CHARACTERS = 1 << 18
_SCAN = 1 << 24
# The ids of a store up to this size are looked at when it is opened, which takes 0.1 s; of a larger one when they are
# read.
_SCANNED_TOKENS = 1 << 28


def encode_corpus(
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: Path,
    report: Callable[[str, float], None] = lambda what, share: None,
    allow_unknown: float = 0.001,
) -> Ledger:
    """Writes the store of ``corpus`` into ``folder``, which exists and is empty.

    Documents keep their order and their number, also those without a token. Raises :class:`InputError` where more than
    ``allow_unknown`` of the training split's pieces are unknown: a model would learn that its text is noise.
    """
    ledger = Ledger()
    total = max(1, sum(corpus.characters(split) for split in SPLITS))
    written = 0

    def progress(characters: int) -> None:
        nonlocal written
        written += characters
        report("tokens", min(1.0, written / total))

    dtype = "uint16" if tokenizer.vocabulary_size <= 1 << 16 else "uint32"
    splits = {split: _write_split(corpus, split, tokenizer, folder, dtype, ledger, progress) for split in SPLITS}
    _refuse_unknown(splits["train"], corpus, allow_unknown)
    files.write_json(
        folder / "store.json",
        {
            "format": FORMAT,
            "dtype": dtype,
            "vocabulary_size": tokenizer.vocabulary_size,
            "tokenizer": {"kind": tokenizer.kind, "sha256": files.sha256(tokenizer.folder / "tokenizer.json")},
            "splits": splits,
        },
    )
    ledger.check()
    return ledger


def _write_split(
    corpus: Corpus,
    split: Split,
    tokenizer: Tokenizer,
    folder: Path,
    dtype: str,
    ledger: Ledger,
    progress: Callable[[int], None],
) -> dict[str, int]:
    counts = dict.fromkeys(("documents", "tokens", "characters", "unknown"), 0)
    with ExitStack() as stack:
        ids, bounds, word_starts, characters = (
            stack.enter_context(files.open_new(folder / f"{split}.{part}"))
            for part in ("ids", "bounds", "word_starts", "characters")
        )
        bounds.write(np.zeros(1, "<i8").tobytes())
        for documents in _batches(corpus.documents(split, columns=["text", "words"])):
            batch = _encode(documents, tokenizer)
            ids.write(batch.ids.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
            bounds.write((counts["tokens"] + np.cumsum(batch.lengths)).astype("<i8").tobytes())
            word_starts.write(batch.word_starts.tobytes())
            characters.write(batch.characters.astype("<i4").tobytes())

            came, tokens = int(batch.characters.sum()), len(batch.ids)
            unknown = 0 if tokenizer.unknown is None else int((batch.ids == tokenizer.unknown).sum())
            counts["documents"] += len(documents)
            counts["tokens"] += tokens
            counts["characters"] += came
            counts["unknown"] += unknown
            ledger.came_in(documents=len(documents), characters=came)
            ledger.added("encoded", tokens=tokens)
            ledger.kept(documents=len(documents), characters=came, tokens=tokens)
            ledger.note("unknown pieces", unknown)
            ledger.note("documents without a piece", int((batch.lengths == 0).sum()))
            ledger.note("characters that no piece stands for", came - batch.covered)
            ledger.note("borders of words within a piece", batch.merged)
            progress(came)
    return counts


@dataclass(frozen=True)
class _Batch:
    """Encoded documents one after the other: ``ids`` and ``word_starts`` (tokens,), the others (documents,)."""

    ids: NDArray[np.int32]
    word_starts: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    characters: NDArray[np.int64]
    covered: int
    merged: int


def _encode(documents: list[Document], tokenizer: Tokenizer) -> _Batch:
    texts = [document.text for document in documents]
    encodings = encode(tokenizer, texts, [document.words for document in documents])
    lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
    characters = np.fromiter(map(len, texts), np.int64, len(texts))
    firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
    words = np.concatenate([encoding.words for encoding in encodings])
    word_starts = np.diff(words, prepend=-1) != 0
    word_starts[firsts] = True

    # WordPiece leaves white space out: what is covered is the union of the pieces' stretches, on one line of texts.
    base = np.repeat(np.cumsum(characters) - characters, lengths)
    starts = np.concatenate([encoding.starts for encoding in encodings]) + base
    ends = np.concatenate([encoding.ends for encoding in encodings]) + base
    reached = np.append(0, np.maximum.accumulate(ends))[:-1]
    return _Batch(
        ids=np.concatenate([encoding.ids for encoding in encodings]),
        word_starts=word_starts.astype(np.uint8),
        lengths=lengths,
        characters=characters,
        covered=int((ends - np.maximum(starts, reached)).clip(min=0).sum()),
        merged=sum(encoding.merged for encoding in encodings),
    )


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    room = _BATCH_CHARACTERS
    for document in documents:
        batch.append(document)
        room -= len(document.text)
        if room <= 0:
            yield batch
            batch, room = [], _BATCH_CHARACTERS
    if batch:
        yield batch


def _refuse_unknown(counts: dict[str, int], corpus: Corpus, allowed: float) -> None:
    share = counts["unknown"] / max(1, counts["tokens"])
    if share > allowed:
        raise InputError(
            f"{share:.2%} of the pieces of this text are unknown to the tokenizer, more than {allowed:.2%}",
            where=corpus.folder,
            remedy='train the tokenizer on this corpus too, or take kind = "byte_bpe", which writes every text; '
            "one that is there already can grow by these words (add_words)",
        )


class TokenStore:
    """One split of a store, memory-mapped.

    ``ids`` and ``word_starts`` are ``(tokens,)``, ``bounds`` is ``(documents + 1,)``, ``characters`` ``(documents,)``;
    ``documents`` and ``tokens`` are their counts, ``dtype`` that of the ids.
    """

    def __init__(self, folder: Path, split: str, facts: dict[str, Any]) -> None:
        counts = facts["splits"][split]
        self.folder, self.split = folder, split
        self.vocabulary_size: int = facts["vocabulary_size"]
        self.documents: int = counts["documents"]
        self.tokens: int = counts["tokens"]
        self.dtype = np.dtype(facts["dtype"]).newbyteorder("<")
        self.ids: NDArray[np.unsignedinteger] = self._map("ids", self.dtype, self.tokens)
        self.bounds: NDArray[np.int64] = self._map("bounds", np.dtype("<i8"), self.documents + 1)
        self.word_starts: NDArray[np.uint8] = self._map("word_starts", np.dtype("u1"), self.tokens)
        self.characters: NDArray[np.int32] = self._map("characters", np.dtype("<i4"), self.documents)

    @classmethod
    def open(cls, folder: Path | str, split: str) -> TokenStore:
        """Opens "train", "validation" or "test".

        Raises :class:`InputError` where a file is missing or has another size than ``store.json`` says, where the
        bounds do not cut the ids into documents, and where an id lies outside of the vocabulary (of a large store when
        it is read).
        """
        folder = Path(folder)
        facts = files.read_object(folder / "store.json")
        if facts.get("format") != FORMAT:
            raise InputError(
                f"this is no token store of format {FORMAT}",
                where=folder / "store.json",
                remedy="encode the corpus again",
            )
        if split not in facts["splits"]:
            raise InputError(f"there is no split {split!r}", where=folder, remedy=f"there are {', '.join(SPLITS)}")
        store = cls(folder, split, facts)
        store._check()
        return store

    def document(self, index: int) -> NDArray[np.unsignedinteger]:
        """The ids of a document: ``(length,)``."""
        return self.stretch(self.bounds[index], self.bounds[index + 1])[0]

    def stretch(self, start: int, stop: int) -> tuple[NDArray[np.unsignedinteger], NDArray[np.uint8]]:
        """The ids of some tokens and where words begin among them, ``(tokens,)`` each.

        An id outside of the vocabulary is an :class:`InputError`.
        """
        ids = self.ids[start:stop]
        if self.tokens > _SCANNED_TOKENS:
            self._check_ids(ids)
        return ids, self.word_starts[start:stop]

    def _map(self, part: str, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
        path = self.folder / f"{self.split}.{part}"
        if not path.is_file():
            raise InputError("this file is missing", where=path, remedy="encode the corpus again")
        if path.stat().st_size != length * dtype.itemsize:
            raise InputError(
                f"this file has {path.stat().st_size} bytes, not {length * dtype.itemsize}",
                where=path,
                remedy="encode the corpus again",
            )
        # Nothing cannot be mapped. A plain view of the map is several times quicker to index than the map itself.
        return np.asarray(np.memmap(path, dtype, mode="r")) if length else np.empty(0, dtype)

    def _check(self) -> None:
        bounds = self.bounds
        crossed = any((block[1:] < block[:-1]).any() for _, block in blocks(bounds))
        if bounds[0] != 0 or bounds[-1] != self.tokens or crossed:
            raise InputError(
                "these bounds do not cut the ids into documents",
                where=self.folder / f"{self.split}.bounds",
                remedy="encode the corpus again",
            )
        for start in range(0, self.tokens if self.tokens <= _SCANNED_TOKENS else 0, _SCAN):
            self._check_ids(self.ids[start : start + _SCAN])

    def _check_ids(self, ids: NDArray[np.unsignedinteger]) -> None:
        greatest = int(ids.max(initial=0))
        if greatest >= self.vocabulary_size:
            raise InputError(
                f"id {greatest} lies outside of the vocabulary of {self.vocabulary_size} pieces",
                where=self.folder / f"{self.split}.ids",
                remedy="encode the corpus again",
            )
