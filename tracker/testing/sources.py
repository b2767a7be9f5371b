"""The suite that every source of records must pass (it needs pytest and pytest-asyncio).

Subclass `SourceSuite` in a test module, under a name that pytest collects, and say how to build a log:

    class TestMySource(SourceSuite):
        foreign_identity = "my:another-log"

        async def make_log(self, partitions, folder, *, live): ...
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from tracker.errors import LostOffset, SourceChanged, SourceError
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.sources.base import Source

DEADLINE_S = 30.0
"""No wait of the suite is longer; reaching it fails the test."""

Read = dict[TopicPartition, list[tuple[int, bytes | None]]]


class PreparedLog(Protocol):
    """A log with known records, as `SourceSuite.make_log` makes it."""

    def open(self) -> Source:
        """A new source over the log; each call is a new run."""
        ...

    async def change_assignment(self) -> None:
        """Makes the running source's partitions other ones (only called for a live log, if `SourceSuite.changes_assignment`)."""
        ...


@pytest.mark.asyncio
class SourceSuite(ABC):
    """The promises of `tracker.sources.base.Source`, one test each."""

    foreign_identity: ClassVar[str]
    """An identity of the same kind of log, but of another one."""
    lost_error: ClassVar[type[SourceError]] = LostOffset
    """What ``seek`` raises for an offset after the end (a file that is shorter raises `TornFile`)."""
    knows_ends: ClassVar[bool] = True
    """Whether ``ends`` has all partitions before they were read (a compressed file's end is found by reading it)."""
    changes_assignment: ClassVar[bool] = True
    """Whether there is a way to change the assignment of a running source."""
    detects_foreign: ClassVar[bool] = True
    """Whether another log under the same name can be told."""

    @abstractmethod
    async def make_log(self, partitions: Sequence[Sequence[bytes]], folder: Path, *, live: bool) -> PreparedLog:
        """A log with these values: one list a partition. ``live``: its source waits for more at the end and never says ended."""

    async def test_nothing_is_read_before_seek(self, tmp_path: Path) -> None:
        """Promise 1: reading an assignment that was not sought is refused."""
        async with opened(await self.make_log([values(3)], tmp_path, live=False)) as source:
            await source.assigned()
            with pytest.raises(SourceError):
                await source.read(10, 0.1)

    async def test_assigned_gives_beginnings_with_identity(self, tmp_path: Path) -> None:
        """Promise 1: each partition's position is where its first record is, and says which log it belongs to."""
        async with opened(await self.make_log([values(3), values(2)], tmp_path, live=False)) as source:
            beginnings = await source.assigned()
            first = await read_from(source, beginnings.values(), 5)

        assert len(beginnings) == 2
        assert all(position.identity and position.at == at for at, position in beginnings.items())
        assert {at: position.next_offset for at, position in beginnings.items()} == {at: read[0][0] for at, read in first.items()}

    async def test_all_values_come_in_order_with_their_offsets(self, tmp_path: Path) -> None:
        """Promise 3: every record comes once, offsets ascend, values are the ones that were written."""
        wanted = [values(7), values(4, "other")]
        async with opened(await self.make_log(wanted, tmp_path, live=False)) as source:
            read = await read_from(source, (await source.assigned()).values(), 11)

        assert sorted([value for _, value in each] for each in read.values()) == sorted(wanted)
        assert all(offset < following for each in read.values() for (offset, _), (following, _) in pairwise(each))

    async def test_a_second_assignment_reads_from_its_seek(self, tmp_path: Path) -> None:
        """Promise 1: `assigned` again and `seek` again begin anew, whatever was read before."""
        async with opened(await self.make_log([values(5)], tmp_path, live=False)) as source:
            first = await read_from(source, (await source.assigned()).values(), 5)
            again = await read_from(source, (await source.assigned()).values(), 5)

        assert again == first

    async def test_an_offset_after_the_end_is_refused(self, tmp_path: Path) -> None:
        """Promise 2: a position that the log has not reached is an error at `seek`."""
        async with opened(await self.make_log([values(3)], tmp_path, live=False)) as source:
            (beginning,) = (await source.assigned()).values()
            with pytest.raises(self.lost_error):
                await source.seek([moved(beginning, beginning.next_offset + 100_000)])

    async def test_a_negative_offset_is_lost(self, tmp_path: Path) -> None:
        """Promise 2: all positions outside the log stand in one error, each with its topic and partition."""
        async with opened(await self.make_log([values(3), values(3)], tmp_path, live=False)) as source:
            beginnings = await source.assigned()
            with pytest.raises(LostOffset) as caught:
                await source.seek([moved(position, -1) for position in beginnings.values()])

        assert {TopicPartition(lost.topic, lost.partition) for lost in caught.value.lost} == set(beginnings)

    async def test_another_log_is_refused(self, tmp_path: Path) -> None:
        """Promise 2: a position that belongs to another log raises `SourceChanged`."""
        if not self.detects_foreign:
            pytest.skip("declared: another log under the same name can't be told")
        async with opened(await self.make_log([values(3)], tmp_path, live=False)) as source:
            beginnings = await source.assigned()
            batch = await first_batch(source, beginnings.values(), 1)
            (position,) = batch.positions.values()
            with pytest.raises(SourceChanged):
                await source.seek([Position(position.topic, position.partition, position.next_offset, self.foreign_identity)])

    async def test_a_position_without_identity_is_taken(self, tmp_path: Path) -> None:
        """An empty identity means unknown: the offset alone counts."""
        async with opened(await self.make_log([values(3)], tmp_path, live=False)) as source:
            batch = await first_batch(source, (await source.assigned()).values(), 1)
            (position,) = batch.positions.values()
            rest = await read_from(source, [Position(position.topic, position.partition, position.next_offset)], 2)

        assert [value for _, value in rest[position.at]] == values(3)[1:]

    async def test_a_refused_seek_moves_nothing(self, tmp_path: Path) -> None:
        """Promise 2: after an error at `seek`, the reading goes on where it was."""
        async with opened(await self.make_log([values(4)], tmp_path, live=False)) as source:
            beginnings = await source.assigned()
            batch = await first_batch(source, beginnings.values(), 1)
            with pytest.raises(LostOffset):
                await source.seek([moved(position, -1) for position in beginnings.values()])
            rest = await read_on(source, 3)

        (at,) = beginnings
        assert pairs(batch.records[at]) + rest[at] == pairs_of(values(4), pairs(batch.records[at]) + rest[at])

    async def test_a_batch_has_at_most_max_records(self, tmp_path: Path) -> None:
        """Promise 3: `max_records` counts over all partitions together."""
        async with opened(await self.make_log([values(9), values(9)], tmp_path, live=False)) as source:
            await source.seek((await source.assigned()).values())
            sizes = [batch.record_count async for batch in batches(source, 18, max_records=4)]

        assert max(sizes) <= 4

    @pytest.mark.parametrize("max_records", [1, 2, 3, 7, 100])
    async def test_the_size_of_batches_changes_nothing(self, tmp_path: Path, max_records: int) -> None:
        """Promise 3: batches of every size give the same records."""
        async with opened(await self.make_log([values(10), values(6)], tmp_path, live=False)) as source:
            beginnings = await source.assigned()
            whole = await read_from(source, beginnings.values(), 16, max_records=1_000)
            parts = await read_from(source, beginnings.values(), 16, max_records=max_records)

        assert parts == whole

    async def test_resuming_at_any_position_gives_exactly_the_rest(self, tmp_path: Path) -> None:
        """Promise 3: `positions` go to exactly where the next read begins, also for a new source over the same log."""
        count = 6
        log = await self.make_log([values(count)], tmp_path, live=False)
        async with opened(log) as source:
            await source.seek((await source.assigned()).values())
            seen = [batch async for batch in batches(source, count, max_records=1)]
        whole = [pair for batch in seen for records in batch.records.values() for pair in pairs(records)]
        for done, position in enumerate((position for batch in seen if batch.records for position in batch.positions.values()), start=1):
            async with opened(log) as source:
                await source.assigned()
                rest = await read_from(source, [position], count - done)
                assert rest.get(position.at, []) == whole[done:]

    async def test_every_batch_with_records_moves_their_partitions(self, tmp_path: Path) -> None:
        """Promise 3: a partition with records has a position, after its last record."""
        async with opened(await self.make_log([values(5), values(5)], tmp_path, live=False)) as source:
            await source.seek((await source.assigned()).values())
            seen = [batch async for batch in batches(source, 10, max_records=3)]

        assert all(batch.positions[at].next_offset > records[-1].offset for batch in seen for at, records in batch.records.items())

    async def test_read_waits_no_longer_than_told(self, tmp_path: Path) -> None:
        """Promise 3: where nothing more comes, `read` gives an empty batch within the time (and 2 s for a busy machine)."""
        async with opened(await self.make_log([values(2)], tmp_path, live=True)) as source:
            await read_from(source, (await source.assigned()).values(), 2)
            async with asyncio.timeout(2.2):
                batch = await source.read(10, 0.2)

        assert batch.record_count == 0
        assert not batch.ended

    async def test_the_event_loop_runs_beside_a_read(self, tmp_path: Path) -> None:
        """Promise 3: while 20,000 records are read, the loop is never held up for half a second."""
        async with opened(await self.make_log([values(20_000)], tmp_path, live=False)) as source:
            clock = asyncio.get_running_loop().time
            ticks = [clock()]

            async def tick() -> None:
                while True:
                    await asyncio.sleep(0.01)
                    ticks.append(clock())

            ticking = asyncio.create_task(tick())
            await read_from(source, (await source.assigned()).values(), 20_000, max_records=5_000)
            ticks.append(clock())
            ticking.cancel()

        assert max(after - before for before, after in pairwise(ticks)) < 0.5

    async def test_a_changed_assignment_gives_one_empty_batch(self, tmp_path: Path) -> None:
        """Promise 4: the next batch after the change says reassigned and has no records; then a new seek is due."""
        if not self.changes_assignment:
            pytest.skip("declared: its assignment never changes")
        log = await self.make_log([values(3), values(3)], tmp_path, live=True)
        async with opened(log) as source:
            await read_from(source, (before := await source.assigned()).values(), 6)
            await log.change_assignment()
            async with asyncio.timeout(DEADLINE_S):
                while not (batch := await source.read(10, 0.1)).reassigned:
                    assert batch.record_count == 0
            with pytest.raises(SourceError):
                await source.read(10, 0.1)
            after = await source.assigned()

        assert batch.record_count == 0
        assert not batch.positions
        assert set(after) != set(before)

    async def test_ends_are_where_reading_ends(self, tmp_path: Path) -> None:
        """Promise 5: `ends`, asked for before anything was read, are the positions after the last record."""
        async with opened(await self.make_log([values(4), values(1)], tmp_path, live=False)) as source:
            beginnings = await source.assigned()
            before = await source.ends()
            await source.seek(beginnings.values())
            reached: dict[TopicPartition, int] = {}
            async for batch in batches(source, 5):
                reached |= offsets(batch.positions)

        assert offsets(before) == (reached if self.knows_ends else {})

    async def test_a_cancelled_read_loses_nothing(self, tmp_path: Path) -> None:
        """Promise 6: a seek to the last positions brings back what the cancelled read took."""
        async with opened(await self.make_log([values(500)], tmp_path, live=True)) as source:
            batch = await first_batch(source, (await source.assigned()).values(), 10)
            for turns in range(4):
                reading = asyncio.create_task(source.read(50, 1.0))
                for _ in range(turns):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            done = batch.record_count
            rest = await read_from(source, batch.positions.values(), 500 - done)

        (read,) = rest.values()
        assert [value for _, value in read] == values(500)[done:]

    async def test_committed_moves_nothing(self, tmp_path: Path) -> None:
        """`committed` is for others' displays: it changes nothing of what is read."""
        async with opened(await self.make_log([values(6)], tmp_path, live=False)) as source:
            batch = await first_batch(source, (await source.assigned()).values(), 2)
            await source.committed(batch.positions.values())
            rest = await read_on(source, 6 - batch.record_count)

        (read,) = rest.values()
        assert [value for _, value in read] == values(6)[batch.record_count :]


def values(count: int, word: str = "event") -> list[bytes]:
    """``count`` different values of 12 to 30 bytes, so that offsets in bytes are no multiples of anything."""
    return [f'{{"{word}":{index},"x":"{"x" * (index % 7)}"}}'.encode() for index in range(count)]


def moved(position: Position, next_offset: int) -> Position:
    """The same log at another offset."""
    return Position(position.topic, position.partition, next_offset, position.identity)


def offsets(positions: Mapping[TopicPartition, Position]) -> dict[TopicPartition, int]:
    """Only the offsets."""
    return {at: position.next_offset for at, position in positions.items()}


def pairs(records: Iterable[Record]) -> list[tuple[int, bytes | None]]:
    """(offset, value) of each."""
    return [(record.offset, record.value) for record in records]


def pairs_of(wanted: Sequence[bytes], read: Sequence[tuple[int, bytes | None]]) -> list[tuple[int, bytes | None]]:
    """The wanted values at the offsets that were read."""
    return [(offset, value) for (offset, _), value in zip(read, wanted, strict=True)]


@asynccontextmanager
async def opened(log: PreparedLog) -> AsyncIterator[Source]:
    """One run over the log; the test's time is bounded."""
    async with asyncio.timeout(DEADLINE_S), log.open() as source:
        yield source


async def batches(source: Source, count: int, max_records: int = 1_000) -> AsyncIterator[Batch]:
    """All batches until ``count`` records were read or the source has ended, and one more to see that no more come."""
    read = 0
    while read < count:
        batch = await source.read(max_records, 0.5)
        read += batch.record_count
        yield batch
        if batch.ended:
            break
    else:
        yield await source.read(max_records, 0.05)


async def read_on(source: Source, count: int, max_records: int = 1_000) -> Read:
    """What comes from here on: (offset, value) by partition."""
    read: Read = {}
    async for batch in batches(source, count, max_records):
        assert set(batch.records) <= set(batch.positions)
        for at, records in batch.records.items():
            read.setdefault(at, []).extend(pairs(records))
    return read


async def read_from(source: Source, positions: Iterable[Position], count: int, max_records: int = 1_000) -> Read:
    """What comes after a seek."""
    await source.seek(positions)
    return await read_on(source, count, max_records)


async def first_batch(source: Source, positions: Iterable[Position], max_records: int) -> Batch:
    """The first batch that has records."""
    await source.seek(positions)
    while not (batch := await source.read(max_records, 0.5)).record_count:
        pass
    return batch
