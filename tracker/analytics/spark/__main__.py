"""``python -m tracker.analytics.spark``: fold a log on Spark, into Parquet, or into a store that live workers go on with."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tracker.errors import TrackerError, UsageError
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import TopicPartition
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import Order, Rebuild
from tracker.sources.open import is_kafka
from tracker.stores.base import Counters
from tracker.telemetry import masked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INTERRUPTED = 130
DIFFERENT = 3
CONNECTOR = "org.apache.spark:spark-sql-kafka-0-10_2.13"
SETTINGS = {
    "spark.app.name": "tracker",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
    # 10,000 records of 1 MiB would be 10 GB at once.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(32 << 20),
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
}
"""What a session of ours has; --conf goes before."""
EXAMPLE = '{"tasks": {"0": 1000, "1": 1200}}'


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m tracker.analytics.spark", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add(
        "--from",
        dest="sources",
        action="append",
        required=True,
        metavar="LOG",
        help="a topic (kafka://host:9092/topic), files of JSON lines (globs, .gz and .zst too), or Parquet (*.parquet, a folder); may be given again",
    )
    add("--to-store", metavar="URL", help="a store: what is folded is compared and exchanged with what it has, while its workers go on")
    add("--to-parquet", metavar="FOLDER", help="a folder that is not there yet (any URL of Spark's): statuses, states, refused")
    add(
        "--until-offsets",
        metavar="JSON",
        default="latest",
        help=f"where the folding of topics ends: latest (default), or the next offsets by topic and partition, {EXAMPLE}",
    )
    add("--master", metavar="URL", help="Spark's master; default: what spark-submit or spark-defaults.conf says, else local[*]")
    add("--conf", action="append", default=[], metavar="NAME=VALUE", help="a setting of Spark; may be given again")
    add("--kafka-config", metavar="FILE", help="properties of the Kafka client, as for tracker run")
    add("--accept", action="store_true", help="exchange although the store has tasks that differ")
    add("--restart", action="store_true", help="begin anew: what an earlier run has left is dropped")
    add(
        "--max-parked-ratio",
        type=float,
        default=0.1,
        metavar="N",
        help="store nothing if a greater share is refused (default 0.1; 0: no limit)",
    )
    add("--max-record-bytes", type=int, metavar="N", help="of one value (default: the store's, 1,048,576 for a new one)")
    add("--json", action="store_true", help="one JSON document on standard output")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and give the exit code: that of the command line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(parser().parse_args(arguments))
    except TrackerError as error:
        print(f"tracker: {masked(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    if (options.to_store is None) == (options.to_parquet is None):
        raise UsageError("say where to: --to-store URL or --to-parquet FOLDER")
    topics = [each for each in options.sources if is_kafka(each)]
    tables = [each for each in options.sources if each not in topics and _is_parquet(each)]
    files = [each for each in options.sources if each not in topics and each not in tables]
    if len(topics) > 1:
        raise UsageError("there can be one source in Kafka: name more topics in one URL, kafka://host:9092/topic,topic2")
    if tables and options.to_store is not None:
        raise UsageError(
            f"{tables[0]}: a store has the positions of logs that it can go on with, topics and files of JSON lines; fold Parquet into Parquet"
        )
    until = offsets(options.until_offsets)
    limits = Limits(max_record_bytes=options.max_record_bytes) if options.max_record_bytes is not None else None
    _require()
    from tracker.analytics.spark.loading import translated

    with translated(), session(options, for_kafka=bool(topics)) as spark:
        if options.to_parquet is not None:
            return _to_parquet(spark, options, topics, tables, files, until, limits or DEFAULT_LIMITS)
        logs = Logs(tuple(files), topics[0] if topics else None, options.kafka_config, options.max_record_bytes)
        return _to_store(spark, options, logs, until, limits)


def offsets(text: str) -> dict[TopicPartition, int]:
    """Of ``--until-offsets``; what is not in it ends where the log does. Raises `UsageError`."""
    if text == "latest":
        return {}
    try:
        found = msgspec.json.decode(text, type=dict[str, dict[int, int]])
    except msgspec.DecodeError as error:
        raise UsageError(
            f"--until-offsets is latest, or next offsets by topic and partition such as {EXAMPLE}, not {text!r}: {error}"
        ) from None
    return {
        TopicPartition(topic, partition): offset
        for topic, of_topic in found.items()
        for partition, offset in of_topic.items()
        if offset >= 0
    }


def _is_parquet(text: str) -> bool:
    return text.rstrip("/").endswith(".parquet") or (Path(text).is_dir() and any(Path(text).rglob("*.parquet")))


def _require() -> None:
    """Raises `UsageError` where Spark is not installed."""
    try:
        import pyarrow as pa  # noqa: F401 - all of it is needed
        import pyspark  # noqa: F401
    except ImportError as error:
        raise UsageError(f"Spark needs an extra that is not installed ({error.name}): pip install 'tracker[spark]'") from None
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise UsageError("Spark needs Java 17 or newer: install it, or set JAVA_HOME")


@contextmanager
def session(options: argparse.Namespace, *, for_kafka: bool) -> Iterator[SparkSession]:
    """A session with the settings of ``options``, ended at the end."""
    settings = dict(SETTINGS)
    for each in options.conf:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--conf is NAME=VALUE, got {each!r}")
        settings[name] = value
    import pyspark
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if for_kafka and not os.environ.get("PYSPARK_SUBMIT_ARGS") and not {"spark.jars", "spark.jars.packages"} & settings.keys():
        settings["spark.jars.packages"] = f"{CONNECTOR}:{pyspark.__version__}"
    builder = SparkSession.builder.config(map=settings)
    spark = (builder if options.master is None else builder.master(options.master)).getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def _to_parquet(
    spark: SparkSession,
    options: argparse.Namespace,
    topics: list[str],
    tables: list[str],
    files: list[str],
    until: dict[TopicPartition, int],
    limits: Limits,
) -> int:
    from tracker.analytics.spark import fold_events, read_jsonl, read_kafka

    events = [read_kafka(spark, url, end=until or None, kafka_config=options.kafka_config) for url in topics]
    events += [spark.read.parquet(*tables)] if tables else []
    events += [read_jsonl(spark, *files)] if files else []
    with fold_events(*events, limits=limits) as folded:
        sums = folded.checked()
        folder = options.to_parquet.rstrip("/")
        for name in ("states", "statuses", "refused"):
            getattr(folded, name).write.parquet(f"{folder}/{name}")
        total = Counters()
        for tally, _ in sums.values():
            total.add(tally.counters)
        tasks = spark.read.parquet(f"{folder}/statuses").count()
    said = {**msgspec.structs.asdict(total), "tasks": tasks}
    print(json.dumps(said) if options.json else f"{total.read:,} records folded into {tasks:,} tasks, {total.parked:,} refused: {folder}")
    return 0


def _to_store(spark: SparkSession, options: argparse.Namespace, logs: Logs, until: dict[TopicPartition, int], limits: Limits | None) -> int:
    from tracker.analytics.spark.loading import SparkFold, opened

    shadow, is_new = opened(options.to_store, limits)
    order = Order(logs=logs, limits=limits, accept=options.accept or is_new, restart=options.restart, until=until)
    engine = SparkFold(spark, logs, max_parked_ratio=options.max_parked_ratio)
    outcome = asyncio.run(Rebuild(shadow, order, _now, engine=engine).run())
    note, swapped = outcome.note, outcome.note.state == "swapped"
    with shadow.live_contents() as live:
        positions = [each.position for each in live.partitions()]
    if options.json:
        by_topic: dict[str, dict[int, int]] = {}
        for each in positions:
            by_topic.setdefault(each.topic, {})[each.partition] = each.next_offset
        said = {
            "state": note.state,
            "tasks": note.tasks,
            "different": note.different,
            "read": note.read,
            "offsets": by_topic,
            "counters": msgspec.to_builtins(outcome.counters),
            "lockSeconds": note.lock_seconds,
            "seconds": round(outcome.seconds, 3),
        }
        print(json.dumps(said, ensure_ascii=False))
    elif swapped:
        print(
            f"{note.read:,} records folded into {note.tasks:,} tasks in {outcome.seconds:.1f} s (writers waited {note.lock_seconds:.2f} s); workers go on at"
        )
        for each in positions:
            print(f"  {each.topic}, partition {each.partition}: {each.next_offset}")
    if not swapped:
        print(
            f"tracker: nothing was exchanged, as {note.different:,} tasks of the store differ: see them with 'tracker diff live shadow --why', then go "
            "on with --accept, or drop what was folded with 'tracker rebuild --abandon'",
            file=sys.stderr,
        )
    return 0 if swapped else DIFFERENT


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
