"""``/api/changes``: tasks as they change, as server-sent events.

A stream begins with ``reset`` (the freshness), the tasks that match in ``snapshot`` events, and ``ready``, whose id is a change token. Then
come ``changes``: ``{"changed": [tasks], "left": [ids that match no more], "deleted": [ids], "at": freshness}``, with a token as their id.
Who comes back with the last token (``Last-Event-ID``, or ``since``) is told what changed meanwhile instead of a snapshot: what matches as
changed, all else as left or deleted; then ``ready``. ``resync`` says why going on is not possible: a new ``reset`` follows, or the end of the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from itertools import islice
from typing import Annotated

import orjson
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from prometheus_client import Counter
from pydantic import Field
from starlette.types import Receive, Scope, Send

from tracker.errors import StoreChanged, TrackerError, UsageError
from tracker.query.base import Scan, Snapshot, parsed
from tracker.query.following import revision_in
from tracker.query.pages import BY_ID, Key
from tracker.query.questions import SCAN_LIMIT
from tracker.query.tokens import from_token, to_token
from tracker.web.answers import Parameters, Token, clock, problems
from tracker.web.context import Asking, Served
from tracker.web.hub import MAX_SHOWN, MAX_STREAMS, Follower, Hub
from tracker.web.selection import parse_selection
from tracker.web.tasks import EXTENSION, FIELDS, FILTERS
from tracker.web.ticks import MISSED_IDS, Lens, Resync, Tick, View, event, missed, place

PAGE_TASKS = 200
PAGE_BYTES = 1_000_000
"""Ends a page early where tasks have thousands of messages."""
HEARTBEAT_S = 15.0
"""Proxies close what is silent for 30 to 60 s."""
MAX_BEHIND = 50_000
"""Changed tasks that a client is told one by one when it comes back: a second or two of work; beyond, a snapshot is no dearer."""
RETRY_MS = 1_000
FAREWELL_S = 1.0
"""For the last words to a client that does not take its events, or while the server stops."""

router = APIRouter(prefix="/api", tags=["changes"], responses=problems())


class Following(Parameters):
    """Parameters of a live stream."""

    filters: str | None = FILTERS
    fields: str | None = FIELDS
    extension: bool = EXTENSION
    since: Token | None = Field(
        None,
        description="A change token, the id of an earlier event, or 0 for the beginning. `Last-Event-ID` goes before it.",
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Live streams are possible meanwhile. ``app.state.max_streams``, if there is one, says how many."""
    app.state.hub = hub = Hub(app.state.context.tasks, max_streams=getattr(app.state, "max_streams", MAX_STREAMS))
    app.state.context.meters.streams_open.set_function(lambda: hub.streams)
    try:
        yield
    finally:
        await hub.close()


@router.get(
    "/changes",
    operation_id="followTasks",
    response_class=Response,
    responses={200: {"description": "Events without an end", "content": {"text/event-stream": {"schema": {"description": "An event"}}}}},
)
async def follow_tasks(
    request: Request,
    served: Served,
    asking: Asking,
    wanted: Annotated[Following, Query()],
    last_event_id: Annotated[Token | None, Header()] = None,
) -> Response:
    """Follow tasks as they change, as server-sent events: first those that match now, then each change.

    A stream begins with `reset` (whose data is what `at` is elsewhere), the matching tasks in `snapshot` events (arrays), and `ready`.
    From then on there are `changes`: `{"changed": [tasks], "left": [ids], "deleted": [ids], "at": {}}`; what has `left` does not match any
    more. Each `id` is a change token: with the last one as `Last-Event-ID` (browsers do that) or `since` the stream goes on from there,
    without a snapshot, and `ready` comes when it has caught up. `resync` says why it can't go on; a new `reset` or the end follows.

    A task is told at most four times a second, as it is then. Relative times in the filter go from the moment of the connection; that time
    passes makes nothing change. The `id` member is always there, whatever `fields` names.
    """
    fields = None if wanted.fields is None else f"id,{wanted.fields}"  # without the id nobody knows which task it is
    if fields is not None:
        parse_selection(fields)
    view = View(parsed(wanted.filters, clock()), fields, wanted.extension)
    if last_event_id is None and wanted.since is not None:
        from_token(wanted.since)
    client = None if served.access.is_open else asking.name
    return EventStream(request.app.state.hub, view, last_event_id or wanted.since, client, served.stopping, served.meters.streams_dropped)


class EventStream(Response):
    """The stream of one client, until it goes, is too slow, or the server stops. Raises `Problem` where there are too many."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, view: View, since: str | None, client: str | None, stopping: asyncio.Event, dropped: Counter) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub, self._view, self._since, self._client, self._stopping, self._dropped = hub, view, since, client, stopping, dropped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Serve it."""
        slow = asyncio.Event()
        with self._hub.stream(self._client):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            sending = asyncio.create_task(_send(events(self._hub, self._view, self._since, slow), send))
            going = asyncio.create_task(_gone(receive))
            others = [going, *(asyncio.create_task(each.wait()) for each in (slow, self._stopping))]
            try:
                await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, *others):
                    task.cancel()
                await asyncio.gather(sending, *others, return_exceptions=True)
            if not sending.cancelled() and (error := sending.exception()) is not None:
                raise error
            if slow.is_set():
                self._dropped.inc()
            if going.cancelled():
                last = _resync("the client takes its events too slowly") if slow.is_set() else b""
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL_S):
                        await send({"type": "http.response.body", "body": last, "more_body": False})


async def _send(chunks: AsyncGenerator[bytes, None], send: Send) -> None:
    async with aclosing(chunks):
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _resync(reason: str) -> bytes:
    return event("resync", orjson.dumps({"reason": reason}))


async def events(hub: Hub, view: View, since: str | None, slow: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """All that a client is sent. ``slow`` is set when the client does not take it."""
    yield b"retry: %d\n\n" % RETRY_MS
    while True:
        follower = Follower(view, slow)
        try:
            async with AsyncExitStack() as joined:
                if since is not None:
                    await _resume(hub, follower, since)
                begin = _snapshot(hub, follower, joined) if since is None else _catch_up(hub, follower, joined, resumed=True)
                for part in (begin, _ticks(follower)):
                    async with aclosing(part) as chunks:
                        async for chunk in chunks:
                            yield chunk
            reason, again = follower.lost, follower.again
        except (Resync, StoreChanged) as error:
            reason, again = str(error), True
        except TrackerError as error:
            reason, again = str(error), False
        yield _resync(reason)
        if not again:
            return
        since = None


async def _snapshot(hub: Hub, follower: Follower, joined: AsyncExitStack) -> AsyncGenerator[bytes, None]:
    """``reset``, ``snapshot`` and ``ready``. Each page is of its own moment: what changed since the first is told afterwards.

    Who has all on one page joins the others in the same turn: with hundreds that come at once, each would have to be told seconds of changes.
    """
    lens, where = Lens(follower.view), follower.view.where

    def page(snapshot: Snapshot, after: Key | None = None) -> tuple[list[str], list[bytes], Key | None]:
        scan = Scan(SCAN_LIMIT)
        ids, tasks, size_bytes = list[str](), list[bytes](), 0
        for row in snapshot.rows(where, BY_ID, after=after, limit=PAGE_TASKS, scan=scan):
            ids.append(row.id)
            tasks.append(lens.json(snapshot, row))
            size_bytes += len(tasks[-1])
            if size_bytes > PAGE_BYTES or len(ids) == PAGE_TASKS:
                return ids, tasks, row.key
        return ids, tasks, scan.last if scan.ended else None

    def first(snapshot: Snapshot) -> tuple[int, str, bytes, tuple[list[str], list[bytes], Key | None]]:
        revision = snapshot.revision()
        return revision, to_token(snapshot.store, revision), place(snapshot, clock()), page(snapshot)

    missed_ticks: list[Tick] | None = None
    async with hub.turns:
        follower.base, follower.token, at, (ids, tasks, after) = await hub.tasks.ask(first)
        if where is not None:
            follower.shown = set()
        if after is None:
            missed_ticks, _ = await _join(hub, follower, lens, joined, is_known=True)
    yield event("reset", at, "")  # who is cut off before it has all must not go on from a token of before
    while True:
        follower.show(ids)
        if tasks:
            yield event("snapshot", b"[%b]" % b",".join(tasks))
        if after is None:
            break
        ids, tasks, after = await hub.read(partial(page, after=after))
    yield event("ready", at, follower.token)
    if missed_ticks is not None:
        for message in follower.catch_up(missed_ticks):
            yield message
    else:
        async with aclosing(_catch_up(hub, follower, joined, resumed=False)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _resume(hub: Hub, follower: Follower, since: str) -> None:
    """Go on from a token. Raises `StoreChanged` or `Resync`."""
    try:
        held = from_token(since)
    except UsageError as error:
        raise Resync(str(error)) from None

    def begin(snapshot: Snapshot) -> tuple[int, int]:
        revision = revision_in(snapshot, held)
        return revision, snapshot.changed_count(revision, MAX_BEHIND + 1)

    follower.base, behind = await hub.read(begin)
    follower.token = since
    if behind > MAX_BEHIND:
        raise Resync(f"more than {MAX_BEHIND:,} tasks have changed since the token")


async def _catch_up(hub: Hub, follower: Follower, joined: AsyncExitStack, *, resumed: bool) -> AsyncGenerator[bytes, None]:
    """What changed since the follower's base, until it has joined the others (then ``ready``, if it has not had that)."""
    lens = Lens(follower.view)

    def some(snapshot: Snapshot) -> Tick:
        return missed(snapshot, follower.base, follower.view, lens, clock())

    def is_far(snapshot: Snapshot) -> bool:
        return snapshot.changed_count(follower.base, MISSED_IDS + 1) > MISSED_IDS

    while await hub.tasks.ask(is_far, small=True):
        for message in follower.catch_up([await hub.read(some)]):
            yield message
    is_known = follower.view.where is None or follower.shown is not None
    async with hub.turns:
        made, shown = await _join(hub, follower, lens, joined, is_known=is_known)
    for message in follower.catch_up(made):
        yield message
    if not is_known:
        follower.shown = shown
    if resumed:
        yield event("ready", made[-1].at, follower.token)


async def _join(hub: Hub, follower: Follower, lens: Lens, joined: AsyncExitStack, *, is_known: bool) -> tuple[list[Tick], set[str] | None]:
    """The follower gets every tick from now on. What it has missed until then, and, unless it ``is_known`` what it was shown, the ids of all that matches.

    It is its turn: between the first tick that is kept for it and the last that it has missed there is no waiting.
    """

    def rest(snapshot: Snapshot) -> tuple[list[Tick], set[str] | None]:
        made = [missed(snapshot, follower.base, follower.view, lens, clock())]
        while not made[-1].is_all:
            made.append(missed(snapshot, made[-1].revision, follower.view, lens, clock()))
        return made, None if is_known else _matching(snapshot, follower.view)

    await joined.enter_async_context(hub.following(follower))
    return await hub.tasks.ask(rest)


def _matching(snapshot: Snapshot, view: View) -> set[str] | None:
    """The ids of all that matches now; None where they are too many to keep, or too many tasks would have to be looked at to find them."""
    scan = Scan(SCAN_LIMIT)
    ids = {row.id for row in islice(snapshot.rows(view.where, BY_ID, scan=scan), MAX_SHOWN + 1)}
    return None if scan.ended or len(ids) > MAX_SHOWN else ids


async def _ticks(follower: Follower) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    due = loop.time() + HEARTBEAT_S
    while not follower.lost:
        follower.woken.clear()
        while follower.waiting:
            if (message := follower.message(follower.take())) is not None:
                yield message
                due = loop.time() + HEARTBEAT_S
        try:
            async with asyncio.timeout_at(due):
                await follower.woken.wait()
        except TimeoutError:
            # A token without data tells a browser where to go on from, and no more.
            yield b": still here\nid: %b\n\n" % follower.token.encode()
            due = loop.time() + HEARTBEAT_S
