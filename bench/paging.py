"""Pages and streams while a projector in another process commits 5,000 events a second into the same SQLite file.

What must hold is that no walk misses a task that existed throughout, or gives one twice; see `tests.suites.busy_store`. The rates are told.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from time import perf_counter

from tests.suites.busy_store import Walks, written
from tracker.query import open_query

TASKS, EVENTS_PER_S = 20_000, 5_000
RATE_AT_LEAST = 0.98
"""Of the events that are due, those that the store has in the end: what is on its way is not counted."""


def run(seconds: float) -> list[str]:
    """Walk for so long and print; the names of what does not hold."""
    return asyncio.run(_walked(seconds))


async def _walked(seconds: float) -> list[str]:
    over: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
        path = Path(folder) / "status.db"
        with written(path, TASKS, EVENTS_PER_S) as writer:
            async with open_query(f"sqlite:///{path}") as tasks:
                walks = Walks(tasks, TASKS)
                began, before = perf_counter(), writer.events
                try:
                    while perf_counter() - began < seconds:
                        for walk in walks.each():
                            await walk
                except AssertionError as error:
                    over.append(f"paging {error}")
                took = perf_counter() - began
                events = (writer.events - before) / took
    if events < RATE_AT_LEAST * EVENTS_PER_S:
        over.append("events a second while paging")
    moved = ", ".join(f"{count:,} by {sorters}" for sorters, count in sorted(walks.moved.items()))
    print(
        f"pages of {walks.limit} while a projector writes, {took:.0f} s: {events:,.0f} events/s [at least "
        f"{RATE_AT_LEAST * EVENTS_PER_S:,.0f}], {walks.pages / took:,.0f} pages/s, {walks.done} walks and streams: "
        f"{'OVER: ' + '; '.join(over) if over else 'no task missing, none twice: ok'}\n"
        f"    tasks that moved past a walk or in front of it, in orders by what the events change: {moved or 'none'}",
        flush=True,
    )
    return over
