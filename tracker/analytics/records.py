"""The records of log files as rows of the table of events, in plain Python; no store is needed.

Records are decoded as the projector decodes them, under the same limits: what it would park has its reason here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import msgspec

from tracker.analytics.columns import EVENTS
from tracker.errors import UsageError
from tracker.fold.decode import Decoder
from tracker.fold.event import Ignored, Parked, stamp_parts
from tracker.fold.json_text import canonical
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record
from tracker.sources.files import BLOCK_BYTES, named, open_stream
from tracker.sources.lines import LineCutter

NAMES = tuple(column.name for column in EVENTS)
_TIME = NAMES.index("time")
_NONE = (None,) * 8


def log_records(paths: str | Sequence[str]) -> Iterator[Record]:
    """The records of files (plain, gzip, zstd) and globs, one file after the other. Raises `NotFound` at once, `SourceError` as they are read."""
    wanted = [paths] if isinstance(paths, str) else paths
    if "-" in wanted:
        raise UsageError("a table of standard input can't be made: write it to a file first")
    return _records(named(wanted))


class Rows:
    """Records as rows of the table, in the order of `NAMES`; a time is 26 characters of UTC. ``counts`` has how many were what, so far."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._decode = Decoder(limits).decode
        self.counts = {"event": 0, "ignored": 0, "parked": 0}

    def of(self, record: Record) -> tuple[Any, ...]:
        """One."""
        at = (record.topic, record.partition, record.offset)
        verdict = self._decode(record)
        if isinstance(verdict, Parked):
            self.counts["parked"] += 1
            return (*at, "parked", *_NONE, verdict.reason, verdict.detail)
        if isinstance(verdict, Ignored):
            self.counts["ignored"] += 1
            return (*at, "ignored", *_NONE, None, None)
        self.counts["event"] += 1
        if not verdict.stamp:  # a record without a value deletes the task that its key names, and says nothing else
            return (*at, "event", verdict.kind, verdict.task_id, *_NONE)
        stamp = stamp_parts(verdict.stamp)
        data = msgspec.to_builtins(verdict.data)
        if "completed" in data:  # a correction's, in the form that states have
            data["completed"] += "Z"
        named = (verdict.kind, verdict.task_id, verdict.time, stamp.attempt, stamp.sequence, stamp.source, stamp.id)
        return (*at, "event", *named, canonical(data).decode(), None, None)


def write_text(file: TextIO, records: Iterable[Record], rows: Rows, format_: str) -> None:
    """The table as ``csv`` or ``jsonl``; times are ISO 8601 in microseconds."""
    cells = csv.writer(file, lineterminator="\n")
    if format_ == "csv":
        cells.writerow(NAMES)
    for record in records:
        row = list(rows.of(record))
        if row[_TIME] is not None:
            row[_TIME] += "Z"
        if format_ == "csv":
            cells.writerow(row)
        else:
            file.write(json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False, separators=(",", ":")) + "\n")


def _records(paths: Iterable[str]) -> Iterator[Record]:
    for path in paths:
        cutter = LineCutter(path, 0)
        with open_stream(path) as stream:
            while block := stream.read(BLOCK_BYTES):
                yield from cutter.feed(block)
            stream.check_end()
        yield from cutter.finish()
