"""HTTP connections that end where the other side does nothing: sends no whole head, or takes nothing of its answer."""

from __future__ import annotations

import asyncio
from typing import Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""For the request line and headers, from the connection or from their first byte."""
STUCK_S = 30.0
"""An answer of which nothing was taken for so long is given up: memory and a file are held for it."""


class Connection(H11Protocol):
    """uvicorn's, which waits for both for ever."""

    _head: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """It is open."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        """More waits to be taken than should."""
        super().pause_writing()
        self._watch_taking()

    def resume_writing(self) -> None:
        """It was taken."""
        super().resume_writing()
        self._end("_stuck")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._end("_head")
        self._end("_stuck")
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._end("_head")
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _watch_taking(self) -> None:
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < before:
                self._watch_taking()
            else:
                self.transport.abort()

        self._stuck = self.loop.call_later(STUCK_S, look)

    def _end(self, name: Literal["_head", "_stuck"]) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
        setattr(self, name, None)
