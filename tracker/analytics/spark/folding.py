"""`fold_events`: from dataframes of records to dataframes of states, statuses and refused records.

::

    records ──► fold, per partition ──► partial states ──► by task id, sorted ──► merge ──► states ──► statuses
                (mapInArrow)       └──► refused, sums                         (mapInArrow)

What is shuffled is one partial state for each task and partition of the input, so one task with millions of events weighs no more than
others. A partial state is the bytes that a store keeps. The rows of one task come together by a range partitioning of the task ids, so states
stand in the order of their ids too, and can be stored as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tracker.errors import TrackerError, UsageError
from tracker.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from tracker.analytics.spark.batches import Sums


PARTITION_BYTES = 16 << 20
"""Of states in one partition of those that are to be stored. The driver gets a partition whole, holds it several times over, and has 1 GB of its own."""


@dataclass(frozen=True)
class Folded:
    """What was folded, as lazy dataframes over partial states that Spark keeps on the executors' disks until `unpersist`.

    A context manager that does so at its end.
    """

    states: DataFrame
    """``id``, ``registers`` (the state as a store has it), ``deleted``; ascending by id in code point order."""
    statuses: DataFrame
    """``id``, ``status`` (the JSON of the 18 keys), ``extension`` (JSON: state, attempt, attempts, parentId, truncated); no deleted tasks."""
    refused: DataFrame
    """``topic``, ``partition``, ``offset``, ``reason``, ``detail``, ``key``, ``value``, ``headers``, ``timestamp_ms``: records that are no events."""
    sums: DataFrame
    """``topic``, ``partition``, ``read``, ``applied``, ``unchanged``, ``ignored``, ``parked``, ``newest``, ``next_offset``."""
    parts: DataFrame
    """What the others are made of: `tracker.analytics.spark.batches.PARTIAL`."""
    limits: Limits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unpersist()

    def unpersist(self) -> None:
        """Let Spark forget the partial states."""
        self.parts.unpersist()

    def checked(self) -> Sums:
        """Run the fold, and give what was counted by topic and partition. Raises `TrackerError` where a record was lost on the way."""
        from tracker.analytics.spark.batches import sums_of

        sums = sums_of(row.asDict() for row in self.parts.where("sum is not null").select("sum.*").collect())
        parked = sum(tally.counters.parked for tally, _ in sums.values())
        refused = self.refused.count()
        if parked != refused:
            raise TrackerError(f"{parked} records were refused, but {refused} arrived")
        return sums

    def frames(self) -> DataFrame:
        """The states ready to be stored, in order, in partitions of about `PARTITION_BYTES`: `tracker.analytics.spark.batches.FRAME`.

        To know their number, all partial states are made first.
        """
        from pyspark.sql import functions as f

        from tracker.analytics.spark import batches

        size_bytes = self.parts.agg(f.sum(f.octet_length("registers"))).collect()[0][0] or 0
        at_least = self.parts.sparkSession.sparkContext.defaultParallelism
        together = _together(self.parts, max(at_least, -(-size_bytes // PARTITION_BYTES)))
        return _mapped(together, partial(batches.pack, self.limits), batches.FRAME)


def fold_events(*events: DataFrame, limits: Limits = DEFAULT_LIMITS) -> Folded:
    """Fold these events. Each dataframe has records, one a row: ``value`` (text or binary: the event, or its data), and as far as there are any
    ``key``, ``headers`` (key and value), ``topic``, ``partition``, ``offset`` and ``timestamp`` (or ``timestamp_ms``), as Spark's Kafka source names
    them; or it is one of `read_jsonl`. Raises `UsageError` for a dataframe without ``value``.

    Nothing is read before one of the dataframes in the answer is asked for; then all is read once.
    """
    from pyspark import StorageLevel

    from tracker.analytics.spark import batches

    if not events:
        raise UsageError("there is nothing to fold: give fold_events a dataframe of records")
    # Memory is left to the jobs: of a log that is worth a Spark it would be full, and a smaller one is folded no slower without.
    parts = reduce(lambda one, other: one.unionByName(other), (_folded(each, limits) for each in events)).persist(StorageLevel.DISK_ONLY)
    states = _mapped(_together(parts), partial(batches.merge, limits), batches.STATE)
    alive = states.where("not deleted").select("id", "registers")
    return Folded(
        states=states,
        statuses=_mapped(alive, partial(batches.show, limits), batches.STATUS),
        refused=parts.where("refused is not null").select("refused.*"),
        sums=_added(parts.where("sum is not null").select("sum.*")),
        parts=parts,
        limits=limits,
    )


def _folded(events: DataFrame, limits: Limits) -> DataFrame:
    from tracker.analytics.spark import batches

    if events.columns == batches.STRETCH.names:
        return _mapped(events, partial(batches.fold_stretches, limits), batches.PARTIAL)
    return _mapped(_records(events), partial(batches.fold_records, limits), batches.PARTIAL)


def _records(events: DataFrame) -> DataFrame:
    """The columns of `tracker.analytics.spark.batches.RECORD`."""
    from pyspark.sql import functions as f

    if "value" not in events.columns:
        raise UsageError(
            f"expected a column value with the events, got the columns {', '.join(events.columns)}: rename the one that has them"
        )

    def column(name: str, kind: str, default: Any = None) -> Column:
        found = events[name].cast(kind) if name in events.columns else f.lit(None).cast(kind)
        return (found if default is None else f.coalesce(found, f.lit(default))).alias(name)

    timestamp_ms = column("timestamp_ms", "bigint")
    if "timestamp" in events.columns and "timestamp_ms" not in events.columns:
        timestamp_ms = f.unix_millis(events["timestamp"].cast("timestamp")).alias("timestamp_ms")
    return events.select(
        column("topic", "string", ""),
        column("partition", "int", 0),
        column("offset", "bigint", -1),
        column("key", "binary"),
        column("value", "binary"),
        column("headers", "array<struct<key:string,value:binary>>"),
        timestamp_ms,
    )


def _together(parts: DataFrame, partitions: int | None = None) -> DataFrame:
    """The partial states, those of a task in one partition and one after the other, all in the order of the ids; None: as many as Spark likes."""
    states = parts.where("task_id is not null").select("task_id", "registers")
    found = states.repartitionByRange("task_id") if partitions is None else states.repartitionByRange(partitions, "task_id")
    return found.sortWithinPartitions("task_id")


def _added(sums: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    counters = [f.sum(name).alias(name) for name in ("read", "applied", "unchanged", "ignored", "parked")]
    last = [f.max(name).alias(name) for name in ("newest", "next_offset")]
    return sums.groupBy("topic", "partition").agg(*counters, *last)


def _mapped(frame: DataFrame, work: Callable[[Any], Any], schema: pa.Schema) -> DataFrame:
    from pyspark.sql.pandas.types import from_arrow_schema

    return frame.mapInArrow(work, from_arrow_schema(schema))
