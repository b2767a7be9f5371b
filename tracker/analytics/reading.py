"""The rows of a table to be, from one snapshot: all tasks that match, or what changed after a revision."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

from tracker.analytics.flat import Told
from tracker.errors import UsageError
from tracker.query.base import Snapshot
from tracker.query.filters import Node
from tracker.query.following import change_kind, revision_in
from tracker.query.pages import BY_ID, Order
from tracker.query.predicate import compile_predicate
from tracker.query.tokens import Place, from_token, to_token


class Reached(NamedTuple):
    """Where an export stands: everything up to this place is in it."""

    token: str
    """A change token: go on from it."""
    store: str
    revision: int


def place_of(since: str | int) -> Place:
    """The place that is meant: a change token, or a plain revision of whatever store is read. Raises UsageError."""
    text = str(since)
    if text.isascii() and text.isdigit() and len(text) < 20:
        return Place("", int(text))
    try:
        return from_token(text)
    except UsageError:
        raise UsageError(
            f'expected a revision (a number of the column "revision"), or a change token as an earlier answer gave it; found "{text[:80]}"'
        ) from None


def reached(snapshot: Snapshot) -> Reached:
    """The newest place of a snapshot."""
    revision = snapshot.revision()
    return Reached(to_token(snapshot.store, revision), snapshot.store, revision)


def told(snapshot: Snapshot, where: Node | None, since: Place | None = None, order: Order = BY_ID) -> Iterator[Told]:
    """The rows: with ``since`` those that changed after it, by revision and id, those that are gone among them. Raises `StoreChanged`."""
    if since is None:
        return zip(snapshot.rows(where, order), repeat("changed"), strict=False)
    revision = revision_in(snapshot, since)
    matches = compile_predicate(where) if where is not None and revision else None
    # From the beginning nobody knows of a task that could have left.
    rows = snapshot.changed(revision, where if revision == 0 else None)
    return ((row, change_kind(row, matches)) for row in rows)


def has_rows(snapshot: Snapshot, where: Node | None, since: Place | None, least: int) -> bool:
    """Whether there are as many rows as that."""
    found = snapshot.count(where, stop=least) if since is None else snapshot.changed_count(since.revision, least)
    return found >= least


def about(at: Reached, since: Place | None, filters: str | None) -> dict[str, Any]:
    """What a file of the table says of itself, in its metadata."""
    return {"token": at.token, "revision": at.revision, "since": None if since is None else since.revision, "filters": filters}
