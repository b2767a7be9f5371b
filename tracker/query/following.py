"""What changed after a place in the store's history: each task as it is now, at least once.

A commit's tasks share a revision. So a change in the middle of a revision has the token of the one before: who goes on from there is told
some tasks twice, and misses none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from tracker.errors import StoreChanged
from tracker.query.base import Row, Snapshot
from tracker.query.filters import Node
from tracker.query.predicate import Predicate, compile_predicate
from tracker.query.tokens import Place, to_token

ChangeKind = Literal["changed", "left", "deleted", "purged"]


class Change(msgspec.Struct, kw_only=True):
    """A task that changed, as it is now."""

    id: str
    kind: ChangeKind
    """``left``: it does not match the filter now; whether it did before is not known. ``purged``: retention has removed it, no event."""
    document: dict[str, Any] | None
    """Of what ``changed``; else None."""
    revision: int
    token: str
    """Go on from here: everything up to it was told."""


def revision_in(snapshot: Snapshot, place: Place) -> int:
    """The place's revision in this store. Raises `StoreChanged`."""
    if place.store not in ("", snapshot.store):
        raise StoreChanged(
            "the change token belongs to another store, or this one was built anew: read everything again, from the beginning"
        )
    if place.revision > snapshot.revision():
        raise StoreChanged(
            "the change token is from after this store's last commit, so an older copy of it was put back: read everything again"
        )
    return place.revision


def change_kind(row: Row, matches: Predicate | None) -> ChangeKind:
    """What became of a row; ``matches`` tells whether a task is in the filter (None: all are)."""
    if row.state.deleted:
        return "purged" if row.state.purged else "deleted"
    return "changed" if matches is None or matches(row) else "left"


def changes(snapshot: Snapshot, since: int, where: Node | None, shown: Callable[[Row], dict[str, Any]]) -> Iterator[Change]:
    """The changes of one snapshot after a revision, by revision and id."""
    end, store = snapshot.revision(), snapshot.store
    # From the beginning nobody knows of a task that could have left.
    rows = snapshot.changed(since, where if since == 0 else None)
    matches = compile_predicate(where) if where is not None and since else None

    def change(row: Row, told: int) -> Change:
        kind = change_kind(row, matches)
        document = shown(row) if kind == "changed" else None
        return Change(id=row.id, kind=kind, document=document, revision=row.revision, token=to_token(store, told))

    held: Row | None = None
    for row in rows:
        if held is not None:
            yield change(held, held.revision - (row.revision == held.revision))
        held = row
    if held is not None:
        yield change(held, end)
