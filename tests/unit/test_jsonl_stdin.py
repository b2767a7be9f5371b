"""Standard input as a source."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.jsonl_reader import Reader
from tracker.errors import LostOffset
from tracker.model.records import Position, TopicPartition
from tracker.sources.jsonl import JsonlSource


@asynccontextmanager
async def piped(*, seek: int = 0) -> AsyncIterator[tuple[Reader, int]]:
    """A reader of a pipe, and the pipe's other end."""
    read_end, write_end = os.pipe()
    try:
        async with JsonlSource(["-"], stdin_descriptor=read_end) as source:
            reader = Reader(source)
            await reader.begin([Position("-", 0, seek, "stdin")])
            yield reader, write_end
    finally:
        os.close(read_end)


async def test_standard_input_is_a_topic_that_ends() -> None:
    """Lines come as they are written; the last one needs no newline; the end of the pipe is the end."""
    async with piped() as (reader, write_end):
        os.write(write_end, b"1\n2")
        await reader.read_until(lambda: reader.values("-") == [b"1"])
        os.write(write_end, b"2\n\n3")
        os.close(write_end)
        while not await reader.read_once():
            pass

    assert reader.lines["-"] == [(0, b"1"), (2, b"22"), (6, b"3")]
    assert reader.positions == {TopicPartition("-", 0): Position("-", 0, 7, "stdin")}
    assert reader.source.bytes_total is None


async def test_standard_input_never_resumes() -> None:
    """A stored position skips nothing: the stream is counted from there on."""
    async with piped(seek=1_000) as (reader, write_end):
        os.write(write_end, b"1\n2\n")
        os.close(write_end)
        while not await reader.read_once():
            pass

    assert reader.lines["-"] == [(1_000, b"1"), (1_002, b"2")]


async def test_standard_input_goes_back_to_what_was_not_committed() -> None:
    """Within a run, a seek gives records again; before what is kept it is `LostOffset`."""
    async with piped() as (reader, write_end):
        os.write(write_end, b"1\n2\n3\n")
        await reader.read_until(lambda: len(reader.values("-")) == 3)
        await reader.begin([Position("-", 0, 2, "stdin")])
        await reader.read_until(lambda: len(reader.values("-")) == 5)
        with pytest.raises(LostOffset):
            await reader.begin([Position("-", 0, 100, "stdin")])
        os.close(write_end)

    assert reader.values("-") == [b"1", b"2", b"3", b"2", b"3"]


async def test_standard_input_forgets_what_was_committed() -> None:
    """What the store has is no longer kept in memory: a seek before it is `LostOffset`."""
    async with piped() as (reader, write_end):
        os.write(write_end, b"1\n2\n")
        await reader.read_until(lambda: len(reader.values("-")) == 2)
        await reader.source.committed([Position("-", 0, 2, "stdin")])
        os.write(write_end, b"3\n")
        await reader.read_until(lambda: len(reader.values("-")) == 3)
        with pytest.raises(LostOffset, match="2 to 6"):
            await reader.begin([Position("-", 0, 0, "stdin")])
        await reader.begin([Position("-", 0, 2, "stdin")])
        await reader.read_until(lambda: len(reader.values("-")) == 5)
        os.close(write_end)

    assert reader.values("-") == [b"1", b"2", b"3", b"2", b"3"]
