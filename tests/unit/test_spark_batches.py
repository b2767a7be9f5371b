"""What Spark's executors do, without Spark: any way to deal a log to partitions and to cut it into batches gives the states that one fold gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from tests.laws.agreement import SMALL, naive_documents
from tests.naive.logs import crowded_log, parted, split
from tests.naive.workload import lines
from tests.unit.road import log
from tracker.errors import TrackerError
from tracker.fold.decode import Decoder
from tracker.fold.event import Parked, TaskEvent
from tracker.fold.reducers import apply
from tracker.fold.state import TaskState, to_bytes
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record, TopicPartition
from tracker.replay import partial as partial_module
from tracker.replay.runs import UNTIL_ENDED, unpacked

pa = pytest.importorskip("pyarrow", reason="Spark's executors work on Arrow batches: pip install 'tracker[spark]'")

from tracker.analytics.spark import batches  # noqa: E402 - it imports pyarrow


def arrow(records: Sequence[Record]) -> Any:
    """As Spark hands them over."""
    rows = [
        {
            **{name: getattr(each, name) for name in batches.RECORD.names},
            "headers": [{"key": name, "value": value} for name, value in each.headers] or None,
        }
        for each in records
    ]
    return pa.RecordBatch.from_pylist(rows, schema=batches.RECORD)


def folded(rng: Random, records: Sequence[Record], limits: Limits, parts: int = 3) -> Iterator[dict[str, Any]]:
    """The rows that the executors give, of a log that is dealt to partitions and cut into batches."""
    for part in parted(rng, list(records), parts):
        cut = iter([arrow(each) for each in split(rng, part)])
        for batch in batches.fold_records(limits, cut):
            yield from batch.to_pylist()


def merged(rng: Random, rows: Sequence[dict[str, Any]], work: Any) -> list[Any]:
    """What the partial states among the rows become, in the order that Spark brings them into."""
    pairs = sorted(((row["task_id"], row["registers"]) for row in rows if row["task_id"] is not None), key=lambda pair: pair[0])
    schema = pa.schema([("task_id", pa.string()), ("registers", pa.binary())])
    cut = [
        pa.RecordBatch.from_pylist([{"task_id": id, "registers": registers} for id, registers in each], schema=schema)
        for each in split(rng, pairs)
    ]
    return [row for batch in work(iter(cut)) for row in batch.to_pylist()]


def whole(records: Sequence[Record], limits: Limits) -> dict[str, bytes]:
    """The states of one fold in one go."""
    decode, states = Decoder(limits).decode, dict[str, TaskState]()
    for record in records:
        event = decode(record)
        if isinstance(event, TaskEvent):
            apply(states.setdefault(event.task_id, TaskState()), event, limits)
    return {id: to_bytes(state, limits) for id, state in states.items()}


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, SMALL], ids=["default caps", "small caps"])
@pytest.mark.parametrize("room", [2, 150_000])
def test_states_are_those_of_one_fold(limits: Limits, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dealt, cut, handed on in parts and merged: the same bytes, with room for two states or for all."""
    monkeypatch.setattr(partial_module, "STATES_IN_MEMORY", room)
    for seed in range(30):
        rng, records = Random(seed), log(seed)
        rows = list(folded(rng, records, limits))
        states = {row["id"]: row["registers"] for row in merged(rng, rows, partial(batches.merge, limits))}
        assert states == whole(records, limits)


def test_a_crowded_task() -> None:
    """A task that overflows each of its caps comes out the same from parts that were each cut."""
    rng = Random(1)
    records = crowded_log(rng)
    rows = list(folded(rng, records, DEFAULT_LIMITS))
    [row] = merged(rng, rows, partial(batches.merge, DEFAULT_LIMITS))
    assert row["registers"] == whole(records, DEFAULT_LIMITS)["t"]
    assert not row["deleted"]


def test_statuses_are_the_naive_ones() -> None:
    """The JSON of each task that is not deleted has the oracle's values."""
    rng, records = Random(3), log(3, logs=20)
    states = merged(rng, list(folded(rng, records, DEFAULT_LIMITS)), partial(batches.merge, DEFAULT_LIMITS))
    alive = pa.RecordBatch.from_pylist([{"id": row["id"], "registers": row["registers"]} for row in states if not row["deleted"]])
    shown = [row for batch in batches.show(DEFAULT_LIMITS, iter([alive])) for row in batch.to_pylist()]
    found = {row["id"]: {**msgspec.json.decode(row["status"]), "tracker": msgspec.json.decode(row["extension"])} for row in shown}
    assert found == {id: document for id, document in naive_documents(records).items() if document is not None}


def test_every_record_is_accounted_for() -> None:
    """Refused records come out as they went in, with the decoder's reasons, and the sums come out even by partition."""
    rng, records = Random(5), [*log(5, logs=40), Record("other", 7, 3, b"nope", b"k", (("h", b"v"), ("n", None)), 5)]
    rows = list(folded(rng, records, DEFAULT_LIMITS))
    refused = [batches.refused_record(row["refused"]) for row in rows if row["refused"] is not None]
    expected = {
        (record.topic, record.partition, record.offset): (msgspec.structs.replace(record, headers=tuple(record.headers)), verdict.reason)
        for record in records
        if isinstance(verdict := Decoder().decode(record), Parked)
    }
    assert {(each.record.topic, each.record.partition, each.record.offset): (each.record, each.reason) for each in refused} == expected
    sums = batches.sums_of(row["sum"] for row in rows if row["sum"] is not None)
    assert sums[TopicPartition("other", 7)][0].counters.parked == 1
    assert sums[TopicPartition("other", 7)][1] == 4
    assert sum(tally.counters.read for tally, _ in sums.values()) == len(records)
    assert sum(tally.counters.parked for tally, _ in sums.values()) == len(refused)


def test_sums_that_do_not_come_out_even() -> None:
    """A record that nobody accounts for is an error, and not a smaller sum."""
    row = {"topic": "t", "partition": 0, "read": 2, "applied": 1, "unchanged": 0, "ignored": 0, "parked": 0, "newest": "", "next_offset": 2}
    with pytest.raises(TrackerError, match="does not add up"):
        batches.sums_of([row])


def test_frames_are_rows_for_a_store() -> None:
    """What is packed has the states and columns of each task, deleted ones among them, in the order of the ids."""
    rng, records = Random(8), log(8, logs=20)
    frames = merged(rng, list(folded(rng, records, DEFAULT_LIMITS)), partial(batches.pack, DEFAULT_LIMITS))
    writes = [write for row in frames for write in unpacked(row["frame"])]
    assert {write.task_id: write.registers for write in writes} == whole(records, DEFAULT_LIMITS)
    assert [write.task_id for write in writes] == sorted(write.task_id for write in writes)
    assert any(write.columns is None for write in writes)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_stretches_of_files(tmp_path: Path, ending: str) -> None:
    """A file that an executor reads itself gives the records, offsets and end that a tracker has of it; blank lines are none."""
    import gzip

    path = tmp_path / f"events.jsonl{ending}"
    content = b"\n".join([*lines(3), b"", b"nope", b" "]) + b"\n"
    path.write_bytes(gzip.compress(content) if ending else content)
    stretch = pa.RecordBatch.from_pylist(
        [{"file": str(path), "begin": 0, "end": UNTIL_ENDED if ending else len(content)}], schema=batches.STRETCH
    )
    rows = [row for batch in batches.fold_stretches(DEFAULT_LIMITS, iter([stretch])) for row in batch.to_pylist()]
    [refused] = [row["refused"] for row in rows if row["refused"] is not None]
    sums = batches.sums_of(row["sum"] for row in rows if row["sum"] is not None)
    tally, end = sums[TopicPartition(str(path), 0)]
    assert (refused["offset"], end) == (content.index(b"nope"), len(content))
    assert (tally.counters.read, tally.counters.parked) == (25, 1)
    assert len({row["task_id"] for row in rows if row["task_id"]}) == 3
