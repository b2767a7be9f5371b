"""TaskQuery: the one reading door. What it answers comes from the tasks' states; what is deleted is not there.

Each call reads one snapshot of the store, in a thread, beside the writer. A stream holds its snapshot until it ends or is closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, nullcontext
from datetime import UTC, datetime
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from tracker.errors import UsageError
from tracker.fold import view
from tracker.query import questions
from tracker.query.base import Filters, Question, Reader, Snapshot, parsed
from tracker.query.commits import Commits
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
    # Loaded where they are made: who wants plain documents does not pay for pydantic.
    from tracker.model.status import TaskExtension, TaskStatus
    from tracker.stores.memory import MemoryStore

_CHUNK = 200
"""Documents that a stream makes at once in its thread: some milliseconds of work,"""
_CHUNK_S = 0.02
"""and no more where they are great: 200 of 1 MB would be a second, and 400 MB of memory."""
READING_THREADS = 16
"""Questions that are read at the same time; further ones wait."""
R = TypeVar("R")
T = TypeVar("T")


class TaskQuery:
    """An open store, for reading. Made by `open_query`, or by ``TaskQuery.over`` of a memory store; an async context manager."""

    def __init__(self, opened: Callable[[], Reader]) -> None:
        self._opened = opened
        self._reader: Reader | None = None
        self._commits: Commits | None = None

    @classmethod
    def over(cls, store: MemoryStore) -> Self:
        """The tasks of a memory store that this process fills."""
        from tracker.query.memory import MemoryReader

        return cls(lambda: MemoryReader(store))

    async def __aenter__(self) -> Self:
        self._reader = await asyncio.to_thread(self._opened)
        # Its own: asyncio's has 6 threads on 2 processors, and the projector and the log are waited for in those.
        self._threads = ThreadPoolExecutor(READING_THREADS, thread_name_prefix="tracker-query")
        self._commits = Commits(self._reader.commits)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._reader is not None:
            self._reader.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._reader = None

    @property
    def _store(self) -> Reader:
        if self._reader is None:
            raise _not_open()
        return self._reader

    async def ask(self, question: Question[T], *, small: bool = False, timeout_s: float | None = None) -> T:
        """What the newest snapshot answers; see `tracker.query.questions`. A ``small`` question reads a few rows by their keys.

        Raises `TooLong` where it takes longer than ``timeout_s``, or the query is closed before. Where nobody waits any more, as
        after ``asyncio.timeout``, the database stops too.
        """
        store = self._store
        stop = None if small and store.quick else threading.Event()

        def ask() -> T:
            with store.snapshot(timeout_s, stop) as snapshot:
                return question(snapshot)

        # To a thread and back takes 100 µs on an idle loop, and more on a busy one; a row of a warm SQLite file takes 20.
        if stop is None:
            return ask()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        finally:
            stop.set()

    def each(self, question: Question[Iterator[T]]) -> AsyncGenerator[T, None]:
        """What a question gives one by one, of one snapshot, made in a thread; close the generator where it is not read to its end."""
        return self._each(question, lambda _, made: made)

    async def _each(self, question: Question[Iterator[R]], shown: Callable[[Snapshot, R], T]) -> AsyncGenerator[T, None]:
        """The rows of one snapshot, shown in chunks. One thread does it all, the closing too, whatever the consumer does meanwhile."""
        store, loop = self._store, asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="tracker-query")
        stop, opened = threading.Event(), list[AbstractContextManager[Snapshot]]()
        snapshot: Snapshot
        rows: Iterator[R] = iter(())

        def begin() -> None:
            nonlocal rows, snapshot
            context = store.snapshot(stop=stop)
            snapshot = context.__enter__()
            opened.append(context)
            rows = question(snapshot)

        def chunk() -> list[T]:
            until, made = monotonic() + _CHUNK_S, list[T]()
            for row in islice(rows, _CHUNK):
                made.append(shown(snapshot, row))
                if monotonic() > until:
                    break
            return made

        def end() -> None:
            getattr(rows, "close", lambda: None)()
            for context in opened:
                context.__exit__(None, None, None)

        try:
            await loop.run_in_executor(thread, begin)
            while some := await loop.run_in_executor(thread, chunk):
                for each in some:
                    yield each
        finally:
            stop.set()
            thread.submit(end)
            thread.shutdown(wait=False)

    async def document(self, id: str, *, extension: bool = False) -> dict[str, Any] | None:
        """One task's 18 keys (and the key ``tracker`` with the extension) as plain values; None if there is no such task."""
        return await self.ask(questions.document(id, extension=extension), small=True)

    async def get(self, id: str) -> TaskStatus | None:
        """The status of one task; None if there is no such task."""
        from tracker.model.status import TaskStatus

        document = await self.document(id)
        return None if document is None else TaskStatus.model_validate(document)

    async def get_with_extension(self, id: str) -> tuple[TaskStatus, TaskExtension] | None:
        """The status of one task, and what the tracker knows beyond it."""
        from tracker.model.status import TaskExtension, TaskStatus

        document = await self.document(id, extension=True)
        if document is None:
            return None
        extension = TaskExtension.model_validate(document.pop("tracker"))
        return TaskStatus.model_validate(document), extension

    async def list(
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
        """At most ``limit`` (0 to 10,000) matching tasks, by ``created,id`` unless told, after the cursor of an earlier page.

        A filter on attributes or messages is decided task by task: such a page looks at ``scan_limit`` tasks at most (None: any number),
        and has ``looked_at`` and ``next`` where that ended it.
        """
        from tracker.model.status import TaskStatus

        page = await self.documents_page(filters, sorters, limit, after, offset=offset, now=now, scan_limit=scan_limit)
        return Page([TaskStatus.model_validate(document) for document in page.items], page.next, page.looked_at)

    async def documents_page(
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
        question = questions.page(
            filters, sorters, limit, after, offset=offset, extension=extension, now=now or clock(), scan_limit=scan_limit
        )
        return await self.ask(question)

    @overload
    async def count(self, filters: Filters = None, by: None = None, *, cap: None = None, now: datetime | None = None) -> int: ...

    @overload
    async def count(self, filters: Filters = None, *, by: str, now: datetime | None = None) -> dict[str | int | None, int]: ...

    @overload
    async def count(self, filters: Filters = None, *, cap: int, now: datetime | None = None) -> Count: ...

    async def count(
        self, filters: Filters = None, by: str | None = None, *, cap: int | None = None, now: datetime | None = None
    ) -> int | dict[str | int | None, int] | Count:
        """How many tasks match; ``by`` a field, how many have each of its values (ascending, null last); with a ``cap``, up to that."""
        now = now or clock()
        if by is not None:
            values = await self.ask(questions.counts(filters, by, limit=None, now=now))
            return values.values
        found = await self.ask(questions.count(filters, cap=cap, now=now))
        return found.number if cap is None else found

    async def counts(self, filters: Filters, by: str, *, limit: int = MAX_VALUES, now: datetime | None = None) -> Counts:
        """How many matching tasks have each value of a field: at most ``limit`` values, and the others' sum."""
        return await self.ask(questions.counts(filters, by, limit=limit, now=now or clock()))

    async def histogram(
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
        """Matching tasks by ``created``, ``modified``, ``launched`` or ``completed``, in buckets of a width such as ``5m``, ``1h``, ``7d``.

        At most 120 buckets where no width is given. ``since`` (included) and ``until`` (excluded) are times as in filters.
        """
        question = questions.histogram(filters, field, bucket=bucket, since=since, until=until, by=by, now=now or clock())
        return await self.ask(question)

    async def tree(self, id: str, *, max_tasks: int = 1_000, max_depth: int = 50) -> Tree | None:
        """A task's ancestors up to the root and all its descendants, by ``parentId``; None if there is no such task."""
        return await self.ask(questions.tree(id, max_tasks=max_tasks, max_depth=max_depth))

    async def freshness(self, now: datetime | None = None) -> Freshness:
        """The revision and positions that answers are read at now, and how far the logs are ahead of them."""
        return await self.ask(questions.freshness(now or clock()), small=True)

    async def latest(self, id: str) -> tuple[int, int] | None:
        """A task's current attempt and the greatest sequence known of its events (0: not numbered); None if there is no such task."""
        return await self.ask(questions.latest(id), small=True)

    async def stream(self, filters: Filters = None, *, now: datetime | None = None) -> AsyncGenerator[TaskStatus, None]:
        """All matching tasks of one snapshot, in code point order of their ids, in bounded memory."""
        from tracker.model.status import TaskStatus

        async with aclosing(self.documents(filters, now=now)) as documents:
            async for document in documents:
                yield TaskStatus.model_validate(document)

    def documents(
        self, filters: Filters = None, sorters: str | None = None, extension: bool = False, *, now: datetime | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The same as plain documents, in the order of ``sorters`` (``id`` unless told)."""
        where, order = parsed(filters, now or clock()), parse_sorters(sorters) if sorters else BY_ID
        return self._each(
            lambda snapshot: snapshot.rows(where, order), lambda snapshot, row: questions.shown(snapshot, row, extension=extension)
        )

    async def changes(
        self,
        since: str | None = None,
        filters: Filters = None,
        *,
        follow: bool = False,
        extension: bool = False,
        now: datetime | None = None,
    ) -> AsyncGenerator[Change, None]:
        """Each task that changed after the token ``since`` (None: all there are), as it is now, at least once; deleted ones among them.

        Go on from any change's token; with ``follow`` new changes come as they are committed, without an end. With filters, tasks
        that changed and do not match now are told as ``left``. Raises `StoreChanged` where the token is another store's. Filters with a
        clock take the moment of the call. The changes of a moment are read from one snapshot, which is held until they are taken.
        """
        where = parsed(filters, now or clock())
        place = from_token(BEGINNING if since is None else since)

        def changed(snapshot: Snapshot) -> Iterator[Change]:
            nonlocal place
            told = revision_in(snapshot, place)
            place = Place(snapshot.store, snapshot.revision())
            return changes(snapshot, told, where, lambda row: questions.shown(snapshot, row, extension=extension))

        async with self.commits() if follow else nullcontext() as committed:
            while True:
                if committed is not None:
                    committed.clear()
                async with aclosing(self._each(changed, lambda _, change: change)) as found:
                    async for change in found:
                        yield change
                if committed is None:
                    return
                await committed.wait()

    async def watch(self, filters: Filters = None, *, extension: bool = False, now: datetime | None = None) -> AsyncGenerator[Change, None]:
        """What changes from now on, without an end; see `changes`."""
        async with aclosing(self.changes(await self.token(), filters, follow=True, extension=extension, now=now)) as found:
            async for change in found:
                yield change

    def commits(self) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set after every commit: clear it, read, wait for it. All that wait share one thread."""
        if self._commits is None:
            raise _not_open()
        return self._commits.listening()

    async def token(self) -> str:
        """Where the store's changes are now, for ``changes``."""
        return await self.ask(lambda snapshot: to_token(snapshot.store, snapshot.revision()), small=True)

    async def wait_for(self, positions: Positions, timeout_s: float = 5.0, *, now: datetime | None = None) -> Ending:
        """Until the store has read everything before these positions (or those in an answer's vector): `Reached`, `TimedOut` or `Impossible`.

        Impossible is what no waiting changes: the store reads other topics, or another log under that name. A partition that no worker
        has begun with, and a store that is still empty, are waited for. ``now`` is the moment that lags are told at.
        """
        at = wanted(positions)
        deadline = asyncio.get_running_loop().time() + timeout_s
        if not standing(at, fresh := await self.freshness(now)):  # the usual case needs no thread
            return Reached(fresh)
        async with self.commits() as committed:
            while True:
                committed.clear()
                fresh = await self.freshness(now)
                found = standing(at, fresh)
                if isinstance(found, Impossible):
                    return found
                if not found:
                    return Reached(fresh)
                try:
                    async with asyncio.timeout_at(deadline):
                        await committed.wait()
                except TimeoutError:
                    return TimedOut(found, fresh)

    async def why(self, id: str) -> dict[str, view.Reason] | None:
        """For each field the event that set it, or its rule; of a deleted task that it is deleted; None if the store never had the task."""
        return await self.ask(questions.why(id), small=True)

    async def status(self, now: datetime | None = None) -> StatusReport:
        """Positions, lags, counters and size. A lag is unknown where no worker has reported the end in the minute before ``now``."""
        return report(await self.ask(lambda snapshot: snapshot.facts()), now or clock())

    async def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Refused records with a number above ``after``, ascending."""
        return await self.ask(lambda snapshot: snapshot.parked(after=after, limit=limit, reason=reason))

    async def parked_record(self, number: int) -> ParkedRecord | None:
        """One refused record."""
        return await self.ask(lambda snapshot: snapshot.parked_record(number))


def _not_open() -> UsageError:
    return UsageError("the query is not open: use it as `async with open_query(url) as tasks`")


def clock() -> datetime:
    """Now: what relative times and the age of a report count from where the asker says nothing else."""
    return datetime.now(UTC)  # noqa: TID251 - what is asked for may depend on when it is asked; no status does


def open_query(url: str) -> TaskQuery:
    """The tasks of the store at ``sqlite:///PATH`` or ``postgresql://user@host/database``: ``async with open_query(url) as tasks``.

    Raises `UsageError` for another URL; on entering `NotFound`, `StoreMismatch` or `StoreError`.
    """
    return TaskQuery(reader_at(url))
