"""A file that one thread writes while a response sends what is there: the store's snapshot is held for the making, not for the sending.

However slow the client, the making goes on at full speed, on the disk; who goes away ends it.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncGenerator
from typing import Any

SENT_BYTES = 262_144
"""Sent at once."""


class Gone(Exception):
    """Nobody reads any more."""


class Spool(io.RawIOBase):
    """What the making thread writes to, in order. Made in an event loop; it has no name on the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._file = tempfile.TemporaryFile(prefix="tracker-export-")  # noqa: SIM115 - closed by whoever is last
        self._loop = asyncio.get_running_loop()
        self._grown = asyncio.Event()
        self._size_bytes = 0
        self._left = False

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes written."""
        return self._size_bytes

    def write(self, data: Any) -> int:
        """Append. Raises `Gone`."""
        if self._left:
            raise Gone
        written = self._file.write(data)
        self._file.flush()
        self._size_bytes += written
        self._loop.call_soon_threadsafe(self._grown.set)
        return written

    async def sent(self, making: asyncio.Task[Any]) -> AsyncGenerator[bytes, None]:
        """What is written, as it comes, until the making has ended; then its error, where it has one. Begins with an empty piece once there is
        something, or it has ended.
        """
        sent_bytes, begun = 0, False
        making.add_done_callback(lambda _: self._grown.set())
        try:
            while True:
                self._grown.clear()
                ended = making.done()
                if ended:
                    making.result()
                if not begun and (self._size_bytes or ended):
                    begun = True
                    yield b""
                while sent_bytes < self._size_bytes:
                    piece = os.pread(self._file.fileno(), SENT_BYTES, sent_bytes)
                    sent_bytes += len(piece)
                    yield piece
                if ended:
                    return
                await self._grown.wait()
        finally:
            self._left = True
            making.cancel()
            making.add_done_callback(lambda _: self._file.close())


class SpooledText:
    """Text written to a spool in UTF-8, in pieces that are worth it."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._pieces: list[str] = []
        self._characters = 0

    def write(self, text: str) -> int:
        """Append. Raises `Gone`."""
        self._pieces.append(text)
        self._characters += len(text)
        if self._characters >= SENT_BYTES:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what is held."""
        self._spool.write("".join(self._pieces).encode())
        self._pieces, self._characters = [], 0
