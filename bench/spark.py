"""The fold on Spark in ``local[2]`` beside `tracker replay` in one process, over the same log, at a tenth of the size and at the whole.

Spark's first job pays for its start and for its Python processes, so a small log is folded before anything is measured. What is shuffled
is read off Spark's own figures of its stages.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench.measure import bare
from tests.naive.workload import lines
from tracker.replay import replay

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVENTS_PER_TASK = 8
WARM_TASKS = 2_000
BARE_LINES = 200_000
SETTINGS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "8",
    # Spark's figures of all stages of a run are asked for at its end.
    "spark.ui.retainedStages": "10000",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(32 << 20),
}


@dataclass
class Measured:
    """One log."""

    events: int
    replayed_s: float
    folded_s: float
    """Records to merged states, counted and checked, ready to be stored."""
    loaded_s: float
    """Into a SQLite store, through its shadow."""
    shuffled_bytes: int
    bare_s: float
    """An event, of a bare loop of `orjson.loads`, right before."""

    def lines(self) -> str:
        """As it is printed."""

        def rate(seconds: float) -> str:
            return f"{self.events / seconds:>9,.0f} events/s, {seconds / self.events / self.bare_s:5.1f} b"

        return (
            f"{self.events:,} events, b = {self.bare_s * 1e6:.2f} µs, load {os.getloadavg()[0]:.1f}\n"
            f"    tracker replay, one process, into SQLite         {rate(self.replayed_s)}\n"
            f"    Spark local[2], to states ready to be stored     {rate(self.folded_s)}, {self.replayed_s / self.folded_s:.2f} times the replay\n"
            f"    Spark local[2], into SQLite through its shadow   {rate(self.loaded_s)}, {self.replayed_s / self.loaded_s:.2f} times the replay\n"
            f"    shuffled                                         {self.shuffled_bytes / self.events:.1f} bytes an event"
        )


def run(tasks: int) -> list[str]:
    """Measure logs of a tenth of so many tasks and of all of them, and print; the names of what does not hold."""
    if (problem := _missing()) is not None:
        print(f"spark: not measured, {problem}")
        return []
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as name:
        folder = Path(name)
        spark = SparkSession.builder.master("local[2]").config(map={**SETTINGS, "spark.local.dir": name}).getOrCreate()
        try:
            _folded(spark, _log(folder, WARM_TASKS))
            small, whole = (_measured(spark, folder, size) for size in (tasks // 10, tasks))
        finally:
            spark.stop()
    growth = whole.events / small.events
    print(
        f"    {growth:.0f} times the events: replay {whole.replayed_s / small.replayed_s:.1f}, Spark {whole.folded_s / small.folded_s:.1f} times as long; "
        f"shuffled {whole.shuffled_bytes / small.shuffled_bytes:.1f} times as much",
        flush=True,
    )
    return []


def _missing() -> str | None:
    import importlib.util
    import shutil

    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: pip install 'tracker[spark]'"
    return None if os.environ.get("JAVA_HOME") or shutil.which("java") else "there is no Java"


def _log(folder: Path, tasks: int) -> Path:
    path = folder / f"{tasks}.jsonl"
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines(tasks, EVENTS_PER_TASK))
    return path


def _measured(spark: SparkSession, folder: Path, tasks: int) -> Measured:
    log, events = _log(folder, tasks), tasks * EVENTS_PER_TASK
    with log.open("rb") as file:
        first = [line for _, line in zip(range(BARE_LINES), file, strict=False)]
    bare_s = bare(first) / len(first)
    replayed = replay([str(log)], f"sqlite:///{folder}/{tasks}-replayed.db", jobs=1)
    assert replayed.counters.read == events, replayed
    before = _shuffled_bytes(spark)
    folded_s = _folded(spark, log)
    shuffled = _shuffled_bytes(spark) - before
    began_s = perf_counter()
    _load(spark, log, f"sqlite:///{folder}/{tasks}-loaded.db", tasks)
    loaded_s = perf_counter() - began_s
    log.unlink()
    measured = Measured(events, replayed.seconds, folded_s, loaded_s, shuffled, bare_s)
    print(measured.lines(), flush=True)
    return measured


def _folded(spark: SparkSession, log: Path) -> float:
    from tracker.analytics.spark import fold_events, read_jsonl

    began_s = perf_counter()
    with fold_events(read_jsonl(spark, str(log))) as folded:
        assert all(tally.counters.balanced for tally, _ in folded.checked().values())
        folded.frames().write.format("noop").mode("overwrite").save()
    return perf_counter() - began_s


def _load(spark: SparkSession, log: Path, url: str, tasks: int) -> None:
    from tracker.analytics.spark.loading import SparkFold, opened
    from tracker.rebuild.logs import Logs
    from tracker.rebuild.run import Order, Rebuild

    shadow, _ = opened(url, None)
    logs = Logs((str(log),))
    outcome = asyncio.run(
        Rebuild(shadow, Order(logs=logs, accept=True), lambda: "2026-01-01T00:00:00Z", engine=SparkFold(spark, logs)).run()
    )
    assert (outcome.note.state, outcome.note.tasks) == ("swapped", tasks), outcome


def _shuffled_bytes(spark: SparkSession) -> int:
    """Written by all stages until now."""
    context = spark.sparkContext
    with urllib.request.urlopen(f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages", timeout=60) as answer:
        stages: list[dict[str, Any]] = json.load(answer)
    return sum(int(stage["shuffleWriteBytes"]) for stage in stages)
