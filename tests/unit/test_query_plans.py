"""Which listings and counts SQLite reads off an index: seen in its own plans, for stores with and without statistics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.query_store import commit, event
from tracker.query import questions
from tracker.query.base import Question
from tracker.query.pages import parse_sorters, to_cursor
from tracker.query.sqlite import SqliteReader, SqliteSnapshot, compiled
from tracker.stores.sql import SqlStore

Plans = Callable[[Question[Any]], list[str]]
RUNNING = 'state eq "RUNNING"'
INDEXED = [
    (None, "id", "task_id"),
    (None, "-id", "task_id"),
    (None, "created", "task_created"),
    (None, "-created", "task_created"),
    (None, "modified", "task_modified"),
    (None, "-modified", "task_modified"),
    (None, "launched", "task_launched"),
    (None, "-launched", "task_launched"),
    (None, "completed", "task_completed"),
    (None, "-completed", "task_completed"),
    (RUNNING, "modified", "task_state"),
    (RUNNING, "-modified", "task_state"),
    ('completionStatus eq "ERROR"', "modified", "task_completion_status"),
    ('completionStatus eq "ERROR"', "-modified", "task_completion_status"),
    *(
        (filters, sorters, "task_" + sorters.removeprefix("-"))
        for filters in ('state eq "COMPLETED"', 'not state eq "RUNNING"', "pr completed", 'completionStatus eq "SUCCESS"')
        for sorters in ("id", "created", "-completed")
    ),
]
"""Filter, sorters, and the index that gives the order."""


@pytest.fixture(scope="module", params=["without statistics", "with statistics"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 200 tasks, ten of them running."""
    path = tmp_path_factory.mktemp("plans") / "status.db"
    log = []
    for number in range(200):
        minute = f"2026-01-01T{number // 60:02}:{number % 60:02}"
        log.append(event(f"t{number}", "created", f"{minute}:00Z"))
        log.append(event(f"t{number}", "launched", f"{minute}:01Z"))
        if number % 20:
            log.append(event(f"t{number}", "completed", f"{minute}:02Z", completionStatus="SUCCESS"))
    with SqlStore(str(path)) as store:
        commit(store, log)
        if request.param == "with statistics":
            store._connection.execute("ANALYZE")
    return path


@pytest.fixture
def plans(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plans]:
    """The plans of each statement that a question has, as one text each."""
    reader, found = SqliteReader(str(path)), list[str]()
    run = SqliteSnapshot._run

    def planned(self: SqliteSnapshot, statement: Any, *, few: bool = True) -> Any:
        # With its values bound, as it is run: of written ones SQLite knows more, and plans otherwise.
        text, values = compiled(statement)
        found.append("; ".join(row[3] for row in self._connection.execute(f"EXPLAIN QUERY PLAN {text}", values)))
        return run(self, statement, few=few)

    monkeypatch.setattr(SqliteSnapshot, "_run", planned)

    def plans(question: Question[Any]) -> list[str]:
        found.clear()
        with reader.snapshot() as snapshot:
            question(snapshot)
        return list(found)

    yield plans
    reader.close()


@pytest.mark.parametrize("after", [False, True], ids=["first", "later"])
@pytest.mark.parametrize(("filters", "sorters", "index"), INDEXED)
def test_a_page_is_read_off_its_index(plans, filters, sorters, index, after):
    """The first page and one further on begin in the index: nothing but equal neighbours is sorted, and no page scans the tasks."""
    order = parse_sorters(sorters)
    values: dict[str, str | int | None] = {"id": "t77", "number": 1, "time": "2026-01-01T02:00:00.000000Z"}
    cursor = to_cursor(order, tuple(values[sort.field.kind.value] for sort in order)) if after else None
    plan = plans(questions.page(filters, sorters, 20, cursor))[0]

    assert re.search(rf"(SCAN|SEARCH) task USING INDEX ({index}|sqlite_autoindex_task_1)\b", plan), plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    assert not after or "SEARCH" in plan


COVERED = {
    "all": questions.count(),
    "running": questions.count(RUNNING),
    "up to a cap": questions.count(cap=10),
    "by state": questions.counts(None, "state"),
    "by completionStatus": questions.counts(None, "completionStatus"),
    "by type": questions.counts(None, "type"),
    "by launcher": questions.counts(None, "launcher"),
    "running by state": questions.counts(RUNNING, "state"),
    "created": questions.histogram(None, "created"),
    "modified by state": questions.histogram(None, "modified", by="state"),
    "launched": questions.histogram(None, "launched"),
    "completed by completionStatus": questions.histogram(None, "completed", by="completionStatus"),
    "running, modified": questions.histogram(RUNNING, "modified"),
}


@pytest.mark.parametrize("name", COVERED)
def test_counts_look_at_no_task(plans, name):
    """What a dashboard asks for all the time is answered by indexes alone."""
    for plan in plans(COVERED[name]):
        assert all("COVERING INDEX" in step for step in plan.split("; ") if re.search(r"(SCAN|SEARCH) task\b", step)), plan


SELECTIVE = {
    "by type": 'type eq "QUARTZ"',
    "by launcher": 'launcher eq "nobody"',
    "by status": 'completionStatus eq "TEMPERROR"',
    "by time": "launched ge 2026-01-02",
}


@pytest.mark.parametrize("filters", SELECTIVE.values(), ids=SELECTIVE.keys())
@pytest.mark.parametrize("by", ["state", "attempt"])
def test_counts_by_a_field_look_at_what_matches_only(plans, filters, by):
    """The filter's index is read, not all tasks in the order of the field's."""
    (plan,) = [plan for plan in plans(questions.counts(filters, by)) if "GROUP BY" in plan]

    assert "(state>?)" not in plan
    assert "SCAN task USING INDEX" not in plan


@pytest.mark.parametrize("filters", ["created ge 2026-01-01", "pr completed", "modified lt 2027-01-01 and modified ge 2026-01-01"])
def test_counts_of_a_stretch_of_time_look_at_no_task(plans, filters):
    """Deleted tasks have no time, so that the time's index alone says how many there are."""
    for plan in plans(questions.count(filters)):
        assert "COVERING INDEX" in plan


def test_children_are_found_by_their_parent(plans):
    """A level of a tree is one look into the index of parents."""
    (plan,) = plans(lambda snapshot: list(snapshot.children(["a", "b"], 10)))

    assert "SEARCH task USING INDEX task_parent_id (parent_id=?)" in plan
