"""What a read costs beside the bare SQL for the same rows, in the same run, and whether a page gets slower with depth.

A read is `TaskQuery` in an event loop and ``orjson.dumps`` of what it gives. It may take twice the time of the bare SQL (the standard
module, a connection of its own, the best statement for the rows) plus serialisation (states from their bytes, documents and JSON of the
same rows, timed apart). All are taken turn by turn, so that a drifting machine drifts for all of them.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Awaitable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson
from sqlalchemy import not_, select
from sqlalchemy.dialects import sqlite

from bench import read_store
from bench.timings import Depth, Read, Timings, in_turns
from tracker.fold import view
from tracker.fold.state import from_bytes
from tracker.query import TaskQuery, open_query
from tracker.query.clauses import clause, ordering
from tracker.query.filters import parse
from tracker.query.pages import parse_sorters, to_cursor
from tracker.stores import tables

GETS, PAGES, COUNTS, DEPTHS = 5_000, 500, 100, 60
"""Turns of each."""
DEEP_PAGE = 3_000
RUNNING = 'state eq "RUNNING"'
LIVING = "SELECT count(*) FROM task WHERE state IS NOT NULL"
ENDED = "SELECT {} FROM task WHERE completion_status IS NOT NULL"
BARE_GET = "SELECT registers FROM task WHERE id = ?"
BARE_RUNNING = "SELECT id, revision, registers FROM task WHERE state = 'RUNNING' ORDER BY modified DESC, id LIMIT 251"
BARE_COUNTS = {
    "state": "SELECT state, count(*) FROM task WHERE state IS NOT NULL GROUP BY state",
    # For the whole answer, null too: a GROUP BY over all living tasks has no index and is far slower than what its partial index lacks.
    "completionStatus": (
        f"{ENDED.format('completion_status, count(*)')} GROUP BY completion_status "
        f"UNION ALL SELECT NULL, ({LIVING}) - ({ENDED.format('count(*)')})"
    ),
}
ENDED_ONLY = 'state eq "COMPLETED"'
INDEXED = [
    *((None, sorters) for sorters in ("id", "-id", "created", "-created", "modified", "-modified", "launched", "-completed")),
    *((ENDED_ONLY, sorters) for sorters in ("modified", "-modified")),
]
"""Filters and sorters that an index gives in order."""


def run(tasks: int) -> list[str]:
    """Measure and print; the names of what is over its bound."""
    path = read_store.made(tasks)
    # A full round of the cyclic collector takes 25 ms over all that is imported, and meets whatever runs just then; a server starts so too.
    gc.collect()
    gc.freeze()
    print("reads: each time as p50/p95/p99", flush=True)
    return asyncio.run(_measured(path, tasks))


async def _measured(path: Path, tasks: int) -> list[str]:
    over = []
    # As one would without the tracker: the module's defaults, its cache of statements.
    bare = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
    try:
        async with open_query(f"sqlite:///{path}") as query:
            results: list[Awaitable[Read | Depth]] = [
                _get(query, bare, tasks),
                _page(query, bare),
                *(_counts(query, bare, by) for by in BARE_COUNTS),
                *(_depth(query, bare, filters, sorters, tasks) for filters, sorters in INDEXED),
            ]
            for result in results:
                line = await result
                print(line, flush=True)
                if not line.holds:
                    over.append(line.name)
    finally:
        bare.close()
    return over


async def _get(query: TaskQuery, bare: sqlite3.Connection, tasks: int) -> Read:
    line = Read("one document by id", serialisation=Timings())
    model, thread = Timings(), Timings()
    line.told = {"get: the pydantic model": model, "to a thread and back, with nothing to do": thread}
    ids = Random(1).choices([read_store.task_id(number) for number in range(tasks)], k=GETS)
    registers = dict(_rows(bare, "SELECT id, registers FROM task WHERE id IN (SELECT value FROM json_each(?))", orjson.dumps(ids)))

    async def read(id: str) -> None:
        orjson.dumps(await query.document(id))

    async def read_bare(id: str) -> None:
        bare.execute(BARE_GET, (id,)).fetchone()

    async def serialise(id: str) -> None:
        _serialised(id, registers[id])

    async def in_thread(_: str) -> None:
        await asyncio.to_thread(int)

    async def get(id: str) -> None:
        await query.get(id)

    assert line.serialisation is not None
    steps = [(line.read, read), (line.bare, read_bare), (line.serialisation, serialise), (model, get), (thread, in_thread)]
    await in_turns(ids, steps)
    return line


async def _page(query: TaskQuery, bare: sqlite3.Connection) -> Read:
    line = Read(f"250 by {RUNNING}, -modified", serialisation=Timings())
    model = Timings()
    line.told = {"list: the pydantic models": model}
    rows = _rows(bare, BARE_RUNNING)[:250]
    page = await query.documents_page(RUNNING, "-modified", 250)
    assert [document["id"] for document in page.items] == [row[0] for row in rows]

    async def read(_: int) -> None:
        orjson.dumps((await query.documents_page(RUNNING, "-modified", 250)).items)

    async def read_bare(_: int) -> None:
        _rows(bare, BARE_RUNNING)

    async def serialise(_: int) -> None:
        orjson.dumps([view.view(id, from_bytes(registers)) for id, _, registers in rows])

    async def read_list(_: int) -> None:
        await query.list(RUNNING, "-modified", 250)

    assert line.serialisation is not None
    steps = [(line.read, read), (line.bare, read_bare), (line.serialisation, serialise), (model, read_list)]
    await in_turns(range(PAGES), steps)
    return line


async def _counts(query: TaskQuery, bare: sqlite3.Connection, by: str) -> Read:
    line = Read(f"counts by {by}")
    found = {value: count for value, count in _rows(bare, BARE_COUNTS[by]) if count}
    assert await query.count(by=by) == found

    async def read(_: int) -> None:
        orjson.dumps(await query.count(by=by), option=orjson.OPT_NON_STR_KEYS)

    async def read_bare(_: int) -> None:
        _rows(bare, BARE_COUNTS[by])

    await in_turns(range(COUNTS), [(line.read, read), (line.bare, read_bare)])
    return line


async def _depth(query: TaskQuery, bare: sqlite3.Connection, filters: str | None, sorters: str, tasks: int) -> Depth:
    limit = min(250, tasks * 9 // 10 // DEEP_PAGE)
    line = Depth(f"{limit} by {sorters}{f', {filters}' if filters else ''}", DEEP_PAGE)
    order = parse_sorters(sorters)
    statement = select(*(tables.task.c[sort.field.column] for sort in order), tables.task.c.id).where(not_(tables.task.c.deleted))
    if filters:
        statement = statement.where(clause(parse(filters)))
    statement = statement.order_by(*map(ordering, order)).limit(limit + 1).offset((DEEP_PAGE - 1) * limit - 1)
    last, *expected = _rows(bare, str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})))
    cursor = to_cursor(order, tuple(last[: len(order)]))
    page = await query.documents_page(filters, sorters, limit, cursor)
    assert [document["id"] for document in page.items] == [row[-1] for row in expected]

    async def first(_: int) -> None:
        await query.documents_page(filters, sorters, limit)

    async def deep(_: int) -> None:
        await query.documents_page(filters, sorters, limit, cursor)

    await in_turns(range(DEPTHS), [(line.first, first), (line.deep, deep)])
    return line


def _rows(bare: sqlite3.Connection, statement: str, *values: object) -> Sequence[Any]:
    return bare.execute(statement, values).fetchall()


def _serialised(id: str, registers: bytes) -> None:
    state = from_bytes(registers)
    if not state.deleted:
        orjson.dumps(view.view(id, state))
