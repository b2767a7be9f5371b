"""Restart and memory by the size of the store: ``python -m bench.restart_memory [--tasks 10000 1000000]``.

For each size: a store with so many tasks, and logs in Kafka with more events of them, as they would come and spread over all; a run (the
projector of ``tracker run``, with the command imported) is started on each in a process of its own. Told: seconds from the first record
that it reads to the end of its first commit (at most 1), and the most memory that the process ever had resident (at most 400 MB).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import multiprocessing
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from aiokafka.admin import NewTopic

from tests.crash.crash_log import produce_all
from tests.naive.workload import line
from tests.services.kafka import AIOKafkaAdminClientClosing, start_broker
from tracker.model.records import Batch, Record
from tracker.projector import Options, Projector
from tracker.replay import replay
from tracker.sources.kafka import KafkaSource
from tracker.stores.open import open_store

EVENTS_PER_TASK = 8
STORED_STEPS = (0, 1, 2)
"""The store knows that its tasks were created, launched and have progressed."""
STEPS = range(3, EVENTS_PER_TASK)
FIRST_COMMIT_S, MEMORY_MB = 1.0, 400.0


class TimedSource(KafkaSource):
    """Notes when the first record was there."""

    first_record: float | None = None

    async def read(self, max_records: int, max_wait_s: float) -> Batch:
        """The source's read."""
        batch = await super().read(max_records, max_wait_s)
        if self.first_record is None and batch.record_count:
            self.first_record = time.perf_counter()
        return batch


def fill(folder: Path, tasks: int) -> Path:
    """A store with so many tasks, by replay of a log file."""
    log, store = folder / "events.jsonl", folder / f"{tasks}.db"
    with log.open("wb") as file:
        for task in range(tasks):
            file.writelines(line(task, step, EVENTS_PER_TASK, 0) + b"\n" for step in STORED_STEPS)
    totals = replay([str(log)], f"sqlite:///{store}")
    assert totals.tasks == tasks, totals
    log.unlink()
    return store


def going_on(topic: str, tasks: int, events: int) -> Iterator[Record]:
    """What would come next: 64 tasks run at a time, and each of their events is near the others."""
    rng = Random(1)
    first = tasks - events // len(STEPS)
    for start in range(first, tasks, 64):
        of_these = [(task, step) for step in STEPS for task in range(start, min(start + 64, tasks))]
        for task, step in of_these:
            yield Record(topic, rng.randrange(4), 0, line(task, step, EVENTS_PER_TASK, 0), None, (), None)


def cold(topic: str, tasks: int, events: int) -> Iterator[Record]:
    """The worst: events of tasks from all over the store, so that nearly each has to be loaded."""
    rng = Random(1)
    for _ in range(events):
        task = rng.randrange(tasks)
        yield Record(topic, task % 4, 0, line(task, rng.choice(STEPS), EVENTS_PER_TASK, 0), None, (), None)


def run(url: str, store_url: str, batch_records: int, answer: Any) -> None:
    """One run to the end of the log, in a process of its own; sends seconds to the first commit, seconds, records and megabytes."""
    importlib.import_module("tracker.cli.running")  # what the command itself takes
    first_commit: list[float] = []
    sources: list[TimedSource] = []

    def make_source(on_revoked: Any) -> TimedSource:
        sources.append(TimedSource(url, on_revoked=on_revoked))
        return sources[0]

    def progress(_: object) -> None:
        if not first_commit:
            first_commit.append(time.perf_counter())

    options = Options(until_end=True, max_batch_records=batch_records)
    with open_store(store_url) as store:
        totals = asyncio.run(Projector(make_source, store, options=options, on_progress=progress).run())
    assert sources[0].first_record is not None
    # Not ru_maxrss: that of a new process begins with its parent's.
    status = dict(each.split(":", 1) for each in Path("/proc/self/status").read_text().splitlines())
    megabytes = int(status["VmHWM"].split()[0]) / 1024
    answer.send((first_commit[0] - sources[0].first_record, totals.seconds, totals.counters.read, megabytes))


def measure(bootstrap: str, folder: Path, tasks: int, events: int, batch_records: int) -> bool:
    """Print the figures of one size; whether both bounds hold."""
    started = time.perf_counter()
    store = fill(folder, tasks)
    filled = time.perf_counter() - started
    print(f"{tasks:,} tasks, {store.stat().st_size / 1e6:,.0f} MB, filled in {filled:.0f} s", flush=True)
    held = True
    for name, log in (("a log that goes on", going_on), ("a log of cold tasks", cold)):
        topic = f"restart-{uuid.uuid4().hex[:8]}"
        asyncio.run(_produce(bootstrap, topic, log(topic, tasks, min(events, tasks * len(STEPS)))))
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        worker = context.Process(target=run, args=(f"kafka://{bootstrap}/{topic}", f"sqlite:///{store}", batch_records, there))
        worker.start()
        first, seconds, read, megabytes = here.recv()
        worker.join()
        holds: bool = first <= FIRST_COMMIT_S and megabytes <= MEMORY_MB
        held = held and holds
        print(
            f"  {name}: first commit {first:.2f} s after the first record (at most "
            f"{FIRST_COMMIT_S:g}), {megabytes:.0f} MB (at most {MEMORY_MB:g}) over {read:,} records in {seconds:.1f} s: "
            f"{'ok' if holds else 'TOO MUCH'}",
            flush=True,
        )
    store.unlink()
    return held


async def _produce(bootstrap: str, topic: str, log: Iterable[Record]) -> None:
    async with AIOKafkaAdminClientClosing(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, 4, 1)])
    await produce_all(bootstrap, log)


def main() -> int:
    """Exit code 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart_memory", description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--events", type=int, default=300_000, help="of the log that the restarted run reads")
    parser.add_argument("--batch", type=int, default=Options().max_batch_records, help="--max-batch-records")
    arguments = parser.parse_args()
    broker = start_broker()
    try:
        with tempfile.TemporaryDirectory(prefix="tracker-restart-") as folder:
            held = [measure(broker.bootstrap, Path(folder), tasks, arguments.events, arguments.batch) for tasks in arguments.tasks]
    finally:
        broker.stop()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
