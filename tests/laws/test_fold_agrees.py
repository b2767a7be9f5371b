"""The folded status and its extension are what the oracle makes of all of a task's events at once."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from tests.laws.agreement import SMALL, document_difference, events_by_task, naive_documents
from tests.laws.folding import folded
from tests.naive.logs import crowded_log, logs, random_log
from tracker.fold.state import from_bytes, to_bytes
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record

BOTH = pytest.mark.parametrize("limits", [DEFAULT_LIMITS, SMALL], ids=["default caps", "small caps"])


def fold_differences(records: list[Record], limits: Limits) -> list[str]:
    """How the documents of a log differ from the oracle's, from states in memory and from states that were stored."""
    expected = naive_documents(records, limits)
    of_task = events_by_task(records)
    differences = [] if of_task.keys() == expected.keys() else [f"tasks {sorted(of_task)}, expected {sorted(expected)}"]
    for task_id, events in of_task.items():
        state = folded(events, limits)
        found = [document_difference(task_id, state, expected[task_id], limits)]
        found.append(document_difference(task_id, from_bytes(to_bytes(state, limits)), expected[task_id], limits))
        differences += [difference for difference in found if difference]
    return differences


@BOTH
@given(records=logs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_drawn_logs_agree(limits: Limits, records: list[Record]) -> None:
    """The documents of a drawn log are the oracle's: values, types and the order of every key."""
    assert fold_differences(records, limits) == []


@BOTH
def test_hundreds_of_random_logs_agree(limits: Limits) -> None:
    """The documents of 150 random logs are the oracle's."""
    rng = Random(30)
    assert [difference for _ in range(150) for difference in fold_differences(random_log(rng), limits)] == []


def test_a_crowded_task_agrees() -> None:
    """A task that overflows each of the default caps is cut as the oracle cuts it."""
    assert fold_differences(crowded_log(Random(31)), DEFAULT_LIMITS) == []
