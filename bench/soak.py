"""A browser in front of the list of tasks while 1,000 changes a second come in: how long its main thread is held, what its memory does.

``python -m bench soak --seconds 60``. The store begins with some thousand tasks; the changes are written straight into it, so that what is
measured is the page and not the reading of a log. Needs Chromium. Bounds: no task of the main thread over 200 ms, and no more
memory in the last third than half as much again as in the first (after a collection).
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.naive import workload
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns
from tracker.model.records import Record
from tracker.query.api import open_query
from tracker.stores.base import Commit, Write
from tracker.stores.open import open_store
from tracker.web.app import create_app
from tracker.web.server import listening, serve, url_of

TASKS = 5_000
COMMIT_S = 0.1
"""Between two commits, each of so many tasks as make the rate."""
STEPS = 8
BLOCK_MS, GROWTH = 200.0, 1.5
CHROMIUM = "/usr/bin/chromium"
WATCH = """
window.blocks = [];
new PerformanceObserver((list) => { for (const each of list.getEntries()) window.blocks.push(each.duration); }).observe({ type: "longtask", buffered: true });
"""


class Changes:
    """The writer: each change is the next event of some task."""

    def __init__(self, url: str, rate: int) -> None:
        self._url, self._rate = url, rate
        self._decode, self._step = Decoder().decode, [0] * TASKS
        self._next = 0
        self.written = 0

    def commit(self, store: Any, count: int) -> None:
        """The next event of so many tasks, round and round; a task that has ended begins its next attempt."""
        events: dict[str, TaskEvent] = {}
        for _ in range(count):
            number, self._next = self._next, (self._next + 1) % TASKS
            step = self._step[number]
            self._step[number] += 1
            line = workload.line(number, step % STEPS, STEPS, 0)
            line = line.replace(b'"specversion"', b'"attempt":%d,"specversion"' % (step // STEPS + 1), 1)
            event = self._decode(Record("log", 0, 0, line))
            assert isinstance(event, TaskEvent)
            events[event.task_id] = event
        held, writes = store.load(list(events)), []
        for id, event in events.items():
            state = from_bytes(held[id].registers) if id in held else TaskState()
            fold(state, [event])
            writes.append(Write(id, to_bytes(state), columns(id, state), held[id].revision if id in held else None))
        store.commit(Commit(writes=writes))
        self.written += len(writes)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """At the rate, in a thread, as far as the machine lets it."""
        stop = threading.Event()

        def run() -> None:
            began, done = monotonic(), 0
            with open_store(self._url) as store:
                while not stop.is_set():
                    due = int((monotonic() - began) * self._rate) - done
                    if due > 0:
                        self.commit(store, min(due, self._rate))
                        done += due
                    stop.wait(COMMIT_S)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def _served(url: str) -> Iterator[str]:
    ready, ends, told = threading.Event(), list[Any](), list[str]()

    async def run() -> None:
        loop, stop, opened = asyncio.get_running_loop(), asyncio.Event(), listening("127.0.0.1:0")
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        told.append(url_of(opened))
        await serve(create_app(open_query(url)), opened, stop, on_started=ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(15)
        yield told[0]
    finally:
        for end in ends:
            end()
        thread.join()


def run(seconds: float, rate: int = 1_000) -> list[str]:
    """Measure and print; the names of what is over its bound."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="tracker-soak-") as folder, sync_playwright() as playwright:
        url = f"sqlite:///{Path(folder)}/status.db"
        changes = Changes(url, rate)
        with open_store(url) as store:
            for _ in range(2 * TASKS // 1_000):
                changes.commit(store, 1_000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with _served(url) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(WATCH)
            page.goto(address)
            page.locator("#panels-facets .facets-box").wait_for()
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            tools = page.context.new_cdp_session(page)
            heaps, written = [], changes.written
            page.evaluate("window.blocks.length = 0")
            with changes.going_on():
                began = monotonic()
                while monotonic() - began < seconds:
                    sleep(max(1.0, seconds / 12))
                    tools.send("HeapProfiler.collectGarbage")
                    heaps.append(tools.send("Runtime.getHeapUsage")["usedSize"])
                took = monotonic() - began
            blocks, shown = page.evaluate("window.blocks"), page.locator("#pill").inner_text()
        browser.close()
    longest = max(blocks, default=0.0)
    third = max(1, len(heaps) // 3)
    first, last = sum(heaps[:third]) / third, sum(heaps[-third:]) / third
    print(f"soak: {(changes.written - written) / took:,.0f} changes a second for {took:.0f} s; first paint after {paint:.0f} ms; {shown}")
    print(f"  main thread: longest task {longest:.0f} ms, {len(blocks)} over 50 ms; heap {first / 1e6:.1f} MB, then {last / 1e6:.1f} MB")
    return [*(["soak: main thread"] if longest > BLOCK_MS else []), *(["soak: memory"] if last > GROWTH * first else [])]
