"""Documents, and the folder of Parquet shards that holds them.

A corpus is ``train-00000.parquet``, ``validation-00000.parquet``, ``test-00000.parquet`` and so on, with
``corpus.json`` beside them: counts by split, shares of scripts, the ledger. Every offset is in characters of the text,
as Python counts them. The documents of a split stand in the order in which their sources were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from myna import files
from myna.errors import InputError
from myna.ledger import Ledger

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Message(NamedTuple):
    """A turn of a conversation: who says it (``system``, ``user``, ``assistant``), and what."""

    role: str
    content: str


class Span(NamedTuple):
    """A stretch ``[start, end)`` of a text with a label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of a text in their order: ``text[starts[i]:ends[i]]`` with the part of speech ``tags[i]``.

    ``starts`` and ``ends`` are int32 of shape ``(words,)``. Words do not overlap; white space is in none of them.
    """

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    tags: list[str]

    @classmethod
    def of(cls, starts: Sequence[int], ends: Sequence[int], tags: Iterable[str]) -> Words:
        """Words from plain sequences."""
        return cls(np.asarray(starts, np.int32), np.asarray(ends, np.int32), list(tags))

    def __len__(self) -> int:
        return len(self.tags)

    def strings(self, text: str) -> list[str]:
        """The words themselves."""
        return [text[a:b] for a, b in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class Document:
    """One text, with what is known of it. ``None`` stands for what nobody said (no words, no spans, no label).

    ``source`` is the file it came from, ``group`` what must stay on one side of a split (an article, a thread).
    ``pair`` is a second text that is read beside the first, ``value`` the number that belongs to it or to both,
    ``target`` the text that is to be written of it. Of a conversation ``messages`` are the turns, and the text is all
    that they say, one below the other.
    """

    id: str
    text: str
    source: str
    group: str
    split: Split
    label: str | None = None
    labels: tuple[str, ...] | None = None
    words: Words | None = None
    spans: tuple[Span, ...] | None = None
    pair: str | None = None
    value: float | None = None
    target: str | None = None
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A document as its source has it. ``group`` is ``None`` where the source says nothing of groups."""

    text: str
    source: str
    line: int
    group: str | None = None
    split: Split | None = None
    label: str | None = None
    labels: tuple[str, ...] | None = None
    words: Words | None = None
    spans: tuple[Span, ...] | None = None
    pair: str | None = None
    value: float | None = None
    target: str | None = None
    messages: tuple[Message, ...] | None = None

    @property
    def label_count(self) -> int:
        """What the ledger counts as its labels: the one, the several, the number, and one a span."""
        single = (self.label is not None) + (self.value is not None)
        return single + len(self.labels or ()) + len(self.spans or ())

    @property
    def characters(self) -> int:
        """What the ledger counts as its characters: those of the text and of the text beside it."""
        return len(self.text) + len(self.pair or "") + len(self.target or "")


class Corpus:
    """A prepared corpus, read shard by shard: memory is that of one batch of documents."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.ledger = Ledger.from_dict(facts["ledger"])
        self.has_labels: bool = facts["has_labels"]
        self.has_words: bool = facts["has_words"]
        self.has_spans: bool = facts["has_spans"]
        self.scripts: dict[str, float] = facts["scripts"]
        self._splits: dict[str, dict[str, Any]] = facts["splits"]

    @classmethod
    def open(cls, folder: Path | str) -> Corpus:
        """Opens a folder that ``prepare`` wrote; an :class:`InputError` where it is no corpus or not whole."""
        folder = Path(folder)
        if not (folder / "corpus.json").is_file():
            raise InputError("this is no corpus: it has no corpus.json", where=folder)
        facts = files.read_object(folder / "corpus.json")
        if facts.get("format") != FORMAT:
            remedy = "prepare the corpus again"
            raise InputError(
                f"format {facts.get('format')!r} of a corpus is not known here", where=folder, remedy=remedy
            )
        for split in facts["splits"].values():
            for shard in split["shards"]:
                if not (folder / shard).is_file():
                    raise InputError("this file is missing", where=folder / shard)
        return cls(folder, facts)

    @property
    def language(self) -> str:
        """``"zh"`` where three letters of ten are Han or more, else ``"en"`` where most are Latin, else ``"other"``."""
        if self.scripts["han"] >= 0.3:
            return "zh"
        return "en" if self.scripts["latin"] >= 0.5 else "other"

    def count(self, split: Split) -> int:
        """How many documents a split has."""
        return int(self._splits[split]["documents"])

    def characters(self, split: Split) -> int:
        """How many characters the texts of a split have."""
        return int(self._splits[split]["characters"])

    def documents(self, split: Split, columns: Iterable[str] | None = None) -> Iterator[Document]:
        """The documents of a split in their order.

        ``columns`` names the fields of :class:`Document` to read (``["text"]`` skips the words, which are most of
        the bytes); those left out are empty or ``None``. Raises an :class:`InputError` for a damaged shard.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = None if columns is None else {"id", *columns}
        for shard in self._splits[split]["shards"]:
            path = self.folder / shard
            try:
                with pq.ParquetFile(path) as parquet:
                    names = [n for n in parquet.schema_arrow.names if wanted is None or n.split(".")[0] in wanted]
                    for batch in parquet.iter_batches(batch_size=1024, columns=names):
                        yield from read_batch(batch, split)
            except PermissionError as error:
                raise InputError("this file cannot be read (permission denied)", where=path) from error
            except (pa.ArrowException, OSError) as error:
                raise InputError(
                    f"this file is damaged ({error})", where=path, remedy="prepare the corpus again"
                ) from error


def apart(documents: Iterable[Document]) -> Iterator[Document]:
    """Documents whose pairs and targets are documents of their own, as a tokenizer reads them."""
    for document in documents:
        yield document
        for text in filter(None, (document.pair, document.target)):
            yield replace(document, text=text, pair=None, target=None, words=None, spans=None)


def read_batch(batch: pa.RecordBatch, split: Split) -> Iterator[Document]:
    """The documents of one record batch in the columns of :func:`schema`."""
    names = set(batch.schema.names)

    def column(name: str) -> list[Any]:
        return batch.column(name).to_pylist() if name in names else [None] * batch.num_rows

    rows = zip(
        column("id"),
        column("text"),
        column("source"),
        column("group"),
        column("label"),
        column("labels"),
        _read_words(batch) if "words.starts" in names else [None] * batch.num_rows,
        zip(column("spans.starts"), column("spans.ends"), column("spans.labels"), strict=True),
        column("pair"),
        column("value"),
        column("target"),
        zip(column("messages.roles"), column("messages.contents"), strict=True),
        strict=True,
    )
    for identity, text, source, group, label, labels, words, spans, pair, value, target, (roles, contents) in rows:
        starts, ends, kinds = spans
        yield Document(
            id=identity,
            text=text or "",
            source=source or "",
            group=group or "",
            split=split,
            label=label,
            labels=None if labels is None else tuple(labels),
            words=words,
            spans=None if starts is None else tuple(map(Span, starts, ends, kinds)),
            pair=pair,
            value=value,
            target=target,
            messages=None if roles is None else tuple(map(Message, roles, contents)),
        )


def _read_words(batch: pa.RecordBatch) -> Iterator[Words | None]:
    starts, ends, tags = (batch.column(f"words.{part}") for part in ("starts", "ends", "tags"))
    bounds = starts.offsets.to_numpy().tolist()
    flat_starts = starts.values.to_numpy(zero_copy_only=False)
    flat_ends = ends.values.to_numpy(zero_copy_only=False)
    coded = tags.values.dictionary_encode()
    names = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    flat_tags = names[coded.indices.to_numpy(zero_copy_only=False)]
    for row, known in enumerate(starts.is_valid().to_pylist()):
        a, b = bounds[row], bounds[row + 1]
        yield Words(flat_starts[a:b], flat_ends[a:b], flat_tags[a:b].tolist()) if known else None


def schema() -> pa.Schema:
    """The columns of a shard."""
    import pyarrow as pa

    numbers, names = pa.list_(pa.int32()), pa.list_(pa.string())
    return pa.schema(
        {
            "id": pa.string(),
            "text": pa.string(),
            "source": pa.string(),
            "group": pa.string(),
            "label": pa.string(),
            "labels": names,
            "words.starts": numbers,
            "words.ends": numbers,
            "words.tags": names,
            "spans.starts": numbers,
            "spans.ends": numbers,
            "spans.labels": names,
            "pair": pa.string(),
            "value": pa.float64(),
            "target": pa.string(),
            "messages.roles": names,
            "messages.contents": names,
        }
    )


def to_batch(documents: Sequence[Document]) -> pa.RecordBatch:
    """Documents as one record batch with the columns of :func:`schema`."""
    import pyarrow as pa

    def flat(parts: list[Any], kind: pa.DataType) -> pa.ListArray:
        lengths = np.fromiter((0 if part is None else len(part) for part in parts), np.int32, len(parts))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        present = [part for part in parts if part is not None and len(part)]
        if kind == pa.int32():
            values = pa.array(np.concatenate([np.zeros(0, np.int32), *present]), kind)
        else:
            values = pa.array([item for part in present for item in part], kind)
        missing = pa.array([part is None for part in parts], pa.bool_())
        return pa.ListArray.from_arrays(pa.array(offsets), values, mask=missing)

    words = [document.words for document in documents]
    spans = [document.spans for document in documents]

    def span_part(part: int) -> list[list[Any] | None]:
        return [None if s is None else [span[part] for span in s] for s in spans]

    def message_part(part: int) -> list[list[str] | None]:
        return [None if d.messages is None else [message[part] for message in d.messages] for d in documents]

    return pa.record_batch(
        [
            pa.array([d.id for d in documents], pa.string()),
            pa.array([d.text for d in documents], pa.string()),
            pa.array([d.source for d in documents], pa.string()),
            pa.array([d.group for d in documents], pa.string()),
            pa.array([d.label for d in documents], pa.string()),
            flat([d.labels for d in documents], pa.string()),
            flat([None if w is None else w.starts for w in words], pa.int32()),
            flat([None if w is None else w.ends for w in words], pa.int32()),
            flat([None if w is None else w.tags for w in words], pa.string()),
            flat([None if s is None else np.array(s, np.int32) for s in span_part(0)], pa.int32()),
            flat([None if s is None else np.array(s, np.int32) for s in span_part(1)], pa.int32()),
            flat(span_part(2), pa.string()),
            pa.array([d.pair for d in documents], pa.string()),
            pa.array([d.value for d in documents], pa.float64()),
            pa.array([d.target for d in documents], pa.string()),
            flat(message_part(0), pa.string()),
            flat(message_part(1), pa.string()),
        ],
        schema=schema(),
    )
