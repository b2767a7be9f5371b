"""A task's status is a join of its events: any order, duplication, batching and merging give the same bytes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.agreement import SMALL, events_by_task
from tests.laws.folding import broken_law, changed_by_folding, folded, folded_in_batches
from tests.naive.logs import crowded_log, logs, parted, random_log, rearranged, split
from tracker.fold.reducers import fold
from tracker.fold.registers import merge
from tracker.fold.state import TaskState, to_bytes
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record

ONE = Limits(messages=1, returns=1, attributes=1, attempts=1)
CAPS = pytest.mark.parametrize("limits", [DEFAULT_LIMITS, SMALL, ONE], ids=["default caps", "small caps", "caps of one"])


@CAPS
@given(records=logs(), rng=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_drawn_logs_keep_the_laws(limits: Limits, records: list[Record], rng: Random) -> None:
    """No order, duplication, batching or merging of a drawn log's events changes the bytes."""
    for events in events_by_task(records).values():
        assert broken_law(rng, events, limits) is None


@CAPS
def test_hundreds_of_random_logs_keep_the_laws(limits: Limits) -> None:
    """Nor does any of 100 random logs."""
    rng = Random(40)
    for _ in range(100):
        for events in events_by_task(random_log(rng)).values():
            assert broken_law(rng, events, limits) is None


def test_a_crowded_task_keeps_the_laws() -> None:
    """A task that overflows each of the default caps has the same bytes rearranged, in batches and merged."""
    rng = Random(41)
    (events,) = events_by_task(crowded_log(rng)).values()
    whole = to_bytes(folded(events, DEFAULT_LIMITS))
    again = [*events, *events[:500]]
    rng.shuffle(again)
    a, b, c = (folded(part, DEFAULT_LIMITS) for part in parted(rng, again))

    assert folded_in_batches(split(rng, again), DEFAULT_LIMITS)[0] == whole
    assert to_bytes(merge(a, merge(b, c))) == to_bytes(merge(merge(c, b), a)) == whole


@pytest.mark.parametrize("seed", range(20))
def test_applied_and_unchanged_add_up(seed: int) -> None:
    """How many events are applied depends on order and batches; a second pass over the stored state applies none."""
    rng = Random(seed)
    for events in events_by_task(rearranged(rng, random_log(rng))).values():
        state = TaskState()
        applied = fold(state, events)

        assert 1 <= applied <= len(events)
        assert fold(state, events) == 0


@CAPS
def test_events_are_not_changed_by_folding(limits: Limits) -> None:
    """The same event objects fold into two states that share nothing: neither the events nor the other state change."""
    rng = Random(42)
    for _ in range(100):
        for events in events_by_task(random_log(rng)).values():
            assert changed_by_folding(rng, events, limits) is None
