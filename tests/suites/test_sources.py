"""Every source under the one suite; each class says only how to build its log."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import zstandard

from tracker.errors import TornFile
from tracker.model.records import Record, TopicPartition
from tracker.sources.base import Source
from tracker.sources.jsonl import JsonlSource
from tracker.sources.memory import END, REASSIGN, MemorySource, Script, records
from tracker.testing.sources import SourceSuite


@dataclass
class MemoryLog:
    """A script of bare records, one topic."""

    items: Sequence[Record]
    live: bool
    script: Script | None = None

    def open(self) -> Source:
        self.script = Script([*self.items, *([] if self.live else [END])])
        return MemorySource(self.script)

    async def change_assignment(self) -> None:
        assert self.script is not None
        self.script.append(REASSIGN([TopicPartition("events", 0)]))


class TestMemorySource(SourceSuite):
    """The scripted source."""

    foreign_identity: ClassVar[str] = "memory:other"

    async def make_log(self, partitions: Sequence[Sequence[bytes]], folder: Path, *, live: bool) -> MemoryLog:  # noqa: ARG002
        items = [record for number, values in enumerate(partitions) for record in records(values, partition=number)]
        return MemoryLog(items, live)


@dataclass
class FilesLog:
    """A folder of files, one a partition."""

    folder: Path
    suffix: str
    live: bool

    def open(self) -> Source:
        return JsonlSource([self.folder / f"*.jsonl{self.suffix}"], follow=self.live, rescan_s=0.05, poll_s=0.01)

    async def change_assignment(self) -> None:
        (self.folder / f"new.jsonl{self.suffix}").write_bytes(b"")


class TestPlainFiles(SourceSuite):
    """Files as they are."""

    foreign_identity: ClassVar[str] = "file:1:1:5-0011223344556677"
    lost_error = TornFile
    suffix: ClassVar[str] = ""
    compress: Callable[[bytes], bytes] = staticmethod(bytes)

    async def make_log(self, partitions: Sequence[Sequence[bytes]], folder: Path, *, live: bool) -> FilesLog:
        for number, values in enumerate(partitions):
            text = b"".join(value + b"\n" for value in values)
            (folder / f"{number}.jsonl{self.suffix}").write_bytes(self.compress(text))
        return FilesLog(folder, self.suffix, live)


class TestGzipFiles(TestPlainFiles):
    """gzip, in members of 1,000 bytes."""

    suffix = ".gz"
    knows_ends = False

    @staticmethod
    def compress(text: bytes) -> bytes:
        return b"".join(gzip.compress(text[at : at + 1_000]) for at in range(0, len(text), 1_000))


class TestZstdFiles(TestPlainFiles):
    """zstd, in frames of 1,000 bytes."""

    suffix = ".zst"
    knows_ends = False

    @staticmethod
    def compress(text: bytes) -> bytes:
        return b"".join(zstandard.compress(text[at : at + 1_000]) for at in range(0, len(text), 1_000))
