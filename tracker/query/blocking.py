"""`tracker.connect`: the same questions for notebooks and scripts, asked by plain calls that wait for their answers.

Each call reads one snapshot in the calling thread; nothing runs in the background, so it works inside an event loop too (which waits
meanwhile), and Ctrl-C ends any of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from tracker.errors import UsageError
from tracker.fold import view
from tracker.query import questions
from tracker.query.api import clock
from tracker.query.base import Filters, Question, Reader, parsed
from tracker.query.following import Change, changes, revision_in
from tracker.query.freshness import Freshness
from tracker.query.histogram import Histogram
from tracker.query.kin import Tree
from tracker.query.opening import reader_at
from tracker.query.pages import BY_ID, Page, parse_sorters
from tracker.query.questions import MAX_VALUES, SCAN_LIMIT, Count, Counts
from tracker.query.report import StatusReport, report
from tracker.query.tokens import BEGINNING, Place, from_token, to_token
from tracker.query.waiting import Ending, Impossible, Positions, Reached, TimedOut, standing, wanted
from tracker.stores.base import ParkedRecord

if TYPE_CHECKING:
    from tracker.model.status import TaskExtension, TaskStatus

_STEP_S = 0.01
"""Between two looks at the positions that are waited for; one costs some 20 µs."""
T = TypeVar("T")


class BlockingQuery:
    """An open store, for reading: `TaskQuery` method by method, without ``await``. Made by `tracker.connect`; a context manager.

    A question under way is ended as `TooLong` once ``stop`` is set.
    """

    def __init__(self, reader: Reader, stop: threading.Event | None = None) -> None:
        self._reader, self._stop = reader, stop
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; whoever follows its changes in another thread comes to an end."""
        self._closed.set()
        self._reader.close()

    @property
    def _store(self) -> Reader:
        if self._closed.is_set():
            raise UsageError("the connection is closed: tracker.connect(url) makes a new one")
        return self._reader

    def ask(self, question: Question[T]) -> T:
        """What the newest snapshot answers; see `tracker.query.questions`."""
        with self._store.snapshot(stop=self._stop) as snapshot:
            return question(snapshot)

    def each(self, question: Question[Iterator[T]]) -> Iterator[T]:
        """What a question gives one by one, of one snapshot, which is held until the end or until the iterator is closed."""
        store = self._store

        def each() -> Iterator[T]:
            with store.snapshot() as snapshot:
                yield from question(snapshot)

        return each()

    def document(self, id: str, *, extension: bool = False) -> dict[str, Any] | None:
        """One task's 18 keys (and the key ``tracker`` with the extension) as plain values; None if there is no such task."""
        return self.ask(questions.document(id, extension=extension))

    def get(self, id: str) -> TaskStatus | None:
        """The status of one task; None if there is no such task."""
        from tracker.model.status import TaskStatus

        document = self.document(id)
        return None if document is None else TaskStatus.model_validate(document)

    def get_with_extension(self, id: str) -> tuple[TaskStatus, TaskExtension] | None:
        """The status of one task, and what the tracker knows beyond it."""
        from tracker.model.status import TaskExtension, TaskStatus

        document = self.document(id, extension=True)
        if document is None:
            return None
        extension = TaskExtension.model_validate(document.pop("tracker"))
        return TaskStatus.model_validate(document), extension

    def list(
        self,
        filters: Filters = None,
        sorters: str | None = None,
        limit: int = 250,
        after: str | None = None,
        *,
        offset: int = 0,
        now: datetime | None = None,
        scan_limit: int | None = SCAN_LIMIT,
    ) -> Page[TaskStatus]:
        """At most ``limit`` (0 to 10,000) matching tasks, by ``created,id`` unless told, after the cursor of an earlier page."""
        from tracker.model.status import TaskStatus

        page = self.documents_page(filters, sorters, limit, after, offset=offset, now=now, scan_limit=scan_limit)
        return Page([TaskStatus.model_validate(document) for document in page.items], page.next, page.looked_at)

    def documents_page(
        self,
        filters: Filters = None,
        sorters: str | None = None,
        limit: int = 250,
        after: str | None = None,
        *,
        offset: int = 0,
        extension: bool = False,
        now: datetime | None = None,
        scan_limit: int | None = SCAN_LIMIT,
    ) -> Page[dict[str, Any]]:
        """The same page as plain documents."""
        return self.ask(
            questions.page(filters, sorters, limit, after, offset=offset, extension=extension, now=now or clock(), scan_limit=scan_limit)
        )

    @overload
    def count(self, filters: Filters = None, by: None = None, *, cap: None = None, now: datetime | None = None) -> int: ...

    @overload
    def count(self, filters: Filters = None, *, by: str, now: datetime | None = None) -> dict[str | int | None, int]: ...

    @overload
    def count(self, filters: Filters = None, *, cap: int, now: datetime | None = None) -> Count: ...

    def count(
        self, filters: Filters = None, by: str | None = None, *, cap: int | None = None, now: datetime | None = None
    ) -> int | dict[str | int | None, int] | Count:
        """How many tasks match; ``by`` a field, how many have each of its values (ascending, null last); with a ``cap``, up to that."""
        now = now or clock()
        if by is not None:
            values = self.ask(questions.counts(filters, by, limit=None, now=now))
            return values.values
        found = self.ask(questions.count(filters, cap=cap, now=now))
        return found.number if cap is None else found

    def counts(self, filters: Filters, by: str, *, limit: int = MAX_VALUES, now: datetime | None = None) -> Counts:
        """How many matching tasks have each value of a field: at most ``limit`` values, and the others' sum."""
        return self.ask(questions.counts(filters, by, limit=limit, now=now or clock()))

    def histogram(
        self,
        filters: Filters = None,
        field: str = "created",
        *,
        bucket: str | None = None,
        since: str | None = None,
        until: str | None = None,
        by: str | None = None,
        now: datetime | None = None,
    ) -> Histogram:
        """Matching tasks by ``created``, ``modified``, ``launched`` or ``completed``, in buckets of a width such as ``5m``, ``1h``, ``7d``."""
        return self.ask(questions.histogram(filters, field, bucket=bucket, since=since, until=until, by=by, now=now or clock()))

    def tree(self, id: str, *, max_tasks: int = 1_000, max_depth: int = 50) -> Tree | None:
        """A task's ancestors up to the root and all its descendants, by ``parentId``; None if there is no such task."""
        return self.ask(questions.tree(id, max_tasks=max_tasks, max_depth=max_depth))

    def freshness(self, now: datetime | None = None) -> Freshness:
        """The revision and positions that answers are read at now, and how far the logs are ahead of them."""
        return self.ask(questions.freshness(now or clock()))

    def latest(self, id: str) -> tuple[int, int] | None:
        """A task's current attempt and the greatest sequence known of its events (0: not numbered); None if there is no such task."""
        return self.ask(questions.latest(id))

    def stream(self, filters: Filters = None, *, now: datetime | None = None) -> Iterator[TaskStatus]:
        """All matching tasks of one snapshot, in code point order of their ids, in bounded memory."""
        from tracker.model.status import TaskStatus

        return map(TaskStatus.model_validate, self.documents(filters, now=now))

    def documents(
        self, filters: Filters = None, sorters: str | None = None, extension: bool = False, *, now: datetime | None = None
    ) -> Iterator[dict[str, Any]]:
        """The same as plain documents, in the order of ``sorters`` (``id`` unless told)."""
        where, order = parsed(filters, now or clock()), parse_sorters(sorters) if sorters else BY_ID
        return self.each(lambda snapshot: (questions.shown(snapshot, row, extension=extension) for row in snapshot.rows(where, order)))

    def changes(
        self,
        since: str | None = None,
        filters: Filters = None,
        *,
        follow: bool = False,
        extension: bool = False,
        now: datetime | None = None,
    ) -> Iterator[Change]:
        """Each task that changed after the token ``since`` (None: all there are), as it is now, at least once; deleted ones among them.

        With ``follow`` new changes come as they are committed, until the connection is closed. See `TaskQuery.changes`.
        """
        where, place, store = parsed(filters, now or clock()), from_token(BEGINNING if since is None else since), self._store

        def each() -> Iterator[Change]:
            nonlocal place
            with closing(store.commits()) as committed:
                while committed.wait(self._closed):
                    with store.snapshot() as snapshot:
                        told = revision_in(snapshot, place)
                        place = Place(snapshot.store, snapshot.revision())
                        shown = lambda row, snapshot=snapshot: questions.shown(snapshot, row, extension=extension)  # noqa: E731
                        yield from changes(snapshot, told, where, shown)
                    if not follow:
                        return

        return each()

    def watch(self, filters: Filters = None, *, extension: bool = False, now: datetime | None = None) -> Iterator[Change]:
        """What changes from now on, until the connection is closed; see `changes`."""
        return self.changes(self.token(), filters, follow=True, extension=extension, now=now)

    def token(self) -> str:
        """Where the store's changes are now, for ``changes``."""
        return self.ask(lambda snapshot: to_token(snapshot.store, snapshot.revision()))

    def wait_for(self, positions: Positions, timeout_s: float = 5.0, *, now: datetime | None = None) -> Ending:
        """Until the store has read everything before these positions (or those in an answer's vector); see `TaskQuery.wait_for`."""
        at, deadline = wanted(positions), monotonic() + timeout_s
        while True:
            fresh = self.freshness(now)
            found = standing(at, fresh)
            if isinstance(found, Impossible):
                return found
            if not found:
                return Reached(fresh)
            if (left_s := deadline - monotonic()) <= 0:
                return TimedOut(found, fresh)
            self._closed.wait(min(left_s, _STEP_S))

    def why(self, id: str) -> dict[str, view.Reason] | None:
        """For each field the event that set it, or its rule; of a deleted task that it is deleted; None if the store never had the task."""
        return self.ask(questions.why(id))

    def status(self, now: datetime | None = None) -> StatusReport:
        """Positions, lags, counters and size. A lag is unknown where no worker has reported the end in the minute before ``now``."""
        return report(self.ask(lambda snapshot: snapshot.facts()), now or clock())

    def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Refused records with a number above ``after``, ascending."""
        return self.ask(lambda snapshot: snapshot.parked(after=after, limit=limit, reason=reason))

    def parked_record(self, number: int) -> ParkedRecord | None:
        """One refused record."""
        return self.ask(lambda snapshot: snapshot.parked_record(number))


def connect(url: str) -> BlockingQuery:
    """The tasks of the store at ``sqlite:///PATH``, by plain calls: ``with connect(url) as tasks: tasks.count(by="state")``.

    Raises `UsageError` for another URL, `NotFound`, `StoreMismatch` or `StoreError`.
    """
    return BlockingQuery(reader_at(url)())
