"""What the suite's tests write, and how they look at what is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tracker.model.records import Position, Record, TopicPartition
from tracker.model.rows import Columns
from tracker.stores.base import Advance, Counters, Jump, ParkedRecord, PartitionStatus, StatusStore, Write

AT = TopicPartition("events", 0)
OTHER = TopicPartition("events", 1)
LOG = "log:1"
"""The identity of the logs."""
ODD_IDS = ("t", "T", "t ", " t", "'; DROP TABLE task; --", "%", "é", "e\u0301", "\U0001f600", "\uffee", "x" * 256)
"""Task ids that a comparison other than by code point would mix up."""
COLUMNS = Columns(
    type="QUARTZ",
    unique_name="name",
    description="",
    parent_name=None,
    parent_id=None,
    launcher="sweep",
    target_id=None,
    target_type=None,
    target_name=None,
    created="2026-01-01T00:00:00.000000Z",
    modified="2026-01-01T00:00:00.000000Z",
    launched=None,
    completed=None,
    completion_status=None,
    progress=None,
    percent_complete=0,
    state="PENDING",
    attempt=1,
)


def position(at: TopicPartition = AT, *, next_offset: int = 0, identity: str = LOG) -> Position:
    """A position in one of the suite's logs."""
    return Position(at.topic, at.partition, next_offset, identity)


def advance(expected: int, following: int, *, at: TopicPartition = AT, counters: Counters | None = None) -> Advance:
    """A step of a partition; its records are counted as applied unless told otherwise."""
    read = max(0, following - expected)
    return Advance(
        expected=position(at, next_offset=expected),
        next=position(at, next_offset=following),
        counters=counters or Counters(read, read),
    )


def write(task_id: str, registers: bytes = b"state", *, loaded: int | None = None) -> Write:
    """A task's new state."""
    return Write(task_id, registers, COLUMNS, loaded)


def parked(offset: int, reason: str = "not-json") -> ParkedRecord:
    """A refused record of the first partition."""
    return ParkedRecord(record=Record(*AT, offset, b"{"), reason=reason, detail="detail")


def jump(chosen: int) -> Jump:
    """A jump of the first partition."""
    return Jump(at=AT, stored=chosen - 1, chosen=chosen, policy="earliest", when="2026-01-01T00:00:00Z")


def status(store: StatusStore, at: TopicPartition = AT) -> PartitionStatus:
    """One partition's."""
    (found,) = (each for each in store.partitions() if each.position.at == at)
    return found


def everything(store: StatusStore) -> dict[str, Any]:
    """All that a store has of the suite's tasks, partitions, parked records and jumps."""
    return {
        "tasks": dict(store.load(["a", "b", "c", "new", "z"])),
        "task_count": store.task_count(),
        "partitions": list(store.partitions()),
        "parked": list(store.parked(limit=1_000)),
        "jumps": list(store.jumps()),
        "revision": store.revision(),
    }


def in_threads(*calls: Callable[[], None]) -> None:
    """Run these at the same time; raises what the first of them raised, and fails if one is not done within 30 seconds."""
    start = threading.Barrier(len(calls))
    errors: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        start.wait()
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a writer hangs"
    for error in errors:
        raise error
