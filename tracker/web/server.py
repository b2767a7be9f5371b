"""The server: one uvicorn in the event loop of whoever calls, ended by an event and never by a signal of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from tracker.errors import TrackerError, UsageError
from tracker.web.connections import Connection

GRACE_S = 2.0
"""A stop waits so long for answers that are under way, of the 5 s that it has."""
MAX_HEAD_BYTES = 65_536
"""Request line and headers: a filter of 4,000 characters, percent-encoded, is up to 48,000."""


class _Server(uvicorn.Server):
    on_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that it answers, once it does."""
        await super().startup(sockets)
        if self.started and self.on_started is not None:
            self.on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command line has its own handlers."""
        yield


def split_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPv6]:PORT``; port 0 takes a free one. UsageError: it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536) or (":" in host and "[" not in text):
        raise UsageError(f"the address to listen at can't be {text!r}: expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return host, int(port)


def listening(text: str) -> socket.socket:
    """A socket that listens there. Raises UsageError for an address that can't be, TrackerError for one that is taken."""
    host, port = split_address(text)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"the address to listen at can't be {text!r}: {host} is no address of a machine ({error})") from None
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise TrackerError(f"{text} is taken by another program: stop it, or choose another port by --listen (0: a free one)") from None
        raise TrackerError(f"can't listen at {text}: {error.strerror}") from None
    return opened


def listening_near(text: str, others: int) -> socket.socket:
    """A socket that listens there, or at the first free one of so many ports after it. Raises as `listening` does where all are taken."""
    host, port = split_address(text)
    shown = f"[{host}]" if ":" in host else host
    try:
        return listening(text)
    except UsageError:
        raise
    except TrackerError:
        for number in range(port + 1, min(port + 1 + others, 65536)):
            with suppress(TrackerError):
                return listening(f"{shown}:{number}")
        if not others:
            raise
    raise TrackerError(f"{text} and the {others} ports after it are taken by other programs")


def url_of(opened: socket.socket, root_path: str = "") -> str:
    """Where a browser on this machine finds it."""
    host, port = opened.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{root_path}"


async def serve(
    app: FastAPI,
    opened: socket.socket,
    stop: asyncio.Event,
    *,
    forwarded_from: str = "",
    on_started: Callable[[], None] | None = None,
) -> None:
    """Answers until ``stop`` is set, then ends within some 3 s. Raises `TrackerError` if the app did not start.

    ``forwarded_from``: addresses, with commas between, whose X-Forwarded-For and -Proto are believed; ``*`` of all.
    """
    config = uvicorn.Config(
        app,
        http=Connection,  # h11 keeps the spelling of headers, which the official client needs
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(forwarded_from),
        forwarded_allow_ips=forwarded_from or None,
        timeout_graceful_shutdown=int(GRACE_S),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    server = _Server(config)
    server.on_started = on_started
    serving = asyncio.create_task(server.serve(sockets=[opened]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        context = getattr(app.state, "context", None)
        if context is not None:
            context.stopping.set()
        server.should_exit = True
        await serving
    if not server.started:
        raise TrackerError("the web server did not start; what was said before tells why")
