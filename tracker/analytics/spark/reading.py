"""Logs as dataframes that `fold_events` takes. Parquet needs nothing of ours: ``spark.read.parquet(…)``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import UsageError
from tracker.model.records import TopicPartition
from tracker.replay.runs import UNTIL_ENDED
from tracker.sources.files import is_compressed, named
from tracker.sources.kafka_url import parse_kafka_url
from tracker.sources.lines import byte_ranges

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STRETCH_BYTES = 64_000_000
"""About 160,000 events: half a second's work, so that a task that is lost costs no more."""
MOST_STRETCHES = 10_000
"""They are written into the plan."""
PARTITION_RECORDS = 500_000
"""Of a Kafka partition in one task of Spark; a longer one is read by several."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BLANK = r"\A[ \t\n\r\x0b\f]*\z"

Stretches = list[tuple[str, int, int]]
"""File, first byte, byte after the last."""


def read_jsonl(spark: SparkSession, *paths: str) -> DataFrame:
    """Files of JSON, one event a line; globs, .gz and .zst too. What lies on a file system of Spark's is named by its URL (``s3a://…``).

    Files without a scheme are opened by the executors themselves, so the paths have to be theirs too, and their records have the offsets that
    a tracker has of them. Raises `NotFound` for a file that is not there.
    """
    urls = [path for path in paths if _SCHEME.match(path)]
    if urls and len(urls) < len(paths):
        raise UsageError("files of this machine and of a file system of Spark's are two dataframes: give fold_events both")
    return _text(spark, urls) if urls else stretches_of(spark, whole_files(named(paths)))


def _text(spark: SparkSession, urls: list[str]) -> DataFrame:
    from pyspark.sql import functions as f

    # Spark has a line's bytes as they are, also where they are no UTF-8; as text it would be looked at for \r too.
    lines = spark.read.text(urls, lineSep="\n").where(~f.col("value").rlike(_BLANK))
    return lines.select(f.col("value").cast("binary").alias("value"), f.input_file_name().alias("topic"))


def whole_files(paths: Iterable[str]) -> Stretches:
    """Whole files, cut where they can be."""
    return cut({path: (0, UNTIL_ENDED if is_compressed(path) else Path(path).stat().st_size) for path in paths})


def cut(files: Mapping[str, tuple[int, int]]) -> Stretches:
    """Parts of about equal size of each file from one byte, where a line begins, to another, where one ends."""
    total = sum(end - begin for begin, end in files.values() if end != UNTIL_ENDED)
    size = max(STRETCH_BYTES, total // MOST_STRETCHES)
    stretches: Stretches = []
    for path, (begin, end) in files.items():
        if is_compressed(path):
            stretches.append((path, begin, UNTIL_ENDED))
            continue
        ranges = byte_ranges(path, max(1, round((end - begin) / size)), begin)
        stretches += [(path, first, min(last, end)) for first, last in ranges if first < end]
    return stretches


def stretches_of(spark: SparkSession, stretches: Stretches) -> DataFrame:
    """A dataframe of stretches, each a partition of its own."""
    from pyspark.sql import functions as f

    rows = json.dumps([{"file": file, "begin": begin, "end": end} for file, begin, end in stretches])
    numbers = spark.range(0, len(stretches), 1, max(1, len(stretches)))
    stretch = f.from_json(f.lit(rows), "array<struct<file:string,begin:bigint,end:bigint>>")[f.col("id").cast("int")]
    return numbers.select(stretch.alias("stretch")).select("stretch.*")


def read_kafka(
    spark: SparkSession,
    url: str,
    *,
    begin: Mapping[TopicPartition, int] | None = None,
    end: Mapping[TopicPartition, int] | None = None,
    kafka_config: str | Path | None = None,
) -> DataFrame:
    """A topic (``kafka://host:9092/topic``, as everywhere) by Spark's own connector, committed records only: from its beginning to what its end is
    when it is read, or of each of its partitions (all have to be named) from ``begin`` to before ``end``. ``kafka_config`` is a properties file,
    as for ``tracker run``.

    Raises `UsageError`. Spark raises its own errors where the connector (spark-sql-kafka-0-10) is missing or offsets are lost.
    """
    where = parse_kafka_url(url)
    options = {
        "kafka.bootstrap.servers": ",".join(where.bootstrap),
        "kafka.isolation.level": "read_committed",
        "includeHeaders": "true",
        "failOnDataLoss": "true",
        "maxRecordsPerPartition": str(PARTITION_RECORDS),
        "startingOffsets": "earliest",
        "endingOffsets": "latest",
    }
    if kafka_config is not None:
        from tracker.sources.kafka_java import java_properties

        options |= {f"kafka.{name}": value for name, value in java_properties(kafka_config).items()}
    if end is not None:
        options["endingOffsets"] = _offsets(end)
    if begin is not None:
        partitions: dict[str, list[int]] = {}
        for at in sorted(begin):
            partitions.setdefault(at.topic, []).append(at.partition)
        options |= {"assign": json.dumps(partitions), "startingOffsets": _offsets(begin)}
    elif where.pattern is not None:
        options["subscribePattern"] = f"^(?:{where.pattern})$"
    else:
        options["subscribe"] = ",".join(where.topics)
    return spark.read.format("kafka").options(**options).load()


def _offsets(at: Mapping[TopicPartition, int]) -> str:
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in at.items():
        by_topic.setdefault(topic, {})[str(partition)] = offset
    return json.dumps(by_topic)
