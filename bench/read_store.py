"""A store to be read: realistic tasks in SQLite, made once and kept in the system's temporary folder.

Of the tasks 1 % are running, 0.2 % were only created, 0.5 % are deleted, the rest have ended. Ids are random, so neighbours in time are
far apart in the file, as in a real store. It is made anew when the tables, the fold or what makes the tasks have changed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.naive import workload
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.state import TaskState, to_bytes
from tracker.fold.view import columns
from tracker.model.limits import FOLD_VERSION
from tracker.model.records import Record
from tracker.stores.base import Commit, Write
from tracker.stores.sql import SqlStore
from tracker.stores.sql_fill import fill
from tracker.stores.tables import metadata

EVENTS_PER_TASK = 8
KEPT_S = 3600
"""Another run, of another version, may be reading its own."""


def made(tasks: int) -> Path:
    """The store with so many tasks; made in about 100 s a million unless it is there. Others of the size that are older than an hour go."""
    folder, stem = Path(tempfile.gettempdir()), f"tracker-bench-reads-{tasks}-"
    path = folder / f"{stem}{_version()}.db"
    if path.exists():
        return path
    for other in folder.glob(f"{stem}*"):
        if time.time() - other.stat().st_mtime > KEPT_S:
            other.unlink(missing_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    started = perf_counter()
    with SqlStore(str(unfinished), synchronous="OFF") as store:
        fill(store, _told(_writes(tasks), tasks), Commit())
    unfinished.rename(path)
    print(f"{tasks:,} tasks, {path.stat().st_size / 1e6:,.0f} MB, made in {perf_counter() - started:.0f} s: {path}", flush=True)
    return path


def task_id(number: int) -> str:
    """The id of a task: 32 hexadecimal digits without any order."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).hexdigest()


def _version() -> str:
    """What the bytes of the store depend on, in short."""
    parts = [str(FOLD_VERSION), Path(__file__).read_text(), Path(str(workload.__file__)).read_text()]
    for table in metadata.sorted_tables:
        parts.append(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        parts.extend(sorted(str(CreateIndex(index).compile(dialect=sqlite.dialect())) for index in table.indexes))
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def _writes(tasks: int) -> Iterator[Write]:
    """Ascending by id, as `fill` wants them."""
    decode = Decoder().decode
    for id, number in sorted((task_id(number), number) for number in range(tasks)):
        state = TaskState()
        subject = b'"subject":"%s"' % workload.task_id(number).encode(), b'"subject":"%s"' % id.encode()
        # Multiplied by an odd number, so that these are spread over the time that the store covers.
        kind = number * 7919 % 1000
        if kind < 5:
            yield Write(id, to_bytes(TaskState(forgotten=True)), None, None)
            continue
        steps = 1 if kind < 7 else 2 + number % 5 if kind < 17 else EVENTS_PER_TASK
        events = [decode(Record("log", 0, 0, workload.line(number, step, EVENTS_PER_TASK, 0).replace(*subject))) for step in range(steps)]
        fold(state, [event for event in events if isinstance(event, TaskEvent)])
        yield Write(id, to_bytes(state), columns(id, state), None)


def _told(writes: Iterator[Write], tasks: int) -> Iterator[Write]:
    """The same, with the progress on standard error."""
    for number, write in enumerate(writes, 1):
        if number % 20_000 == 0 or number == tasks:
            step = f"making the store: {number / tasks:4.0%}" if number < tasks else "making the store: indexes"
            print(f"\r{step:<30}", end="" if number < tasks else "\n", file=sys.stderr, flush=True)
        yield write
