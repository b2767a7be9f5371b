"""States that Spark has folded go into a store with their positions, and a worker goes on there: nothing twice, nothing missing."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.naive.workload import lines
from tests.rebuild.logs import NOW, Stopped, hash_of, live_in, log_in, stop_at, url, worked
from tracker import replay
from tracker.analytics.spark import folding, reading
from tracker.analytics.spark.loading import SparkFold, opened
from tracker.errors import TooManyParked
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import Order, Outcome, Rebuild
from tracker.replay.runs import unpacked
from tracker.stores.base import Counters
from tracker.stores.open import open_contents

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(autouse=True)
def _small_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "STRETCH_BYTES", 40_000)


def loaded(spark: SparkSession, store: Path, *logs: Path, seam: Callable[[str], None] = lambda _: None, **how: Any) -> Outcome:
    """One run into the store, which is made where it is not there."""
    shadow, is_new = opened(url(store), None)
    named = Logs(tuple(map(str, logs)))
    order = Order(logs=named, accept=is_new, **{name: value for name, value in how.items() if name != "max_parked_ratio"})
    engine = SparkFold(spark, named, max_parked_ratio=how.get("max_parked_ratio", 0.1))
    return asyncio.run(Rebuild(shadow, order, lambda: NOW, engine=engine, seam=seam).run())


def counters_of(store: Path) -> Counters:
    """In all."""
    total = Counters()
    with open_contents(url(store)) as contents:
        for each in contents.partitions():
            total.add(each.counters)
    return total


def is_as_replayed(store: Path, folder: Path, *logs: Path) -> bool:
    """States, positions, parked records and counts are those that a replay of the logs gives."""
    other = folder / "other.db"
    replay.replay(list(map(str, logs)), url(other), jobs=1)
    assert hash_of(store) == hash_of(other)
    mine, theirs = counters_of(store), counters_of(other)
    assert (mine.read, mine.ignored, mine.parked) == (theirs.read, theirs.ignored, theirs.parked)
    assert mine.balanced
    with open_contents(url(store)) as ours, open_contents(url(other)) as others:
        assert {each.position for each in ours.partitions()} == {each.position for each in others.partitions()}
        parked = [[(each.record, each.reason, each.detail) for each in contents.parked_records()] for contents in (ours, others)]
        assert sorted(parked[0], key=repr) == sorted(parked[1], key=repr)
    return True


def test_a_new_store_and_its_worker(spark: SparkSession, tmp_path: Path) -> None:
    """The store has what a replay gives; then more comes, a worker goes on at that very byte, and again all is as replayed."""
    log, store = log_in(tmp_path), tmp_path / "status.db"
    outcome = loaded(spark, store, log)
    assert (outcome.note.state, outcome.note.tasks, outcome.note.read) == ("swapped", 60, 482)
    assert is_as_replayed(store, tmp_path, log)
    (tmp_path / "other.db").unlink()
    log_in(tmp_path, first_task=40)
    worked(store, log)
    assert counters_of(store).read == 2 * 482
    assert is_as_replayed(store, tmp_path, log)


def test_a_log_without_tasks(spark: SparkSession, tmp_path: Path) -> None:
    """Nothing is stored of it but where workers go on, and what was counted."""
    log, store = tmp_path / "events.jsonl", tmp_path / "status.db"
    log.write_bytes(b'{"type":"com.example.other"}\n' * 3)
    outcome = loaded(spark, store, log)
    assert (outcome.note.state, outcome.note.tasks, outcome.note.read) == ("swapped", 0, 3)
    assert is_as_replayed(store, tmp_path, log)


def test_no_partition_that_the_driver_gets_is_large(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States to be stored come in order, in partitions of about the size that is set, however many there are and whatever Spark's own number is."""
    monkeypatch.setattr(folding, "PARTITION_BYTES", 8_000)
    with folding.fold_events(reading.read_jsonl(spark, str(log_in(tmp_path)))) as folded:
        partitions = [[write for row in rows for write in unpacked(row[0])] for rows in folded.frames().rdd.glom().collect()]
        sizes = [sum(len(write.registers) for write in writes) for writes in partitions]
        assert sum(sizes) > 5 * 8_000
        assert max(sizes) < 3 * 8_000
        expected = [(row["id"], bytes(row["registers"])) for row in folded.states.toLocalIterator()]
        assert [(write.task_id, write.registers) for writes in partitions for write in writes] == expected


@pytest.mark.parametrize("seam", ["building", "all is folded", "verified", "swapping"])
def test_stopped_and_begun_again(spark: SparkSession, tmp_path: Path, seam: str) -> None:
    """Stopped before or after Spark's work was stored, the next run ends with each record once."""
    log, store = log_in(tmp_path), tmp_path / "status.db"
    with pytest.raises(Stopped):
        loaded(spark, store, log, seam=stop_at(seam))
    assert counters_of(store) == Counters()
    assert loaded(spark, store, log).note.state == "swapped"
    assert is_as_replayed(store, tmp_path, log)


def test_beside_a_live_store(spark: SparkSession, tmp_path: Path) -> None:
    """What Spark folds of the log is what its workers have: compared task by task, exchanged, no difference."""
    log = log_in(tmp_path)
    store = live_in(tmp_path)
    before = hash_of(store)
    outcome = loaded(spark, store, log)
    assert (outcome.note.state, outcome.note.tasks, outcome.note.different) == ("swapped", 60, 0)
    assert hash_of(store) == before


def test_plain_and_compressed_files(spark: SparkSession, tmp_path: Path) -> None:
    """An archive beside the log: the end of what is compressed is where its content ends."""
    log, archive, store = log_in(tmp_path), tmp_path / "archive.jsonl.gz", tmp_path / "status.db"
    archive.write_bytes(gzip.compress(b"\n".join(lines(30, first_task=45)) + b"\n"))
    assert loaded(spark, store, archive, log).note.state == "swapped"
    assert is_as_replayed(store, tmp_path, archive, log)


def test_too_many_refused(spark: SparkSession, tmp_path: Path) -> None:
    """A file that is no log of events is not stored, and can be abandoned for another."""
    wrong, store = tmp_path / "wrong.jsonl", tmp_path / "status.db"
    wrong.write_bytes(b"no event\n" * 1_500)
    with pytest.raises(TooManyParked, match="1500 of 1500 records would be parked"):
        loaded(spark, store, wrong)
    assert counters_of(store) == Counters()
    assert loaded(spark, store, wrong, max_parked_ratio=0.0).note.state == "swapped"
    assert counters_of(store).parked == 1_500
