"""What a chaos run does to workers, broker, database and the wires between them. Each fault begins, lasts for a while, and ends."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random

from tests.crash import clock
from tests.crash.containers import Kafka, Postgres
from tests.crash.fleet import ENDS_OF_SIGTERM, Fleet, Worker
from tests.crash.proxy import CLOSED, OPEN, SILENT, Proxies
from tests.crash.stalls import Span
from tests.services.kafka import wait_until_ready
from tracker.sources.kafka_link import CONSUMER

SESSION_S = CONSUMER["session_timeout_ms"] / 1000
EXCUSED_S = 20.0
"""A worker that is started while its database is away ends with code 1, at the latest when its attempt to connect is over (10 s)."""


@dataclass
class World:
    """All that faults happen to."""

    rng: Random
    fleet: Fleet
    proxies: Proxies
    kafka: Kafka
    database: Postgres | None = None
    """None: the store is a SQLite file."""
    file: Path | None = None
    busy: set[str] = field(default_factory=set)
    """The workers to which something is being done, and ``broker`` and ``database``."""

    def free_worker(self) -> Worker | None:
        """One that is up and to which nothing is being done."""
        free = [worker for worker in self.fleet.workers if worker.name not in self.busy and worker.is_up]
        return self.rng.choice(free) if free else None


@dataclass
class Ongoing:
    """A fault that has begun."""

    kind: str
    on: str
    seconds: float
    """How long it lasts."""
    end: Callable[[], None]
    begin: Callable[[], None] = lambda: None
    """What takes its time (a container's restart); done before the seconds begin to run."""
    span: Span = field(init=False)

    def __post_init__(self) -> None:
        self.span = Span(self.kind, time.monotonic())


START_S = 3.0
"""Until a process has loaded what it needs and has joined; that is part of the fault."""
Maker = Callable[[World], Ongoing | None]
CALM_S = 2.0
"""Between two faults that are to come alone."""


def _nothing() -> None:
    """There is nothing to end: the supervisor starts the worker again."""


def excuse(world: World, until: float) -> None:
    """All workers may end with code 1 until then."""
    for worker in world.fleet.workers:
        worker.excused_until = until


def kill(world: World) -> Ongoing | None:
    """SIGKILL; the next process comes after some seconds, under the same name or not."""
    worker = world.free_worker()
    if worker is None:
        return None
    how = "static" if worker.static else "dynamic"
    worker.signal(signal.SIGKILL, -signal.SIGKILL)
    worker.static = world.rng.random() < 0.5
    away_s = world.rng.uniform(0.2, 6)
    worker.start_at = time.monotonic() + away_s
    return Ongoing(f"kill -9 ({how} member)", worker.name, away_s + START_S, _nothing)


def leave(world: World) -> Ongoing | None:
    """SIGTERM, as a deploy does; somebody joins a moment later."""
    worker = world.free_worker()
    if worker is None:
        return None
    how = "static" if worker.static else "dynamic"
    worker.signal(signal.SIGTERM, *ENDS_OF_SIGTERM)
    worker.static = world.rng.random() < 0.5
    away_s = world.rng.uniform(0.2, 6)
    worker.start_at = time.monotonic() + away_s
    return Ongoing(f"stop and start again ({how} member)", worker.name, away_s + START_S, _nothing)


def freeze(world: World) -> Ongoing | None:
    """SIGSTOP, and SIGCONT when others may have its partitions, or before."""
    worker = world.free_worker()
    if worker is None:
        return None
    seconds = world.rng.uniform(1, 3 * SESSION_S)
    worker.signal(signal.SIGSTOP)
    kind = f"SIGSTOP {'beyond' if seconds > SESSION_S else 'within'} the session"
    return Ongoing(kind, worker.name, seconds, lambda: worker.signal(signal.SIGCONT))


def cut_broker(world: World) -> Ongoing | None:
    """Between one worker and the broker."""
    worker = world.free_worker()
    if worker is None:
        return None
    state = world.rng.choice((SILENT, CLOSED))
    world.proxies.set(worker.name, state)
    return Ongoing(f"broker cut off, {state}", worker.name, world.rng.uniform(1, 14), lambda: world.proxies.set(worker.name, OPEN))


def cut_database(world: World) -> Ongoing | None:
    """Between one worker and the database."""
    worker = world.free_worker()
    if worker is None or world.database is None:
        return None
    state, link = world.rng.choice((SILENT, CLOSED)), f"{worker.name}-store"
    world.proxies.set(link, state)
    worker.excused_until = inf

    def end() -> None:
        world.proxies.set(link, OPEN)
        worker.excused_until = time.monotonic() + EXCUSED_S

    return Ongoing(f"database cut off, {state}", worker.name, world.rng.uniform(1, 14), end)


def restart_broker(world: World) -> Ongoing | None:
    """In order, or by SIGKILL, with or without a while between."""
    if "broker" in world.busy:
        return None
    if world.rng.random() < 0.5:
        return Ongoing("broker restart", "broker", 0, lambda: wait_until_ready(world.kafka.bootstrap), world.kafka.restart)

    def again() -> None:
        world.kafka.start()
        wait_until_ready(world.kafka.bootstrap)

    return Ongoing("broker kill -9", "broker", world.rng.uniform(0, 5), again, world.kafka.kill)


def restart_database(world: World) -> Ongoing | None:
    """By SIGKILL, in the middle of whatever commit, or in order."""
    database = world.database
    if database is None or "database" in world.busy:
        return None

    def again() -> None:
        database.start()
        database.wait()
        excuse(world, time.monotonic() + EXCUSED_S)

    def back() -> None:
        database.wait()
        excuse(world, time.monotonic() + EXCUSED_S)

    excuse(world, inf)
    if world.rng.random() < 0.5:
        return Ongoing("database kill -9", "database", world.rng.uniform(0, 3), again, database.kill)
    return Ongoing("database restart", "database", 0, back, database.restart)


def limit_connections(world: World) -> Ongoing | None:
    """The role may have one connection, or none, and those that there are end."""
    database = world.database
    if database is None or "database" in world.busy:
        return None
    excuse(world, inf)
    limit = world.rng.choice((0, 1))

    def begin() -> None:
        database.sql(f"ALTER ROLE tracker CONNECTION LIMIT {limit}")
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename='tracker'")

    def end() -> None:
        database.sql("ALTER ROLE tracker CONNECTION LIMIT -1")
        excuse(world, time.monotonic() + EXCUSED_S)

    return Ongoing("connection limit", "database", world.rng.uniform(1, 8), end, begin)


def lock_file(world: World) -> Ongoing | None:
    """Another program's write transaction in the SQLite file."""
    if world.file is None or "database" in world.busy:
        return None
    holder = sqlite3.connect(world.file, isolation_level=None, check_same_thread=False, timeout=30)

    def begin() -> None:
        holder.execute("BEGIN IMMEDIATE")

    return Ongoing("store locked", "database", world.rng.uniform(1, 8), holder.close, begin)


def step_clock(world: World) -> Ongoing | None:
    """A worker's wall clock jumps, by up to two hours, and later back."""
    worker = world.free_worker()
    if worker is None or clock.library() is None:
        return None
    by = world.rng.randrange(-7200, 7200)
    worker.step_clock(by)
    return Ongoing(f"clock {'forward' if by > 0 else 'back'}", worker.name, world.rng.uniform(2, 8), lambda: worker.step_clock(0))


FAULTS: dict[Maker, int] = {
    kill: 6,
    leave: 4,
    freeze: 5,
    cut_broker: 4,
    cut_database: 4,
    restart_broker: 1,
    restart_database: 2,
    limit_connections: 2,
    lock_file: 3,
    step_clock: 2,
}
"""Each with its weight. One that can't happen (no database, no free worker) gives None."""


class Mischief:
    """Begins faults and ends them: at first each alone, ``rounds`` times, one when all have recovered from the one before; then two at a
    time at most. `tend` is to be called a few times a second.
    """

    def __init__(self, world: World, every_s: tuple[float, float], faults: dict[Maker, int] | None = None, rounds: int = 0) -> None:
        self._world, self._every_s = world, every_s
        self._faults = FAULTS if faults is None else faults
        self._alone = [maker for _ in range(rounds) for maker in self._faults]
        self.idle_since = time.monotonic()
        """When the last fault was over, if none goes on."""
        self._threads = ThreadPoolExecutor(4, "fault")
        self._beginning: dict[str, tuple[Ongoing, Future[None]]] = {}
        self._lasting: dict[str, tuple[Ongoing, float]] = {}
        self._ending: dict[str, tuple[Ongoing, Future[None]]] = {}
        self._next_at = time.monotonic() + every_s[0]

    def tend(self, recovered_at: float = 0.0) -> list[Ongoing]:
        """Whatever is due; the faults that began now. ``recovered_at``: until then every partition has moved at least once more."""
        now = time.monotonic()
        for on, (ongoing, beginning) in list(self._beginning.items()):
            if beginning.done():
                beginning.result()
                del self._beginning[on]
                self._lasting[on] = ongoing, now + ongoing.seconds
        for on, (ongoing, until) in list(self._lasting.items()):
            if now >= until:
                del self._lasting[on]
                self._ending[on] = ongoing, self._threads.submit(ongoing.end)
        for on, (ongoing, ending) in list(self._ending.items()):
            if ending.done():
                ending.result()
                ongoing.span.ended = now
                del self._ending[on]
                self._world.busy.discard(on)
                self.idle_since = now
        if now < self._next_at or len(self._world.busy) >= 2:
            return []
        if self._alone:
            all_up = all(worker.is_up for worker in self._world.fleet.workers)
            calm = not self._world.busy and all_up and recovered_at > self.idle_since + CALM_S
            return self._begin(self._alone.pop(0)) if calm else []
        self._next_at = now + self._world.rng.uniform(*self._every_s)
        makers = list(self._faults)
        return self._begin(self._world.rng.choices(makers, [self._faults[each] for each in makers])[0])

    def _begin(self, maker: Maker) -> list[Ongoing]:
        ongoing = maker(self._world)
        if ongoing is None:
            return []
        self._world.busy.add(ongoing.on)
        self._beginning[ongoing.on] = ongoing, self._threads.submit(ongoing.begin)
        return [ongoing]

    def end(self) -> None:
        """All that goes on is ended; nothing new begins."""
        self._next_at = float("inf")
        while self._world.busy:
            self._lasting = {on: (ongoing, 0.0) for on, (ongoing, _) in self._lasting.items()}
            self.tend()
            self._world.fleet.tend()
            time.sleep(0.05)
        self._threads.shutdown()
