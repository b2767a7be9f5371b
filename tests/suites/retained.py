"""Stores of every kind, with tasks that ended long ago or lately."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.suites.stores import STORES, store_of
from tests.unit.query_store import commit, decoded
from tests.unit.query_store import record as event
from tracker.fold.state import TaskState, from_bytes
from tracker.model.records import Batch, Record
from tracker.projector.retention import TYPES, purge
from tracker.query import TaskQuery
from tracker.stores.base import StatusStore
from tracker.testing.stores.values import AT, position

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY_S = 86_400.0
ALL: Mapping[Any, float] = dict.fromkeys(TYPES, 90 * DAY_S)
OLD, RECENT = "2026-01-01T00:00:00Z", "2026-05-01T00:00:00Z"


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[StatusStore, TaskQuery]:
    """A store of each kind, and a query of it that is not open yet."""
    return store_of(request, tmp_path)


@pytest.fixture
def store(opened: tuple[StatusStore, TaskQuery]) -> Iterator[StatusStore]:
    """The store, with its first partition claimed."""
    with opened[0] as store:
        store.claim([position()])
        yield store


def life(task: str, completed: str = OLD, *, attempt: int = 1, status: str = "SUCCESS", **data: Any) -> list[Record]:
    """A task that was created, launched and completed at one moment."""
    made = [event(task, "created", completed, attempt=attempt, uniqueName=f"name of {task}", **data)]
    return [*made, event(task, "launched", completed, attempt=attempt), ending(task, completed, attempt=attempt, status=status)]


def ending(task: str, completed: str, *, attempt: int = 1, status: str = "SUCCESS") -> Record:
    """Its end."""
    return event(task, "completed", completed, attempt=attempt, completionStatus=status)


def fold_in(store: StatusStore, records: Iterable[Record]) -> int:
    """Fold these into what the store has, in one commit without positions; its revision."""
    return commit(store, map(decoded, records))


def batch(records: Iterable[Record], begin: int = 0) -> Batch:
    """They as the next ones of the first partition."""
    placed = [msgspec.structs.replace(each, topic=AT.topic, partition=AT.partition, offset=begin + n) for n, each in enumerate(records)]
    return Batch({AT: placed}, {AT: position(next_offset=begin + len(placed))})


def state(store: StatusStore, task: str) -> TaskState:
    """What the store has of a task."""
    return from_bytes(store.load([task])[task].registers)


def purged(store: StatusStore, ages_s: Mapping[Any, float] = ALL) -> list[str]:
    """The ids that a purge leaves as marks."""
    purge(store, ages_s, NOW)
    return list(store.purged())
