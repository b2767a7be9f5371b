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
import orjson
import pyarrow as pa

from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import Attribute
from tracker.analytics.compiled.arrays import Arrays
from tracker.analytics.compiled.json_text import FRACTION
from tracker.analytics.compiled.sheet import COLUMN, COLUMNS, FULL, HEAD, ODD, Array
from tracker.analytics.compiled.states import put_rows
from tracker.analytics.compiled.tape import DOUBLE
from tracker.analytics.flat import LEAST_PLAIN, MOST_PLAIN, Told, chunks, json_lines
from tracker.errors import StoreError

CHUNK_ROWS, CHUNK_BYTES = 2_048, 2_000_000
THREADS = min(os.cpu_count() or 1, 4)
"""More would wait for the one that reads."""
ROW_BYTES = 1_000_000
"""A greater state goes the other road."""
_decode = msgspec.msgpack.decode


class CompiledBatches(Batches):
    """`Batches` in machine code. States that are not as the kernels expect them, and tasks that are gone, are made by the class above."""

    def __init__(self, attributes: Sequence[Attribute] = (), about: dict[str, Any] | None = None) -> None:
        super().__init__(attributes, about)
        self._sheets = deque([Sheet()])
        self._sheets[0].read([])  # has the machine code made, which takes 300 MB for a while: before anything else takes memory
        self._counting = Lock()

    def of(self, told: Iterable[Told], max_rows: int = CHUNK_ROWS, max_bytes: int | None = CHUNK_BYTES) -> Iterator[pa.RecordBatch]:
        """All rows. The next ones are read while other threads make batches."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="tracker-compiled") as threads:
            waiting = deque[Future[pa.RecordBatch]]()
            for chunk in chunks(told, max_rows, max_bytes or CHUNK_BYTES):
                waiting.append(threads.submit(self._made, chunk))
                if len(waiting) > THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _made(self, chunk: Sequence[Told]) -> pa.RecordBatch:
        return self.compiled(chunk) or pa.concat_batches(list(super().of(chunk, max_rows=len(chunk) + 1, max_bytes=None)))

    def compiled(self, chunk: Sequence[Told]) -> pa.RecordBatch | None:
        """One chunk; None where a row is not as the kernels expect it."""
        try:
            sheet = self._sheets.pop()
        except IndexError:  # other threads have them all
            sheet = Sheet()
        try:
            arrays = sheet.read(chunk)
            if arrays is None:
                return None
            columns = arrays.columns()
            for column in columns.values():
                column.validate(full=True)
        except (StoreError, ValueError, msgspec.DecodeError):  # a state that is damaged: the other road says so
            return None
        finally:
            self._sheets.append(sheet)
        columns["revision"] = pa.array([row.revision for row, _ in chunk], pa.int64())
        with self._counting:
            self.add_attributes(columns, arrays.attribute_values, len(chunk))
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)


class Sheet:
    """What the kernels write to; used again and again, and made anew where it is too small."""

    def __init__(self) -> None:
        self._make(8 * CHUNK_BYTES, 8 * CHUNK_ROWS)

    def _make(self, data_bytes: int, places: int) -> None:
        self._data = np.empty(data_bytes, np.uint8)
        self._tape = np.zeros((ROW_BYTES + 2, 5), np.int64)
        self._cells = np.zeros((len(COLUMNS), places, 2), np.int64)

    def read(self, chunk: Sequence[Told]) -> Arrays | None:
        """The rows' cells; None where a row is not as expected. Raises `ValueError` and others for what is damaged."""
        states = [row.registers for row, _ in chunk]
        if max(map(len, states), default=0) > ROW_BYTES or any(change != "changed" for _, change in chunk):
            return None
        ids = [row.id.encode() for row, _ in chunk]
        packed = np.frombuffer(b"".join([HEAD, *ids, *states]), np.uint8)
        id_starts = np.cumsum([len(HEAD), *map(len, ids)])
        state_starts = np.cumsum([id_starts[-1], *map(len, states)])
        end = FULL
        while end == FULL:
            if 2 * len(packed) < len(self._data):
                self._data[: len(packed)] = packed
                self._cells[:, 0, 0] = 0
                end = put_rows(self._data, self._tape, self._cells, id_starts, state_starts)
            if end == FULL:
                self._make(2 * len(self._data), 2 * self._cells.shape[1])
        if end == ODD:
            return None
        if self._cells[COLUMN["fraction"], 0, 0]:
            self._write_fractions(end)
        return Arrays(self._data, self._cells, len(chunk))

    def _write_fractions(self, at: int) -> None:
        """What Python writes as JSON: behind the rest of it. Raises `ValueError` where there is no room, which those rows would have to be made for."""
        cells, data = self._cells, self._data
        places = cells[COLUMN["fraction"], 1 : cells[COLUMN["fraction"], 0, 0] + 1]
        texts = _texts_of_doubles(data, places)
        if texts is None:
            texts = json_lines([_decode(data[start:end].data) for start, end in places.tolist()]).split(b",\n  ")
        written = b"".join(texts)
        data[at : at + len(written)] = np.frombuffer(written, np.uint8)
        sizes = np.array(list(map(len, texts)), np.int64)
        found = np.stack((at + np.cumsum(sizes) - sizes, sizes), axis=1)
        for name in ("argument.value", "attribute.value", "parameter"):
            of_column = cells[COLUMN[name], 1 : cells[COLUMN[name], 0, 0] + 1]
            theirs = of_column[:, 1] == FRACTION
            of_column[theirs] = found[of_column[theirs, 0]]


def _texts_of_doubles(data: Array, places: Array) -> list[bytes] | None:
    """Fractions that orjson writes as Python does; None where there are others among them, or other values."""
    if (data[places[:, 0]] != DOUBLE).any():
        return None
    values = data[places[:, :1] + np.arange(1, 9)].view(">f8").ravel()
    sizes = np.abs(values)
    if not ((sizes >= LEAST_PLAIN) & (sizes < MOST_PLAIN) | (sizes == 0)).all():
        return None
    return orjson.dumps(values.tolist())[1:-1].split(b",")
