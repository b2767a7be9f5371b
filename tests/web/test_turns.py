"""What a client may cost: searches take turns and have a time limit, and a page has so many bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.query_store import event
from tests.web.streams import Served, served
from tracker.stores.sql import SqlStore
from tracker.web import task_status, tasks, turns

pytestmark = pytest.mark.slow
SCANS = ("/api/tasks", "/api/counts", "/api/counts?by=state", "/api/histogram", "/task-status/v1", "/task-status/v1?count=true")
SCANNED = {"filters": "attributes.a eq 1"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with 2,000 tasks, of which the first three have a long text."""
    async with served(str(tmp_path / "status.db")) as server:
        server.commit(*(event(f"t{number:04}", "created", description="x" * 5_000 * (number < 3)) for number in range(2_000)))
        yield server


@pytest.fixture
async def client(server: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
        yield client


def sentence(answer: httpx.Response) -> Any:
    """What an error of either API says."""
    return answer.json()["detail"] if "detail" in answer.json() else answer.json()["messages"][0]["text"]


@pytest.mark.parametrize("path", SCANS)
async def test_a_search_that_takes_too_long(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """503 with a sentence, and without Retry-After: it would take as long again."""
    monkeypatch.setattr(turns, "ANSWER_S", -1)
    answer = await client.get(path, params=httpx.URL(path).params.merge(SCANNED))
    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, None)
    assert "more time than it may" in sentence(answer)


@pytest.mark.parametrize("path", SCANS)
async def test_a_turn_that_does_not_come(server: Served, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """503 with Retry-After; what needs no scan is answered meanwhile."""
    monkeypatch.setattr(turns, "TURN_S", 0.05)
    async with AsyncExitStack() as stack:
        for _ in range(turns.MAX_SCANS):
            await stack.enter_async_context(server.app.state.context.turns._scans)
        answer = await client.get(path, params=httpx.URL(path).params.merge(SCANNED))
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2")
        assert "ask again" in sentence(answer)
        for other in ("/health/ready", "/api/tasks/t0000", "/api/tasks?limit=2", "/task-status/v1?limit=2", "/api/status", "/metrics"):
            assert (await client.get(other)).status_code == 200
    assert (await client.get(path, params=httpx.URL(path).params.merge(SCANNED))).status_code == 200


async def test_a_page_of_great_tasks_ends_early(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next page goes on, and the pages have every task once."""
    monkeypatch.setattr(tasks, "PAGE_BYTES", 8_000)
    found: list[list[str]] = []
    path = "/api/tasks?sorters=id&limit=10"
    while path and len(found) < 5:
        page = (await client.get(path)).json()
        found.append([task["id"] for task in page["items"]])
        path = page["next"]
    assert found[0] == ["t0000", "t0001"]
    assert [id for ids in found for id in ids] == [f"t{number:04}" for number in range(sum(map(len, found)))]


async def test_a_compatible_page_of_great_tasks(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 that says what would do: cut, it would read as the last page."""
    monkeypatch.setattr(task_status, "PAGE_BYTES", 8_000)
    answer = await client.get("/task-status/v1?sorters=id&limit=3")
    assert (answer.status_code, sentence(answer)) == (400, "2 tasks of this page are over 8,000 bytes already: ask for a limit of fewer")
    assert len((await client.get("/task-status/v1?sorters=id&limit=2")).json()) == 2


async def test_parked_records_are_written_one_request_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits in a thread for the store's lock, and the source needs such threads: 503 for who comes meanwhile."""
    monkeypatch.setattr(turns, "TURN_S", 0.05)
    path = str(tmp_path / "status.db")
    async with (
        served(path, writable=lambda: SqlStore(path)) as server,
        httpx.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client,
    ):
        async with server.app.state.context.turns._writes:
            answer = await client.post("/api/parked/retry")
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2")
        assert (await client.post("/api/parked/retry")).status_code == 200
