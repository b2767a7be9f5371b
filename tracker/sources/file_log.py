"""One file as a log of records: followed over its end and over rotation, or read to its end once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tracker.errors import NotFound, SourceError, TornFile, TrackerError
from tracker.model.records import Position, Record, TopicPartition
from tracker.sources.files import HEAD_BYTES, ByteStream, FileIdentity, open_stream
from tracker.sources.lines import LineCutter
from tracker.sources.rotation import files_between

log = logging.getLogger(__name__)


def plain_end(beginning: Position) -> Position | None:
    """Where the file at the topic's path ends now, with its present identity; None if it is compressed or away."""
    try:
        with open_stream(beginning.topic) as stream:
            status = stream.status()
            return None if stream.compressed else Position(beginning.topic, 0, status.st_size, str(FileIdentity.of(status, stream.head())))
    except TrackerError:
        return None


class FileLog:
    """Reads the files of one topic one after the other: rotated ones that are not finished, then the one that has the name.

    Used by one thread at a time. All blocking calls of reading are in `take`, so that a worker thread can make them.
    """

    def __init__(self, path: str, files: Sequence[str], next_offset: int, *, follow: bool, max_record_bytes: int, block_bytes: int) -> None:
        self.at = TopicPartition(path, 0)
        self._path = path
        self._later = deque(files[1:])
        self._follow = follow
        self._max_record_bytes = max_record_bytes
        self._block_bytes = block_bytes
        self._pending: list[Record] = []
        self._given = 0
        self._waited = False
        self._said_incomplete = False
        self._failure: SourceError | None = None
        self._raw_bytes_before = 0
        self.finished = False
        """All is read; never so for a file that is followed."""
        self._open(files[0], next_offset)

    def _open(self, path: str, next_offset: int) -> None:
        stream = open_stream(path)
        try:
            stream.skip_to(next_offset)
            self._identify(stream)
        except BaseException:
            stream.close()
            raise
        self._stream: ByteStream = stream
        self._cutter = LineCutter(self._path, next_offset, self._max_record_bytes)
        self._waited = False

    def _identify(self, stream: ByteStream) -> None:
        head = stream.head()
        self._identity = FileIdentity.of(stream.status(), head)
        self._identity_is_final = b"\n" in head or len(head) == HEAD_BYTES  # else its first line is not complete yet

    def close(self) -> None:
        """Closes the open file."""
        self._stream.close()

    @property
    def position(self) -> Position:
        """Where the next record that `take` gives begins, or will begin."""
        next_offset = self._pending[self._given].offset if self._given < len(self._pending) else self._cutter.next_offset
        return Position(self._path, 0, next_offset, str(self._identity))

    @property
    def ready(self) -> int:
        """Records that are cut already, so that `take` gives them without reading."""
        return len(self._pending) - self._given

    @property
    def raw_bytes_read(self) -> int:
        """Bytes read of all its files (compressed ones where they are compressed), including what was skipped to go on."""
        return self._raw_bytes_before + self._stream.raw_bytes_read

    @property
    def compressed(self) -> bool:
        """Whether the open file is."""
        return self._stream.compressed

    def end(self) -> Position | None:
        """Where the file at the path ends now; None if it is compressed and not read to its end."""
        if self.finished:
            return self.position
        if self._later:
            return plain_end(self.position)
        return None if self._stream.compressed else Position(self._path, 0, self._stream.status().st_size, str(self._identity))

    def take(self, limit: int, limit_bytes: int) -> list[Record]:
        """The next records, at most ``limit``, after about ``limit_bytes`` fewer, and of one file only; none if no more are there now.

        Where it goes over to the next file, it gives none and `position` moves. A broken file raises only when all before was given.
        """
        if self._failure is not None:
            raise self._failure
        records: list[Record] = []
        until = self._stream.next_offset + limit_bytes
        try:
            while len(records) < limit:
                if self._given < len(self._pending):
                    given = self._given
                    self._given = given + limit - len(records)
                    records += self._pending[given : self._given]
                elif (records and self._stream.next_offset >= until) or not self._advance(last=bool(records)):
                    break
        except SourceError as error:
            if not records:
                raise
            self._failure = error
        self._given = min(self._given, len(self._pending))
        return records

    def _advance(self, last: bool) -> bool:
        """Cuts one more block; False if there is none for this batch."""
        if self.finished:
            return False
        block = self._stream.read(self._block_bytes)
        if block:
            if self._waited and not self._stream.compressed:
                self._check_not_rewritten()
            self._pending, self._given = self._cutter.feed(block), 0
            if not self._identity_is_final:
                self._identify(self._stream)
            return True
        if self._follow and not self._later and not self._rotated():
            self._wait_at_end()
            return False
        if self._follow and (block := self._stream.read(self._block_bytes)):  # written before the new file was seen
            self._pending, self._given = self._cutter.feed(block), 0
            return True
        self._stream.check_end()
        self._pending, self._given = self._cutter.finish(), 0
        if self._pending:
            return True
        if last:
            return False
        self._go_over()
        return False

    def _go_over(self) -> None:
        if not self._later:
            self.finished = True
            return
        raw_bytes_read = self._stream.raw_bytes_read
        old, following = self._stream, self._later[0]
        try:
            self._open(following, 0)
        except NotFound:
            if not self._follow:
                raise
            self._later.clear()  # renamed since it was seen: look again at the next read
            return
        self._later.popleft()
        self._raw_bytes_before += raw_bytes_read
        old.close()
        log.info("%s: the file was rotated and is read to its end; going on with %s", self._path, following)

    def _rotated(self) -> bool:
        """Whether another file has the name and its writer uses it; until then the old file may still grow."""
        try:
            status = Path(self._path).stat()
        except OSError:
            return False
        if (status.st_dev, status.st_ino) == self._identity.same_inode or not status.st_size:
            return False
        self._later.extend([*files_between(self._path, self._identity, self._stream.status().st_mtime_ns), self._path])
        return True

    def _wait_at_end(self) -> None:
        self._waited = True
        if not self._stream.compressed:
            self._stream.check_end()
            return
        try:
            self._stream.check_end()
        except TornFile:
            if not self._said_incomplete:
                log.warning("%s ends in the middle of its compressed stream; waiting for the rest of it", self._path)
            self._said_incomplete = True

    def _check_not_rewritten(self) -> None:
        if not self._identity.begins(self._stream.head()):
            raise TornFile(
                f"{self._path} was written anew in place while it was followed (it begins otherwise than it did); read up to byte "
                f"{self._cutter.next_offset}. Fold all logs again into a new store, and rotate logs by renaming (not by copytruncate)"
            )
