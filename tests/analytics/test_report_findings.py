"""What a report tells, beside what the documents say one by one and what `count` and `histogram` say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.suites.stores import STORES, store_of
from tests.unit.query_store import commit, event
from tracker.analytics.report import Findings, failures, findings
from tracker.errors import UsageError
from tracker.fold.event import TaskEvent
from tracker.query import TaskQuery
from tracker.stores.base import StatusStore

NOW = datetime(2026, 1, 20, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
HINTED = 'attributes.hint eq "yes"'
"""A filter that is decided row by row."""
KEYS = ("timeout", "refused", "", "<b>")
Documents = list[dict[str, Any]]


def log(tasks: int) -> list[TaskEvent]:
    """Tasks in every outcome, of more launchers than are told apart, some with clocks that differ, some retried."""
    random, events = Random(11), list[TaskEvent]()

    def add(id: str, kind: str, at: datetime, **more: Any) -> None:
        events.append(event(id, kind, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), id=str(len(events)), **more))

    for number in range(tasks):
        id, at = f"t{number:03}", datetime(2026, 1, 1, tzinfo=UTC) + random.randrange(10**9) * MILLISECOND
        launcher = f"l{min(int(random.expovariate(0.1)), 30)}"
        add(
            id,
            "created",
            at,
            launcher=launcher,
            type=random.choice(["QUARTZ", "QPOC"]),
            attributes={"hint": random.choice(["yes", "no"])},
        )
        if number % 13 == 0:
            continue
        attempt = 2 if number % 7 == 0 else 1
        if attempt == 2 and number % 2:
            add(id, "launched", at + random.randrange(-50, 5_000) * MILLISECOND)
        if number % 11:
            at += random.randrange(-500, 20_000) * MILLISECOND
            add(id, "launched", at, attempt=attempt)
        if number % 9 == 0:
            continue
        at += random.randrange(-500, 90_000) * MILLISECOND
        for _ in range(random.randrange(3)):
            text = {"locale": "en", "message": f"message {len(events)}"}
            add(id, "messaged", at, attempt=attempt, type=random.choice(["ERROR", "WARN"]), key=random.choice(KEYS), localizedText=text)
        status = random.choice(["SUCCESS", "WARNING", "ERROR", "TEMPERROR", "TERMINATED"])
        add(id, "completed", at, attempt=attempt, completionStatus=status)
    events.append(event("gone", "deleted"))
    return events


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[StatusStore, TaskQuery]]:
    """An empty store of each kind, beside a query of it."""
    store, query = store_of(request, tmp_path)
    with store:
        async with query as tasks:
            yield store, tasks


@pytest.fixture
async def many(opened: tuple[StatusStore, TaskQuery]) -> TaskQuery:
    """200 tasks in all of that."""
    store, tasks = opened
    commit(store, log(200))
    return tasks


async def asked(tasks: TaskQuery, filters: str | None, **more: Any) -> tuple[Findings, Documents]:
    """The findings, and the documents of the same tasks."""
    found = await tasks.ask(findings(filters, **{"now": NOW} | more))
    return found, [document async for document in tasks.documents(found.selection, extension=True, now=NOW)]


def between(document: dict[str, Any], begin: str, end: str) -> int | None:
    """Microseconds from one time to the other; None where there are not both."""
    if document[begin] is None or document[end] is None:
        return None
    return (datetime.fromisoformat(document[end]) - datetime.fromisoformat(document[begin])) // timedelta(microseconds=1)


def outcome(document: dict[str, Any]) -> str:
    """The status, or the state of what has not ended."""
    return str(document["completionStatus"] or document["tracker"]["state"])


ASKED = [
    (None, {}),
    ('type eq "QPOC"', {"since": "2026-01-03", "until": "2026-01-08T12:00:00Z"}),
    (HINTED, {"over": "completed", "since": "2026-01-03"}),
    ("silence gt 13d", {"over": "modified", "until": "now-1h"}),
]


@pytest.mark.parametrize(("filters", "more"), ASKED)
async def test_it_agrees_with_count_and_histogram(many: TaskQuery, filters: str | None, more: dict[str, Any]) -> None:
    """The selection says which tasks they are: as many, of the same outcomes, in the same buckets."""
    found, documents = await asked(many, filters, **more)
    assert found.tasks == len(documents) == await many.count(found.selection, now=NOW) > 20
    assert found.outcomes == Counter(map(outcome, documents))
    statuses = await many.count(found.selection, by="completionStatus", now=NOW)
    in_flight = {None: found.outcomes.get("RUNNING", 0) + found.outcomes.get("PENDING", 0)}
    ended = {name: count for name, count in found.outcomes.items() if name not in ("RUNNING", "PENDING")}
    assert {name: count for name, count in (ended | in_flight).items() if count} == statuses
    over = more.get("over", "created")
    bounds = {name: more[name] for name in ("since", "until") if name in more}
    assert found.histogram == await many.histogram(filters, over, by="completionStatus", now=NOW, **bounds)


@pytest.mark.parametrize("measure", ["ran", "waited"])
@pytest.mark.parametrize(("filters", "more"), ASKED)
async def test_lengths_are_those_of_the_documents(many: TaskQuery, filters: str | None, more: dict[str, Any], measure: str) -> None:
    """Percentiles in all, by type and by launcher are the exact ones; the negative and the missing are told, and all add up."""
    found, documents = await asked(many, filters, **more)
    told = found.ran if measure == "ran" else found.waited
    begin, end = ("launched", "completed") if measure == "ran" else ("created", "launched")
    if measure == "waited":
        for document in documents:  # up to the first launch, of whichever attempt
            launches = [attempt["launched"] for attempt in document["tracker"]["attempts"] if attempt["launched"]]
            document["launched"] = launches[0] if launches else None
    of_task = {document["id"]: between(document, begin, end) for document in documents}
    measured = [document for document in documents if (of_task[document["id"]] or 0) >= 0 and of_task[document["id"]] is not None]

    def shown(chosen: Documents) -> tuple[Any, ...]:
        ordered = sorted(of_task[document["id"]] or 0 for document in chosen)
        if not ordered:
            return (0, None, None, None, None, None, None)
        ranks = [ordered[math.ceil(percent * len(ordered) / 100) - 1] for percent in (50, 90, 95, 99)]
        return (len(ordered), ordered[0], *ranks, ordered[-1])

    def as_told(each: Any) -> tuple[Any, ...]:
        return (each.tasks, each.least, each.p50, each.p90, each.p95, each.p99, each.greatest)

    assert as_told(told.all) == shown(measured)
    for name, each in told.by_type.items():
        assert as_told(each) == shown([document for document in measured if document["type"] == name])
    for name, each in told.by_launcher.items():
        assert as_told(each) == shown([document for document in measured if document["launcher"] == name])
    others = [document for document in measured if document["launcher"] not in told.by_launcher]
    assert as_told(told.other_launchers) == shown(others)
    assert told.negative == sum((length or 0) < 0 for length in of_task.values())
    assert told.later_attempts == sum(document["tracker"]["attempt"] > 1 for document in measured)
    assert told.all.tasks + told.negative + sum(told.missing.values()) == found.tasks
    if measure == "ran":
        assert told.missing == {
            name: count
            for name, count in {
                "pending": found.outcomes.get("PENDING", 0),
                "running": found.outcomes.get("RUNNING", 0),
                "neverLaunched": sum(bool(document["completed"] and not document["launched"]) for document in documents),
            }.items()
            if count
        }


async def test_the_launchers_told_apart_are_those_of_most_tasks(many: TaskQuery) -> None:
    """20 of 31, and the rest in one line."""
    found, documents = await asked(many, None)
    counted = Counter(document["launcher"] for document in documents)
    assert list(found.ran.by_launcher) == sorted(counted, key=lambda name: (-counted[name], name))[:20]
    assert found.ran.other_launchers.tasks > 0


@pytest.mark.parametrize("filters", [None, HINTED])
async def test_failures_are_counted_by_their_error_messages(many: TaskQuery, filters: str | None) -> None:
    """Each failed task counts once for each key of its ERROR messages; the latest failure gives the text."""
    found, documents = await asked(many, filters)
    failed = [document for document in documents if document["completionStatus"] in ("ERROR", "TEMPERROR")]
    by_key: dict[str, Documents] = {}
    for document in failed:
        for key in {message["key"] for message in document["messages"] if message["type"] == "ERROR"}:
            by_key.setdefault(key, []).append(document)
    told = found.failures
    assert told.tasks == len(failed)
    assert told.by_status == Counter(document["completionStatus"] for document in failed)
    assert told.without_message == len(failed) - len({document["id"] for of_key in by_key.values() for document in of_key}) > 0
    assert [each.key for each in told.keys] == sorted(by_key, key=lambda key: (-len(by_key[key]), key))
    for each in told.keys:
        assert each.by_status == Counter(document["completionStatus"] for document in by_key[each.key])
        latest = max(by_key[each.key], key=lambda document: (document["completed"], document["id"]))
        texts = [
            message["localizedText"]["message"]
            for message in latest["messages"]
            if (message["type"], message["key"]) == ("ERROR", each.key)
        ]
        assert (each.latest_task, each.latest_completed, each.text) == (latest["id"], latest["completed"], texts[-1])
    assert (told.other_keys, told.uncounted) == (0, 0)


async def test_keys_beyond_what_is_counted_are_told(many: TaskQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where keys are as many as tasks, memory stays bounded, and the tasks with keys that were not counted are counted."""
    monkeypatch.setattr(failures, "MAX_KEYS", 2)
    found, documents = await asked(many, None)
    kept = {each.key for each in found.failures.keys}
    failed = [document for document in documents if document["completionStatus"] in ("ERROR", "TEMPERROR")]
    keys = [{message["key"] for message in document["messages"] if message["type"] == "ERROR"} for document in failed]
    assert len(kept) == 2
    assert found.failures.uncounted == sum(bool(each - kept) for each in keys) > 0


async def test_the_slowest_and_the_silent_are_listed(many: TaskQuery) -> None:
    """The 20 longest first, equally long ones by id; how many are silent for how long is counted."""
    found, documents = await asked(many, None)
    took = [(length, document["id"]) for document in documents if (length := between(document, "launched", "completed")) is not None]
    assert [(each.microseconds, each.id) for each in found.slowest] == sorted(took, key=lambda each: (-each[0], each[1]))[:20]
    running = {
        document["id"]: NOW - datetime.fromisoformat(document["modified"]) for document in documents if outcome(document) == "RUNNING"
    }
    assert found.silent.running == len(running)
    assert [each.id for each in found.silent.longest] == sorted(running, key=lambda id: (-running[id], id))[:20]
    assert found.silent.longer_than["1d"] == sum(silence > timedelta(days=1) for silence in running.values())
    document = next(document for document in documents if document["id"] == found.slowest[0].id)
    first = found.slowest[0]
    assert (first.unique_name, first.launcher, first.launched, first.completed) == (
        *(document[name] for name in ("uniqueName", "launcher", "launched", "completed")),
    )


async def test_all_is_of_one_revision(opened: tuple[StatusStore, TaskQuery]) -> None:
    """A commit in the middle of the reading is not in it."""
    store, tasks = opened
    revision = commit(store, log(30))

    def write(_number: int) -> None:
        commit(store, [event("late", "created")])

    found = await tasks.ask(findings(None, now=NOW, told=write))
    assert await tasks.count() == 31
    assert (found.revision, found.tasks, sum(bucket.count for bucket in found.histogram.buckets)) == (revision, 30, 30)


async def test_of_an_empty_store_nothing_is_told(opened: tuple[StatusStore, TaskQuery]) -> None:
    """No task, no bucket, no percentile, and no error."""
    _, tasks = opened
    found = await tasks.ask(findings(None, now=NOW))
    assert (found.tasks, found.outcomes, found.histogram.buckets, found.slowest) == (0, {}, [], [])
    assert (found.ran.all.tasks, found.ran.all.p50, found.failures.keys, found.silent.longest) == (0, None, [], [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"over": "complete"}, 'did you mean "completed"'),
        ({"since": "yesterday"}, "since: expected a time"),
        ({"bucket": "1w"}, "such as 30s"),
        ({"filters": "stat eq 1"}, 'did you mean "state"'),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(arguments: dict[str, Any], message: str) -> None:
    """By the same sentences as elsewhere."""
    with pytest.raises(UsageError, match=message):
        findings(**{"now": NOW} | arguments)
