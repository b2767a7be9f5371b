"""Ends in good order: what SIGINT and SIGTERM do to a command, and a process that ends even if its end hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from tracker import stacks, telemetry
from tracker.errors import Stuck
from tracker.telemetry import say

T = TypeVar("T")

HANGS_S = 10.0
"""A stop takes 5 seconds at most where nothing hangs. Ending without it is a crash, which costs nothing that is committed."""
TELLING_S = 1.0
LEFT_S, AGAIN_S = 2.0, 0.1
"""So long what is left of tasks is cancelled, and so often: some swallow a cancellation (aiokafka's, that wait for another task), while asyncio.run asks
once and then waits for ever."""


class Guard:
    """Ends the process HANGS_S after it was armed, unless it is dismissed before."""

    def __init__(self) -> None:
        self._dismissed = threading.Event()
        self._is_armed = False

    def arm(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """From now on, once; ``loop`` is the one whose tasks are told."""
        if not self._is_armed:
            self._is_armed = True
            threading.Thread(target=self._wait, args=(loop,), name="tracker-stop-guard", daemon=True).start()

    def dismiss(self) -> None:
        """The end has come by itself."""
        self._dismissed.set()

    def _wait(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self._dismissed.wait(HANGS_S):
            return
        # Who hangs may hold the log's lock: telling it gets a second.
        end = threading.Timer(TELLING_S, os._exit, (Stuck.exit_code,))
        end.daemon = True
        end.start()
        try:
            say(telemetry.RUN_HANGS, seconds=HANGS_S, stacks=stacks.of_process(loop))
        finally:
            os._exit(Stuck.exit_code)


_guard: ContextVar[Guard | None] = ContextVar("tracker_stop_guard", default=None)


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run; but once a signal has asked for the end, it comes within HANGS_S, or says what hangs and exits with `Stuck`'s code."""
    guard = Guard()
    token = _guard.set(guard)
    try:
        return asyncio.run(_to_its_end(main))
    finally:
        guard.dismiss()
        _guard.reset(token)


async def _to_its_end(main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    try:
        return await main
    finally:
        until = loop.time() + LEFT_S
        while (left := asyncio.all_tasks() - {asyncio.current_task()}) and loop.time() < until:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=AGAIN_S)


@contextlib.contextmanager
def on_signals(then: Callable[[signal.Signals], object]) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM call ``then`` instead of ending the process; a second SIGINT ends it as usual."""
    loop, guard = asyncio.get_running_loop(), _guard.get()

    def end(number: signal.Signals) -> None:
        if guard is not None:
            guard.arm(loop)
        then(number)
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def exit_soon(trouble: str) -> None:
    """The run of a stuck worker is asked to end in order; a thread or a loop that hangs can't, so the process ends all the same."""
    say(telemetry.WORKER_EXITS, trouble=trouble)
    Guard().arm()
