"""Events appended to a file."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.jsonl_reader import Reader, reading
from tracker.emit.base import Outgoing
from tracker.emit.jsonl import JsonlEmitter
from tracker.errors import EmitError, UsageError
from tracker.model.records import Position
from tracker.sources.files import identify
from tracker.sources.jsonl import JsonlSource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The log, not made yet."""
    return tmp_path / "events.jsonl"


def events(*values: bytes) -> list[Outgoing]:
    """One event a value."""
    return [Outgoing("task", value) for value in values]


async def test_the_file_is_made_and_each_event_is_a_line(path: Path) -> None:
    """A missing file is created; events stand in the order given."""
    async with JsonlEmitter(path) as emitter:
        await emitter.emit(events(b"1", b"22"))
        await emitter.emit(events(b"333"))

    assert await asyncio.to_thread(path.read_bytes) == b"1\n22\n333\n"


async def test_a_line_without_newline_is_ended_first(path: Path) -> None:
    """If the file does not end in a newline, one is written before the event."""
    await asyncio.to_thread(path.write_bytes, b"half")
    async with JsonlEmitter(path) as emitter:
        (position,) = await emitter.emit(events(b"1"))

    assert await asyncio.to_thread(path.read_bytes) == b"half\n1\n"
    assert position.next_offset == 7


async def test_positions_are_those_after_each_event(path: Path) -> None:
    """Each position is where a source over the same file stands once it has read the event, with the same identity."""
    await asyncio.to_thread(path.write_bytes, b"half")
    async with JsonlEmitter(path) as emitter:
        written = await emitter.emit(events(b"1", b"22", b"333"))
    async with reading(path) as reader:
        await reader.read_once(1)
        read: list[Position] = []
        for _ in written:
            await reader.read_once(1)
            read += reader.positions.values()

    assert read == written
    assert {position.identity for position in written} == {str(identify(str(path)))}


async def test_a_follower_sees_the_event(path: Path) -> None:
    """What is emitted reaches a source that follows the file, at the position that was given."""
    await asyncio.to_thread(path.write_bytes, b"1\n")
    async with reading(path, follow=True) as reader, JsonlEmitter(path) as emitter:
        await reader.read_until(lambda: reader.values() == [b"1"])
        (position,) = await emitter.emit(events(b"2"))
        await reader.read_until(lambda: list(reader.positions.values()) == [position])

    assert reader.values() == [b"1", b"2"]


async def test_nothing_to_write_makes_no_file(path: Path) -> None:
    """No event, no file."""
    async with JsonlEmitter(path) as emitter:
        assert await emitter.emit([]) == []

    assert not await asyncio.to_thread(path.exists)


async def test_an_event_of_two_lines_is_refused(path: Path) -> None:
    """A value with a newline would be two records: nothing of the call is written."""
    async with JsonlEmitter(path) as emitter:
        with pytest.raises(UsageError, match="line break"):
            await emitter.emit(events(b"1", b"2\n3"))

    assert not await asyncio.to_thread(path.exists)


@pytest.mark.parametrize(
    ("name", "says"), [("-", "standard input"), ("log/*.jsonl", "pattern"), ("a.gz", "compressed"), ("a.zst", "compressed")]
)
def test_what_cannot_be_appended_to_is_wrong_usage(name: str, says: str) -> None:
    """Standard input, patterns and compressed files are refused when the emitter is made."""
    with pytest.raises(UsageError, match=says):
        JsonlEmitter(name)


async def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """A missing folder or a missing right is an `EmitError` with the name."""
    async with JsonlEmitter(tmp_path / "missing" / "events.jsonl") as emitter:
        with pytest.raises(EmitError, match=r"missing/events\.jsonl can't be written"):
            await emitter.emit(events(b"1"))


async def test_a_write_cut_short_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk half a line would stay; it is removed, and the error says why."""
    await asyncio.to_thread(path.write_bytes, b"1\n")
    write = os.write
    monkeypatch.setattr("tracker.emit.jsonl.os.write", lambda descriptor, data: write(descriptor, data[:3]))
    async with JsonlEmitter(path) as emitter:
        with pytest.raises(EmitError, match=os.strerror(errno.ENOSPC)):
            await emitter.emit(events(b"22222"))

    assert await asyncio.to_thread(path.read_bytes) == b"1\n"


_WRITER = """
import asyncio, sys
from tracker.emit.base import Outgoing
from tracker.emit.jsonl import JsonlEmitter

async def main(path, name):
    async with JsonlEmitter(path) as emitter:
        for number in range(50):
            await emitter.emit([Outgoing("t", f"{name}-{number}-{part}-{'x' * 3000}".encode()) for part in "ab"])

asyncio.run(main(*sys.argv[1:]))
"""


def test_processes_write_whole_lines_side_by_side(path: Path) -> None:
    """Events of several processes are never mixed within a line, nor those of one call parted."""
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(path), name]) for name in ("one", "two", "three")]

    assert [writer.wait(timeout=50) for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    heads = [line.rsplit("-", 1)[0] for line in lines]
    assert sorted(heads) == sorted(f"{name}-{number}-{part}" for name in ("one", "two", "three") for number in range(50) for part in "ab")
    assert all(first[:-1] == second[:-1] for first, second in zip(heads[::2], heads[1::2], strict=True))


async def test_after_a_rotation_events_go_to_the_new_file(path: Path) -> None:
    """The file is opened anew for each call; a follower goes over to it."""
    async with JsonlEmitter(path) as emitter:
        await emitter.emit(events(b"1"))
        async with JsonlSource([path], follow=True, poll_s=0.01) as source:
            reader = Reader(source)
            await reader.begin()
            await reader.read_until(lambda: reader.values() == [b"1"])
            await asyncio.to_thread(path.rename, path.with_name("events.jsonl.1"))
            await emitter.emit(events(b"2"))
            await reader.read_until(lambda: reader.values() == [b"1", b"2"])
