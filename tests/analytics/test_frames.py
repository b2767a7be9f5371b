"""The table as polars, pandas and DuckDB have it."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from tests.analytics.stores import in_sqlite
from tests.unit.query_store import commit, event
from tracker.analytics import arrow_reader, to_arrow, to_documents, to_pandas, to_polars
from tracker.errors import FilterError, StoreChanged, UsageError
from tracker.query.blocking import BlockingQuery
from tracker.stores.base import StatusStore

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[StatusStore, BlockingQuery]]:
    """A SQLite store with one task that took 90 s after waiting for 30, one that runs, and one that is deleted."""
    events = [
        event("a", "created", "2026-01-01T00:00:00.123456Z", uniqueName="sweep", attributes={"n": 5, "nested": {"b": [1.0], "a": "é"}}),
        event("a", "launched", "2026-01-01T00:00:30.123456Z"),
        event("a", "messaged", "2026-01-01T00:01:00Z", type="WARN", key="k", localizedText={"locale": "en", "message": "m"}, parameters=["p", {"x": 1}]),
        event("a", "completed", "2026-01-01T00:02:00.123456Z", completionStatus="SUCCESS"),
        event("b", "created", "2026-01-02T00:00:00Z"),
        event("b", "launched", "2026-01-02T00:00:01Z", attempt=2),
        event("c", "deleted"),
    ]  # fmt: skip
    with in_sqlite(tmp_path, events) as found:
        yield found


@pytest.fixture
def tasks(store: tuple[StatusStore, BlockingQuery]) -> BlockingQuery:
    """The store, for reading."""
    return store[1]


def test_times_have_microseconds(tasks: BlockingQuery) -> None:
    """In UTC, as the events had them; derived columns are seconds, null where there is nothing to tell."""
    rows = to_arrow(tasks).to_pylist()
    assert rows[0]["created"] == AT + timedelta(microseconds=123456)
    assert [(row["waitingSeconds"], row["durationSeconds"]) for row in rows] == [(30.0, 90.0), (1.0, None)]


def test_nested_values_are_json_texts(tasks: BlockingQuery) -> None:
    """Canonical, each by its key."""
    row = to_arrow(tasks).to_pylist()[0]
    assert row["attributes"] == [("n", "5"), ("nested", '{"a":"é","b":[1.0]}')]
    assert row["messages"][0]["parameters"] == ['"p"', '{"x":1}']


def test_filters_are_those_of_the_query(tasks: BlockingQuery) -> None:
    """The same text, and the same errors."""
    assert to_arrow(tasks, 'state eq "RUNNING"').column("id").to_pylist() == ["b"]
    assert to_arrow(tasks, "attributes.n eq 5").column("id").to_pylist() == ["a"]
    assert to_arrow(tasks, "id eq nobody").num_rows == 0
    with pytest.raises(FilterError):
        to_arrow(tasks, "stat eq x")


def test_changes_are_told_once(store: tuple[StatusStore, BlockingQuery]) -> None:
    """After a revision or a token there is what changed later, and another store's token is refused."""
    held, tasks = store
    token = tasks.token()
    commit(held, [event("b", "completed", "2026-01-03T00:00:00Z", attempt=2, completionStatus="ERROR"), event("a", "deleted")])
    tables = [to_arrow(tasks, since=since) for since in (token, 1, "1")]
    for table in tables:
        assert table.select(["id", "change", "revision"]).to_pylist() == [
            {"id": "a", "change": "deleted", "revision": 2},
            {"id": "b", "change": "changed", "revision": 2},
        ]
    assert [document["id"] for document in to_documents(tables[0])] == ["b"]
    with pytest.raises(StoreChanged):
        to_arrow(tasks, since="0123456789abcdef.1")


def test_polars(tasks: BlockingQuery) -> None:
    """Words are categoricals, maps are maps, and the frame has every row and column."""
    frame = to_polars(tasks, attributes=["n:int64"])
    assert frame["id"].to_list() == ["a", "b"]
    assert frame["state"].to_list() == ["COMPLETED", "RUNNING"]
    assert frame["n"].to_list() == [5, None]
    assert frame.schema["created"] == pl.Datetime("us", "UTC")
    assert frame.filter(pl.col("state") == "RUNNING").height == 1


def test_pandas(tasks: BlockingQuery) -> None:
    """Words are categoricals, integers nullable, times in UTC to the microsecond, maps dicts."""
    frame = to_pandas(tasks, attributes=["n:int64"])
    assert frame["state"].tolist() == ["COMPLETED", "RUNNING"]
    assert (str(frame["created"].dtype), str(frame["attempt"].dtype), str(frame["state"].dtype)) == (
        "datetime64[us, UTC]",
        "Int32",
        "category",
    )
    assert frame["attributes"][0] == {"n": "5", "nested": '{"a":"é","b":[1.0]}'}
    assert frame["n"][1] is pd.NA


def test_duckdb_reads_it_in_batches(tasks: BlockingQuery) -> None:
    """A reader is a table of DuckDB's."""
    connection = duckdb.connect().register("task", arrow_reader(tasks))
    found = connection.execute("SELECT id, state, durationSeconds, attributes['n'] FROM task ORDER BY id").fetchall()
    assert found == [("a", "COMPLETED", 90.0, "5"), ("b", "RUNNING", None, None)]


def test_a_reader_ends_with_its_table(tasks: BlockingQuery) -> None:
    """One that is not read to its end lets go of its snapshot when it is gone."""
    reader: Any = arrow_reader(tasks)
    reader.read_next_batch()
    reader.close()
    del reader
    gc.collect()
    assert to_arrow(tasks).num_rows == 2


def test_it_works_in_a_running_loop(tasks: BlockingQuery) -> None:
    """As notebooks have one."""

    async def cell() -> int:
        return int(to_arrow(tasks).num_rows)

    assert asyncio.run(cell()) == 2
    assert threading.active_count() < 20


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    """`import tracker`, `tracker.analytics` and the command line load no pyarrow, polars, pandas or duckdb."""
    code = "import sys, tracker, tracker.analytics, tracker.cli.app; print([n for n in ('pyarrow', 'polars', 'pandas', 'duckdb', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[]\n"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, no traceback of an import."""
    import tracker.analytics

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'tracker\[analytics\]'"):
        tracker.analytics.__getattr__("to_arrow")
