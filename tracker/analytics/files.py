"""The table into files: Parquet, Arrow, CSV; one file, or many in folders by day or status.

Memory is bounded: record batches are put together to one group of rows, which another thread writes while the next one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 32_768
"""Rows of one group in Parquet: what engines read at once, and what is held in memory, twice;"""
GROUP_BYTES = 32_000_000
"""less of them where they are great."""
COMPRESSION = "zstd"


class TableFile(Protocol):
    """A file that record batches are written to."""

    def write(self, batches: list[pa.RecordBatch]) -> None:
        """Write them, as one group of rows where the format has such."""
        ...

    def close(self) -> None:
        """Write what stands at the end; the sink stays open."""
        ...


class ParquetFile:
    """Parquet: times in microseconds, words as dictionaries, zstd, an index of pages."""

    def __init__(self, sink: IO[bytes], schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(sink, schema, compression=COMPRESSION, write_page_index=True)

    def write(self, batches: list[pa.RecordBatch]) -> None:
        """As one group of rows."""
        self._writer.write_table(pa.Table.from_batches(batches), row_group_size=GROUP_ROWS * 2)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


class ArrowFile:
    """Arrow's file format (Feather 2), which is mapped into memory and not read."""

    def __init__(self, sink: IO[bytes], schema: pa.Schema) -> None:
        self._writer = self._made(sink, schema)

    @staticmethod
    def _made(sink: IO[bytes], schema: pa.Schema) -> Any:
        return pa.ipc.new_file(sink, schema)

    def write(self, batches: list[pa.RecordBatch]) -> None:
        """Each batch."""
        for batch in batches:
            self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


class ArrowStream(ArrowFile):
    """Arrow's stream format, which is read as it comes."""

    @staticmethod
    def _made(sink: IO[bytes], schema: pa.Schema) -> Any:
        return pa.ipc.new_stream(sink, schema)


def groups(batches: Iterable[pa.RecordBatch], group_rows: int = GROUP_ROWS) -> Iterator[list[pa.RecordBatch]]:
    """The batches put together to groups of a bounded number of rows and size."""
    group, rows, size_bytes = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size_bytes += batch.nbytes
        if rows >= group_rows or size_bytes >= GROUP_BYTES:
            yield group
            group, rows, size_bytes = [], 0, 0
    if group:
        yield group


class Behind:
    """Does work in another thread, one piece at a time, while the next is made. Leaving it waits; an error comes out at the next call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracker-export")
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def do(self, work: Callable[[], None]) -> None:
        """When what was begun before is done."""
        self.wait()
        self._last = self._thread.submit(work)

    def wait(self) -> None:
        """Until all is done."""
        if self._last is not None:
            self._last.result()


def write_all(
    file: TableFile,
    batches: Iterable[pa.RecordBatch],
    on_rows: Callable[[int], None] = lambda _: None,
    *,
    group_rows: int = GROUP_ROWS,
) -> int:
    """All batches into one file; the number of rows. ``on_rows`` is told how many were read so far."""
    rows = 0
    with Behind() as behind:
        for group in groups(told_of(batches, on_rows), group_rows):
            rows += sum(batch.num_rows for batch in group)
            behind.do(lambda group=group: file.write(group))  # type: ignore[misc]
    file.close()
    return rows


def told_of(batches: Iterable[pa.RecordBatch], on_rows: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    """The same batches; ``on_rows`` is told after each how many rows there were so far."""
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        yield batch
        on_rows(rows)
