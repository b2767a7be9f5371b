"""Replay: a log in files, folded into a store as fast as the machine can, once.

Into an empty SQLite store, plain files are folded in parallel: byte ranges in processes, sorted runs, one merge, indexes last, and one
transaction at the end, with the positions. Everything else (a store that has tasks, compressed files, standard input, the memory
store) takes the projector's loop. Both end in the same bytes, since a status is a join of its events.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import msgspec

from tracker.model.limits import Limits
from tracker.model.records import Position, TopicPartition
from tracker.projector import Options, Progress, Projector
from tracker.projector.judging import judge_whole
from tracker.replay.pool import fold_all
from tracker.replay.runs import Folded, Stretch, merged, parked_records, unwritten
from tracker.sources.files import is_compressed
from tracker.sources.jsonl import JsonlSource, byte_ranges
from tracker.stores.base import Advance, Commit, Counters, StatusStore
from tracker.stores.filling import Fill, filler
from tracker.stores.open import open_store

PARALLEL_FROM_BYTES = 8_000_000
"""Below that (about 20,000 events) starting processes takes longer than it saves."""


class ReplayProgress(msgspec.Struct):
    """How far a replay is. ``bytes_total`` is None where it can't be known (standard input)."""

    bytes_read: int
    bytes_total: int | None
    seconds: float
    step: str
    """folding, or storing."""


class ReplayTotals(msgspec.Struct):
    """What a replay did. ``tasks`` is the store's count without deleted ones; ``resumed`` says where known files went on."""

    counters: Counters
    tasks: int
    seconds: float
    resumed: dict[str, int]


OnReplayProgress = Callable[[ReplayProgress], None]
Steps = Mapping[TopicPartition, tuple[Position, Position]]
"""Each file's stored position, and where it begins with the identity that it has now."""


def replay(
    paths: Sequence[str],
    store_url: str,
    *,
    limits: Limits | None = None,
    jobs: int | None = None,
    again: bool = False,
    max_parked_ratio: float = 0.1,
    on_progress: OnReplayProgress = lambda _: None,
) -> ReplayTotals:
    """Fold these files (globs, .gz, .zst and ``-`` too) into the store; files that it has read go on where they ended.

    ``again`` reads them from the start, which changes counters but can't change a status. ``jobs`` is how many processes may work
    (default: one a core). Raises any `TrackerError`; then nothing was stored that was not whole.
    """
    started = perf_counter()
    with open_store(store_url, limits=limits) as store:
        beginnings = asyncio.run(_beginnings(paths))
        claimed = store.claim(beginnings.values())
        if again:
            _rewind(store, beginnings, claimed)
            claimed = beginnings
        resumed = {at.topic: each.next_offset for at, each in claimed.items() if each.next_offset != beginnings[at].next_offset}
        workers = jobs or os.cpu_count() or 1
        filled = filler(store)
        if workers > 1 and filled is not None and not resumed and _is_worth_it(beginnings) and store.revision() == 0:
            steps = {at: (claimed[at], beginning) for at, beginning in beginnings.items()}
            counters = _in_parallel(steps, store, *filled, workers, max_parked_ratio, on_progress, started)
        else:
            counters = _in_order(paths, store, max_parked_ratio, on_progress, started)
        return ReplayTotals(counters, store.task_count(), perf_counter() - started, resumed)


async def _beginnings(paths: Sequence[str]) -> Mapping[TopicPartition, Position]:
    async with JsonlSource(paths) as source:
        return await source.assigned()


def _rewind(store: StatusStore, beginnings: Mapping[TopicPartition, Position], claimed: Mapping[TopicPartition, Position]) -> None:
    store.commit(
        Commit(advances=[Advance(expected=claimed[at], next=beginning, counters=Counters()) for at, beginning in beginnings.items()])
    )


def _is_worth_it(beginnings: Mapping[TopicPartition, Position]) -> bool:
    files = [Path(at.topic) for at in beginnings]
    if not all(file.is_file() and not is_compressed(str(file)) for file in files):
        return False
    return sum(file.stat().st_size for file in files) >= PARALLEL_FROM_BYTES


def _in_order(paths: Sequence[str], store: StatusStore, max_parked_ratio: float, on_progress: OnReplayProgress, started: float) -> Counters:
    """The projector's own loop, over a bounded source."""
    source = JsonlSource(paths)

    def tell(_: Progress) -> None:
        on_progress(ReplayProgress(source.bytes_read, source.bytes_total, perf_counter() - started, "folding"))

    options = Options(max_parked_ratio=max_parked_ratio, max_batch_age_s=1.0)
    return asyncio.run(Projector(lambda _: source, store, options=options, on_progress=tell).run()).counters


def _in_parallel(
    steps: Steps,
    store: StatusStore,
    fill: Fill,
    beside: Path,
    workers: int,
    max_parked_ratio: float,
    on_progress: OnReplayProgress,
    started: float,
) -> Counters:
    sizes = {at: Path(at.topic).stat().st_size for at in steps}
    stretches: list[Stretch] = []
    for at in sorted(steps):
        parts = max(1, round(workers * sizes[at] / max(1, sum(sizes.values()))))
        for begin, end in byte_ranges(at.topic, parts):
            stretches.append(Stretch(at.topic, at.topic, begin, end, len(stretches)))
    bytes_total = sum(stretch.end - stretch.begin for stretch in stretches)
    try:
        with tempfile.TemporaryDirectory(prefix=".replay-", dir=beside) as folder:

            def tell(bytes_read: int, step: str) -> None:
                on_progress(ReplayProgress(bytes_read, bytes_total, perf_counter() - started, step))

            folded = fold_all(stretches, store.limits, workers, folder, lambda bytes_read: tell(bytes_read, "folding"))
            tell(bytes_total, "storing")
            # What is written to a file meanwhile is the next replay's: each position goes to where its last stretch ended.
            ends = {TopicPartition(stretch.topic, 0): stretch.end for stretch in stretches}
            return _store(steps, ends, store, fill, folded, max_parked_ratio)
    except OSError as error:
        raise unwritten(str(beside), error) from error


def _store(
    steps: Steps, ends: Mapping[TopicPartition, int], store: StatusStore, fill: Fill, folded: Sequence[Folded], max_parked_ratio: float
) -> Counters:
    total = Counters()
    advances = []
    for at, (stored, beginning) in steps.items():
        counters, newest = Counters(), ""
        for part in folded:
            if part.topic == at.topic:
                counters.add(part.counters)
                newest = max(newest, part.newest)
        total.add(counters)
        end = msgspec.structs.replace(beginning, next_offset=ends.get(at, beginning.next_offset))
        advances.append(Advance(expected=stored, next=end, counters=counters, newest_event_time=newest))
    judge_whole(total, max_parked_ratio)
    commit = Commit(advances=advances, parked=list(parked_records(part.parked for part in folded)))
    fill(merged((run for part in folded for run in part.runs), store.limits), commit)
    return total
