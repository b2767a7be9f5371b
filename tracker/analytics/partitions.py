"""Files in folders by day or status, in Hive's form: ``day=2026-01-31/tasks-….parquet``, as DuckDB, polars, Spark and pyarrow read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from tracker.analytics.files import Behind, TableFile, told_of

PARTITIONS = {"day": "created", "status": "completionStatus"}
"""What tasks are parted by -> the column that it is of. Days are UTC's."""
NONE = "__HIVE_DEFAULT_PARTITION__"
"""Hive's name of null: of no status (in flight), of no day (a task that is gone)."""
MAX_ROWS_HELD = 131_072
"""In memory until a file is written to; then the folder with most of them."""
MAX_OPEN = 200
"""Files at once; of more folders than this some get several files."""


class PartitionedFiles:
    """Writes each row to a file in its partition's folder. Files have hidden names until `commit`, which gives them theirs."""

    def __init__(self, folder: Path, by: str, stem: str, suffix: str, made: Callable[[IO[bytes]], TableFile]) -> None:
        self._folder, self._by, self._stem, self._suffix, self._made = folder, by, stem, suffix, made
        self._held: dict[str, list[pa.RecordBatch]] = {}
        self._rows: dict[str, int] = {}
        self._open: dict[str, tuple[IO[bytes], TableFile]] = {}
        self._written: list[tuple[Path, Path]] = []

    def write_all(self, batches: Iterable[pa.RecordBatch], on_rows: Callable[[int], None] = lambda _: None) -> int:
        """All batches; the number of rows."""
        rows = 0
        with Behind() as behind:
            for batch in told_of(batches, on_rows):
                rows += batch.num_rows
                for key, part in parts(batch, self._by):
                    self._held.setdefault(key, []).append(part)
                    self._rows[key] = self._rows.get(key, 0) + part.num_rows
                while sum(self._rows.values()) >= MAX_ROWS_HELD:
                    fullest = max(self._rows, key=self._rows.__getitem__)
                    behind.do(self._flushing(fullest))
            behind.wait()
            for key in sorted(self._held):
                self._flushing(key)()
        for key in list(self._open):
            self._close(key)
        return rows

    def _flushing(self, key: str) -> Callable[[], None]:
        group = self._held.pop(key)
        del self._rows[key]
        return lambda: self._file(key).write(group)

    def _file(self, key: str) -> TableFile:
        if key not in self._open:
            if len(self._open) >= MAX_OPEN:
                self._close(next(iter(self._open)))
            folder = self._folder / f"{self._by}={key}"
            folder.mkdir(parents=True, exist_ok=True)
            number = sum(final.parent == folder for _, final in self._written)
            final = folder / f"{self._stem}{f'-{number}' if number else ''}.{self._suffix}"
            hidden = final.with_name(f".{final.name}.{os.getpid()}")
            self._written.append((hidden, final))
            sink = hidden.open("wb")
            self._open[key] = sink, self._made(sink)
        return self._open[key][1]

    def _close(self, key: str) -> None:
        sink, file = self._open.pop(key)
        file.close()
        sink.flush()
        os.fsync(sink.fileno())
        sink.close()

    def commit(self) -> int:
        """Give the files their names; how many there are. A file that stood under one of them was this same export's, and is replaced."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for hidden, final in self._written:
            hidden.replace(final)
        return len(self._written)

    def discard(self) -> None:
        """Close and delete what has a hidden name."""
        for sink, _ in self._open.values():
            sink.close()
        for hidden, _ in self._written:
            hidden.unlink(missing_ok=True)


def parts(batch: pa.RecordBatch, by: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each partition, in their order."""
    column = batch.column(PARTITIONS[by])
    keys = pc.strftime(column, "%Y-%m-%d") if by == "day" else column.cast(pa.string())
    keys = pc.fill_null(keys, NONE)
    for key in pc.unique(keys).to_pylist():
        yield key, batch.filter(pc.equal(keys, key))
