"""Chunks of stored states -> record batches: packed for the kernels, read out by them in another thread, and made into Arrow's arrays."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import msgspec
import pyarrow as pa

from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import Attribute
from tracker.analytics.compiled.arrays import Arrays
from tracker.analytics.compiled.sheet import CHUNK_BYTES, CHUNK_ROWS, Sheet
from tracker.errors import StoreError
from tracker.query.base import Row, Snapshot, Stored
from tracker.query.filters import Node
from tracker.query.pages import BY_ID, Order
from tracker.query.tokens import Place

THREADS = min(os.cpu_count() or 1, 4)
"""More would wait for the one that reads."""


class CompiledBatches(Batches):
    """`Batches` in machine code, of tasks as they are. States that are not as the kernels expect them are made by the class above."""

    def __init__(self, attributes: Sequence[Attribute] = (), about: dict[str, Any] | None = None) -> None:
        super().__init__(attributes, about)
        self._sheets = deque([Sheet()])
        self._counting = Lock()

    def read(self, snapshot: Snapshot, where: Node | None, since: Place | None = None, order: Order = BY_ID) -> Iterator[pa.RecordBatch]:
        """The table in batches."""
        return super().read(snapshot, where, since, order) if since is not None else self.of_stored(snapshot.stored(where, order))

    def of_stored(self, stored: Iterable[Stored], max_rows: int = CHUNK_ROWS, max_bytes: int = CHUNK_BYTES) -> Iterator[pa.RecordBatch]:
        """All rows. The next ones are read while other threads make batches."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="tracker-compiled") as threads:
            waiting = deque[Future[pa.RecordBatch]]()
            for chunk in _chunks(stored, max_rows, max_bytes):
                waiting.append(threads.submit(self._made, chunk))
                if len(waiting) > THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _made(self, chunk: Sequence[Stored]) -> pa.RecordBatch:
        return self.compiled(chunk) or pa.concat_batches(list(self.of([(Row(*row), "changed") for row in chunk], len(chunk) + 1, None)))

    def compiled(self, chunk: Sequence[Stored]) -> pa.RecordBatch | None:
        """One chunk of at least one row; None where a row is not as the kernels expect it."""
        ids, revisions, states = zip(*chunk, strict=True)
        try:
            sheet = self._sheets.pop()
        except IndexError:  # other threads have them all
            sheet = Sheet()
        try:
            data = sheet.read(ids, states)
            if data is None:
                return None
            arrays = Arrays(data, sheet.written, sheet.cells, len(chunk))
            columns = arrays.columns()
            for column in columns.values():
                column.validate(full=True)
        except (StoreError, ValueError, msgspec.DecodeError):  # a state that is damaged: the other road says so
            return None
        finally:
            self._sheets.append(sheet)
        columns["revision"] = pa.array(revisions, pa.int64())
        with self._counting:
            self.add_attributes(columns, arrays.attribute_values, len(chunk))
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)


def _chunks(stored: Iterable[Stored], max_rows: int, max_bytes: int) -> Iterator[list[Stored]]:
    """The rows in chunks of a bounded number and size."""
    chunk, size_bytes = list[Stored](), 0
    for row in stored:
        chunk.append(row)
        size_bytes += len(row[2])
        if size_bytes >= max_bytes or len(chunk) >= max_rows:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk
