"""Bytes cut into lines, lines made into records: the part of reading a file that is paid per record."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

from tracker.errors import SourceError, UsageError
from tracker.model.records import Record
from tracker.sources.files import BLOCK_BYTES, is_compressed, open_stream

MAX_RECORD_BYTES = 64 << 20
"""A line beyond this is no event log. Records over 1 MiB are refused one by one by the decoder; this bound only guards memory."""

_plus_newline = (1).__add__


class LineCutter:
    """Cuts blocks of one stream at a newline and gives a record for each line that is not blank (only ASCII white space)."""

    def __init__(self, topic: str, next_offset: int, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.topic = topic
        self.next_offset = next_offset
        """Where the line begins that has no newline yet."""
        self._max_record_bytes = max_record_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0

    def feed(self, block: bytes) -> list[Record]:
        """The records of the lines that end in ``block``. Raises `SourceError` for a line longer than the bound."""
        if b"\n" not in block:
            self._pieces.append(block)
            self._held_bytes += len(block)
            if self._held_bytes > self._max_record_bytes:
                raise self._too_long(self.next_offset)
            return []
        data = b"".join((*self._pieces, block)) if self._pieces else block
        lines = data.split(b"\n")
        rest = lines.pop()
        topic, begin = self.topic, self.next_offset
        if len(data) > self._max_record_bytes:
            self._check_lengths(lines)
        self._pieces = [rest] if rest else []
        self._held_bytes = len(rest)
        self.next_offset = begin + len(data) - len(rest)
        offsets = accumulate(map(_plus_newline, map(len, lines)), initial=begin)
        return [Record(topic, 0, offset, line) for line, offset in zip(lines, offsets, strict=False) if line and not line.isspace()]

    def finish(self) -> list[Record]:
        """The last line, which has no newline, if there is one: the stream is at its end."""
        line = b"".join(self._pieces)
        offset = self.next_offset
        self.next_offset += len(line)
        self._pieces, self._held_bytes = [], 0
        return [Record(self.topic, 0, offset, line)] if line and not line.isspace() else []

    def _check_lengths(self, lines: list[bytes]) -> None:
        offset = self.next_offset
        for line in lines:
            if len(line) > self._max_record_bytes:
                raise self._too_long(offset)
            offset += len(line) + 1

    def _too_long(self, offset: int) -> SourceError:
        return SourceError(
            f"{self.topic}: the line that begins at byte {offset} is longer than {self._max_record_bytes} bytes; "
            f"this is no log of events, one JSON document a line"
        )


def byte_ranges(path: str, parts: int, start: int = 0) -> list[tuple[int, int]]:
    """Cuts a plain file from byte ``start`` (where a line begins) into at most ``parts`` ranges of about equal size.

    Each range is (first byte, byte after the last), begins where a line begins and ends after a newline or at the end of the file;
    together they are all that there is now, and none is empty. Raises `UsageError` for a compressed file, which can't be cut.
    """
    if is_compressed(path):
        raise UsageError(f"{path} is compressed: it can only be read from its beginning, by one process")
    with open_stream(path) as stream:
        size = stream.status().st_size
        cuts = [start]
        for part in range(1, parts):
            stream.next_offset = max(cuts[-1], start + (size - start) * part // parts - 1)
            while (block := stream.read(BLOCK_BYTES // 16)) and (found := block.find(b"\n")) < 0:
                pass
            cuts.append(min(size, stream.next_offset - len(block) + found + 1) if block else size)
        cuts.append(size)
    return [(begin, end) for begin, end in pairwise(cuts) if begin < end]


def read_lines(
    path: str, start: int, end: int, block_bytes: int = BLOCK_BYTES, max_record_bytes: int = MAX_RECORD_BYTES
) -> Iterator[tuple[int, list[bytes]]]:
    """The lines of a plain file between two bytes, block by block: (offset where the first one begins, lines without newlines).

    Blank lines are among them, so that each next line begins one byte after the end of the one before. The last line of the range
    may lack its newline. Raises `SourceError` for a line over the bound, `TornFile` if the file ends before ``end``.
    """
    with open_stream(path) as stream:
        stream.skip_to(start)
        begin, pieces, held_bytes = start, list[bytes](), 0
        while stream.next_offset < end:
            block = stream.read(min(block_bytes, end - stream.next_offset))
            if not block:
                stream.skip_to(end)
                break
            pieces.append(block)
            held_bytes += len(block)
            if held_bytes > max_record_bytes + block_bytes:
                raise SourceError(f"{path}: the line that begins at byte {begin} is longer than {max_record_bytes} bytes")
            if b"\n" in block:
                lines = b"".join(pieces).split(b"\n")
                rest = lines.pop()
                yield begin, lines
                begin = stream.next_offset - len(rest)
                pieces, held_bytes = ([rest], len(rest)) if rest else ([], 0)
        if pieces:
            yield begin, [b"".join(pieces)]


def file_size(path: str) -> int:
    """Bytes of the file now (compressed ones where it is compressed); 0 where it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
