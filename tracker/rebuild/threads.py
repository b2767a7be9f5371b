"""Work in a thread that is waited for, also by who is cancelled: a connection that is closed while a thread is in it ends the process (SIGSEGV)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The work was given up, as nobody waits for its result any more."""


async def in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """What the work gives. A cancelled caller sets ``stop``, and goes on when the work has ended."""
    # Not a task: those are all cancelled at once where a signal ends the loop, and the thread would go on.
    working = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([working])
        working.exception()  # looked at, so that asyncio does not complain
        raise


def heed(stop: threading.Event) -> None:
    """Called by work that takes long, now and then."""
    if stop.is_set():
        raise Stopped
