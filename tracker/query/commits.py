"""Who wants to know of commits is woken: one thread a reader waits for all of them, and there is none while nobody waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tracker.errors import NotFound, StoreError
from tracker.query.base import CommitWait

RETRY_S = 0.25
"""After an error of the store, which those that are woken meet themselves."""


class Commits:
    """Wakes its listeners when the store may have a new commit. ``make`` gives what waits; it is used and closed by one thread."""

    def __init__(self, make: Callable[[], CommitWait]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        """Changed by the listeners, read by the thread; both under the lock."""
        self._end: Callable[[], None] | None = None
        """Ends the thread that runs now."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set after every commit, now and then without one. Clear it, read the store, wait for it: so nothing is missed."""
        event = asyncio.Event()
        with self._lock:
            self._listeners[event] = asyncio.get_running_loop()
            if self._end is None:
                self._start()
        try:
            yield event
        finally:
            with self._lock:
                del self._listeners[event]
                if not self._listeners and self._end is not None:
                    self._end()
                    self._end = None

    def _start(self) -> None:
        stop, waiting = threading.Event(), list[CommitWait]()

        def end() -> None:
            stop.set()
            for each in waiting:
                each.wake()

        self._end = end
        threading.Thread(target=self._run, args=(stop, waiting), name="tracker-commits", daemon=True).start()

    def _run(self, stop: threading.Event, waiting: list[CommitWait]) -> None:
        while not stop.is_set():
            try:
                wait = self._make()
                waiting.append(wait)
                try:
                    while wait.wait(stop):
                        self._wake(stop)
                finally:
                    waiting.clear()
                    wait.close()
            except (NotFound, StoreError):
                self._wake(stop)
                stop.wait(RETRY_S)

    def _wake(self, stop: threading.Event) -> None:
        with self._lock:
            if stop.is_set():  # those who listen now have a thread of their own
                return
            for event, loop in self._listeners.items():
                with suppress(RuntimeError):  # its loop was closed
                    loop.call_soon_threadsafe(event.set)
