"""Counts over all tasks of a SQLite store, read off an index as ranges of it.

SQLite groups by comparing each row with the one before, and sorts them first where no index has them in that order: 120 ns and 0.9 µs a task. To
jump from each value to the next greater one and count the rows of each takes 75 ns; to count those of each status in each unit of time, 0.3 µs.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from tracker.model.times import to_datetime
from tracker.stores import tables

MAX_VALUES = 64
"""A column with more values is grouped by."""
MAX_RANGES = 10_000
"""Units of time: each takes 6 µs, however few rows it has."""
LEADING = frozenset(next(iter(index.columns)).name for index in tables.task_indexes) - {"id", "revision"}
"""Columns that an index begins with."""
_VALUES = (
    "WITH RECURSIVE each(value) AS (SELECT min({0}) FROM task WHERE {0} IS NOT NULL UNION ALL "
    "SELECT (SELECT min({0}) FROM task WHERE {0} > each.value) FROM each WHERE each.value IS NOT NULL LIMIT ?) "
    "SELECT value FROM each WHERE value IS NOT NULL"
)
_COUNT = "SELECT count(*) FROM task WHERE {0} = ?"
_ENDED = "SELECT {0} FROM task WHERE completed >= ? AND completed < ?"
_OF_STATUS = "count(*) FILTER (WHERE completion_status = ?)"
_UNITS = {10: timedelta(days=1), 13: timedelta(hours=1), 16: timedelta(minutes=1), 19: timedelta(seconds=1)}
"""What the first characters of a time name, by their number."""


def values(connection: sqlite3.Connection, column: str) -> list[str | int] | None:
    """The values of a column of `LEADING`, ascending; None if there are too many."""
    found = [value for (value,) in connection.execute(_VALUES.format(column), (MAX_VALUES + 1,))]
    return found if len(found) <= MAX_VALUES else None


def counts(connection: sqlite3.Connection, column: str) -> dict[str | int | None, int] | None:
    """How many tasks have each value of such a column; None if there are too many values."""
    found = values(connection, column)
    return None if found is None else {each: connection.execute(_COUNT.format(column), (each,)).fetchone()[0] for each in found}


def ended(connection: sqlite3.Connection, length: int) -> list[tuple[str, str | int, int]] | None:
    """How many tasks ended with each status in each unit of time, which the first ``length`` characters name; None if those are too many."""
    first, last = (
        connection.execute(f"SELECT {end}(completed) FROM task WHERE completed IS NOT NULL").fetchone()[0]  # noqa: S608 - our own names
        for end in ("min", "max")
    )
    statuses = values(connection, "completion_status")
    if first is None or statuses is None or length not in _UNITS:
        return None
    start, unit = to_datetime(first[:length] + "0001-01-01T00:00:00.000000"[length:]), _UNITS[length]
    number = (to_datetime(last[:26]) - start) // unit + 1
    if number > MAX_RANGES:
        return None
    statement, found = _ENDED.format(", ".join([_OF_STATUS] * len(statuses))), list[tuple[str, str | int, int]]()
    for at in range(number):
        moment = (start + at * unit).isoformat()[:length]
        counts = connection.execute(statement, (*statuses, moment, moment + "~")).fetchone()
        found += [(moment, status, count) for status, count in zip(statuses, counts, strict=True) if count]
    return found
