"""The laws of the fold, as functions that give a sentence for a broken one: any order, duplication, batching and merging, the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from random import Random

import msgspec

from tests.naive.logs import parted, split
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import apply, fold
from tracker.fold.registers import merge
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.model.limits import Limits

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def folded(events: Iterable[TaskEvent], limits: Limits) -> TaskState:
    """A new state of these events."""
    state = TaskState()
    fold(state, events, limits)
    return state


def folded_in_batches(batches: Iterable[Sequence[TaskEvent]], limits: Limits) -> tuple[bytes, int]:
    """The bytes after each batch was loaded, folded and stored, and how many events were applied."""
    stored, applied = to_bytes(TaskState(), limits), 0
    for batch in batches:
        state = from_bytes(stored)
        applied += fold(state, batch, limits)
        stored = to_bytes(state, limits)
    return stored, applied


def broken_law(rng: Random, events: Sequence[TaskEvent], limits: Limits) -> str | None:
    """The first law that one task's events break; the random choices (orders, duplicates, cuts) are drawn from ``rng``."""
    whole = to_bytes(folded(events, limits), limits)
    if to_bytes(from_bytes(whole), limits) != whole:
        return "to_bytes and from_bytes are inverse"
    if to_bytes(folded(reversed(events), limits), limits) != whole:
        return "any order"
    again = [*events, *rng.choices(events, k=rng.randint(0, len(events)))]
    rng.shuffle(again)
    if to_bytes(folded(again, limits), limits) != whole:
        return "any order and duplication"
    if folded_in_batches(split(rng, again), limits)[0] != whole:
        return "any batches"
    if folded_in_batches([[event] for event in again], limits)[0] != whole:
        return "batches of one"
    return broken_merge_law(rng, again, whole, limits) or wrong_count(again, limits)


def broken_merge_law(rng: Random, events: Sequence[TaskEvent], whole: bytes, limits: Limits) -> str | None:
    """The first law of `merge` that three parts of the events (which may overlap) break; ``whole`` are the bytes of all."""
    parts = parted(rng, list(events))
    parts[0] += rng.sample(list(events), rng.randint(0, len(events)))
    a, b, c = (folded(part, limits) for part in parts)
    before = [_encode(state) for state in (a, b, c)]
    none = TaskState()
    laws = {
        "merge of the parts is the fold of the union": merge(merge(a, b, limits), c, limits),
        "merge is associative": merge(a, merge(b, c, limits), limits),
        "merge is commutative": merge(c, merge(b, a, limits), limits),
        "merge is idempotent": reduce(lambda left, right: merge(left, right, limits), [a, b, c, a, b, c]),
        "the empty state is neutral": merge(none, merge(merge(c, a, limits), merge(none, b, limits), limits), limits),
    }
    for law, state in laws.items():
        if to_bytes(state, limits) != whole:
            return law
    if [_encode(state) for state in (a, b, c)] != before:
        return "merge changes neither argument"
    part = to_bytes(a, limits)
    return None if to_bytes(merge(a, a, limits), limits) == part else "a state merged with itself stays"


def wrong_count(events: Sequence[TaskEvent], limits: Limits) -> str | None:
    """``applied`` is told for an event if and only if it changed the state's bytes, and the split adds up."""
    state, applied = TaskState(), 0
    before = _encode(state)
    for event in events:
        said = apply(state, event, limits)
        after = _encode(state)
        if said != (after != before):
            return f"applied is {said}, but bytes changed is {after != before}: {event}"
        before = after
        applied += said
    counted = fold(TaskState(), events, limits)
    return None if applied == counted else f"fold counts {counted} applied, one by one they are {applied}"


def changed_by_folding(rng: Random, events: Sequence[TaskEvent], limits: Limits) -> str | None:
    """What changed that may not, as the same event objects are folded into two states, of which one goes on."""
    before = [_encode(event) for event in events]
    first = folded(events, limits)
    bytes_of_first = _encode(first)
    second = folded(events, limits)
    fold(second, [msgspec.structs.replace(event, stamp=f"9{event.stamp[1:]}") for event in rng.sample(list(events), len(events))], limits)
    merge(first, second, limits)
    if [_encode(event) for event in events] != before:
        return "an event"
    return None if _encode(first) == bytes_of_first else "the other state"
