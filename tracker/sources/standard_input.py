"""Standard input as a log: topic ``-``, partition 0, identity ``stdin``."""

from __future__ import annotations

import os
import select
from collections import deque

from tracker.errors import Lost, LostOffset
from tracker.model.records import Position, Record, TopicPartition
from tracker.sources.files import BLOCK_BYTES
from tracker.sources.lines import LineCutter

STDIN = TopicPartition("-", 0)
STDIN_IDENTITY = "stdin"


class StandardInput:
    """Reads a pipe. It can't be resumed: what the store has read in an earlier run can't be asked for again.

    The first `seek` therefore says how the stream is counted: its first byte gets the offset that the store goes on at, so that no two
    records of a store ever have the same offset. Later seeks go back to what was given and not committed (``kept_bytes`` of it at most, so that memory is bounded).
    """

    at = STDIN

    def __init__(self, descriptor: int, *, max_record_bytes: int, kept_bytes: int) -> None:
        self._descriptor = descriptor
        self._kept_limit_bytes = kept_bytes
        self.committed_offset = 0
        """Set by the source; what begins before it is forgotten at the next read."""
        self._max_record_bytes = max_record_bytes
        self._cutter: LineCutter | None = None
        self._kept: deque[Record] = deque()
        self._kept_bytes = 0
        self._ahead: deque[Record] = deque()
        self._raw_bytes_read = 0
        self._at_end = False

    @property
    def finished(self) -> bool:
        """The other side has closed the pipe, and all of it was given."""
        return self._at_end and not self._ahead

    @property
    def raw_bytes_read(self) -> int:
        """Bytes taken from the pipe."""
        return self._raw_bytes_read

    @property
    def ready(self) -> int:
        """Records that can be given without reading."""
        return len(self._ahead)

    @property
    def position(self) -> Position:
        """Where the next record begins."""
        begin = self._cutter.next_offset if self._cutter is not None else 0
        return Position("-", 0, self._ahead[0].offset if self._ahead else begin, STDIN_IDENTITY)

    def end(self) -> Position | None:
        """Known only once the pipe is closed."""
        return Position("-", 0, self._cutter.next_offset, STDIN_IDENTITY) if self._at_end and self._cutter is not None else None

    def lost(self, next_offset: int) -> Lost | None:
        """What is wrong with a seek there; None if nothing."""
        if self._cutter is None:
            return None if next_offset >= 0 else Lost("-", 0, next_offset, 0, 0)
        beginning, end = (self._kept[0].offset if self._kept else self.position.next_offset), self._cutter.next_offset
        return None if beginning <= next_offset <= end else Lost("-", 0, next_offset, beginning, end)

    def seek(self, next_offset: int) -> None:
        """Goes back to a record that was given, or forward again; raises `LostOffset`."""
        if (lost := self.lost(next_offset)) is not None:
            raise LostOffset([lost])
        if self._cutter is None:
            self._cutter = LineCutter("-", next_offset, self._max_record_bytes)
        while self._kept and self._kept[-1].offset >= next_offset:
            self._ahead.appendleft(self._kept.pop())
            self._kept_bytes -= len(self._ahead[0].value or b"")
        while self._ahead and self._ahead[0].offset < next_offset:
            self._keep(self._ahead.popleft())

    def take(self, limit: int, limit_bytes: int, wait_s: float) -> list[Record]:
        """The next records, at most ``limit``; waits at most ``wait_s`` for the first bytes."""
        assert self._cutter is not None, "seek comes first"
        taken_bytes = 0
        while len(self._ahead) < limit and taken_bytes < limit_bytes and not self._at_end:
            if not select.select([self._descriptor], [], [], 0 if self._ahead else wait_s)[0]:
                break
            block = os.read(self._descriptor, BLOCK_BYTES)
            taken_bytes += len(block)
            self._raw_bytes_read += len(block)
            self._at_end = not block
            self._ahead += self._cutter.feed(block) if block else self._cutter.finish()
            wait_s = 0
        records = [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]
        for record in records:
            self._keep(record)
        return records

    def close(self) -> None:
        """Leaves the descriptor open: it belongs to the process."""

    def _keep(self, record: Record) -> None:
        self._kept.append(record)
        self._kept_bytes += len(record.value or b"")
        while self._kept and (self._kept_bytes > self._kept_limit_bytes or self._kept[0].offset < self.committed_offset):
            self._kept_bytes -= len(self._kept.popleft().value or b"")
