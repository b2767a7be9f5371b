"""Parked records, decoded again under the store's rules and folded like any other record."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracker.errors import NotFound, StateConflict
from tracker.fold.decode import Decoder
from tracker.fold.event import Ignored, Parked
from tracker.fold.reducers import apply
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns, purged_at
from tracker.model.records import TopicPartition
from tracker.stores.base import Commit, ParkedRecord, Retried, StatusStore, Write


class RetryTotals(msgspec.Struct):
    """What became of parked records that were tried again."""

    applied: int = 0
    unchanged: int = 0
    ignored: int = 0
    still_parked: int = 0


def retry_parked(store: StatusStore, numbers: Sequence[int]) -> RetryTotals:
    """Try these parked records again, each in a transaction of its own: its count moves from parked to what it became.

    Raises `NotFound` for a number that is not there, or whose bytes were dropped.
    """
    totals = RetryTotals()
    decode = Decoder(store.limits).decode
    for number in numbers:
        parked = store.parked_record(number)
        if parked is None:
            raise NotFound(f"there is no parked record {number}: see 'tracker parked list'")
        if parked.dropped:
            raise NotFound(f"the bytes of parked record {number} were dropped: it can't be tried again")
        verdict = decode(parked.record)
        if isinstance(verdict, Parked):
            totals.still_parked += 1
        elif isinstance(verdict, Ignored):
            store.commit(Commit(retried=[_retried(parked, "ignored")]))
            totals.ignored += 1
        else:
            while True:
                loaded = store.load([verdict.task_id]).get(verdict.task_id)
                state = TaskState() if loaded is None else from_bytes(loaded.registers)
                outcome = "applied" if apply(state, verdict, store.limits) else "unchanged"
                revision = loaded.revision if loaded else None
                write = Write(verdict.task_id, to_bytes(state, store.limits), columns(verdict.task_id, state), revision, purged_at(state))
                try:
                    store.commit(Commit(writes=[write], retried=[_retried(parked, outcome)]))
                except StateConflict:
                    continue  # another writer was faster: fold into what it wrote
                break
            setattr(totals, outcome, getattr(totals, outcome) + 1)
    return totals


def _retried(parked: ParkedRecord, outcome: str) -> Retried:
    return Retried(number=parked.number, at=TopicPartition(parked.record.topic, parked.record.partition), outcome=outcome)
