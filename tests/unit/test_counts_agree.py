"""Counts over all tasks, which SQLite reads as ranges of its indexes, are those of the tasks."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.query_store import commit, event
from tests.unit.test_filters_agree import _fill, logs
from tracker.query import sqlite_counts
from tracker.query.fields import FIELDS
from tracker.query.sqlite import SqliteReader
from tracker.stores.sql import SqlStore


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs, most=st.sampled_from([1, 2, 64]), ranges=st.sampled_from([3, 20_000]), limit=st.sampled_from([None, 1, 2]))
def test_counts_and_moments_are_those_of_the_tasks(tmp_path_factory, log, most, ranges, limit):
    """By any field with a column, whether it has few values or many, and by any unit of time."""
    sql, memory = _fill(tmp_path_factory.mktemp("counts"), log)
    with pytest.MonkeyPatch.context() as patch, sql.snapshot() as ours, memory.snapshot() as theirs:
        patch.setattr(sqlite_counts, "MAX_VALUES", most)
        patch.setattr(sqlite_counts, "MAX_RANGES", ranges)
        for name, field in FIELDS.items():
            if name != "revision":
                assert ours.counts(None, field, limit=limit) == theirs.counts(None, field, limit=limit), name
        for length in (10, 13, 16, 19, 23):
            moments = (set(each.moments(None, FIELDS["completed"], length, FIELDS["completionStatus"])) for each in (ours, theirs))
            assert next(moments) == next(moments), length
    sql.close()


def test_no_task_is_looked_at(tmp_path):
    """Counts by status, and how the tasks of each hour ended, are read off an index alone."""
    path = str(tmp_path / "status.db")
    with SqlStore(path) as store:
        commit(store, [event("a", "completed", completionStatus="ERROR")])
    asked: list[str] = []
    with SqliteReader(path).snapshot() as snapshot:
        connection: sqlite3.Connection = snapshot._connection
        connection.set_trace_callback(asked.append)
        assert snapshot.counts(None, FIELDS["completionStatus"]) == {"ERROR": 1}
        assert list(snapshot.moments(None, FIELDS["completed"], 13, FIELDS["completionStatus"])) == [("2026-01-01T00", "ERROR", 1)]
        connection.set_trace_callback(None)
        plans = [plan for each in asked if " task " in each for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {each}")]
    assert len(plans) > 5
    assert [plan for plan in plans if "task" in plan and "COVERING INDEX" not in plan] == []
