"""TCP forwarded between a worker and its broker or database, in a process of its own, and cut on command.

Run as ``python -m tests.crash.proxy NAME=PORT:HOST:PORT ...``; commands come as lines on standard input: ``NAME silent`` (connections stay,
nothing passes either way, and new ones get no answer: a cable is out), ``NAME closed`` (connections are reset and new ones refused: a
firewall says no), ``NAME open``. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from types import TracebackType
from typing import Self

from tests.ports import free_port

CHUNK_BYTES = 65_536
CLOSED = "closed"
SILENT = "silent"
OPEN = "open"


class Link:
    """One port that is forwarded."""

    def __init__(self, name: str, port: int, target: tuple[str, int]) -> None:
        self.name, self.port, self._target = name, port, target
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def set(self, state: str) -> None:
        """Open, silent or closed."""
        if state == CLOSED:
            if self._server is not None:
                self._server.close()
                self._server = None
            for writer in list(self._writers):
                writer.transport.abort()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        if state == SILENT:
            self._passes.clear()
        else:
            self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passes.wait()
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        try:
            ways = {asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))}
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:  # an end of one side is told to the other: these protocols have no half-closed connections
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for each in (writer, back):
                self._writers.discard(each)
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()


async def _commands(links: dict[str, Link]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        name, state = line.decode().split()
        await links[name].set(state)


async def main(arguments: list[str]) -> None:
    """Forward until standard input ends."""
    links = {}
    for argument in arguments:
        name, _, rest = argument.partition("=")
        port, host, to = rest.split(":")
        links[name] = Link(name, int(port), (host, int(to)))
        await links[name].set(OPEN)
    print("ready", flush=True)
    await _commands(links)


class Proxies:
    """The process, from whoever runs it. ``ports`` are where each link listens."""

    def __init__(self, targets: dict[str, tuple[str, int]], ports: dict[str, int] | None = None) -> None:
        self.ports = {name: free_port() for name in targets} | (ports or {})
        told = [f"{name}={self.ports[name]}:{socket.gethostbyname(host)}:{port}" for name, (host, port) in targets.items()]
        command = [sys.executable, "-m", "tests.crash.proxy", *told]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def set(self, name: str, state: str) -> None:
        """Open, silent or closed."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {state}\n")
        self._process.stdin.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
