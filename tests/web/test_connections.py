"""Connections on which the other side does nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.query_store import event
from tests.web.streams import DEADLINE_S, Served, served
from tracker.web import connections

pytestmark = pytest.mark.slow
HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with 8 MB of tasks."""
    async with served(str(tmp_path / "status.db")) as server:
        server.commit(*(event(f"t{number:03}", "created", description="x" * 40_000) for number in range(200)))
        yield server


async def connected(server: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of few bytes' room."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    opened.setblocking(False)  # noqa: FBT003 - has no name
    await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", int(server.url.rpartition(":")[2])))
    return await asyncio.open_connection(sock=opened, limit=4_096)


@pytest.mark.parametrize("requests", [0, 1])
@pytest.mark.parametrize("begun", [b"GET / HT", HEAD], ids=["line", "headers"])
async def test_a_head_that_does_not_end(server: Served, monkeypatch: pytest.MonkeyPatch, begun: bytes, requests: int) -> None:
    """The connection is closed, whether it is the first request on it or a later one."""
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    reader, writer = await connected(server)
    for _ in range(requests):
        writer.write(HEAD + b"\r\n")
        assert b"200 OK" in await reader.readuntil(b"}")
    writer.write(begun)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_without_a_request(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed."""
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    reader, writer = await connected(server)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_head_that_comes_slowly(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte it is answered, and so is the next on the same connection: the time begins anew."""
    monkeypatch.setattr(connections, "HEAD_S", 2.0)
    reader, writer = await connected(server)
    for _ in range(2):
        for byte in HEAD + b"\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.005)
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
    writer.close()


REQUEST = b"GET /task-status/v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def test_an_answer_that_nobody_takes(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is cut."""
    loop, cut = asyncio.get_running_loop(), asyncio.Event()

    lost = connections.Connection.connection_lost

    def watched(connection: connections.Connection, error: Exception | None) -> None:
        lost(connection, error)
        loop.call_soon_threadsafe(cut.set)

    monkeypatch.setattr(connections, "STUCK_S", 0.3)
    monkeypatch.setattr(connections.Connection, "connection_lost", watched)
    _, writer = await connected(server)
    try:
        writer.write(REQUEST)
        async with asyncio.timeout(DEADLINE_S):
            await cut.wait()
    finally:
        writer.close()


async def test_an_answer_that_is_taken_slowly(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes whole, though it takes longer than an answer may stand still."""
    monkeypatch.setattr(connections, "STUCK_S", 1.5)
    reader, writer = await connected(server)
    size = 0
    try:
        writer.write(REQUEST)
        async with asyncio.timeout(DEADLINE_S):
            while some := await reader.read(100_000):
                size += len(some)
                await asyncio.sleep(0.003)  # a slow network: some 600 reads
    finally:
        writer.close()
    assert size > 8_000_000
