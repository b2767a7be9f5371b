"""What an export costs beside a bare write: ``python -m bench analytics``.

The command ``tracker export --format parquet`` writes a store of 1,000,000 tasks; pyarrow alone then writes the same table, which stands in memory, with the same options.
Its first run is told apart: it makes the machine code that the others load.
The export may take three times as long, and 500 MB with all of its processes. Of 1,000 changes among the tasks an incremental export takes less than a second, the
start of the command included.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from shutil import copyfile
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench import read_store
from tests.naive import workload
from tests.unit.query_store import commit
from tracker.analytics.files import COMPRESSION, GROUP_ROWS
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.model.records import Record
from tracker.stores.open import open_store

AT_MOST, MEMORY_MB, CHANGES, CHANGES_S = 3.0, 500.0, 1_000, 1.0
ROUNDS = 3
SAMPLE_S, SAMPLE_ROWS = 0.02, 20_000


def run(tasks: int) -> list[str]:
    """Measure and print; the names of what is over its bound."""
    made = read_store.made(tasks)
    over = []
    with tempfile.TemporaryDirectory(prefix="tracker-bench-analytics-") as name:
        folder = Path(name)
        store = folder / "status.db"
        copyfile(made, store)  # changes are written to it, and others read the one that was made
        whole = folder / "tasks.parquet"
        took, peak_mb = _export(store, "--out", str(whole))
        print(f"the first export, which makes machine code where there is none yet: {took:.1f} s, {peak_mb:,.0f} MB", flush=True)
        seconds, bare_seconds, memory_mb = [], [], []
        for _ in range(ROUNDS):
            took, peak_mb = _export(store, "--out", str(whole))
            seconds.append(took)
            memory_mb.append(peak_mb)
            bare_seconds.append(_bare(whole, folder / "bare.parquet"))
        took, bare = statistics.median(seconds), statistics.median(bare_seconds)
        rows, size = pq.read_metadata(whole).num_rows, whole.stat().st_size
        over += _told(
            f"export of {rows:,} tasks ({size / rows:.0f} bytes each)",
            f"{took:.1f} s, {rows / took:,.0f} rows/s; bare write {bare:.2f} s, {rows / bare:,.0f} rows/s: {took / bare:.1f} times as long",
            took / bare <= AT_MOST,
            f"at most {AT_MOST:g}",
        )
        sample = pq.read_table(whole).slice(0, SAMPLE_ROWS).to_pylist()
        objects = _from_objects(sample, pq.read_schema(whole), folder / "objects.parquet")
        print(f"    for comparison, pyarrow from the same rows as Python objects: {len(sample) / objects:,.0f} rows/s", flush=True)
        over += _told("its memory, all processes", f"{max(memory_mb):,.0f} MB", max(memory_mb) <= MEMORY_MB, f"at most {MEMORY_MB:g}")
        _change(store, tasks)
        seconds = [_export(store, "--since", "1", "--out", str(folder / "changes.parquet"))[0] for _ in range(ROUNDS)]
        assert pq.read_metadata(folder / "changes.parquet").num_rows == CHANGES
        took = statistics.median(seconds)
        over += _told(f"export of {CHANGES:,} changes among them", f"{took:.2f} s", took < CHANGES_S, f"under {CHANGES_S:g}")
    return over


def _told(name: str, found: str, holds: bool, bound: str) -> list[str]:
    print(f"{name:<52} {found} [{bound}] {'ok' if holds else 'OVER'}", flush=True)
    return [] if holds else [name]


def _export(store: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of one run of the command, and its greatest memory: of all its processes, shared pages counted for each."""
    command = [sys.executable, "-m", "tracker", "export", "--store", f"sqlite:///{store}", "--format", "parquet", "--quiet", *arguments]
    started = perf_counter()
    process = subprocess.Popen(command)
    greatest, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            greatest[0] = max(greatest[0], _memory_mb(process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    code = process.wait()
    took = perf_counter() - started
    ended.set()
    watching.join()
    assert code == 0, code
    return took, greatest[0]


def _memory_mb(pid: int) -> float:
    """What a process and its children have in memory."""
    total = 0.0
    with suppress(OSError, ValueError, IndexError):
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(_memory_mb(int(child)) for child in (task / "children").read_text().split())
    return total


def _bare(whole: Path, out: Path) -> float:
    """Seconds that pyarrow takes to write the same table with the same options."""
    table = pq.read_table(whole)
    time.sleep(0.5)  # what reading has left to do
    started = perf_counter()
    pq.write_table(table, out, compression=COMPRESSION, write_page_index=True, row_group_size=GROUP_ROWS)
    return perf_counter() - started


def _from_objects(rows: list[dict[str, Any]], schema: pa.Schema, out: Path) -> float:
    """Seconds that pyarrow takes to make a table of Python objects and to write it."""
    started = perf_counter()
    pq.write_table(pa.Table.from_pylist(rows, schema), out, compression=COMPRESSION, row_group_size=GROUP_ROWS)
    return perf_counter() - started


def _change(store: Path, tasks: int) -> None:
    """One commit with an event of each of 1,000 tasks, from all over the store, that were not deleted."""
    decode = Decoder().decode
    events = list[TaskEvent]()
    numbers = Random(1).sample(range(tasks), 2 * CHANGES)
    for number in [each for each in numbers if each * 7919 % 1000 >= 5][:CHANGES]:
        subject = b'"subject":"%s"' % workload.task_id(number).encode(), b'"subject":"%s"' % read_store.task_id(number).encode()
        line = workload.line(number, 2, read_store.EVENTS_PER_TASK, 1).replace(*subject).replace(b'"sequence":3', b'"sequence":99')
        event = decode(Record("log", 0, 0, line))
        assert isinstance(event, TaskEvent)
        events.append(event)
    with open_store(f"sqlite:///{store}") as opened:
        commit(opened, events)
