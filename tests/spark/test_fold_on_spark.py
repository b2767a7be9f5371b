"""Spark gives the states and statuses that a store has, byte for byte, from whatever it reads, and accounts for every record."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.crash.crash_log import records as crash_records
from tests.laws.agreement import SMALL
from tests.naive.logs import crowded_log, pool, random_record, rearranged
from tests.naive.values import canonical
from tests.naive.workload import lines, task_id
from tests.unit.road import run
from tracker.analytics.spark.folding import Folded, fold_events
from tracker.analytics.spark.reading import read_jsonl
from tracker.errors import NotFound, TornFile, UsageError
from tracker.fold.state import from_bytes
from tracker.fold.view import extension, view
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record
from tracker.projector import Options
from tracker.replay import replay
from tracker.sources.memory import END
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_contents

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEADERS = "array<struct<key:string,value:binary>>"
LOGS = ("random", "rearranged", "crowded", "shuffled workload", "crash log")
KAFKA = f"key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp, timestampType int, headers {HEADERS}"
"""The columns of Spark's own source."""


def in_offset_order(records: Sequence[Record], partitions: int = 3) -> list[Record]:
    """The records as a topic has them, each in any of its partitions: offsets ascend, with gaps."""
    rng, at = Random(len(records)), Counter[int]()
    placed = []
    for record in records:
        partition = rng.randrange(partitions)
        placed.append(msgspec.structs.replace(record, topic="events", partition=partition, offset=2 * at[partition]))
        at[partition] += 1
    return placed


def as_kafka(spark: SparkSession, records: Sequence[Record]) -> DataFrame:
    """The records as Spark's Kafka source has them."""
    from pyspark.sql import functions as f

    rows = [
        (
            each.key and bytearray(each.key),
            None if each.value is None else bytearray(each.value),
            each.topic,
            each.partition,
            each.offset,
            -1 if each.timestamp_ms is None else each.timestamp_ms,
            0,
            [(name, value) for name, value in each.headers] or None,
        )
        for each in records
    ]
    frame = spark.createDataFrame(rows, KAFKA.replace("timestamp timestamp", "timestamp bigint"))
    return frame.withColumn("timestamp", f.timestamp_millis("timestamp")).repartition(3, "partition")


def own_log(seed: int) -> list[Record]:
    """`random_log`, of tasks that no other seed has."""
    rng = Random(seed)
    shape = pool(rng)
    shape.tasks = tuple(f"{task[:250]}{seed}" for task in shape.tasks)
    return [random_record(rng, shape) for _ in range(rng.randint(4, 20))]


def logs() -> dict[str, list[Record]]:
    """Every kind of log that the tests have."""
    rng = Random(7)
    shuffled = [Record("events", rng.randrange(3), 0, line) for line in lines(120, shuffle=True)]
    return {
        "random": in_offset_order([record for seed in range(150) for record in own_log(seed)]),
        "rearranged": in_offset_order(rearranged(rng, [record for seed in range(60) for record in own_log(seed)])),
        "crowded": in_offset_order(crowded_log(rng)),
        "shuffled workload": in_offset_order(shuffled),
        "crash log": in_offset_order(list(crash_records(1_500, "events", partitions=3))),
    }


async def remembered(records: Sequence[Record], limits: Limits) -> MemoryStore:
    """The memory store that a worker has filled with the log."""
    store = MemoryStore(limits=limits)
    await run([*records, END], store, options=Options(max_batch_age_s=0.0, max_parked_ratio=0.0))
    return store


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """All of it."""
    return [row.asDict(recursive=True) for row in frame.collect()]


def states_of(folded: Folded) -> dict[str, bytes]:
    """By id, and they are in the order of the ids."""
    rows = rows_of(folded.states)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    return {row["id"]: bytes(row["registers"]) for row in rows}


@pytest.mark.parametrize(("name", "limits"), [*((name, DEFAULT_LIMITS) for name in LOGS), ("random", SMALL)])
async def test_as_the_memory_store(spark: SparkSession, name: str, limits: Limits) -> None:
    """Of every log: the bytes of each state, the canonical JSON of each status, the refused records with their reasons, and the counts."""
    records = logs()[name]
    store = await remembered(records, limits)
    with fold_events(as_kafka(spark, records), limits=limits) as folded:
        sums = folded.checked()
        states = states_of(folded)
        loaded = store.load(list(states))
        assert states == {id: held.registers for id, held in loaded.items()}
        assert len([id for id in states if not from_bytes(states[id]).deleted]) == store.task_count()
        statuses = {row["id"]: row for row in rows_of(folded.statuses)}
        alive = {id: state for id, registers in states.items() if not (state := from_bytes(registers)).deleted}
        assert statuses.keys() == alive.keys()
        for id, state in alive.items():
            assert statuses[id]["status"] == json.dumps(view(id, state, limits), ensure_ascii=False, separators=(",", ":"))
            assert canonical(json.loads(statuses[id]["status"])) == canonical(view(id, state, limits))
            assert canonical(json.loads(statuses[id]["extension"])) == canonical(extension(state, limits))
        refused = {(row["topic"], row["partition"], row["offset"]): row["reason"] for row in rows_of(folded.refused)}
        parked = store.parked(limit=100_000)
        assert refused == {(each.record.topic, each.record.partition, each.record.offset): each.reason for each in parked}
        found = {each.position.at: each for each in store.partitions()}
        assert sums.keys() == found.keys()
        for at, (tally, next_offset) in sums.items():
            mine, theirs = tally.counters, found[at].counters
            assert (mine.read, mine.ignored, mine.parked) == (theirs.read, theirs.ignored, theirs.parked)
            assert mine.applied + mine.unchanged == theirs.applied + theirs.unchanged
            assert tally.newest == (found[at].newest_event_time or "")
            assert next_offset == found[at].position.next_offset
        assert {(row["topic"], row["partition"]): row["read"] for row in rows_of(folded.sums)} == {
            at: tally.counters.read for at, (tally, _) in sums.items()
        }


def written(folder: Path) -> tuple[Path, Path]:
    """A plain and a compressed file of one log, with blank lines, bytes that are no UTF-8, and a last line without newline."""
    plain, packed = folder / "a.jsonl", folder / "b.jsonl.gz"
    odd = [b"", b"  \t", b"not JSON", b'{"type":"\xff"}', b'{"type":"com.example.other"}', b'{"type":\r"x"}']
    log = [*lines(40, shuffle=True), *odd]
    plain.write_bytes(b"\n".join(log[::2]) + b"\n")
    packed.write_bytes(gzip.compress(b"\n".join(log[1::2])))
    return plain, packed


def test_files_as_a_replay(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain and compressed files give what `replay` makes of them, cut into many stretches, with the same offsets and ends."""
    from tracker.analytics.spark import reading

    monkeypatch.setattr(reading, "STRETCH_BYTES", 7_000)
    written(tmp_path)
    store = tmp_path / "status.db"
    replay([str(tmp_path / "*.jsonl*")], f"sqlite:///{store}", max_parked_ratio=0)
    with fold_events(read_jsonl(spark, str(tmp_path / "*.jsonl*"))) as folded, open_contents(f"sqlite:///{store}") as contents:
        sums = folded.checked()
        assert folded.parts.rdd.getNumPartitions() > 3
        assert states_of(folded) == {each.id: each.registers for each in contents.holdings()}
        refused = Counter((row["topic"], row["offset"], row["reason"]) for row in rows_of(folded.refused))
        assert refused == Counter((each.record.topic, each.record.offset, each.reason) for each in contents.parked_records())
        assert {at: reached for at, (_, reached) in sums.items()} == {
            each.position.at: each.position.next_offset for each in contents.partitions()
        }


def test_files_of_a_file_system_of_spark(spark: SparkSession, tmp_path: Path) -> None:
    """Named by a URL, Spark reads the lines itself: the same states, the same refusals, byte for byte."""
    plain, packed = written(tmp_path)
    with (
        fold_events(read_jsonl(spark, str(plain), str(packed))) as ours,
        fold_events(read_jsonl(spark, f"file://{plain}", f"file://{packed}")) as theirs,
    ):
        assert states_of(ours) == states_of(theirs)
        refused = [sorted((bytes(row["value"]), row["reason"]) for row in rows_of(each.refused)) for each in (ours, theirs)]
        assert refused[0] == refused[1]
        assert len(refused[0]) == 2


def test_parquet(spark: SparkSession, tmp_path: Path) -> None:
    """A topic that was archived as Parquet, and one with the values alone, as text, give the states of the log."""
    records = logs()["shuffled workload"]
    frame = as_kafka(spark, records)
    frame.write.parquet(str(tmp_path / "archive"))
    frame.selectExpr("cast(value as string) as value").write.parquet(str(tmp_path / "values"))
    with fold_events(frame) as folded:
        expected = states_of(folded)
    for name in ("archive", "values"):
        with fold_events(spark.read.parquet(str(tmp_path / name))) as folded:
            assert states_of(folded) == expected


def test_a_task_with_most_of_the_events(spark: SparkSession, tmp_path: Path) -> None:
    """What is shuffled of one task is one state for each partition of the input, however many events it has."""
    path = tmp_path / "skewed.jsonl"
    heavy = [
        line.replace(task_id(0).encode(), b"heavy").replace(b'"id":"', b'"id":"%d-' % number) for number in range(800) for line in lines(1)
    ]
    path.write_bytes(b"\n".join([*heavy, *lines(20)]) + b"\n")
    from tracker.analytics.spark.reading import stretches_of
    from tracker.sources.lines import byte_ranges

    stretches = [(str(path), begin, end) for begin, end in byte_ranges(str(path), 4)]
    with fold_events(stretches_of(spark, stretches)) as folded:
        assert folded.sums.first()["read"] == 800 * 8 + 160
        assert folded.parts.where("task_id = 'heavy'").count() == 4
        assert folded.states.where("id = 'heavy'").count() == 1


def test_several_logs_at_once(spark: SparkSession) -> None:
    """Events that stand in two logs count in both, and change nothing the second time."""
    records = logs()["shuffled workload"]
    with fold_events(as_kafka(spark, records)) as once, fold_events(as_kafka(spark, records), as_kafka(spark, records[::2])) as twice:
        assert states_of(once) == states_of(twice)
        assert sum(tally.counters.read for tally, _ in twice.checked().values()) == len(records) + len(records[::2])


def test_no_column_of_events(spark: SparkSession) -> None:
    """A dataframe without ``value`` is refused with what it has."""
    with pytest.raises(UsageError, match="expected a column value with the events, got the columns body"):
        fold_events(spark.createDataFrame([("x",)], "body string"))


def test_a_file_that_is_not_there(spark: SparkSession) -> None:
    """It is said before anything is begun."""
    with pytest.raises(NotFound, match=r"nothing\.jsonl is not there"):
        read_jsonl(spark, "/nothing.jsonl")


def test_what_an_executor_raises(spark: SparkSession, tmp_path: Path) -> None:
    """A compressed file that ends too early is our error with our sentence, not Spark's trace."""
    from tracker.analytics.spark.loading import translated

    path = tmp_path / "torn.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines(50)))[:-200])
    with pytest.raises(TornFile, match=r"torn\.jsonl\.gz: the compressed stream is damaged") as caught, translated():
        fold_events(read_jsonl(spark, str(path))).checked()
    assert "\n" not in str(caught.value)
