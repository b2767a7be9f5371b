"""A year's log on Spark into PostgreSQL, then live: a real topic, Spark's own connector, a job that is killed, and a worker that goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.crash.crash_log import Outcome, produce_all, produce_crash_log
from tests.spark.command import begun, has_begun, ran
from tests.spark.jars import kafka_jars, required_spark
from tracker.projector import Options, Projector
from tracker.rebuild.copying import copy
from tracker.stores.open import open_contents, open_store

from .conftest import MakeTopic
from .kafka import Broker
from .reading import DEADLINE_S, source
from .road import KEPT, ends, expecting, is_exact, spread

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


def offsets_of(url: str) -> dict[int, int]:
    """The store's positions by partition."""
    with open_contents(url) as contents:
        return {each.position.partition: each.position.next_offset for each in contents.partitions()}


async def worked(kafka: Broker, topic: str, url: str) -> None:
    """A live worker's run to the ends that the log has now."""
    with open_store(url) as store:
        projector = Projector(
            lambda on_revoked: source(kafka, topic, on_revoked=on_revoked),
            store,
            options=Options(max_batch_records=500, max_parked_ratio=0.0, until_end=True),
        )
        async with asyncio.timeout(4 * DEADLINE_S):
            await projector.run()


async def test_from_kafka_through_spark_to_a_live_worker(kafka: Broker, topic: MakeTopic, database: str, tmp_path: Path) -> None:
    """Spark is killed once, ends at the very offsets that it was told, and the worker reads the rest: the naive fold, each record counted once."""
    required_spark()
    jars = f"--conf=spark.jars={kafka_jars()}"
    name = await topic(partitions=4, config=KEPT)
    with Outcome(tmp_path) as outcome:
        await produce_crash_log(kafka.bootstrap, name, 6_000, outcome)
        until = await ends(kafka, name, range(4))
        told = ["--from", f"kafka://{kafka.bootstrap}/{name}", "--to-store", database, "--until-offsets", json.dumps({name: until}), jars]
        told += ["--max-parked-ratio", "0"]
        with begun(*told) as process:
            async with asyncio.timeout(4 * DEADLINE_S):
                while not has_begun(database):
                    assert process.poll() is None
                    await asyncio.sleep(0.05)
        # The log goes on meanwhile, of tasks that Spark has seen and of others.
        await produce_all(kafka.bootstrap, expecting(outcome, spread(name, 150, first_task=100)))
        said, _ = await asyncio.to_thread(ran, *told)
        assert (said["state"], said["offsets"]) == ("swapped", {name: {str(number): offset for number, offset in until.items()}})
        assert offsets_of(database) == until
        await worked(kafka, name, database)
        with open_contents(database) as contents, open_store(f"sqlite:///{tmp_path}/status.db") as copied:
            copy(contents, copied)
        assert await is_exact(kafka, name, tmp_path / "status.db", outcome)


async def test_beside_a_live_worker(kafka: Broker, topic: MakeTopic, database: str, tmp_path: Path) -> None:
    """A store that its worker has filled is folded again on Spark, found equal, and exchanged; the worker then reads on."""
    required_spark()
    name = await topic(partitions=4, config=KEPT)
    with Outcome(tmp_path) as outcome:
        await produce_crash_log(kafka.bootstrap, name, 3_000, outcome)
        await worked(kafka, name, database)
        said, _ = await asyncio.to_thread(
            ran, "--from", f"kafka://{kafka.bootstrap}/{name}", "--to-store", database, f"--conf=spark.jars={kafka_jars()}"
        )
        assert (said["state"], said["different"]) == ("swapped", 0)
        await produce_all(kafka.bootstrap, expecting(outcome, spread(name, 50, first_task=9_000)))
        await worked(kafka, name, database)
        with open_contents(database) as contents, open_store(f"sqlite:///{tmp_path}/status.db") as copied:
            copy(contents, copied)
        assert await is_exact(kafka, name, tmp_path / "status.db", outcome)
