"""The dashboard's first page (table and chips) and what follows it (facets, histogram), over HTTP, for a store of so many tasks.

``python -m bench dashboard``: times at the server as p50/p95, each turn by turn with a page of the API for the same rows, which tells what
of it is reading and what is HTML. Bounds are for a machine of its own: 300 ms for the first page, 1.5 s for what follows (p95).
"""

from __future__ import annotations

import asyncio
from time import perf_counter

import httpx

from bench import read_store
from bench.timings import Timings
from tracker.query.api import open_query
from tracker.web.app import create_app
from tracker.web.markup import assets
from tracker.web.server import listening, serve, url_of

TURNS, SLOW_TURNS = 40, 8
FIRST_S, PANELS_S, ASSET_BYTES = 0.3, 1.5, 100_000
FIRST = {
    "all tasks": "/",
    "what runs": '/?filters=state eq "RUNNING"',
    "what failed": '/?filters=completionStatus eq "ERROR"',
    "what one launcher did": '/?filters=launcher eq "sweep"',
    "a bare page of the API": "/api/tasks?limit=50&sorters=-modified",
}
PANELS = {
    "facets and histogram of all tasks": "/?part=panels",
    "of what failed": '/?part=panels&filters=completionStatus eq "ERROR"',
    "of all tasks, as created": "/?part=panels&over=created",
}


def run(tasks: int) -> list[str]:
    """Measure and print; the names of what is over its bound."""
    return asyncio.run(_measured(f"sqlite:///{read_store.made(tasks)}", tasks))


async def _measured(url: str, tasks: int) -> list[str]:
    app, stop, opened = create_app(open_query(url)), asyncio.Event(), listening("127.0.0.1:0")
    running = asyncio.create_task(serve(app, opened, stop))
    over = []
    try:
        async with httpx.AsyncClient(base_url=url_of(opened), timeout=60) as client:
            print(f"dashboard: {tasks:,} tasks; each time as p50/p95/p99", flush=True)
            for pages, turns, bound_s in ((FIRST, TURNS, FIRST_S), (PANELS, SLOW_TURNS, PANELS_S)):
                timings = {name: Timings() for name in pages}
                sizes = dict.fromkeys(pages, 0)
                for turn in range(turns + 1):
                    for name, path in pages.items():
                        began = perf_counter()
                        answer = await client.get(path)
                        if turn:  # the first one fills caches, and compiles templates
                            timings[name].seconds.append(perf_counter() - began)
                        sizes[name] = answer.num_bytes_downloaded
                        assert answer.status_code == 200, (path, answer.text[:300])
                for name, times in timings.items():
                    print(f"  {name:<36} {times}  {sizes[name] / 1000:,.1f} kB", flush=True)
                    if times.at(95) > bound_s and name in ("all tasks", "facets and histogram of all tasks"):
                        over.append(f"dashboard: {name}")
    finally:
        stop.set()
        await running
    sent = sum(len(asset.compressed) for asset in assets()[1].values())
    print(f"  all files that pages load: {sent / 1000:,.1f} kB compressed")
    return over + (["dashboard: files"] if sent > ASSET_BYTES else [])
