"""The event log as an Arrow table, one row a record: what is a task event, what is of a foreign type, and what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from tracker.analytics.arrow import BATCH_ROWS, arrow_schema, dictionary, times
from tracker.analytics.columns import EVENTS, TIME, Column, Words
from tracker.analytics.records import NAMES, Rows, log_records
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record


def log_reader(paths: str | Sequence[str], *, limits: Limits = DEFAULT_LIMITS) -> pa.RecordBatchReader:
    """The records of files of JSON lines, batch by batch in bounded memory; columns are those of `tracker.analytics.columns.EVENTS`.

    ``paths``: files (plain, gzip, zstd) and globs, read one after the other in this order. ``limits``: what is refused as too large. Raises
    `NotFound` at once, `SourceError` while it is read.
    """
    return pa.RecordBatchReader.from_batches(arrow_schema(EVENTS), record_batches(log_records(paths), Rows(limits)))


def log_to_arrow(paths: str | Sequence[str], *, limits: Limits = DEFAULT_LIMITS) -> pa.Table:
    """`log_reader` as one table."""
    return log_reader(paths, limits=limits).read_all()


def record_batches(records: Iterable[Record], rows: Rows) -> Iterator[pa.RecordBatch]:
    """The table of any records, Kafka's too."""
    schema, waiting = arrow_schema(EVENTS), iter(records)
    while made := [rows.of(record) for record in islice(waiting, BATCH_ROWS)]:
        columns = dict(zip(NAMES, zip(*made, strict=True), strict=True))
        yield pa.record_batch([_array(columns[column.name], column, schema) for column in EVENTS], schema=schema)


def _array(values: Sequence[Any], column: Column, schema: pa.Schema) -> pa.Array:
    if isinstance(column.type, Words):
        return dictionary(values, column.type)
    return times(values) if column.type == TIME else pa.array(values, schema.field(column.name).type)
