"""Files into a real PostgreSQL on this machine, beside a consumer as one writes it by hand: an upsert an event, committed per batch or per event.

The consumer keeps the last word of each event and nothing else: no order, no duplicates, no position, no bytes. It is what the product's
guarantees are compared with, not a product.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import orjson
import psycopg

from bench.measure import Figure, rounds
from bench.store_road import shares
from tests.services.postgres import Server, drop_database, new_database, start_server
from tracker.projector import Options, Projector
from tracker.replay import replay
from tracker.sources.jsonl import JsonlSource
from tracker.stores.open import open_store

BATCH = 10_000
EACH_COMMITTED = 5_000
"""Events of the log's beginning that are committed one by one: all would take minutes."""
_TABLE = "CREATE TABLE task (id text PRIMARY KEY, kind text, state text, launcher text, percent int, document jsonb, modified timestamptz)"
_UPSERT = """
INSERT INTO task (id, kind, state, launcher, percent, document, modified) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, state = excluded.state, launcher = coalesce(excluded.launcher, task.launcher),
  percent = coalesce(excluded.percent, task.percent), document = task.document || excluded.document, modified = excluded.modified
"""
_STATES = {"created": "PENDING", "launched": "RUNNING", "completed": "COMPLETED"}


def figures(lines: Sequence[bytes], count: int) -> list[Figure]:
    """The product's two ways in, and the consumer's two."""
    server = start_server(17)
    try:
        with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
            log = Path(folder) / "events.jsonl"
            log.write_bytes(b"".join(line + b"\n" for line in lines))
            return [
                rounds(Figure("replay into PostgreSQL", None), count, lines, lambda: _replay(server, log)),
                _streamed(server, log, lines, count),
                rounds(Figure(f"by hand, upserts, a commit each {BATCH:,}", None), count, lines, lambda: _by_hand(server, lines, BATCH)),
                rounds(
                    Figure("by hand, upserts, a commit each", None),
                    count,
                    lines[:EACH_COMMITTED],
                    lambda: _by_hand(server, lines[:EACH_COMMITTED], 1),
                ),
            ]
    finally:
        server.stop()


@contextmanager
def _database(server: Server) -> Iterator[str]:
    url = new_database(server)
    try:
        yield url
    finally:
        drop_database(server, url)


def _replay(server: Server, log: Path) -> float:
    with _database(server) as url:
        return replay([str(log)], url).seconds


def _streamed(server: Server, log: Path, lines: Sequence[bytes], count: int) -> Figure:
    figure = Figure(f"streamed into PostgreSQL, batches of {BATCH:,}", None)

    def once() -> float:
        with _database(server) as url, open_store(url) as store:
            projector = Projector(lambda _: JsonlSource([str(log)]), store, options=Options(max_batch_records=BATCH))
            totals = asyncio.run(projector.run())
            figure.notes = shares(projector.projection.seconds, totals.seconds)
            return totals.seconds

    return rounds(figure, count, lines, once)


def _by_hand(server: Server, lines: Sequence[bytes], batch: int) -> float:
    with _database(server) as url, psycopg.connect(url) as connection:
        connection.execute(_TABLE)
        connection.commit()
        started = perf_counter()
        for begin in range(0, len(lines), batch):
            for line in lines[begin : begin + batch]:
                event = orjson.loads(line)
                kind, data = event["type"].rpartition(".")[2], event.get("data") or {}
                values = (event.get("subject"), kind, _STATES.get(kind), data.get("launcher"), data.get("percentComplete"))
                connection.execute(_UPSERT, (*values, orjson.dumps(data).decode(), event.get("time")))
            connection.commit()
        return perf_counter() - started
