"""One reader for all live streams: it looks at what was committed once, and hands the same look to every client.

A task's changes are told at most four times a second: the first at once, the next of the same task not before 250 ms later, as it is
then. While some are held back, the token that clients are given lies before the oldest of them, so that whoever goes on from it misses none.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TypeVar

from tracker.errors import StoreUnavailable, TrackerError
from tracker.query.api import TaskQuery
from tracker.query.base import Question, Row, Snapshot
from tracker.web.answers import clock
from tracker.web.problems import Problem
from tracker.web.ticks import Lens, Resync, Tick, View, changed, event, tick, told

T = TypeVar("T")
MAX_STREAMS = 500
"""Of one process. A client costs some 100 kB, and the send of each of its events."""
TICK_S = 0.1
"""Between two looks while commits come: 200 clients get at most 2,000 events a second in all. The first commit after a rest is looked at at once."""
HOLD_S = 0.25
MAX_SHOWN = 50_000
"""Ids kept for a client to tell what leaves its filter (5 MB); beyond that every change outside the filter is told as left."""
MAX_TICKS = 100
"""Not taken by a client: 10 s of them, which no network that works needs."""
MAX_PENDING_BYTES = 8_000_000
RETRY_AFTER_S = 5
MAX_READERS = 1
"""Clients for which the store is read at the same time, as they come: two would take most of the processor from the look that all others wait for."""


class Follower:
    """One client: what it looks at, what it was shown, and what waits for it. Used in the event loop only."""

    def __init__(self, view: View, slow: asyncio.Event) -> None:
        self.view = view
        self._slow = slow
        """Set when it is given up."""
        self.base = 0
        """Changes up to this revision were told by other means."""
        self.shown: set[str] | None = None
        """The ids that the client has of what matches; None: not known, or too many."""
        self.token = ""
        self.lost = ""
        """Why it gets nothing more; empty while it does."""
        self.again = False
        """Lost, but a new snapshot would do."""
        self.waiting: deque[Tick] = deque()
        self.woken = asyncio.Event()
        """There is a tick, or it is lost."""
        self._pending_bytes = 0

    def offer(self, tick: Tick) -> None:
        """Put the tick into the queue, or give the client up."""
        self.waiting.append(tick)
        self._pending_bytes += tick.views[self.view].size_bytes
        if len(self.waiting) > MAX_TICKS or self._pending_bytes > MAX_PENDING_BYTES:
            self.lose("the client takes its events too slowly")
            self._slow.set()
        self.woken.set()

    def lose(self, reason: str, *, again: bool = False) -> None:
        """Nothing more comes."""
        self.lost, self.again = reason, again
        self.waiting.clear()
        self.woken.set()

    def take(self) -> Tick:
        """The next tick of the queue."""
        tick = self.waiting.popleft()
        self._pending_bytes -= tick.views[self.view].size_bytes
        return tick

    def show(self, ids: list[str]) -> None:
        """The client has these now."""
        if self.shown is not None:
            self.shown.update(ids)
            if len(self.shown) > MAX_SHOWN:
                self.shown = None

    def catch_up(self, ticks: Iterable[Tick]) -> list[bytes]:
        """What was missed, as this client's events: told by other means than the queue."""
        messages = []
        for each in ticks:
            messages.append(self.message(each))
            self.base = each.revision
        return [message for message in messages if message is not None]

    def message(self, tick: Tick) -> bytes | None:
        """The tick as this client's event; None if there is nothing in it for the client."""
        matching = tick.views[self.view]
        tasks, others, deleted = matching.tasks, matching.others, tick.deleted
        if tick.oldest <= self.base:
            new = {id for id, revision in tick.revisions.items() if revision > self.base}
            tasks, others, deleted = {id: task for id, task in tasks.items() if id in new}, others & new, deleted & new
        if tick.revision >= self.base:
            self.token = tick.told
        if self.shown is not None:
            others, deleted = self.shown & others, self.shown & deleted
            self.shown -= others
            self.shown -= deleted
            self.show(list(tasks))
        if not (tasks or others or deleted):
            return None
        return event("changes", told(list(tasks.values()), others, deleted, tick.at), self.token)


class Look:
    """What is looked at, from one look to the next. Used by one thread at a time."""

    def __init__(self, store: str, revision: int) -> None:
        self._store = store
        self.revision = revision
        """Up to which the store's changes were seen."""
        self._sent: dict[str, float] = {}
        """When a task was told last, oldest first; those of the last 250 ms."""
        self.held: dict[str, Row] = {}
        """Changes that are due later."""

    def tick(self, snapshot: Snapshot, lenses: dict[View, Lens]) -> Tick:
        """The next changes that may be told now. Raises `Resync`."""
        if snapshot.store != self._store or snapshot.revision() < self.revision:
            raise Resync("another store stands in its place")
        rows, self.revision = changed(snapshot, self.revision)
        now = monotonic()
        for id in list(self._sent):
            if self._sent[id] > now - HOLD_S:
                break
            del self._sent[id]
        self.held.update((row.id, row) for row in rows)
        due = [row for id, row in self.held.items() if id not in self._sent]
        for row in due:
            del self.held[row.id]
            self._sent[row.id] = now
        told = min((row.revision for row in self.held.values()), default=self.revision + 1) - 1
        return tick(snapshot, due, self.revision, told, lenses, clock())


class Hub:
    """The followers of one store. ``max_streams``: more are refused with 503."""

    def __init__(self, tasks: TaskQuery, *, max_streams: int = MAX_STREAMS) -> None:
        self.tasks = tasks
        self.max_streams = max_streams
        self.streams = 0
        """Open now."""
        self._held = Counter[str | None]()
        """By whom."""
        self.turns = asyncio.Semaphore(MAX_READERS)
        """Held by a client while the store is read for it alone."""
        self._lock = asyncio.Lock()
        """Held while the store is looked at: a client comes in between two looks."""
        self._followers: set[Follower] = set()
        self._lenses: dict[View, Lens] = {}
        self._look: Look | None = None
        self._running: asyncio.Task[None] | None = None

    async def read(self, question: Question[T]) -> T:
        """What one client asks for itself, when it is its turn."""
        async with self.turns:
            return await self.tasks.ask(question)

    @contextmanager
    def stream(self, client: str | None = None) -> Iterator[None]:
        """A place for one stream. Raises `Problem` if there is none, or the client (None: whoever) has half of all."""
        held, most = self.streams, self.max_streams
        if held < most and client is not None:  # nobody takes all of them from the others
            held, most = self._held[client], (most + 1) // 2
        if held >= most:
            raise Problem(
                503,
                f"there are {most} live streams{'' if most == self.max_streams else f' of {client}'}, the most that there may be: "
                "close one, or come back later",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self.streams += 1
        self._held[client] += 1
        try:
            yield
        finally:
            self.streams -= 1
            self._held[client] -= 1

    @asynccontextmanager
    async def following(self, follower: Follower) -> AsyncIterator[int]:
        """The follower gets every tick from now on, which have all changes after the revision that is given."""
        async with self._lock:
            if self._look is None:
                self._look = Look(*await self.tasks.ask(lambda snapshot: (snapshot.store, snapshot.revision()), small=True))
                self._running = asyncio.create_task(self._run(self._look))
            revision = self._look.revision
            self._lenses.setdefault(follower.view, Lens(follower.view))
            self._followers.add(follower)
        try:
            yield revision
        finally:
            self._leave(follower)

    def _leave(self, follower: Follower) -> None:
        self._followers.discard(follower)
        if all(other.view != follower.view for other in self._followers):
            self._lenses.pop(follower.view, None)
        if not self._followers and self._running is not None:
            self._running.cancel()
            self._running = self._look = None

    async def close(self) -> None:
        """End the reading: followers get nothing more."""
        running = self._running
        for follower in list(self._followers):
            follower.lose("the server stops")
            self._leave(follower)
        if running is not None:
            await asyncio.gather(running, return_exceptions=True)

    async def _run(self, look: Look) -> None:
        reason, again = "a fault of the server, which its log tells of", False
        try:
            async with self.tasks.commits() as committed:
                while True:
                    committed.clear()
                    async with self._lock:
                        more = await self._hand_out(look)
                    await asyncio.sleep(TICK_S)
                    if not more:
                        await committed.wait()
        except Resync as resync:
            reason, again = str(resync), True
        except TrackerError as error:
            reason = str(error)
        finally:
            if self._look is look:  # else it was ended because nobody follows, and there may be another by now
                self._running = self._look = None  # whoever comes from now on begins with a new look
                for follower in list(self._followers):
                    follower.lose(reason, again=again)
                    self._leave(follower)

    async def _hand_out(self, look: Look) -> bool:
        """One tick for everyone; whether there is more to come even if nothing is committed."""
        lenses, followers, before = dict(self._lenses), list(self._followers), look.revision
        try:
            made = await self.tasks.ask(lambda snapshot: look.tick(snapshot, lenses))
        except StoreUnavailable:
            return True
        if made.revisions or look.revision != before:
            for follower in followers:
                if follower in self._followers:
                    follower.offer(made)
                    if follower.lost:
                        self._leave(follower)
        return bool(look.held) or not made.is_all
