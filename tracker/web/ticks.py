"""What one look at a store's changes gives its followers: made once, for all that look on with the same view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import orjson

from tracker.query.base import Row, Snapshot
from tracker.query.filters import Node
from tracker.query.freshness import freshness
from tracker.query.predicate import compile_predicate
from tracker.query.questions import shown
from tracker.query.tokens import to_token
from tracker.web.selection import parse_selection

CHUNK_ROWS = 1_000
"""Changes told at once: some 50 ms of work. A commit's tasks are told together, so it may be more."""
CHUNK_BYTES = 4_000_000
"""Likewise, where tasks have thousands of messages."""
MISSED_IDS = 1_000
"""Changes told at once to one client that comes back."""
MAX_ROWS = 20_000
"""More changed tasks of one commit (a replay's) are not told one by one: a new snapshot is."""


class View(NamedTuple):
    """What a client looks at: which tasks, and what of each."""

    where: Node | None
    fields: str | None
    extension: bool


class Lens:
    """A view, ready to be looked through."""

    def __init__(self, view: View) -> None:
        self.matches = (lambda _row: True) if view.where is None else compile_predicate(view.where)
        self.selection = (view.fields, view.extension)
        self._extension = view.extension
        self._select = None if view.fields is None else parse_selection(view.fields)

    def json(self, snapshot: Snapshot, row: Row) -> bytes:
        """The task as it is told."""
        document = shown(snapshot, row, extension=self._extension)
        return orjson.dumps(document if self._select is None else self._select(document))


class Matching(msgspec.Struct, gc=False):
    """What one view has of a tick."""

    tasks: dict[str, bytes]
    """Those that match, as they are told."""
    others: set[str]
    """Those that do not, and are not deleted."""
    size_bytes: int
    """About what it takes in a queue."""


class Tick(msgspec.Struct, gc=False):
    """Changes of some tasks, each as it is at the tick's revision."""

    told: str
    """The token up to which everything was told, this included."""
    revision: int
    """Of the token."""
    is_all: bool
    """Whether everything that there was at that moment was looked at."""
    revisions: dict[str, int]
    """Of each task."""
    oldest: int
    """The least of them; the greatest that is possible for an empty tick."""
    deleted: set[str]
    views: dict[View, Matching]
    at: bytes
    """The freshness, as JSON."""


class Resync(Exception):
    """Going on is no use, or not possible: the client is given a new snapshot. The message says why."""


def changed(snapshot: Snapshot, since: int) -> tuple[list[Row], int]:
    """The next tasks that changed after a revision, those of a commit together, and the revision that they go up to. Raises `Resync`."""
    rows: list[Row] = []
    size_bytes = 0
    for row in snapshot.changed(since, None):
        if (len(rows) >= CHUNK_ROWS or size_bytes >= CHUNK_BYTES) and row.revision != rows[-1].revision:
            return rows, rows[-1].revision
        rows.append(row)
        size_bytes += len(row.registers)
        if len(rows) > MAX_ROWS:
            raise _too_many()
    return rows, snapshot.revision()


def tick(snapshot: Snapshot, rows: Iterable[Row], reached: int, told: int, lenses: dict[View, Lens], now: datetime) -> Tick:
    """The rows as each view has them; a task's JSON is made once for all views that have the same of it.

    ``reached``: up to which the store's changes were looked at. ``told``: up to which all of them are told.
    """
    living = {row.id: row for row in rows}
    deleted = {id for id, row in living.items() if row.state.deleted}
    revisions = {id: row.revision for id, row in living.items()}
    for id in deleted:
        del living[id]
    made: dict[tuple[str, Any], bytes] = {}

    def json(row: Row, lens: Lens) -> bytes:
        key = (row.id, lens.selection)
        if key not in made:
            made[key] = lens.json(snapshot, row)
        return made[key]

    views = {}
    for view, lens in lenses.items():
        matches: Callable[[Row], bool] = lens.matches
        tasks = {id: json(row, lens) for id, row in living.items() if matches(row)}
        views[view] = _matching(tasks, living.keys() - tasks.keys())
    return _tick(snapshot, reached, told, revisions, deleted, views, now)


def missed(snapshot: Snapshot, since: int, view: View, lens: Lens, now: datetime) -> Tick:
    """The next changes after a revision for one view that comes back: the store finds what matches, and of the rest only ids are read.

    Raises `Resync`.
    """
    revisions: dict[str, int] = {}
    reached, last = snapshot.revision(), since
    for id, revision in snapshot.changed_ids(since):
        if len(revisions) >= MISSED_IDS and revision != last:
            reached = last
            break
        revisions[id] = last = revision
        if len(revisions) > MAX_ROWS:
            raise _too_many()
    tasks: dict[str, bytes] = {}
    deleted: set[str] = set()
    for row in snapshot.changed(since, view.where):
        if row.revision > reached:
            break
        if row.state.deleted:
            deleted.add(row.id)
        else:
            tasks[row.id] = lens.json(snapshot, row)
    matching = _matching(tasks, revisions.keys() - tasks.keys() - deleted)
    return _tick(snapshot, reached, reached, revisions, deleted, {view: matching}, now)


def _too_many() -> Resync:
    return Resync("one commit wrote too much to be told task by task")


def _matching(tasks: dict[str, bytes], others: set[str]) -> Matching:
    return Matching(tasks, others, sum(map(len, tasks.values())) + 100 * (len(tasks) + len(others)))


def _tick(
    snapshot: Snapshot, reached: int, told: int, revisions: dict[str, int], deleted: set[str], views: dict[View, Matching], now: datetime
) -> Tick:
    return Tick(
        told=to_token(snapshot.store, told),
        revision=told,
        is_all=reached == snapshot.revision(),
        revisions=revisions,
        oldest=min(revisions.values(), default=told),
        deleted=deleted,
        views=views,
        at=place(snapshot, now),
    )


def place(snapshot: Snapshot, now: datetime) -> bytes:
    """The snapshot's freshness as JSON."""
    return orjson.dumps(freshness(now)(snapshot).to_json())


def event(name: str, data: bytes, id: str | None = None) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), b"" if id is None else b"id: %b\n" % id.encode(), data)


def told(tasks: Sequence[bytes], left: Iterable[str], deleted: Iterable[str], at: bytes) -> bytes:
    """The data of ``changes``."""
    return b'{"changed":[%b],"left":%b,"deleted":%b,"at":%b}' % (
        b",".join(tasks),
        orjson.dumps(sorted(left)),
        orjson.dumps(sorted(deleted)),
        at,
    )
