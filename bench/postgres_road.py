"""Files into a real PostgreSQL on this machine, beside what a consumer written by hand does with their events (`bench.by_hand`)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from bench import by_hand
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
    with _database(server) as url, by_hand.table(url) as connection:
        started = perf_counter()
        for begin in range(0, len(lines), batch):
            by_hand.write(connection, lines[begin : begin + batch])
        return perf_counter() - started
