"""Whole logs, files or a topic, folded into an empty store, in parallel, and resumed after a kill stretch by stretch.

The stretches are planned once and written down; each that is done leaves its runs and a note of them. Who comes after a kill folds those that
have none, then all runs are merged into the store in one transaction, as a replay does it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from tracker import replay
from tracker.errors import StoreError
from tracker.model.limits import Limits
from tracker.model.records import Position, TopicPartition
from tracker.rebuild.following import Follower
from tracker.rebuild.logs import Logs
from tracker.replay.partial import Tally
from tracker.replay.pool import fold_all
from tracker.replay.runs import UNTIL_ENDED, Folded, Stretch, merged, parked_records, unwritten
from tracker.sources.files import is_compressed
from tracker.sources.jsonl import byte_ranges
from tracker.stores.base import Advance, Commit, Counters, ParkedRecord, StatusStore, Write
from tracker.stores.filling import filler

STRETCH_BYTES = 64_000_000
"""A kill costs a few of these: some seconds of work. Each makes at least one run of its own, and 100 of them can be merged at once."""
MOST_STRETCHES = 100
STRETCH_RECORDS = 150_000
"""Of a partition, whose offsets are about as many records: as much work."""
PARALLEL_FROM_RECORDS = 20_000
"""Below that starting processes takes longer than it saves."""


Engine: TypeAlias = Callable[
    [StatusStore, Mapping[TopicPartition, Position], Mapping[TopicPartition, int], Callable[[int], None]], Counters
]
"""Another way to fold whole logs than the processes of this machine.

Called in a thread of its own, with an empty store and, of each log, where it begins and where the folding ends (`UNTIL_ENDED`: at the log's
end, which is found then). It ends with `store_folded`, whose counters it gives, and tells now and then how many bytes and offsets are done: what that
raises is to end it.
"""


class _Plan(msgspec.Struct):
    """What is folded, written down before the first stretch is begun."""

    stretches: list[Stretch]
    ends: list[Position]
    """Where each file's last stretch ends."""


def can_be_folded(store: StatusStore, follower: Follower, aims: Mapping[TopicPartition, int]) -> bool:
    """Whether the store is empty, and these logs are plain files that are worth processes of their own."""
    return filler(store) is not None and not store.revision() and can_be_cut(follower.beginnings, aims)


def can_be_cut(beginnings: Mapping[TopicPartition, Position], aims: Mapping[TopicPartition, int]) -> bool:
    """Whether these are plain files, or a topic's partitions, and large enough."""
    length = sum(aims[at] - beginning.next_offset for at, beginning in beginnings.items())
    if not beginnings or UNTIL_ENDED in aims.values():
        return False
    if not are_files(beginnings):
        return length >= PARALLEL_FROM_RECORDS
    files = [Path(at.topic) for at in beginnings]
    return length >= replay.PARALLEL_FROM_BYTES and not any(is_compressed(str(file)) or not file.is_file() for file in files)


def are_files(logs: Iterable[TopicPartition]) -> bool:
    """Whether these are files, and not the partitions of topics."""
    return all(Path(at.topic).is_absolute() for at in logs)


def fold_log(
    store: StatusStore,
    logs: Logs,
    aims: Mapping[TopicPartition, int],
    beginnings: Mapping[TopicPartition, Position],
    folder: Path,
    jobs: int | None,
    *,
    indexed: bool,
    on_bytes: Callable[[int], None] = lambda _: None,
    seam: Callable[[str], None] = lambda _: None,
) -> Counters:
    """Fold these files, or the partitions of the logs' topics, up to ``aims`` into the empty store, in so many processes (None: one a core).

    ``folder`` is where a run that was killed has left its work; not ``indexed``, the store has no secondary indexes.
    """
    try:
        plan, folded = _folded(store.limits, logs, aims, beginnings, folder, jobs, on_bytes, seam)
    except OSError as error:
        raise unwritten(str(folder), error) from error
    seam("all is folded")
    return _store(store, plan, beginnings, folded, indexed=indexed)


def _folded(
    limits: Limits,
    logs: Logs,
    aims: Mapping[TopicPartition, int],
    beginnings: Mapping[TopicPartition, Position],
    folder: Path,
    jobs: int | None,
    on_bytes: Callable[[int], None],
    seam: Callable[[str], None],
) -> tuple[_Plan, list[Folded]]:
    plan = _planned(logs, aims, beginnings, folder)
    done = {stretch.index: found for stretch in plan.stretches if (found := _done(folder, stretch)) is not None}
    bytes_before = sum(stretch.end - stretch.begin for stretch in plan.stretches if stretch.index in done)
    left = [stretch for stretch in plan.stretches if stretch.index not in done]
    attempt = folder / secrets.token_hex(4)  # a process of a run that was killed may write for a moment more
    attempt.mkdir()
    numbered = [msgspec.structs.replace(stretch, index=number) for number, stretch in enumerate(left)]

    def on_folded(stretch: Stretch, folded: Folded) -> None:
        index = left[stretch.index].index
        path = _note_path(folder, index)
        partly = path.with_suffix(".partial")
        partly.write_bytes(msgspec.msgpack.encode(folded))
        partly.replace(path)
        done[index] = folded
        seam("a stretch is folded")

    fold_all(numbered, limits, jobs or os.cpu_count() or 1, str(attempt), lambda read: on_bytes(bytes_before + read), on_folded)
    return plan, [done[stretch.index] for stretch in plan.stretches]


def _planned(logs: Logs, aims: Mapping[TopicPartition, int], beginnings: Mapping[TopicPartition, Position], folder: Path) -> _Plan:
    path = folder / "plan"
    if path.exists():
        return msgspec.msgpack.decode(path.read_bytes(), type=_Plan)
    folder.mkdir(parents=True, exist_ok=True)
    cut = _cut_files if are_files(beginnings) else partial(_cut_partitions, logs)
    plan = _Plan(*cut(aims, beginnings))
    partly = folder / "plan.partial"
    partly.write_bytes(msgspec.msgpack.encode(plan))
    partly.replace(path)
    return plan


_Cut: TypeAlias = tuple[list[Stretch], list[Position]]
"""Stretches, and where each log's last one ends."""


def _cut_partitions(logs: Logs, aims: Mapping[TopicPartition, int], beginnings: Mapping[TopicPartition, Position]) -> _Cut:
    assert logs.source is not None
    stretches: list[Stretch] = []
    total = sum(aims[at] - beginning.next_offset for at, beginning in beginnings.items())
    length = max(STRETCH_RECORDS, -(-total // MOST_STRETCHES))
    for at, beginning in sorted(beginnings.items()):
        for begin in range(beginning.next_offset, aims[at], length):
            end = min(begin + length, aims[at])
            stretches.append(Stretch(logs.source, at.topic, begin, end, len(stretches), at.partition, logs.kafka_config))
    return stretches, [msgspec.structs.replace(each, next_offset=max(each.next_offset, aims[at])) for at, each in beginnings.items()]


def _cut_files(aims: Mapping[TopicPartition, int], beginnings: Mapping[TopicPartition, Position]) -> _Cut:
    stretches: list[Stretch] = []
    ends = []
    total = max(1, sum(Path(at.topic).stat().st_size for at in beginnings))
    for at, beginning in sorted(beginnings.items()):
        size = Path(at.topic).stat().st_size
        parts = max(1, min(size // STRETCH_BYTES + 1, round(MOST_STRETCHES * size / total)))
        end = beginning.next_offset
        for begin, stop in byte_ranges(at.topic, parts):
            if begin < aims[at]:
                end = min(stop, aims[at])
                stretches.append(Stretch(at.topic, at.topic, begin, end, len(stretches)))
        ends.append(msgspec.structs.replace(beginning, next_offset=end))
    return stretches, ends


def _note_path(folder: Path, index: int) -> Path:
    return folder / f"{index}.folded"


def _done(folder: Path, stretch: Stretch) -> Folded | None:
    path = _note_path(folder, stretch.index)
    return msgspec.msgpack.decode(path.read_bytes(), type=Folded) if path.exists() else None


def _store(
    store: StatusStore, plan: _Plan, beginnings: Mapping[TopicPartition, Position], folded: list[Folded], *, indexed: bool
) -> Counters:
    tallies: dict[TopicPartition, Tally] = {}
    for part in folded:
        at = TopicPartition(part.topic, part.partition)
        tallies.setdefault(at, Tally()).add(Tally(part.counters, part.newest))
    parked = list(parked_records(part.parked for part in folded))
    writes = merged((run for part in folded for run in part.runs), store.limits)
    return store_folded(store, beginnings, plan.ends, tallies, parked, writes, indexed=indexed)


def store_folded(
    store: StatusStore,
    beginnings: Mapping[TopicPartition, Position],
    ends: Iterable[Position],
    tallies: Mapping[TopicPartition, Tally],
    parked: Sequence[ParkedRecord],
    writes: Iterable[Write],
    *,
    indexed: bool,
) -> Counters:
    """Write all that was folded of these logs, up to ``ends``, into the empty store in one transaction; what was counted in all.

    The writes come ascending by task id, each once. Raises `StoreError` where the counters do not add up, and as the store's fill does.
    """
    claimed = store.claim(beginnings.values())
    total, advances = Counters(), []
    for end in ends:
        tally = tallies.get(end.at, Tally())
        total.add(tally.counters)
        advances.append(Advance(expected=claimed[end.at], next=end, counters=tally.counters, newest_event_time=tally.newest))
    if not total.balanced or total.parked != len(parked):
        raise StoreError(f"the counters of what was folded do not add up: {total}, with {len(parked)} records parked")
    filled = filler(store, indexed=indexed)
    assert filled is not None
    filled[0](writes, Commit(advances=advances, parked=parked))
    return total
