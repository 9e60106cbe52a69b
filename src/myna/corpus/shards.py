"""Shards written: documents gathered into batches, batches into Parquet files, files into the shards of a split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from myna import files
from myna.corpus.document import Document, Split, read_batch, schema, to_batch

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# A million characters are a few megabytes with their words.
_BATCH_DOCUMENTS, _BATCH_CHARACTERS = 1024, 1_000_000


class ShardWriter:
    """One Parquet file, written batch by batch: a batch of documents is what is in memory at a time."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self._stream: IO[bytes] = files.open_new(path)
        self._parquet: pq.ParquetWriter = pq.ParquetWriter(self._stream, schema(), compression="zstd")
        self._batch: list[Document] = []
        self._in_batch = 0
        self.documents = self.characters = 0

    def write(self, document: Document) -> None:
        self._batch.append(document)
        length = len(document.text) + len(document.pair or "") + len(document.target or "")
        self._in_batch += length
        self.documents += 1
        self.characters += length
        if len(self._batch) >= _BATCH_DOCUMENTS or self._in_batch >= _BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            self._parquet.write_batch(to_batch(self._batch))
        self._batch, self._in_batch = [], 0

    def close(self) -> None:
        """Writes what is left; on an error the file is abandoned."""
        try:
            self._flush()
            self._parquet.close()
            self._stream.close()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Lets go of a file that will never be whole."""
        self._parquet.is_open = False  # or its destructor would write an end into a closed file
        with suppress(OSError):
            self._stream.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close() if kind is None else self.abandon()


class SplitWriter:
    """The shards of one split: a new one where the last is full. An empty split has one shard without rows."""

    def __init__(self, folder: Path, split: Split, most_characters: int) -> None:
        self._folder, self._split, self._most = folder, split, most_characters
        self._closed: list[tuple[int, int]] = []
        self._writer = self._open()

    def _open(self) -> ShardWriter:
        return ShardWriter(self._folder / f"{self._split}-{len(self._closed):05}.parquet")

    def write(self, document: Document) -> None:
        if self._writer.characters >= self._most:
            self.close()
            self._writer = self._open()
        self._writer.write(document)

    def close(self) -> None:
        self._writer.close()
        self._closed.append((self._writer.documents, self._writer.characters))

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close() if kind is None else self._writer.abandon()

    def facts(self) -> dict[str, Any]:
        """What ``corpus.json`` says of the split, once it is closed."""
        return {
            "documents": sum(documents for documents, _ in self._closed),
            "characters": sum(characters for _, characters in self._closed),
            "shards": [f"{self._split}-{number:05}.parquet" for number in range(len(self._closed))],
        }


def read_documents(path: Path) -> Iterator[list[Document]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_BATCH_DOCUMENTS):
            yield list(read_batch(batch, "train"))
