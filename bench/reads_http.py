"""The same reads by HTTP, for information: one client on one connection, asking ``tracker serve`` in a process of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from urllib.parse import quote

from bench import read_store
from bench.timings import Timings, in_turns

TURNS = 300
RUNNING = 'state eq "RUNNING"'
PAGE = "/api/tasks?filters=" + quote(RUNNING) + "&sorters=-modified&limit=250"


def run(tasks: int) -> None:
    """Measure and print; nothing is bound."""
    with _served(read_store.made(tasks)) as port:
        asyncio.run(_measured(port, tasks))


async def _measured(port: int, tasks: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)

    async def get(path: str) -> None:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        # A random task may be one of those that are deleted.
        assert response.status == 200 or (response.status == 404 and path.startswith("/api/tasks/")), body

    rng = Random(2)
    lines = {
        "HTTP and nothing else: /health/live": lambda _: get("/health/live"),
        "one task: /api/tasks/ID": lambda _: get(f"/api/tasks/{read_store.task_id(rng.randrange(tasks))}"),
        f"one page of 250 by {RUNNING}, -modified": lambda _: get(PAGE),
        "counts by state": lambda _: get("/api/counts?by=state"),
        "counts by completionStatus": lambda _: get("/api/counts?by=completionStatus"),
    }
    print("by HTTP, for information:", flush=True)
    for name, ask in lines.items():
        timings = Timings()
        await in_turns(range(TURNS), [(timings, ask)])
        print(f"    {name + ':':<52} {timings}", flush=True)
    connection.close()


@contextmanager
def _served(store: Path) -> Iterator[int]:
    """The port of a server over the store, on this machine alone."""
    command = [sys.executable, "-m", "tracker", "serve", "--store", f"sqlite:///{store}", "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found, f"expected the server to say where it answers, found {said!r}"
        yield int(found[1])
    finally:
        server.terminate()
        server.communicate(timeout=10)
