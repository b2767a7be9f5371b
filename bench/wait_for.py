"""How soon a live event can be read: ``python -m bench.wait_for --seconds 30``.

A real Kafka broker takes 2,000 events a second from one process, a worker with its default settings folds them in another, and this one
writes an event of a task now and then, waits for its position and gets the task. It must show the event within 250 ms of its being
acknowledged by the broker, in 99 of 100 cases.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import sys
import tempfile
import uuid
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from tests.naive.workload import lines
from tests.services.kafka import AIOKafkaAdminClientClosing, start_broker
from tracker.emit.base import Outgoing
from tracker.emit.kafka import KafkaEmitter
from tracker.projector import Projector
from tracker.query import Reached, open_query
from tracker.sources.kafka import KafkaSource
from tracker.stores.open import open_store

PARTITIONS = 4
VISIBLE_WITHIN_S = 0.25
PROBERS = 5
"""That write and wait at the same time."""
PAUSE_S = 0.037
"""Between two probes: no divisor of the 100 ms that a batch may age."""
_spawn = multiprocessing.get_context("spawn")


def load(bootstrap: str, topic: str, events_per_s: int, pipe: Connection) -> None:
    """The producers' process: so many events a second until told to stop; says how many it wrote."""

    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            pipe.send("ready")
            began, written = perf_counter(), 0
            log = (line for first in count(0, 1_000) for line in lines(1_000, first_task=first))
            while not pipe.poll():
                for _ in range(int((perf_counter() - began) * events_per_s) - written):
                    line = next(log)
                    await producer.send(topic, line, key=orjson.loads(line)["subject"].encode())
                    written += 1
                await asyncio.sleep(0.005)
            pipe.send(written / (perf_counter() - began))

    asyncio.run(run())


def work(url: str, path: str, pipe: Connection) -> None:
    """The worker's process, as ``tracker run`` has it."""

    async def run() -> None:
        with open_store(f"sqlite:///{path}") as store:
            projector = Projector(lambda revoked: KafkaSource(url, on_revoked=revoked), store)
            running = asyncio.create_task(projector.run())
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)
            projector.stop()
            await running

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(run())


async def _probes(url: str, path: str, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds from the acknowledgement, and from before the write, until the event was read."""
    acknowledged: list[float] = []
    whole: list[float] = []
    async with KafkaEmitter(url) as emitter, open_query(f"sqlite:///{path}") as tasks:
        began = perf_counter()

        async def probe(prober: int) -> None:
            for number in count():
                if perf_counter() - began > seconds:
                    return
                task = f"probe-{prober}-{number % 50}"
                start = perf_counter()
                [position] = await emitter.emit([Outgoing(task, _event(task, number))])
                written = perf_counter()
                ending = await tasks.wait_for(position)
                assert isinstance(ending, Reached), ending
                document = await tasks.document(task)
                seen = perf_counter()
                assert document is not None
                assert document["progress"] == str(number)
                acknowledged.append(seen - written)
                whole.append(seen - start)
                await asyncio.sleep(PAUSE_S)

        await asyncio.gather(*map(probe, range(PROBERS)))
    return acknowledged, whole


def _event(task: str, number: int) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"probe-{number}",
            "source": "/bench",
            "type": "io.tracker.task.progressed",
            "subject": task,
            "time": f"2026-06-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            "data": {"progress": str(number)},
        }
    )


def run(seconds: float, events_per_s: int) -> list[str]:
    """Measure and print; the names of what does not hold."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every try while the broker starts
    broker = start_broker()
    processes: list[Any] = []

    def started(target: Any, *arguments: Any) -> Connection:
        mine, its = _spawn.Pipe()
        processes.append(_spawn.Process(target=target, args=(*arguments, its), daemon=True))
        processes[-1].start()
        assert mine.recv() == "ready"
        return mine

    try:
        topic = f"bench-{uuid.uuid4().hex[:8]}"

        async def make() -> None:
            async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
                await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])

        asyncio.run(make())
        with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
            url, path = f"kafka://{broker.bootstrap}/{topic}", str(Path(folder) / "status.db")
            worker = started(work, url, path)
            producer = started(load, broker.bootstrap, topic, events_per_s)
            acknowledged, whole = asyncio.run(_probes(url, path, seconds))
            producer.send("end")
            rate = producer.recv()
            worker.send("end")
            for process in processes:
                process.join(20)
    finally:
        for process in processes:
            process.kill()
        broker.stop()
    over = ["visible after the acknowledgement"] if _at(acknowledged, 0.99) > VISIBLE_WITHIN_S else []
    print(
        f"an event read with wait_for and get, {rate:,.0f} events/s from Kafka, {len(whole)} probes: after the acknowledgement "
        f"{_told(acknowledged)} [p99 at most {VISIBLE_WITHIN_S * 1000:.0f} ms]; from before the write {_told(whole)}\n"
        f"    {'OVER: ' + '; '.join(over) if over else 'ok'}",
        flush=True,
    )
    return over


def _at(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(len(seconds) * share)]


def _told(seconds: list[float]) -> str:
    return " ".join(f"{name} {_at(seconds, share) * 1000:.0f} ms" for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)))


def main() -> int:
    """Exit code 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.wait_for", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--events-per-s", type=int, default=2_000)
    arguments = parser.parse_args()
    return 1 if run(arguments.seconds, arguments.events_per_s) else 0


if __name__ == "__main__":
    sys.exit(main())
