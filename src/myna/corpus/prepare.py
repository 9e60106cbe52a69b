"""The first stage: sources in, a clean corpus without copies out, cut into train, validation and test.

Two passes, so that memory holds a few hundred bytes a document and never its text. The first reads and cleans, and
spools what passes the quality rules to one Parquet file beside the shards; of each document it remembers the hashes of
its text and its group, and its label. Then copies and splits are decided over the whole corpus at once. The second pass
reads the spool, cuts the kept texts into words, and writes the shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from myna import files
from myna.corpus.cleaning import Normalization, clean, flaw
from myna.corpus.dedup import Repeats
from myna.corpus.document import FORMAT, SPLITS, Document, Message, Split, Words
from myna.corpus.readers import read_file
from myna.corpus.selection import Candidate, choose
from myna.corpus.shards import ShardWriter, SplitWriter, read_documents
from myna.corpus.sources import SourceConfig, source_files
from myna.corpus.words import segment, split_at_spaces
from myna.ledger import Ledger
from myna.settings import Section, setting

Report = Callable[[str, float], None]

VERSION = 1
_SPOOL = "spool.parquet"
_REPORT_BYTES = 1 << 20
_OPTIONAL = ("label", "labels", "value", "words", "spans")


class CorpusConfig(Section):
    """``[corpus.NAME]``: which sources, and what is done to them."""

    sources: list[SourceConfig] = setting(description="where the documents come from", min_length=1)
    normalize: Normalization = setting("NFC", "Unicode normalisation: NFC, NFKC (also unifies widths), none")
    unescape: bool = setting(False, "resolve HTML's character references, as &quot;")
    minimum_characters: int = setting(1, "drop documents shorter than this", ge=1)
    noise: float = setting(
        0.3, "drop documents with a larger share of signs that are no letters or ordinary marks", ge=0, le=1
    )
    script: Literal["any", "han", "latin"] = setting("any", "drop documents without one letter of this script")
    deduplicate: bool = setting(True, "drop copies, compared without case, width and punctuation")
    words: Literal["segment", "given", "none"] = setting(
        "segment", "segment cuts texts into words (words given by a source are kept); given: cut at spaces; none"
    )
    validation: int = setting(10, "per cent of the groups for the validation set", ge=0, le=90)
    test: int = setting(10, "per cent of the groups for the test set", ge=0, le=90)
    stratify: bool = setting(
        False, "take validation and test from each label by its share, those of the lowest hashes, not from all at once"
    )
    shard_characters: int = setting(50_000_000, "begin a new shard after this many characters", ge=1)

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> CorpusConfig:
        if self.validation + self.test > 90:
            raise ValueError("validation and test together may take 90 per cent at most")
        return self


def _silent(what: str, share: float) -> None:
    pass


def prepare(config: CorpusConfig, folder: Path | str, report: Report = _silent) -> Ledger:
    """Writes the corpus of ``config`` into ``folder``, which exists and is empty; gives the ledger.

    ``Corpus.open(folder)`` reads it. ``report(what, share)`` is told how far it is. Raises an :class:`InputError` for a
    source that cannot be read, a corpus of which nothing is left, or one too small to be cut into the splits.
    """
    folder, ledger = Path(folder), Ledger()
    candidates: list[Candidate] = []
    with ShardWriter(folder / _SPOOL) as spool:
        for document, candidate in _cleaned(config, ledger, report):
            candidates.append(candidate)
            spool.write(document)
    fates = choose(candidates, ledger, config.validation, config.test, config.deduplicate, config.stratify)
    facts = _write_splits(config, folder, fates, ledger, report)
    files.remove(folder / _SPOOL)
    ledger.check()
    files.write_json(folder / "corpus.json", {"format": FORMAT, **facts, "ledger": ledger.to_dict()})
    return ledger


def _write_splits(
    config: CorpusConfig, folder: Path, fates: list[Split | None], ledger: Ledger, report: Report
) -> dict[str, Any]:
    """The spooled documents by their fates into shards; gives what ``corpus.json`` says of them."""
    letters: Counter[str] = Counter()
    has: set[str] = set()
    fate = iter(fates)
    done = 0
    with ExitStack() as stack:
        splits = {split: stack.enter_context(SplitWriter(folder, split, config.shard_characters)) for split in SPLITS}
        for batch in read_documents(folder / _SPOOL):
            texts: list[str] = []
            for document, split in zip(batch, fate, strict=False):  # in this order zip takes no fate too many
                if split is not None:
                    document = replace(document, split=split, words=_words(document, config.words))
                    splits[split].write(document)
                    texts.append(document.text)
                    has.update(name for name in _OPTIONAL if getattr(document, name) is not None)
                    ledger.note("words", 0 if document.words is None else len(document.words))
            letters += _scripts("".join(texts))
            done += len(batch)
            report("cutting into words and splits", 0.6 + 0.4 * done / len(fates))
    total = max(letters.total(), 1)
    return {
        "splits": {split: writer.facts() for split, writer in splits.items()},
        "has_labels": bool(has & {"label", "labels", "value"}),
        "has_words": "words" in has,
        "has_spans": "spans" in has,
        "scripts": {script: round(letters[script] / total, 6) for script in _BLOCKS},
    }


def _cleaned(config: CorpusConfig, ledger: Ledger, report: Report) -> Iterator[tuple[Document, Candidate]]:
    """What the sources hold, clean and worth keeping; all else is in the ledger."""
    repeats = Repeats() if config.deduplicate else None
    found = [
        (number, source, file) for number, source in enumerate(config.sources) for file in source_files(source, ledger)
    ]
    sizes = [_size(file.path) for _, _, file in found]
    for index, (number, source, file) in enumerate(found):
        read = reported = 0
        report(f"reading {file.name}", 0.6 * sum(sizes[:index]) / max(sum(sizes), 1))
        for raw in read_file(file, source, ledger, repeats):
            read += len(raw.text.encode("utf-8", "surrogatepass"))
            if read - reported > _REPORT_BYTES:
                reported = read
                share = (sum(sizes[:index]) + min(read, sizes[index])) / max(sum(sizes), 1)
                report(f"reading {file.name}", 0.6 * share)
            cleaned = clean(raw.text, raw.words, raw.spans, normalize=config.normalize, unescape=config.unescape)
            pair, target = (
                clean(text or "", normalize=config.normalize, unescape=config.unescape)
                for text in (raw.pair, raw.target)
            )
            for what, count in (cleaned.dropped + pair.dropped + target.dropped).items():
                ledger.dropped(what, characters=count)
            for what, count in (cleaned.added + pair.added + target.added).items():
                ledger.added(what, characters=count)
            raw = replace(
                raw,
                pair=None if raw.pair is None else pair.text,
                target=None if raw.target is None else target.text,
                messages=_cleaned_messages(raw.messages, config),
            )
            lost = len(raw.spans or ()) - len(cleaned.spans or ())
            if lost:
                ledger.dropped("span of nothing but removed characters", labels=lost)
            labels = raw.label_count - lost
            reason = flaw(cleaned.text, config.minimum_characters, config.noise, config.script)
            if reason is not None:
                characters = len(cleaned.text + pair.text + target.text)
                ledger.dropped(reason, documents=1, characters=characters, labels=labels)
                continue
            place = f"{number}:{raw.source}:{raw.line}"
            candidate = Candidate.of(place, cleaned.text, raw, labels)
            document = Document(
                id=place,
                text=cleaned.text,
                source=raw.source,
                group=raw.group or candidate.key.hex(),
                split=raw.split or "train",  # for now: choose() decides
                label=raw.label,
                labels=raw.labels,
                words=cleaned.words,
                spans=cleaned.spans,
                pair=raw.pair,
                value=raw.value,
                target=raw.target,
                messages=raw.messages,
            )
            yield document, candidate


def _cleaned_messages(messages: tuple[Message, ...] | None, config: CorpusConfig) -> tuple[Message, ...] | None:
    """Each turn clean; its characters are in the books as those of the text, which is all turns."""
    if messages is None:
        return None
    return tuple(
        Message(role, clean(content, normalize=config.normalize, unescape=config.unescape).text)
        for role, content in messages
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _words(document: Document, how: Literal["segment", "given", "none"]) -> Words | None:
    if how == "none":
        return None
    if document.words is not None:
        return document.words
    return segment(document.text) if how == "segment" else split_at_spaces(document.text)


# Blocks of letters by script, roughly, which is all that a share needs; "other" is Greek and on, kana, Hangul.
_BLOCKS = {
    "han": ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)),
    "latin": ((0x41, 0x5B), (0x61, 0x7B), (0xC0, 0x250), (0x1E00, 0x1F00)),
    "other": ((0x370, 0x1E00), (0x1F00, 0x2000), (0x3040, 0x3100), (0xAC00, 0xD7A4)),
}


def _scripts(text: str) -> Counter[str]:
    """How many letters of a text are of each script."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    return Counter(
        {
            script: sum(int(((codes >= low) & (codes < high)).sum()) for low, high in blocks)
            for script, blocks in _BLOCKS.items()
        }
    )
