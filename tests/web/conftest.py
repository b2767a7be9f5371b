"""A real server on a free port of this machine, over a store with tasks, and an HTTP client for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from tests.unit.query_store import commit
from tracker.fold.event import TaskEvent
from tracker.query.api import TaskQuery, open_query
from tracker.stores.open import open_store
from tracker.web.app import create_app
from tracker.web.server import listening, serve, url_of

Serve: TypeAlias = Callable[..., Awaitable[httpx.AsyncClient]]
"""``client = await served(*events, **options of create_app)``; ``query=`` serves another store than ``status.db`` with the events."""


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What tracker logs, down to debug, although a command that ran in this process before keeps it to itself."""
    monkeypatch.setattr(logging.getLogger("tracker"), "propagate", True)
    caplog.set_level(logging.DEBUG, logger="tracker")
    return caplog


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts servers, each over ``status.db`` of the test's folder with these events folded in; stops them at the end."""
    async with AsyncExitStack() as stack:

        async def start(*events: TaskEvent, query: TaskQuery | None = None, **options: Any) -> httpx.AsyncClient:
            url = f"sqlite:///{tmp_path}/status.db"
            if query is None:
                with open_store(url) as store:
                    commit(store, events)
            app, stop, opened = create_app(query or open_query(url), **options), asyncio.Event(), listening("127.0.0.1:0")
            running = asyncio.create_task(serve(app, opened, stop))

            async def end() -> None:
                stop.set()
                await running

            stack.push_async_callback(end)
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url_of(opened), timeout=30))

        yield start
