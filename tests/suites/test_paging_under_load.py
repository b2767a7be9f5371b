"""Pages and streams of a store that a projector writes 5,000 events a second to."""

from __future__ import annotations

from time import perf_counter

import pytest

from tests.suites.busy_store import Walks, written
from tracker.query import open_query

EVENTS_PER_S = 5_000
SECONDS = 4.0


@pytest.mark.slow
async def test_a_walk_gives_each_task_once_while_a_projector_writes(tmp_path):
    """Page by page in several orders, and streamed: no task that existed throughout is missing, none comes twice."""
    path = tmp_path / "status.db"
    with written(path, 4_000, EVENTS_PER_S) as writer:
        async with open_query(f"sqlite:///{path}") as tasks:
            walks = Walks(tasks, 4_000, limit=100)
            before = writer.events
            deadline = perf_counter() + SECONDS
            while perf_counter() < deadline:
                for walk in walks.each():
                    await walk
                assert writer.events > before
                before = writer.events
