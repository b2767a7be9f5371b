"""All tasks of a store by revision and id, in pages: first as they are, then those that change.

A page is read from a snapshot of its own, so no transaction of the store's is held while a broker is waited for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from tracker.emit.statuses import StatusRecord
from tracker.errors import StoreChanged
from tracker.model.records import Place
from tracker.query.base import Question, Row, Snapshot
from tracker.query.later import LISTED, Later
from tracker.query.questions import shown

PAGE_RECORDS = 5_000
PAGE_BYTES = 4_000_000
"""Of the statuses in a page, which is one transaction of Kafka's: its two round trips to the coordinator are some 20 ms, 4 MB take 100."""
AT_ONCE = 200
"""States that are read at once: 300 kB, and at worst some hundred MB."""
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Page(msgspec.Struct, frozen=True):
    """What to publish next."""

    records: Sequence[StatusRecord]
    place: Place
    """Once they are published."""
    is_last: bool
    """Whether the snapshot has nothing more."""


class Feed:
    """The feed of one store from a place on. Asked for page after page, by one thread at a time; each goes on after the one before.

    After an error, or where a page was not published, another is made from the place that is.
    """

    def __init__(self, store: str, place: Place, *, extension: bool, quiet_until: int = 0, listed: int = LISTED) -> None:
        """``quiet_until``: of tasks that were deleted up to this revision nothing is said; the topic is known not to have them."""
        self.store = store
        self._extension = extension
        self._quiet_until = quiet_until
        self._later = Later(place, listed)

    def page(self, snapshot: Snapshot) -> Page:
        """The next statuses, as they are in this snapshot; none where there is nothing new.

        Raises `StoreChanged`: the store is another, or an older copy of it.
        """
        newest = snapshot.revision()
        if snapshot.store != self.store:
            raise StoreChanged("the store was rebuilt, or another stands in its place")
        later = self._later
        if newest < later.place.revision:
            raise StoreChanged("an older copy of the store was put back")
        later.look(snapshot, newest)
        records: list[StatusRecord] = []
        size_bytes = 0
        while len(records) < PAGE_RECORDS and size_bytes < PAGE_BYTES and (some := later.next(AT_ONCE)):
            rows = {row.id: row for row in snapshot.tasks([id for id, _ in some])}
            taken = 0
            for id, revision in some:
                if size_bytes >= PAGE_BYTES:
                    break
                taken += 1
                if (record := self._record(snapshot, id, revision, rows.pop(id, None))) is not None:
                    records.append(record)
                    size_bytes += len(record.value or b"")
            later.take(taken)
        return Page(records, later.place, later.is_last)

    def _record(self, snapshot: Snapshot, id: str, revision: int, row: Row | None) -> StatusRecord | None:
        """What is to be said of the task: the bytes of a line of ``tracker export --format jsonl``, a tombstone, or nothing."""
        if row is None:
            return StatusRecord(id, None, revision)
        if row.state.deleted:
            return StatusRecord(id, None, revision) if row.revision > self._quiet_until else None
        return StatusRecord(id, _to_json(shown(snapshot, row, extension=self._extension)).encode(), revision)


def gone(ids: Sequence[str]) -> Question[list[str]]:
    """Those of the ids that are no task's of the store: unknown, deleted or purged."""

    def question(snapshot: Snapshot) -> list[str]:
        living = {row.id for row in snapshot.tasks(ids) if not row.state.deleted}
        return [id for id in ids if id not in living]

    return question
