"""What can be asked of a snapshot: each function checks its arguments and gives a question, a plain function of a snapshot.

A question is asked by `TaskQuery.ask`, several of one moment by ``ask(together(one, other))``. UsageError is raised when a question is
made, before anything is read. ``now`` is the moment that a filter's relative times go from: no question looks at a clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec

from tracker.errors import UsageError
from tracker.fold import view
from tracker.model.times import shown as shown_time
from tracker.query.base import Filters, Question, Row, Scan, Snapshot, field_named, parsed
from tracker.query.freshness import freshness
from tracker.query.histogram import histogram
from tracker.query.kin import tree
from tracker.query.pages import Key, Page, from_cursor, parse_sorters, to_cursor

__all__ = [
    "Count",
    "Counts",
    "Question",
    "count",
    "counts",
    "document",
    "freshness",
    "histogram",
    "latest",
    "page",
    "parsed",
    "purged",
    "shown",
    "together",
    "tree",
    "why",
]

MAX_LIMIT = 10_000
"""Rows of one page, which stands in memory as a whole; ``stream`` has no limit."""
MAX_OFFSET = 1_000_000
"""A page so far in is found by counting all rows before it; cursors find it at once."""
SCAN_LIMIT = 20_000
"""Rows that one page may look at where its filter has to be decided on each: about a second of work."""
MAX_VALUES = 1_000
"""Values that counts tell apart."""
T = TypeVar("T")
U = TypeVar("U")


class Count(msgspec.Struct):
    """How many tasks match."""

    number: int
    exact: bool
    """Whether it is all; if not, there are more than ``number``, or there may be (``looked_at``)."""
    looked_at: int | None = None
    """Rows looked at, where a filter had to be decided on each and the limit of that ended the counting; else None."""


class Counts(msgspec.Struct):
    """How many tasks have each value of a field."""

    values: dict[str | int | None, int]
    """Ascending, null last: those values that most tasks have."""
    other: int
    """Tasks with another value; 0 where all values are told."""


def together(one: Question[T], other: Question[U]) -> Question[tuple[T, U]]:
    """Both, of one snapshot."""
    return lambda snapshot: (one(snapshot), other(snapshot))


def shown(snapshot: Snapshot, row: Row, *, extension: bool) -> dict[str, Any]:
    """A task's document: the 18 keys, and ``tracker`` with the extension."""
    document = view.view(row.id, row.state, snapshot.limits)
    if extension:
        document["tracker"] = {**view.extension(row.state), "revision": row.revision}
    return document


def document(id: str, *, extension: bool = False) -> Question[dict[str, Any] | None]:
    """One task; None if there is no such task, or it is deleted."""

    def question(snapshot: Snapshot) -> dict[str, Any] | None:
        row = snapshot.task(id)
        return None if row is None or row.state.deleted else shown(snapshot, row, extension=extension)

    return question


def page(
    filters: Filters = None,
    sorters: str | None = None,
    limit: int = 250,
    after: str | None = None,
    *,
    offset: int = 0,
    extension: bool = False,
    now: datetime | None = None,
    scan_limit: int | None = SCAN_LIMIT,
    max_bytes: int | None = None,
) -> Question[Page[dict[str, Any]]]:
    """At most ``limit`` (0 to 10,000) matching documents, by ``created,id`` unless told, after the cursor of an earlier page.

    ``offset`` (0 to 1,000,000) instead of a cursor skips so many. Where the filter has to be decided row by row, a page looks at no more
    than ``scan_limit`` rows (None: any number) and then ends, maybe empty, with the cursor to look on from; not so with an offset, since
    a cursor could not tell how much of that is left to be skipped. A page ends early, too, after states of ``max_bytes`` in all.
    """
    if not 0 <= limit <= MAX_LIMIT:
        raise UsageError(f"a page has a limit of 0 to {MAX_LIMIT:,}, not {limit:,}; a stream has none")
    if not 0 <= offset <= MAX_OFFSET:
        raise UsageError(f"a page has an offset of 0 to {MAX_OFFSET:,}, not {offset:,}; cursors go on from any page")
    if offset and after is not None:
        raise UsageError("a page begins after a cursor or at an offset, not both")
    _check_scan(scan_limit)
    where, order = parsed(filters, now), parse_sorters(sorters)
    key = None if after is None else from_cursor(order, after)

    def question(snapshot: Snapshot) -> Page[dict[str, Any]]:
        if not limit:
            return Page([], None)
        scan = Scan(None if offset else scan_limit)
        items: list[dict[str, Any]] = []
        last: Key = ()
        size_bytes = 0
        # One more than is given tells whether there is a next page. Each row is shown as it is read, so that its state is gone before the
        # next one is made: 250 states at once wake the cyclic collector, whose full round takes 25 ms, in every tenth page.
        for row in snapshot.rows(where, order, after=key, offset=offset, limit=limit + 1, scan=scan):
            if len(items) == limit or (max_bytes is not None and size_bytes >= max_bytes):
                return Page(items, to_cursor(order, last))
            size_bytes += len(row.registers)
            items.append(shown(snapshot, row, extension=extension))
            last = row.key
        return Page(items, to_cursor(order, scan.last), scan.looked_at) if scan.ended else Page(items, None)

    return question


def _check_scan(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise UsageError(f"1 row or more may be looked at, not {limit}")


def count(
    filters: Filters = None, *, cap: int | None = None, now: datetime | None = None, scan_limit: int | None = None
) -> Question[Count]:
    """How many tasks match, counted no further than ``cap``: a number that is not exact reads "10,000+"."""
    if cap is not None and cap < 1:
        raise UsageError(f"a cap is 1 or more, not {cap}")
    _check_scan(scan_limit)
    where = parsed(filters, now)

    def question(snapshot: Snapshot) -> Count:
        scan = Scan(scan_limit)
        number = snapshot.count(where, stop=None if cap is None else cap + 1, scan=scan)
        if cap is not None and number > cap:
            return Count(cap, exact=False)
        return Count(number, exact=not scan.ended, looked_at=scan.looked_at if scan.ended else None)

    return question


def counts(filters: Filters, by: str, *, limit: int | None = MAX_VALUES, now: datetime | None = None) -> Question[Counts]:
    """How many matching tasks have each value of a field; at most ``limit`` values (None: all) are told apart."""
    if limit is not None and limit < 1:
        raise UsageError(f"counts tell 1 or more values apart, not {limit}")
    where, field = parsed(filters, now), field_named(by, "counts are by")

    def question(snapshot: Snapshot) -> Counts:
        found = snapshot.counts(where, field, limit=limit)
        other = snapshot.count(where) - sum(found.values()) if len(found) == limit else 0
        return Counts({value: found[value] for value in sorted(found, key=lambda value: (value is None, value))}, other)

    return question


def why(id: str) -> Question[dict[str, view.Reason] | None]:
    """For each field the event that set it, or its rule; of a deleted task that it is deleted; None if the store never had the task."""

    def question(snapshot: Snapshot) -> dict[str, view.Reason] | None:
        row = snapshot.task(id)
        return None if row is None else view.why(id, row.state, snapshot.limits)

    return question


def purged(id: str) -> Question[str | None]:
    """The sentence that a task was purged, and how it had ended; None where it was not, or was opened again by a later attempt."""

    def question(snapshot: Snapshot) -> str | None:
        row = snapshot.task(id)
        mark = None if row is None or not row.state.deleted else row.state.purged
        if mark is None:
            return None
        ended = f"attempt {mark.attempt} had ended with {mark.status} at {shown_time(mark.completed)}"
        return f"task {id!r} was purged at {shown_time(mark.at)}: {ended}"

    return question


def latest(id: str) -> Question[tuple[int, int] | None]:
    """A task's current attempt, and the greatest sequence among the events that its state remembers; None if there is no such task."""

    def question(snapshot: Snapshot) -> tuple[int, int] | None:
        row = snapshot.task(id)
        if row is None or row.state.deleted:
            return None
        return row.state.attempt, view.greatest_sequence(row.state)

    return question
