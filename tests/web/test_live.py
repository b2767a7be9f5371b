"""Live streams over a real server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import httpx
import pytest

from tests.unit.query_store import event
from tests.web.streams import Mirror, Served, served
from tracker.projector.retention import purge
from tracker.query.tokens import to_token
from tracker.web import hub, live, ticks
from tracker.web.access import read_access

RUNNING = "state eq RUNNING"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with three tasks in its store, two of them running."""
    async with served(str(tmp_path / "status.db")) as server:
        server.commit(event("a", "launched", launcher="x"), event("b", "launched"), event("c", "created"))
        yield server


async def until(holds, what="it") -> None:
    """Wait for what the server does by itself."""
    deadline = monotonic() + 20
    while not holds():
        assert monotonic() < deadline, f"waited 20 s for {what}"
        await asyncio.sleep(0.01)


async def test_a_stream_begins_with_what_matches(server):
    """Reset with the freshness, the matching tasks, and ready with a token to go on from."""
    async with server.stream(RUNNING) as stream:
        reset, snapshot, ready = await stream.until("ready")
    assert (reset.name, reset.data["revision"]) == ("reset", 1)
    assert [task["id"] for task in snapshot.data] == ["a", "b"]
    assert next(iter(snapshot.data[0])) == "id"
    assert snapshot.data[0]["tracker"]["state"] == "RUNNING"
    assert ready.token == await server.tasks.token()


async def test_a_snapshot_comes_in_pages(server):
    """Many tasks come in several events, each once, by id."""
    server.commit(*(event(f"t{number:03}", "created") for number in range(450)))
    async with server.stream('id sw "t"') as stream:
        _, *pages, _ = await stream.until("ready")
    assert [len(page.data) for page in pages] == [200, 200, 50]
    assert [task["id"] for page in pages for task in page.data] == [f"t{number:03}" for number in range(450)]


async def test_what_is_purged_is_told_as_deleted(server):
    """To who follows and to who comes back, whatever the filter: the task is there no more."""
    server.commit(event("c", "completed", completionStatus="SUCCESS"))
    async with server.stream() as stream:
        *_, ready = await stream.until("ready")
        purge(server.store, {"QUEUED_TASK": 1.0}, datetime(2026, 2, 1, tzinfo=UTC))
        change = await stream.next()
    assert (change.data["changed"], change.data["left"], change.data["deleted"]) == ([], [], ["c"])
    async with server.stream(RUNNING, ready.token) as stream:
        assert (await stream.next()).data["deleted"] == ["c"]


async def test_changes_come_as_they_are_committed(server):
    """What matches now, what matches no more, and what is deleted, under the stream's filter."""
    async with server.stream(RUNNING) as stream:
        await stream.until("ready")
        server.commit(event("c", "launched"), event("a", "completed", completionStatus="SUCCESS"), event("b", "deleted"))
        change = await stream.next()
    assert [task["id"] for task in change.data["changed"]] == ["c"]
    assert (change.data["left"], change.data["deleted"]) == (["a"], ["b"])
    assert change.data["at"]["revision"] == 2
    assert change.token == await server.tasks.token()


async def test_what_was_never_shown_does_not_leave(server):
    """A change of a task outside the filter, which the client never had, is no event for it."""
    async with server.stream(RUNNING) as stream:
        await stream.until("ready")
        server.commit(event("c", "updated", description="more"), event("new", "created"), event("gone", "deleted"))
        server.commit(event("late", "launched"))
        change = await stream.next()
        while not change.data["changed"]:
            change = await stream.next()
    assert ([task["id"] for task in change.data["changed"]], change.data["left"], change.data["deleted"]) == (["late"], [], [])


async def test_beyond_the_ids_kept_all_leave(server, monkeypatch):
    """Where a client has too many tasks to keep their ids, every change outside the filter is told as left."""
    monkeypatch.setattr(hub, "MAX_SHOWN", 1)
    monkeypatch.setattr(live, "MAX_SHOWN", 1)
    async with server.stream(RUNNING) as stream:
        await stream.until("ready")
        server.commit(event("c", "updated", description="more"))
        assert (await stream.next()).data["left"] == ["c"]


async def test_fields_are_selected(server):
    """A client gets the id and the members that it names, and the plain 18 without the extension."""
    async with server.stream(fields="tracker.state") as stream:
        _, snapshot, _ = await stream.until("ready")
    assert snapshot.data[0] == {"id": "a", "tracker": {"state": "RUNNING"}}
    async with server.stream(extension="false") as stream:
        _, snapshot, _ = await stream.until("ready")
    assert len(snapshot.data[0]) == 18


async def test_a_client_that_comes_back_misses_nothing(server):
    """With the last token there is no snapshot: what changed meanwhile is told, as changed, left or deleted."""
    async with server.stream(RUNNING) as stream:
        token = (await stream.until("ready"))[-1].token
    server.commit(event("a", "completed", completionStatus="SUCCESS"), event("b", "deleted"), event("c", "launched"))
    async with server.stream(RUNNING, token) as stream:
        change, ready = await stream.until("ready")
        assert change.name == "changes"
        assert [task["id"] for task in change.data["changed"]] == ["c"]
        assert ready.token == change.token == await server.tasks.token()
        assert (change.data["left"], change.data["deleted"]) == (["a"], ["b"])
        server.commit(event("d", "launched"), event("e", "created"), event("c", "completed", completionStatus="SUCCESS"))
        change = await stream.next()
    assert ([task["id"] for task in change.data["changed"]], change.data["left"]) == (["d"], ["c"])


async def test_since_is_the_same_as_a_last_event_id(server):
    """A client that can't set headers gives the token in the URL; the header, which a browser adds, goes before it."""
    first = await server.tasks.token()
    server.commit(event("d", "created"))
    async with server.stream(since=first) as stream:
        assert [task["id"] for task in (await stream.next()).data["changed"]] == ["d"]
    server.commit(event("e", "created"))
    async with server.stream(token=first.replace(".1", ".2"), since=first) as stream:
        assert [task["id"] for task in (await stream.next()).data["changed"]] == ["e"]


@pytest.mark.parametrize("token", [to_token("0123456789abcdef", 1), "what is this"])
async def test_another_stores_token_gives_a_new_snapshot(server, token):
    """On the same connection, after a resync with a reason."""
    async with server.stream(RUNNING, token) as stream:
        names = [event.name for event in await stream.until("ready")]
    assert names == ["resync", "reset", "snapshot", "ready"]


async def test_a_reset_takes_the_token_back(server):
    """Who is cut off in the middle of a new snapshot begins anew, whatever was held before: of the old token it has nothing any more."""
    async with server.stream(token=to_token("another", 1)) as stream:
        reset, *_, ready = (await stream.until("ready"))[1:]
    assert (reset.name, reset.token) == ("reset", "")
    assert ready.token == await server.tasks.token()
    async with server.stream(token="") as stream:
        assert (await stream.next()).name == "reset"


async def test_who_is_too_far_behind_gets_a_new_snapshot(server, monkeypatch):
    """Where more has changed than is worth telling one by one."""
    monkeypatch.setattr(live, "MAX_BEHIND", 2)
    async with server.stream(RUNNING, "0") as stream:
        resync, *_, ready = await stream.until("ready")
    assert resync.data == {"reason": "more than 2 tasks have changed since the token"}
    assert ready.token == await server.tasks.token()


async def test_a_commit_that_is_too_large_is_a_new_snapshot(server, monkeypatch):
    """A replay's commit is not told task by task to whoever looks on."""
    async with server.stream(RUNNING) as stream:
        await stream.until("ready")
        await until(lambda: server.hub._followers, "the stream to be live")
        monkeypatch.setattr(ticks, "MAX_ROWS", 3)
        server.commit(*(event(f"t{number}", "launched") for number in range(5)))
        resync, _, snapshot, _ = await stream.until("ready")
        assert resync.data["reason"].startswith("one commit wrote too much")
        assert len(snapshot.data) == 7
        server.commit(event("more", "launched"))
        assert [task["id"] for task in (await stream.next()).data["changed"]] == ["more"]


async def test_a_task_is_told_four_times_a_second_at_most(server):
    """The first change at once, the next not before 250 ms later, the last state at the end."""
    told: list[float] = []
    async with server.stream('id eq "a"') as stream:
        await stream.until("ready")
        await until(lambda: server.hub._followers, "the stream to be live")
        began = monotonic()
        writing = asyncio.create_task(_write_for(server, 1.0))
        percent = 0
        while percent < 99:
            change = await stream.next()
            told.append(monotonic())
            percent = change.data["changed"][0]["percentComplete"]
        await writing
    assert told[0] - began < 0.25
    assert len(told) <= 2 + (told[-1] - began) / 0.25  # of a hundred writes; when each arrives here is the machine's affair
    assert stream.token == await server.tasks.token()


async def _write_for(server: Served, seconds: float) -> None:
    for percent in range(100):
        server.commit(event("a", "progressed", f"2026-01-01T00:01:00.{percent:03}Z", percentComplete=percent))
        await asyncio.sleep(seconds / 100)


async def test_what_is_held_back_can_be_resumed(server):
    """Who leaves while a change is held back is told it when it comes back."""
    async with server.stream('id eq "a"') as stream:
        await stream.until("ready")
        await until(lambda: server.hub._followers, "the stream to be live")
        server.commit(event("a", "progressed", "2026-01-01T00:01:00Z", percentComplete=1))
        await stream.next()
        server.commit(event("a", "progressed", "2026-01-01T00:02:00Z", percentComplete=2), event("x", "created"))
        await until(lambda: server.hub._look.held, "a change that is held back")
        token = stream.token
    async with server.stream('id eq "a"', token) as stream:
        assert (await stream.next()).data["changed"][0]["percentComplete"] == 2


async def test_a_silent_stream_has_a_heartbeat(server, monkeypatch):
    """A comment now and then, with the token that is true by now and no event."""
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    async with server.stream('id eq "nobody"') as stream:
        first = (await stream.until("ready"))[-1].token
        server.commit(event("other", "created"))
        waiting = asyncio.ensure_future(stream.next())
        await until(lambda: stream.token != first, "a heartbeat with the new token")
        assert stream.token == await server.tasks.token()
        assert not waiting.done()
        waiting.cancel()


async def test_streams_are_limited(server):
    """One more than there may be is refused, and told when to come back; a place is free again when a client has gone."""
    server.hub.max_streams = 1
    async with server.stream() as stream:
        await stream.until("ready")
        async with server.stream() as refused:
            assert (refused.response.status_code, refused.response.headers["retry-after"]) == (503, "5")
            assert refused.response.headers["content-type"] == "application/problem+json"
    await until(lambda: server.hub.streams == 0, "the place of the client that has gone")
    async with server.stream() as stream:
        await stream.until("ready")


@pytest.mark.parametrize("parameters", [{"filters": "state eq"}, {"fields": "nope"}, {"since": "nope"}, {"other": "1"}])
async def test_what_is_wrong_is_said_before_the_stream(server, parameters):
    """A wrong parameter is 400, not a stream."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        answer = await client.get(f"{server.url}/api/changes", params=parameters)
    assert answer.status_code == 400


async def test_a_client_that_takes_nothing_is_dropped(server, monkeypatch):
    """Its connection is closed after a resync, and what waited for it is forgotten."""
    monkeypatch.setattr(hub, "MAX_TICKS", 3)
    monkeypatch.setattr(live, "FAREWELL_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]), limit=1024)
    writer.write(b"GET /api/changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: server.hub._followers, "the stream to be live")
    number = 0
    while server.hub.streams:
        number += 1
        server.commit(
            *(
                event(f"big{each}", "updated", f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z", description="x" * 60_000)
                for each in range(40)
            )
        )
        await asyncio.sleep(0.3)
        assert number < 60, "the client was never dropped"
    assert not server.hub._followers
    writer.close()
    del reader


async def test_everything_ends_with_the_server(server):
    """A stop ends the streams at once, and leaves no thread that waits for commits."""
    async with server.stream() as stream:
        await stream.until("ready")
        began = monotonic()
        server.stop.set()
        while await stream.next() is not None:
            pass
        assert monotonic() - began < 2
    await until(lambda: not any(thread.name == "tracker-commits" for thread in threading.enumerate()), "the thread to end")


async def test_one_client_takes_half_of_the_places(tmp_path):
    """Where there is a login, so that the others find some; 503 says so."""
    one, other = "a-token-of-one-client", "a-token-of-the-other"
    file = tmp_path / "access.toml"
    file.write_text("".join(f'[[token]]\nname = "{name}"\ntoken = "{name}"\nscopes = ["read"]\n' for name in (one, other)))
    async with served(str(tmp_path / "locked.db"), access=read_access(str(file))) as server, AsyncExitStack() as stack:
        server.hub.max_streams = 4
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False))

        async def follow(token: str) -> httpx.Response:
            return await stack.enter_async_context(client.stream("GET", "/api/changes", headers={"Authorization": f"Bearer {token}"}))

        assert [(await follow(one)).status_code for _ in range(2)] == [200, 200]
        refused = await follow(one)
        assert (refused.status_code, json.loads(await refused.aread())["detail"]) == (
            503,
            f"there are 2 live streams of {one}, the most that there may be: close one, or come back later",
        )
        assert [(await follow(other)).status_code for _ in range(3)] == [200, 200, 503]


@pytest.mark.slow
async def test_all_clients_end_with_what_the_store_has(server):
    """Whatever is written meanwhile and however often clients come and go, each ends with what its filter gives."""
    random = Random(5)
    filters = [RUNNING, None, 'launcher eq "x"', "percentComplete gt 50", "not completionStatus isnull"]
    done = asyncio.Event()
    last = [""]

    async def client(where: str | None) -> Mirror:
        mirror, token = Mirror(), None
        while True:
            async with server.stream(where, token) as stream:
                for _ in range(random.randint(3, 12)):
                    if done.is_set() and stream.token == last[0]:
                        return mirror
                    try:
                        async with asyncio.timeout(1):
                            mirror.take(await stream.next())
                    except TimeoutError:
                        break
                token = stream.token or token

    clients = [asyncio.create_task(client(where)) for where in filters for _ in range(2)]
    for number in range(150):
        kinds = random.choices(["created", "launched", "progressed", "completed", "deleted"], [4, 4, 4, 3, 1], k=random.randint(1, 8))
        data: dict[str, dict[str, Any]] = {
            "created": {"launcher": random.choice("xyz")},
            "progressed": {"percentComplete": random.randrange(100)},
            "completed": {"completionStatus": random.choice(["SUCCESS", "TEMPERROR"])},
        }
        time = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
        server.commit(
            *(event(f"t{random.randrange(60)}", kind, time, id=f"{number}-{at}", **data.get(kind, {})) for at, kind in enumerate(kinds))
        )
        await asyncio.sleep(0.02)
    last[0] = await server.tasks.token()
    done.set()
    async with asyncio.timeout(30):
        mirrors = await asyncio.gather(*clients)
    for where, mirror in zip([where for where in filters for _ in range(2)], mirrors, strict=True):
        expected = {task["id"]: task async for task in server.tasks.documents(where, extension=True)}
        assert mirror.tasks == expected, where
