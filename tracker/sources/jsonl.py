"""Files of JSON, one event a line: plain, gzip or zstd, globs, standard input; read once, or followed as ``tail -F`` does.

A file is a topic named by its absolute path, with the one partition 0; an offset is the byte of the decompressed stream where the line
begins. Blank lines are no records, but positions move over them. The identity of a position says which file it belongs to (see
`tracker.sources.files.FileIdentity`), so that a file is found again after it was rotated.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from tracker.errors import Lost, LostOffset, NotFound, SourceChanged, SourceError
from tracker.model.records import Batch, Position, TopicPartition
from tracker.sources.file_log import FileLog, plain_end
from tracker.sources.files import BLOCK_BYTES, absolute, identify, is_pattern, matching
from tracker.sources.lines import MAX_RECORD_BYTES, byte_ranges, file_size, read_lines
from tracker.sources.standard_input import STDIN, STDIN_IDENTITY, StandardInput

__all__ = ["JsonlSource", "byte_ranges", "read_lines"]

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_BATCH_BYTES = 64 << 20
"""A batch of 10,000 records is 4 MB; this bounds memory where records are as large as they may be (1 MiB)."""

_STDIN_WAIT_S = 0.2
"""The thread that waits for a pipe can't be cancelled: so long it may hold up a stop."""


class JsonlSource:
    """A source over files (`tracker.sources.base.Source`).

    ``paths`` are file names, globs (expanded in sorted order) and ``-``. Without ``follow`` the files are read one after the other, then
    `read` says ``ended``; a last line without newline is a record. With ``follow`` such a line is waited for, a missing file too, files
    that newly match are taken up (``reassigned``; let a glob match no rotated names, or they are read twice), and a file that is renamed away is read to its end before the new one of its name
    is begun; nothing ends but standard input. Raises `NotFound` for a file that is missing (without ``follow``) and for a glob
    without match, `TornFile` for a file that was cut or whose compressed stream is broken, `SourceChanged` for another file under the
    name of a stored position, `SourceError` for a line over ``max_record_bytes``.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        follow: bool = False,
        max_record_bytes: int = MAX_RECORD_BYTES,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        block_bytes: int = BLOCK_BYTES,
        poll_s: float = 0.05,
        rescan_s: float = 1.0,
        stdin_descriptor: int = 0,
    ) -> None:
        self._paths = [os.fspath(path) for path in paths]
        self._follow = follow
        self._max_record_bytes = max_record_bytes
        self._max_batch_bytes = max_batch_bytes
        self._block_bytes = block_bytes
        self._poll_s = poll_s
        self._rescan_s = rescan_s
        self._stdin = StandardInput(stdin_descriptor, max_record_bytes=max_record_bytes, kept_bytes=2 * max_batch_bytes)
        self._assigned: dict[TopicPartition, Position] = {}
        self._starts: dict[TopicPartition, Position] = {}
        """Where each log that is not finished begins. Without follow only one plain file is open at a time, however many there are."""
        self._logs: dict[TopicPartition, FileLog | StandardInput] = {}
        self._known_ends: dict[TopicPartition, Position] = {}
        self._finished_raw_bytes = 0
        self._sought = False
        self._next_scan_s = 0.0
        self._said_missing: set[str] = set()
        self._lock = threading.Lock()
        self._running: asyncio.Future[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._let_finish()
        self._close_logs()
        self._sought = False

    @property
    def bytes_total(self) -> int | None:
        """Bytes of all files (compressed ones where they are compressed), for a progress bar; None if standard input is among them."""
        if STDIN in self._assigned:
            return None
        return sum(file_size(at.topic) for at in self._assigned)

    @property
    def bytes_read(self) -> int:
        """Bytes read or skipped of them until now, by the same count."""
        return self._finished_raw_bytes + sum(each.raw_bytes_read for each in list(self._logs.values()))

    async def assigned(self) -> Mapping[TopicPartition, Position]:
        """Where each file begins, with its identity. With ``follow`` waits until there is a file."""
        await self._let_finish()
        self._sought = False
        while True:
            self._assigned = await self._in_thread(self._find_logs, set())
            if self._assigned:
                return dict(self._assigned)
            await asyncio.sleep(self._poll_s)

    async def seek(self, positions: Iterable[Position]) -> None:
        """A position may be one in a file that was rotated since. Other files begin at 0; positions of other topics are passed over.

        Compressed files are decompressed up to the position here.
        """
        await self._let_finish()
        await self._in_thread(self._seek, [position for position in positions if position.at in self._assigned])

    async def read(self, max_records: int, max_wait_s: float) -> Batch:
        """Up to ``max_records``; fewer where they are more than ``max_batch_bytes``."""
        if not self._sought:
            raise SourceError("seek comes before read, and again after a read that was cancelled")
        clock = asyncio.get_running_loop().time
        deadline_s = clock() + max_wait_s
        while True:
            if self._follow and clock() >= self._next_scan_s:
                self._next_scan_s = clock() + self._rescan_s
                if (await self._in_thread(self._find_logs, set(self._logs))).keys() != self._assigned.keys():
                    self._sought = False
                    return Batch({}, {}, reassigned=True)
            left_s = max(0.0, deadline_s - clock())
            if self._is_ready(max_records):
                batch = self._alone(self._gather, max_records, 0.0)
            else:
                batch = await self._in_thread(self._gather, max_records, min(left_s, _STDIN_WAIT_S))
            if batch.positions or batch.ended or left_s <= 0:
                return batch
            if self._follow:
                await asyncio.sleep(min(self._poll_s, left_s))

    async def ends(self) -> Mapping[TopicPartition, Position]:
        """The sizes now. The end of a compressed file and of standard input is missing until it was read to it."""
        return await asyncio.to_thread(self._alone, self._find_ends)

    async def committed(self, positions: Iterable[Position]) -> None:
        """Files have nobody to tell; of standard input no more is kept than what may be sought again."""
        for position in positions:
            if position.at == STDIN:
                self._stdin.committed_offset = position.next_offset

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        """A cancelled caller leaves the thread running; whoever comes next waits for it in `_let_finish`."""
        running = asyncio.ensure_future(asyncio.to_thread(self._alone, call, *arguments))
        self._running = running
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._sought = False  # what the thread reads is nobody's now
            raise

    def _alone(self, call: Callable[..., T], *arguments: object) -> T:
        """`ends` may be asked for beside a read, by whoever shows the lag: files are closed under this lock only."""
        with self._lock:
            return call(*arguments)

    async def _let_finish(self) -> None:
        if self._running is not None:
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.exception()  # looked at, so that asyncio does not complain of a caller that has gone
            self._running = None

    def _find_logs(self, keep: set[TopicPartition]) -> dict[TopicPartition, Position]:
        """The logs that there are now; ``keep`` are open ones, which stay even where their names are away for a while."""
        found = {at: self._assigned[at] for at in keep}
        for path in self._expand():
            at = TopicPartition(path, 0)
            if path == "-":
                found[STDIN] = Position("-", 0, 0, STDIN_IDENTITY)
            elif at not in found:
                try:
                    found[at] = Position(path, 0, 0, str(identify(path)))
                except NotFound:
                    if not self._follow:
                        raise
                    self._say_missing(path)
        return found

    def _expand(self) -> list[str]:
        """The absolute names, in a stable order, each once."""
        names: dict[str, None] = {}
        for path in self._paths:
            if path == "-":
                names["-"] = None
            elif is_pattern(path):
                matches = matching(path)
                if not matches and not self._follow:
                    raise NotFound(f"no file matches {path}; check the pattern; tracker run --follow waits for one")
                if not matches:
                    self._say_missing(path)
                names.update(dict.fromkeys(matches))
            else:
                names[absolute(path)] = None
        return list(names)

    def _say_missing(self, path: str) -> None:
        if path not in self._said_missing:
            self._said_missing.add(path)
            log.warning("%s is not there yet; waiting for it", path)

    def _seek(self, positions: Sequence[Position]) -> None:
        wanted = {position.at: position for position in positions}
        lost = [
            Lost(at.topic, 0, position.next_offset, 0, 0) for at, position in wanted.items() if position.next_offset < 0 and at != STDIN
        ]
        stdin = wanted.get(STDIN, Position("-", 0, 0))
        if STDIN in self._assigned:
            if stdin.identity not in ("", STDIN_IDENTITY):
                raise SourceChanged(
                    f"standard input: the store's position is in {stdin.identity}; name another topic or use a new store", [STDIN]
                )
            if (lost_stdin := self._stdin.lost(stdin.next_offset)) is not None:
                lost.append(lost_stdin)
        if lost:
            raise LostOffset(lost)
        starts: dict[TopicPartition, Position] = {}
        opened: dict[TopicPartition, FileLog] = {}
        try:
            for at in self._assigned:
                position = starts[at] = wanted.get(at, Position(at.topic, 0, 0))
                if at != STDIN and (self._follow or position.next_offset):
                    opened[at] = each = self._open_file(position)
                    if not (self._follow or each.compressed):  # checked, and quickly opened again; a compressed one was read up to there
                        opened.pop(at).close()
        except BaseException:
            for each in opened.values():
                each.close()
            raise
        self._close_logs()
        self._logs.update(opened)
        self._starts, self._known_ends, self._finished_raw_bytes = starts, {}, 0
        if STDIN in self._assigned:
            self._stdin.seek(stdin.next_offset)
        self._sought = True

    def _open_file(self, start: Position) -> FileLog:
        return FileLog(start, follow=self._follow, max_record_bytes=self._max_record_bytes, block_bytes=self._block_bytes)

    def _close_logs(self) -> None:
        for each in self._logs.values():
            each.close()
        self._logs = {}

    def _is_ready(self, max_records: int) -> bool:
        first = next(iter(self._starts), None)
        return first is not None and first in self._logs and self._logs[first].ready >= max_records

    def _gather(self, max_records: int, wait_s: float) -> Batch:
        batch = Batch({}, {})
        left = max_records
        left_bytes = self._max_batch_bytes
        for at in list(self._starts):
            each = self._logs.get(at)
            try:
                if each is None:
                    each = self._logs[at] = self._stdin if at == STDIN else self._open_file(self._starts[at])
                before = each.position
                if isinstance(each, StandardInput):
                    records = each.take(left, left_bytes, 0.0 if batch.positions or (self._follow and len(self._starts) > 1) else wait_s)
                else:
                    records = each.take(left, left_bytes)
            except (SourceError, NotFound):
                if batch.positions:
                    break  # first what came before it; it raises again at the next read
                raise
            if records:
                batch.records[at] = records
                left -= len(records)
                left_bytes -= sum(len(record.value or b"") for record in records) if left else 0
            if each.position != before:
                batch.positions[at] = each.position
            if each.finished:
                self._finish(at, each)
            elif self._follow:
                self._starts[at] = self._starts.pop(at)  # the next read begins with another one
            if left <= 0 or left_bytes <= 0 or not (each.finished or self._follow):
                break
        batch.ended = not self._starts
        return batch

    def _finish(self, at: TopicPartition, each: FileLog | StandardInput) -> None:
        end = each.end()
        if end is not None:
            self._known_ends[at] = end
        self._finished_raw_bytes += each.raw_bytes_read
        del self._starts[at]
        self._logs.pop(at).close()

    def _find_ends(self) -> dict[TopicPartition, Position]:
        ends: dict[TopicPartition, Position] = {}
        for at, beginning in self._assigned.items():
            each = self._logs.get(at)
            if each is not None:
                end = each.end()
            elif at in self._known_ends:
                end = self._known_ends[at]
            else:
                end = None if at == STDIN else plain_end(beginning)
            if end is not None:
                ends[at] = end
        return ends
