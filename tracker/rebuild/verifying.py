"""A store held against its log: some tasks, or all, folded again and compared byte by byte, up to the positions that the store is at."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from tracker.errors import LostOffset, SourceChanged, SourceError
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import apply
from tracker.fold.registers import merge_into
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns, purged_at
from tracker.model.limits import Limits
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.model.rows import Columns
from tracker.rebuild.differences import Comparison, Pair, differing, is_equal
from tracker.rebuild.folding import can_be_folded, fold_log
from tracker.rebuild.following import Follower, Pace
from tracker.rebuild.logs import Logs
from tracker.sources.base import Source
from tracker.stores.contents import Contents, Holding
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_contents import SqliteContents

READ_RECORDS = 10_000
READ_WAIT_S = 0.2
IDLE_READS = 150
"""A log that gives nothing for so many reads (30 s) does not come to the store's position any more."""
Opened = Callable[[], Contents]
"""The store's contents, of the moment in which they are entered."""


class Verified(msgspec.Struct, kw_only=True):
    """What was found."""

    tasks: int
    """Looked at."""
    left_out: int
    """Not looked at: retention has purged attempts of them."""
    read: int
    """Records of the log."""
    whole: bool
    """Whether the log has everything from its beginning; where it has not, a task's older events are in the store alone."""
    covered: int
    """Tasks of which the log has only a part, all of which is in the store. Of a whole log there are none."""
    different: int
    pairs: list[Pair]
    """Those that are not what their log says, the store's state first; the first of them, where all tasks were looked at."""
    limits: Limits


async def verify_some(
    opened: Opened,
    logs: Logs,
    count: int,
    random: Random,
    *,
    pace: Pace | None = None,
    on_records: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Fold ``count`` tasks again. All that is asked of the store is read in one moment at the beginning."""
    with opened() as contents:
        sample = {each.id: each for each in contents.sample(count, random)}
        positions = {each.position.at: each.position for each in contents.partitions()}
        limits, jumped, kind = contents.about().limits, bool(contents.jumps()), contents.kind
    wanted = {id: holding for id, holding in sample.items() if not holding.is_purged}
    reading = _Reading(wanted, limits, pace or Pace(), on_records)
    for source in logs.open():
        await reading.read(source, positions)
    unread = [at for at, position in positions.items() if position.next_offset and at not in reading.seen]
    whole = reading.whole and not jumped and not unread
    pairs = [Pair(id, holding, _as_holding(holding, reading.states.get(id), limits)) for id, holding in sorted(wanted.items())]
    pairs = [pair for pair in pairs if not is_equal(pair, cells=kind == "sqlite")]
    covered = [] if whole else [pair for pair in pairs if is_covered(pair, limits)]
    pairs = [pair for pair in pairs if pair not in covered]
    return Verified(
        tasks=len(wanted),
        left_out=len(sample) - len(wanted),
        read=reading.count,
        whole=whole,
        covered=len(covered),
        different=len(pairs),
        pairs=pairs,
        limits=limits,
    )


def _as_holding(like: Holding, state: TaskState | None, limits: Limits) -> Holding | None:
    """As SQLite's table would hold it."""
    if state is None:
        return None
    registers, cells = to_bytes(state, limits), columns(like.id, state)
    return Holding(like.id, registers, (cells is None, *(cells or (None,) * len(Columns._fields)), purged_at(state)))


def is_covered(pair: Pair, limits: Limits) -> bool:
    """Whether the store's state (a) has all that the log's (b) has, so that joining them changes nothing."""
    if pair.a is None or pair.b is None:
        return pair.b is None
    if pair.a.registers == pair.b.registers:  # then the rest of the row differs
        return False
    return to_bytes(merge_into(from_bytes(pair.a.registers), from_bytes(pair.b.registers), limits), limits) == pair.a.registers


class _Reading:
    """The wanted tasks' events out of a log, folded."""

    def __init__(self, wanted: Iterable[str], limits: Limits, pace: Pace, on_records: Callable[[int], None]) -> None:
        self.states = dict[str, TaskState]()
        self.count = 0
        self.whole = True
        self.seen = set[TopicPartition]()
        self._wanted = frozenset(wanted)
        self._limits, self._pace, self._on_records = limits, pace, on_records
        self._decode = Decoder(limits).decode

    async def read(self, log: Source, positions: Mapping[TopicPartition, Position]) -> None:
        """All records before these positions."""
        async with log:
            beginnings = await log.assigned()
            self.seen |= beginnings.keys()
            try:
                await log.seek([positions[at] for at in beginnings if at in positions])
            except (LostOffset, SourceChanged) as error:
                raise SourceError(f"the log is not the one that the store has read, or it was cut behind it: {error}") from error
            await log.seek(beginnings.values())
            at = {each.at: each.next_offset for each in beginnings.values()}
            aims = {each: positions[each].next_offset for each in at if each in positions}
            self.whole = self.whole and not any(at.values())
            idle = 0
            while any(at[each] < aim for each, aim in aims.items()):
                batch = await log.read(READ_RECORDS, READ_WAIT_S)
                if batch.reassigned:
                    beginnings = await log.assigned()
                    await log.seek(
                        [msgspec.structs.replace(each, next_offset=at.get(each.at, each.next_offset)) for each in beginnings.values()]
                    )
                    continue
                records = _before(batch, aims)
                await asyncio.to_thread(self._fold, records)
                self._on_records(len(records))
                at.update((each, position.next_offset) for each, position in batch.positions.items())
                idle = 0 if batch.positions else idle + 1
                if batch.ended or idle > IDLE_READS:
                    break
                await asyncio.sleep(self._pace.wait_s(len(records)))
            short = [each for each, aim in aims.items() if at[each] < aim]
            if short:
                topic, partition = short[0]
                raise SourceError(f"{topic}, partition {partition}: the log ends before the store's position {aims[short[0]]}")

    def _fold(self, records: Iterable[Record]) -> None:
        for record in records:
            self.count += 1
            event = self._decode(record)
            if isinstance(event, TaskEvent) and event.task_id in self._wanted:
                apply(self.states.setdefault(event.task_id, TaskState()), event, self._limits)


def _before(batch: Batch, aims: Mapping[TopicPartition, int]) -> list[Record]:
    return [record for at, records in batch.records.items() for record in records if record.offset < aims.get(at, 0)]


async def folded_beside(
    stack: AsyncExitStack,
    opened: Opened,
    logs: Logs,
    jobs: int | None = None,
    on_records: Callable[[int], None] = lambda _: None,
) -> tuple[Contents, Contents]:
    """The store's contents, and those of its log folded into a store of its own up to the same positions, both of one moment.

    The store goes on meanwhile: the long way is read first, the short rest once its moment is fixed. What is made ends with the stack.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracker-verify-")))
    with opened() as first:
        limits, positions = first.about().limits, [each.position for each in first.partitions()]
    store = stack.enter_context(SqlStore(str(folder / "folded.db"), limits=limits, synchronous="NORMAL"))
    followers = []
    for source in logs.open():
        follower = await stack.enter_async_context(Follower(source, store, on_records=on_records))
        await follower.open(positions)
        followers.append(follower)
        aims = follower.aims(positions)
        if can_be_folded(store, follower, aims):
            await asyncio.to_thread(
                partial(fold_log, indexed=True), store, logs, aims, follower.beginnings, folder / f"runs-{len(followers)}", jobs
            )
        await follower.follow(aims)
    contents = stack.enter_context(opened())
    positions = [each.position for each in contents.partitions()]
    for follower in followers:
        await follower.follow(follower.aims(positions))
    return contents, stack.enter_context(SqliteContents(str(folder / "folded.db")))


async def verify_all(
    opened: Opened,
    logs: Logs,
    *,
    jobs: int | None = None,
    show: int = 20,
    on_records: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Fold every task again, beside the store, and compare; the first ``show`` that differ are told."""
    async with AsyncExitStack() as stack:
        contents, log = await folded_beside(stack, opened, logs, jobs, on_records)
        limits, begun = contents.about().limits, {each.position.at for each in log.partitions()}
        lacking = any(each.position.next_offset and each.position.at not in begun for each in contents.partitions())
        read = {each.position.at: each.counters.read for each in log.partitions()}
        whole = (
            not lacking
            and not contents.jumps()
            and all(read.get(each.position.at, 0) >= each.counters.read for each in contents.partitions())
        )

        def found() -> Verified:
            comparison, pairs, covered, different = Comparison(), list[Pair](), 0, 0
            for pair in differing(contents, log, comparison):
                if not whole and is_covered(pair, limits):
                    covered += 1
                    continue
                different += 1
                if len(pairs) < show:
                    pairs.append(pair)
            return Verified(
                tasks=comparison.tasks - comparison.left_out,
                left_out=comparison.left_out,
                read=sum(read.values()),
                whole=whole,
                covered=covered,
                different=different,
                pairs=pairs,
                limits=limits,
            )

        return await asyncio.to_thread(found)
