"""Chunks of stored states -> record batches: packed for the kernels, read out by them in another thread, and made into Arrow's arrays."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import Attribute
from tracker.analytics.compiled.arrays import BLOCK, Arrays
from tracker.analytics.compiled.json_text import FRACTION
from tracker.analytics.compiled.sheet import COLUMN, COLUMNS, FULL, HEAD, ODD, VALUES
from tracker.analytics.compiled.states import put_rows
from tracker.analytics.flat import json_lines
from tracker.errors import StoreError
from tracker.query.base import Row, Snapshot, Stored
from tracker.query.filters import Node
from tracker.query.pages import BY_ID, Order
from tracker.query.tokens import Place

CHUNK_ROWS, CHUNK_BYTES = 2_048, 2_000_000
THREADS = min(os.cpu_count() or 1, 4)
"""More would wait for the one that reads."""
ROW_BYTES = 1_000_000
"""A greater state goes the other road."""
_ASIDE = 20
"""Places that keep columns from standing at powers of two, where a processor's cache has room for few of them."""
_PADDING = bytes(BLOCK)
"""So that the beginning of a text can be read at once, wherever it stands."""
_decode = msgspec.msgpack.decode


class CompiledBatches(Batches):
    """`Batches` in machine code, of tasks as they are. States that are not as the kernels expect them are made by the class above."""

    def __init__(self, attributes: Sequence[Attribute] = (), about: dict[str, Any] | None = None) -> None:
        super().__init__(attributes, about)
        self._sheets = deque([Sheet()])
        self._sheets[0].read([], [])  # has the machine code made, which takes 300 MB for a while: before anything else takes memory
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
            arrays = sheet.read(ids, states)
            if arrays is None:
                return None
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


class Sheet:
    """What the kernels write to; used again and again, and made anew where it is too small."""

    def __init__(self) -> None:
        self._make(8 * CHUNK_BYTES, 8 * CHUNK_ROWS + _ASIDE)

    def _make(self, written_bytes: int, places: int) -> None:
        self._written = np.empty(written_bytes + BLOCK, np.uint8)[:-BLOCK]
        self._tape = np.zeros((ROW_BYTES + 2, 5), np.int64)
        self._cells = np.zeros((len(COLUMNS), places, 2), np.int64)

    def read(self, ids: Sequence[str], states: Sequence[bytes]) -> Arrays | None:
        """The rows' cells; None where a row is not as expected. Raises `ValueError` and others for what is damaged."""
        if max(map(len, states), default=0) > ROW_BYTES:
            return None
        encoded = list(map(str.encode, ids))
        packed = b"".join([HEAD, *encoded, *states, _PADDING])
        data = np.frombuffer(packed, np.uint8)
        starts = np.cumsum([len(HEAD), *map(len, encoded), *map(len, states)])
        end = FULL
        while end == FULL:
            self._cells[:, 0, 0] = 0
            end = put_rows(data, self._written, self._tape, self._cells, starts[: len(ids) + 1], starts[len(ids) :])
            if end == FULL:
                self._make(2 * len(self._written), 2 * self._cells.shape[1])
        if end == ODD:
            return None
        if self._cells[COLUMN["fraction"], 0, 0]:
            self._write_fractions(packed, end)
        return Arrays(data, self._written, self._cells, len(ids))

    def _write_fractions(self, packed: bytes, at: int) -> None:
        """What Python writes as JSON: behind the rest of it. Raises `ValueError` where there is no room, which those rows would have to be made for."""
        cells = self._cells
        places = cells[COLUMN["fraction"], 1 : cells[COLUMN["fraction"], 0, 0] + 1].tolist()
        texts = json_lines([_decode(packed[start:end]) for start, end in places]).split(b",\n  ")
        joined = b"".join(texts)
        self._written[at : at + len(joined)] = np.frombuffer(joined, np.uint8)
        sizes = np.array(list(map(len, texts)), np.int64)
        found = np.stack((at + np.cumsum(sizes) - sizes, sizes), axis=1)
        for name in VALUES:
            of_column = cells[COLUMN[name], 1 : cells[COLUMN[name], 0, 0] + 1]
            theirs = of_column[:, 1] == FRACTION
            of_column[theirs] = found[of_column[theirs, 0]]
