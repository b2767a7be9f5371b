"""From a log on Spark into a store that live workers go on with: the fold of a rebuild, done by Spark.

Everything around the fold is `tracker.rebuild`'s: the shadow beside the live store, the positions, what has come meanwhile, the comparison with
what the live store has, and the exchange. So nothing is live before all is, and workers go on exactly where the positions say.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tracker import errors
from tracker.analytics.spark.folding import Folded, fold_events
from tracker.analytics.spark.reading import cut, read_kafka, stretches_of
from tracker.errors import StoreMismatch, TrackerError
from tracker.model.limits import Limits
from tracker.model.records import Position, TopicPartition
from tracker.projector.judging import judge_whole
from tracker.rebuild.folding import are_files, store_folded
from tracker.rebuild.logs import Logs
from tracker.replay.runs import UNTIL_ENDED, unpacked
from tracker.stores.base import Counters, ParkedRecord, StatusStore, Write
from tracker.stores.contents import Shadow
from tracker.stores.open import open_shadow, open_store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

T = TypeVar("T")
LOOK_EVERY_S = 0.5
"""So often it is looked how many of Spark's tasks are done, and whether somebody has stopped the run."""
_OURS = re.compile(r"^(?:tracker\.errors\.)(\w+): (.*)$", re.MULTILINE)


class SparkFold:
    """A rebuild's engine (`tracker.rebuild.folding.Engine`): whole logs folded by Spark into an empty store."""

    def __init__(self, spark: SparkSession, logs: Logs, *, max_parked_ratio: float = 0.1) -> None:
        self._spark, self._logs, self._max_parked_ratio = spark, logs, max_parked_ratio

    def __call__(
        self,
        store: StatusStore,
        beginnings: Mapping[TopicPartition, Position],
        ends: Mapping[TopicPartition, int],
        on_done: Callable[[int], None],
    ) -> Counters:
        """Fold all of it. Raises `TooManyParked`, and what a rebuild raises."""
        with translated(), fold_events(*self._events(beginnings, ends), limits=store.limits) as folded:
            total = sum(end - beginnings[at].next_offset for at, end in ends.items() if end != UNTIL_ENDED)
            sums = self._watched(folded.checked, total, on_done)
            tallies = {at: tally for at, (tally, _) in sums.items()}
            counted = Counters()
            for tally in tallies.values():
                counted.add(tally.counters)
            judge_whole(counted, self._max_parked_ratio)
            reached = [
                msgspec.structs.replace(beginnings[at], next_offset=end if end != UNTIL_ENDED else sums[at][1]) for at, end in ends.items()
            ]
            parked = self._watched(lambda: _parked(folded), total, on_done)
            writes = _writes(folded)
            first = self._watched(lambda: list(islice(writes, 1)), total, on_done)  # the store's transaction is not to wait for the shuffle
            return store_folded(store, beginnings, reached, tallies, parked, chain(first, writes), indexed=False)

    def _events(self, beginnings: Mapping[TopicPartition, Position], ends: Mapping[TopicPartition, int]) -> Iterator[DataFrame]:
        begin = {at: beginnings[at].next_offset for at in ends}
        files = {at.topic: (begin[at], end) for at, end in ends.items() if are_files([at])}
        topics = {at: end for at, end in ends.items() if not are_files([at])}
        if files:
            yield stretches_of(self._spark, cut(files))
        if topics:
            assert self._logs.source is not None
            yield read_kafka(
                self._spark, self._logs.source, begin={at: begin[at] for at in topics}, end=topics, kafka_config=self._logs.kafka_config
            )

    def _watched(self, work: Callable[[], T], total: int, on_done: Callable[[int], None]) -> T:
        """The work in a thread, so that its end is not the first thing that is heard of it."""
        with ThreadPoolExecutor(1, thread_name_prefix="spark") as pool:
            future: Future[T] = pool.submit(work)
            waiting = threading.Event()
            future.add_done_callback(lambda _: waiting.set())
            try:
                while not waiting.wait(LOOK_EVERY_S):
                    on_done(round(total * self._share_done()))
            except BaseException:
                self._spark.interruptAll()
                raise
            return future.result()

    def _share_done(self) -> float:
        tracked = self._spark.sparkContext.statusTracker()
        stages = [info for id in tracked.getActiveStageIds() if (info := tracked.getStageInfo(id)) is not None]
        tasks = sum(info.numTasks for info in stages)
        return sum(info.numCompletedTasks for info in stages) / tasks if tasks else 1.0


def opened(url: str, limits: Limits | None) -> tuple[Shadow, bool]:
    """The place beside the store at ``url``, which is made where there is none, and whether that has read nothing yet."""
    with suppress(StoreMismatch), open_store(url, limits=limits):  # one of other limits, or of another fold, is there to be folded anew
        pass
    shadow = open_shadow(url)
    with shadow.live_contents() as live:
        return shadow, not live.about().tasks and not any(each.counters.read for each in live.partitions())


@contextmanager
def translated() -> Iterator[None]:
    """What an executor or Spark itself raises becomes one of our errors."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise of_spark(str(error)) from error


def of_spark(text: str) -> TrackerError:
    """The error that an executor raised, if it is one of ours, or else what Spark says of it in one line."""
    for name, sentence in reversed(_OURS.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, TrackerError):
            try:
                return kind(sentence)
            except TypeError:  # one that is made of more than a sentence
                return TrackerError(sentence)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "Failed to find data source: kafka" in text or ("kafka010" in text and "ClassNotFound" in text):
        return errors.UsageError(
            "Spark has no connector for Kafka: give it one with --conf spark.jars.packages=org.apache.spark:spark-sql-kafka-0-10_2.13:VERSION, "
            "the version being Spark's own"
        )
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return TrackerError(
        f"Spark did not get to the end: {(causes or lines or ['it said nothing'])[-1 if causes else 0].removeprefix('Caused by: ')}"
    )


def _parked(folded: Folded) -> list[ParkedRecord]:
    from tracker.analytics.spark.batches import refused_record

    return [refused_record(row.asDict(recursive=True)) for row in _rows(folded.refused.orderBy("topic", "partition", "offset"))]


def _writes(folded: Folded) -> Iterator[Write]:
    for row in _rows(folded.frames()):
        yield from unpacked(row[0])


def _rows(frame: DataFrame) -> Iterator[Row]:
    """All rows in order. Each partition is a job of its own, the next of which is done while this one's rows are taken.

    ``toLocalIterator`` of Spark 4.2 keeps all that it has given in the driver's memory.
    """
    rdd = frame.rdd

    def taken(partition: int) -> list[Row]:
        rows: list[Row] = rdd.context.runJob(rdd, list, [partition])
        return rows

    with ThreadPoolExecutor(1, thread_name_prefix="spark") as pool:
        waiting: deque[Future[list[Row]]] = deque()
        for partition in range(rdd.getNumPartitions()):  # of nothing there may be none
            waiting.append(pool.submit(taken, partition))
            if len(waiting) > 1:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
