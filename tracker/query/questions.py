"""What can be asked of a snapshot: each function checks its arguments and gives a question, a plain function of a snapshot.

A question is asked by `TaskQuery.ask`, several of one moment by ``ask(together(one, other))``. UsageError is raised when a question is
made, before anything is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from tracker.errors import UsageError
from tracker.fold import view
from tracker.query.base import Row, Snapshot
from tracker.query.fields import FIELDS, suggestion
from tracker.query.filters import Node, parse
from tracker.query.pages import Page, from_cursor, parse_sorters, to_cursor

MAX_LIMIT = 10_000
"""Rows of one page, which stands in memory as a whole; ``stream`` has no limit."""
T = TypeVar("T")
U = TypeVar("U")
Question: TypeAlias = Callable[[Snapshot], T]


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
    filters: str | None = None, sorters: str | None = None, limit: int = 250, after: str | None = None, *, extension: bool = False
) -> Question[Page[dict[str, Any]]]:
    """At most ``limit`` (0 to 10,000) matching documents, by ``created,id`` unless told, after the cursor of an earlier page."""
    if not 0 <= limit <= MAX_LIMIT:
        raise UsageError(f"a page has a limit of 0 to {MAX_LIMIT:,}, not {limit:,}; a stream has none")
    where, order = parsed(filters), parse_sorters(sorters)
    key = None if after is None else from_cursor(order, after)

    def question(snapshot: Snapshot) -> Page[dict[str, Any]]:
        # One more than is given tells whether there is a next page.
        rows = list(snapshot.rows(where, order, after=key, limit=limit + 1)) if limit else []
        more = to_cursor(order, rows[limit - 1].key) if len(rows) > limit else None
        return Page([shown(snapshot, row, extension=extension) for row in rows[:limit]], more)

    return question


def count(filters: str | None = None) -> Question[int]:
    """How many tasks match."""
    where = parsed(filters)
    return lambda snapshot: snapshot.count(where)


def counts(filters: str | None, by: str) -> Question[dict[str | int | None, int]]:
    """How many matching tasks have each value of a field, ascending, null last."""
    where, field = parsed(filters), FIELDS.get(by)
    if field is None:
        raise UsageError(f'counts are by a field, and there is no "{by}"{suggestion(by, FIELDS) or "; fields are " + ", ".join(FIELDS)}')

    def question(snapshot: Snapshot) -> dict[str | int | None, int]:
        found: dict[Any, int] = snapshot.counts(where, field)
        return {value: found[value] for value in sorted(found, key=lambda value: (value is None, value))}

    return question


def why(id: str) -> Question[dict[str, view.Reason] | None]:
    """For each field the event that set it, or its rule; of a deleted task that it is deleted; None if the store never had the task."""

    def question(snapshot: Snapshot) -> dict[str, view.Reason] | None:
        row = snapshot.task(id)
        return None if row is None else view.why(id, row.state, snapshot.limits)

    return question


def parsed(filters: str | None) -> Node | None:
    """The tree of a filter; None where all is wanted."""
    return None if filters is None else parse(filters)
