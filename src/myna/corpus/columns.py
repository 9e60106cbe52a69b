"""Tables in columns: Parquet files, and the Arrow files of a folder that ``datasets`` saved. No network, no pickle.

Classes that ``datasets`` keeps as numbers get their names again, which stand in the file. In a folder of several splits
(``dataset_dict.json``) each file is of the split whose folder it is in, but where that folder alone is the source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myna.corpus.document import SPLITS, RawDocument
from myna.corpus.rows import Refused, Row, attempt, document_of
from myna.corpus.sources import SourceConfig, SourceFile
from myna.errors import InputError
from myna.ledger import Ledger

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1024


def read_columns(
    file: SourceFile, source: SourceConfig, ledger: Ledger | None = None, refused: Refused | None = None
) -> Iterator[RawDocument]:
    """A document a row; rows count as lines from 1. A damaged file is an :class:`InputError`."""
    folder = file.path.parent
    split = next((s for s in SPLITS if s == folder.name and (folder.parent / "dataset_dict.json").exists()), None)
    split = None if folder.resolve() == Path(source.path).resolve() else split
    for number, values in enumerate(rows_of(file, source.columns), 1):
        document = attempt(refused, document_of, Row(values, file, number, ledger), source)
        if document is not None:
            yield document if split is None else replace(document, split=split)


def rows_of(file: SourceFile, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows as plain values, of some ``columns`` or of all."""
    import pyarrow as pa

    try:
        for batch in _batches(file):
            if columns is not None:
                batch = batch.select([name for name in batch.schema.names if name in columns])
            names = _names(batch.schema)
            for row in batch.to_pylist():
                yield {column: _named(value, names.get(column)) for column, value in row.items()}
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        what = f"this file is damaged or of another format ({' '.join(str(error).split())[:80]})"
        raise InputError(what, where=file.path, remedy="make it anew") from None


def _batches(file: SourceFile) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.format == "parquet":
        with pq.ParquetFile(file.path) as parquet:
            yield from parquet.iter_batches(batch_size=_ROWS)
        return
    with pa.memory_map(str(file.path)) as stream:
        try:
            yield from pa.ipc.open_stream(stream)
        except pa.ArrowInvalid:
            stream.seek(0)
            reader = pa.ipc.open_file(stream)
            yield from map(reader.get_batch, range(reader.num_record_batches))


def _names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of classes by column, where ``datasets`` wrote some into the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    found = {}
    for column, feature in features.items():
        inner = feature[0] if isinstance(feature, list) else feature
        inner = inner.get("feature", inner) if isinstance(inner, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            found[column] = inner["names"]
    return found


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
