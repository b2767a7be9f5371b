"""What the tests of files read with: a source driven as the projector does, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from tracker.model.records import Position, TopicPartition
from tracker.sources.jsonl import JsonlSource

Lines = list[tuple[int, bytes | None]]


class Reader:
    """A source over some paths, what it has read by file, and where it stands."""

    def __init__(self, source: JsonlSource) -> None:
        self.source = source
        self.lines: dict[str, Lines] = {}
        self.positions: dict[TopicPartition, Position] = {}

    async def begin(self, positions: Iterable[Position] = ()) -> None:
        """Claims, as the projector does."""
        await self.source.assigned()
        await self.source.seek(positions)

    async def read_until(self, done: Callable[[], bool]) -> None:
        """Reads until what was read satisfies ``done``; a changed assignment is claimed again."""
        async with asyncio.timeout(10):
            while not done():
                await self.read_once()

    async def read_once(self, max_records: int = 1_000) -> bool:
        """One batch; whether it was the last."""
        batch = await self.source.read(max_records, 0.2)
        for at, records in batch.records.items():
            self.lines.setdefault(Path(at.topic).name, []).extend((record.offset, record.value) for record in records)
        self.positions |= batch.positions
        if batch.reassigned:
            await self.begin(self.positions.values())
        return batch.ended

    def values(self, name: str = "events.jsonl") -> list[bytes | None]:
        """The values read of one file."""
        return [value for _, value in self.lines.get(name, [])]


@asynccontextmanager
async def reading(
    *paths: Path | str, positions: Iterable[Position] = (), follow: bool = False, block: int = 1 << 18
) -> AsyncIterator[Reader]:
    """A reader over ``paths`` that looks for news every 10 ms."""
    async with JsonlSource(paths, follow=follow, poll_s=0.01, rescan_s=0.02, block_bytes=block) as source:
        reader = Reader(source)
        await reader.begin(positions)
        yield reader


async def read_all(*paths: Path | str, positions: Iterable[Position] = (), max_records: int = 1_000, block: int = 1 << 18) -> Reader:
    """Everything that a bounded read gives."""
    async with reading(*paths, positions=positions, block=block) as reader:
        while not await reader.read_once(max_records):
            pass
        return reader


def append(path: Path, text: bytes) -> None:
    """As a writer does."""
    with path.open("ab") as file:
        file.write(text)
