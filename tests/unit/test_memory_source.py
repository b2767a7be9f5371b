"""The marks of the scripted source."""

from __future__ import annotations

import pytest

from tracker.errors import LostOffset, UsageError
from tracker.model.records import Position, Record, TopicPartition
from tracker.sources.memory import ABORT, END, GAP, PAUSE, REASSIGN, Aborted, Item, MemorySource, Script, records

ZERO, ONE = TopicPartition("events", 0), TopicPartition("events", 1)


async def run(source: MemorySource, positions: dict[TopicPartition, Position]) -> list[bytes | None]:
    """One run up to the end: the values that came; ``positions`` are kept up to date, as a store would."""
    values: list[bytes | None] = []
    async with source:
        await source.assigned()
        await source.seek(positions.values())
        while True:
            batch = await source.read(100, 0.1)
            values += [record.value for read in batch.records.values() for record in read]
            positions |= batch.positions
            if batch.ended:
                return values
            if batch.reassigned:
                await source.assigned()
                await source.seek(positions.values())


async def test_abort_raises_once_for_a_script() -> None:
    """What stands before `ABORT` is given, then `Aborted` is raised; the next run of the script gives the rest."""
    one, two = records([b"1", b"2"])
    script, positions = Script([one, ABORT, two, END]), dict[TopicPartition, Position]()
    with pytest.raises(Aborted):
        await run(MemorySource(script), positions)

    assert positions[ZERO].next_offset == 1
    assert await run(MemorySource(script), positions) == [b"2"]


async def test_the_same_source_can_run_again() -> None:
    """A source made from a plain list remembers its script from run to run; records whose position was not stored come again."""
    one, two = records([b"1", b"2"])
    source = MemorySource([one, two, ABORT, END])
    with pytest.raises(Aborted):
        await run(source, {})

    assert await run(source, {}) == [b"1", b"2"]


async def test_end_ends_and_comes_again_in_a_second_run() -> None:
    """`END` is where each run ends that gets there."""
    source = MemorySource([*records([b"1"]), END])

    assert await run(source, {}) == [b"1"]
    assert await run(source, {}) == [b"1"]


async def test_pause_gives_one_empty_batch() -> None:
    """`PAUSE` parts two batches and gives an empty one between them."""
    one, two = records([b"1", b"2"])
    async with MemorySource([one, PAUSE, two]) as source:
        await source.assigned()
        await source.seek([])
        sizes = [(await source.read(10, 0.1)).record_count for _ in range(3)]

    assert sizes == [1, 0, 1]


@pytest.mark.parametrize("items", [[*records([b"1"]), GAP(5)], [GAP(6, ZERO)]])
async def test_a_gap_moves_the_position_without_a_record(items: list[Item]) -> None:
    """The position and the end go over a gap, after a record as well as alone."""
    positions: dict[TopicPartition, Position] = {}
    source = MemorySource([*items, END])
    await run(source, positions)

    assert positions[ZERO].next_offset == 6
    assert await source.ends() == positions


async def test_reassign_tells_what_is_revoked_and_goes_on_with_the_rest() -> None:
    """`REASSIGN` awaits `on_revoked`, gives one empty batch, and then only records of the new partitions come."""
    revoked: list[frozenset[TopicPartition]] = []

    async def on_revoked(partitions: frozenset[TopicPartition]) -> None:
        revoked.append(partitions)

    first, second = records([b"a", b"b"]), records([b"c", b"d"], partition=1)
    source = MemorySource([first[0], second[0], REASSIGN([ONE]), first[1], second[1], END], on_revoked=on_revoked)

    assert await run(source, {}) == [b"a", b"c", b"d"]
    assert revoked == [{ZERO}]


async def test_a_partition_that_comes_back_goes_on_where_the_seek_says() -> None:
    """What came while a partition was away is given when it is assigned again."""
    first, second = records([b"a", b"b"]), records([b"c"], partition=1)
    source = MemorySource([first[0], REASSIGN([ONE]), first[1], second[0], REASSIGN([ZERO, ONE]), END])

    assert sorted(value or b"" for value in await run(source, {})) == [b"a", b"b", b"c"]


async def test_a_script_grows_while_it_is_read() -> None:
    """Without `END` the source waits; what is appended wakes it."""
    script = Script(records([b"1"]))
    async with MemorySource(script) as source:
        await source.assigned()
        await source.seek([])
        await source.read(10, 0.1)
        empty = await source.read(10, 0.01)
        script.append(*records([b"2"], first_offset=1))
        batch = await source.read(10, 10.0)

    assert empty.record_count == 0
    assert [record.value for record in batch.records[ZERO]] == [b"2"]


async def test_offsets_are_kept_and_those_before_the_first_are_lost() -> None:
    """A script whose first record has offset 100 is a log that begins there."""
    async with MemorySource([*records([b"1"], first_offset=100), END]) as source:
        assert (await source.assigned())[ZERO].next_offset == 100
        with pytest.raises(LostOffset, match="100 to 101"):
            await source.seek([Position("events", 0, 99)])


def test_offsets_must_ascend() -> None:
    """A script that goes back is refused where it is written."""
    with pytest.raises(UsageError, match="offset 4 comes after offset 4"):
        Script([Record("events", 0, 4, b"1"), Record("events", 0, 4, b"2")])
    with pytest.raises(UsageError, match="must name its partition"):
        Script([GAP(3)])
