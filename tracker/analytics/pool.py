"""Record batches made in several processes: reading states out takes ten times what SQLite and Parquet do together.

The store is read, and the file written, in the one process that has the snapshot; others get stored bytes and give Arrow's.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pyarrow as pa

from tracker.analytics import lean
from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import Attribute
from tracker.analytics.flat import Told, chunks
from tracker.errors import TrackerError
from tracker.query.base import Row

LEAST_ROWS = 50_000
"""Of fewer rows the processes would have started when one is done."""
SENT_ROWS, SENT_BYTES = 1_024, 2_000_000
"""To a process at once: some 1.5 MB there and 1 MB back, which both sides hold several times over. Twice as much takes no less time."""
_Sent = list[tuple[str, int, bytes, str]]
"""Ids, revisions, states and kinds of change."""


class PooledBatches(Batches):
    """`Batches`, by so many processes beside this one. They come in the order of the rows."""

    def __init__(self, processes: int, attributes: Sequence[Attribute], about: dict[str, object]) -> None:
        super().__init__(attributes, about)
        self._processes = processes

    def of(self, told: Iterable[Told], max_rows: int = SENT_ROWS, max_bytes: int | None = SENT_BYTES) -> Iterator[pa.RecordBatch]:
        """All rows. Raises `TrackerError` where a process was killed."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._processes, context, lean.begin, (__name__, self.attributes)) as pool:
            waiting = deque[Future[tuple[bytes, dict[str, int]]]]()
            try:
                for chunk in chunks(told, max_rows, max_bytes or SENT_BYTES):
                    waiting.append(pool.submit(_made, [(row.id, row.revision, row.registers, change) for row, change in chunk]))
                    if len(waiting) > self._processes + 1:
                        yield self._taken(waiting.popleft())
                while waiting:
                    yield self._taken(waiting.popleft())
            except BrokenProcessPool:
                raise TrackerError(
                    "a process of the export was killed, maybe for its memory: nothing was written; --processes 1 takes less"
                ) from None
            finally:
                for each in waiting:
                    each.cancel()

    def _taken(self, done: Future[tuple[bytes, dict[str, int]]]) -> pa.RecordBatch:
        made, misfits = done.result()
        for name, count in misfits.items():
            self.misfits[name] = self.misfits.get(name, 0) + count
        with pa.ipc.open_stream(made) as stream:
            return stream.read_next_batch().replace_schema_metadata(self.schema.metadata)


_batches: list[Batches] = []
"""What this process makes batches with."""


def begin(attributes: tuple[Attribute, ...]) -> None:
    """In each of the processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    gc.disable()  # states hold no cycles, and this process ends with the export
    os.nice(1)  # the first one reads and writes for all: it shall not wait for them
    _batches.append(Batches(attributes))


def _made(sent: _Sent) -> tuple[bytes, dict[str, int]]:
    batches = _batches[0]
    batches.misfits = {}
    told: list[Told] = [(Row(id, revision, registers), change) for id, revision, registers, change in sent]
    # One batch for all, whatever its size: the rows came in a bounded number and size.
    [batch] = batches.of(told, max_rows=len(told) + 1, max_bytes=None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:  # with the dictionaries of words
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes(), batches.misfits
