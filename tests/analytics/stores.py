"""Stores filled with the logs that the tests have, as a projector would, and open for reading by plain calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random

import msgspec

from tests.naive.logs import crowded_log, random_log
from tests.naive.workload import lines
from tests.unit.query_store import commit
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.model.records import Record
from tracker.query.blocking import BlockingQuery, connect
from tracker.query.memory import MemoryReader
from tracker.schema.examples import examples
from tracker.stores.base import StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store


def events_of(records: Iterable[Record], log: str = "") -> list[TaskEvent]:
    """What is an event; ids of tasks begin with the log's name, so that one store can hold many logs."""
    decode = Decoder().decode
    found = [event for record in records if isinstance(event := decode(record), TaskEvent)]
    return [msgspec.structs.replace(event, task_id=(log + event.task_id)[:256]) for event in found]


@cache
def all_logs(adversarial: int = 200) -> list[TaskEvent]:
    """Adversarial logs (some with tasks that are deleted), a crowded one, a realistic one, and the published examples."""
    events = [event for seed in range(adversarial) for event in events_of(random_log(Random(seed)), f"{seed}/")]
    events += events_of(crowded_log(Random(1)), "crowded/")
    events += events_of(Record("log", 0, at, line) for at, line in enumerate(lines(100)))
    return events + events_of(Record("log", 0, at, event.to_json()) for at, event in enumerate(examples()[:-1]))


@contextmanager
def in_memory(events: Iterable[TaskEvent]) -> Iterator[BlockingQuery]:
    """A memory store with the events."""
    store = MemoryStore()
    commit(store, events)
    with BlockingQuery(MemoryReader(store)) as tasks:
        yield tasks


def sqlite_url(folder: Path) -> str:
    """Of the store that a folder has."""
    return f"sqlite:///{folder}/status.db"


@contextmanager
def in_sqlite(folder: Path, events: Iterable[TaskEvent]) -> Iterator[tuple[StatusStore, BlockingQuery]]:
    """A SQLite store with the events at `sqlite_url`, to be written to and read."""
    url = sqlite_url(folder)
    with open_store(url) as store:
        commit(store, events)
        with connect(url) as tasks:
            yield store, tasks
