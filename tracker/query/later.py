"""The tasks that changed after a place, by revision and id: what a follower works through in pieces, each from a snapshot of its own.

A place is a revision and a task's id, not a revision alone: a replay writes a million tasks in one commit, and whoever is killed in the middle
of it is to go on there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from tracker.model.records import Place
from tracker.query.base import Snapshot

BEGINNING = Place(0, None)
LISTED = 200_000
"""Ids that are listed at once: 25 MB. Within a revision SQLite has to sort them all (a second for a million), however few are taken."""


class Later:
    """Their ids and revisions, from a place on; used by one thread at a time."""

    def __init__(self, place: Place, listed: int = LISTED) -> None:
        self.place = place
        """What comes before it was taken."""
        self._limit = listed
        self._ids: deque[tuple[str, int]] = deque()
        self._whole: int | None = place.revision
        """The revision up to which everything is listed; None where there is more."""

    def look(self, snapshot: Snapshot, newest: int) -> None:
        """List what the snapshot, whose revision is ``newest``, has; nothing while there is some of before that was not taken."""
        if self._ids:
            return
        told, last = self.place
        # Of a revision that is taken in part, the rest too.
        found = snapshot.changed_ids(told if last is None else told - 1)
        later: Iterator[tuple[str, int]] = found if last is None else ((id, at) for id, at in found if (at, id) > (told, last))
        self._ids.extend(islice(later, self._limit))
        self._whole = newest if len(self._ids) < self._limit else None
        self._end()

    def next(self, count: int) -> list[tuple[str, int]]:
        """So many of those that are listed, or fewer; they are not taken yet."""
        return list(islice(self._ids, count))

    def take(self, count: int) -> None:
        """The first so many are done with."""
        for _ in range(count):
            id, revision = self._ids.popleft()
            self.place = Place(revision, id)
        self._end()

    def _end(self) -> None:
        if not self._ids and self._whole is not None:
            self.place = Place(max(self._whole, self.place.revision), None)

    @property
    def is_last(self) -> bool:
        """Whether everything that was there when it was listed is taken."""
        return not self._ids and self._whole is not None
