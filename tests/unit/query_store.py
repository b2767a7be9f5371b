"""Stores filled for the tests of the query module: task events, folded and committed as a projector would."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns, purged_at
from tracker.model.records import Record
from tracker.stores.base import Commit, StatusStore, Write


def record(
    task: str, kind: str, time: str = "2026-01-01T00:00:00Z", *, attempt: int = 1, sequence: int = 0, id: str = "", **data: Any
) -> Record:
    """One task event as a log has it."""
    value = {
        "specversion": "1.0",
        "id": id or f"{kind}-{time}",
        "source": "/test",
        "type": f"io.tracker.task.{kind}",
        "subject": task,
        "time": time,
        "attempt": attempt,
        "sequence": sequence,
        "data": data,
    }
    return Record("t", 0, 0, json.dumps(value).encode())


def event(task: str, kind: str, time: str = "2026-01-01T00:00:00Z", **more: Any) -> TaskEvent:
    """One task event, through the real decoder; see `record`."""
    return decoded(record(task, kind, time, **more))


def decoded(record: Record) -> TaskEvent:
    """The record's event."""
    found = Decoder().decode(record)
    assert isinstance(found, TaskEvent), found
    return found


def commit(store: StatusStore, events: Iterable[TaskEvent]) -> int:
    """Fold the events into what the store has, in one commit; its revision."""
    by_task: dict[str, list[TaskEvent]] = {}
    for each in events:
        by_task.setdefault(each.task_id, []).append(each)
    loaded = store.load(list(by_task))
    writes = []
    for id, its_events in by_task.items():
        held = loaded.get(id)
        state = TaskState() if held is None else from_bytes(held.registers)
        fold(state, its_events)
        writes.append(write(id, state, None if held is None else held.revision))
    return store.commit(Commit(writes=writes))


def write(id: str, state: TaskState, loaded_revision: int | None = None) -> Write:
    """A state as a commit takes it."""
    return Write(id, to_bytes(state), columns(id, state), loaded_revision, purged_at(state))


def ids(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of documents."""
    return [document["id"] for document in documents]
