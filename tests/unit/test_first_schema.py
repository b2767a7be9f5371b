"""A SQLite store that the first release wrote: this one migrates it, and keeps its bytes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.query_store import event
from tests.unit.stored import assert_schema_is_ours
from tracker.errors import StoreMismatch
from tracker.fold.reducers import fold
from tracker.fold.state import TaskState, to_bytes
from tracker.fold.view import columns
from tracker.query import connect
from tracker.stores import schema
from tracker.stores.open import open_store
from tracker.testing.stores.values import AT, position


def registers_of(task: str) -> tuple[TaskState, bytes]:
    """A task that runs, and its bytes."""
    state = TaskState()
    fold(state, [event(task, "created", launcher="sweep"), event(task, "launched")])
    return state, to_bytes(state)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of the first schema, with three tasks, a position and a parked record, written by SQL alone."""
    path = tmp_path / "status.db"
    schema.migrate(str(path), None, to="0001")
    with closing(sqlite3.connect(path)) as hand, hand:
        for number in range(3):
            state, registers = registers_of(f"t{number}")
            row = columns(f"t{number}", state)
            assert row is not None
            names = ", ".join(["id", "revision", "deleted", "registers", *row._fields])
            marks = ", ".join("?" * (4 + len(row)))
            hand.execute(f"INSERT INTO task ({names}) VALUES ({marks})", (f"t{number}", number + 1, False, registers, *row))
        hand.execute("UPDATE meta SET value = '3' WHERE name = 'revision'")
        hand.execute(
            "INSERT INTO position (topic, partition, next_offset, identity, read, applied, parked) VALUES ('events', 0, 7, 'log:1', 7, 6, 1)"
        )
        hand.execute(
            "INSERT INTO parked (topic, partition, offset, reason, detail, headers, value) VALUES ('events', 0, 3, 'not-json', 'd', x'90', x'7b')"
        )
        assert hand.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    return path


def test_it_migrates_and_keeps_its_bytes(path: Path) -> None:
    """Every state, position, counter and parked record is what it was, and the schema is the present one."""
    with open_store(f"sqlite:///{path}") as store:
        assert {id: held.registers for id, held in store.load(["t0", "t1", "t2"]).items()} == {
            f"t{number}": registers_of(f"t{number}")[1] for number in range(3)
        }
        assert store.claim([position()])[AT].next_offset == 7
        assert store.partitions()[0].counters.balanced
        assert [each.record.value for each in store.parked()] == [b"{"]
        assert store.revision() == 3
    assert_schema_is_ours(path)
    with connect(f"sqlite:///{path}") as tasks:
        assert tasks.count('launcher eq "sweep" and state eq "RUNNING"') == 3


def test_another_fold_is_refused_before_it_is_migrated(path: Path) -> None:
    """With the command that mends it; what was there is as it was."""
    with closing(sqlite3.connect(path)) as hand, hand:
        hand.execute("UPDATE meta SET value = '99' WHERE name = 'fold_version'")
    with pytest.raises(StoreMismatch, match="fold the log again beside it with 'tracker rebuild'"):
        open_store(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as hand:
        version = hand.execute("SELECT version_num FROM alembic_version").fetchone()
    assert version == ("0001",)
