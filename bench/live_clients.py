"""Clients of the live stream while a projector writes: ``python -m bench.live_clients --clients 200 --seconds 60``.

Four kinds of processes: a projector that folds a generated stream of events into a SQLite file, the server over it, clients (100 in one),
and this one. Each client's filter matches 1 % of the tasks. What must hold: each client ends with what the store has for its filter, those
that go away midway and come back with their last token too and without a new snapshot; an event is told within 500 ms (p99, from its being
written to the log until the client has it); and the server's memory does not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sqlite3
import statistics
import sys
import tempfile
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from time import perf_counter, sleep, time
from typing import Any
from urllib.parse import quote

import orjson

from tracker.model.records import Record
from tracker.projector import Projector
from tracker.query import open_query
from tracker.sources.memory import MemorySource, Script
from tracker.stores.open import open_store
from tracker.web.app import create_app
from tracker.web.server import listening, serve

LAUNCHERS = 100
TASKS = 10_000
TOLD_WITHIN_S = 0.5
GROWTH_AT_MOST_MB = 20.0
"""From the 10 s after the last client came, until the end."""
CLIENTS_A_PROCESS = 100
SETTLED_S = 20.0
_spawn = multiprocessing.get_context("spawn")


def _event(kind: str, task: int, number: int, **data: Any) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "/bench",
            "type": f"io.tracker.task.{kind}",
            "subject": f"task-{task:06}",
            "time": f"2026-01-01T{number // 3_600_000 % 24:02}:{number // 60_000 % 60:02}:{number // 1_000 % 60:02}.{number % 1_000:03}Z",
            "data": data,
        }
    )


def _next_event(random: Random, number: int) -> bytes:
    """Progress for the most part; some tasks change hands (and filters), some end, some are deleted, some are new."""
    now, task, chance = time(), random.randrange(TASKS), random.random()
    if chance < 0.02:
        return _event("updated", task, number, launcher=f"l{random.randrange(LAUNCHERS)}")
    if chance < 0.04:
        return _event("completed", task, number, completionStatus="SUCCESS")
    if chance < 0.042:
        return _event("deleted", task, number)
    if chance < 0.06:
        new = TASKS + number
        return _event("created", new, number, launcher=f"l{new % LAUNCHERS}", uniqueName=f"New {new}")
    return _event("progressed", task, number, progress=f"{now:.4f}", percentComplete=number % 100)


def write(path: str, events_per_s: int, pipe: Connection) -> None:
    """The projector's process: fills the store, says so, writes for so many seconds when told, and says how many events it was."""

    async def run() -> None:
        script, random, number = Script(), Random(1), 0

        def append(values: list[bytes]) -> None:
            first = script.ends.get(at, 0)
            script.append(*(Record("bench", 0, first + place, value) for place, value in enumerate(values)))

        at: Any = ("bench", 0)
        append([_event("created", task, task, launcher=f"l{task % LAUNCHERS}", uniqueName=f"Task {task}") for task in range(TASKS)])
        number = TASKS
        with open_store(f"sqlite:///{path}") as store:
            projector = Projector(lambda revoked: MemorySource(script, on_revoked=revoked), store)
            running = asyncio.create_task(projector.run())

            async def caught_up() -> None:
                while projector.projection.counted.read < script.ends[at]:  # noqa: ASYNC110 - the projector tells nobody
                    await asyncio.sleep(0.05)

            await caught_up()
            pipe.send("filled")
            seconds = await asyncio.to_thread(pipe.recv)
            began, written = perf_counter(), 0
            while (passed := perf_counter() - began) < seconds:
                due = int(passed * events_per_s) - written
                append([_next_event(random, number + each) for each in range(due)])
                number, written = number + due, written + due
                await asyncio.sleep(0.01)
            await caught_up()
            pipe.send(written)
            projector.stop()
            await running

    asyncio.run(run())


def serve_store(path: str, pipe: Connection) -> None:
    """The server's process."""

    async def run() -> None:
        app, opened, stop = create_app(open_query(f"sqlite:///{path}")), listening("127.0.0.1:0"), asyncio.Event()
        pipe.send(opened.getsockname()[1])
        serving = asyncio.create_task(serve(app, opened, stop))
        await asyncio.to_thread(pipe.recv)
        stop.set()
        await serving

    asyncio.run(run())


class Client:
    """One client over a bare socket: what it was told, and how old each progress was when it came."""

    def __init__(self, port: int, launcher: str) -> None:
        self.launcher = launcher
        self.tasks: dict[str, bytes] = {}
        self.ages_s: list[float] = []
        self.token = ""
        self.events: dict[str, int] = {}
        self.ready = asyncio.Event()
        self.stamps: dict[str, str] = {}
        self._port = port

    async def follow(self) -> None:
        """Until it is cancelled, or the stream ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        where = quote(f'launcher eq "{self.launcher}"')
        last = f"Last-Event-ID: {self.token}\r\n" if self.token else ""
        writer.write(f"GET /api/changes?filters={where} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n".encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n")[0], head
            waiting = b""
            while size := int(await reader.readline(), 16):
                waiting += (await reader.readexactly(size + 2))[:-2]
                *events, waiting = waiting.split(b"\n\n")
                for event in events:
                    self._take(event)
        finally:
            writer.close()

    def _take(self, text: bytes) -> None:
        now, fields = time(), dict(line.split(b": ", 1) for line in text.split(b"\n") if not line.startswith(b":"))
        self.token = fields.get(b"id", self.token.encode()).decode()
        name = fields.get(b"event", b"").decode()
        self.events[name] = self.events.get(name, 0) + 1
        if name == "snapshot":
            for task in orjson.loads(fields[b"data"]):
                self._keep(task, None)
        elif name == "changes":
            data = orjson.loads(fields[b"data"])
            for task in data["changed"]:
                self._keep(task, now)
            for id in data["left"] + data["deleted"]:
                self.tasks.pop(id, None)
        elif name == "ready":
            self.ready.set()

    def _keep(self, task: dict[str, Any], now: float | None) -> None:
        id, stamp = task["id"], task["progress"]
        # Of a task that comes from another filter the progress may be an old one.
        if now is not None and id in self.tasks and stamp and stamp != self.stamps.get(id):
            self.ages_s.append(now - float(stamp))
        self.stamps[id] = stamp
        self.tasks[id] = orjson.dumps(task)


def follow(port: int, launchers: list[str], away: list[int], pipe: Connection) -> None:
    """A process of clients. ``away``: those that go when told, and come back a second later."""

    async def run() -> None:
        clients = [Client(port, launcher) for launcher in launchers]
        following = [asyncio.create_task(client.follow()) for client in clients]
        await asyncio.gather(*(client.ready.wait() for client in clients))
        pipe.send("ready")
        while (order := await asyncio.to_thread(pipe.recv)) != "end":
            if order == "away":
                for number in away:
                    following[number].cancel()
                await asyncio.sleep(1)
                for number in away:
                    following[number] = asyncio.create_task(clients[number].follow())
            else:
                ended = [task for task in following if task.done()]
                told = [(client.launcher, client.tasks, client.events) for client in clients]
                pipe.send((told, [age for number, client in enumerate(clients) if number not in away for age in client.ages_s], len(ended)))
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    asyncio.run(run())


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / 100


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4_096 / 1e6


def run(clients: int, seconds: float, events_per_s: int) -> list[str]:
    """Measure and print; the names of what does not hold."""
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
        path = str(Path(folder) / "status.db")
        processes: list[Any] = []

        def started(target: Any, *arguments: Any) -> tuple[Any, Connection]:
            mine, its = _spawn.Pipe()
            process = _spawn.Process(target=target, args=(*arguments, its), daemon=True)
            process.start()
            processes.append(process)
            return process, mine

        try:
            _, writer = started(write, path, events_per_s)
            assert writer.recv() == "filled"
            server, serving = started(serve_store, path)
            port = serving.recv()
            followers = []
            began = perf_counter()
            for first in range(0, clients, CLIENTS_A_PROCESS):
                numbers = range(first, min(clients, first + CLIENTS_A_PROCESS))
                away = [number - first for number in numbers if number % 5 == 0]
                followers.append(started(follow, port, [f"l{number % LAUNCHERS}" for number in numbers], away)[1])
            for pipe in followers:
                assert pipe.recv() == "ready"
            print(f"{clients} clients have their snapshots after {perf_counter() - began:.1f} s", flush=True)
            writer.send(seconds)
            cpu = [cpu_s(process.pid) for process in processes]
            memory = _watched(server.pid, seconds, followers)
            shares = [(cpu_s(process.pid) - before) / seconds for process, before in zip(processes, cpu, strict=True)]
            print(f"of a processor: projector {shares[0]:.0%}, server {shares[1]:.0%}, clients {sum(shares[2:]):.0%}", flush=True)
            written = writer.recv()
            over = _judged(path, followers, written, seconds, memory)
            for pipe in (*followers, serving):
                pipe.send("end")
            for process in processes:
                process.join(20)
            return over
        finally:
            for process in processes:
                process.kill()


def _watched(pid: int, seconds: float, followers: list[Connection]) -> list[float]:
    """The server's memory, every second; midway some clients go and come back."""
    memory, is_away, began = [], False, perf_counter()
    while perf_counter() - began < seconds:
        memory.append(memory_mb(pid))
        if not is_away and perf_counter() - began > seconds / 2:
            is_away = True
            for pipe in followers:
                pipe.send("away")
        sleep(1)
    return memory


def _judged(path: str, followers: list[Connection], written: int, seconds: float, memory: list[float]) -> list[str]:
    over: list[str] = []
    expected: dict[str, dict[str, bytes]] = {}

    async def read() -> None:
        async with open_query(f"sqlite:///{path}") as tasks:
            for launcher in {f"l{number}" for number in range(LAUNCHERS)}:
                found = tasks.documents(f'launcher eq "{launcher}"', extension=True)
                expected[launcher] = {task["id"]: orjson.dumps(task) async for task in found}

    asyncio.run(read())
    deadline = perf_counter() + SETTLED_S
    while True:
        for pipe in followers:
            pipe.send("report")
        reports = [pipe.recv() for pipe in followers]
        differing = [launcher for told, _, _ in reports for launcher, tasks, _ in told if tasks != expected[launcher]]
        if not differing or perf_counter() > deadline:
            break
        sleep(0.5)
    ages = sorted(age for _, found, _ in reports for age in found)
    events: dict[str, int] = {}
    for told, _, _ in reports:
        for _, _, each in told:
            for name, count in each.items():
                events[name] = events.get(name, 0) + count
    p50, p99, p999 = (ages[int(len(ages) * share)] for share in (0.5, 0.99, 0.999))
    warm = memory[min(10, len(memory) // 3) :]
    growth = statistics.median(warm[-5:]) - statistics.median(warm[:5])
    if differing:
        over.append(f"clients that differ from the store: {len(differing)}")
    if ended := sum(count for _, _, count in reports):
        over.append(f"streams that ended: {ended}")
    if p99 > TOLD_WITHIN_S:
        over.append("event to client")
    if growth > GROWTH_AT_MOST_MB:
        over.append("memory of the server")
    clients = sum(len(told) for told, _, _ in reports)
    if events.get("reset", 0) > clients:
        over.append("clients that got another snapshot")
    with closing(sqlite3.connect(path)) as connection:
        (commits,) = connection.execute("SELECT value FROM meta WHERE name='revision'").fetchone()
    print(
        f"{clients} live clients, {written / seconds:,.0f} events/s for {seconds:.0f} s in {commits} commits: {len(ages):,} changes told, "
        f"event to client p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms [at most {TOLD_WITHIN_S * 1000:.0f}], p99.9 {p999 * 1000:.0f} ms, "
        f"longest {ages[-1] * 1000:.0f} ms; server {', '.join(f'{each:.0f}' for each in memory[::10])} MB every 10 s, growth {growth:.1f} [at most {GROWTH_AT_MOST_MB:.0f}]; "
        f"{len(differing)} clients differ from the store; events: {events}\n    {'OVER: ' + '; '.join(over) if over else 'ok'}",
        flush=True,
    )
    return over


def main() -> int:
    """Exit code 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--events-per-s", type=int, default=1_000)
    arguments = parser.parse_args()
    return 1 if run(arguments.clients, arguments.seconds, arguments.events_per_s) else 0


if __name__ == "__main__":
    sys.exit(main())
