"""Purging keeps the join: with a mark in it, a state is still the same whatever the order, the duplicates and the merges of what it is told."""

from __future__ import annotations

from itertools import permutations
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.laws.agreement import SMALL, events_by_task
from tests.laws.folding import folded
from tests.naive.logs import logs, parted, random_log
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import apply, fold
from tracker.fold.registers import forgotten_attempts, merge, set_purged
from tracker.fold.state import Purged, TaskState, copy, from_bytes, to_bytes
from tracker.fold.view import columns, view
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record

AT = "2026-06-01T00:00:00.000000"
LATER = "2026-07-01T00:00:00.000000"
CAPS = pytest.mark.parametrize("limits", [DEFAULT_LIMITS, SMALL], ids=["default caps", "small caps"])
drawn = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
randoms = st.randoms(use_true_random=False)


def some_task(rng: Random, records: list[Record]) -> list[TaskEvent]:
    """One task's events, of several attempts."""
    events = rng.choice(list(events_by_task(records).values()) or [[]])
    assume(events)
    return [event for event in events if event.kind != "deleted"] if rng.random() < 0.8 else events


def purged_at_random(rng: Random, events: list[TaskEvent], limits: Limits) -> TaskState:
    """A state of some of the events, purged where it can be, that has gone on with others."""
    state = folded(rng.sample(events, rng.randint(0, len(events))), limits)
    set_purged(state, rng.choice((AT, LATER)))
    fold(state, rng.sample(events, rng.randint(0, len(events))), limits)
    return state


def mark(attempt: int) -> TaskState:
    """What is left of a task of which so many attempts were purged."""
    return TaskState(forgotten=Purged(attempt, "SUCCESS", AT, AT))


@CAPS
@given(records=logs(), rng=randoms)
@drawn
def test_merge_stays_a_join_with_marks(limits: Limits, records: list[Record], rng: Random) -> None:
    """Of states with and without marks, merge is associative, commutative and idempotent, and changes neither argument."""
    events = some_task(rng, records)
    states = [purged_at_random(rng, events, limits) for _ in range(3)]
    before = [to_bytes(copy(state), limits) for state in states]
    ways = {
        to_bytes(way, limits)
        for a, b, c in permutations(states)
        for way in (merge(merge(a, b, limits), c, limits), merge(a, merge(b, c, limits), limits))
    }

    assert len(ways) == 1
    assert all(to_bytes(merge(state, state, limits), limits) == was for state, was in zip(states, before, strict=True))
    assert [to_bytes(copy(state), limits) for state in states] == before


@CAPS
@given(records=logs(), rng=randoms, attempt=st.integers(0, 4))
@drawn
def test_a_purged_state_is_its_mark_and_the_events_of_later_attempts(
    limits: Limits, records: list[Record], rng: Random, attempt: int
) -> None:
    """In any order, with any duplicates, in any parts that are merged: what is left is as if no event of a purged attempt had ever been."""
    events = some_task(rng, records)
    begun = mark(attempt) if attempt else TaskState()
    later = copy(begun)
    fold(later, [event for event in events if event.attempt > attempt or event.kind == "deleted"], limits)
    again = [*events, *rng.choices(events, k=rng.randint(0, len(events)))] if events else []
    rng.shuffle(again)
    whole = copy(begun)
    fold(whole, again, limits)
    parts = []
    for part in parted(rng, again):
        parts.append(copy(begun))
        fold(parts[-1], part, limits)

    assert to_bytes(whole, limits) == to_bytes(later, limits)
    assert to_bytes(merge(parts[0], merge(parts[1], parts[2], limits), limits), limits) == to_bytes(later, limits)
    assert to_bytes(from_bytes(to_bytes(later, limits)), limits) == to_bytes(later, limits)


@given(records=logs(), rng=randoms)
@drawn
def test_a_late_event_never_opens_a_purged_task(records: list[Record], rng: Random) -> None:
    """Each event of a purged attempt is unchanged, byte by byte; only a later attempt opens it, and ``deleted`` ends it for ever."""
    events = some_task(rng, records)
    state = folded(events, DEFAULT_LIMITS)
    number = state.attempt
    assume(set_purged(state, AT))
    assert columns("t", state) is None
    before = to_bytes(state)
    for event in events:
        assert not apply(state, event)
    assert to_bytes(state) == before
    if events:
        apply(state, retried(rng.choice(events), number + 1))
        assert view("t", state)["id"] == "t"


def retried(event: TaskEvent, attempt: int) -> TaskEvent:
    """The event as one of another attempt."""
    return msgspec.structs.replace(event, attempt=attempt)


def test_a_task_in_flight_is_never_purged() -> None:
    """Of 300 random logs' states exactly those with a completionStatus are purged, and the others are as they were."""
    rng = Random(6)
    ended = 0
    for _ in range(300):
        for events in events_by_task(random_log(rng)).values():
            state = folded(events, DEFAULT_LIMITS)
            before = to_bytes(copy(state))
            shown = None if state.deleted else view("t", state)
            has_ended = shown is not None and shown["completionStatus"] is not None
            assert set_purged(state, AT) == has_ended
            assert has_ended or to_bytes(state) == before
            if shown is not None and state.purged is not None:
                ended += 1
                assert (state.purged.status, state.purged.completed[:23] + "Z") == (shown["completionStatus"], shown["completed"])
    assert ended > 50


def test_deleted_outranks_purged() -> None:
    """A tombstone merged with a mark, or folded into one, is the tombstone, whichever comes first."""
    tombstone = to_bytes(TaskState(forgotten=True))
    greatest = mark(2**31 - 1)

    assert to_bytes(merge(TaskState(forgotten=True), greatest)) == to_bytes(merge(greatest, TaskState(forgotten=True))) == tombstone
    assert not set_purged(TaskState(forgotten=True), AT)


def test_states_without_a_mark_have_the_bytes_that_they_had() -> None:
    """The first member is still false or true where nothing was purged, so a store of the release before is read as it is."""
    assert to_bytes(TaskState())[1:2] == b"\xc2"
    assert to_bytes(TaskState(forgotten=True))[1:2] == b"\xc3"
    assert forgotten_attempts(from_bytes(to_bytes(mark(3)))) == 3
    assert len(to_bytes(mark(3))) < 100
