"""A store brought forward along a log to given positions, and not one record further."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self

import msgspec

from tracker.errors import LostOffset, SourceChanged, SourceError, TornFile
from tracker.model.records import Batch, Position, TopicPartition
from tracker.projector.projection import Projection
from tracker.rebuild.threads import in_thread
from tracker.replay.runs import UNTIL_ENDED
from tracker.sources.base import Source
from tracker.stores.base import StatusStore

BATCH_RECORDS = 50_000
"""In one transaction: five times the live path's, as nobody waits for it."""
BATCH_BYTES = 32_000_000
READ_WAIT_S = 0.2


class Pace:
    """At most so many records a second (0: no limit), however they are spread."""

    def __init__(self, records_per_s: float = 0.0) -> None:
        self._records_per_s = records_per_s
        self._due_s = 0.0

    @property
    def batch_records(self) -> int:
        """A second's work at most, so that the load is even."""
        return BATCH_RECORDS if not self._records_per_s else max(1, min(BATCH_RECORDS, int(self._records_per_s)))

    def wait_s(self, records: int) -> float:
        """How long to wait after so many records."""
        if not self._records_per_s:
            return 0.0
        now_s = monotonic()
        self._due_s = max(self._due_s, now_s) + records / self._records_per_s
        return self._due_s - now_s


class Follower:
    """One source that stays open, and a store that follows it. An async context manager; ``store`` is written by nobody else.

    ``aims`` are, of each partition, the next offset that the store shall have; a log that has lost a position has none that could be aimed at,
    so there the aim is the log's end. ``until`` are those that it shall have at least, and where the live store has none: not the log's end.
    """

    def __init__(
        self,
        source: Source,
        store: StatusStore,
        *,
        pace: Pace | None = None,
        until: Mapping[TopicPartition, int] | None = None,
        on_records: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._source, self._store, self._until = source, store, until or {}
        self._projection = Projection(store)
        self._pace = pace or Pace()
        self._on_records = on_records
        self._running: asyncio.Task[None] | None = None
        self._is_sought = self._is_beyond = False
        self.at: dict[TopicPartition, int] = {}
        """Where the reading stands."""
        self.beginnings: Mapping[TopicPartition, Position] = {}
        self.ends: dict[TopicPartition, int] = {}
        """Where the logs ended when they were opened."""
        self.lost: frozenset[TopicPartition] = frozenset()
        """Partitions that have lost the position which the live store is at."""

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._running is not None:
            await asyncio.wait([self._running])
        await self._source.__aexit__(kind, error, trace)

    async def open(self, live: Iterable[Position]) -> None:
        """Find the log, and whether it still has the live store's positions."""
        self.beginnings = await self._source.assigned()
        self.ends = {at: end.next_offset for at, end in (await self._source.ends()).items()}
        held = [position for position in live if position.at in self.beginnings]
        self.lost = frozenset([each.at for each in held if await self._has_lost(each)])

    async def _has_lost(self, position: Position) -> bool:
        try:
            await self._source.seek([position])
        except (LostOffset, SourceChanged, TornFile):
            return True
        return False

    def aims(self, live: Iterable[Position]) -> dict[TopicPartition, int]:
        """Where the store shall be when the live one is at these positions."""
        aims = {at: self._until.get(at, self.ends.get(at, UNTIL_ENDED)) for at in self.beginnings}
        held = {each.at: each.next_offset for each in live if each.at in aims and each.at not in self.lost}
        return aims | {at: max(offset, self._until.get(at, 0)) for at, offset in held.items()}

    async def follow(self, aims: Mapping[TopicPartition, int], *, at_once: bool = False) -> None:
        """Read and commit until the store is there, ``at_once`` whatever the pace. Raises `SourceError` where a log ends before."""
        idle = False
        while behind := [at for at, aim in aims.items() if self.at.get(at, -1) < aim]:
            if not self._is_sought:
                await self._finish()
                await self._seek()
                continue
            batch = await self._gather(aims)
            if batch.reassigned:
                await self._finish()
                self._is_sought = False
                continue
            if batch.positions:
                await self._finish()
                self._running = asyncio.create_task(self._process(batch))
                idle = False
                if not at_once:
                    await asyncio.sleep(self._pace.wait_s(batch.record_count))
            if batch.ended:
                await self._finish()
                self._is_sought = False  # it may have grown since
                if all(aims[at] == UNTIL_ENDED for at in behind):
                    break
                if idle:
                    at = behind[0]
                    raise SourceError(
                        f"{at.topic}, partition {at.partition}: the log ends at {self.at.get(at, 0)}, before the position {aims[at]} that is to be "
                        f"reached: is it the same log?"
                    )
                idle = True
        await self._finish()
        if self._is_beyond:
            self._is_sought = False

    def let_go(self) -> None:
        """What is in memory of the store is dropped: somebody else has written to it."""
        self._is_sought = False

    async def _seek(self) -> None:
        self.beginnings = await self._source.assigned()
        held = await in_thread(partial(self._projection.claim, self.beginnings.values()), self._projection.abandon)
        try:
            await self._source.seek(held.values())
        except (LostOffset, SourceChanged) as error:
            raise SourceError(f"what is built was cut off from its log meanwhile ({error}): begin anew with --restart") from error
        self.at = {at: position.next_offset for at, position in held.items()}
        self._is_sought, self._is_beyond = True, False

    async def _gather(self, aims: Mapping[TopicPartition, int]) -> Batch:
        gathered, size = Batch({}, {}), 0
        most = self._pace.batch_records
        while gathered.record_count < most and size < BATCH_BYTES:
            batch = await self._source.read(most - gathered.record_count, READ_WAIT_S)
            if batch.reassigned:
                return batch
            for at, position in batch.positions.items():
                aim = aims.get(at, self.at.get(at, 0))
                records = batch.records.get(at, [])
                if position.next_offset > aim:  # what is beyond is read again when it is wanted
                    self._is_beyond = True
                    records, position = [each for each in records if each.offset < aim], msgspec.structs.replace(position, next_offset=aim)  # noqa: PLW2901
                if position.next_offset > self.at.get(at, -1):
                    gathered.records.setdefault(at, []).extend(records)
                    gathered.positions[at] = position
                    self.at[at] = position.next_offset
                    size += sum(len(record.value) for record in records if record.value)
            gathered.ended = batch.ended
            if batch.ended or not batch.positions or all(self.at.get(at, -1) >= aim for at, aim in aims.items()):
                break
        return gathered

    async def _process(self, batch: Batch) -> None:
        counted = await in_thread(partial(self._projection.process, batch), self._projection.abandon)
        self._on_records(counted.read)

    async def _finish(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            await running
