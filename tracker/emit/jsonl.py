"""Events appended to a file of JSON lines, by any number of processes at once."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Self

from tracker.emit.base import Outgoing
from tracker.errors import EmitError, NotFound, SourceError, UsageError
from tracker.model.records import Position
from tracker.sources.files import HEAD_BYTES, FileIdentity, absolute, is_compressed, is_pattern
from tracker.sources.rotation import locate


class JsonlEmitter:
    """Appends to the file at ``path`` (`tracker.emit.base.Emitter`); makes it if it is missing.

    All events of one call are one write at the end of the file, under a lock (``flock``) that all emitters share, and synced to the disk.
    If the file does not end in a newline, one is written first, so that the line before stays its own. The file is opened anew for
    each call, so that after a rotation events go to the new file. Raises `UsageError` for standard input, globs and compressed files.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fspath(path)
        if name == "-":
            raise UsageError("events can't be written to standard input: name a file or a Kafka topic as the source")
        if is_pattern(name):
            raise UsageError(f"{name} is a pattern: name the one file that events are to be written to")
        if is_compressed(name):
            raise UsageError(f"{name} is compressed and can't be appended to: name a plain file")
        self._path = absolute(name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    async def emit(self, events: Sequence[Outgoing]) -> list[Position]:
        """The position after each event. Raises `EmitError` if the file can't be written or synced."""
        for event in events:
            if b"\n" in event.value:
                raise UsageError(f"the event of task {event.task_id} holds a line break: an event is one line of JSON")
        return await asyncio.to_thread(self._append, events) if events else []

    async def why_unread(self, positions: Sequence[Position]) -> str | None:
        """Whether the store reads another file, or has read another one of this name that was not rotated."""
        held = next((each for each in positions if each.topic == self._path), None)
        if held is None:
            return f"the store does not read {self._path} but {', '.join(sorted({each.topic for each in positions})) or 'nothing yet'}"
        try:
            await asyncio.to_thread(locate, held)
        except NotFound:
            return f"{self._path} was read by the store and is gone" if held.next_offset else None
        except SourceError as error:
            return str(error)
        return None

    def _append(self, events: Sequence[Outgoing]) -> list[Position]:
        data = b"".join(event.value + b"\n" for event in events)
        try:
            descriptor, is_new = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                end = _append_whole(descriptor, data)
                os.fsync(descriptor)
                identity = str(FileIdentity.of(os.fstat(descriptor), os.pread(descriptor, HEAD_BYTES, 0)))
            finally:
                os.close(descriptor)  # gives the lock back, too
            if is_new:
                _sync_folder(self._path)
        except OSError as error:
            raise EmitError(f"{self._path} can't be written: {error.strerror}") from error
        lengths = (len(event.value) + 1 for event in events)
        next_offsets = accumulate(lengths, initial=end - len(data))
        next(next_offsets)  # where the first one begins
        return [Position(self._path, 0, next_offset, identity) for next_offset in next_offsets]

    def _open(self) -> tuple[int, bool]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        try:
            return os.open(self._path, flags), False
        except FileNotFoundError:
            return os.open(self._path, flags | os.O_CREAT, 0o644), True


def _append_whole(descriptor: int, data: bytes) -> int:
    """Appends in one write and gives the offset after it. A write that was cut short (disk full) is taken back."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    written = os.write(descriptor, data)
    end = os.lseek(descriptor, 0, os.SEEK_CUR)  # not size + written: others may append without the lock
    if written < len(data):
        if os.fstat(descriptor).st_size == end:
            os.ftruncate(descriptor, end - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return end


def _sync_folder(path: str) -> None:
    """A new file survives a power cut only once its folder's entry was synced."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
