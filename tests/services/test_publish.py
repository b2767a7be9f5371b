"""A store's statuses in a real topic: killed at every seam and at random moments, the publisher leaves, when it has come to its end, a topic that is the
store, for consumers of committed records and for those that read everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import pytest
from aiokafka import AIOKafkaConsumer

from tests.crash.publishing import SEAMS
from tests.unit.query_store import commit, event
from tracker.query import open_query
from tracker.stores.base import StatusStore
from tracker.stores.open import open_store

from .kafka import AIOKafkaAdminClientClosing, Broker
from .reading import MakeTopic
from .test_publish_topic import COMPACT, folded

pytestmark = [pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
PUBLISHING = ROOT / "tests" / "crash" / "publishing.py"
TASKS = 400


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store."""
    return f"sqlite:///{tmp_path}/status.db" if request.param == "sqlite" else str(request.getfixturevalue("database"))


@pytest.fixture
def store(url: str) -> Iterator[StatusStore]:
    """The store, open for writing."""
    with open_store(url) as opened:
        yield opened


class Process:
    """A publisher as a process; its log goes to a file. Killed at the end of ``with`` if it still lives."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._path, self._log = log, log.open("ab")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=log.parent, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()

    @property
    def log(self) -> str:
        """What was said by all that wrote to the file."""
        return self._path.read_text()

    async def ended(self, deadline_s: float = 90) -> int:
        """Its exit code (negative: the signal that ended it)."""
        return await asyncio.to_thread(self.process.wait, deadline_s)


def publishing(broker: Broker, topic: str, url: str, log: Path, *options: str) -> Process:
    """The publisher with seams."""
    return Process([sys.executable, str(PUBLISHING), url, f"kafka://{broker.bootstrap}/{topic}", *options], log)


def publisher(broker: Broker, topic: str, url: str, log: Path, *options: str) -> Process:
    """The command line's."""
    command = [sys.executable, "-m", "tracker", "publish", "--store", url, "--topic", f"kafka://{broker.bootstrap}/{topic}", *options]
    return Process(command, log)


def change(store: StatusStore, rng: Random, tasks: int, clock: int) -> None:
    """One commit, of some new tasks, some that get on, and some that are deleted."""
    time_text = f"2026-01-01T{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}Z"
    kinds = ("created", "created", "launched", "progressed", "deleted")
    commit(store, [event(f"task-{number:04}", rng.choice(kinds), time_text) for number in rng.sample(range(TASKS), tasks)])


async def statuses(url: str) -> dict[str, bytes]:
    """The store, as ``tracker export --format jsonl`` writes it."""
    async with open_query(url) as query:
        return {d["id"]: json.dumps(d, ensure_ascii=False, separators=(",", ":")).encode() async for d in query.documents()}


async def is_the_store(broker: Broker, topic: str, url: str, log: Path) -> bool:
    """After one more run to the end: the topic is the store, byte by byte, whichever records a consumer reads."""
    with publisher(broker, topic, url, log, "--until-end") as last:
        assert await last.ended() == 0, last.log
    expected = await statuses(url)
    for isolation in ("read_committed", "read_uncommitted"):
        found = await folded(broker, topic, isolation)
        assert sorted(found) == sorted(expected), isolation
        assert found == expected, isolation
    return True


@pytest.mark.crash
async def test_a_publisher_that_is_killed_at_every_seam(
    kafka: Broker, topic: MakeTopic, store: StatusStore, url: str, tmp_path: Path
) -> None:
    """SIGKILL at the first and at a later passing of each seam, while the store goes on changing."""
    name, rng, log = await topic(partitions=3, config=COMPACT), Random(8), tmp_path / "publisher.log"
    change(store, rng, TASKS // 2, 1)
    kills = 0
    for number, (seam, passing) in enumerate((seam, passing) for passing in (1, 3) for seam in SEAMS):
        change(store, rng, 60, 2 + number)
        with publishing(kafka, name, url, log, "--until-end", "--page-records", "25", "--seam", seam, "--passing", str(passing)) as process:
            code = await process.ended()
            assert code in (0, -signal.SIGKILL), process.log
            kills += code == -signal.SIGKILL
    assert kills >= len(SEAMS)
    assert await is_the_store(kafka, name, url, log)


@pytest.mark.crash
async def test_a_publisher_that_is_killed_at_random_moments(
    kafka: Broker, topic: MakeTopic, store: StatusStore, url: str, tmp_path: Path
) -> None:
    """SIGKILL whenever, ten times, while a writer commits without a pause."""
    name, rng, log = await topic(partitions=3, config=COMPACT), Random(9), tmp_path / "publisher.log"
    change(store, rng, TASKS // 2, 1)
    stop = asyncio.Event()

    async def write() -> None:
        clock = 2
        while not stop.is_set():
            await asyncio.to_thread(change, store, rng, 20, clock)
            clock += 1
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    published = 0
    for kill in range(10):
        with publishing(kafka, name, url, log, "--page-records", "10") as process:
            before = await written(kafka, name)
            deadline_s = time.monotonic() + 60
            while await written(kafka, name) <= before and time.monotonic() < deadline_s:
                assert process.process.poll() is None, process.log
            await asyncio.sleep(rng.uniform(0, 0.3))
            process.process.send_signal(signal.SIGKILL)
            await process.ended()
            published += await written(kafka, name) > before
            print(f"kill {kill}: {before} records before, {await written(kafka, name)} after")
    stop.set()
    await writing
    assert published == 10
    assert await is_the_store(kafka, name, url, log)


async def written(broker: Broker, topic: str) -> int:
    """How many offsets the topic's partitions have come to."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        await consumer._client._wait_on_metadata(topic)
        from aiokafka import TopicPartition

        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        return sum(ends.values())


async def test_a_frozen_publisher_writes_nothing_more(
    kafka: Broker, topic: MakeTopic, store: StatusStore, url: str, tmp_path: Path
) -> None:
    """One that stands still in the middle of a transaction, and goes on after another has taken over, is fenced off: nothing of what it had begun
    comes. It ends with exit code 3, or, where it has stood for so long that it gives up its transaction itself, begins anew.
    """
    name, rng, log = await topic(partitions=2, config=COMPACT), Random(10), tmp_path / "publisher.log"
    change(store, rng, TASKS // 2, 1)
    frozen_log = tmp_path / "frozen.log"
    with publishing(kafka, name, url, frozen_log, "--until-end", "--seam", "sent", "--passing", "2", "--signal", "SIGSTOP") as frozen:
        await until_stopped(frozen.process.pid)
        change(store, rng, TASKS // 2, 2)
        with publisher(kafka, name, url, log, "--until-end") as second:
            assert await second.ended() == 0, second.log
        frozen.process.send_signal(signal.SIGCONT)
        code = await frozen.ended()
        assert code == 0 or (code == 3 and "another publisher has taken over" in frozen.log), frozen.log
    assert await folded(kafka, name) == await statuses(url)
    assert await is_the_store(kafka, name, url, log)


async def until_stopped(pid: int) -> None:
    """SIGSTOP has come to it."""
    async with asyncio.timeout(60):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":  # noqa: ASYNC110, ASYNC240 - the system tells nobody
            await asyncio.sleep(0.02)


async def test_the_command_follows_and_stops(kafka: Broker, store: StatusStore, url: str, tmp_path: Path) -> None:
    """It makes the topic, publishes what comes, ends within 5 s of SIGTERM with its totals, and goes on in the next run."""
    name, rng, log = f"s-{uuid.uuid4().hex[:10]}", Random(11), tmp_path / "publisher.log"
    change(store, rng, 50, 1)
    with publisher(kafka, name, url, log, "--partitions", "2") as process:
        await until_said(process, "is made: compacted, 2 partitions")
        async with asyncio.timeout(30):
            while await folded(kafka, name) != await statuses(url):  # noqa: ASYNC110 - the broker has to be asked
                await asyncio.sleep(0.1)
        change(store, rng, 50, 2)
        async with asyncio.timeout(30):
            while await folded(kafka, name) != await statuses(url):  # noqa: ASYNC110 - the broker has to be asked
                await asyncio.sleep(0.1)
        begun_s = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0, process.log
        assert time.monotonic() - begun_s < 5
    assert "the next run goes on there" in process.log
    assert await is_the_store(kafka, name, url, log)
    assert "going on after revision" in log.read_text()
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_topics([name])


async def until_said(process: Process, text: str) -> None:
    """It has logged this."""
    async with asyncio.timeout(60):
        while text not in process.log:
            assert process.process.poll() is None, process.log
            await asyncio.sleep(0.05)


async def test_a_broker_that_goes_away_is_waited_for(
    restartable: Broker, topic: MakeTopic, store: StatusStore, url: str, tmp_path: Path
) -> None:
    """A publisher outlives a broker's absence, says once that it waits, stops within 5 s meanwhile, and loses nothing."""
    name, rng, log = await topic(partitions=2, config=COMPACT), Random(12), tmp_path / "publisher.log"
    change(store, rng, 50, 1)
    with publisher(restartable, name, url, log) as process:
        async with asyncio.timeout(30):
            while await folded(restartable, name) != await statuses(url):  # noqa: ASYNC110 - the broker has to be asked
                await asyncio.sleep(0.1)
        restartable.pause()
        try:
            change(store, rng, 50, 2)
            await until_said(process, "trying again")
            begun_s = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0, process.log
            assert time.monotonic() - begun_s < 5
            assert process.log.count("trying again") == 1
        finally:
            restartable.resume()
    assert await is_the_store(restartable, name, url, log)


async def test_an_own_source_is_refused(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """A compacted topic of events that a store is folded from is not published to."""
    name, url, log = await topic(config=COMPACT), f"sqlite:///{tmp_path}/status.db", tmp_path / "publisher.log"
    run = [sys.executable, "-m", "tracker", "run", "--source", f"kafka://{kafka.bootstrap}/{name}", "--store", url, "--until-end"]
    with Process(run, tmp_path / "run.log") as running:
        assert await running.ended() == 0, running.log
    with publisher(kafka, name, url, log, "--until-end") as process:
        assert await process.ended() == 3, process.log
    assert "the store reads its events from the topic" in process.log


def totals(text: str) -> dict[str, Any]:
    """The last line of what a run with --json has written."""
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return found


async def test_everything_again(kafka: Broker, topic: MakeTopic, store: StatusStore, url: str, tmp_path: Path) -> None:
    """--again writes each status once more, as another publication; a further run has nothing to say."""
    name, rng, log = await topic(partitions=2, config=COMPACT), Random(13), tmp_path / "publisher.log"
    change(store, rng, 100, 1)
    assert await is_the_store(kafka, name, url, log)
    with publisher(kafka, name, url, log, "--until-end", "--again", "--json", "--log-level", "warning") as process:
        assert await process.ended() == 0, process.log
    assert (totals(process.log)["publication"], totals(process.log)["statuses"]) == (2, len(await statuses(url)))
    with publisher(kafka, name, url, log, "--until-end", "--json", "--log-level", "warning") as process:
        assert await process.ended() == 0, process.log
    assert totals(process.log)["statuses"] == 0
