"""A small scene for one fault alone: a topic, workers of the command line, and what must come of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.crash.crash_log import produce_all, records
from tests.crash.fleet import Fleet, Worker
from tests.crash.oracle import Expected, differences, expect_records, read_log
from tracker.model.records import Record, TopicPartition
from tracker.stores.base import PartitionStatus
from tracker.stores.open import open_store

DEADLINE_S = 90.0


def fleet(bootstrap: str, topic: str, store: str, folder: Path, *options: str, workers: int = 2) -> Fleet:
    """Workers that have not begun, in one group."""
    source = f"kafka://{bootstrap}/{topic}?group={topic}"
    return Fleet([Worker(f"w{number}", source, store, folder, list(options)) for number in range(1, workers + 1)])


def produce(bootstrap: str, topic: str, count: int, seed: int) -> None:
    """So many records in four partitions: all that a log may have."""
    asyncio.run(produce_all(bootstrap, list(records(count, topic, seed=seed))))


def log_of(bootstrap: str, topic: str) -> list[Record]:
    """What stands in it now."""
    return asyncio.run(read_log(bootstrap, [topic]))


def stored(url: str) -> list[PartitionStatus]:
    """The store's positions."""
    with open_store(url, create=False) as store:
        return list(store.partitions())


def tend_until(fleet: Fleet, holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Keep the fleet up until a condition holds."""
    deadline = time.monotonic() + deadline_s
    while not holds():
        fleet.tend()
        assert time.monotonic() < deadline, f"waited {deadline_s:.0f} s for {what}: {[each.messages()[-2:] for each in fleet.workers]}"
        time.sleep(0.1)


def read_all(url: str, path: Path | None, log: Iterable[Record]) -> Callable[[], bool]:
    """Whether the store's positions are at the log's end."""
    ends = ends_of(log)

    def reached() -> bool:
        if path is not None and not path.exists():
            return False
        offsets = {each.position.at: each.position.next_offset for each in stored(url)}
        return all(offsets.get(at) == end for at, end in ends.items())

    return reached


def ends_of(log: Iterable[Record]) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition."""
    ends: dict[TopicPartition, int] = {}
    for record in log:
        at = TopicPartition(record.topic, record.partition)
        ends[at] = max(ends.get(at, 0), record.offset + 1)
    return ends


def wrong(url: str, log: list[Record], ends: dict[TopicPartition, int], folder: Path) -> list[str]:
    """Every difference between the store and the naive fold of these records; and between it and its own export."""
    export = folder / "export.jsonl"
    command = [sys.executable, "-m", "tracker", "export", "--store", url, "--format", "jsonl", "--out", str(export)]
    subprocess.run(command, check=True, capture_output=True)
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    expected: Expected = expect_records(log, shards, ends)
    for at in ends:
        expected.fates.setdefault(at, Counter())
    return differences(expected, url, export)
