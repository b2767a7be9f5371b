"""A simulated workload: tasks that are created, launched, get on, fail, are retried and end, as events a log really has them.

Some events are late, doubled or out of order, so that what a reader shows can't depend on arrival. Everything is a function of the
seed and of the times handed in::

    simulation = Simulation(seed=7)
    while not simulation.has_ended():
        emitter.emit(simulation.step(clock()))
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tracker.emit.base import Outgoing
from tracker.model.kinds import TYPE_PREFIX

Step = tuple[str, int, dict[str, Any]]
"""Kind, attempt, data."""

_LAUNCHERS = ("sweep", "scheduler", "spadmin", "aggregation-service", "Élodie")
_TYPES = ("QUARTZ", "QPOC", "QUEUED_TASK")
_WORK = (
    ("Cloud Account Aggregation", "accounts", "Reads the accounts of {target}"),
    ("Entitlement Aggregation", "entitlements", "Reads the entitlements of {target}"),
    ("Identity Refresh", "identities", "Brings the identities of {target} up to date"),
    ("Certification Export", "pages", "Writes the certifications of {target} to a file"),
)
_TARGETS = ("HR Employees", "Active Directory", "SAP Finance", "Salesforce", "Workday", "Azure AD", "Oracle ERP")
_ENDS = ("SUCCESS",) * 14 + ("WARNING",) * 3 + ("ERROR",) * 2 + ("TERMINATED",)
_SOURCES = ("/engine/eu-1", "/engine/eu-2", "/engine/us-1")

LATE = 0.03
"""The share of events that are held back for a while."""
DOUBLED = 0.03
"""The share of events that are written a second time."""
LATEST_S = 4.0
"""A late event comes at most so much later."""
PACE = timedelta(seconds=1.7)
"""Between two events of a history."""


class Simulation:
    """Tasks that run at the same time, each a script of events. ``tasks``: how many there are in all; None: for ever."""

    def __init__(self, seed: int, *, tasks: int | None = None, concurrency: int = 12) -> None:
        self._random = Random(seed)  # noqa: S311 - made-up tasks are no secret
        self._left = tasks
        self._concurrency = concurrency
        self._running: list[_Task] = []
        self._held: list[tuple[datetime, Outgoing]] = []
        self._numbers = 0

    def has_ended(self) -> bool:
        """Whether all tasks have ended and nothing is held back."""
        return not (self._running or self._held or self._left is None or self._left > 0)

    def step(self, now: datetime) -> list[Outgoing]:
        """What is written at ``now`` (aware, never before the last one): one event more of some task, with what was late until now."""
        due = [event for at, event in self._held if at <= now]
        self._held = [(at, event) for at, event in self._held if at > now]
        while len(self._running) < self._concurrency and (self._left is None or self._left > 0):
            self._running.append(_Task(self._random))
            if self._left is not None:
                self._left -= 1
        if not self._running:
            if self._held and not due:  # only late ones are left: nobody waits for them
                due.append(self._held.pop(0)[1])
            return due
        task = self._random.choice(self._running)
        event = self._event(task, next(task.steps), now)
        if task.done:
            self._running.remove(task)
        if self._random.random() < LATE:
            self._held.append((now + timedelta(seconds=self._random.uniform(0.5, LATEST_S)), event))
        else:
            due.append(event)
        if self._random.random() < DOUBLED:
            self._held.append((now + timedelta(seconds=self._random.uniform(0.0, LATEST_S)), event))
        return due

    def _event(self, task: _Task, step: Step, now: datetime) -> Outgoing:
        kind, attempt, data = step
        self._numbers += 1
        document: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{self._random.getrandbits(48):012x}-{self._numbers}",
            "source": task.source,
            "type": TYPE_PREFIX + kind,
            "subject": task.id,
            "time": now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
        }
        if attempt > 1:
            document["attempt"] = attempt
        if data:
            document["data"] = data
        return Outgoing(task.id, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


class _Task:
    """One task and what is still to happen to it."""

    def __init__(self, random: Random) -> None:
        self.id = f"{random.getrandbits(128):032x}"
        self.source = random.choice(_SOURCES)
        self.done = False
        """Its last event was given."""
        self._script = list(_script(random))
        self.steps = self._play()

    def _play(self) -> Iterator[Step]:
        for number, step in enumerate(self._script, 1):
            self.done = number == len(self._script)
            yield step


def _script(random: Random) -> Iterator[Step]:
    name, noun, description = random.choice(_WORK)
    target, launcher = random.choice(_TARGETS), random.choice(_LAUNCHERS)
    total = random.randrange(200, 9000)
    yield "created", 1, _created(random, name, description.format(target=target), target, launcher)
    if random.random() < 0.1:
        yield "updated", 1, {"description": f"{description.format(target=target)}, at low priority", "attributes": {"priority": "low"}}
    attempt = 1
    while True:
        yield "launched", attempt, {"launcher": launcher, "attributes": {"host": f"h{random.randrange(16)}.engine.internal"}}
        fails = attempt < 3 and random.random() < 0.08
        steps = random.randrange(2, 8)
        for step in range(1, steps):
            done = total * step // steps
            yield "progressed", attempt, {"progress": f"Read {done:,} of {total:,} {noun}", "percentComplete": 100 * step // steps}
            if random.random() < 0.12:
                yield "messaged", attempt, _message(random, noun)
            if fails and step == steps // 2:
                break
        if not fails:
            break
        if random.random() < 0.5:  # over when the same attempt is launched again
            yield "completed", attempt, {"completionStatus": "TEMPERROR"}
        else:
            yield "completed", attempt, {"completionStatus": "ERROR"}
            attempt += 1
    if random.random() < 0.3:
        yield "returned", attempt, {"name": noun.capitalize(), "attributeName": "total"}
    status = random.choice(_ENDS)
    yield "completed", attempt, {"completionStatus": status, "attributes": {"total": total, "seconds": round(total / 37, 1)}}
    if status in ("ERROR", "TERMINATED") and random.random() < 0.3:
        yield "corrected", attempt, {"completionStatus": "WARNING"}
    if random.random() < 0.02:
        yield "deleted", attempt, {}


def _created(random: Random, name: str, description: str, target: str, launcher: str) -> dict[str, Any]:
    definition = {
        "id": f"{random.getrandbits(64):016x}",
        "uniqueName": name,
        "parentName": "Aggregation",
        "arguments": {"full": random.random() < 0.5},
    }
    return {
        "type": random.choice(_TYPES),
        "uniqueName": f"{name}: {target}",
        "description": description,
        "launcher": launcher,
        "target": {"id": f"{random.getrandbits(64):016x}", "type": "APPLICATION", "name": target},
        "taskDefinitionSummary": definition,
        "attributes": {"region": random.choice(("eu", "us"))},
    }


def _message(random: Random, noun: str) -> dict[str, Any]:
    number = random.randrange(2, 40)
    return {
        "type": random.choice(("INFO", "WARN", "WARN", "ERROR")),
        "key": "task_skipped",
        "localizedText": {"locale": "en-US", "message": f"{number} {noun} were skipped."},
        "parameters": [str(number)],
    }


def history(seed: int, events: int, until: datetime) -> list[Outgoing]:
    """About ``events`` events of tasks that have all ended by ``until``, in the order of a log."""
    tasks, epoch = max(1, round(events / 7.8)), datetime(2000, 1, 1, tzinfo=UTC)
    # What happens depends on the differences of times only: a first run tells how long the log is.
    steps = sum(1 for _ in _run(Simulation(seed, tasks=tasks), epoch))
    return [event for batch in _run(Simulation(seed, tasks=tasks), until - steps * PACE) for event in batch]


def _run(simulation: Simulation, start: datetime) -> Iterator[list[Outgoing]]:
    step = 0
    while not simulation.has_ended():
        yield simulation.step(start + step * PACE)
        step += 1
