"""``python -m bench [NAME…]``: the cost of an event at each station of the road as ratios, see `bench.measure`; of a read, see `bench.reads`; of a page, see `bench.dashboard`; of an export, see `bench.analytics`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import analytics, attributes, dashboard, memory_road, paging, reads, reads_http, rebuild, soak, spark, store_road
from bench.measure import Figure, bare
from tests.naive.workload import lines

ROADS = ("fold", "replay", "stream", "kafka", "postgres")
"""On the way into the store; those that follow read it."""
BENCHES = (*ROADS, "reads", "attributes", "paging", "rebuild", "dashboard", "analytics", "soak", "spark")
ONLY_BY_NAME = ("spark",)
"""Minutes, gigabytes, and an extra of its own."""


def main() -> int:
    """Run the named benchmarks (default: all); exit code 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; default: all but {', '.join(ONLY_BY_NAME)}")
    parser.add_argument(
        "--tasks",
        type=int,
        help="of the log, 8 events each (default 125,000; of spark 1,250,000); of the store that is read or rebuilt (1,000,000)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each station of the road")
    parser.add_argument("--seconds", type=float, default=60.0, help="of paging, and of the soak, while a projector writes")
    parser.add_argument("--live", type=int, default=1_000, help="events a second beside a rebuild")
    arguments = parser.parse_args()
    names = arguments.names or [name for name in BENCHES if name not in ONLY_BY_NAME]
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; expected some of {', '.join(BENCHES)}")
    slow = _roads(names, arguments.tasks or 125_000, arguments.rounds) if set(names) & set(ROADS) else []
    if "reads" in names:
        tasks = arguments.tasks or 1_000_000
        slow += reads.run(tasks)
        reads_http.run(tasks)
    if "attributes" in names:
        slow += attributes.run(arguments.tasks or 1_000_000)
    if "dashboard" in names:
        slow += dashboard.run(arguments.tasks or 1_000_000)
    if "analytics" in names:
        slow += analytics.run(arguments.tasks or 1_000_000)
    if "soak" in names:
        slow += soak.run(arguments.seconds)
    if "paging" in names:
        slow += paging.run(arguments.seconds)
    if "rebuild" in names:
        slow += rebuild.run(arguments.tasks or 1_000_000, arguments.live)
    if "spark" in names:
        slow += spark.run(arguments.tasks or 1_250_000)
    print(f"bounds that do not hold: {', '.join(slow)}" if slow else "all bounds hold")
    return 1 if slow else 0


def _roads(names: Sequence[str], tasks: int, rounds: int) -> list[str]:
    """Print a line for each station; the names of those that are too slow."""
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as name:
        folder = Path(name)
        log, shuffled = folder / "events.jsonl", folder / "shuffled.jsonl"
        _write(log, tasks, shuffle=False)
        events = log.read_bytes().split(b"\n")[:-1]
        print(
            f"{len(events):,} events of {log.stat().st_size // len(events)} bytes; b = {bare(events) / len(events) * 1e6:.2f} µs",
            flush=True,
        )
        figures: list[Figure] = []
        if "fold" in names:
            figures += memory_road.figures(events, rounds)
        if "replay" in names:
            figures += store_road.replays(log, events, rounds, "a log in order", 9)
            _write(shuffled, tasks, shuffle=True)
            figures += store_road.replays(shuffled, events, rounds, "a fully shuffled log", 18)
        if "stream" in names:
            figures += store_road.streams(log, events, rounds)
        if "kafka" in names:
            from bench import kafka_road

            figures += kafka_road.figures(folder, events, rounds)
        if "postgres" in names:
            from bench import postgres_road

            figures += postgres_road.figures(events, rounds)
    return [figure.name for figure in figures if figure.at_most is not None and figure.ratio > figure.at_most]


def _write(path: Path, tasks: int, *, shuffle: bool) -> None:
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines(tasks, shuffle=shuffle))


if __name__ == "__main__":
    sys.exit(main())
