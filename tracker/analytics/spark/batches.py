"""What Spark's executors do: Arrow batches of records in, Arrow batches of partial states, refused records and sums out.

Each function takes one partition's batches as `mapInArrow` hands them over, and gives batches. It is the fold and the merge of everywhere:
`tracker.replay.partial` does both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from tracker.errors import TrackerError
from tracker.fold.collector import without_collector
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns, extension, view
from tracker.model.limits import Limits
from tracker.model.records import Record, TopicPartition
from tracker.replay.partial import Partial, Tally, joined
from tracker.replay.runs import UNTIL_ENDED, Stretch, packed, records_of
from tracker.stores.base import Counters, ParkedRecord

T = TypeVar("T")
Batches = Iterator[pa.RecordBatch]

ROWS = 5_000
BYTES = 8 << 20
"""A batch that goes back to Spark ends at so many rows or bytes: a state may be 300 kB."""
FRAME_ROWS = 500

_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
_WHERE = [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64())]
RECORD = pa.schema([*_WHERE, ("key", pa.binary()), ("value", pa.binary()), ("headers", _HEADERS), ("timestamp_ms", pa.int64())])
"""A record, as `fold_records` takes it."""
STRETCH = pa.schema([("file", pa.string()), ("begin", pa.int64()), ("end", pa.int64())])
"""A part of a file of JSON lines, from byte to byte, for whoever can open it by this path."""
REFUSED = pa.struct([*_WHERE, ("reason", pa.string()), ("detail", pa.string()), *list(RECORD)[3:]])
_COUNTERS = list(Counters.__struct_fields__)
SUM = pa.struct([*_WHERE[:2], *((name, pa.int64()) for name in _COUNTERS), ("newest", pa.string()), ("next_offset", pa.int64())])
"""``next_offset``: after the last record that was read here; of a file after its last byte."""
PARTIAL = pa.schema([("task_id", pa.string()), ("registers", pa.binary()), ("refused", REFUSED), ("sum", SUM)])
"""Of each row one of three: a partial state, a refused record, the sum of one partition's part."""
STATE = pa.schema([("id", pa.string()), ("registers", pa.binary()), ("deleted", pa.bool_())])
STATUS = pa.schema([("id", pa.string()), ("status", pa.string()), ("extension", pa.string())])
FRAME = pa.schema([("frame", pa.binary())])
"""Some hundred rows of `tracker.replay.runs.Row` in one: Spark hands over a row at a time to who reads them all."""


class Sums(dict[TopicPartition, tuple[Tally, int]]):
    """By topic and partition: what was counted, and where reading goes on."""

    def of(self, place: TopicPartition) -> Tally:
        """The tally to count in."""
        if place not in self:
            self[place] = (Tally(), 0)
        return self[place][0]

    def reach(self, place: TopicPartition, next_offset: int) -> None:
        """Everything before this offset was read."""
        tally, reached = self[place]
        self[place] = (tally, max(reached, next_offset))


def fold_records(limits: Limits, batches: Batches) -> Batches:
    """Batches of `RECORD`, folded into rows of `PARTIAL`."""
    with without_collector():
        partial, sums, rows = Partial(limits), Sums(), 0
        for batch in batches:
            if not batch.num_rows:
                continue
            rows += batch.num_rows
            for place, records in _by_place(batch):
                parked = partial.fold(records, sums.of(place))
                sums.reach(place, records[-1].offset + 1)
                yield from _refused(parked)
            if partial.is_due:
                yield from _states(partial.hand_on(), limits)
        yield from _ended(partial, sums, rows, limits)


def fold_stretches(limits: Limits, batches: Batches) -> Batches:
    """Batches of `STRETCH`, which this process reads itself, folded into rows of `PARTIAL`."""
    with without_collector():
        partial, sums, rows = Partial(limits), Sums(), 0
        for path, begin, end in (tuple(row.values()) for batch in batches for row in batch.to_pylist()):
            place = TopicPartition(path, 0)
            tally = sums.of(place)
            for reached, records in records_of(Stretch(path, path, begin, end, 0)):
                rows += len(records)
                sums.reach(place, reached)
                yield from _refused(partial.fold(records, tally))
                if partial.is_due:
                    yield from _states(partial.hand_on(), limits)
            if end != UNTIL_ENDED:
                sums.reach(place, end)
        yield from _ended(partial, sums, rows, limits)


def merge(limits: Limits, batches: Batches) -> Batches:
    """Batches of partial states (task id, registers), those of a task one after the other, merged into rows of `STATE`."""
    with without_collector():

        def rows() -> Iterator[tuple[int, tuple[str, bytes, bool]]]:
            for task_id, state, registers in _merged(limits, batches):
                yield len(registers), (task_id, registers, state.deleted)

        yield from _batches(rows(), STATE)


def pack(limits: Limits, batches: Batches) -> Batches:
    """The same merged into frames of whole rows, ready to be stored, in the order in which they come."""
    with without_collector():
        rows = ((task_id, registers, columns(task_id, state)) for task_id, state, registers in _merged(limits, batches))
        while frame := list(islice(rows, FRAME_ROWS)):
            yield pa.RecordBatch.from_pydict({"frame": [packed(frame)]}, schema=FRAME)


def show(limits: Limits, batches: Batches) -> Batches:
    """Batches of (id, registers) of tasks that are not deleted, as rows of `STATUS`."""
    with without_collector():

        def rows() -> Iterator[tuple[int, tuple[str, str, str]]]:
            for task_id, registers in _pairs(batches):
                state = from_bytes(registers)
                status = _json(view(task_id, state, limits))
                yield len(status), (task_id, status, _json(extension(state, limits)))

        yield from _batches(rows(), STATUS)


def sums_of(rows: Iterable[dict[str, Any]]) -> Sums:
    """The parts' sums added up by partition. Raises `TrackerError` where a partition's do not come out even."""
    sums = Sums()
    for row in rows:
        place = TopicPartition(row["topic"], row["partition"])
        sums.of(place).add(Tally(Counters(*(row[name] for name in _COUNTERS)), row["newest"]))
        sums.reach(place, row["next_offset"])
    for (topic, partition), (tally, _) in sums.items():
        if not tally.counters.balanced:
            raise TrackerError(f"{topic}, partition {partition}: what was counted does not add up: {tally.counters}")
    return sums


def refused_record(row: dict[str, Any]) -> ParkedRecord:
    """A refused record as a store takes it, from a row of `REFUSED`."""
    record = Record(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        value=row["value"],
        key=row["key"],
        headers=tuple((each["key"], each["value"]) for each in row["headers"]),
        timestamp_ms=row["timestamp_ms"],
    )
    return ParkedRecord(record=record, reason=row["reason"], detail=row["detail"])


def _by_place(batch: pa.RecordBatch) -> Iterator[tuple[TopicPartition, list[Record]]]:
    """The batch's records in runs of one topic and partition."""
    topics, partitions, offsets, keys, values, headers, timestamps = (_list(batch.column(name)) for name in RECORD.names)
    heads = [() if not each else tuple((h["key"], h["value"]) for h in each) for each in headers]
    times = [None if time is None or time < 0 else time for time in timestamps]  # Kafka's −1 is none
    records = list(map(Record, topics, partitions, offsets, values, keys, heads, times))
    if batch.column("topic").null_count == 0 and len(batch.column("topic").unique()) == len(batch.column("partition").unique()) == 1:
        yield TopicPartition(topics[0], partitions[0]), records
        return
    for place, group in groupby(records, key=lambda record: TopicPartition(record.topic, record.partition)):
        yield place, list(group)


def _list(column: pa.Array) -> list[Any]:
    return [None] * len(column) if column.null_count == len(column) else column.to_pylist()


def _refused(parked: Sequence[ParkedRecord]) -> Batches:
    def rows() -> Iterator[tuple[int, tuple[None, None, dict[str, Any], None]]]:
        for each in parked:
            record = each.record
            row = {name: getattr(record, name) for name in RECORD.names if name != "headers"}
            row["headers"] = [{"key": name, "value": value} for name, value in record.headers]
            yield len(record.value or b""), (None, None, {**row, "reason": each.reason, "detail": each.detail}, None)

    yield from _batches(rows(), PARTIAL)


def _states(states: dict[str, TaskState], limits: Limits) -> Batches:
    def rows() -> Iterator[tuple[int, tuple[str, bytes, None, None]]]:
        while states:
            task_id, state = states.popitem()
            registers = to_bytes(state, limits)
            yield len(registers), (task_id, registers, None, None)

    yield from _batches(rows(), PARTIAL)


def _ended(partial: Partial, sums: Sums, rows: int, limits: Limits) -> Batches:
    counted = sum(tally.counters.read for tally, _ in sums.values())
    if counted != rows:
        raise TrackerError(f"{rows} records came, and {counted} were counted")
    yield from _states(partial.hand_on(), limits)
    yield from _batches(
        (
            (
                0,
                (
                    None,
                    None,
                    None,
                    {
                        "topic": topic,
                        "partition": partition,
                        **msgspec.structs.asdict(tally.counters),
                        "newest": tally.newest,
                        "next_offset": reached,
                    },
                ),
            )
            for (topic, partition), (tally, reached) in sums.items()
        ),
        PARTIAL,
    )


def _pairs(batches: Batches) -> Iterator[tuple[str, bytes]]:
    for batch in batches:
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)


def _merged(limits: Limits, batches: Batches) -> Iterator[tuple[str, TaskState, bytes]]:
    for task_id, group in groupby(_pairs(batches), key=itemgetter(0)):
        parts = [registers for _, registers in group]
        state = joined(parts, limits)
        yield task_id, state, parts[0] if len(parts) == 1 else to_bytes(state, limits)


def _batches(rows: Iterable[tuple[int, tuple[Any, ...]]], schema: pa.Schema) -> Batches:
    """Rows with their sizes as batches that are not too large."""
    held: list[tuple[Any, ...]] = []
    size = 0
    for row_bytes, row in rows:
        held.append(row)
        size += row_bytes
        if len(held) >= ROWS or size >= BYTES:
            yield _batch(held, schema)
            held, size = [], 0
    if held:
        yield _batch(held, schema)


def _batch(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(column, type=field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)], schema=schema
    )


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
