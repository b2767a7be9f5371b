"""Files as streams of decompressed bytes, and the identity by which a file is known again.

Everything here is synchronous and blocks on the disk: the source calls it from a worker thread.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol, Self

from tracker.errors import NotFound, SourceError, TornFile, UsageError

HEAD_BYTES = 4096
"""At most so many first bytes tell a file; an event is about 400 bytes, so its first line nearly always ends within."""

BLOCK_BYTES = 1 << 18
"""One read. Measured from 128 KiB to 1 MiB, the cost of a line (0.5 µs) is the same within the noise, so the memory decides."""

_GZIP_INPUT_BYTES = 1 << 18
_ZSTD_INPUT_BYTES = 1 << 14
"""The zstd decoder has no bound on what one call gives: 16 KiB of a log that shrinks by 100 is a block of 1.6 MiB."""


class FileIdentity(NamedTuple):
    """Which file an offset belongs to, written as ``file:DEVICE:INODE:LENGTH-DIGEST``.

    The digest is taken over the first ``length`` decompressed bytes: up to the newline of the first line that is not blank, at most
    4,096 bytes (less only while no more is there). So a file that grows keeps its identity, and a copy, a renamed or a compressed file is known again.
    """

    device: int
    inode: int
    length: int
    digest: str

    def __str__(self) -> str:
        return f"file:{self.device}:{self.inode}:{self.length}-{self.digest}"

    @classmethod
    def parse(cls, text: str) -> FileIdentity | None:
        """The identity that ``text`` writes, or None where it is another kind of log's."""
        try:
            kind, device, inode, content = text.split(":")
            length, digest = content.split("-")
            return cls(int(device), int(inode), int(length), digest) if kind == "file" else None
        except ValueError:
            return None

    @classmethod
    def of(cls, status: os.stat_result, head: bytes) -> FileIdentity:
        """The identity of the file with this status, whose first bytes (up to 4,096) are ``head``."""
        blank = len(head) - len(head.lstrip())
        length = head.find(b"\n", blank) + 1 or len(head)
        return cls(status.st_dev, status.st_ino, length, _digest(head[:length]))

    @property
    def same_inode(self) -> tuple[int, int]:
        """What the operating system tells files apart by; an inode of a deleted file may be used again."""
        return self.device, self.inode

    def begins(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` has the first bytes of this one."""
        return len(head) >= self.length and _digest(head[: self.length]) == self.digest


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class ByteStream:
    """An open file as decompressed bytes: this class reads it as it is, its children decompress.

    A read at the end gives ``b""`` and may give more later, when the file has grown.
    """

    compressed = False

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.next_offset = 0
        """Of the decompressed stream: where the next read begins."""
        self._descriptor = descriptor
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the descriptor back; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def status(self) -> os.stat_result:
        """Of the open file, whatever name it has by now."""
        return os.fstat(self._descriptor)

    @property
    def raw_bytes_read(self) -> int:
        """Bytes of the file that were read: compressed ones where it is compressed."""
        return self.next_offset

    def head(self) -> bytes:
        """The first 4,096 decompressed bytes, or as many as there are. Moves nothing."""
        try:
            return os.pread(self._descriptor, HEAD_BYTES, 0)
        except OSError as error:
            raise self._unreadable(error) from error

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """The next bytes, about ``size`` at most; ``b""`` at the end. Raises `TornFile` where the file is damaged or became shorter."""
        if self._held:
            block, self._held = self._held, b""
        else:
            try:
                block = self._next_block(size)
            except OSError as error:
                raise self._unreadable(error) from error
        self.next_offset += len(block)
        return block

    def skip_to(self, next_offset: int) -> None:
        """Moves forward to ``next_offset``. Raises `TornFile` if the stream ends before it."""
        size = self.status().st_size
        if next_offset > size:
            raise shorter(self.path, next_offset, size)
        self.next_offset = next_offset

    def check_end(self) -> None:
        """Called where the stream ends: raises `TornFile` if that is in the middle of it."""
        size = self.status().st_size
        if size < self.next_offset:
            raise shorter(self.path, self.next_offset, size)

    def _next_block(self, size: int) -> bytes:
        return os.pread(self._descriptor, size, self.next_offset)

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(f"{self.path} can't be read at byte {self.next_offset}: {error.strerror}")


def shorter(path: str, next_offset: int, size: int) -> TornFile:
    """The error for a file that ends before the position."""
    return TornFile(
        f"{path} was read up to byte {next_offset}, but is only {size} bytes long now: it was cut or written anew in place, and what it "
        f"held is lost here. Put the whole file back, or fold all there is again with 'tracker rebuild'; rotate logs by renaming (not by copytruncate)"
    )


class _Decoder(Protocol):
    """What zstandard gives for one frame."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, /) -> bytes: ...


class _CompressedStream(ByteStream):
    """A sequence of gzip members or zstd frames; the decoder is None between two of them."""

    compressed = True

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(path, descriptor)
        self._raw_offset = 0
        self._input = b""

    @property
    def raw_bytes_read(self) -> int:
        return self._raw_offset

    def head(self) -> bytes:
        with type(self)(self.path, os.dup(self._descriptor)) as again:
            head = b""
            while len(head) < HEAD_BYTES and (block := again.read(HEAD_BYTES)):
                head += block
            return head[:HEAD_BYTES]

    def skip_to(self, next_offset: int) -> None:
        while self.next_offset < next_offset:
            block = self.read()
            if not block:
                self.check_end()
                raise shorter(self.path, next_offset, self.next_offset)
            if self.next_offset > next_offset:
                self._held = block[next_offset - self.next_offset :]
                self.next_offset = next_offset

    def _take_input(self, size: int) -> bool:
        if not self._input:
            self._input = os.pread(self._descriptor, size, self._raw_offset)
            self._raw_offset += len(self._input)
        return bool(self._input)

    def _broken(self, reason: object) -> TornFile:
        return TornFile(
            f"{self.path}: the compressed stream is damaged after byte {self.next_offset} of its content ({reason}); "
            f"put a sound copy in its place and start again: the store goes on where it was"
        )

    def check_end(self) -> None:
        """Called where the stream ends: raises `TornFile` if that is inside a member or frame."""
        if self._is_inside:
            raise self._broken("it ends too early")

    @property
    def _is_inside(self) -> bool:
        return False


class GzipStream(_CompressedStream):
    """gzip, also of several members, with the zero bytes that some tools put after them."""

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(path, descriptor)
        self._decoder: zlib._Decompress | None = None
        self._members = 0

    def _next_block(self, size: int) -> bytes:
        while True:
            more = self._take_input(_GZIP_INPUT_BYTES)
            if self._decoder is None:
                if self._members:
                    self._input = self._input.lstrip(b"\0")
                if not more:
                    return b""
                if not self._input:
                    continue
                self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                block = self._decoder.decompress(self._input, size)
            except zlib.error as error:
                raise self._broken(error) from error
            if self._decoder.eof:
                self._input, self._decoder = self._decoder.unused_data, None
                self._members += 1
            else:
                self._input = self._decoder.unconsumed_tail
            if block or not more:
                return block

    @property
    def _is_inside(self) -> bool:
        return self._decoder is not None


class ZstdStream(_CompressedStream):
    """zstd, also of several frames."""

    def __init__(self, path: str, descriptor: int) -> None:
        super().__init__(path, descriptor)
        self._zstd = _zstandard(path)
        self._begin = self._zstd.ZstdDecompressor().decompressobj
        self._decoder: _Decoder | None = None

    def _next_block(self, size: int) -> bytes:  # noqa: ARG002 - the decoder has no such bound
        while self._take_input(_ZSTD_INPUT_BYTES):
            if self._decoder is None:
                self._decoder = self._begin()
            try:
                block = self._decoder.decompress(self._input)
            except self._zstd.ZstdError as error:
                raise self._broken(error) from error
            if self._decoder.eof:
                self._input, self._decoder = self._decoder.unused_data, None
            else:
                self._input = b""
            if block:
                return block
        return b""

    @property
    def _is_inside(self) -> bool:
        return self._decoder is not None


def _zstandard(path: str) -> ModuleType:
    try:
        import zstandard  # here, because only .zst files need it
    except ImportError as error:
        raise UsageError(f"{path} needs the package zstandard, which is not installed: pip install 'tracker[zstd]'") from error
    return zstandard


_STREAMS: dict[str, Callable[[str, int], ByteStream]] = {".gz": GzipStream, ".zst": ZstdStream}


def absolute(path: str) -> str:
    """The topic of a file: the name that was given, from the root on. Links are not followed."""
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow them


def is_pattern(path: str) -> bool:
    """Whether it means all files that match it. A file of that very name goes before."""
    return glob.has_magic(path) and not Path(path).exists()


def matching(pattern: str) -> list[str]:
    """The files that match, absolute and sorted; not the folders."""
    return [absolute(match) for match in sorted(glob.glob(pattern, recursive=True)) if not Path(match).is_dir()]  # noqa: PTH207 - absolute patterns


def named(paths: Iterable[str]) -> list[str]:
    """The files that names and patterns mean, absolute, each once. Raises `NotFound`."""
    names: dict[str, None] = {}
    for path in paths:
        found = matching(path) if is_pattern(path) else [absolute(path)] if Path(path).exists() else []
        if not found:
            raise NotFound(f"no file matches {path}; check the pattern" if is_pattern(path) else f"{path} is not there; check the name")
        names.update(dict.fromkeys(found))
    return list(names)


def is_compressed(path: str) -> bool:
    """Whether the name says so (``.gz``, ``.zst``)."""
    return path.endswith(tuple(_STREAMS))


def open_stream(path: str) -> ByteStream:
    """Opens a regular file at its beginning. Raises `NotFound`, `SourceError` (no right to read it) or `UsageError` (a folder, a pipe)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: opening a pipe would wait for its writer
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there; check the name; tracker run --follow waits for it") from error
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a folder; name the files in it, for example '{path}/*.jsonl'")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path} is not a regular file; pipe it into standard input and name '-' as the source")
        return _STREAMS.get(Path(path).suffix, ByteStream)(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def identify(path: str) -> FileIdentity:
    """The identity of the file at ``path``; raises as `open_stream` does, and `TornFile` for a broken compressed stream."""
    with open_stream(path) as stream:
        return FileIdentity.of(stream.status(), stream.head())
