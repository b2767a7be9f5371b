"""A store copied into another database: states, positions with their counters, parked records and jumps, of one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from tracker.errors import StoreError, StoreMismatch
from tracker.fold.state import from_bytes
from tracker.fold.view import columns, purged_at
from tracker.model.limits import FOLD_VERSION
from tracker.model.rows import Columns
from tracker.stores.base import Advance, Commit, StatusStore, Write
from tracker.stores.contents import Contents, Holding
from tracker.stores.filling import filler

TOLD_EVERY = 10_000
"""Tasks between two words on the progress."""


class Copied(msgspec.Struct):
    """What was copied."""

    tasks: int
    """Deleted ones among them."""
    partitions: int
    parked: int
    jumps: int


def copy(contents: Contents, target: StatusStore, on_tasks: Callable[[int, int], None] = lambda *_: None) -> Copied:
    """Fill the empty target with everything that the contents have, in one transaction. ``on_tasks`` is told how many of how many.

    Raises `StoreMismatch` for states of another fold version or under other limits, `StoreError` where the target is not empty.
    """
    about = contents.about()
    if about.fold_version != str(FOLD_VERSION):
        raise StoreMismatch(
            f"the states of {contents.where} are of fold version {about.fold_version}, this release folds version {FOLD_VERSION}: "
            "mend it with 'tracker rebuild' first"
        )
    if about.limits != target.limits:
        raise StoreMismatch(f"{contents.where} was made with other limits than the target: copy it into a new store")
    if target.revision() or target.partitions():
        raise StoreError("the target is not empty, and a copy never joins two stores: name a new one")
    parked, jumps, statuses = list(contents.parked_records()), contents.jumps(), contents.partitions()
    beginnings = [msgspec.structs.replace(each.position, next_offset=0) for each in statuses]
    claimed = target.claim(beginnings)
    advances = [
        Advance(
            expected=claimed[each.position.at],
            next=each.position,
            counters=each.counters,
            newest_event_time=each.newest_event_time or "",
        )
        for each in statuses
    ]
    copied = Copied(0, len(statuses), len(parked), len(jumps))

    def writes() -> Iterator[Write]:
        for each in contents.holdings():
            copied.tasks += 1
            if copied.tasks % TOLD_EVERY == 0:
                on_tasks(copied.tasks, about.tasks)
            yield _write(each, contents.kind)

    filled = filler(target)
    assert filled is not None
    filled[0](writes(), Commit(advances=advances, parked=parked, jumps=jumps))
    for each in statuses:
        if each.end_offset is not None and each.end_seen_at is not None:
            target.report_ends([msgspec.structs.replace(each.position, next_offset=each.end_offset)], each.end_seen_at)
    return copied


def _write(holding: Holding, kind: str) -> Write:
    if kind == "sqlite":  # its cells are a row's, between the mark of a deleted task and that of a purged one
        deleted, *cells, purged = holding.cells
        return Write(holding.id, holding.registers, None if deleted else Columns(*cells), None, purged)
    state = from_bytes(holding.registers)
    return Write(holding.id, holding.registers, columns(holding.id, state), None, purged_at(state))
