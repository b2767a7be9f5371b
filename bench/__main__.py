"""``python -m bench [NAME…]``: the cost of an event at each station of the road, as ratios; see `bench.measure`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import memory_road, store_road
from bench.measure import Figure, bare
from tests.naive.workload import lines

BENCHES = ("fold", "replay", "stream", "kafka")


def main() -> int:
    """Run the named benchmarks (default: all); exit code 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--tasks", type=int, default=125_000, help="tasks of the log, 8 events each")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; expected some of {', '.join(BENCHES)}")
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as name:
        folder = Path(name)
        log, shuffled = folder / "events.jsonl", folder / "shuffled.jsonl"
        _write(log, arguments.tasks, shuffle=False)
        events = log.read_bytes().split(b"\n")[:-1]
        print(
            f"{len(events):,} events of {log.stat().st_size // len(events)} bytes; b = {bare(events) / len(events) * 1e6:.2f} µs",
            flush=True,
        )
        figures: list[Figure] = []
        if "fold" in names:
            figures += memory_road.figures(events, arguments.rounds)
        if "replay" in names:
            figures += store_road.replays(log, events, arguments.rounds, "a log in order", 9)
            _write(shuffled, arguments.tasks, shuffle=True)
            figures += store_road.replays(shuffled, events, arguments.rounds, "a fully shuffled log", 18)
        if "stream" in names:
            figures += store_road.streams(log, events, arguments.rounds)
        if "kafka" in names:
            from bench import kafka_road

            figures += kafka_road.figures(folder, events, arguments.rounds)
    slow = [figure.name for figure in figures if figure.at_most is not None and figure.ratio > figure.at_most]
    print(f"too slow: {', '.join(slow)}" if slow else "all bounds hold")
    return 1 if slow else 0


def _write(path: Path, tasks: int, *, shuffle: bool) -> None:
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines(tasks, shuffle=shuffle))


if __name__ == "__main__":
    sys.exit(main())
