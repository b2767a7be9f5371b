"""Files replayed into PostgreSQL: filled at once or in batches, the same store as SQLite's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.naive.workload import lines
from tracker.query import connect
from tracker.replay import replay
from tracker.stores.postgres import PostgresStore


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 30,000 events, enough for a parallel replay."""
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines(4_500, seed=5, shuffle=True)))
    return path


@pytest.fixture(scope="module")
def expected(log: Path) -> list[object]:
    """What SQLite has of it."""
    url = f"sqlite:///{log.parent}/status.db"
    replay([str(log)], url, jobs=1, max_parked_ratio=0)
    return documents(url)


def documents(url: str) -> list[object]:
    """All tasks."""
    with connect(url) as tasks:
        return list(tasks.documents())


def indexes(database: str) -> Iterator[str]:
    """The definition of every index."""
    with psycopg.connect(database) as connection:
        for (text,) in connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"):
            yield text


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_replay_is_the_same_as_into_a_file(database: str, log: Path, expected: list[object], jobs: int) -> None:
    """In batches (one job) and filled at once (two): byte-equal documents, sums that add up, and a second replay reads nothing."""
    totals = replay([str(log)], database, jobs=jobs, max_parked_ratio=0)
    again = replay([str(log)], database, jobs=jobs, max_parked_ratio=0)

    assert documents(database) == expected
    assert totals.counters.balanced
    assert (again.counters.read, again.tasks) == (0, len(expected))


def test_a_filled_store_has_the_same_indexes(database: str, log: Path) -> None:
    """Filling drops them and makes them anew."""
    with PostgresStore(database):
        before = list(indexes(database))
    replay([str(log)], database, jobs=2, max_parked_ratio=0)

    assert list(indexes(database)) == before
    assert sum(" ON public.task " in text for text in before) == 14
