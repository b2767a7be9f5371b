"""A run that is killed 50 times is, byte for byte, the run that nobody disturbed.

The figures for the record, with a million events (about five minutes on 2 cores)::

    TRACKER_CRASH_EVENTS=1000000 .venv/bin/python -m pytest tests/crash/test_kills.py -m crash -s --timeout=3600
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka.admin import NewTopic

from tests.crash.crash_log import Outcome, produce_crash_log
from tests.crash.killer import Killer, Kills
from tests.crash.outcome import counters, differences, exported, registers
from tests.services.kafka import AIOKafkaAdminClientClosing, Broker

EVENTS = int(os.environ.get("TRACKER_CRASH_EVENTS", "60000"))
KILLS = 50
PARTITIONS = 4
BATCH_RECORDS = max(200, min(2_000, EVENTS // 300))
"""Small, so that each worker makes several commits before it is killed."""
TOPIC = "crash"

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3_600)]


@dataclass
class Run:
    """A killed run and an undisturbed one of the same log, and what must come of it."""

    kills: Kills
    killed: Path
    undisturbed: Path
    expected: Outcome
    documents: dict[str, dict[str, Any] | None]


@pytest.fixture(scope="module")
def run(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Produces the log, kills one run and lets another be."""
    folder = tmp_path_factory.mktemp("crash")
    with Outcome(folder) as expected:
        started = time.monotonic()
        asyncio.run(_make_log(kafka, expected))
        produced = time.monotonic()
        source = f"kafka://{kafka.bootstrap}/{TOPIC}"
        killer = Killer(source, folder / "killed.db", expected.total, BATCH_RECORDS, Random(1))
        kills = killer.run(KILLS)
        killed = time.monotonic()
        Killer(source, folder / "undisturbed.db", expected.total, 10_000, Random(1)).finish()
        undisturbed = time.monotonic()
        documents = expected.documents()
        print(
            f"\n{expected.total:,} records, {len(documents):,} tasks: produced in {produced - started:.0f} s; {kills.counted} kills "
            f"({kills.idle} more did not count) in {killed - produced:.0f} s, batches of {BATCH_RECORDS}; undisturbed "
            f"{undisturbed - killed:.1f} s; naive fold {time.monotonic() - undisturbed:.0f} s"
        )
        for kind, count in sorted(kills.by_kind.items()):
            print(f"  {count:3} × {kind}")
        for partition, counted in sorted(counters(folder / "killed.db").items()):
            print(f"  partition {partition}: {counted}")
        print(f"  expected: {dict(expected.by_fate)}")
        yield Run(kills, folder / "killed.db", folder / "undisturbed.db", expected, documents)
    for path in folder.iterdir():
        path.unlink()


async def _make_log(broker: Broker, expected: Outcome) -> None:
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        answer = await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, topic_configs={"retention.ms": "-1"})])
        assert all(error[1] == 0 for error in answer.topic_errors), answer
    await produce_crash_log(broker.bootstrap, TOPIC, EVENTS, expected)


def test_kills(run: Run) -> None:
    """After 50 kills at seams and at random moments, half of them in a group, the registers are those of the undisturbed run, byte for byte."""
    assert run.kills.counted == KILLS
    assert all(a == b for a, b in zip(registers(run.killed), registers(run.undisturbed), strict=True))
    assert exported(run.killed) == exported(run.undisturbed)


def test_the_killed_run_is_exact(run: Run) -> None:
    """Its documents are the naive fold's; each record was counted once, per partition and in all."""
    assert differences(run.killed, run.expected, run.documents) == []


def test_the_undisturbed_run_is_exact(run: Run) -> None:
    """The same of the run that nobody killed."""
    assert differences(run.undisturbed, run.expected, run.documents) == []


def test_everything_was_in_the_log(run: Run) -> None:
    """Refused records of every kind but too-large, ignored ones and tombstones: the kills fell among all of them."""
    reasons = {"parked:not-json", "parked:not-an-event", "parked:invalid-data", "parked:future-time"}

    assert run.expected.by_fate.keys() == {"event", "ignored"} | reasons
    assert any(document is None for document in run.documents.values())
