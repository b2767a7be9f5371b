"""``python -m bench.workers``: from a real Kafka into PostgreSQL and SQLite by one, two and three workers, as processes of the command line.

Beside them, in the same run, a consumer written by hand (`bench.by_hand`) takes the same topic into the same PostgreSQL.
The clock runs from the first record in the store to the last one; what each side used of the processors meanwhile says what was the bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from tests.crash.chaos import Eye, make_topics
from tests.crash.containers import Container, Kafka, Postgres
from tests.crash.crash_log import TIMESTAMP_MS, produce_all
from tests.naive.workload import lines
from tracker.model.records import Record

BY_HAND = ((2_000, 60_000), (1, 20_000))
"""Events of a commit, and how many in all: more would take minutes."""
PARTITIONS = 6
"""One, two and three workers get equal shares."""
LOOK_S = 0.02


def measure(kafka: Kafka, topic: str, url: str, worker_url: str, workers: int, events: int, folder: Path, seen: list[Container]) -> float:
    """Records a second, by so many workers; prints a line."""
    source = f"kafka://{kafka.bootstrap}/{topic}?group={uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "tracker", "run", "--source", source, "--store", worker_url, "--until-end", "--json"]
    used = {each.id: _processor_s(each) for each in seen}
    with ExitStack() as stack:
        log = stack.enter_context((folder / "workers.log").open("ab"))
        running = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL))
            for _ in range(workers)
        ]
        eye = Eye(url)
        began = ended = 0.0
        first = read = 0
        while read < events:
            time.sleep(LOOK_S)
            read = sum(each.counters.read for each in eye.partitions())
            ended = time.perf_counter()
            if read and not began:
                began, first = ended, read
            assert any(each.poll() is None for each in running) or read == events, f"see {folder}/workers.log"
        eye.close()
        shares = sorted(_read(each) for each in running)
    rate = (read - first) / (ended - began)
    spent = ", ".join(
        f"{name} {(_processor_s(each) - used[each.id]) / (ended - began):.2f}"
        for name, each in zip(("broker", "database"), seen, strict=False)
    )
    print(f"  {workers} workers: {rate:9,.0f}/s, shares {shares}; processors used by {spent}", flush=True)
    return rate


def by_hand(kafka: Kafka, topic: str, url: str, batch: int, events: int) -> None:
    """What the consumer that is written by hand does; prints a line."""
    command = [sys.executable, "-m", "bench.by_hand", kafka.bootstrap, topic, url, "--events", str(events), "--batch", str(batch)]
    rate = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"  by hand, upserts, a commit each {batch:,}: {rate:,.0f}/s", flush=True)


def _read(worker: subprocess.Popen[bytes]) -> int:
    printed, _ = worker.communicate(timeout=60)
    return int(json.loads(printed)["read"])


def _processor_s(container: Container) -> float:
    """Seconds that all processors have spent on it: by cgroups 2, or 1."""
    new = container.execute("cat", "/sys/fs/cgroup/cpu.stat", check=False)
    if found := [line.split()[1] for line in new.splitlines() if line.startswith("usage_usec")]:
        return int(found[0]) / 1e6
    old = container.execute("cat", "/sys/fs/cgroup/cpuacct/cpuacct.usage", check=False)
    return int(old) / 1e9 if old.isdigit() else float("nan")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    events = parser.parse_args().events // 8 * 8
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with Kafka({}) as kafka, Postgres() as postgres, tempfile.TemporaryDirectory(prefix="tracker-bench-") as name:
        topic = "bench"
        asyncio.run(make_topics(kafka.bootstrap, [topic], PARTITIONS))
        keyed = (
            Record(topic, number // 8 % PARTITIONS, 0, line, None, (), TIMESTAMP_MS)
            for number, line in enumerate(lines(events // 8, interleave=1))
        )
        asyncio.run(produce_all(kafka.bootstrap, keyed))
        print(f"{events:,} events, each task in one of {PARTITIONS} partitions", flush=True)
        for batch, count in BY_HAND:
            postgres.sql(f"CREATE DATABASE hand{batch} OWNER tracker")
            by_hand(kafka, topic, f"{postgres.url.rpartition('/')[0]}/hand{batch}", batch, min(count, events))
        for store in ("PostgreSQL", "SQLite"):
            print(f"into {store}", flush=True)
            for workers in (1, 2, 3):
                if store == "SQLite":
                    url = worker_url = f"sqlite:///{name}/{workers}.db"
                else:
                    postgres.sql(f"CREATE DATABASE bench{workers} OWNER tracker")
                    url, worker_url = (
                        f"{each.rpartition('/')[0]}/bench{workers}" for each in (postgres.url, postgres.url_at(postgres.port))
                    )
                measure(kafka, topic, url, worker_url, workers, events, Path(name), [kafka, postgres] if store == "PostgreSQL" else [kafka])


if __name__ == "__main__":
    main()
