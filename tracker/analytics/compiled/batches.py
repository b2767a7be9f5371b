"""Chunks of stored states -> record batches: packed for the kernels, read out by them in another thread, and made into Arrow's arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec
import numpy as np
import pyarrow as pa

from tracker.analytics.arrow import Batches
from tracker.analytics.compiled.arrays import Arrays
from tracker.analytics.compiled.json_text import FRACTION
from tracker.analytics.compiled.sheet import COLUMN, COLUMNS, FULL, HEAD, ODD
from tracker.analytics.compiled.states import put_rows
from tracker.analytics.flat import Told, chunks, json_lines
from tracker.errors import StoreError

CHUNK_ROWS, CHUNK_BYTES = 4_096, 4_000_000
ROW_BYTES = 1_000_000
"""A greater state goes the other road."""
_decode = msgspec.msgpack.decode


class CompiledBatches(Batches):
    """`Batches` in machine code. States that are not as the kernels expect them, and tasks that are gone, are made by the class above."""

    _tape = np.zeros((0, 5), np.int64)
    _data = np.zeros(0, np.uint8)
    _cells = np.zeros((len(COLUMNS), 1, 2), np.int64)

    def of(self, told: Iterable[Told], max_rows: int = CHUNK_ROWS, max_bytes: int | None = CHUNK_BYTES) -> Iterator[pa.RecordBatch]:
        """All rows. The next ones are read while another thread makes a batch."""
        with ThreadPoolExecutor(1, thread_name_prefix="tracker-compiled") as thread:
            last: Future[pa.RecordBatch] | None = None
            for chunk in chunks(told, max_rows, max_bytes or CHUNK_BYTES):
                made, last = last, thread.submit(self._made, chunk)
                if made is not None:
                    yield made.result()
            if last is not None:
                yield last.result()

    def _made(self, chunk: Sequence[Told]) -> pa.RecordBatch:
        return self.compiled(chunk) or pa.concat_batches(list(super().of(chunk, max_rows=len(chunk) + 1, max_bytes=None)))

    def compiled(self, chunk: Sequence[Told]) -> pa.RecordBatch | None:
        """One chunk; None where a row is not as the kernels expect it."""
        ids = [row.id.encode() for row, _ in chunk]
        states = [row.registers for row, _ in chunk]
        if max(map(len, states)) > ROW_BYTES or any(change != "changed" for _, change in chunk):
            return None
        packed = np.frombuffer(b"".join([HEAD, *ids, *states]), np.uint8)
        id_starts = np.cumsum([len(HEAD), *map(len, ids)])
        state_starts = np.cumsum([id_starts[-1], *map(len, states)])
        try:
            if self._read_out(packed, id_starts, state_starts) == ODD:
                return None
            arrays = Arrays(self._data, self._cells, len(chunk))
            columns = arrays.columns()
            for column in columns.values():
                column.validate(full=True)
        except (StoreError, ValueError, msgspec.DecodeError):  # a state that is damaged: the other road says so
            return None
        columns["revision"] = pa.array([row.revision for row, _ in chunk], pa.int64())
        self.add_attributes(columns, arrays.attribute_values, len(chunk))
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)

    def _read_out(self, packed: np.ndarray[tuple[int], np.dtype[np.uint8]], id_starts: object, state_starts: object) -> int:
        """Have the kernels read out the rows, with as much room as they need; where their JSON ends, or `ODD`."""
        data_bytes, places = 8 * max(len(packed), CHUNK_BYTES), 8 * CHUNK_ROWS
        while True:
            if len(self._data) < data_bytes or self._cells.shape[1] < places:
                self._tape = np.zeros((ROW_BYTES + 2, 5), np.int64)
                self._data = np.empty(data_bytes, np.uint8)
                self._cells = np.zeros((len(COLUMNS), places, 2), np.int64)
            self._data[: len(packed)] = packed
            self._cells[:, 0, 0] = 0
            end = put_rows(self._data, self._tape, self._cells, id_starts, state_starts)
            if end != FULL:
                break
            data_bytes, places = 2 * len(self._data), 2 * self._cells.shape[1]
        if end != ODD and self._cells[COLUMN["fraction"], 0, 0]:
            self._write_fractions(end)
        return end

    def _write_fractions(self, at: int) -> None:
        """What Python writes as JSON: behind the rest of it. Raises `ValueError` where there is no room, which those rows would have to be made for."""
        cells, count = self._cells, self._cells[COLUMN["fraction"], 0, 0]
        places = cells[COLUMN["fraction"], 1 : count + 1].tolist()
        texts = json_lines([_decode(self._data[start:end].data) for start, end in places]).split(b",\n  ")
        written = b"".join(texts)
        self._data[at : at + len(written)] = np.frombuffer(written, np.uint8)
        sizes = np.array(list(map(len, texts)), np.int64)
        found = np.stack((at + np.cumsum(sizes) - sizes, sizes), axis=1)
        for name in ("argument.value", "attribute.value", "parameter"):
            values = cells[COLUMN[name], 1 : cells[COLUMN[name], 0, 0] + 1]
            theirs = values[:, 1] == FRACTION
            values[theirs] = found[values[theirs, 0]]
