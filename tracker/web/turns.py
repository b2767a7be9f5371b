"""Questions that look for tasks take turns, so that whatever they cost there are threads and the processor for all else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from tracker.query.api import TaskQuery
from tracker.query.base import Question
from tracker.query.clauses import split
from tracker.query.filters import Node
from tracker.web.problems import Problem

MAX_SEARCHES = 8
"""At the same time, of the query's 16 threads."""
MAX_SCANS = 2
"""Those among them whose filter is decided on each task: each wants the whole processor, and more would keep the event loop from it."""
MAX_EXPORTS = 2
"""Tables of all tasks: each takes the processor as a scan does, for as long as it takes, and space on the disk."""
TURN_S = 5.0
"""So long a question waits for its turn."""
ANSWER_S = 10.0
"""So long it may take. What no index says of 1,000,000 tasks takes SQL a second or two, and deciding on each of them 50."""
RETRY_AFTER_S = 2
T = TypeVar("T")


class Turns:
    """Of one app."""

    def __init__(self, tasks: TaskQuery) -> None:
        self._tasks = tasks
        self._searches = asyncio.Semaphore(MAX_SEARCHES)
        self._scans = asyncio.Semaphore(MAX_SCANS)
        self._exports = asyncio.Semaphore(MAX_EXPORTS)
        self._writes = asyncio.Semaphore(1)

    async def ask(self, question: Question[T], where: Node | None = None) -> T:
        """What the newest snapshot answers, when it is the question's turn; ``where`` is its filter.

        Raises `Problem` where the turn does not come, `TooLong` where it takes too long.
        """
        async with _turn(self._scans if where is not None and split(where)[1] is not None else self._searches, "searches"):
            return await self._tasks.ask(question, timeout_s=ANSWER_S)

    async def export(self, question: Question[T]) -> T:
        """What the newest snapshot answers, however long that takes. Raises `Problem` where the turn does not come."""
        async with _turn(self._exports, "exports"):
            return await self._tasks.ask(question)

    async def write(self, work: Callable[[], T]) -> T:
        """What the work gives, done in a thread, one at a time: each waits for the store's one lock, in a thread that the source needs too.

        Raises `Problem` where the turn does not come.
        """
        async with _turn(self._writes, "writes"):
            return await asyncio.to_thread(work)


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TURN_S):
            await turns.acquire()
    except TimeoutError:
        raise Problem(
            503, f"as many {what} as this server does at once are under way: ask again", headers={"Retry-After": str(RETRY_AFTER_S)}
        ) from None
    try:
        yield
    finally:
        turns.release()
