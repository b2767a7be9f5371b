"""A consumer as one writes it by hand: an upsert an event into PostgreSQL, committed per batch or per event.

It keeps the last word of each event and nothing else: no order, no duplicates, no position, no bytes. It is what the product's
guarantees are compared with, not a product.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter

import orjson
import psycopg
from aiokafka import AIOKafkaConsumer

POLLED = 500
"""Records at least, whose offsets are committed after all of them; of many more the upserts would take longer than the session lasts."""
_TABLE = "CREATE TABLE task (id text PRIMARY KEY, kind text, state text, launcher text, percent int, document jsonb, modified timestamptz)"
_UPSERT = """
INSERT INTO task (id, kind, state, launcher, percent, document, modified) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, state = excluded.state, launcher = coalesce(excluded.launcher, task.launcher),
  percent = coalesce(excluded.percent, task.percent), document = task.document || excluded.document, modified = excluded.modified
"""
_STATES = {"created": "PENDING", "launched": "RUNNING", "completed": "COMPLETED"}


@contextmanager
def table(url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database that has the table."""
    with psycopg.connect(url) as connection:
        connection.execute(_TABLE)
        connection.commit()
        yield connection


def write(connection: psycopg.Connection, values: Iterable[bytes]) -> None:
    """An upsert for each event, and a commit."""
    for value in values:
        event = orjson.loads(value)
        kind, data = event["type"].rpartition(".")[2], event.get("data") or {}
        row = (event.get("subject"), kind, _STATES.get(kind), data.get("launcher"), data.get("percentComplete"))
        connection.execute(_UPSERT, (*row, orjson.dumps(data).decode(), event.get("time")))
    connection.commit()


async def consume(bootstrap: str, topic: str, url: str, events: int, batch: int) -> float:
    """So many events from Kafka, offsets committed after the rows; events a second, from the first poll that had some."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=f"by-hand-{batch}", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        with table(url) as connection:
            done, began = 0, 0.0
            while done < events:
                polled = await consumer.getmany(timeout_ms=1_000, max_records=max(batch, POLLED))
                began = began or (perf_counter() if polled else 0.0)
                values = [record.value for records in polled.values() for record in records]
                for begin in range(0, len(values), batch):
                    write(connection, values[begin : begin + batch])
                await consumer.commit()
                done += len(values)
            return done / (perf_counter() - began)
    finally:
        await consumer.stop()


def main() -> None:
    """Consume, and print events a second."""
    parser = argparse.ArgumentParser(prog="python -m bench.by_hand", description=__doc__)
    for name in ("bootstrap", "topic", "url"):
        parser.add_argument(name)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="1: each event is committed")
    told = parser.parse_args()
    print(asyncio.run(consume(told.bootstrap, told.topic, told.url, told.events, told.batch)))


if __name__ == "__main__":
    main()
