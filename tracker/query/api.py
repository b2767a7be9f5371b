"""TaskQuery: the one reading door. What it answers comes from the tasks' states; what is deleted is not there.

Each call reads one snapshot of the store, in a thread, beside the writer. A stream holds its snapshot until it ends or is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, aclosing
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import msgspec

from tracker.errors import UsageError
from tracker.fold import view
from tracker.query import questions
from tracker.query.base import Reader, Row, Snapshot
from tracker.query.pages import BY_ID, Page, parse_sorters
from tracker.query.questions import Question, parsed
from tracker.query.report import StatusReport, report
from tracker.stores.base import ParkedRecord

if TYPE_CHECKING:
    # Loaded where they are made: who wants plain documents does not pay for pydantic.
    from tracker.model.status import TaskExtension, TaskStatus
    from tracker.stores.memory import MemoryStore

_CHUNK = 200
"""Documents that a stream makes at once in its thread: some milliseconds of work."""
T = TypeVar("T")


class Change(msgspec.Struct):
    """A task that changed, as it is now."""

    id: str
    revision: int
    """Go on from here: ``changes_since(revision)``."""
    document: dict[str, Any] | None
    """None: the task was deleted."""


class TaskQuery:
    """An open store, for reading. Made by `open_query`, or by ``TaskQuery.over`` of a memory store; an async context manager."""

    def __init__(self, opened: Callable[[], Reader]) -> None:
        self._opened = opened
        self._reader: Reader | None = None

    @classmethod
    def over(cls, store: MemoryStore) -> Self:
        """The tasks of a memory store that this process fills."""
        from tracker.query.memory import MemoryReader

        return cls(lambda: MemoryReader(store))

    async def __aenter__(self) -> Self:
        self._reader = await asyncio.to_thread(self._opened)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def _store(self) -> Reader:
        if self._reader is None:
            raise UsageError("the query is not open: use it as `async with open_query(url) as tasks`")
        return self._reader

    async def ask(self, question: Question[T]) -> T:
        """What the newest snapshot answers; see `tracker.query.questions`."""
        store = self._store

        def ask() -> T:
            with store.snapshot() as snapshot:
                return question(snapshot)

        return await asyncio.to_thread(ask)

    async def _each(self, question: Question[Iterator[Row]], shown: Callable[[Snapshot, Row], T]) -> AsyncGenerator[T, None]:
        """The rows of one snapshot, shown in chunks. One thread does it all, the closing too, whatever the consumer does meanwhile."""
        store, loop = self._store, asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="tracker-query")
        opened: list[AbstractContextManager[Snapshot]] = []
        snapshot: Snapshot
        rows: Iterator[Row] = iter(())

        def begin() -> None:
            nonlocal rows, snapshot
            context = store.snapshot()
            snapshot = context.__enter__()
            opened.append(context)
            rows = question(snapshot)

        def chunk() -> list[T]:
            return [shown(snapshot, row) for row in islice(rows, _CHUNK)]

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
            thread.submit(end)
            thread.shutdown(wait=False)

    async def document(self, id: str, *, extension: bool = False) -> dict[str, Any] | None:
        """One task's 18 keys (and the key ``tracker`` with the extension) as plain values; None if there is no such task."""
        return await self.ask(questions.document(id, extension=extension))

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
        self, filters: str | None = None, sorters: str | None = None, limit: int = 250, after: str | None = None
    ) -> Page[TaskStatus]:
        """At most ``limit`` (0 to 10,000) matching tasks, by ``created,id`` unless told, after the cursor of an earlier page."""
        from tracker.model.status import TaskStatus

        page = await self.documents_page(filters, sorters, limit, after)
        return Page([TaskStatus.model_validate(document) for document in page.items], page.next)

    async def documents_page(
        self,
        filters: str | None = None,
        sorters: str | None = None,
        limit: int = 250,
        after: str | None = None,
        *,
        extension: bool = False,
    ) -> Page[dict[str, Any]]:
        """The same page as plain documents."""
        return await self.ask(questions.page(filters, sorters, limit, after, extension=extension))

    @overload
    async def count(self, filters: str | None = None, by: None = None) -> int: ...

    @overload
    async def count(self, filters: str | None = None, *, by: str) -> dict[str | int | None, int]: ...

    async def count(self, filters: str | None = None, by: str | None = None) -> int | dict[str | int | None, int]:
        """How many tasks match; ``by`` a field, how many have each of its values (ascending, null last)."""
        return await self.ask(questions.count(filters)) if by is None else await self.ask(questions.counts(filters, by))

    async def stream(self, filters: str | None = None) -> AsyncGenerator[TaskStatus, None]:
        """All matching tasks of one snapshot, in code point order of their ids, in bounded memory."""
        from tracker.model.status import TaskStatus

        async with aclosing(self.documents(filters)) as documents:
            async for document in documents:
                yield TaskStatus.model_validate(document)

    def documents(
        self, filters: str | None = None, sorters: str | None = None, extension: bool = False
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The same as plain documents, in the order of ``sorters`` (``id`` unless told)."""
        where, order = parsed(filters), parse_sorters(sorters) if sorters else BY_ID
        return self._each(
            lambda snapshot: snapshot.rows(where, order), lambda snapshot, row: questions.shown(snapshot, row, extension=extension)
        )

    def changes_since(self, revision: int, filters: str | None = None, *, extension: bool = False) -> AsyncGenerator[Change, None]:
        """Each task that changed after ``revision``, once, as it is now: by revision and id, deleted ones among them.

        With filters, those that match now, and all deleted ones. A commit's tasks share a revision: go on from one only when
        its last change was seen, which is sure at the end of the iteration.
        """
        where = parsed(filters)

        def shown(snapshot: Snapshot, row: Row) -> Change:
            return Change(row.id, row.revision, None if row.state.deleted else questions.shown(snapshot, row, extension=extension))

        return self._each(lambda snapshot: snapshot.changed(revision, where), shown)

    async def revision(self) -> int:
        """The revision of the newest commit; 0 before the first."""
        return await self.ask(lambda snapshot: snapshot.revision())

    async def why(self, id: str) -> dict[str, view.Reason] | None:
        """For each field the event that set it, or its rule; of a deleted task that it is deleted; None if the store never had the task."""
        return await self.ask(questions.why(id))

    async def status(self, now: datetime | None = None) -> StatusReport:
        """Positions, lags, counters and size. A lag is unknown where no worker has reported the end in the minute before ``now``."""
        now = now or datetime.now(UTC)  # noqa: TID251 - how old a report is depends on when it is asked; no status does
        return report(await self.ask(lambda snapshot: snapshot.facts()), now)

    async def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Refused records with a number above ``after``, ascending."""
        return await self.ask(lambda snapshot: snapshot.parked(after=after, limit=limit, reason=reason))

    async def parked_record(self, number: int) -> ParkedRecord | None:
        """One refused record."""
        return await self.ask(lambda snapshot: snapshot.parked_record(number))


def open_query(url: str) -> TaskQuery:
    """The tasks of the store at ``sqlite:///PATH``: ``async with open_query(url) as tasks``.

    Raises `UsageError` for another URL; on entering `NotFound`, `StoreMismatch` or `StoreError`.
    """
    from tracker.stores.open import sqlite_path

    if url.lower().startswith("memory:"):
        raise UsageError(f"a store in memory ({url}) can't be read by another command: it lives and ends with the one that fills it")
    path, _ = sqlite_path(url)

    def opened() -> Reader:
        from tracker.query.sql import SqlReader

        return SqlReader(path)

    return TaskQuery(opened)
