"""Whole files folded into an empty shadow, in parallel, and resumed after a kill stretch by stretch.

The stretches are planned once and written down; each that is done leaves its runs and a note of them. Who comes after a kill folds those that
have none, then all runs are merged into the store in one transaction, as a replay does it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from tracker import replay
from tracker.errors import StoreError
from tracker.model.records import Position, TopicPartition
from tracker.rebuild.following import UNTIL_ENDED, Follower
from tracker.replay.pool import fold_all
from tracker.replay.runs import Folded, Stretch, merged, parked_records
from tracker.sources.files import is_compressed
from tracker.sources.jsonl import byte_ranges
from tracker.stores.base import Advance, Commit, Counters, StatusStore
from tracker.stores.filling import filler

STRETCH_BYTES = 64_000_000
"""A kill costs a few of these: some seconds of work. Each makes at least one run of its own, and 100 of them can be merged at once."""
MOST_STRETCHES = 100


class _Plan(msgspec.Struct):
    """What is folded, written down before the first stretch is begun."""

    stretches: list[Stretch]
    ends: list[Position]
    """Where each file's last stretch ends."""


def can_be_folded(store: StatusStore, follower: Follower, aims: Mapping[TopicPartition, int]) -> bool:
    """Whether the store is empty, and these logs are plain files that are worth processes of their own."""
    if filler(store) is None or store.revision() or UNTIL_ENDED in aims.values():
        return False
    return can_be_cut(follower.beginnings)


def can_be_cut(logs: Iterable[TopicPartition]) -> bool:
    """Whether these are plain files, and large enough."""
    files = [Path(at.topic) for at in logs]
    if not files or not all(file.is_absolute() and file.is_file() and not is_compressed(str(file)) for file in files):
        return False
    return sum(file.stat().st_size for file in files) >= replay.PARALLEL_FROM_BYTES


def fold_files(
    store: StatusStore,
    aims: Mapping[TopicPartition, int],
    beginnings: Mapping[TopicPartition, Position],
    folder: Path,
    jobs: int | None,
    *,
    indexed: bool,
    on_bytes: Callable[[int], None] = lambda _: None,
    seam: Callable[[str], None] = lambda _: None,
) -> Counters:
    """Fold these files up to ``aims`` into the empty store, in so many processes (None: one a core).

    ``folder`` is where a run that was killed has left its work; not ``indexed``, the store has no secondary indexes.
    """
    plan = _planned(aims, beginnings, folder)
    done = {stretch.index: found for stretch in plan.stretches if (found := _done(folder, stretch)) is not None}
    bytes_before = sum(stretch.end - stretch.begin for stretch in plan.stretches if stretch.index in done)
    left = [stretch for stretch in plan.stretches if stretch.index not in done]
    attempt = folder / secrets.token_hex(4)  # a process of a run that was killed may write for a moment more
    attempt.mkdir()
    numbered = [msgspec.structs.replace(stretch, index=number) for number, stretch in enumerate(left)]

    def on_folded(stretch: Stretch, folded: Folded) -> None:
        index = left[stretch.index].index
        path = _note_path(folder, index)
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.msgpack.encode(folded))
        partial.replace(path)
        done[index] = folded
        seam("a stretch is folded")

    fold_all(numbered, store.limits, jobs or os.cpu_count() or 1, str(attempt), lambda read: on_bytes(bytes_before + read), on_folded)
    seam("all is folded")
    return _store(store, plan, [done[stretch.index] for stretch in plan.stretches], indexed=indexed)


def _planned(aims: Mapping[TopicPartition, int], beginnings: Mapping[TopicPartition, Position], folder: Path) -> _Plan:
    path = folder / "plan"
    if path.exists():
        return msgspec.msgpack.decode(path.read_bytes(), type=_Plan)
    folder.mkdir(parents=True, exist_ok=True)
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
    plan = _Plan(stretches, ends)
    partial = folder / "plan.partial"
    partial.write_bytes(msgspec.msgpack.encode(plan))
    partial.replace(path)
    return plan


def _note_path(folder: Path, index: int) -> Path:
    return folder / f"{index}.folded"


def _done(folder: Path, stretch: Stretch) -> Folded | None:
    path = _note_path(folder, stretch.index)
    return msgspec.msgpack.decode(path.read_bytes(), type=Folded) if path.exists() else None


def _store(store: StatusStore, plan: _Plan, folded: list[Folded], *, indexed: bool) -> Counters:
    beginnings = [msgspec.structs.replace(end, next_offset=0) for end in plan.ends]
    claimed = store.claim(beginnings)
    total, advances = Counters(), []
    for end in plan.ends:
        counters, newest = Counters(), ""
        for part in folded:
            if part.topic == end.topic:
                counters.add(part.counters)
                newest = max(newest, part.newest)
        total.add(counters)
        advances.append(Advance(expected=claimed[end.at], next=end, counters=counters, newest_event_time=newest))
    if not total.balanced:
        raise StoreError(f"the counters of what was folded do not add up: {total}")
    commit = Commit(advances=advances, parked=list(parked_records(part.parked for part in folded)))
    filled = filler(store, indexed=indexed)
    assert filled is not None
    filled[0](merged((run for part in folded for run in part.runs), store.limits), commit)
    return total
