"""A followed log under random writes, rotations, compression and restarts: every line comes once and in order."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
from pathlib import Path

import pytest

from tracker.model.records import Position, TopicPartition
from tracker.sources.jsonl import JsonlSource


class Writer:
    """Writes lines (some blank, some without newline before a rotation) and rotates as logrotate does."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path = path
        self.rng = rng
        self.lines: list[bytes] = []
        self.rotations = 0

    def write(self) -> None:
        """One to five lines."""
        with self.path.open("ab") as file:
            for _ in range(self.rng.randrange(1, 6)):
                line = b"" if self.rng.random() < 0.1 else b"%d-%s" % (len(self.lines), b"x" * self.rng.randrange(50))
                file.write(line + b"\n")
                self.lines += [line] if line else []

    def rotate(self) -> None:
        """Moves the numbers up by one, now and then compresses the second file; each file gets its own second."""
        rotated = sorted(self.path.parent.glob("events.jsonl.*"), key=lambda each: -int(each.name.split(".")[2]))
        for each in rotated:
            number = each.name.split(".")[2]
            each.rename(each.with_name(each.name.replace(f".{number}", f".{int(number) + 1}")))
        if self.rng.random() < 0.4:
            with self.path.open("ab") as file:
                file.write(b"last %d" % len(self.lines))
            self.lines.append(b"last %d" % len(self.lines))
        first, second = (self.path.with_name(f"events.jsonl.{number}") for number in (1, 2))
        self.path.rename(first)
        self.rotations += 1
        os.utime(first, (self.rotations, self.rotations))
        if second.exists() and self.rng.random() < 0.3:
            packed = second.with_name("events.jsonl.2.gz")
            packed.write_bytes(gzip.compress(second.read_bytes()))
            os.utime(packed, (second.stat().st_mtime, second.stat().st_mtime))
            second.unlink()


class Follower:
    """Reads and keeps positions, and starts again with them."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path = path
        self.rng = rng
        self.lines: list[bytes | None] = []
        self.positions: dict[TopicPartition, Position] = {}

    async def start(self) -> None:
        """A new run; the store seeds the positions that it does not have."""
        self.source = JsonlSource([self.path], follow=True, poll_s=0.001, block_bytes=self.rng.choice([7, 64, 1 << 18]))
        self.positions = {**await self.source.assigned(), **self.positions}
        await self.source.seek(self.positions.values())

    async def stop(self) -> None:
        """The end of a run."""
        await self.source.__aexit__(None, None, None)

    async def read(self, max_wait_s: float = 0.0) -> None:
        """One batch; its records are of one file."""
        batch = await self.source.read(self.rng.randrange(1, 8), max_wait_s)
        self.lines += [record.value for records in batch.records.values() for record in records]
        self.positions |= batch.positions


@pytest.mark.parametrize("seed", range(15))
async def test_random_rotations_and_restarts_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    """Whatever happens between two reads, the lines read are the lines written."""
    rng = random.Random(seed)
    writer, follower = Writer(tmp_path / "events.jsonl", rng), Follower(tmp_path / "events.jsonl", rng)
    writer.write()
    await follower.start()
    for _ in range(60):
        step = rng.random()
        if step < 0.4:
            writer.write()
        elif step < 0.5:
            writer.rotate()
            writer.write()
        elif step < 0.6:
            await follower.stop()
            await follower.start()
        else:
            await follower.read()
    async with asyncio.timeout(20):
        while len(follower.lines) < len(writer.lines):
            await follower.read(0.01)
    await follower.read(0.01)
    await follower.stop()

    assert follower.lines == writer.lines
