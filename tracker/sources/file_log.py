"""One file as a log of records: followed over its end and over rotation, or read to its end once."""

from __future__ import annotations

import logging
from pathlib import Path

from tracker.errors import NotFound, SourceError, TornFile, TrackerError
from tracker.model.records import Position, Record
from tracker.sources.files import HEAD_BYTES, ByteStream, FileIdentity, open_stream
from tracker.sources.lines import LineCutter
from tracker.sources.rotation import Part, locate, next_part

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

    def __init__(self, start: Position, *, follow: bool, max_record_bytes: int, block_bytes: int) -> None:
        """Raises what `tracker.sources.rotation.locate` does, and `TornFile` if the file ends before the position."""
        self._path = start.topic
        self._follow = follow
        self._max_record_bytes = max_record_bytes
        self._block_bytes = block_bytes
        self._pending: list[Record] = []
        self._given = 0
        self._waited = False
        self._leaving = False
        self._said_incomplete = False
        self._failure: SourceError | None = None
        self._raw_bytes_before = 0
        self._finished_heads: set[bytes] = set()
        self.finished = False
        """All is read; never so for a file that is followed."""
        while not self._open(locate(start), start.next_offset):
            pass  # it was renamed just now

    def _open(self, part: Part, next_offset: int) -> bool:
        """False if another file has the part's name by now."""
        try:
            stream = open_stream(part.path)
        except NotFound:
            return False
        try:
            status = stream.status()
            if (status.st_dev, status.st_ino) != part.identity.same_inode:
                stream.close()
                return False
            stream.skip_to(next_offset)
            self._identify(stream)
        except BaseException:
            stream.close()
            raise
        self._stream: ByteStream = stream
        self._has_the_name = part.path == self._path
        self._cutter = LineCutter(self._path, next_offset, self._max_record_bytes)
        self._waited = self._leaving = False
        return True

    def _identify(self, stream: ByteStream) -> None:
        head = stream.head()
        self._identity = FileIdentity.of(stream.status(), head)
        self._identity_is_final = b"\n" in head.lstrip() or len(head) == HEAD_BYTES  # else its first line is not complete yet

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
        if not self._has_the_name:
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
        if self._follow and not self._leaving:
            if not self._is_left():
                self._wait_at_end()
                return False
            self._leaving = True
            return self._advance(last=last)  # what was written before the new file was seen
        self._stream.check_end()
        self._pending, self._given = self._cutter.finish(), 0
        if self._pending:
            return True
        if last:
            return False
        self._go_over()
        return False

    def _go_over(self) -> None:
        if self._has_the_name and not self._follow:
            self.finished = True
            return
        old, raw_bytes_read = self._stream, self._stream.raw_bytes_read
        part = self._next_part()
        if part is None:
            self.finished = not self._follow  # else the new file was renamed since it was seen: look again at the next read
        elif self._open(part, 0):
            self._finished_heads.add(old.head())
            self._raw_bytes_before += raw_bytes_read
            old.close()
            log.info("%s: the file was rotated and is read to its end; going on with %s", self._path, part.path)

    def _is_left(self) -> bool:
        """Whether another file has the name and its writer uses it; until then the old file may still grow."""
        try:
            status = Path(self._path).stat()
            if (status.st_dev, status.st_ino) == self._identity.same_inode:
                return False
        except OSError:
            pass  # renamed, and no new one is made yet; but another one may have come and gone
        part = self._next_part()
        return part is not None and part.size > 0

    def _next_part(self) -> Part | None:
        return next_part(self._path, self._stream.status().st_mtime_ns, self._finished_heads | {self._stream.head()})

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
                f"{self._cutter.next_offset}. Fold all there is again with 'tracker rebuild', and rotate logs by renaming (not by copytruncate)"
            )
