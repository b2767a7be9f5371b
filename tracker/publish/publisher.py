"""The loop between a store's feed and a topic of statuses.

The topic is its own bookmark: each record says the revision that it is of, so the last ones say how far the store is published. There is no second
state that could disagree with what was written: whatever goes wrong, the topic is opened again, which takes back what was not committed, and tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qsl, urlsplit

import msgspec

from tracker import telemetry
from tracker.emit.statuses import Publication, Reached, StatusRecord, StatusTopic
from tracker.errors import StoreChanged, TopicUnfit, TrackerError
from tracker.model.records import Place
from tracker.publish.feed import Feed, Page, gone
from tracker.query.api import TaskQuery
from tracker.query.base import Snapshot
from tracker.query.later import BEGINNING, LISTED
from tracker.telemetry import say

log = logging.getLogger("tracker.publish")

FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0
"""Between attempts while the broker or the store is away, doubled each time."""
STOP_BUDGET_S = 1.5
"""A stop waits so long for the transaction under way, of the 5 s that it has; closing the clients may take as long again."""
CONFIRM_S = 2.0
"""A store that seems to be behind what was published is looked at again after this: in PostgreSQL another program's transaction can hide
the newest revision for a moment, and publishing everything again is dear."""
AGAIN = {
    "store": "this topic has the statuses of an earlier content of the store: all are published again, and tasks that are gone are taken out",
    "older": "the store is behind what was published, so an older copy of it was put back: all statuses are published again",
    "shape": "statuses are published with other keys than before (--extension): all are published again",
    "asked": "all statuses are published again, as --again asks",
}


def no_seam(_: str) -> None:
    """Where nobody wants to know."""


def place_of(url: str) -> str:
    """What stands for the address of a store: the same for all contents that it has one after the other, and nothing that a reader could use."""
    from tracker.stores.open import sqlite_path
    from tracker.stores.postgres_url import is_postgres, without_password

    if is_postgres(url):
        parts = urlsplit(without_password(url))
        schema = dict(parse_qsl(parts.query)).get("schema", "public")
        place = f"{parts.netloc.rpartition('@')[2].lower()}{parts.path}?{schema}"
    else:
        place = str(Path(sqlite_path(url)[0]).resolve())
    return blake2b(place.encode(), digest_size=8).hexdigest()


class Totals(msgspec.Struct):
    """What one run has published. A task counts as often as it was written."""

    statuses: int = 0
    tombstones: int = 0
    transactions: int = 0
    publication: int = 0
    """The number of the publication that it ended in."""
    revision: int = 0
    """Up to which the store is published."""
    seconds: float = 0.0


class Publisher:
    """Publishes a store's statuses to a topic until `stop`, or with ``until_end`` until the revision that the store has at the start."""

    def __init__(
        self,
        query: TaskQuery,
        topic: StatusTopic,
        *,
        place: str = "",
        extension: bool = False,
        again: bool = False,
        until_end: bool = False,
        on_progress: Callable[[Totals], None] = lambda _: None,
        seam: Callable[[str], None] = no_seam,
        listed: int = LISTED,
    ) -> None:
        """``query`` is open, the topic is not. ``place`` stands for the store's address; ``again`` begins a new publication."""
        self._query, self._topic = query, topic
        self._place, self._extension, self._again, self._until_end = place, extension, again, until_end
        self._asked_for: int | None = None
        """The number of the publication that ``again`` has begun."""
        self._target: tuple[str, int] | None = None
        """With ``until_end``: the store, and its revision when it was first seen."""
        self._on_progress, self._seam, self._listed = on_progress, seam, listed
        self._stopping = asyncio.Event()
        self._writing = False
        self._away_since: float | None = None
        self._delay_s = FIRST_DELAY_S
        self.totals = Totals()

    def stop(self) -> None:
        """Ask the run to end within 5 seconds; the transaction under way is committed or taken back whole. From the loop's own thread."""
        self._stopping.set()

    async def run(self) -> Totals:
        """Publish. Raises `TopicUnfit` and other `EmitError`s that waiting does not mend, and what reading the store raises."""
        begun_s = monotonic()
        working, stopping = asyncio.create_task(self._run()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and self._writing:
                await asyncio.wait({working}, timeout=STOP_BUDGET_S)
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
            await self._topic.close()
        if not working.cancelled():
            working.result()
        self.totals.seconds = monotonic() - begun_s
        return self.totals

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                feed, publication = await self._begin()
                if await self._follow(feed, publication):
                    return
            except StoreChanged:  # whether it is one, and what to do, is told by the next look at store and topic
                await self._pause(CONFIRM_S)
            except TrackerError as error:
                if not error.retriable:
                    raise
                await self._wait(error)

    async def _moment(self) -> tuple[str, int]:
        return await self._query.ask(lambda snapshot: (snapshot.store, snapshot.revision()), small=True)

    # -- where to go on ------------------------------------------------------------------------------------------

    async def _begin(self) -> tuple[Feed, Publication]:
        """Take the topic over, and find out where to go on; a new publication first takes out of the topic what the store does not have."""
        reached = await self._topic.open()
        self._seam("opened")
        await self._check_source()
        store, revision = await self._moment()
        if self._until_end and (self._target is None or self._target[0] != store):
            self._target = store, revision
        is_older = await self._is_older(reached)
        if is_older:
            await self._pause(CONFIRM_S)
            is_older = await self._is_older(reached)
        publication, place = self._going_on(reached, store, is_older=is_older)
        self.totals.publication = publication.number
        if place.revision:
            say(telemetry.PUBLISH_RESUMED, topic=self._topic.name, revision=place.revision, publication=publication.number)
            return Feed(store, place, extension=self._extension, listed=self._listed), publication
        await self._sweep(publication)
        return Feed(store, BEGINNING, extension=self._extension, quiet_until=revision, listed=self._listed), publication

    def _going_on(self, reached: Reached | None, store: str, *, is_older: bool) -> tuple[Publication, Place]:
        """The publication that goes on or begins, and the place in it."""
        new = Publication(number=1, store=store, place=self._place, extension=self._extension)
        if reached is None:
            say(telemetry.PUBLISH_BEGUN, topic=self._topic.name, reason="the topic has no statuses yet: all are published")
            return new, BEGINNING
        before = reached.publication
        why = (
            "store"
            if before.store != store
            else "older"
            if is_older
            else "shape"
            if before.extension != self._extension
            else "asked"
            if self._again and (self._asked_for is None or before.number < self._asked_for)
            else None
        )
        if why is None:
            return before, Place(reached.revision, reached.task_id) if reached.revision else BEGINNING
        if why == "store" and before.place != self._place and not self._again:
            raise TopicUnfit(
                f"{self._topic.name} has the statuses of another store ({before.store}; this one is {store}): name another topic, or choose "
                f"--again to put this store's statuses in the place of those"
            )
        say(telemetry.PUBLISH_BEGUN, topic=self._topic.name, reason=AGAIN[why])
        self._asked_for = before.number + 1
        return msgspec.structs.replace(new, number=self._asked_for), BEGINNING

    async def _is_older(self, reached: Reached | None) -> bool:
        """Whether the store is behind what was published of it: as a whole, or at least in the task that was the last."""
        if reached is None or not reached.revision:
            return False

        def question(snapshot: Snapshot) -> bool:
            row = snapshot.task(reached.task_id)
            return reached.revision > snapshot.revision() or row is None or row.revision < reached.revision

        return await self._query.ask(question)

    async def _check_source(self) -> None:
        """A topic of events that is taken for one of statuses would be ruined: a tombstone there is a deletion."""
        for position in await self._query.ask(lambda snapshot: [each.position for each in snapshot.partitions()]):
            if self._topic.is_source(position.topic, position.identity):
                raise TopicUnfit(f"the store reads its events from {self._topic.name}: name another topic for the statuses")

    async def _sweep(self, publication: Publication) -> None:
        """Take out of the topic all tasks that the store does not have. Until that is whole nothing of revision 1 or later is written."""
        async with aclosing(self._topic.task_ids()) as chunks:
            async for ids in chunks:
                missing = await self._query.ask(gone(list(dict.fromkeys(ids))))
                if self._stopping.is_set():
                    return
                if missing:
                    await self._write(publication, [StatusRecord(id, None, 0) for id in missing])
        self._seam("swept")

    # -- going on ------------------------------------------------------------------------------------------------

    async def _follow(self, feed: Feed, publication: Publication) -> bool:
        """Publish page after page; the next one is read while one is written. True: it has come to its end."""
        async with self._query.commits() as committed:
            reading = self._read(feed)
            try:
                while True:
                    page = await reading
                    self._seam("read")
                    if not page.is_last:
                        reading = self._read(feed)
                    if self._stopping.is_set():
                        return True
                    if page.records:
                        await self._write(publication, page.records)
                        self._seam("written")
                    self._came_back()
                    self.totals.revision = page.place.revision
                    if self._is_end(page):
                        return True
                    if page.is_last:
                        await committed.wait()
                        committed.clear()
                        reading = self._read(feed)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def _is_end(self, page: Page) -> bool:
        if self._target is None:
            return False
        _, revision = self._target
        return page.place.revision > revision or (page.is_last and page.place.revision == revision)

    def _read(self, feed: Feed) -> asyncio.Task[Page]:
        return asyncio.create_task(self._query.ask(feed.page))

    async def _write(self, publication: Publication, records: Sequence[StatusRecord]) -> None:
        self._writing = True
        try:
            await self._topic.write(publication, records)
        finally:
            self._writing = False
        totals = self.totals
        tombstones = sum(record.value is None for record in records)
        totals.tombstones += tombstones
        totals.statuses += len(records) - tombstones
        totals.transactions += 1
        self._on_progress(totals)

    # -- while something is away ---------------------------------------------------------------------------------

    async def _wait(self, error: TrackerError) -> None:
        if self._away_since is None:
            self._away_since = monotonic()
            log.warning("%s; trying again", error)
        await self._pause(self._delay_s)
        self._delay_s = min(self._delay_s * 2, LONGEST_DELAY_S)

    def _came_back(self) -> None:
        self._delay_s = FIRST_DELAY_S
        if self._away_since is not None:
            log.warning("%s is published to again after %.0f s", self._topic.name, monotonic() - self._away_since)
            self._away_since = None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
