"""A seeded chaos run: workers over one log and one store, a producer that goes on, a fault every few seconds, and at the end the oracle.

::

    python -m tests.crash.chaos --minutes 30 --events 5000000 --seed 1 --store postgres

``--store postgres`` starts a server of its own in a container, ``sqlite`` shares a file in ``--folder``. It prints each fault with its time, a line of
progress every ten seconds, what the oracle found, and for each kind of fault the longest stall that followed it. Exit code 0: exact.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiokafka.admin import NewTopic

from tests.crash.containers import Kafka, Postgres
from tests.crash.faults import Maker, Mischief, World
from tests.crash.fleet import Fleet, Worker
from tests.crash.oracle import differences, expect_log, summed
from tests.crash.proxy import Proxies
from tests.crash.stalls import Stalls
from tests.ports import free_port
from tests.services.kafka import AIOKafkaAdminClientClosing
from tracker.errors import TrackerError
from tracker.model.records import TopicPartition
from tracker.stores.base import PartitionStatus, StatusStore
from tracker.stores.open import open_store

TOPICS = ["chaos-a", "chaos-b"]
GROUP = "chaos"
LOOK_S = 0.2
PROGRESS_S = 10.0
SETTLED_S = 180.0
"""After the last fault the rest of the log is to be in the store within this."""


@dataclass
class Plan:
    """What to do."""

    events: int
    seed: int
    rate: float
    """Records a second."""
    store: str = "sqlite"
    """``sqlite`` or ``postgres``."""
    workers: int = 3
    partitions: int = 4
    """Of each of the two topics."""
    every_s: tuple[float, float] = (1.5, 5.0)
    """From one fault to the next."""
    rounds: int = 0
    """So many times each fault comes alone first, so that its own stall can be told."""
    faults: dict[Maker, int] | None = None
    """None: all that the store can have."""
    options: list[str] = field(default_factory=list)
    """For each worker."""
    folder: Path = field(default_factory=Path)
    say: Callable[[str], None] = print


@dataclass
class Report:
    """What came of it."""

    wrong: list[str]
    """Empty: exact, and no worker did what it must not do."""
    read: int
    stalls: Stalls
    exits: int
    """Processes that were started beyond the first ones."""


@contextmanager
def world(plan: Plan) -> Iterator[World]:
    """Broker, database, proxies and a fleet that has not begun; the topics are made."""
    folder, names = plan.folder, [f"w{number}" for number in range(1, plan.workers + 1)]
    with ExitStack() as stack:
        ports = {name: free_port() for name in names}
        kafka = stack.enter_context(Kafka(ports))
        database = stack.enter_context(Postgres()) if plan.store == "postgres" else None
        targets = dict(kafka.targets)
        if database is not None:
            targets |= {f"{name}-store": ("127.0.0.1", database.port) for name in names}
        proxies = stack.enter_context(Proxies(targets, ports))
        asyncio.run(make_topics(kafka.bootstrap, TOPICS, plan.partitions))
        rng = Random(plan.seed)
        workers = []
        for name in names:
            store = f"sqlite:///{folder}/status.db" if database is None else database.url_at(proxies.ports[f"{name}-store"])
            source = f"kafka://127.0.0.1:{ports[name]}/{','.join(TOPICS)}?group={GROUP}"
            workers.append(Worker(name, source, store, folder, plan.options, static=rng.random() < 0.5))
        fleet = stack.enter_context(Fleet(workers))
        yield World(rng, fleet, proxies, kafka, database, None if database else folder / "status.db")


async def make_topics(bootstrap: str, topics: list[str], partitions: int) -> None:
    """With records that are kept for ever: they carry old times."""
    async with AIOKafkaAdminClientClosing(bootstrap) as admin:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs={"retention.ms": "-1"}) for topic in topics])
        assert all(error[1] == 0 for error in answer.topic_errors), answer


def store_url(made: World) -> str:
    """The store for whoever is not behind a proxy."""
    return f"sqlite:///{made.file}" if made.database is None else made.database.url


class Eye:
    """Looks at the store's positions from outside, whenever it can be read."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: StatusStore | None = None

    def partitions(self) -> list[PartitionStatus]:
        """As they are now; none while the store can't be read."""
        try:
            if self._store is None:
                self._store = open_store(self._url, create=False)
            return list(self._store.partitions())
        except TrackerError:
            self.close()
            return []

    def close(self) -> None:
        """A new connection the next time."""
        store, self._store = self._store, None
        if store is not None:
            with contextlib.suppress(TrackerError):
                store.__exit__(None, None, None)


class Producing:
    """The producer's process, and how much it has sent by its own word."""

    def __init__(self, bootstrap: str, plan: Plan) -> None:
        told = [bootstrap, ",".join(TOPICS), plan.partitions, plan.events, plan.rate, plan.seed]
        command = [sys.executable, "-m", "tests.crash.producer", *map(str, told)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.sent = 0
        self.is_done = False
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "done":
                self.is_done = True
            else:
                self.sent = int(line)

    def check(self) -> None:
        """RuntimeError if it ended before its end."""
        if not self.is_done and self._process.poll() is not None:
            self._reading.join()
            if not self.is_done:
                raise RuntimeError(f"the producer ended with {self._process.returncode} after {self.sent} records")

    def stop(self) -> None:
        """If it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def run(plan: Plan) -> Report:
    """The whole of it."""
    plan.say(
        f"seed {plan.seed}: {plan.events:,} events at {plan.rate:,.0f}/s, {plan.workers} workers, store {plan.store}, in {plan.folder}"
    )
    with world(plan) as made:
        stalls, eye = Stalls(), Eye(store_url(made))
        made.fleet.start()
        producing = Producing(made.kafka.bootstrap, plan)
        try:
            mischief = Mischief(made, plan.every_s, plan.faults, plan.rounds)
            _disturb(plan, made, producing, mischief, stalls, eye)
            plan.say("the log is written; no more faults")
            mischief.end()
            expected = asyncio.run(expect_log(made.kafka.bootstrap, TOPICS, plan.folder))
            plan.say(f"{expected.total:,} records in the log, {expected.events:,} of them events")
            wrong = _settle(plan, made, eye, expected.ends)
            wrong += made.fleet.stop() + made.fleet.complaints()
        finally:
            producing.stop()
            eye.close()
        for told in made.fleet.said("worker.stuck"):
            plan.say(f"stuck: {told}")
        export = plan.folder / "export.jsonl"
        command = [sys.executable, "-m", "tracker", "export", "--store", store_url(made), "--format", "jsonl", "--out", str(export)]
        subprocess.run(command, check=True, capture_output=True)
        started = time.monotonic()
        wrong += differences(expected, store_url(made), export)
        plan.say(f"the oracle took {time.monotonic() - started:.0f} s; {'exact' if not wrong else 'WRONG'}")
        for line in wrong:
            plan.say(f"  {line}")
        starts = sum(worker.starts - 1 for worker in made.fleet.workers)
        stops_s = [took for worker in made.fleet.workers for took in worker.stops_s]
        plan.say(f"{starts} workers were started again; of {len(stops_s)} stops in order the longest took {max(stops_s, default=0):.1f} s")
        plan.say(stalls.table())
        return Report(wrong, expected.total, stalls, starts)


def _disturb(plan: Plan, made: World, producing: Producing, mischief: Mischief, stalls: Stalls, eye: Eye) -> None:
    began = told = time.monotonic()
    is_made = False
    while not producing.is_done:
        producing.check()
        made.fleet.tend()
        partitions = eye.partitions()
        is_made = is_made or bool(partitions)  # a worker that can't make its store ends with a sentence, and rightly so
        now = time.monotonic()
        for fault in mischief.tend(min(stalls.began.values(), default=0.0)) if is_made else ():
            stalls.faults.append(fault.span)
            plan.say(f"{now - began:7.1f} s  {fault.kind} [{fault.on}, {fault.seconds:.1f} s]")
        stalls.look({each.position.at: each.position.next_offset for each in partitions}, now)
        if now - told > PROGRESS_S:
            told = now
            read = summed(partitions).read
            plan.say(
                f"{now - began:7.1f} s  {producing.sent:,} written, {read:,} read" if partitions else f"{now - began:7.1f} s  no store"
            )
        time.sleep(LOOK_S)


def _settle(plan: Plan, made: World, eye: Eye, ends: dict[TopicPartition, int]) -> list[str]:
    """Wait until all is in the store, with all workers up."""
    began, offsets = time.monotonic(), dict[TopicPartition, int]()
    while time.monotonic() < began + SETTLED_S:
        made.fleet.tend()
        offsets = {each.position.at: each.position.next_offset for each in eye.partitions()}
        if offsets and all(offsets.get(at, 0) >= end for at, end in ends.items()):
            plan.say(f"the store was at the end {time.monotonic() - began:.1f} s later")
            return []
        time.sleep(LOOK_S)
    behind = [f"{at.topic}/{at.partition} at {offsets.get(at)} of {end}" for at, end in ends.items() if offsets.get(at, 0) < end]
    return [f"{SETTLED_S:.0f} s after the last fault the store is behind: {', '.join(behind)}"]


def main() -> int:
    """0: exact; 1: not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault comes alone before they come as they like")
    parser.add_argument("--folder", type=Path, default=None, help="kept, with the workers' logs; default: a temporary one")
    told = parser.parse_args()
    seed = Random().randrange(10**6) if told.seed is None else told.seed
    folder = told.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that a broker is away is known here

    def say(line: str) -> None:
        print(line, flush=True)

    plan = Plan(
        told.events,
        seed,
        told.events / (told.minutes * 60),
        told.store,
        told.workers,
        rounds=told.rounds,
        folder=folder.absolute(),
        say=say,
    )
    report = run(plan)
    if told.folder is None and not report.wrong:
        shutil.rmtree(folder)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
