"""A server on a free port, and clients of its live stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from tests.unit.query_store import commit
from tracker.fold.event import TaskEvent
from tracker.query import TaskQuery, open_query
from tracker.stores.sql import SqlStore
from tracker.web.app import create_app
from tracker.web.hub import Hub
from tracker.web.server import listening, serve, url_of

DEADLINE_S = 20


@dataclass
class Event:
    """One event as a browser dispatches it."""

    name: str
    data: Any
    token: str


class Stream:
    """The events of one stream, in their order."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.token = ""
        """The last event id, as a browser keeps it."""
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        name, data = "message", ""
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data += value
                elif field == "id":
                    self.token = value
                elif not line and data:
                    return Event(name, json.loads(data), self.token)
        return None

    async def until(self, name: str) -> list[Event]:
        """All events up to the first of that name, it included."""
        found: list[Event] = []
        while not found or found[-1].name != name:
            event = await self.next()
            assert event is not None, f"the stream has ended before {name}: {found}"
            found.append(event)
        return found


class Mirror:
    """What a client knows of the tasks, by what it was told."""

    def __init__(self) -> None:
        self.tasks: dict[str, Any] = {}

    def take(self, event: Event) -> None:
        """Do what the protocol says."""
        if event.name == "reset":
            self.tasks = {}
        elif event.name == "snapshot":
            self.tasks |= {task["id"]: task for task in event.data}
        elif event.name == "changes":
            self.tasks |= {task["id"]: task for task in event.data["changed"]}
            for id in event.data["left"] + event.data["deleted"]:
                self.tasks.pop(id, None)


class Served:
    """A store, and a server over it."""

    def __init__(self, store: SqlStore, app: FastAPI, url: str, stop: asyncio.Event) -> None:
        self.store, self.app, self.url, self.stop = store, app, url, stop

    @property
    def hub(self) -> Hub:
        """The server's."""
        hub: Hub = self.app.state.hub
        return hub

    @property
    def tasks(self) -> TaskQuery:
        """The server's."""
        tasks: TaskQuery = self.app.state.context.tasks
        return tasks

    def commit(self, *events: TaskEvent) -> int:
        """Fold the events into the store; the revision."""
        return commit(self.store, events)

    @asynccontextmanager
    async def stream(self, filters: str | None = None, token: str | None = None, **parameters: Any) -> AsyncIterator[Stream]:
        """A live stream; ``token`` is sent as Last-Event-ID."""
        parameters |= {} if filters is None else {"filters": filters}
        headers = {} if token is None else {"Last-Event-ID": token}
        async with (
            httpx.AsyncClient(timeout=DEADLINE_S, trust_env=False) as client,
            client.stream("GET", f"{self.url}/api/changes", params=parameters, headers=headers) as response,
        ):
            yield Stream(response)


@asynccontextmanager
async def served(path: str, **options: Any) -> AsyncIterator[Served]:
    """A server over a new store at the path."""
    with SqlStore(path) as store:
        app = create_app(open_query(f"sqlite:///{path}"), **options)
        opened, stop, started = listening("127.0.0.1:0"), asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(serve(app, opened, stop, on_started=started.set))
        await asyncio.wait({serving, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield Served(store, app, url_of(opened), stop)
        finally:
            stop.set()
            async with asyncio.timeout(DEADLINE_S):
                await serving
