"""The page on Spark is true: its commands run against a real topic, Spark and a real PostgreSQL, and its Python on a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.crash.crash_log import produce_all
from tests.docs.snippets import ROOT, blocks, run
from tests.naive.workload import lines
from tests.spark.command import SMALL, environment
from tests.spark.jars import kafka_jars, required_spark
from tracker.query import connect

from .conftest import MakeTopic
from .kafka import Broker
from .road import KEPT, spread

PAGE = ROOT / "docs" / "how-to" / "fold-on-spark.md"
TOPIC, STORE, OURS = "kafka://broker:9092/task-events", "postgresql://tracker@db/tracker", "python -m tracker.analytics.spark"
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not PAGE.exists(), reason="the pages are part of the source tree"),
    pytest.mark.timeout(900),
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    required_spark()
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


async def test_the_commands(kafka: Broker, topic: MakeTopic, database: str, tmp_path: Path) -> None:
    """A topic is loaded, a worker comes to its end with nothing to read again, and loading once more finds no difference."""
    name = await topic(partitions=1, config=KEPT)
    await produce_all(kafka.bootstrap, spread(name, 30, partitions=1))
    shown = []
    for block in blocks(PAGE):
        if block.language == "sh":
            text = (
                block.text.replace(TOPIC, f"kafka://{kafka.bootstrap}/{name}")
                .replace(STORE, database)
                .replace('"task-events"', f'"{name}"')
            )
            text = text.replace(OURS, f"{OURS} --master local[2] --conf spark.jars={kafka_jars()} {' '.join(SMALL)}")
            text = text.replace("tracker run", "tracker run --until-end --json") if block.word == "live" else text
            shown.append(await asyncio.to_thread(run, block._replace(text=text), "", tmp_path))
    assert "240 records folded into 30 tasks" in shown[0]
    assert f"{name}, partition 0: 240" in shown[0]
    assert '"read":0' in shown[1]
    assert f"{name}, partition 0: 240" in shown[2]
    with connect(database) as tasks:
        assert tasks.count() == 30


def test_the_python(tmp_path: Path) -> None:
    """Statuses are counted, and so are records."""
    (tmp_path / "events.jsonl").write_bytes(b"\n".join([*lines(20), b"not JSON"]) + b"\n")
    [block] = [block for block in blocks(PAGE) if block.language == "python"]
    shown = run(block, "", tmp_path)
    assert "161 records" in shown
    assert "|not-json|    1|" in shown


def test_the_page_uses_the_names_that_the_test_replaces() -> None:
    """Or a snippet would be run against nothing."""
    assert all(TOPIC in block.text and STORE in block.text for block in blocks(PAGE) if block.language == "sh")
