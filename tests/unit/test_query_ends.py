"""The least and the greatest time of what matches: found among few tasks, or read off the time's index, it is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.query_store import commit, event
from tracker.query import sql
from tracker.query.fields import FIELDS
from tracker.query.filters import parse
from tracker.query.pages import BY_ID
from tracker.query.sqlite import SqliteReader
from tracker.stores.open import open_store

FILTERS = ('state eq "RUNNING"', 'state eq "COMPLETED"', "launcher eq a", 'id eq "none"', "attributes.n eq 1 or launcher eq b")


@pytest.fixture
def reader(tmp_path: Path) -> SqliteReader:
    """A store of ten tasks, of which every other one has ended."""
    events = []
    for number in range(10):
        events.append(event(f"t{number}", "created", f"2026-01-{number + 1:02}T00:00:00Z", launcher="ab"[number % 3 == 0]))
        events.append(event(f"t{number}", "launched", f"2026-02-{number + 1:02}T00:00:00Z"))
        if number % 2:
            events.append(event(f"t{number}", "completed", f"2026-03-{number + 1:02}T00:00:00Z", completionStatus="SUCCESS"))
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        commit(store, events)
    return SqliteReader(str(tmp_path / "status.db"))


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("field", ["created", "launched", "completed"])
def test_both_ways_give_the_same(reader: SqliteReader, monkeypatch: pytest.MonkeyPatch, filters: str, field: str) -> None:
    """None where no task that matches has the time."""
    where = parse(filters)
    with reader.snapshot() as snapshot:
        few = snapshot.ends(where, FIELDS[field])
        monkeypatch.setattr(sql, "_FEW", 0)
        assert snapshot.ends(where, FIELDS[field]) == few
        held = sorted(time for row in snapshot.rows(where, BY_ID) if (time := getattr(row.columns, field)) is not None)
    assert few == ((held[0], held[-1]) if held else None)
    reader.close()
