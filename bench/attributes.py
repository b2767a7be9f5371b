"""What an index of an attribute gives and costs: ``python -m bench attributes``.

About a hundred tasks in a million have the value that is counted. Without an index each task is decoded; with one, those are, and the count takes a hundredth of the
time at most.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import copyfile
from time import perf_counter

from bench import read_store
from bench.timings import Timings
from tracker.query import connect
from tracker.query.indexing import catch_up
from tracker.stores.attribute_index import SqliteAttributeIndex
from tracker.stores.sql import SqlStore

ATTRIBUTE, FILTER = "lastAccount", 'attributes.lastAccount eq "acc-001174"'
AT_LEAST, TURNS = 100.0, 40


def run(tasks: int) -> list[str]:
    """Measure and print; the names of what is over its bound."""
    made = read_store.made(tasks)
    with tempfile.TemporaryDirectory(prefix="tracker-bench-attributes-") as folder:
        path = Path(folder) / "status.db"
        copyfile(made, path)  # an index is written to it, and others read the one that was made
        with SqlStore(str(path)) as store, connect(f"sqlite:///{path}") as query:
            began = perf_counter()
            found = query.count(FILTER)
            scan_s = perf_counter() - began
            size = path.stat().st_size
            index, began = SqliteAttributeIndex(store), perf_counter()
            index.ask([ATTRIBUTE])
            assert catch_up(query, index)
            index_s = perf_counter() - began
            times = Timings()
            for _ in range(TURNS):
                began = perf_counter()
                assert query.count(FILTER) == found
                times.seconds.append(perf_counter() - began)
        grown = path.stat().st_size - size
    ratio = scan_s / times.at(50)
    holds = ratio >= AT_LEAST
    print(f"attributes: {found:,} of {tasks:,} tasks by {FILTER}")
    print(
        f"  without an index {scan_s:.2f} s, with one {times}: {ratio:,.0f} times as fast [at least {AT_LEAST:g}] {'ok' if holds else 'OVER'}"
    )
    print(
        f"  the index was made in {index_s:.1f} s, {tasks / index_s:,.0f} tasks/s, and takes {grown / tasks:.0f} bytes a task", flush=True
    )
    return [] if holds else ["attributes: an index"]
