"""Whether a worker gets on: a thread beside it that counts the seconds without progress and, when they are too many, says where it hangs.

Progress is what moves for the first time: a commit that went through, or a chunk of records that this worker had not folded before. So a
slow batch of a cold store is progress, and a batch that is dropped and read again for ever is none. Seconds count only while there are
records to read, by the last word on where the logs end (of Kafka the last stable offset, so markers and open transactions are no records),
or while the event loop does not turn at all. They are counted in ticks: a process that was stopped, or a machine that slept, is not stuck.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec

from tracker import stacks, telemetry
from tracker.telemetry import say

STUCK_AFTER_S = 60.0
"""A worker that has records to read and has not moved for so long is unhealthy. The slowest commits (10,000 tasks of a cold store of
millions) take some seconds, and a rebalance that waits for a silent member 30."""
TICK_S = 1.0


class Sight(msgspec.Struct, frozen=True):
    """A worker as the watch sees it at one moment."""

    advanced: int
    """Goes up with all progress."""
    lag_records: int | None
    """None: it has partitions and has not come to reading yet, so that it can't know; that should take no time either."""
    stage: str
    """What the loop and the worker thread are at, in words."""


class Watch:
    """Looks at a worker once a tick, from ``with`` on. ``on_exit`` is called once, with the sentence, after ``exit_after_s`` (None: never).

    ``threads`` gives the thread ids by name, for their stacks; ``main`` the task that reads.
    """

    def __init__(
        self,
        look: Callable[[], Sight],
        threads: Callable[[], dict[str, int]],
        main: asyncio.Task[Any] | None,
        *,
        stuck_after_s: float = STUCK_AFTER_S,
        exit_after_s: float | None = None,
        on_exit: Callable[[str], None] = lambda _: None,
        tick_s: float | None = None,
    ) -> None:
        self._look, self._threads, self._main = look, threads, main
        self._exit_after_s, self._on_exit, self._tick_s = exit_after_s, on_exit, TICK_S if tick_s is None else tick_s
        self._stuck_after_s = stuck_after_s if exit_after_s is None else min(stuck_after_s, exit_after_s)
        self._loop = asyncio.get_running_loop()
        self._turned = False
        """Set by the event loop when it has turned since the last tick."""
        self._advanced = -1
        self._still_s = self._silent_s = 0.0
        """Without progress while there was lag; without a turn of the event loop."""
        self._lag_records: int | None = None
        """As it was last known since there was progress: who begins over and over has one only now and then."""
        self._exited = False
        self.trouble: str | None = None
        """A sentence while the worker is stuck."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._tick_s):
            self.tick()

    def _turn(self) -> None:
        self._turned = True

    def tick(self) -> None:
        """One look, which stands for ``tick_s`` seconds however late it comes."""
        sight = self._look()
        still = sight.advanced == self._advanced and sight.lag_records != 0
        self._still_s = self._still_s + self._tick_s if still else 0.0
        if sight.lag_records is not None or not still:
            self._lag_records = sight.lag_records
        self._silent_s = 0.0 if self._turned else self._silent_s + self._tick_s
        self._advanced, self._turned = sight.advanced, False
        self._loop.call_soon_threadsafe(self._turn)
        seconds = max(self._still_s, self._silent_s)
        if seconds < self._stuck_after_s:
            if self.trouble is not None:
                say(telemetry.WORKER_MOVES, stage=sight.stage)
            self.trouble = None
            return
        is_new = self.trouble is None
        self.trouble = f"{self._what()} for {seconds:.0f} s: {sight.stage}"
        if is_new:
            say(telemetry.WORKER_STUCK, trouble=self.trouble, stacks=self._stacks())
        if self._exit_after_s is not None and seconds >= self._exit_after_s and not self._exited:
            self._exited = True
            self._on_exit(self.trouble)

    def _what(self) -> str:
        if self._silent_s >= self._still_s:
            return "the event loop does not turn"
        lag = self._lag_records
        return "partitions to read and no beginning" if lag is None else f"{lag:,} records to read and no progress"

    def _stacks(self) -> str:
        told = stacks.of_threads({ident: name for name, ident in self._threads().items()})
        if self._main is not None:
            told.append(f"reading task: {stacks.of_task(self._main)}")
        return "; ".join(told)
