"""The whole product in a thread of its own: a log in a file, the projector that follows it, and the server over its store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tracker.emit.open import open_emitter
from tracker.model.events import CloudEvent
from tracker.projector import Projector
from tracker.query.api import open_query
from tracker.sources.open import open_source
from tracker.stores.open import open_store
from tracker.testing import events
from tracker.web.access import Access
from tracker.web.app import create_app
from tracker.web.corrections import Corrections
from tracker.web.meters import Meters
from tracker.web.server import listening, serve, url_of

IDS = ("a", "b/c", "d%2Fe", "f g?#", "ü€", "g" * 256, "..", "why", "task-1", "task-2", "task-3", "task-4")


def write_log(path: Path) -> None:
    """Tasks in every state, some of kin, one deleted, and lines that will be parked for three reasons."""
    lines = [event.to_json() for id in IDS for event in _life(id)]
    lines += [events.created("gone").to_json(), events.deleted("gone").to_json()]
    lines += [b"{", b"[]", b'{"specversion":"1.0","type":"io.tracker.task.created","source":"s","id":"1","subject":"x"}', b"\xff\xfe"]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def _life(id: str) -> Iterator[CloudEvent]:
    number = IDS.index(id)
    kin = {"parent_id": IDS[number - 1]} if number % 3 else {}
    yield events.created(id, time=events.seconds(number), launcher="sweep", attributes={"n": number, "deep": {"z": [1.5, None]}}, **kin)
    if number % 4:
        yield events.launched(id, time=events.seconds(number + 60))
        yield events.messaged(id, "half way")
        yield events.returned(id)
    if number % 4 > 1:
        yield events.completed(id, time=events.seconds(number + 120), completion_status=("SUCCESS", "ERROR")[number % 2])


@contextmanager
def whole(folder: Path, listen: str = "127.0.0.1:0", access: Access | None = None) -> Iterator[str]:
    """Its URL; it is there, and has read the log, when this is entered. A log that is there already is gone on with."""
    log, url = str(folder / "events.jsonl"), f"sqlite:///{folder}/status.db"
    if not Path(log).exists():
        write_log(Path(log))
    ready, told = threading.Event(), list[str]()
    ends: list[object] = []

    async def run() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        meters, opened = Meters(), listening(listen)
        with open_store(url) as store:
            projector = Projector(
                lambda on_revoked: open_source(log, follow=True, on_revoked=on_revoked), store, on_progress=meters.on_progress
            )
            projecting = asyncio.create_task(projector.run())
            app = create_app(
                open_query(url),
                access=access,
                corrections=Corrections(log, partial(open_emitter, log)),
                writable=lambda: open_store(url, create=False),
                meters=meters,
            )
            serving = asyncio.create_task(serve(app, opened, stop))
            async with open_query(url) as tasks, asyncio.timeout(10), tasks.commits() as committed:
                while (await tasks.status()).counters.parked < 4:
                    committed.clear()
                    await committed.wait()
            told.append(url_of(opened))
            ready.set()
            await serving
            projector.stop()
            await projecting

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(15), "it did not start"
        yield told[0]
    finally:
        for end in ends:
            end()  # type: ignore[operator]
        thread.join(15)
